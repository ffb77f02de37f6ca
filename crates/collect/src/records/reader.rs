//! What a request may see and change, as the program found out who asks.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::error::ApiError;
use super::project::Projects;

/// What somebody wants to do with what belongs to a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// See it.
    Read,
    /// Change it: groups, quarantine.
    Update,
}

/// Something that was changed, for the audit log.
#[derive(Debug, Clone)]
pub struct Change {
    /// What happened, as `noun.verb`.
    pub kind: &'static str,
    /// To what, as `kind:name`.
    pub target: String,
    /// More; a JSON object.
    pub details: serde_json::Value,
}

/// Says whether the project of this name may be seen or changed.
type May = dyn Fn(&str, Act) -> bool + Send + Sync;
/// Writes a change into the audit log.
type Note = dyn Fn(Change) -> BoxFuture<'static, ()> + Send + Sync;

/// Who asks. The program puts one into the extensions of each request that it lets through to the
/// paths of [`super::Records::read_routes`].
#[derive(Clone)]
pub struct Reader {
    may: Arc<May>,
    note: Option<Arc<Note>>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl Reader {
    /// `may` is given the name of a project.
    pub fn new(may: impl Fn(&str, Act) -> bool + Send + Sync + 'static) -> Self {
        Self {
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
    pub(crate) async fn note(
        &self,
        kind: &'static str,
        target: String,
        details: serde_json::Value,
    ) {
        if let Some(note) = &self.note {
            let change = Change {
                kind,
                target,
                details,
            };
            note(change).await;
        }
    }

    /// Whether this may be done in a project.
    pub(crate) fn may(&self, project: &str, act: Act) -> bool {
        (self.may)(project, act)
    }

    /// Refuses when what belongs to the project of this number may not be changed.
    pub(crate) fn allow_update(&self, projects: &Projects, project: i64) -> Result<(), ApiError> {
        // One that the configuration no longer names is called nothing: only who may change all may.
        let name = projects.name(project).unwrap_or_default();
        allowed(self.may(name, Act::Update))
    }

    /// Refuses when anything of any project may not be changed.
    pub(crate) fn allow_update_of_all(&self, projects: &Projects) -> Result<(), ApiError> {
        let mut all = projects.all();
        allowed(all.all(|project| self.may(&project.config.name, Act::Update)))
    }

    /// The numbers of the projects that may be seen: all, or the one of this name.
    pub(crate) fn projects(&self, projects: &Projects, wanted: Option<&str>) -> Vec<i64> {
        let name = |id| projects.name(id).unwrap_or_default().to_owned();
        let seen = projects.all().map(|project| project.id);
        let seen = seen.filter(|id| self.may(&name(*id), Act::Read));
        let mut numbers: Vec<i64> = seen
            .filter(|id| wanted.is_none_or(|wanted| wanted == name(*id)))
            .collect();
        numbers.sort_unstable();
        numbers
    }
}

fn allowed(is_allowed: bool) -> Result<(), ApiError> {
    if is_allowed {
        Ok(())
    } else {
        Err(ApiError::Forbidden)
    }
}
