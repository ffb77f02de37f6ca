//! What waits for a remote, in real folders: nothing is missing and nothing is sent twice but what was
//! under way, too much is dropped from its old end, and damage is passed over.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use base::telemetry::Metrics;
use signals::disk::RealDisk;
use signals::{Entry, Exemplar, Histogram, Labels, Metadata, Options, Store, Value};
use wire::remote_write::{Item, Request, Version};
use wire::snappy;

use super::batch::{Batch, Form};
use super::metrics::Families;
use super::queue::{Needed, Queue, QueueParts};

const LIMIT: u64 = 20_000;

/// What was sent: the series' text, the time, the bits.
type Sent = Vec<(String, i64, u64)>;

struct Case {
    folder: tempfile::TempDir,
    metrics: Metrics,
    families: Families,
}

impl Case {
    fn new() -> Self {
        let metrics = Metrics::default();
        Self {
            folder: tempfile::tempdir().unwrap(),
            families: Families::new(&metrics),
            metrics,
        }
    }

    fn store(&self) -> Store {
        let disk = RealDisk::new(&self.folder.path().join("signals"));
        let options = Options {
            keep_log: true,
            log_file_bytes: 2_000,
            free_percent_min: 0,
            ..Options::default()
        };
        Store::open(Arc::new(disk), options).unwrap().0
    }

    fn queue(&self, version: Version, limit: u64) -> Queue {
        Queue::new(QueueParts {
            name: "there".to_owned(),
            path: self.path(),
            form: Form {
                version,
                histograms: version == Version::Two,
            },
            limit,
            metrics: self.families.of("there"),
            needed: (Needed::new(1), 0),
        })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("remote").join("there.cursor")
    }

    /// The value of a metric with these labels.
    fn metric(&self, series: &str) -> u64 {
        let page = self.metrics.encode().unwrap();
        let mut lines = page.lines();
        let found = lines.find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        found.unwrap_or(0)
    }

    fn files(&self) -> Vec<PathBuf> {
        let folder = self.folder.path().join("signals").join("wal");
        let mut files: Vec<PathBuf> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files
    }
}

fn labels(number: i64) -> Labels {
    let number = number.to_string();
    Labels::new([("__name__", "things_total"), ("number", &number)]).unwrap()
}

/// Ten series at a time.
fn append(store: &Store, time: i64) -> Sent {
    let all: Vec<Labels> = (0..10).map(labels).collect();
    let value = time as f64 + 0.5;
    let entry = |labels| Entry {
        id: None,
        labels,
        timestamp: time,
        start: 0,
        value: Value::Float(value),
    };
    let batch: Vec<Entry<'_>> = all.iter().map(entry).collect();
    store.append(&batch, time).unwrap();
    let sent = |labels: &Labels| (labels.to_string(), time, value.to_bits());
    all.iter().map(sent).collect()
}

/// What a receiver reads.
fn read(batch: &Batch, version: Version) -> Sent {
    let plain = snappy::unpack(&batch.body(version).unwrap(), 64 << 20).unwrap();
    let request = Request::read(version, &plain).unwrap();
    let mut sent = Sent::new();
    let mut pairs = Vec::new();
    for series in request.series() {
        let series = series.unwrap();
        series.labels(&mut pairs).unwrap();
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        let labels = pairs.iter().map(|(name, value)| (text(name), text(value)));
        let labels = Labels::new(labels).unwrap().to_string();
        for item in series.items() {
            if let Item::Sample(sample) = item.unwrap() {
                sent.push((labels.clone(), sample.timestamp, sample.value.to_bits()));
            }
        }
    }
    sent
}

/// Everything that waits.
fn drain(queue: &mut Queue, store: &Store) -> Sent {
    let mut sent = Sent::new();
    while let Some(batch) = queue.next(store).unwrap() {
        sent.extend(read(&batch, Version::One));
        queue.done();
    }
    sent
}

fn sorted(mut sent: Sent) -> Sent {
    sent.sort();
    sent
}

