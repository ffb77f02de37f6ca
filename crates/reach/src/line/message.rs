//! What the two ends of a line tell one another, as JSON. Unknown fields are ignored and new fields
//! have defaults, so that ends of neighbouring versions understand each other.

use std::net::SocketAddr;

use base::error::Class;
use serde::{Deserialize, Serialize};

use super::limits::REFUSAL_BYTES_MAX;

/// Version of the messages; raised when an older end could not understand a newer one.
pub(crate) const VERSION: u32 = 3;

/// Who is at the other end, as its certificate says. The caller reads it out of the certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Peer {
    /// The stable identifier, a UUID.
    pub id: String,
    /// The name for people.
    pub name: String,
    /// `node` or `proxy`.
    pub role: String,
    /// The cluster that both belong to.
    pub cluster: String,
}

/// The number that ties the lanes of one line together: 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LineId(String);

impl LineId {
    /// A new one. It is unique, not secret: lanes join only under the same certificate identity.
    pub(crate) fn new() -> Self {
        Self(format!("{:032x}", fastrand::u128(..)))
    }

    /// Whether a stranger's number has the right form.
    pub(crate) fn is_well_formed(&self) -> bool {
        self.0.len() == 32 && self.0.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

/// The agent's first frame on every connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) version: u32,
    pub(crate) line: LineId,
}

/// The proxy's answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct HelloAnswer {
    /// Why not, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refusal: Option<Refusal>,
    #[serde(default)]
    pub(crate) welcome: Welcome,
}

/// What a proxy says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Welcome {
    /// The group of proxies it belongs to.
    #[serde(default)]
    pub group: String,
    /// The generation within the group; agents move to the highest.
    #[serde(default)]
    pub generation: u64,
    /// Where this very proxy can be dialled, `host:port`; none if only a balancer leads to it.
    #[serde(default)]
    pub addresses: Vec<String>,
}

/// What is to be dialled at the other end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRequest {
    /// What.
    pub target: Target,
    /// Whose connection it is, for the target's log or a PROXY header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<SocketAddr>,
    /// The user on whose behalf, for the audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// A thing at the other end that can be dialled.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// Of which sort.
    pub kind: TargetKind,
    /// Its name in the configuration of the node.
    pub name: String,
    /// The node that offers it, when the other end is a proxy that forwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// The sorts of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// An application: HTTP or TCP.
    App,
    /// The node's own pages of metrics, over HTTP.
    Metrics,
    /// `host:port` of something that the node offers.
    Address,
    /// The other end's own interface.
    Control,
}

/// A "no" with its reason, which travels back to whoever asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// For machines.
    pub code: RefusalCode,
    /// For people: what was attempted on what, and what to check.
    pub text: String,
}

/// The sorts of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// The request can't be understood.
    Invalid,
    /// Not for this caller.
    Forbidden,
    /// There is no such target.
    NotFound,
    /// Too many at once.
    TooMany,
    /// The target can't be reached now.
    Unavailable,
    /// The target did not answer in time.
    Timeout,
    /// The end is about to leave; another will do.
    Draining,
}

impl Refusal {
    /// A refusal; a text that is too long is cut.
    pub fn new(code: RefusalCode, text: impl Into<String>) -> Self {
        let mut text = text.into();
        text.truncate(text.floor_char_boundary(REFUSAL_BYTES_MAX));
        Self { code, text }
    }
}

impl RefusalCode {
    /// Who is to blame.
    pub fn class(self) -> Class {
        match self {
            Self::Invalid => Class::Invalid,
            Self::Forbidden => Class::Forbidden,
            Self::NotFound => Class::NotFound,
            Self::TooMany => Class::TooMany,
            Self::Unavailable | Self::Draining => Class::Unavailable,
            Self::Timeout => Class::Timeout,
        }
    }
}

/// What travels on the control lane, in either direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    /// The line is complete at the proxy as well. To agents only, and first.
    Ready,
    /// Which proxies there are, signed. To agents only.
    Announcement(SignedAnnouncement),
    /// The sender will leave. Nothing new is to be opened on this line.
    Draining(Drain),
    /// About the membership of the agent, in either direction.
    Member(Note),
    /// The sender ends the line now. To agents only, and last.
    Closing(Closing),
    /// Still there? The lane itself answers.
    Ping,
    /// Still there.
    Pong,
    /// Bulk connections are wanted from now on. To agents only.
    Bulk,
    /// Something a newer version says.
    #[serde(other)]
    Unknown,
}

/// What the users of the two ends tell one another. The line passes it on unread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The text.
    pub text: String,
}

/// Why a line ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// For people: it is in the log of the other end.
    pub reason: String,
}

/// An announcement as it travels. The payload is kept as it was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedAnnouncement {
    /// JSON text of an [`Announcement`](crate::agent::Announcement).
    pub payload: String,
    /// Signature over the bytes of the payload, in the form that the caller's check understands.
    pub signature: String,
}

/// Why and how one end leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// For people.
    pub reason: String,
    /// Whether another process already serves the same address. If so an agent dials it again
    /// at once; if not it waits until the proxy is announced anew.
    #[serde(default)]
    pub has_successor: bool,
    /// Agents spread their new dials over this many milliseconds.
    #[serde(default)]
    pub spread_ms: u64,
}
