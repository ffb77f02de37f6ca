//! Groups of pushed metrics: what names one, what is in it, and what the store is told when it changes.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use signals::{Labels, METRIC_NAME, Metadata, Store, Value};
use wire::s3::key::percent_decode;

use super::super::answer::Refused;
use super::super::batch::{Batch, Stored};
use super::file;

/// Groups that are kept.
pub(super) const GROUPS_MAX: usize = 10_000;
/// Series of all groups.
const SERIES_MAX: usize = 1_000_000;
/// Labels in a path.
const LABELS_MAX: usize = 32;
/// What a path begins with.
const PREFIX: &str = "/metrics/";
/// Says that a value is in base64 with the alphabet of URLs.
const BASE64: &str = "@base64";
/// When the last push succeeded, and failed.
const PUSH_TIME: &str = "push_time_seconds";
const FAILURE_TIME: &str = "push_failure_time_seconds";

/// The labels that name a group, `job` among them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(pub(super) BTreeMap<String, String>);

impl Key {
    /// The key in the path of a request, which is not decoded yet.
    pub(super) fn of_path(path: &str) -> Result<Self, Refused> {
        let rest = path.strip_prefix(PREFIX).unwrap_or_default();
        let mut segments = rest.split('/');
        let mut key = BTreeMap::new();
        while let Some(name) = segments.next() {
            let wrong = |what: &str| Refused::Invalid(format!("{what} in the path {path:?}"));
            let value = segments
                .next()
                .ok_or_else(|| wrong("a label without a value"))?;
            let name = percent_decode(name).ok_or_else(|| wrong("a name that is no text"))?;
            let value = percent_decode(value).ok_or_else(|| wrong("a value that is no text"))?;
            let (name, value) = match name.strip_suffix(BASE64) {
                Some(name) => {
                    let value = of_base64(&value).ok_or_else(|| wrong("invalid base64"))?;
                    (name.to_owned(), value)
                }
                None => (name, value),
            };
            if !is_label(&name) {
                return Err(wrong("a name that no label may have"));
            }
            if key.len() >= LABELS_MAX {
                return Err(wrong("too many labels"));
            }
            if key.insert(name, value).is_some() {
                return Err(wrong("a label that is given twice"));
            }
        }
        if key.get("job").is_none_or(String::is_empty) {
            return Err(Refused::Invalid(format!("no job in the path {path:?}")));
        }
        Ok(Self(key))
    }

    /// The labels of a series of this group: those of the key win.
    pub(super) fn labels<'a>(
        &'a self,
        name: &'a str,
        own: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Labels, Refused> {
        let key = self.0.iter();
        let key = key.map(|(name, value)| (name.as_str(), value.as_str()));
        let mut pairs: BTreeMap<&str, &str> = own.into_iter().chain(key).collect();
        pairs.insert(METRIC_NAME, name);
        Labels::new(pairs).map_err(|error| Refused::Invalid(format!("metric {name:?}: {error}")))
    }
}

fn of_base64(value: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(value.trim_end_matches('=')).ok()?;
    String::from_utf8(bytes).ok()
}

fn is_label(name: &str) -> bool {
    let is_first = |it: char| it.is_ascii_alphabetic() || it == '_';
    name.starts_with(is_first)
        && !name.starts_with("__")
        && name
            .chars()
            .all(|it| it.is_ascii_alphanumeric() || it == '_')
}

/// Metrics of one name.
#[derive(Debug, Clone, Default)]
pub(super) struct Family {
    pub(super) metadata: Option<Metadata>,
    pub(super) series: BTreeMap<Labels, Value>,
}

/// Families by name.
pub(super) type Families = BTreeMap<String, Family>;

/// What a push replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replace {
    /// Everything in the group.
    Group,
    /// The families that it has.
    Families,
}

/// What was pushed under one key.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    pub(super) families: Families,
    /// The last success, in milliseconds since 1970.
    pub(super) pushed_at: i64,
    /// The last failure since then, in milliseconds since 1970; 0 is none.
    pub(super) failed_at: i64,
    /// The number of its file.
    pub(super) file: u64,
}

impl Group {
    fn series(&self) -> impl Iterator<Item = (&Labels, &Value)> {
        self.families.values().flat_map(|family| &family.series)
    }

    /// What the group says of itself.
    fn times(&self, key: &Key) -> Result<[(Labels, Value); 2], Refused> {
        let seconds = |ms: i64| Value::Float(ms as f64 / 1000.0);
        Ok([
            (key.labels(PUSH_TIME, [])?, seconds(self.pushed_at)),
            (key.labels(FAILURE_TIME, [])?, seconds(self.failed_at)),
        ])
    }
}

