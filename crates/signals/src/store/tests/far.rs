//! Segments that become objects: moved, read by range, retired; with the power cut anywhere, with
//! objects that are away, damaged, or read while they go.

use std::io::ErrorKind;

use super::*;
use crate::check::{check, repair};
use crate::disk::simulated::Cut;
use crate::objects::simulated::SimulatedObjects;

/// When everything that is in segments is old.
const LATER: i64 = 30 * HOUR;

fn options(objects: &SimulatedObjects) -> Options {
    Options {
        objects: Some(Arc::new(objects.clone())),
        objects_after_ms: Some(4 * HOUR),
        retention_ms: Some(100 * HOUR),
        ..Options::default()
    }
}

fn open_far(disk: &SimulatedDisk, objects: &SimulatedObjects) -> Result<Store, StoreError> {
    Store::open(Arc::new(disk.clone()), options(objects)).map(|(store, _)| store)
}

/// A store with four segments, of which three are objects, and its objects.
fn moved() -> (SimulatedDisk, SimulatedObjects, Store, Content) {
    let disk = SimulatedDisk::default();
    let objects = SimulatedObjects::default().copied(&disk, 1);
    let store = open_far(&disk, &objects).unwrap();
    for step in 0..12 {
        batch(&store, &mut Ledger::default(), step);
    }
    store.flush_all().unwrap();
    let content = read_all(&store);
    let before = store.segment_facts();
    assert_eq!((before.len(), files(&disk, ".seg")), (4, 4));
    // The last one is not old enough.
    let now = before[3].last + 4 * HOUR;
    while store.move_next(now).unwrap().is_some() {}
    (disk, objects, store, content)
}

/// How many files of segments have this ending.
fn files(disk: &SimulatedDisk, ending: &str) -> usize {
    let contents = disk.contents();
    let names = contents.keys();
    names.filter(|name| name.ends_with(ending)).count()
}

#[test]
fn old_segments_become_objects_and_are_read_as_before() {
    let (disk, objects, store, content) = moved();
    assert_eq!((files(&disk, ".seg"), files(&disk, ".foot")), (1, 3));
    assert_eq!(objects.contents().len(), 3);
    assert_eq!(read_all(&store), content);
    store.verify().unwrap();
    let facts = store.object_facts();
    assert_eq!((facts.segments, facts.errors), (3, 0));
    assert!(facts.reads > 0 && facts.hits > 0, "{facts:?}");
    let places: Vec<bool> = store
        .segment_facts()
        .iter()
        .map(|one| one.is_object)
        .collect();
    assert_eq!(places, [true, true, true, false]);
    store.close().unwrap();
    drop(store);
    // The next start asks for nothing.
    objects.take_log();
    let store = open_far(&disk, &objects).unwrap();
    assert_eq!(objects.take_log(), [""; 0]);
    assert_eq!(read_all(&store), content);
    assert_eq!(store.sweep_objects().unwrap(), 0);
    assert_eq!(store.move_next(i64::MIN).unwrap(), None);
}

#[test]
fn a_query_asks_for_what_it_needs() {
    let (_disk, objects, store, content) = moved();
    objects.take_log();
    let end = store.segment_facts()[0].last;
    let found = read(&store, &[Matcher::equal("number", "1")], 0, end).unwrap();
    let expected = content
        .iter()
        .filter(|((labels, time), _)| labels.get("number") == "1" && *time <= end);
    assert_eq!(found.len(), expected.count());
    // These segments are smaller than a block: one request for one of them.
    assert_eq!(objects.take_log().len(), 1);
    read(&store, &[Matcher::equal("number", "2")], 0, end).unwrap();
    assert_eq!(objects.take_log(), [""; 0], "it is known");
}

