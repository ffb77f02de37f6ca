//! Finding targets: each source is asked again and again, and what it said last holds until it says
//! something else.

mod dns;
mod docker;
mod file;
mod http;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base::clock;
use base::supervise::{Scope, Supervisor};
use serde::Deserialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::config::Discovery;
use super::metrics::{KindLabels, ScrapeMetrics};
use super::relabel::LabelSet;

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Targets of one source.
const TARGETS_MAX: usize = 100_000;

/// What sources need.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    pub(crate) environment: Arc<BTreeMap<String, String>>,
    pub(crate) supervisor: Supervisor,
    pub(crate) metrics: ScrapeMetrics,
    /// Told when a source says something new.
    pub(crate) changed: Arc<Notify>,
}

/// A source and what it said last.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) config: Discovery,
    found: Mutex<Found>,
    gone: CancellationToken,
}

#[derive(Debug, Default)]
struct Found {
    targets: Arc<Vec<LabelSet>>,
    error: Option<String>,
}

/// What a source gives.
type Reading = Result<Vec<LabelSet>, String>;

/// How a source is asked.
enum Asking {
    File(file::Files),
    Http(Box<http::Asking>),
    Dns(dns::Asking),
    Docker(Box<docker::Asking>),
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asking")
    }
}

impl Source {
    pub(crate) fn new(config: &Discovery) -> Self {
        Self {
            config: config.clone(),
            found: Mutex::default(),
            gone: CancellationToken::new(),
        }
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it said last.
    pub(crate) fn targets(&self) -> Arc<Vec<LabelSet>> {
        Arc::clone(&self.found().targets)
    }

    /// Nobody asks for it any more.
    pub(crate) fn stop(&self) {
        self.gone.cancel();
    }

    /// Asks until nobody wants to know.
    pub(crate) async fn run(self: Arc<Self>, surroundings: Surroundings, scope: Scope) {
        let Some((mut asking, kind)) = self.asking(&surroundings) else {
            return;
        };
        loop {
            let wait = tokio::select! {
                () = scope.stopping() => return,
                () = self.gone.cancelled() => return,
                wait = self.ask(&mut asking, &surroundings, kind) => wait,
            };
            tokio::select! {
                () = scope.stopping() => return,
                () = self.gone.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn asking(&self, surroundings: &Surroundings) -> Option<(Asking, &'static str)> {
        Some(match &self.config {
            Discovery::Static(_) => return None,
            Discovery::File(config) => (Asking::File(file::Files::new(config)), "file"),
            Discovery::Http(config) => {
                let asking = http::Asking::new(config, surroundings);
                (Asking::Http(Box::new(asking)), "http")
            }
            Discovery::Dns(config) => (Asking::Dns(dns::Asking::new(config)), "dns"),
            Discovery::Docker(config) => {
                let asking = docker::Asking::new(config, surroundings);
                (Asking::Docker(Box::new(asking)), "docker")
            }
        })
    }

    /// Asks once, and says how long to wait before the next time.
    async fn ask(
        &self,
        asking: &mut Asking,
        surroundings: &Surroundings,
        kind: &'static str,
    ) -> Duration {
        let deadline: Instant = clock::now() + ANSWER_LIMIT;
        let (reading, wait) = match asking {
            Asking::File(files) => files.read().await,
            Asking::Http(asking) => (asking.ask(deadline).await, asking.refresh()),
            Asking::Dns(asking) => (asking.ask(deadline).await.map(Some), asking.refresh()),
            Asking::Docker(asking) => (asking.ask(deadline).await.map(Some), asking.refresh()),
        };
        let labels = KindLabels { kind };
        let has_changed = match reading {
            Ok(None) => false,
            Ok(Some(targets)) => {
                surroundings.metrics.refreshes.get_or_create(&labels).inc();
                self.keep(targets, kind)
            }
            Err(error) => {
                surroundings.metrics.refreshes.get_or_create(&labels).inc();
                surroundings.metrics.failures.get_or_create(&labels).inc();
                self.note_failure(error, kind);
                false
            }
        };
        if has_changed {
            surroundings.changed.notify_one();
        }
        wait
    }

    fn keep(&self, mut targets: Vec<LabelSet>, kind: &'static str) -> bool {
        if targets.len() > TARGETS_MAX {
            let count = targets.len();
            tracing::warn!(
                kind,
                count,
                "a source names more than {TARGETS_MAX} targets: the rest is left out"
            );
            targets.truncate(TARGETS_MAX);
        }
        let mut found = self.found();
        if found.error.take().is_some() {
            tracing::info!(kind, "a source of targets answers again");
        }
        let has_changed = *found.targets != targets;
        if has_changed {
            found.targets = Arc::new(targets);
        }
        has_changed
    }

    fn note_failure(&self, error: String, kind: &'static str) {
        let mut found = self.found();
        if found.error.as_ref() != Some(&error) {
            tracing::warn!(
                kind,
                error,
                "a source of targets can't be read: its last targets stay"
            );
        }
        found.error = Some(error);
    }
}

/// Groups as files and servers write them: targets and the labels that they have in common.
fn read_groups(
    root: &base::config::Field<'_>,
    (name, value): (&str, &str),
) -> Option<Vec<LabelSet>> {
    let mut all = Vec::new();
    root.list(|group| {
        let mut section = group.section()?;
        let targets = section.optional("targets")?;
        let targets = targets.list(|target| target.text());
        let labels = section.optional("labels");
        let labels = labels.and_then(|labels| labels.entries(|_, value| value.text()));
        // Further keys are others' business.
        let labels: LabelSet = labels.into_iter().flatten().collect();
        for address in targets.into_iter().flatten() {
            let mut target = labels.clone();
            target.insert(super::target::ADDRESS.to_owned(), address);
            target.insert(name.to_owned(), value.to_owned());
            all.push(target);
        }
        Some(())
    })?;
    Some(all)
}

/// A group in JSON. Further keys are others' business.
#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    targets: Vec<String>,
    labels: Option<LabelSet>,
}

/// Reads groups out of JSON.
fn groups_of_json(text: &str, (name, value): (&str, &str)) -> Result<Vec<LabelSet>, String> {
    let groups: Option<Vec<Group>> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut all = Vec::new();
    for group in groups.unwrap_or_default() {
        let mut labels = group.labels.unwrap_or_default();
        labels.insert(name.to_owned(), value.to_owned());
        all.extend(group.targets.into_iter().map(|address| {
            let mut target = labels.clone();
            target.insert(super::target::ADDRESS.to_owned(), address);
            target
        }));
    }
    Ok(all)
}

/// Reads groups out of YAML.
fn groups_of(text: &str, meta: (&str, &str)) -> Result<Vec<LabelSet>, String> {
    use base::config::{Context, Document, Field, Severity};
    let document = Document::parse(text)
        .map_err(|error| format!("line {}, column {}: {error}", error.line, error.column))?;
    if document.root.is_null() || text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let context = Context::new("", BTreeMap::new());
    let root = Field::root(&document.root, &context);
    let groups = read_groups(&root, meta);
    let problems = context.take_problems();
    let problem = problems
        .into_iter()
        .find(|problem| problem.severity == Severity::Error);
    match problem {
        Some(problem) => Err(format!(
            "line {}: {}: {}",
            problem.line, problem.path, problem.message
        )),
        None => Ok(groups.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_from_both_spellings() {
        let json =
            "[\n\t{\"targets\": [\"a:1\", \"b:2\"], \"labels\": {\"x\": \"y\", \"n\": \"1\"}}\n]";
        let yaml = "- targets: [a:1, b:2]\n  labels: {x: y, n: 1}\n";
        let expected = ["a:1", "b:2"].map(|address| {
            let pairs = [
                ("__address__", address),
                ("__meta_m", "v"),
                ("n", "1"),
                ("x", "y"),
            ];
            pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into()
        });
        let expected: &[LabelSet; 2] = &expected;
        let meta = ("__meta_m", "v");
        for found in [groups_of_json(json, meta), groups_of(yaml, meta)] {
            assert_eq!(found.expect("groups"), expected);
        }
        assert_eq!(groups_of_json("[]", meta), Ok(Vec::new()));
        for text in [
            "{}",
            "[1]",
            "[{\"targets\": 1}]",
            "[{",
            "",
            "[{\"labels\": {\"a\": 1}}]",
        ] {
            assert!(groups_of_json(text, meta).is_err(), "{text}");
        }
        assert_eq!(groups_of("[]", ("m", "v")), Ok(Vec::new()));
        assert_eq!(groups_of("", ("m", "v")), Ok(Vec::new()));
        for text in ["{}", "[1]", "[{targets: 1}]", "[{", "[{targets: [[a]]}]"] {
            assert!(groups_of(text, ("m", "v")).is_err(), "{text}");
        }
    }
}
