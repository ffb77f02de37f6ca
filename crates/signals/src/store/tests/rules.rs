//! Which samples are taken, and what is kept beside them.

use std::sync::Arc;

use super::*;
use crate::extra::Exemplar;
use crate::histogram::{Histogram, ResetHint, Span};
use crate::number::STALE;

fn store() -> Store {
    open(&SimulatedDisk::default()).unwrap().0
}

fn refusal(store: &Store, labels: &Labels, time: i64, value: f64) -> Option<Refusal> {
    let appended = store
        .append(&[entry(labels, time, value)], 100 * HOUR)
        .unwrap();
    appended.refusals.first().map(|(_, refusal)| *refusal)
}

#[test]
fn duplicates_late_and_early_samples() {
    let store = store();
    let one = labels("metric", 1);
    assert_eq!(refusal(&store, &one, 10 * HOUR, 1.0), None);
    assert_eq!(
        refusal(&store, &one, 10 * HOUR, 1.0),
        None,
        "the same again"
    );
    assert_eq!(
        refusal(&store, &one, 10 * HOUR, 2.0),
        Some(Refusal::Duplicate)
    );
    assert_eq!(
        refusal(&store, &one, 10 * HOUR, -1.0),
        Some(Refusal::Duplicate)
    );
    assert_eq!(refusal(&store, &one, 9 * HOUR, 1.0), None, "late");
    assert_eq!(refusal(&store, &one, 9 * HOUR, 1.0), None, "late again");
    assert_eq!(
        refusal(&store, &one, 9 * HOUR, 1.5),
        Some(Refusal::Duplicate)
    );
    assert_eq!(
        refusal(&store, &one, 9 * HOUR - 1, 1.0),
        Some(Refusal::TooOld)
    );
    assert_eq!(
        refusal(&store, &labels("metric", 2), 9 * HOUR - 1, 1.0),
        Some(Refusal::TooOld)
    );
    assert_eq!(refusal(&store, &one, 100 * HOUR + 10 * MINUTE, 1.0), None);
    assert_eq!(
        refusal(&store, &one, 100 * HOUR + 10 * MINUTE + 1, 1.0),
        Some(Refusal::TooNew)
    );
    assert_eq!(
        Refusal::Duplicate.to_string(),
        "duplicate sample for timestamp"
    );
}

#[test]
fn a_series_is_found_by_the_id_that_it_was_given_also_when_that_is_forgotten() {
    let store = store();
    let one = labels("metric", 1);
    let first = append_one(&store, &one, 1, 1.0).unwrap();
    let id = first.ids[0];
    assert!(id.is_some());
    let again = store
        .append(
            &[Entry {
                id,
                ..entry(&one, 2, 2.0)
            }],
            2,
        )
        .unwrap();
    assert_eq!(again.ids, first.ids);
    store.flush_all().unwrap();
    let after = store
        .append(
            &[Entry {
                id,
                ..entry(&one, 3, 3.0)
            }],
            3,
        )
        .unwrap();
    assert_ne!(after.ids, first.ids);
    assert_eq!(read_all(&store).len(), 3);
    assert_eq!(store.statistics().series, 1);
}

#[test]
fn too_many_series_are_refused_and_those_that_are_there_go_on() {
    let options = Options {
        series_max: 1,
        ..Options::default()
    };
    let (store, _) = Store::open(Arc::new(SimulatedDisk::default()), options).unwrap();
    assert_eq!(refusal(&store, &labels("metric", 1), 1, 1.0), None);
    assert_eq!(
        refusal(&store, &labels("metric", 2), 1, 1.0),
        Some(Refusal::ManySeries)
    );
    assert_eq!(refusal(&store, &labels("metric", 1), 2, 1.0), None);
}

fn histogram(count: f64) -> Histogram {
    Histogram {
        schema: 3,
        reset_hint: ResetHint::NotReset,
        zero_threshold: 1e-128,
        zero_count: 2.0,
        count,
        sum: 18.4,
        positive_spans: vec![
            Span {
                offset: -2,
                length: 2,
            },
            Span {
                offset: 5,
                length: 1,
            },
        ],
        positive: vec![1.0, 2.0, count],
        ..Histogram::default()
    }
}

