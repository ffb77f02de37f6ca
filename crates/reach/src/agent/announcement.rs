//! The list of all proxies as agents are told of it. It is signed by the cluster's authority, not
//! by the proxy that passes it on, so a proxy can neither invent nor hide another.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::pool::Strategy;
use crate::line::SignedAnnouncement;

/// Proxies in one announcement.
pub const PROXIES_MAX: usize = 1_000;
/// Addresses of one proxy; more are left out.
pub(crate) const ADDRESSES_MAX: usize = 8;
/// The bytes of a name in an announcement.
const NAME_BYTES_MAX: usize = 256;
/// The longest time to live that is believed.
const TTL_MAX: Duration = Duration::from_hours(1);
/// The longest spread that is believed: agents have to be back within 30 s.
const SPREAD_MAX: Duration = Duration::from_secs(10);
/// How wrong the clocks of a node may be.
const SKEW: Duration = Duration::from_mins(10);

/// Checks a signature over the bytes of a payload.
pub type Verify = Arc<dyn Fn(&[u8], &str) -> bool + Send + Sync>;

/// All proxies of a cluster at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The cluster they belong to.
    pub cluster: String,
    /// When it was issued, in milliseconds since 1970. Of two announcements the later one holds,
    /// and one that is not later than the last is ignored: it may be a replay.
    pub issued_ms: u64,
    /// How long it holds, in milliseconds.
    pub ttl_ms: u64,
    /// The proxies.
    pub proxies: Vec<AnnouncedProxy>,
    /// To how many of them to keep lines; nothing in those of older proxies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// The time in milliseconds over which agents should spread dials that all begin for the same reason:
    /// a proxy that is new to them, a line that they lost together.
    #[serde(default)]
    pub spread_ms: u64,
}

/// One proxy of an announcement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnouncedProxy {
    /// Its identifier, the one in its certificate.
    pub id: String,
    /// Where it can be dialled, best first; none if only a balancer leads to it.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// The group it belongs to: those that are upgraded together.
    #[serde(default)]
    pub group: String,
    /// The generation within the group; agents dial the highest only.
    #[serde(default)]
    pub generation: u64,
}

/// Why an announcement is not believed.
#[derive(Debug, thiserror::Error)]
pub enum AnnouncementError {
    /// Not signed by the cluster.
    #[error("the signature of the announcement does not fit")]
    Signature,
    /// Not what the signer should sign.
    #[error("read the announcement")]
    Json(#[from] serde_json::Error),
    /// Of another cluster.
    #[error("the announcement is of cluster {0:?}")]
    Cluster(String),
    /// More than we take.
    #[error("the announcement has {0} proxies, at most {PROXIES_MAX} are taken")]
    TooMany(usize),
    /// It has run out, or this machine's clock is wrong.
    #[error("the announcement ran out {} s ago; check this machine's clock", .0.as_secs())]
    Stale(Duration),
}

impl Announcement {
    /// The announcement as it travels; `sign` gives the signature over the bytes it is given.
    pub fn sign<E>(
        &self,
        sign: impl FnOnce(&[u8]) -> Result<String, E>,
    ) -> Result<SignedAnnouncement, E>
    where
        E: From<serde_json::Error>,
    {
        let payload = serde_json::to_string(self)?;
        let signature = sign(payload.as_bytes())?;
        Ok(SignedAnnouncement { payload, signature })
    }

    /// Checks signature, cluster, bounds and age.
    pub fn read(
        signed: &SignedAnnouncement,
        verify: &Verify,
        cluster: &str,
        now: SystemTime,
    ) -> Result<Self, AnnouncementError> {
        if !verify(signed.payload.as_bytes(), &signed.signature) {
            return Err(AnnouncementError::Signature);
        }
        let mut announcement: Self = serde_json::from_str(&signed.payload)?;
        if announcement.cluster != cluster {
            return Err(AnnouncementError::Cluster(announcement.cluster));
        }
        if announcement.proxies.len() > PROXIES_MAX {
            return Err(AnnouncementError::TooMany(announcement.proxies.len()));
        }
        let end = Duration::from_millis(announcement.issued_ms) + announcement.ttl() + SKEW;
        let now = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        if let Some(late) = now.checked_sub(end) {
            return Err(AnnouncementError::Stale(late));
        }
        let is_short = |text: &String| text.len() <= NAME_BYTES_MAX;
        announcement
            .proxies
            .retain(|proxy| is_short(&proxy.id) && is_short(&proxy.group));
        for proxy in &mut announcement.proxies {
            proxy.addresses.retain(is_short);
            proxy.addresses.truncate(ADDRESSES_MAX);
        }
        Ok(announcement)
    }

    /// The time over which dials are spread.
    pub(crate) fn spread(&self) -> Duration {
        Duration::from_millis(self.spread_ms).min(SPREAD_MAX)
    }

    /// How long it holds.
    pub(crate) fn ttl(&self) -> Duration {
        Duration::from_millis(self.ttl_ms).min(TTL_MAX)
    }
}
