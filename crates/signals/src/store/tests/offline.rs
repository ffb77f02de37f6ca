//! Checking, repairing and importing.

use super::*;
use crate::check::{Repaired, check, repair};

/// Appends one sample for each of some series, as one frame.
fn append_at(store: &Store, series: usize, time: i64) {
    let labels: Vec<Labels> = (0..series).map(|number| labels("x", number)).collect();
    let entries: Vec<_> = labels
        .iter()
        .map(|labels| entry(labels, time, time as f64))
        .collect();
    assert_eq!(store.append(&entries, time).unwrap().taken, series);
}

/// Two segments, and a log of three frames and an end.
fn filled(disk: &SimulatedDisk) -> Content {
    let (store, _) = open(disk).unwrap();
    for hour in [1, 30] {
        for minute in 0..3 {
            append_at(&store, 4, hour * HOUR + minute * MINUTE);
        }
        store.flush_all().unwrap();
    }
    for minute in 10..13 {
        append_at(&store, 4, 30 * HOUR + minute * MINUTE);
    }
    store.close().unwrap();
    all_of(&store)
}

fn all_of(store: &Store) -> Content {
    read(store, &[], i64::MIN, i64::MAX).unwrap()
}

fn flip(disk: &SimulatedDisk, name: &str, at: usize) {
    let mut bytes = disk.contents().remove(name).unwrap();
    bytes[at] ^= 1;
    disk.put(name, bytes);
}

/// The names of files of a folder.
fn files(disk: &SimulatedDisk, folder: &str) -> Vec<String> {
    let contents = disk.contents();
    let names = contents.keys().filter(|name| name.starts_with(folder));
    names.cloned().collect()
}

fn repaired(disk: &SimulatedDisk) -> Repaired {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    repair(&disk, Options::default()).unwrap()
}

#[test]
fn a_whole_store_is_left_as_it_is() {
    let disk = SimulatedDisk::default();
    filled(&disk);
    let before = disk.contents();
    let mut told = Vec::new();
    let found = check(&disk, None, &mut |bytes| told.push(bytes)).unwrap();
    assert!(found.is_whole() && found.torn.is_none(), "{found:?}");
    assert_eq!((found.segments.len(), found.log_samples), (2, 12));
    assert!(told.is_sorted() && told.len() > 3);
    assert!(repaired(&disk).check.is_whole());
    assert_eq!(disk.contents(), before);
}

#[test]
fn a_damaged_segment_is_kept_aside() {
    let disk = SimulatedDisk::default();
    let content = filled(&disk);
    let name = files(&disk, "segments/").remove(0);
    flip(&disk, &name, 18);
    let damaged = disk.contents().remove(&name).unwrap();
    let found = check(&disk, None, &mut |_| {}).unwrap();
    assert_eq!((found.segments.len(), found.damaged.len()), (1, 1));
    assert!(found.damaged[0].damage.path.ends_with(&name), "{found:?}");
    assert_eq!(found.damaged[0].facts.samples, 12);
    let repaired = repaired(&disk);
    assert_eq!(repaired.saved, 12);
    let kept = disk.contents().remove(&name.replace("segments", "damaged"));
    assert_eq!(kept, Some(damaged));
    let (store, _) = open(&disk).unwrap();
    store.verify().unwrap();
    // The byte was in the times of all series.
    let left: Content = content
        .into_iter()
        .filter(|((_, time), _)| *time > 2 * HOUR)
        .collect();
    assert_eq!((all_of(&store), repaired.rescued), (left, 0));
}

#[test]
fn what_is_right_in_a_damaged_segment_is_saved() {
    let mut rescued = BTreeSet::new();
    for at in (16..200).step_by(3) {
        let disk = SimulatedDisk::default();
        filled(&disk);
        let name = files(&disk, "segments/").remove(0);
        flip(&disk, &name, at);
        rescued.insert(repaired(&disk).rescued);
        assert!(check(&disk, None, &mut |_| {}).unwrap().is_whole());
    }
    // One series of four is lost, or more, or none.
    assert!(rescued.contains(&9) && rescued.contains(&0), "{rescued:?}");
    assert!(
        rescued.iter().all(|rescued| rescued % 3 == 0),
        "{rescued:?}"
    );
}