/// What the test below has put in.
fn check_histograms(store: &Store) {
    let mut selection = store.select(&[], 0, i64::MAX).unwrap();
    let mut samples = SeriesSamples::default();
    assert_eq!(selection.len(), 2);
    selection.read(0, &mut samples).unwrap();
    assert_eq!(samples.histograms.len(), 400);
    assert_eq!(samples.floats.times.len(), 400);
    for (step, (time, start, value)) in (0_i64..).zip(&samples.histograms) {
        assert_eq!(
            (*time, **value == histogram(step as f64)),
            (step * MINUTE, true)
        );
        assert_eq!(*start, if step < 200 { 7 } else { 200 * MINUTE - 1 });
    }
    assert!(
        samples
            .floats
            .values
            .iter()
            .all(|value| value.to_bits() == STALE)
    );
    selection.read(1, &mut samples).unwrap();
    assert_eq!(samples.floats.values[100].to_bits(), STALE);
    assert_eq!(samples.floats.start(199), 7);
    assert_eq!(samples.floats.start(200), 200 * MINUTE - 1);
    assert_eq!(samples.floats.times.len(), samples.floats.starts.len());
}

#[test]
fn histograms_start_times_and_staleness_survive_log_flush_and_compaction() {
    let disk = SimulatedDisk::default();
    let (store, _) = open(&disk).unwrap();
    let one = labels("metric", 1);
    let both = labels("both", 1);
    for step in 0..400_i64 {
        let time = step * MINUTE;
        let start = if step < 200 { 7 } else { 200 * MINUTE - 1 };
        let value = if step == 100 {
            f64::from_bits(STALE)
        } else {
            step as f64
        };
        let batch = [
            Entry {
                start,
                ..entry(&one, time, value)
            },
            Entry {
                value: Value::Histogram(Arc::new(histogram(step as f64))),
                start,
                ..entry(&both, time, 0.0)
            },
            entry(&both, time + 1, f64::from_bits(STALE)),
        ];
        let appended = store.append(&batch, time).unwrap();
        assert_eq!(appended.taken, 3, "{appended:?}");
        let batch = [entry(&both, time, 1.0)];
        assert_eq!(
            store.append(&batch, time).unwrap().refused,
            1,
            "a number where a histogram is"
        );
    }
    check_histograms(&store);
    drop(store);
    let (store, opened) = open(&disk).unwrap();
    assert_eq!(opened.replayed, 1_200);
    check_histograms(&store);
    assert!(store.maintain(0).unwrap().flushed > 0);
    check_histograms(&store);
    store.compact().unwrap();
    check_histograms(&store);
    assert_eq!(store.statistics().segments, 1);
    store.verify().unwrap();
    drop(store);
    let (store, opened) = open(&disk).unwrap();
    assert_eq!(opened.replayed, 0);
    check_histograms(&store);
}

#[test]
fn exemplars_and_metadata_survive_restarts_and_flushes() {
    let disk = SimulatedDisk::default();
    let (store, _) = open(&disk).unwrap();
    let one = labels("metric", 1);
    let exemplar = Exemplar {
        series: one.clone(),
        labels: Labels::new([("trace_id", "abc")]).unwrap(),
        value: 0.5,
        timestamp: 5,
    };
    assert_eq!(
        store
            .append_exemplars(vec![exemplar.clone(), exemplar.clone()])
            .unwrap(),
        1
    );
    let metadata = Metadata {
        kind: "counter".to_owned(),
        help: "é".repeat(1_000),
        unit: String::new(),
    };
    store
        .append_metadata(vec![("metric".to_owned(), metadata)])
        .unwrap();
    append_one(&store, &one, 10 * HOUR, 1.0).unwrap();
    let check = |store: &Store| {
        assert_eq!(
            store.exemplars(&[Matcher::equal("number", "1")], 0, 10),
            std::slice::from_ref(&exemplar)
        );
        assert!(
            store
                .exemplars(&[Matcher::equal("number", "2")], 0, 10)
                .is_empty()
        );
        assert_eq!(store.metadata()["metric"].help.len(), 1_024);
    };
    check(&store);
    for _ in 0..2 {
        store.flush_all().unwrap();
        check(&store);
    }
    drop(store);
    let (store, _) = open(&disk).unwrap();
    check(&store);
}