#[test]
fn what_was_under_way_is_sent_again_as_it_was_and_nothing_else() {
    let case = Case::new();
    append(&case.store(), 0);
    let store = case.store();
    let mut queue = case.queue(Version::One, LIMIT);
    assert!(
        queue.next(&store).unwrap().is_none(),
        "it begins with what comes"
    );
    let (mut taken, mut sent) = (Sent::new(), Sent::new());
    (1..=5).for_each(|time| taken.extend(append(&store, time)));
    sent.extend(drain(&mut queue, &store));
    (6..=9).for_each(|time| taken.extend(append(&store, time)));
    let batch = queue.next(&store).unwrap().unwrap();
    let under_way = read(&batch, Version::One);
    // A kill: nobody knows whether the remote has got it. More comes.
    drop((queue, store));
    let store = case.store();
    let more = append(&store, 10);
    let mut queue = case.queue(Version::One, LIMIT);
    let again = queue.next(&store).unwrap().unwrap();
    assert_eq!(read(&again, Version::One), under_way);
    queue.done();
    sent.extend(under_way);
    taken.extend(more);
    sent.extend(drain(&mut queue, &store));
    assert_eq!(sorted(sent), sorted(taken));
    // An end in order sends nothing again.
    drop((queue, store));
    let store = case.store();
    let mut queue = case.queue(Version::One, LIMIT);
    assert!(queue.next(&store).unwrap().is_none());
    assert_eq!(
        case.metric("landline_remote_queued_bytes{remote=\"there\"}"),
        0
    );
}

#[test]
fn the_oldest_is_dropped_and_counted_when_too_much_waits() {
    let case = Case::new();
    let store = case.store();
    let mut queue = case.queue(Version::One, LIMIT);
    assert!(queue.next(&store).unwrap().is_none());
    let mut taken = append(&store, 1);
    assert!(queue.next(&store).unwrap().is_some());
    assert!(!queue.trim(&store).unwrap(), "there is room");
    (2..=1_000).for_each(|time| taken.extend(append(&store, time)));
    assert!(
        queue.trim(&store).unwrap(),
        "what was under way is the oldest"
    );
    let sent = drain(&mut queue, &store);
    let dropped = case.metric("landline_remote_dropped_total{remote=\"there\",reason=\"full\"}");
    let dropped = usize::try_from(dropped).unwrap();
    assert!(dropped > 1_000, "{dropped}");
    assert_eq!(dropped + sent.len(), taken.len());
    assert_eq!(sorted(sent), sorted(taken[dropped..].to_vec()));
    // The store does not need the files, and nobody else does.
    store.flush_all().unwrap();
    append(&store, 1_001);
    drain(&mut queue, &store);
    assert!(case.files().len() <= 2, "{:?}", case.files());
}

#[test]
fn a_flipped_byte_is_counted_and_the_rest_is_sent() {
    let case = Case::new();
    let store = case.store();
    let mut queue = case.queue(Version::One, 1 << 30);
    assert!(queue.next(&store).unwrap().is_none());
    let mut taken = Sent::new();
    (1..=200).for_each(|time| taken.extend(append(&store, time)));
    let files = case.files();
    let victim = &files[files.len() / 2];
    let mut content = base::files::read_limited(victim, 1 << 20).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 0x40;
    fs::write(victim, content).unwrap();
    let sent = sorted(drain(&mut queue, &store));
    assert_eq!(sent.len(), taken.len() - 10, "a frame is lost");
    assert!(sent.iter().all(|one| taken.contains(one)));
    assert_eq!(
        case.metric("landline_remote_damaged_total{remote=\"there\"}"),
        1
    );
}

#[test]
fn without_its_mark_everything_that_is_there_is_sent() {
    let case = Case::new();
    let store = case.store();
    let mut queue = case.queue(Version::One, LIMIT);
    assert!(queue.next(&store).unwrap().is_none());
    let taken = append(&store, 1);
    drain(&mut queue, &store);
    fs::write(case.path(), "something else").unwrap();
    let mut queue = case.queue(Version::One, LIMIT);
    assert_eq!(sorted(drain(&mut queue, &store)), sorted(taken));
}