#[test]
fn a_bucket_that_is_away_is_told_and_comes_back() {
    let (disk, objects, store, content) = moved();
    drop(store);
    objects.set_away(true);
    let store = open_far(&disk, &objects).unwrap();
    let refused = read(&store, &[], 0, i64::MAX).unwrap_err();
    let first = objects.contents().into_keys().next().unwrap();
    let told = refused.to_string();
    assert!(told.contains(&format!("s3://simulated/{first}")), "{told}");
    // What is not there is not needed for everything.
    let since = store.segment_facts()[3].first;
    assert!(!read(&store, &[], since, i64::MAX).unwrap().is_empty());
    append_one(&store, &labels("metric", 9), 20 * HOUR, 1.0).unwrap();
    store.maintain(LATER).unwrap();
    store.move_next(LATER).unwrap_err();
    store.sweep_objects().unwrap_err();
    assert!(store.object_facts().errors >= 3);
    objects.set_away(false);
    assert_eq!(
        read(&store, &[], 0, 10 * HOUR).unwrap().len(),
        content.len()
    );
    assert!(store.move_next(LATER).unwrap().is_some());
    assert_eq!(store.sweep_objects().unwrap(), 0);
    store.close().unwrap();
    drop(store);
    // Without a bucket in the configuration the store opens, too.
    let (store, _) = open(&disk).unwrap();
    let error = read(&store, &[], 0, i64::MAX).unwrap_err();
    let StoreError::Disk(error) = error else {
        panic!("{error}");
    };
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("monitor.objects"), "{source}");
    assert_eq!(store.sweep_objects().unwrap(), 0);
}

#[test]
fn the_end_of_an_object_is_asked_for_when_it_is_not_here() {
    let (disk, objects, store, content) = moved();
    drop(store);
    let all = disk.contents();
    for wrong in [None, Some(vec![1; 10]), Some(vec![7; 500])] {
        let copy = SimulatedDisk::default();
        for (name, bytes) in &all {
            let is_foot = name.contains(".foot");
            let bytes = if is_foot {
                wrong.clone()
            } else {
                Some(bytes.clone())
            };
            if let Some(bytes) = bytes {
                copy.put(name, bytes);
            }
        }
        let store = open_far(&copy, &objects).unwrap();
        assert_eq!(read_all(&store), content);
    }
}

#[test]
fn retention_removes_objects_that_nobody_reads() {
    let (disk, objects, store, _) = moved();
    let facts = store.segment_facts();
    let mut selection = store.select(&[], 0, facts[0].last).unwrap();
    let now = facts[1].last + 100 * HOUR + 1;
    assert_eq!(store.maintain(now).unwrap().retired, 2);
    assert_eq!(files(&disk, ".foot"), 1);
    assert_eq!(objects.contents().len(), 3, "upkeep asks for nothing");
    assert_eq!(store.sweep_objects().unwrap(), 0, "both may be read still");
    let mut samples = SeriesSamples::default();
    assert!(selection.read(0, &mut samples).unwrap() && !samples.is_empty());
    drop(selection);
    assert_eq!(store.sweep_objects().unwrap(), 2);
    assert_eq!(
        (objects.contents().len(), store.object_facts().segments),
        (1, 1)
    );
}

#[test]
fn a_sweep_leaves_what_is_not_its_own() {
    let (_disk, objects, store, _) = moved();
    let known = objects.contents().into_keys().next().unwrap();
    let (prefix, _) = known.split_once("/segments/").unwrap();
    // An orphan; a number that was never given; something else.
    for name in [
        "0000000002-00000000.seg",
        "0000000999-00000000.seg",
        "notes.txt",
    ] {
        objects.put_bytes(&format!("{prefix}/segments/{name}"), vec![1]);
    }
    objects.put_bytes(
        "signals/0000000000000001/segments/0000000001-00000000.seg",
        vec![1],
    );
    assert_eq!(store.sweep_objects().unwrap(), 1);
    assert_eq!(objects.contents().len(), 6);
}

#[test]
fn what_is_deleted_is_left_out_and_compaction_writes_it_anew() {
    let (disk, objects, store, mut content) = moved();
    let matcher = Matcher::equal("number", "1");
    store
        .delete(std::slice::from_ref(&matcher), 0, 3 * HOUR)
        .unwrap();
    content.retain(|(labels, time), _| labels.get("number") != "1" || *time > 3 * HOUR);
    assert_eq!(read_all(&store), content);
    store.maintain(LATER).unwrap();
    assert_eq!(store.object_facts().segments, 3, "upkeep leaves them");
    store.compact().unwrap();
    assert_eq!(read_all(&store), content);
    assert_eq!(
        (store.object_facts().segments, files(&disk, ".seg")),
        (1, 3)
    );
    assert_eq!(store.sweep_objects().unwrap(), 2);
    while store.move_next(LATER).unwrap().is_some() {}
    assert_eq!(store.sweep_objects().unwrap(), 0);
    let facts = store.object_facts();
    assert_eq!(
        (
            facts.segments,
            objects.contents().len(),
            files(&disk, ".seg")
        ),
        (4, 4, 0)
    );
    assert_eq!(read_all(&store), content);
}

