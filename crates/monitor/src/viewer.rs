//! What a request may see, as the program found out who asks.

use std::fmt;
use std::sync::Arc;

use query::labels::Labels;

/// Says whether the series with these labels may be seen.
type May = dyn Fn(&Labels) -> bool + Send + Sync;

/// Who asks. The program puts one into the extensions of each request that it lets through.
#[derive(Clone)]
pub struct Viewer {
    /// Nothing when they may see everything, which spares asking for each series.
    may: Option<Arc<May>>,
}

impl fmt::Debug for Viewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Viewer").finish_non_exhaustive()
    }
}

impl Viewer {
    /// Somebody who may see everything.
    pub fn of_everything() -> Self {
        Self { may: None }
    }

    /// Somebody who may see some series.
    pub fn new(may: impl Fn(&Labels) -> bool + Send + Sync + 'static) -> Self {
        Self {
            may: Some(Arc::new(may)),
        }
    }

    /// Whether they see everything.
    pub fn sees_everything(&self) -> bool {
        self.may.is_none()
    }

    /// Whether they see the series with these labels.
    pub fn sees(&self, labels: &Labels) -> bool {
        self.may.as_ref().is_none_or(|may| may(labels))
    }
}
