//! Who asks for artefacts, as the program or a signature says, and what they may.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

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

/// Says whether something may be done in the group of this name.
type May = dyn Fn(&str, Act) -> bool + Send + Sync;

/// Who asks. The program puts one into the extensions of each request that it lets through; a request
/// with a signature gets its own when that is proved.
#[derive(Clone)]
pub struct Visitor {
    name: Arc<str>,
    may: Arc<May>,
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
