//! What was removed, for the audit log, which belongs to the program.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base::http::Peer;
use futures_util::future::BoxFuture;
use http::request::Parts;
use serde_json::{Value, json};
use wire::s3::key::Key;

use super::Shared;
use super::visitor::Visitor;

/// Something that somebody removed.
#[derive(Debug, Clone)]
pub struct Removed {
    /// The visitor: a user of the configuration by their name, others as the audit log calls them.
    pub who: String,
    /// From where.
    pub address: Option<IpAddr>,
    /// The file, or the folder of several.
    pub target: String,
    /// More about it.
    pub details: Value,
}

/// Is told of it.
#[derive(Clone)]
pub struct Note(Arc<dyn Fn(Removed) -> BoxFuture<'static, ()> + Send + Sync>);

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Note").finish_non_exhaustive()
    }
}

impl Note {
    /// Tells this function.
    pub fn new(note: impl Fn(Removed) -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(note))
    }
}

impl Shared {
    /// Tells that files were removed, which were all in one run, or in none: a single one by its key.
    pub(crate) async fn note_removed(
        &self,
        (head, visitor): (&Parts, Option<&Visitor>),
        keys: &[(Key, Option<i64>)],
    ) {
        let Some((first, version)) = keys.first() else {
            return;
        };
        let parts = first.parts();
        let (target, details) = if keys.len() == 1 {
            let details = version.map_or(json!({}), |version| json!({"version": version}));
            (first.to_string(), details)
        } else {
            let target = format!("{}/{}", parts.group, parts.run);
            (
                target,
                json!({"files": keys.len(), "first": first.as_str()}),
            )
        };
        let removed = Removed {
            who: visitor.map_or("link", Visitor::name).to_owned(),
            address: head.extensions.get::<Peer>().map(Peer::ip),
            target,
            details,
        };
        (self.note.0)(removed).await;
    }
}
