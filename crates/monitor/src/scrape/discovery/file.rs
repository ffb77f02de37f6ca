//! `file_sd_configs`: files of targets, read again when they change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base::clock;
use base::files::{self, Stamp};

use super::{Reading, groups_of, groups_of_json};
use crate::scrape::config::FileConfig;
use crate::scrape::glob;
use crate::scrape::relabel::LabelSet;

/// The largest file.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Files of one pattern.
const FILES_MAX: usize = 10_000;
/// How often it is looked whether they have changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The files of one configuration and what they said last.
#[derive(Debug)]
pub(super) struct Files {
    config: FileConfig,
    known: BTreeMap<PathBuf, Known>,
    /// When they are read whatever they look like.
    next: Option<Instant>,
}

#[derive(Debug, Clone, Default)]
struct Known {
    stamp: Option<Stamp>,
    targets: Vec<LabelSet>,
    error: Option<String>,
}

impl Files {
    pub(super) fn new(config: &FileConfig) -> Self {
        Self {
            config: config.clone(),
            known: BTreeMap::new(),
            next: None,
        }
    }

    /// Targets of all files, when one of them has changed. A file that can't be read keeps its last
    /// targets; one that is gone has none.
    pub(super) async fn read(&mut self) -> (Result<Option<Vec<LabelSet>>, String>, Duration) {
        let now = clock::now();
        let is_due = self.next.is_none_or(|next| next <= now);
        if is_due {
            self.next = Some(now + self.config.refresh);
        }
        let (config, known) = (self.config.clone(), self.known.clone());
        let reading = tokio::task::spawn_blocking(move || look(&config, known, is_due)).await;
        let reading = match reading {
            Ok((known, has_changed)) => {
                self.known = known;
                self.outcome(has_changed || is_due)
            }
            Err(error) => Err(error.to_string()),
        };
        (reading, LOOK_EVERY.min(self.config.refresh))
    }

    fn outcome(&self, has_changed: bool) -> Result<Option<Vec<LabelSet>>, String> {
        if !has_changed {
            return Ok(None);
        }
        let all = self.known.values();
        let error = all.clone().find_map(|known| known.error.clone());
        let targets: Vec<LabelSet> = all.flat_map(|known| known.targets.clone()).collect();
        match error {
            // One file that is wrong does not hold up what the others say.
            Some(error) if self.known.len() == 1 => Err(error),
            Some(error) => {
                tracing::warn!(
                    error,
                    "a file of targets can't be read: its last targets stay"
                );
                Ok(Some(targets))
            }
            None => Ok(Some(targets)),
        }
    }
}

/// What the files say now, and whether that differs from what they said.
fn look(
    config: &FileConfig,
    mut before: BTreeMap<PathBuf, Known>,
    is_due: bool,
) -> (BTreeMap<PathBuf, Known>, bool) {
    let mut now = BTreeMap::new();
    let mut has_changed = false;
    for pattern in &config.files {
        let paths = match glob::expand(pattern, FILES_MAX) {
            Ok(paths) => paths,
            Err(error) => {
                tracing::warn!(error, "files of targets can't be listed");
                continue;
            }
        };
        for path in paths {
            let stamp = files::stamp(&path);
            let known = before.remove(&path);
            let is_same = known.as_ref().is_some_and(|known| known.stamp == stamp);
            if stamp.is_none() && known.is_none() {
                continue;
            }
            if is_same && !is_due {
                now.extend(known.map(|known| (path, known)));
                continue;
            }
            has_changed |= !is_same;
            let targets = known.map(|known| known.targets).unwrap_or_default();
            let read = match (&stamp, read(&path)) {
                (None, _) => Known::default(),
                (_, Ok(targets)) => Known {
                    stamp,
                    targets,
                    error: None,
                },
                (_, Err(error)) => Known {
                    stamp,
                    targets,
                    error: Some(error),
                },
            };
            now.insert(path, read);
        }
    }
    has_changed |= !before.is_empty();
    (now, has_changed)
}

fn read(path: &Path) -> Reading {
    let shown = path.display().to_string();
    let text = files::read_text_limited(path, FILE_BYTES_MAX);
    let text = text.map_err(|error| format!("{shown}: {error}"))?;
    let meta = ("__meta_filepath", shown.as_str());
    let is_json = path.extension().is_some_and(|ending| ending == "json");
    let groups = if is_json {
        groups_of_json(&text, meta)
    } else {
        groups_of(&text, meta)
    };
    groups.map_err(|error| format!("{shown}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(reading: &Result<Option<Vec<LabelSet>>, String>) -> Vec<String> {
        let targets = reading.as_ref().ok().and_then(Option::as_ref);
        let targets = targets.into_iter().flatten();
        targets
            .map(|labels| labels["__address__"].clone())
            .collect()
    }

    #[tokio::test]
    async fn files_are_read_again_when_they_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| std::fs::write(place(name), text).expect("written");
        write("a.json", "[{\"targets\": [\"a:1\"]}]");
        write("b.yml", "- targets: [b:1]\n");
        let mut files = Files::new(&FileConfig {
            files: vec![place("*.json"), place("b.yml"), place("missing.yml")],
            refresh: Duration::from_mins(5),
        });
        assert_eq!(addresses(&files.read().await.0), ["a:1", "b:1"]);
        assert_eq!(files.read().await.0, Ok(None));
        write("b.yml", "- targets: [b:2, b:3]\n");
        assert_eq!(addresses(&files.read().await.0), ["a:1", "b:2", "b:3"]);
        write("b.yml", "- targets: 1\n");
        assert_eq!(addresses(&files.read().await.0), ["a:1", "b:2", "b:3"]);
        write("c.json", "[{\"targets\": [\"c:1\"]}]");
        std::fs::remove_file(place("a.json")).expect("removed");
        assert_eq!(addresses(&files.read().await.0), ["b:2", "b:3", "c:1"]);
    }

    #[tokio::test]
    async fn a_file_that_is_wrong_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.json");
        std::fs::write(&path, "[{\"targets\": [").expect("written");
        let mut files = Files::new(&FileConfig {
            files: vec![path],
            refresh: Duration::from_mins(5),
        });
        let error = files.read().await.0.expect_err("it is wrong");
        assert!(
            error.contains("a.json: ") && error.contains("line 1"),
            "{error}"
        );
    }
}
