//! The table of targets: made from the configuration and its sources, looked up by every scrape,
//! swapped whole when something changed. A target whose configuration and secrets are the same
//! keeps its session; one that changed starts afresh, which also ends its back-off.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use base::files::{self, Stamp};
use base::secret::SecretSource;

use super::config::TargetConfig;
use super::target::{Target, TargetParts};

/// Targets over all sources.
pub(crate) const TARGETS_MAX: usize = 100_000;

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    table: ArcSwap<Table>,
    watched: Mutex<BTreeMap<PathBuf, Option<Stamp>>>,
}

#[derive(Debug, Default)]
struct Table {
    in_order: Vec<Arc<Target>>,
    by_name: HashMap<String, Arc<Target>>,
}

impl Registry {
    /// The target of a name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Target>> {
        self.table.load().by_name.get(name).cloned()
    }

    /// All targets in the order of the configuration and its sources.
    pub(crate) fn targets(&self) -> Vec<Arc<Target>> {
        self.table.load().in_order.clone()
    }

    /// How many targets there are.
    pub(crate) fn count(&self) -> usize {
        self.table.load().in_order.len()
    }

    /// Makes the table say what `configs` say. Names that appear twice belong to the first and
    /// are returned.
    pub(crate) fn replace(
        &self,
        configs: impl IntoIterator<Item = TargetConfig>,
        environment: &BTreeMap<String, String>,
        parts: &TargetParts,
    ) -> Vec<String> {
        let old = self.table.load_full();
        let mut table = Table::default();
        let mut twice = Vec::new();
        let mut watched = BTreeMap::new();
        for config in configs.into_iter().take(TARGETS_MAX) {
            if table.by_name.contains_key(&config.name) {
                twice.push(config.name);
                continue;
            }
            for path in watched_files(&config) {
                watched
                    .entry(path)
                    .or_insert_with_key(|path| files::stamp(path));
            }
            let kept = old.by_name.get(&config.name);
            let target = match kept.filter(|target| target.is_same(&config, environment)) {
                Some(target) => Arc::clone(target),
                None => Target::new(config, environment, parts),
            };
            table
                .by_name
                .insert(target.config().name.clone(), Arc::clone(&target));
            table.in_order.push(target);
        }
        self.table.store(Arc::new(table));
        *self.watched.lock().unwrap_or_else(PoisonError::into_inner) = watched;
        twice
    }

    /// Whether a file with a secret or a certificate changed since the table was made.
    pub(crate) fn has_changed_files(&self) -> bool {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched
            .iter()
            .any(|(path, stamp)| files::stamp(path) != *stamp)
    }
}

fn watched_files(config: &TargetConfig) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = config.tls_files().map(PathBuf::from).collect();
    files.extend(
        config
            .auth
            .secrets()
            .into_iter()
            .filter_map(|source| match source {
                SecretSource::File(path) => Some(path.clone()),
                SecretSource::Inline(_) | SecretSource::Env(_) => None,
            }),
    );
    files
}
