//! What is bounded refuses with a reason, and goes on when there is room.

use super::*;
use crate::log::QUEUE_BYTES_MAX;
use crate::store::append::BATCH_SAMPLES_MAX;

fn with(options: Options) -> (SimulatedDisk, Store) {
    let disk = SimulatedDisk::default();
    let (store, _) = Store::open(Arc::new(disk.clone()), options).unwrap();
    (disk, store)
}

/// Appends until something is full.
fn fill(store: &Store) -> (AppendError, usize) {
    let one = labels("metric", 1);
    for step in 0..100_000_i64 {
        let value = f64::from_bits(0x3ff1_0000_0000_0000 + (step * 7_919).cast_unsigned());
        if let Err(error) = append_one(store, &one, step * 1_000, value) {
            return (error, usize::try_from(step).unwrap());
        }
    }
    panic!("nothing is ever full");
}

#[test]
fn a_full_head_takes_more_after_a_flush() {
    let (disk, store) = with(Options {
        head_bytes_max: 8_000,
        ..Options::default()
    });
    let (error, count) = fill(&store);
    assert!(
        matches!(error, AppendError::HeadFull(bytes) if bytes > 8_000),
        "{error}"
    );
    assert_eq!(store.flush_all().unwrap(), 1);
    append_one(&store, &labels("metric", 1), 100_000_000, 1.0).unwrap();
    assert_eq!(read_all(&store).len(), count + 1);
    drop(store);
    assert_eq!(read_all(&open(&disk).unwrap().0).len(), count + 1);
}

#[test]
fn a_full_log_takes_more_after_a_flush() {
    let (_, store) = with(Options {
        log_bytes_max: 8_000,
        ..Options::default()
    });
    let (error, _) = fill(&store);
    assert!(
        matches!(error, AppendError::LogFull(bytes) if bytes > 8_000),
        "{error}"
    );
    store.flush_all().unwrap();
    append_one(&store, &labels("metric", 1), 100_000_000, 1.0).unwrap();
}

#[test]
fn a_long_queue_and_a_long_batch_are_refused() {
    let (_, store) = with(Options::default());
    let one = labels("metric", 1);
    let batch = vec![entry(&one, 1, 1.0); BATCH_SAMPLES_MAX + 1];
    assert!(matches!(store.append(&batch, 1), Err(AppendError::Long(_))));
    let mut records = Encoder::default();
    for time in 0..6_000_000 {
        records.float(1, time, 0.123_456_7, 0);
    }
    let records = records_of(records);
    assert!(records.bytes.len() > QUEUE_BYTES_MAX);
    let position = store.log.enqueue(records);
    assert!(matches!(
        append_one(&store, &one, 1, 1.0),
        Err(AppendError::Busy)
    ));
    store.log.wait(position).unwrap();
    append_one(&store, &one, 1, 1.0).unwrap();
}

#[test]
fn a_head_that_fills_is_flushed_early() {
    let (disk, store) = with(Options {
        head_bytes_max: 25_000,
        late_ms: 10 * MINUTE,
        ..Options::default()
    });
    let all: Vec<Labels> = (0..10).map(|number| labels("metric", number)).collect();
    let mut flushed = 0;
    for step in 0..1_000_i64 {
        let value =
            |at: i64| f64::from_bits(0x3ff1_0000_0000_0000 + (step * 7_919 + at).cast_unsigned());
        let batch: Vec<Entry<'_>> = all
            .iter()
            .zip(0..)
            .map(|(one, at)| entry(one, step * 5_000 + at, value(at)))
            .collect();
        store.append(&batch, 100 * HOUR).unwrap();
        if step % 20 == 0 {
            flushed += store.maintain(0).unwrap().flushed;
        }
    }
    assert!(
        flushed > 1,
        "83 minutes are less than a stretch, and the head is small: {flushed}"
    );
    let content = read_all(&store);
    assert_eq!(content.len(), 10_000);
    drop(store);
    let (store, _) = open(&disk).unwrap();
    assert_eq!(read_all(&store), content);
    store.compact().unwrap();
    assert_eq!(read_all(&store), content);
}

#[test]
fn many_deletions_are_worked_into_segments() {
    let (_, store) = with(Options::default());
    let one = labels("metric", 1);
    for step in 0..100 {
        append_one(&store, &one, step, 1.0).unwrap();
    }
    store.flush_all().unwrap();
    for step in 0..20 {
        store
            .delete(&[Matcher::equal("job", "test")], step * 2, step * 2)
            .unwrap();
    }
    assert_eq!(store.manifest().tombstones.len(), 20);
    let content = read_all(&store);
    assert_eq!(content.len(), 80);
    store.maintain(100).unwrap();
    assert!(store.manifest().tombstones.is_empty());
    assert_eq!(read_all(&store), content);
    assert_eq!(store.statistics().segment_samples, 80);
}

