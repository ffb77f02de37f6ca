//! The audit log: who did what to what, from where, and whether it was let. Events are appended in
//! the transaction of what they tell about, and never changed.

mod budget;

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use state::{State, StateError, Write};

pub(crate) use self::budget::Budget;
use crate::error::IdentityError;
use crate::peer::NodePeer;
use crate::trust;

/// The topic of `State::watch` that is touched by every event.
pub const AUDIT_TOPIC: &str = "identity_audit";
/// Events of one page.
pub const PAGE_EVENTS_MAX: i64 = 1000;
/// The longest details of one event, in bytes of JSON.
pub const DETAILS_BYTES_MAX: usize = 32 << 10;

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The program itself.
    System,
    /// Nobody who proved who they are.
    Anonymous,
    /// A user.
    User(String),
    /// A machine, by UUID.
    Machine(String),
}

/// Who acts, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub actor: Actor,
    /// The address of the client.
    pub address: Option<IpAddr>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Done.
    Success,
    /// Not let.
    Refused,
    /// Let, but it did not work.
    Failed,
}

/// Something that happened, before it is written.
#[derive(Debug, Clone)]
pub struct Event {
    /// What, as `noun.verb`: a fixed word.
    pub kind: &'static str,
    /// Who, and from where.
    pub caller: Caller,
    /// To what, as `kind:name`.
    pub target: String,
    /// How it ended.
    pub outcome: Outcome,
    /// More, as a JSON object. Never a secret.
    pub details: serde_json::Value,
}

/// An event of the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recorded {
    /// Its number: without gaps, in the order in which the changes took effect.
    pub seq: i64,
    /// When, in Unix milliseconds.
    pub at: i64,
    /// What.
    pub kind: String,
    /// Who.
    pub actor: String,
    /// To what.
    pub target: String,
    /// How it ended.
    pub outcome: String,
    /// From where; empty when it came from inside.
    pub address: String,
    /// More.
    pub details: serde_json::Value,
}

/// Which events are wanted. An empty text stands for all.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Only this kind; with a `.` at its end, all that begin with it.
    pub kind: String,
    /// Only this actor, as it is written in the log.
    pub actor: String,
    /// Only this target.
    pub target: String,
    /// Only this outcome.
    pub outcome: String,
    /// Not before, in Unix milliseconds.
    pub from: Option<i64>,
    /// Before, in Unix milliseconds.
    pub to: Option<i64>,
    /// Continue after this number.
    pub cursor: Option<i64>,
    /// Newest first instead of oldest first.
    pub is_descending: bool,
    /// How many at most, up to [`PAGE_EVENTS_MAX`]; 0 for that.
    pub limit: i64,
}

/// The audit log.
#[derive(Debug, Clone, Copy)]
pub struct Audit<'a> {
    pub(crate) identity: &'a crate::Identity,
}

impl Caller {
    /// The program itself.
    pub fn system() -> Self {
        Self {
            actor: Actor::System,
            address: None,
        }
    }

    /// Nobody known, from there.
    pub fn anonymous(address: Option<IpAddr>) -> Self {
        Self {
            actor: Actor::Anonymous,
            address,
        }
    }

    /// A user.
    pub fn user(name: impl Into<String>, address: Option<IpAddr>) -> Self {
        Self {
            actor: Actor::User(name.into()),
            address,
        }
    }

    /// A machine.
    pub fn machine(peer: &NodePeer, address: Option<IpAddr>) -> Self {
        Self {
            actor: Actor::Machine(peer.uuid.clone()),
            address,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::Anonymous => f.write_str("anonymous"),
            Self::User(name) => write!(f, "user:{name}"),
            Self::Machine(uuid) => write!(f, "node:{uuid}"),
        }
    }
}

impl Outcome {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl Event {
    /// Something that was done.
    pub fn success(kind: &'static str, caller: &Caller, target: impl Into<String>) -> Self {
        Self {
            kind,
            caller: caller.clone(),
            target: target.into(),
            outcome: Outcome::Success,
            details: serde_json::Value::Object(serde_json::Map::new()),
        }
    }

    /// The same, but not let.
    #[must_use]
    pub fn refused(mut self) -> Self {
        self.outcome = Outcome::Refused;
        self
    }

    /// With more to it.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or_default();
        if let Some(details) = self.details.as_object_mut() {
            details.insert(key.to_owned(), value);
        }
        self
    }
}

impl Recorded {
    /// One line of JSON, without its end.
    pub fn json_line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    fn of_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let details: String = row.try_get("details")?;
        Ok(Self {
            seq: row.try_get("seq")?,
            at: row.try_get("at")?,
            kind: row.try_get("kind")?,
            actor: row.try_get("actor")?,
            target: row.try_get("target")?,
            outcome: row.try_get("outcome")?,
            address: row.try_get("address")?,
            details: serde_json::from_str(&details).unwrap_or_default(),
        })
    }
}