/// All groups.
#[derive(Debug, Default)]
pub(super) struct Groups {
    all: BTreeMap<Key, Group>,
    next_file: u64,
    /// When the store was told something last: samples of a series need times of their own.
    told_at: i64,
}

impl Groups {
    /// Reads the groups in a folder; the second is how many files were damaged.
    pub(super) fn read(folder: &Path) -> Result<(Self, u64), Refused> {
        let mut groups = Self::default();
        let found = file::read_all(folder)?;
        for (key, group) in found.groups {
            groups.next_file = groups.next_file.max(group.file + 1);
            groups.all.insert(key, group);
        }
        Ok((groups, found.damaged))
    }

    /// A time that no sample has yet.
    fn tick(&mut self, now: i64) -> i64 {
        self.told_at = now.max(self.told_at + 1);
        self.told_at
    }

    /// Takes what was pushed: the store has it, and the file, when this returns.
    pub(super) fn push(
        &mut self,
        key: &Key,
        (families, replace): (Families, Replace),
        (store, now): (&Store, i64),
        folder: &Path,
    ) -> Result<Stored, Refused> {
        let time = self.tick(now);
        let before = self.all.get(key);
        let mut group = Group {
            families: Families::new(),
            pushed_at: time,
            failed_at: 0,
            file: before.map_or(self.next_file, |before| before.file),
        };
        if let (Some(before), Replace::Families) = (before, replace) {
            group.families.clone_from(&before.families);
        }
        group.families.extend(families);
        self.check_room(key, &group)?;
        let mut batch = Batch::default();
        for (labels, value) in group.series().chain(pairs(&group.times(key)?)) {
            batch.value(labels, time, value.clone());
        }
        for (name, family) in &group.families {
            let metadata = family.metadata.iter();
            batch
                .metadata
                .extend(metadata.map(|metadata| (name.clone(), metadata.clone())));
        }
        // What is not there any more ends, so that no query goes on with it for five minutes.
        let gone = before.iter().flat_map(|before| before.series());
        for (labels, _) in gone.filter(|(labels, _)| !group.has(labels)) {
            batch.value(labels, time, stale());
        }
        let stored = batch.append(store, time)?;
        if stored.problems.is_empty() {
            file::write(folder, key, &group)?;
            self.next_file = self.next_file.max(group.file + 1);
            self.all.insert(key.clone(), group);
        }
        Ok(stored)
    }

    /// Notes that something was pushed that is no page.
    pub(super) fn note_failure(&mut self, key: &Key, now: i64) {
        if let Some(group) = self.all.get_mut(key) {
            group.failed_at = now;
        }
    }

    /// Ends all series of a group, and forgets it. One that is not there is deleted already.
    pub(super) fn delete(
        &mut self,
        key: &Key,
        (store, now): (&Store, i64),
        folder: &Path,
    ) -> Result<Stored, Refused> {
        let time = self.tick(now);
        let Some(group) = self.all.get(key) else {
            return Ok(Stored::default());
        };
        let mut batch = Batch::default();
        for (labels, _) in group.series().chain(pairs(&group.times(key)?)) {
            batch.value(labels, time, stale());
        }
        let stored = batch.append(store, time)?;
        file::remove(folder, group.file)?;
        self.all.remove(key);
        Ok(stored)
    }

    /// Stores everything once more.
    pub(super) fn repeat(&mut self, store: &Store, now: i64) -> Result<Stored, Refused> {
        let time = self.tick(now);
        let mut batch = Batch::default();
        for (key, group) in &self.all {
            for (labels, value) in group.series().chain(pairs(&group.times(key)?)) {
                batch.value(labels, time, value.clone());
            }
        }
        Ok(batch.append(store, time)?)
    }

    fn check_room(&self, key: &Key, group: &Group) -> Result<(), Refused> {
        let others = self.all.iter().filter(|(have, _)| *have != key);
        let (mut groups, mut series) = (1, group.series().count());
        for (_, other) in others {
            groups += 1;
            series += other
                .families
                .values()
                .map(|it| it.series.len())
                .sum::<usize>();
        }
        if groups > GROUPS_MAX || series > SERIES_MAX {
            let text = format!(
                "more than {GROUPS_MAX} groups or {SERIES_MAX} series are pushed; delete some"
            );
            return Err(Refused::Invalid(text));
        }
        Ok(())
    }
}

impl Group {
    fn has(&self, labels: &Labels) -> bool {
        let mut families = self.families.values();
        families.any(|family| family.series.contains_key(labels))
    }
}

fn pairs(times: &[(Labels, Value)]) -> impl Iterator<Item = (&Labels, &Value)> {
    times.iter().map(|(labels, value)| (labels, value))
}

/// What ends a series.
fn stale() -> Value {
    Value::Float(f64::from_bits(signals::STALE))
}
