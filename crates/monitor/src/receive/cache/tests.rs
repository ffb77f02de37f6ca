//! Series are found by what was sent, and forgotten.

use std::sync::Arc;

use signals::disk::RealDisk;
use signals::{Entry, Labels, Options, Store, Value};

use super::{GENERATION_MS, Known, Pairs, SeriesCache, built};

const UP: &Pairs<'_> = &[(b"__name__", b"up"), (b"job", b"node")];

fn known() -> Known {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::new(folder.path()));
    let (store, _) = Store::open(disk, Options::default()).unwrap();
    let labels = Labels::new([("__name__", "up"), ("job", "node")]).unwrap();
    let entry = Entry {
        id: None,
        labels: &labels,
        timestamp: 1,
        start: 0,
        value: Value::Float(1.0),
    };
    let appended = store.append(&[entry], 1).unwrap();
    Known {
        id: appended.ids[0].unwrap(),
        labels,
        metadata: 0,
    }
}

fn key(pairs: &Pairs<'_>) -> Vec<u8> {
    let mut key = Vec::new();
    built(pairs, &mut key);
    key
}

fn learn(cache: &SeriesCache, keys: &[&[u8]], known: &Known, now: i64) {
    cache.learn(keys.iter().map(|key| (*key, known.clone())), now);
}

/// Whether it is known, and whether that is about to be forgotten.
fn find(cache: &SeriesCache, key: &[u8]) -> Option<bool> {
    cache.finder().find(key).map(|(_, is_aging)| is_aging)
}

#[test]
fn receive_cache_finds_only_the_very_labels() {
    let cache = SeriesCache::default();
    let known = known();
    let up = key(UP);
    assert_eq!(find(&cache, &up), None);
    learn(&cache, &[&up], &known, 0);
    let mut finder = cache.finder();
    let (found, is_aging) = finder.find(&up).unwrap();
    assert_eq!(
        (&found.labels, found.id, is_aging),
        (&known.labels, known.id, false)
    );
    drop(finder);
    let others: [&Pairs<'_>; 5] = [
        &[(b"__name__", b"up")],
        &[(b"__name__", b"up"), (b"job", b"nodf")],
        &[(b"__name__", b"up"), (b"job", b"node"), (b"x", b"y")],
        &[(b"job", b"node"), (b"__name__", b"up")],
        &[(b"__name__", b"upjob"), (b"", b"node")],
    ];
    for other in others {
        assert_eq!(find(&cache, &key(other)), None, "{other:?}");
    }
    // What a sender wrote is never taken for what was built.
    assert_eq!(find(&cache, &up[1..]), None);
}

#[test]
fn receive_cache_finds_series_in_any_order() {
    let cache = SeriesCache::default();
    let known = known();
    let keys: Vec<Vec<u8>> = (0..1_000)
        .map(|number| format!("\n{number}").into_bytes())
        .collect();
    let slices: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    // Some of them twice, as two senders at once do.
    learn(&cache, &slices[..600], &known, 0);
    learn(&cache, &slices[400..], &known, 0);
    let mut finder = cache.finder();
    let backwards = keys.iter().rev();
    let scattered = (0..1_000).map(|at| &keys[at * 7 % 1_000]);
    for key in keys.iter().chain(backwards).chain(scattered) {
        assert!(finder.find(key).is_some());
        assert!(finder.find(b"\nunknown").is_none());
    }
}

#[test]
fn receive_cache_takes_what_is_newer() {
    let cache = SeriesCache::default();
    let known = known();
    learn(&cache, &[b"\na", b"\nb"], &known, 0);
    let told = Known {
        metadata: 7,
        ..known
    };
    learn(&cache, &[b"\na"], &told, 0);
    let mut finder = cache.finder();
    let mut metadata = |key: &[u8]| finder.find(key).map(|(known, _)| known.metadata);
    assert_eq!((metadata(b"\na"), metadata(b"\nb")), (Some(7), Some(0)));
}

#[test]
fn receive_cache_forgets_what_is_silent() {
    let cache = SeriesCache::default();
    let known = known();
    learn(&cache, &[b"\na"], &known, 0);
    learn(&cache, &[b"\nb"], &known, GENERATION_MS + 1);
    assert_eq!(find(&cache, b"\na"), Some(true), "the next one has it not");
    learn(&cache, &[b"\nb"], &known, 2 * GENERATION_MS + 2);
    assert_eq!(find(&cache, b"\na"), None);
}