/// Appends events. It has to be the last statement before the commit: it takes the row of the
/// counter, for which all others wait. That keeps numbers without gaps and in the order of commits,
/// so that a reader who continues after a number misses nothing.
pub(crate) async fn append(
    write: &mut Write,
    now: i64,
    events: &[Event],
) -> Result<(), StateError> {
    for event in events {
        let row = sqlx::query("UPDATE audit_counter SET seq = seq + 1 WHERE id = 1 RETURNING seq")
            .fetch_one(&mut *write)
            .await?;
        let seq: i64 = row.try_get("seq")?;
        let mut details = event.details.to_string();
        if details.len() > DETAILS_BYTES_MAX {
            "{\"too_large\":true}".clone_into(&mut details);
        }
        let address = event.caller.address.map(|address| address.to_string());
        sqlx::query(
            "INSERT INTO audit_events (seq, at, kind, actor, target, outcome, address, details)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(seq)
        .bind(now)
        .bind(event.kind)
        .bind(event.caller.actor.to_string())
        .bind(event.target.as_str())
        .bind(event.outcome.as_str())
        .bind(address.unwrap_or_default())
        .bind(details)
        .execute(&mut *write)
        .await?;
    }
    write.touch(AUDIT_TOPIC);
    Ok(())
}

impl Audit<'_> {
    /// Records what happened elsewhere, such as the use of an app.
    pub async fn record(self, events: &[Event]) -> Result<(), IdentityError> {
        let mut write = self.identity.state().write().await?;
        append(&mut write, self.identity.now(), events).await?;
        Ok(write.commit().await?)
    }

    /// Records that somebody was refused, unless a flood of this kind of refusal was recorded
    /// already; the next event then tells how many were left out.
    pub async fn record_refusal(self, event: Event) -> Result<(), IdentityError> {
        let now = self.identity.now();
        let Some(left_out) = self.identity.admit_refusal(event.kind, now) else {
            return Ok(());
        };
        let event = match left_out {
            0 => event.refused(),
            count => event.refused().with("left_out_before", count),
        };
        self.record(&[event]).await
    }

    /// Records that a peer was refused in a TLS handshake: its certificate is of another authority,
    /// has ended, names somebody else or is locked, or what it speaks is not what it has to.
    pub async fn record_refused_handshake(
        self,
        address: Option<IpAddr>,
        error: &rustls::Error,
    ) -> Result<(), IdentityError> {
        let caller = Caller::anonymous(address);
        let reason = match error {
            rustls::Error::PeerIncompatible(_) => "protocol",
            _ => "certificate",
        };
        let event = Event::success("line.handshake", &caller, "")
            .with("reason", reason)
            .with("text", trust::explain(error));
        self.record_refusal(event).await
    }

    /// One page of events.
    pub async fn query(self, query: &Query) -> Result<Vec<Recorded>, IdentityError> {
        page(self.identity.state(), query).await
    }
}

async fn page(state: &State, query: &Query) -> Result<Vec<Recorded>, IdentityError> {
    let limit = match query.limit {
        1..=PAGE_EVENTS_MAX => query.limit,
        _ => PAGE_EVENTS_MAX,
    };
    let (first, last) = match (query.cursor, query.is_descending) {
        (None, _) => (0, i64::MAX),
        (Some(cursor), false) => (cursor.saturating_add(1), i64::MAX),
        (Some(cursor), true) => (0, cursor.saturating_sub(1)),
    };
    let mut kind = query.kind.replace(['!', '%'], "").replace('_', "!_");
    if kind.ends_with('.') {
        kind.push('%');
    }
    let sql = if query.is_descending {
        SELECT_DESCENDING
    } else {
        SELECT_ASCENDING
    };
    let mut read = state.read().await?;
    let rows = sqlx::query(sql)
        .bind(first)
        .bind(last)
        .bind(query.from.unwrap_or(i64::MIN))
        .bind(query.to.unwrap_or(i64::MAX))
        .bind(kind)
        .bind(query.actor.as_str())
        .bind(query.target.as_str())
        .bind(query.outcome.as_str())
        .bind(limit)
        .fetch_all(&mut read)
        .await?;
    Ok(rows
        .iter()
        .map(Recorded::of_row)
        .collect::<Result<_, _>>()?)
}

const SELECT_ASCENDING: &str =
    "SELECT seq, at, kind, actor, target, outcome, address, details FROM audit_events
     WHERE seq BETWEEN $1 AND $2 AND at >= $3 AND at < $4
       AND ($5 = '' OR kind LIKE $5 ESCAPE '!')
       AND ($6 = '' OR actor = $6) AND ($7 = '' OR target = $7) AND ($8 = '' OR outcome = $8)
     ORDER BY seq LIMIT $9";
const SELECT_DESCENDING: &str =
    "SELECT seq, at, kind, actor, target, outcome, address, details FROM audit_events
     WHERE seq BETWEEN $1 AND $2 AND at >= $3 AND at < $4
       AND ($5 = '' OR kind LIKE $5 ESCAPE '!')
       AND ($6 = '' OR actor = $6) AND ($7 = '' OR target = $7) AND ($8 = '' OR outcome = $8)
     ORDER BY seq DESC LIMIT $9";
