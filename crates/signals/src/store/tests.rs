//! The whole store on a simulated disk: against a model, with the power cut, with flipped bits,
//! with failing operations.

mod bounds;
mod failures;
mod far;
mod follow;
mod mix;
mod model;
mod offline;
mod power;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::disk::simulated::SimulatedDisk;
use crate::labels::METRIC_NAME;
use crate::matcher::Matcher;
use crate::segment::SeriesSamples;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// All samples: labels, time, bits.
type Content = BTreeMap<(Labels, i64), u64>;

use crate::labels::Labels;

fn labels(metric: &str, number: usize) -> Labels {
    let number = number.to_string();
    Labels::new([(METRIC_NAME, metric), ("number", &number), ("job", "test")]).unwrap()
}

fn entry(labels: &Labels, timestamp: i64, value: f64) -> Entry<'_> {
    Entry {
        id: None,
        labels,
        timestamp,
        start: 0,
        value: Value::Float(value),
    }
}

fn open(disk: &SimulatedDisk) -> Result<(Store, Opened), StoreError> {
    Store::open(Arc::new(disk.clone()), Options::default())
}

fn append_one(
    store: &Store,
    labels: &Labels,
    timestamp: i64,
    value: f64,
) -> Result<Appended, AppendError> {
    store.append(&[entry(labels, timestamp, value)], timestamp)
}

fn read(store: &Store, matchers: &[Matcher], start: i64, end: i64) -> Result<Content, StoreError> {
    let mut selection = store.select(matchers, start, end)?;
    let all: Vec<Labels> = selection.labels().cloned().collect();
    assert!(
        all.is_sorted_by(|left, right| left < right),
        "sorted, each once"
    );
    let mut content = Content::new();
    let mut samples = SeriesSamples::default();
    for (at, labels) in all.into_iter().enumerate() {
        assert!(selection.read(at, &mut samples)?);
        let times = &samples.floats.times;
        assert!(
            times.is_sorted_by(|left, right| left < right),
            "no time twice"
        );
        assert_eq!(times.len(), samples.floats.values.len());
        for (time, value, _) in samples.floats.iter() {
            assert!((start..=end).contains(&time));
            content.insert((labels.clone(), time), value.to_bits());
        }
    }
    Ok(content)
}

fn read_all(store: &Store) -> Content {
    read(store, &[], i64::MIN, i64::MAX).unwrap()
}

/// What may be there: for each sample the values, or its absence, that are right.
#[derive(Debug, Default, Clone)]
struct Ledger(BTreeMap<(Labels, i64), BTreeSet<Option<u64>>>);

impl Ledger {
    /// Adds samples that were acknowledged, or perhaps not.
    fn appended(&mut self, samples: &[(Labels, i64, f64)], is_acknowledged: bool) {
        for (labels, time, value) in samples {
            let key = (labels.clone(), *time);
            let right = self.0.entry(key).or_insert_with(|| [None].into());
            if is_acknowledged {
                right.clear();
            }
            right.insert(Some(value.to_bits()));
        }
    }

    fn deleted(&mut self, matcher: &Matcher, start: i64, end: i64, is_acknowledged: bool) {
        for ((labels, time), right) in &mut self.0 {
            if (start..=end).contains(time) && matcher.matches(labels.get(matcher.name())) {
                if is_acknowledged {
                    right.clear();
                }
                right.insert(None);
            }
        }
    }

    /// What is older may be gone.
    fn forget_before(&mut self, end: i64) {
        for ((_, time), right) in &mut self.0 {
            if *time < end {
                right.insert(None);
            }
        }
    }

    fn check(&self, content: &Content, what: &str) {
        for (key, right) in &self.0 {
            let have = content.get(key).copied();
            assert!(
                right.contains(&have),
                "{what}: {key:?} is {have:?}, not one of {right:?}"
            );
        }
        for key in content.keys() {
            assert!(self.0.contains_key(key), "{what}: {key:?} was never sent");
        }
    }
}

/// Does all that a store does: appends over hours, late samples, repetitions, upkeep, deletion,
/// a restart. What fails is passed over, so that a store that heals itself goes on.
fn workload(disk: &SimulatedDisk, ledger: &mut Ledger) -> Result<(), StoreError> {
    let (store, _) = open(disk)?;
    for step in 0..6 {
        batch(&store, ledger, step);
    }
    store
        .append_metadata(vec![("metric".to_owned(), Metadata::default())])
        .ok();
    store.maintain(9 * HOUR).ok();
    batch(&store, ledger, 6);
    delete(&store, ledger, 30 * MINUTE, 3 * HOUR);
    store.maintain(9 * HOUR).ok();
    batch(&store, ledger, 7);
    store.flush_all().ok();
    batch(&store, ledger, 8);
    store.close().ok();
    drop(store);
    let (store, _) = open(disk)?;
    batch(&store, ledger, 9);
    store.maintain(9 * HOUR).ok();
    store.compact().ok();
    batch(&store, ledger, 10);
    store.maintain(9 * HOUR).ok();
    Ok(())
}

use crate::extra::Metadata;

fn batch(store: &Store, ledger: &mut Ledger, step: i64) {
    let mut samples = Vec::new();
    for number in 0..3 {
        let labels = labels("metric", number);
        for minute in [0, 10, 20, 30] {
            let time = step * 40 * MINUTE + minute * MINUTE;
            samples.push((labels.clone(), time, time as f64 / 7.0));
        }
        // A late one, and the last one again.
        let late = step * 40 * MINUTE + 5 * MINUTE;
        samples.push((labels.clone(), late, 1.5));
        samples.push((labels, late, 1.5));
    }
    let soon = soon(store, ledger, step);
    let entries: Vec<Entry<'_>> = samples.iter().map(|(l, t, v)| entry(l, *t, *v)).collect();
    let result = store.append(&entries, 100 * HOUR);
    // What came before it is on disk with it.
    ledger.appended(&soon, result.is_ok());
    if let Ok(appended) = &result {
        assert_eq!(appended.refused, 0, "{:?}", appended.refusals);
    }
    ledger.appended(&samples, result.is_ok());
}

/// Samples of which nobody is told.
fn soon(store: &Store, ledger: &mut Ledger, step: i64) -> Vec<(Labels, i64, f64)> {
    let samples = vec![(labels("soon", 0), step * 40 * MINUTE, 2.5)];
    ledger.appended(&samples, false);
    let (labels, time, value) = &samples[0];
    let result = store.append_soon(&[entry(labels, *time, *value)], 100 * HOUR);
    if result.is_ok() { samples } else { Vec::new() }
}

fn delete(store: &Store, ledger: &mut Ledger, start: i64, end: i64) {
    let matcher = Matcher::equal("number", "1");
    let result = store.delete(std::slice::from_ref(&matcher), start, end);
    ledger.deleted(&matcher, start, end, result.is_ok());
}
