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
