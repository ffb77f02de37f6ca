//! Flipped bits are found and named; operations that fail are never acknowledged.

use std::io::ErrorKind;

use super::*;
use crate::disk::simulated::Cut;

/// A store with a segment, a log of two files, and an orderly end.
fn small() -> (SimulatedDisk, Content) {
    let disk = SimulatedDisk::default();
    let (store, _) = open(&disk).unwrap();
    let series: Vec<Labels> = (0..3).map(|number| labels("metric", number)).collect();
    for minute in 0..30 {
        let entries: Vec<Entry<'_>> = series
            .iter()
            .map(|l| entry(l, minute * 10 * MINUTE, minute as f64 * 0.37))
            .collect();
        store.append(&entries, 100 * HOUR).unwrap();
    }
    store.maintain(HOUR).unwrap();
    store
        .delete(&[Matcher::equal("number", "2")], 0, HOUR)
        .unwrap();
    let content = read_all(&store);
    store.close().unwrap();
    drop(store);
    (disk, content)
}

/// What a person would be told; none when nothing was found.
fn found(disk: &SimulatedDisk, content: &Content) -> Option<String> {
    let (store, opened) = match open(disk) {
        Err(error) => return Some(error.to_string()),
        Ok(opened) => opened,
    };
    if let Err(error) = store.verify() {
        return Some(error.to_string());
    }
    let cut = opened.cut?;
    assert_eq!(read_all(&store), *content, "an end may be cut, no samples");
    Some(cut.to_string())
}

#[test]
fn a_flipped_bit_anywhere_is_found_and_its_file_is_named() {
    let (disk, content) = small();
    assert_eq!(found(&disk, &content), None);
    let files = disk.contents();
    assert!(files.keys().any(|name| name.starts_with("segments/")));
    let mut flipped = 0;
    for (name, bytes) in &files {
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1 << (at % 8);
            let copy = SimulatedDisk::default();
            for (name, bytes) in &files {
                copy.put(name, bytes.clone());
            }
            copy.put(name, wrong);
            let told = found(&copy, &content);
            let told = told.unwrap_or_else(|| panic!("byte {at} of {name} was not found"));
            assert!(told.contains(name.as_str()), "byte {at} of {name}: {told}");
            flipped += 1;
        }
    }
    assert!(flipped > 1_000, "{flipped}");
}

#[test]
fn a_missing_file_is_found_and_named() {
    let (disk, content) = small();
    let files = disk.contents();
    for gone in files.keys() {
        // That the last file of the log was there, nothing says: it holds the orderly end alone.
        let is_last_log = files.keys().rfind(|name| name.starts_with("wal/")) == Some(gone);
        let copy = SimulatedDisk::default();
        for (name, bytes) in files.iter().filter(|(name, _)| *name != gone) {
            copy.put(name, bytes.clone());
        }
        let told = found(&copy, &content);
        assert!(
            is_last_log || told.is_some_and(|told| told.contains(gone.as_str())),
            "{gone}"
        );
    }
}

#[test]
fn what_fails_is_not_acknowledged_and_the_store_heals() {
    let disk = SimulatedDisk::default();
    workload(&disk, &mut Ledger::default()).unwrap();
    let operations = disk.operations();
    for at in 1..=operations {
        for (kind, for_good) in [
            (ErrorKind::StorageFull, false),
            (ErrorKind::Other, false),
            (ErrorKind::StorageFull, true),
        ] {
            let disk = SimulatedDisk::default();
            disk.fail_at(at, kind, for_good);
            let mut ledger = Ledger::default();
            workload(&disk, &mut ledger).ok();
            let what = format!("{kind:?} at {at} {for_good}");
            disk.heal();
            for cut in [Cut::Drop, Cut::Keep] {
                let (store, _) =
                    open(&disk.after(cut)).unwrap_or_else(|error| panic!("{what}: {error}"));
                ledger.check(&read_all(&store), &what);
            }
        }
    }
}

#[test]
fn a_log_that_failed_begins_anew_with_the_next_upkeep() {
    let disk = SimulatedDisk::default();
    let (store, _) = open(&disk).unwrap();
    let one = labels("metric", 1);
    append_one(&store, &one, 1, 1.0).unwrap();
    disk.fail_at(disk.operations() + 1, ErrorKind::StorageFull, true);
    let refused = append_one(&store, &one, 2, 2.0).unwrap_err();
    assert!(
        matches!(refused, AppendError::Closed(ref error) if error.is_full()),
        "{refused}"
    );
    // A repetition of what was not acknowledged is not acknowledged either.
    append_one(&store, &one, 2, 2.0).unwrap_err();
    store.maintain(2).unwrap_err();
    disk.heal();
    store.maintain(2).unwrap();
    append_one(&store, &one, 3, 3.0).unwrap();
    append_one(&store, &one, 2, 2.0).unwrap();
    let expected: Content = (1..=3)
        .map(|time| ((one.clone(), time), (time as f64).to_bits()))
        .collect();
    assert_eq!(read_all(&store), expected);
    drop(store);
    let (store, _) = open(&disk.after(Cut::Drop)).unwrap();
    assert_eq!(read_all(&store), expected);
}

#[test]
fn a_disk_that_is_nearly_full_takes_nothing_and_is_read() {
    let disk = SimulatedDisk::default();
    let (store, _) = open(&disk).unwrap();
    let one = labels("metric", 1);
    append_one(&store, &one, 1, 1.0).unwrap();
    disk.set_space(crate::disk::Space {
        total: 1_000,
        free: 49,
    });
    store.maintain(1).unwrap();
    assert!(store.is_full());
    assert!(matches!(
        append_one(&store, &one, 2, 2.0),
        Err(AppendError::DiskFull(5))
    ));
    assert_eq!(read_all(&store).len(), 1);
    disk.set_space(crate::disk::Space {
        total: 1_000,
        free: 50,
    });
    store.maintain(1).unwrap();
    append_one(&store, &one, 2, 2.0).unwrap();
}

#[test]
fn two_processes_do_not_share_a_store() {
    let disk = SimulatedDisk::default();
    let (store, _) = open(&disk).unwrap();
    assert!(matches!(open(&disk), Err(StoreError::Locked(_))));
    drop(store);
    open(&disk).unwrap();
}

#[test]
fn a_torn_end_of_the_log_is_cut_and_told() {
    let disk = SimulatedDisk::default();
    let (store, _) = open(&disk).unwrap();
    let one = labels("metric", 1);
    append_one(&store, &one, 1, 1.0).unwrap();
    let before = disk.contents();
    append_one(&store, &one, 2, 2.0).unwrap();
    drop(store);
    let (name, whole) = disk.contents().into_iter().next_back().unwrap();
    let kept = before[&name].len();
    for length in kept + 1..whole.len() {
        let copy = SimulatedDisk::default();
        for (name, bytes) in &disk.contents() {
            copy.put(name, bytes.clone());
        }
        copy.put(&name, whole[..length].to_vec());
        let (store, opened) = open(&copy).unwrap();
        let cut = opened.cut.unwrap();
        assert_eq!(cut.offset, kept as u64);
        assert!(cut.path.ends_with(&name), "{cut}");
        assert_eq!(read_all(&store).len(), 1);
        assert_eq!(copy.contents()[&name].len(), kept);
        // It is told once: afterwards the log is whole.
        drop(store);
        assert_eq!(open(&copy).unwrap().1.cut, None);
    }
}
