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