#[test]
fn what_the_log_has_behind_damage_is_saved() {
    let disk = SimulatedDisk::default();
    let content = filled(&disk);
    let name = files(&disk, "wal/").pop().unwrap();
    let bytes = disk.contents().remove(&name).unwrap();
    let frames: Vec<usize> = bytes
        .windows(4)
        .enumerate()
        .filter_map(|(at, window)| (window == b"LLF1").then_some(at))
        .collect();
    // The second of three frames of samples; the first describes the series.
    let wrong = frames[frames.len() - 3];
    flip(&disk, &name, wrong + 22);
    assert!(matches!(open(&disk), Err(StoreError::Damage(_))));
    let found = check(&disk, None, &mut |_| {}).unwrap();
    assert_eq!(found.gaps.len(), 1, "{found:?}");
    assert_eq!(found.gaps[0].damage.offset, wrong as u64);
    assert_eq!((found.log_samples, found.log_orphans), (8, 0));
    assert_eq!(repaired(&disk).saved, 8);
    assert_eq!(files(&disk, "damaged/").len(), 1);
    let (store, _) = open(&disk).unwrap();
    let left: Content = content
        .into_iter()
        .filter(|((_, time), _)| *time != 30 * HOUR + 11 * MINUTE)
        .collect();
    assert_eq!(all_of(&store), left);
    append_at(&store, 4, 31 * HOUR);
}

#[test]
fn samples_that_nobody_can_name_are_counted() {
    let disk = SimulatedDisk::default();
    filled(&disk);
    let name = files(&disk, "wal/").pop().unwrap();
    let bytes = disk.contents().remove(&name).unwrap();
    let first = bytes
        .windows(3)
        .position(|window| window == b"job")
        .unwrap();
    flip(&disk, &name, first);
    let found = check(&disk, None, &mut |_| {}).unwrap();
    assert_eq!((found.log_samples, found.log_orphans), (0, 8), "{found:?}");
    assert_eq!(repaired(&disk).saved, 0);
    open(&disk).unwrap();
}

#[test]
fn any_flipped_bit_is_found_and_mended() {
    let disk = SimulatedDisk::default();
    let content = filled(&disk);
    let parts = ["segments/", "wal/"];
    for name in parts.into_iter().flat_map(|folder| files(&disk, folder)) {
        let length = disk.contents()[&name].len();
        for at in (0..length).step_by(7) {
            let disk = SimulatedDisk::default();
            filled(&disk);
            flip(&disk, &name, at);
            let found = check(&disk, None, &mut |_| {}).unwrap();
            assert!(!found.is_whole() || found.torn.is_some(), "{name} {at}");
            repaired(&disk);
            let (store, _) = open(&disk).unwrap();
            store.verify().unwrap();
            for (place, value) in all_of(&store) {
                assert_eq!(content.get(&place), Some(&value), "{name} {at}");
            }
        }
    }
}

#[test]
fn a_store_that_is_used_is_not_touched() {
    let disk = SimulatedDisk::default();
    let (_store, _) = open(&disk).unwrap();
    assert!(matches!(
        check(&disk, None, &mut |_| {}),
        Err(StoreError::Locked(_))
    ));
}

#[test]
fn samples_from_elsewhere_become_a_segment() {
    let disk = SimulatedDisk::default();
    let (store, _) = open(&disk).unwrap();
    append_at(&store, 2, 30 * HOUR);
    let samples = |times: &[i64]| {
        let mut samples = SeriesSamples::default();
        for time in times {
            samples.floats.push(*time, 7.0, 0);
        }
        samples
    };
    let mut import = store.import().unwrap();
    import
        .add(&labels("x", 0), &samples(&[HOUR, 2 * HOUR]))
        .unwrap();
    import.add(&labels("x", 1), &samples(&[30 * HOUR])).unwrap();
    let again = import.add(&labels("x", 1), &samples(&[3 * HOUR]));
    assert!(matches!(again, Err(StoreError::Order(_))));
    let made = import.finish().unwrap().unwrap();
    assert_eq!((made.samples, made.series), (3, 2));
    // What was there stays what it was.
    let content = all_of(&store);
    assert_eq!(content.len(), 4);
    let kept = content[&(labels("x", 1), 30 * HOUR)];
    assert_eq!(
        f64::from_bits(kept).to_bits(),
        (30.0 * HOUR as f64).to_bits()
    );
    assert!(store.import().unwrap().finish().unwrap().is_none());
    store.compact().unwrap();
    assert_eq!(all_of(&store).len(), 4);
    drop(store);
    let (store, _) = open(&disk).unwrap();
    assert_eq!(all_of(&store).len(), 4);
    assert_eq!(store.head_facts(), HeadFacts::default());
    let facts = store.segment_facts();
    assert_eq!(facts.iter().map(|facts| facts.samples).sum::<u64>(), 4);
}