#[test]
fn a_newer_object_stays_newer_than_what_compaction_joins() {
    let disk = SimulatedDisk::default();
    let objects = SimulatedObjects::default().copied(&disk, 1);
    let store = open_far(&disk, &objects).unwrap();
    let one = labels("x", 1);
    let import = |hours: &[i64], value: f64| {
        let mut samples = SeriesSamples::default();
        for hour in hours {
            samples.floats.push(hour * HOUR, value, 0);
        }
        let mut import = store.import().unwrap();
        import.add(&one, &samples).unwrap();
        import.finish().unwrap().unwrap()
    };
    import(&[1, 2], 1.0);
    assert!(store.move_next(LATER).unwrap().is_some());
    import(&[2, 20], 2.0);
    assert!(store.move_next(LATER).unwrap().is_some());
    // It overlaps both, and wins over both.
    import(&[1, 2, 3], 3.0);
    // These overlap each other, and the first of them is older than nothing that is an object.
    import(&[3, 4], 4.0);
    store.maintain(LATER).unwrap();
    let value = |hour: i64| {
        let found = read(&store, &[], hour * HOUR, hour * HOUR).unwrap();
        found.into_values().map(f64::from_bits).collect::<Vec<_>>()
    };
    let all = || [1, 2, 3, 4, 20].map(value);
    let expected = [3.0, 3.0, 4.0, 4.0, 2.0].map(|value| vec![value]);
    assert_eq!(all(), expected);
    while store.move_next(LATER).unwrap().is_some() {}
    import(&[2, 3], 5.0);
    store.compact().unwrap();
    let expected = [3.0, 5.0, 5.0, 4.0, 2.0].map(|value| vec![value]);
    assert_eq!(all(), expected);
}

#[test]
fn damage_of_an_object_is_named_and_the_rest_is_saved() {
    let (disk, objects, store, content) = moved();
    store.close().unwrap();
    drop(store);
    let (name, bytes) = objects.contents().pop_first().unwrap();
    let again = || -> Option<Arc<dyn crate::Objects>> { Some(Arc::new(objects.clone())) };
    let look = || check(&disk, again(), &mut |_| {}).unwrap();
    assert!(look().is_whole());
    for at in 0..bytes.len() {
        let mut wrong = bytes.clone();
        wrong[at] ^= 1 << (at % 8);
        objects.put_bytes(&name, wrong);
        let found = look();
        assert_eq!(found.damaged.len(), 1, "byte {at}");
        let path = &found.damaged[0].damage.path;
        assert!(path.ends_with(&name), "byte {at}: {path}");
    }
    for wrong in [
        bytes[..bytes.len() - 1].to_vec(),
        [bytes.clone(), vec![0]].concat(),
    ] {
        objects.put_bytes(&name, wrong);
        let what = look().damaged[0].damage.what;
        assert_eq!(what, "the object does not have the length it had");
    }
    let mut wrong = bytes.clone();
    wrong[bytes.len() / 2] ^= 1;
    objects.put_bytes(&name, wrong.clone());
    let whole: Arc<dyn Disk> = Arc::new(disk.clone());
    let repaired = repair(&whole, options(&objects)).unwrap();
    assert_eq!(repaired.check.damaged.len(), 1);
    let kept = disk.contents().remove("damaged/0000000001.seg");
    assert_eq!(kept, Some(wrong));
    assert!(look().is_whole());
    let store = open_far(&disk, &objects).unwrap();
    let left = read_all(&store);
    assert!(
        left.iter()
            .all(|(place, value)| content.get(place) == Some(value))
    );
    assert_eq!(store.sweep_objects().unwrap(), 1, "the damaged one");
}

