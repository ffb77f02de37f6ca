//! What was changed and removed, for the audit log, which belongs to the program.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base::http::Peer;
use futures_util::future::BoxFuture;
use http::request::Parts;
use serde_json::json;
use wire::s3::key::Key;

use super::Shared;
use super::visitor::Visitor;
use crate::records::Change;

/// Something that somebody changed or removed.
#[derive(Debug, Clone)]
pub struct Noted {
    /// The visitor: a user of the configuration by their name, others as the audit log calls them.
    pub who: String,
    /// From where.
    pub address: Option<IpAddr>,
    /// What.
    pub change: Change,
}

/// Is told of it.
#[derive(Clone)]
pub struct Note(Arc<dyn Fn(Noted) -> BoxFuture<'static, ()> + Send + Sync>);

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Note").finish_non_exhaustive()
    }
}

impl Note {
    /// Tells this function.
    pub fn new(note: impl Fn(Noted) -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(note))
    }
}

impl Shared {
    /// Tells of a change that was made; without a visitor it was by a link.
    pub(crate) async fn note(&self, (head, visitor): (&Parts, Option<&Visitor>), change: Change) {
        let noted = Noted {
            who: visitor.map_or("link", Visitor::name).to_owned(),
            address: head.extensions.get::<Peer>().map(Peer::ip),
            change,
        };
        (self.note.0)(noted).await;
    }

    /// Tells that files were removed, which were all in one run, or in none: a single one by its key.
    pub(crate) async fn note_removed(
        &self,
        by: (&Parts, Option<&Visitor>),
        keys: &[(Key, Option<i64>)],
    ) {
        let Some((first, version)) = keys.first() else {
            return;
        };
        let parts = first.parts();
        let (target, details) = if keys.len() == 1 {
            let details = version.map_or(json!({}), |version| json!({"version": version}));
            (format!("artefact:{first}"), details)
        } else {
            (
                format!("artefact_run:{}/{}", parts.group, parts.run),
                json!({"files": keys.len(), "first": first.as_str()}),
            )
        };
        let change = Change {
            kind: "artefact.removed",
            target,
            details,
        };
        self.note(by, change).await;
    }
}
