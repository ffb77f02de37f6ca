//! Series are found by what was sent, and forgotten.

use std::sync::Arc;

use signals::disk::RealDisk;
use signals::{Entry, Labels, Options, Store, Value};

use super::{GENERATION_MS, Known, News, Pairs, SeriesCache, sent};

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
        sent: None,
    }
}

fn learn(cache: &SeriesCache, known: &Known, now: i64) {
    let hash = cache.hash(UP);
    let known = known.clone();
    cache.learn(vec![News { hash, known }], now);
}

#[test]
fn receive_cache_finds_only_the_very_labels() {
    let cache = SeriesCache::default();
    let known = known();
    let hash = cache.hash(UP);
    assert!(cache.reader()(hash, UP).is_none());
    learn(&cache, &known, 0);
    let (found, is_aging) = cache.reader()(hash, UP).unwrap();
    assert_eq!(
        (&found.labels, found.id, is_aging),
        (&known.labels, known.id, false)
    );
    let others: [&Pairs<'_>; 4] = [
        &[(b"__name__", b"up")],
        &[(b"__name__", b"up"), (b"job", b"nodf")],
        &[(b"__name__", b"up"), (b"job", b"node"), (b"x", b"y")],
        &[(b"job", b"node"), (b"__name__", b"up")],
    ];
    for other in others {
        // Even if somebody found a collision.
        assert!(cache.reader()(hash, other).is_none(), "{other:?}");
    }
}

#[test]
fn receive_cache_finds_labels_in_the_order_of_their_sender() {
    let cache = SeriesCache::default();
    let known = known();
    let ways: [&Pairs<'_>; 2] = [
        &[(b"job", b"node"), (b"__name__", b"up")],
        &[(b"__name__", b"up"), (b"empty", b""), (b"job", b"node")],
    ];
    assert_eq!(sent(&known.labels, UP), None);
    for way in ways {
        let hash = cache.hash(way);
        let known = Known {
            sent: sent(&known.labels, way),
            ..known.clone()
        };
        assert!(cache.reader()(hash, way).is_none());
        cache.learn(vec![News { hash, known }], 0);
        let (found, _) = cache.reader()(hash, way).unwrap();
        assert_eq!(found.labels.get("job"), "node");
        let others: [&Pairs<'_>; 3] = [&way[1..], &[way[1], way[0]], UP];
        for other in others {
            assert!(cache.reader()(hash, other).is_none(), "{other:?}");
        }
    }
}

#[test]
fn receive_cache_forgets_what_is_silent() {
    let cache = SeriesCache::default();
    let known = known();
    let hash = cache.hash(UP);
    learn(&cache, &known, 0);
    let other: &Pairs<'_> = &[(b"a", b"b")];
    let tell_other = |now| {
        let other = News {
            hash: cache.hash(other),
            known: Known {
                labels: Labels::new([("a", "b")]).unwrap(),
                ..known.clone()
            },
        };
        cache.learn(vec![other], now);
    };
    tell_other(GENERATION_MS + 1);
    let (_, is_aging) = cache.reader()(hash, UP).unwrap();
    assert!(is_aging, "the next generation does not have it yet");
    tell_other(2 * GENERATION_MS + 2);
    assert!(cache.reader()(hash, UP).is_none());
}
