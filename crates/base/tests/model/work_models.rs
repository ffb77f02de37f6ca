//! The hand-over of accepted work under all orders.

use std::sync::atomic::Ordering;

use shuttle::future::block_on;
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicBool, AtomicUsize};
use shuttle::thread;

use crate::check;
use crate::work::WorkTracker;

#[test]
fn nothing_begins_after_the_drain_and_idle_is_the_end_of_all_work() {
    check(|| {
        let tracker = WorkTracker::new();
        let has_drained = Arc::new(AtomicBool::new(false));
        let unfinished = Arc::new(AtomicUsize::new(0));
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let tracker = tracker.clone();
                let (has_drained, unfinished) = (has_drained.clone(), unfinished.clone());
                thread::spawn(move || {
                    let was_drained = has_drained.load(Ordering::SeqCst);
                    let Some(guard) = tracker.begin() else { return };
                    assert!(!was_drained, "work began after the drain");
                    unfinished.fetch_add(1, Ordering::SeqCst);
                    thread::yield_now();
                    unfinished.fetch_sub(1, Ordering::SeqCst);
                    drop(guard);
                })
            })
            .collect();
        tracker.drain();
        has_drained.store(true, Ordering::SeqCst);
        block_on(tracker.idle());
        assert_eq!(
            (unfinished.load(Ordering::SeqCst), tracker.active()),
            (0, 0)
        );
        assert!(tracker.begin().is_none());
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
fn every_idler_wakes() {
    check(|| {
        let tracker = WorkTracker::new();
        let guards: Vec<_> = (0..2).filter_map(|_| tracker.begin()).collect();
        let idlers: Vec<_> = (0..2)
            .map(|_| {
                let tracker = tracker.clone();
                thread::spawn(move || block_on(tracker.idle()))
            })
            .collect();
        let workers: Vec<_> = guards
            .into_iter()
            .map(|guard| thread::spawn(move || drop(guard)))
            .collect();
        for thread in idlers.into_iter().chain(workers) {
            thread.join().unwrap();
        }
    });
}