#[test]
fn names_values_and_statistics() {
    let disk = SimulatedDisk::default();
    let (store, _) = open(&disk).unwrap();
    for number in 0..400_u16 {
        append_one(&store, &labels("old", number.into()), number.into(), 1.0).unwrap();
    }
    store.flush_all().unwrap();
    append_one(&store, &labels("new", 7), 500, 1.0).unwrap();
    let all = store.label_names(&[], 0, 1_000).unwrap();
    assert_eq!(all, [METRIC_NAME, "job", "number"]);
    assert_eq!(
        store.label_values(METRIC_NAME, &[], 0, 1_000).unwrap(),
        ["new", "old"]
    );
    assert_eq!(
        store.label_values("number", &[], 0, 1_000).unwrap().len(),
        400
    );
    let new = [Matcher::equal(METRIC_NAME, "new")];
    assert_eq!(store.series(&new, 0, 1_000).unwrap(), [labels("new", 7)]);
    assert!(store.series(&new, 0, 499).unwrap().is_empty());
    assert_eq!(store.label_values("number", &new, 0, 1_000).unwrap(), ["7"]);
    assert_eq!(store.label_names(&new, 0, 1).unwrap(), Vec::<String>::new());
    assert!(
        store
            .label_values("none", &[], 0, 1_000)
            .unwrap()
            .is_empty()
    );
    let pattern = Matcher::new("number", crate::Operator::Matches, "39.").unwrap();
    assert_eq!(store.select(&[pattern], 0, 1_000).unwrap().len(), 10);
    let statistics = store.statistics();
    assert_eq!(
        (
            statistics.series,
            statistics.segments,
            statistics.segment_samples
        ),
        (1, 1, 400)
    );
    assert_eq!(statistics.metrics, [("new".to_owned(), 1)]);
}

#[test]
fn a_selection_is_of_its_moment() {
    let store = store();
    let one = labels("metric", 1);
    for step in 0..100 {
        append_one(&store, &one, step * 6 * MINUTE, step as f64).unwrap();
    }
    let mut before = store.select(&[], 0, i64::MAX).unwrap();
    store.maintain(0).unwrap();
    let mut between = store.select(&[], 0, i64::MAX).unwrap();
    assert_eq!(
        (before.samples_at_most(), between.samples_at_most()),
        (100, 100)
    );
    store.delete(&[], 0, i64::MAX).unwrap();
    store.compact().unwrap();
    assert!(read_all(&store).is_empty());
    assert!(store.series(&[], 0, i64::MAX).unwrap().is_empty());
    let mut samples = SeriesSamples::default();
    for selection in [&mut before, &mut between] {
        assert!(selection.read(0, &mut samples).unwrap());
        assert_eq!(samples.floats.times.len(), 100);
    }
    assert!(!before.read(1, &mut samples).unwrap());
}

#[test]
fn old_and_surplus_segments_go() {
    let disk = SimulatedDisk::default();
    let options = Options {
        retention_ms: Some(24 * HOUR),
        compaction_ms: vec![],
        ..Options::default()
    };
    let (store, _) = Store::open(Arc::new(disk.clone()), options).unwrap();
    let one = labels("metric", 1);
    for hour in 0..20 {
        append_one(&store, &one, hour * HOUR, 1.0).unwrap();
    }
    store.maintain(20 * HOUR).unwrap();
    let before = store.statistics().segments;
    assert!(before > 5);
    let upkeep = store.maintain(31 * HOUR).unwrap();
    assert_eq!(upkeep.retired, 3, "0 to 5 hours");
    assert_eq!(read_all(&store).len(), 14);
    drop(store);
    let bytes = store_bytes(&disk);
    let options = Options {
        retention_bytes: Some(bytes / 2),
        compaction_ms: vec![],
        ..Options::default()
    };
    let (store, _) = Store::open(Arc::new(disk.clone()), options).unwrap();
    store.maintain(31 * HOUR).unwrap();
    assert!(store.statistics().segment_bytes <= bytes / 2);
    let left = read_all(&store);
    assert!(left.contains_key(&(one, 19 * HOUR)), "the newest stay");
    assert!(store_bytes(&disk) <= bytes / 2, "the files are gone");
}