/// All that happens to objects; what fails is passed over.
fn far_workload(
    disk: &SimulatedDisk,
    objects: &SimulatedObjects,
    ledger: &mut Ledger,
) -> Result<(), StoreError> {
    let store = open_far(disk, objects)?;
    for step in 0..6 {
        batch(&store, ledger, step);
    }
    store.maintain(9 * HOUR).ok();
    store.move_next(LATER).ok();
    delete(&store, ledger, 30 * MINUTE, 3 * HOUR);
    store.move_next(LATER).ok();
    store.sweep_objects().ok();
    batch(&store, ledger, 6);
    store.maintain(9 * HOUR).ok();
    store.close().ok();
    drop(store);
    let store = open_far(disk, objects)?;
    store.compact().ok();
    batch(&store, ledger, 7);
    store.sweep_objects().ok();
    while matches!(store.move_next(LATER), Ok(Some(_))) {}
    // The oldest segment ends before this.
    ledger.forget_before(2 * HOUR);
    store.maintain(102 * HOUR).ok();
    store.sweep_objects().ok();
    batch(&store, ledger, 8);
    Ok(())
}

fn check_far(disk: &SimulatedDisk, objects: &SimulatedObjects, ledger: &Ledger, what: &str) {
    objects.set_away(true);
    open_far(disk, objects).unwrap_or_else(|error| panic!("{what}: {error}"));
    objects.set_away(false);
    let store = open_far(disk, objects).unwrap_or_else(|error| panic!("{what}: {error}"));
    ledger.check(&read_all(&store), what);
    let mut ledger = ledger.clone();
    batch(&store, &mut ledger, 11);
    store.maintain(9 * HOUR).unwrap();
    while store.move_next(LATER).unwrap().is_some() {}
    store.sweep_objects().unwrap();
    ledger.check(&read_all(&store), what);
    store.verify().unwrap();
    let facts = store.object_facts();
    assert_eq!(facts.segments, objects.contents().len(), "{what}");
    assert_eq!(facts.segments, files(disk, ".foot"), "{what}");
    assert_eq!((objects.unfinished(), facts.errors), (0, 0), "{what}");
}

#[test]
fn nothing_is_lost_wherever_the_power_goes_while_segments_move() {
    let disk = SimulatedDisk::default();
    let objects = SimulatedObjects::default().copied(&disk, 1);
    far_workload(&disk, &objects, &mut Ledger::default()).unwrap();
    let operations = disk.operations();
    let log = disk.log();
    for what in ["put", "give up", "remove signals/"] {
        assert!(
            log.iter().any(|done| done.starts_with(what)),
            "{what}: {log:?}"
        );
    }
    for last in 0..=operations {
        let disk = SimulatedDisk::default();
        let objects = SimulatedObjects::default().copied(&disk, last);
        disk.stop_after(last);
        let mut ledger = Ledger::default();
        far_workload(&disk, &objects, &mut ledger).ok();
        let cuts = [
            Cut::Drop,
            Cut::Keep,
            Cut::Tear(last),
            Cut::Tear(last + 1_000),
        ];
        for cut in cuts {
            let what = format!("after {last} ({:?}), {cut:?}", disk.log().last());
            let left = disk.after(cut);
            check_far(&left, &objects.copied(&left, last), &ledger, &what);
        }
    }
}

#[test]
fn what_fails_while_segments_move_is_tried_again() {
    let disk = SimulatedDisk::default();
    let objects = SimulatedObjects::default().copied(&disk, 1);
    far_workload(&disk, &objects, &mut Ledger::default()).unwrap();
    for at in 1..=disk.operations() {
        for for_good in [false, true] {
            let disk = SimulatedDisk::default();
            let objects = SimulatedObjects::default().copied(&disk, at);
            disk.fail_at(at, ErrorKind::Other, for_good);
            let mut ledger = Ledger::default();
            far_workload(&disk, &objects, &mut ledger).ok();
            disk.heal();
            for cut in [Cut::Drop, Cut::Keep] {
                let what = format!("failed at {at} {for_good}, {cut:?}");
                let left = disk.after(cut);
                check_far(&left, &objects.copied(&left, at), &ledger, &what);
            }
        }
    }
}