#[test]
fn the_log_has_its_bound_when_nothing_can_be_noted() {
    let case = Case::new();
    let store = case.store();
    // A folder stands where the file should be.
    fs::create_dir_all(case.path()).unwrap();
    let mut queue = case.queue(Version::One, LIMIT);
    for time in 1..=1_000 {
        append(&store, time);
        if time % 100 == 0 {
            store.flush_all().unwrap();
            let error = queue.next(&store).unwrap_err();
            assert!(error.to_string().contains("there.cursor"), "{error}");
        }
    }
    let files = case.files().into_iter();
    let bytes: u64 = files.map(|file| file.metadata().unwrap().len()).sum();
    assert!(bytes < 2 * LIMIT, "{bytes}");
}

fn a_histogram() -> Histogram {
    Histogram {
        count: 3.0,
        sum: 1.5,
        zero_count: 3.0,
        zero_threshold: 0.1,
        ..Histogram::default()
    }
}

#[test]
fn version_two_says_more() {
    let case = Case::new();
    let store = case.store();
    let mut queue = case.queue(Version::Two, LIMIT);
    assert!(queue.next(&store).unwrap().is_none());
    let histogram = a_histogram();
    let native = Labels::new([("__name__", "native")]).unwrap();
    let entry = |labels, start, value| Entry {
        id: None,
        labels,
        timestamp: 7,
        start,
        value,
    };
    let one = labels(1);
    let batch = [
        entry(&one, 3, Value::Float(f64::from_bits(signals::STALE))),
        entry(&native, 0, Value::Histogram(Arc::new(histogram.clone()))),
    ];
    store.append(&batch, 7).unwrap();
    let exemplar = Exemplar {
        series: one.clone(),
        labels: Labels::new([("trace_id", "abc")]).unwrap(),
        value: 0.25,
        timestamp: 6,
    };
    store.append_exemplars(vec![exemplar]).unwrap();
    let known = Metadata {
        kind: "counter".to_owned(),
        help: "Things.".to_owned(),
        unit: String::new(),
    };
    let metadata = vec![("things".to_owned(), known)];
    store.append_metadata(metadata).unwrap();
    // The next file begins with what was said already.
    store.flush_all().unwrap();
    let batch = queue.next(&store).unwrap().unwrap();
    let plain = snappy::unpack(&batch.body(Version::Two).unwrap(), 1 << 20).unwrap();
    let request = Request::read(Version::Two, &plain).unwrap();
    let mut found = BTreeMap::new();
    for series in request.series() {
        let series = series.unwrap();
        let mut pairs = Vec::new();
        series.labels(&mut pairs).unwrap();
        let items: Vec<Item<'_>> = series.items().map(Result::unwrap).collect();
        found.insert(pairs[0].1.to_vec(), (items, series.metadata().unwrap()));
    }
    let (items, said) = &found[&b"things_total"[..]];
    assert_eq!(said.unwrap().help, b"Things.");
    let [Item::Sample(sample), Item::Exemplar(exemplar)] = items.as_slice() else {
        panic!("{items:?}");
    };
    assert_eq!(sample.value.to_bits(), signals::STALE);
    assert_eq!((sample.timestamp, sample.start), (7, 3));
    assert_eq!((exemplar.value, exemplar.timestamp), (0.25, 6));
    let (items, _) = &found[&b"native"[..]];
    let [Item::Histogram(sample)] = items.as_slice() else {
        panic!("{items:?}");
    };
    assert_eq!(
        crate::receive::convert::histogram(sample.histogram.clone()),
        histogram
    );
    queue.done();
    assert!(
        queue.next(&store).unwrap().is_none(),
        "nothing is said twice"
    );
}

#[test]
fn a_refused_batch_is_halved_down_to_the_sample() {
    let case = Case::new();
    let store = case.store();
    let mut queue = case.queue(Version::One, LIMIT);
    assert!(queue.next(&store).unwrap().is_none());
    let taken: Sent = (1..=3).flat_map(|time| append(&store, time)).collect();
    let batch = queue.next(&store).unwrap().unwrap();
    let (mut parts, mut leaves) = (vec![batch], Sent::new());
    while let Some(part) = parts.pop() {
        let sent = read(&part, Version::One);
        match part.halves() {
            Some(halves) => parts.extend(halves),
            None => {
                assert!(sent.len() <= 1);
                leaves.extend(sent);
            }
        }
    }
    assert_eq!(sorted(leaves), sorted(taken));
}
