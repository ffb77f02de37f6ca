//! Who asks for artefacts, as the program or a signature says, and what they may.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::records::Change;

/// What somebody wants to do in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// See and fetch.
    Read,
    /// Upload.
    Create,
    /// Pin, and set how long and how much is kept.
    Update,
    /// Remove.
    Delete,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Create, Self::Update, Self::Delete];
}

/// Writes a change into the audit log.
type Note = dyn Fn(Change) -> BoxFuture<'static, ()> + Send + Sync;
/// Says whether something may be done in the group of this name.
type May = dyn Fn(&str, Act) -> bool + Send + Sync;

/// Who asks. The program puts one into the extensions of each request that it lets through; a request
/// with a signature gets its own when that is proved.
#[derive(Clone)]
pub struct Visitor {
    name: Arc<str>,
    may: Arc<May>,
    note: Option<Arc<Note>>,
}

impl fmt::Debug for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Visitor").field(&self.name).finish()
    }
}

impl Visitor {
    /// `name` is kept with what they upload; `may` is given the name of a group, which is empty for
    /// what is in none.
    pub fn new(name: &str, may: impl Fn(&str, Act) -> bool + Send + Sync + 'static) -> Self {
        Self {
            name: name.into(),
            may: Arc::new(may),
            note: None,
        }
    }

    /// With a place for what they change.
    #[must_use]
    pub fn noting(
        mut self,
        note: impl Fn(Change) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        self.note = Some(Arc::new(note));
        self
    }

    /// Notes a change that was made.
    pub(crate) async fn note(&self, change: Change) {
        if let Some(note) = &self.note {
            note(change).await;
        }
    }

    /// How they are called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether they may do this in a group.
    pub(crate) fn may(&self, group: &str, act: Act) -> bool {
        (self.may)(group, act)
    }
}
