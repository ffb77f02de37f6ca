//! How fast somebody may send: buckets that fill up again with time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::config::Rate;

/// Senders that are remembered at once. Beyond that those who have been quiet long enough are
/// forgotten, and if there are none, new ones are let through: the project's own rate still holds.
const SENDERS_MAX: usize = 65_536;
/// How often it is looked for senders to forget.
const FORGET_INTERVAL: Duration = Duration::from_secs(1);

/// The buckets of all senders with one rate.
#[derive(Debug)]
pub(crate) struct Throttle {
    rate: Rate,
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    by_sender: HashMap<i64, Bucket>,
    forgot_at: Option<Instant>,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Throttle {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            rate,
            buckets: Mutex::default(),
        }
    }

    /// Takes one from the bucket of `sender`; `false` when it is empty.
    pub(crate) fn take(&self, sender: i64, now: Instant) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let Buckets {
            by_sender,
            forgot_at,
        } = &mut *buckets;
        if by_sender.len() >= SENDERS_MAX && !by_sender.contains_key(&sender) {
            let is_due = |at: &mut Instant| now.saturating_duration_since(*at) >= FORGET_INTERVAL;
            if forgot_at.as_mut().is_none_or(is_due) {
                *forgot_at = Some(now);
                by_sender.retain(|_, bucket| self.filled(bucket, now) < self.full());
            }
            if by_sender.len() >= SENDERS_MAX {
                return true;
            }
        }
        let bucket = by_sender.entry(sender).or_insert(Bucket {
            left: self.full(),
            at: now,
        });
        bucket.left = self.filled(bucket, now);
        bucket.at = now;
        if bucket.left < 1.0 {
            return false;
        }
        bucket.left -= 1.0;
        true
    }

    fn full(&self) -> f64 {
        f64::from(self.rate.burst)
    }

    fn filled(&self, bucket: &Bucket, now: Instant) -> f64 {
        let seconds = now.saturating_duration_since(bucket.at).as_secs_f64();
        let refill = seconds * f64::from(self.rate.per_minute) / 60.0;
        (bucket.left + refill).min(self.full())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let throttle = Throttle::new(Rate {
            per_minute: 60,
            burst: 3,
        });
        let start = base::clock::now();
        let takes = |at| (0..5).filter(|_| throttle.take(1, at)).count();
        assert_eq!(takes(start), 3);
        assert!(throttle.take(2, start), "another sender has its own");
        assert_eq!(takes(start + Duration::from_secs(2)), 2);
        assert_eq!(takes(start + Duration::from_hours(1)), 3);
    }

    #[test]
    fn strangers_take_no_memory_without_end() {
        let throttle = Throttle::new(Rate {
            per_minute: 1,
            burst: 2,
        });
        let start = base::clock::now();
        for sender in 0..70_000 {
            assert!(throttle.take(sender, start));
        }
        let len = throttle.buckets.lock().unwrap().by_sender.len();
        assert_eq!(len, SENDERS_MAX);
        // Everybody's bucket is full again after a minute, so all are forgotten.
        assert!(throttle.take(-1, start + Duration::from_mins(2)));
        assert_eq!(throttle.buckets.lock().unwrap().by_sender.len(), 1);
    }
}
