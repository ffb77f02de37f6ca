//! The power goes after every operation; what was acknowledged is there at the next start.

use super::*;
use crate::disk::simulated::Cut;

fn check_after(disk: &SimulatedDisk, ledger: &Ledger, cut: Cut, what: &str) {
    let left = disk.after(cut);
    let (store, _) = open(&left).unwrap_or_else(|error| panic!("{what}: {error}"));
    ledger.check(&read_all(&store), what);
    // The store works on, and what it does next is not lost either.
    let mut ledger = ledger.clone();
    batch(&store, &mut ledger, 11);
    store.maintain(9 * HOUR).unwrap();
    ledger.check(&read_all(&store), what);
    store.verify().unwrap();
    drop(store);
    let (store, _) = open(&left.after(Cut::Drop)).unwrap();
    ledger.check(&read_all(&store), what);
}

#[test]
fn nothing_acknowledged_is_missing_wherever_the_power_goes() {
    let disk = SimulatedDisk::default();
    workload(&disk, &mut Ledger::default()).unwrap();
    let operations = disk.operations();
    assert!(
        operations > 100,
        "the workload does too little: {operations}"
    );
    for last in 0..=operations {
        let disk = SimulatedDisk::default();
        disk.stop_after(last);
        let mut ledger = Ledger::default();
        workload(&disk, &mut ledger).ok();
        let cuts = [
            Cut::Drop,
            Cut::Keep,
            Cut::Tear(last),
            Cut::Tear(last + 1_000),
            Cut::Tear(last + 2_000),
        ];
        for cut in cuts {
            let log = disk.log();
            let what = format!("after {last} ({:?}), {cut:?}", log.last());
            check_after(&disk, &ledger, cut, &what);
        }
    }
}

#[test]
fn the_power_goes_again_while_the_store_is_opened() {
    let disk = SimulatedDisk::default();
    disk.stop_after(60);
    let mut ledger = Ledger::default();
    workload(&disk, &mut ledger).ok();
    for last in 0..40 {
        let second = disk.after(Cut::Tear(last));
        second.stop_after(last);
        let mut ledger = ledger.clone();
        if let Ok((store, _)) = open(&second) {
            batch(&store, &mut ledger, 11);
            store.maintain(9 * HOUR).ok();
        }
        for cut in [Cut::Drop, Cut::Keep, Cut::Tear(last + 50)] {
            check_after(
                &second,
                &ledger,
                cut,
                &format!("second time after {last}, {cut:?}"),
            );
        }
    }
}

#[test]
fn what_nobody_waits_for_is_on_disk_after_a_sync_or_a_megabyte() {
    let disk = SimulatedDisk::default();
    let (store, _) = open(&disk).unwrap();
    let count = |cut| {
        let (store, _) = open(&disk.after(cut)).unwrap();
        read_all(&store).len()
    };
    let series: Vec<Labels> = (0..100).map(|number| labels("soon", number)).collect();
    let batch = |time: i64| {
        let entries: Vec<Entry<'_>> = series.iter().map(|l| entry(l, time, 0.5)).collect();
        let appended = store.append_soon(&entries, HOUR).unwrap();
        assert_eq!(appended.taken, series.len());
    };
    batch(0);
    assert_eq!(count(Cut::Keep), 0, "nothing was written");
    store.sync().unwrap();
    assert_eq!(count(Cut::Drop), 100);
    let operations = disk.operations();
    store.sync().unwrap();
    assert_eq!(disk.operations(), operations, "nothing is left to write");
    let mut time = 0;
    while disk.operations() == operations {
        time += 1;
        batch(time);
    }
    assert!(time > 100, "a megabyte of {time} samples for a series");
    let there = count(Cut::Drop);
    let waited = usize::try_from(time + 1).unwrap() * series.len();
    assert_eq!(there, waited, "all that waited is there");
}

#[test]
fn what_nobody_waits_for_is_not_lost_with_the_log() {
    let disk = SimulatedDisk::default();
    let (store, _) = open(&disk).unwrap();
    let labels = labels("soon", 0);
    store.append_soon(&[entry(&labels, 0, 0.5)], HOUR).unwrap();
    disk.fail_at(disk.operations() + 1, std::io::ErrorKind::Other, false);
    assert!(matches!(store.sync(), Err(AppendError::Closed(_))));
    let refused = store.append_soon(&[entry(&labels, 1, 0.5)], HOUR);
    assert!(matches!(refused, Err(AppendError::Closed(_))));
    store.maintain(HOUR).unwrap();
    store.append_soon(&[entry(&labels, 1, 0.5)], HOUR).unwrap();
    store.sync().unwrap();
    let (store, _) = open(&disk.after(Cut::Drop)).unwrap();
    assert_eq!(read_all(&store).len(), 2);
}
