//! Many who append share frames, and the files follow one another.

use std::sync::Arc;

use super::*;
use crate::disk::simulated::SimulatedDisk;
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::record::{Encoder, Visitor};

#[derive(Debug, Default)]
struct Seen {
    times: Vec<i64>,
    series: usize,
    closed: usize,
}

impl Visitor for Seen {
    fn series(&mut self, _id: u32, _labels: Labels) {
        self.series += 1;
    }
    fn float(&mut self, _id: u32, time: i64, _value: f64, _start: i64) {
        self.times.push(time);
    }
    fn histogram(&mut self, _: u32, _: i64, _: i64, _: crate::histogram::Histogram) {}
    fn delete(&mut self, _: &[Matcher], _: i64, _: i64) {}
    fn exemplar(&mut self, _: crate::extra::Exemplar) {}
    fn metadata(&mut self, _: &str, _: crate::extra::Metadata) {}
    fn closed(&mut self) {
        self.closed += 1;
    }
}

fn records(time: i64) -> Records {
    let mut records = Encoder::default();
    records.series(1, &Labels::new([("a", "b")]).unwrap());
    records.float(1, time, 0.5, 0);
    Records {
        latest: records.latest,
        description_bytes: records.description_bytes,
        bytes: records.finish(),
    }
}

fn new(disk: &SimulatedDisk) -> Log {
    let recovered = Recovered {
        next: 1,
        ..Recovered::default()
    };
    Log::open(Arc::new(disk.clone()), &recovered).unwrap()
}

#[test]
fn many_threads_are_acknowledged_when_their_records_are_on_disk() {
    let disk = SimulatedDisk::default();
    let log = new(&disk);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (log, disk) = (&log, &disk);
            scope.spawn(move || {
                for at in 0..50 {
                    let position = log.enqueue(records(thread * 1_000 + at));
                    log.wait(position).unwrap();
                    let mut seen = Seen::default();
                    let left = disk.after(crate::disk::simulated::Cut::Drop);
                    recover(&left, 1, &mut seen).unwrap();
                    assert!(seen.times.contains(&(thread * 1_000 + at)));
                }
            });
        }
    });
    let mut seen = Seen::default();
    let recovered = recover(&disk, 1, &mut seen).unwrap();
    assert_eq!((seen.times.len(), seen.series), (400, 400));
    assert!(recovered.commit <= 400);
}

#[test]
fn files_follow_one_another_and_go_when_they_are_not_needed() {
    let disk = SimulatedDisk::default();
    let log = new(&disk);
    for file in 0..4 {
        if file > 0 {
            log.begin_file();
        }
        log.wait(log.enqueue(records(file * 100))).unwrap();
    }
    assert_eq!(log.first_needed(0), 1);
    assert_eq!(log.first_needed(150), 3);
    assert_eq!(log.first_needed(1_000), 4);
    log.remove_below(3).unwrap();
    let mut seen = Seen::default();
    let recovered = recover(&disk, 3, &mut seen).unwrap();
    assert_eq!(seen.times, [200, 300]);
    assert_eq!((recovered.next, recovered.files.len()), (5, 2));
    let error = recover(&disk, 2, &mut seen).unwrap_err();
    assert!(error.to_string().contains("0000000002.wal"), "{error}");
}

#[test]
fn a_label_that_looks_like_a_frame_is_none() {
    let disk = SimulatedDisk::default();
    let log = new(&disk);
    log.wait(log.enqueue(records(1))).unwrap();
    let before = disk.contents()[&file_name(1)].len();
    // What a stranger could send: a frame as it would be without a salt.
    let mut forged = records(2);
    forged
        .bytes
        .extend_from_slice(&frame(0, 3, &records(3).bytes));
    log.wait(log.enqueue(forged)).unwrap();
    let whole = disk.contents()[&file_name(1)].clone();
    for length in before + 1..whole.len() {
        let copy = SimulatedDisk::default();
        copy.put(&file_name(1), whole[..length].to_vec());
        let mut seen = Seen::default();
        let recovered = recover(&copy, 1, &mut seen).unwrap();
        assert_eq!(recovered.cut.unwrap().offset, before as u64);
        assert_eq!(seen.times, [1]);
    }
}
