//! Single flight under all orders: one leads, everyone wakes, a dropped lead is taken up.

use std::sync::atomic::Ordering;

use shuttle::future::block_on;
use shuttle::sync::Arc;
use shuttle::sync::atomic::AtomicUsize;
use shuttle::thread;

use crate::check;
use crate::single_flight::SingleFlight;

#[test]
fn one_leads_at_a_time_and_every_follower_wakes() {
    check(|| {
        let flight = SingleFlight::<u32>::new();
        let leading = Arc::new(AtomicUsize::new(0));
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let (flight, leading) = (flight.clone(), leading.clone());
                thread::spawn(move || {
                    let (lead, follow) = flight.join();
                    if let Some(lead) = lead {
                        assert_eq!(leading.fetch_add(1, Ordering::SeqCst), 0, "two lead");
                        thread::yield_now();
                        leading.fetch_sub(1, Ordering::SeqCst);
                        lead.finish(7);
                    }
                    assert_eq!(block_on(follow), Some(7));
                })
            })
            .collect();
        for caller in callers {
            caller.join().unwrap();
        }
        assert_eq!(flight.waiters(), 0);
    });
}

#[test]
fn a_dropped_lead_is_taken_up_by_another() {
    check(|| {
        let flight = SingleFlight::<u32>::new();
        let is_first = Arc::new(AtomicUsize::new(0));
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let (flight, is_first) = (flight.clone(), is_first.clone());
                thread::spawn(move || {
                    loop {
                        let (lead, follow) = flight.join();
                        match lead {
                            Some(lead) if is_first.fetch_add(1, Ordering::SeqCst) == 0 => {
                                drop(lead);
                            }
                            Some(lead) => lead.finish(7),
                            None => {}
                        }
                        if let Some(value) = block_on(follow) {
                            return value;
                        }
                    }
                })
            })
            .collect();
        for caller in callers {
            assert_eq!(caller.join().unwrap(), 7);
        }
    });
}

#[test]
fn waiters_are_the_follows_that_are_held() {
    check(|| {
        let flight = SingleFlight::<u32>::new();
        let (lead, own) = flight.join();
        let (none, other) = flight.join();
        assert!(none.is_none());
        let leaver = thread::spawn(move || drop(other));
        assert!((1..=2).contains(&flight.waiters()));
        leaver.join().unwrap();
        assert_eq!(flight.waiters(), 1);
        lead.unwrap().finish(1);
        assert_eq!((flight.waiters(), block_on(own)), (0, Some(1)));
    });
}
