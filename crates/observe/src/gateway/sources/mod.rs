//! Where targets come from beside the configuration. A source that can't be read keeps its last
//! targets and says why.

mod file;
mod mysql;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base::clock;
use base::files::Stamp;
use serde::Serialize;

use super::config::{SourceConfig, TargetConfig};
use super::failure::unix_seconds;

/// One source and what it last said.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its configuration.
    pub(crate) config: SourceConfig,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    targets: Vec<TargetConfig>,
    error: Option<String>,
    refused: Vec<String>,
    last_read: Option<i64>,
    /// It was read with success once.
    is_known: bool,
    next: Option<Instant>,
    stamp: Option<Stamp>,
}

/// What a source gave.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Its targets.
    pub(crate) targets: Vec<TargetConfig>,
    /// Entries that can't be targets, with reasons.
    pub(crate) refused: Vec<String>,
}

/// A source for `/v1/gateway/targets`.
#[derive(Debug, Serialize)]
pub(crate) struct SourceView {
    kind: &'static str,
    name: String,
    targets: usize,
    error: Option<String>,
    refused: Vec<String>,
    /// Names that an earlier source has already.
    names_taken: Vec<String>,
    last_read: Option<i64>,
}

impl Source {
    /// A source that was not read yet.
    pub(crate) fn new(config: SourceConfig) -> Self {
        Self {
            config,
            state: Mutex::default(),
        }
    }

    /// A source with a new configuration that starts from what `old` last gave, when both read the
    /// same place: its targets stay until it is read.
    pub(crate) fn following(config: SourceConfig, old: &[std::sync::Arc<Self>]) -> Self {
        let new = Self::new(config);
        if let Some(old) = old.iter().find(|old| old.is_same_place(&new)) {
            new.state().targets = old.targets();
        }
        new
    }

    fn is_same_place(&self, other: &Self) -> bool {
        match (&self.config, &other.config) {
            (SourceConfig::File { path: a }, SourceConfig::File { path: b }) => a == b,
            (SourceConfig::Mysql(a), SourceConfig::Mysql(b)) => {
                a.url == b.url && a.base_url == b.base_url
            }
            (SourceConfig::File { .. }, SourceConfig::Mysql(_))
            | (SourceConfig::Mysql(_), SourceConfig::File { .. }) => false,
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its last targets.
    pub(crate) fn targets(&self) -> Vec<TargetConfig> {
        self.state().targets.clone()
    }

    /// Reads it if it is due; `true` when its targets changed. `is_urgent` makes a database due
    /// as soon as `URGENT_PAUSE` has passed.
    pub(crate) async fn refresh(
        &self,
        folder: &Path,
        environment: &BTreeMap<String, String>,
        is_urgent: bool,
    ) -> bool {
        let now = clock::now();
        let reading = match &self.config {
            SourceConfig::File { path } => {
                let stamp = base::files::stamp(path);
                let is_known = {
                    let mut state = self.state();
                    let is_known = state.last_read.is_some() && state.stamp == stamp;
                    state.stamp = stamp;
                    is_known
                };
                if is_known {
                    return false;
                }
                file::read(path, folder, environment)
            }
            SourceConfig::Mysql(config) => {
                let is_due = {
                    let state = self.state();
                    let early = Duration::from_secs(if is_urgent { URGENT_SECONDS } else { 0 });
                    state.next.is_none_or(|next| {
                        next <= now
                            || (is_urgent && next <= now + config.refresh.saturating_sub(early))
                    })
                };
                if !is_due {
                    return false;
                }
                self.state().next = Some(now + config.refresh);
                mysql::read(config, environment).await
            }
        };
        self.keep(reading)
    }

    fn keep(&self, reading: Result<Reading, String>) -> bool {
        let mut state = self.state();
        state.last_read = Some(unix_seconds());
        match reading {
            Ok(reading) => {
                let has_changed = state.targets != reading.targets;
                state.targets = reading.targets;
                state.refused = reading.refused;
                state.error = None;
                state.is_known = true;
                has_changed
            }
            Err(error) => {
                if state.error.as_ref() != Some(&error) {
                    tracing::warn!(
                        source = self.name(),
                        error,
                        "source of targets can't be read"
                    );
                }
                state.error = Some(error);
                false
            }
        }
    }

    /// Its name and error, when it was never read with success.
    pub(crate) fn unread(&self) -> Option<String> {
        let state = self.state();
        let error = state.error.as_deref().unwrap_or("not read yet");
        (!state.is_known).then(|| format!("{}: {error}", self.name()))
    }

    fn name(&self) -> String {
        match &self.config {
            SourceConfig::File { path } => path.display().to_string(),
            SourceConfig::Mysql(config) => config.base_url.clone(),
        }
    }

    /// For `/v1/gateway/targets`.
    pub(crate) fn view(&self, names_twice: &[String]) -> SourceView {
        let state = self.state();
        SourceView {
            kind: match self.config {
                SourceConfig::File { .. } => "file",
                SourceConfig::Mysql(_) => "mysql",
            },
            name: self.name(),
            targets: state.targets.len(),
            error: state.error.clone(),
            refused: state.refused.clone(),
            names_taken: state
                .targets
                .iter()
                .filter(|target| names_twice.contains(&target.name))
                .map(|target| target.name.clone())
                .collect(),
            last_read: state.last_read,
        }
    }
}

/// A database is asked at most this often on behalf of scrapes whose login was refused.
const URGENT_SECONDS: u64 = 5;