#[test]
fn deletions_of_the_same_series_become_one_where_they_touch() {
    let (_, store) = with(Options::default());
    let all = [Matcher::equal("job", "test")];
    let append = |from: i64, to: i64| {
        for step in from..to {
            append_one(&store, &labels("metric", 1), step, step as f64).unwrap();
        }
        store.flush_all().unwrap();
    };
    let delete = |start: i64, end: i64| store.delete(&all, start, end).unwrap();
    append(0, 10_000);
    // Many more than may wait, from both ends to the middle.
    for step in 0..1_500 {
        delete(step * 2, step * 2 + 1);
        delete(9_998 - step * 2, 9_999 - step * 2);
    }
    assert_eq!(store.manifest().tombstones.len(), 2);
    assert_eq!(read_all(&store).len(), 4_000);
    // What came since the last deletion stays.
    append(10_000, 10_010);
    delete(10_000, 10_004);
    assert_eq!(read_all(&store).len(), 4_005);
    delete(0, 10_004);
    assert_eq!(store.manifest().tombstones.len(), 1);
    assert_eq!(read_all(&store).len(), 5);
    let content = read_all(&store);
    store.compact().unwrap();
    assert_eq!(read_all(&store), content);
}

#[test]
fn deletions_have_a_bound_that_passes() {
    let (_, store) = with(Options::default());
    append_one(&store, &labels("metric", 1), 5, 1.0).unwrap();
    store.flush_all().unwrap();
    let delete = |number: usize| {
        let number = number.to_string();
        store.delete(&[Matcher::equal("number", &number)], 0, 9)
    };
    for number in 2..2 + TOMBSTONES_MAX {
        delete(number).unwrap();
    }
    assert!(matches!(delete(0), Err(StoreError::ManyTombstones(_))));
    // One that is there already takes no room.
    delete(2).unwrap();
    store.maintain(100).unwrap();
    delete(0).unwrap();
}

#[test]
fn long_work_ends_when_the_store_is_stopped() {
    let disk = SimulatedDisk::default();
    let (store, _) = open(&disk).unwrap();
    for time in [1, 2] {
        for number in 0..100 {
            append_one(&store, &labels("metric", number), time, 1.0).unwrap();
        }
        store.flush_all().unwrap();
    }
    append_one(&store, &labels("other", 1), 3, 1.0).unwrap();
    let content = read_all(&store);
    let mut series = 0;
    let stopped = store.compact_told(&mut |_| {
        series += 1;
        if series == 10 {
            store.stop();
        }
    });
    assert!(matches!(stopped, Err(StoreError::Stopped)), "{stopped:?}");
    assert_eq!(series, 10);
    assert!(matches!(store.maintain(9 * HOUR), Err(StoreError::Stopped)));
    // Samples are taken and read until the end.
    append_one(&store, &labels("other", 1), 4, 1.0).unwrap();
    assert!(matches!(store.flush_all(), Err(StoreError::Stopped)));
    assert_eq!(read_all(&store).len(), content.len() + 1);
    let content = read_all(&store);
    store.close().unwrap();
    drop(store);
    let (store, opened) = open(&disk).unwrap();
    assert!(opened.cut.is_none());
    assert_eq!(read_all(&store), content);
    store.compact().unwrap();
    assert_eq!(read_all(&store), content);
}

#[test]
fn a_look_at_a_store_that_somebody_has_finds_what_would_stop_its_opening() {
    let disk = SimulatedDisk::default();
    probe(&disk).unwrap();
    let (store, _) = open(&disk).unwrap();
    append_one(&store, &labels("metric", 1), 5, 1.0).unwrap();
    store.flush_all().unwrap();
    probe(&disk).unwrap();
    let folder = segment::FOLDER;
    let name = disk.list(folder).unwrap().remove(0);
    let moved = |from: &str, to: &str| disk.rename(from, to).unwrap();
    moved(&format!("{folder}/{name}"), "elsewhere");
    let error = probe(&disk).unwrap_err().to_string();
    assert!(error.contains(&name), "{error}");
    moved("elsewhere", &format!("{folder}/{name}"));
    probe(&disk).unwrap();
    let file = disk.create("MANIFEST.other").unwrap();
    file.append(b"landline-signals 2\n").unwrap();
    moved("MANIFEST.other", "MANIFEST");
    assert!(matches!(probe(&disk), Err(StoreError::Damage(_))));
    store.maintain(9 * HOUR).unwrap();
}