#[test]
fn segments_span_at_most_a_tenth_of_the_retention() {
    let check = |retention_days: i64, expected: usize| {
        let options = Options {
            retention_ms: Some(retention_days * 24 * HOUR),
            ..Options::default()
        };
        let (store, _) = Store::open(Arc::new(SimulatedDisk::default()), options).unwrap();
        let one = labels("metric", 1);
        for hour in 0..20 * 24 + 3 {
            append_one(&store, &one, hour * HOUR, 1.0).unwrap();
            if hour % 12 == 2 {
                store.maintain(0).unwrap();
            }
        }
        assert_eq!(store.statistics().segments, expected, "{retention_days}");
        assert_eq!(read_all(&store).len(), 483);
    };
    check(1_000, 2);
    check(20, 20);
}

fn store_bytes(disk: &SimulatedDisk) -> u64 {
    let files = disk.contents();
    let segments = files
        .iter()
        .filter(|(name, _)| name.starts_with("segments/"));
    segments.map(|(_, bytes)| bytes.len() as u64).sum()
}

#[test]
fn files_of_the_log_go_when_their_samples_are_in_segments() {
    let disk = SimulatedDisk::default();
    let options = Options {
        log_file_bytes: 200,
        ..Options::default()
    };
    let (store, _) = Store::open(Arc::new(disk.clone()), options).unwrap();
    let one = labels("metric", 1);
    let logs = || {
        disk.contents()
            .keys()
            .filter(|name| name.starts_with("wal/"))
            .count()
    };
    let mut most = 0;
    for step in 0..600 {
        append_one(
            &store,
            &one,
            step * 3 * MINUTE,
            f64::from_bits(0x3ff1_2345_6789_0000 + step.cast_unsigned()),
        )
        .unwrap();
        most = most.max(logs());
        if step % 50 == 49 {
            store.maintain(0).unwrap();
        }
    }
    assert!(most > 5, "{most}");
    assert!(logs() < most, "{}", logs());
    let before = read_all(&store);
    assert_eq!(before.len(), 600);
    drop(store);
    let (store, opened) = open(&disk).unwrap();
    assert!(opened.replayed < 200, "{opened:?}");
    assert_eq!(read_all(&store), before);
}

#[test]
fn threads_append_while_others_read_flush_and_compact() {
    let disk = SimulatedDisk::default();
    let (store, _) = open(&disk).unwrap();
    let clock = std::sync::atomic::AtomicI64::new(0);
    let write = |one: &Labels| {
        let mut count = 0;
        while count < 200 {
            let time = clock.fetch_add(2 * MINUTE, std::sync::atomic::Ordering::Relaxed);
            // A thread that had to wait for long is late.
            count += append_one(&store, one, time, 1.0).unwrap().taken;
            // What was acknowledged is seen by who asks next.
            let matcher = Matcher::equal("number", one.get("number"));
            let seen = read(&store, &[matcher], 0, i64::MAX).unwrap();
            assert_eq!(seen.len(), count);
        }
    };
    std::thread::scope(|scope| {
        for number in 0..4 {
            let write = &write;
            scope.spawn(move || write(&labels("metric", number)));
        }
        let store = &store;
        scope.spawn(move || {
            for _ in 0..100 {
                store.maintain(0).unwrap();
                store.verify().unwrap();
            }
        });
    });
    store.maintain(0).unwrap();
    assert!(store.statistics().segments > 0);
    drop(store);
    let (store, _) = open(&disk).unwrap();
    assert_eq!(read_all(&store).len(), 800);
}
