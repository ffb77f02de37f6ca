//! Back-off: how long to wait after the n-th failure. It doesn't sleep and doesn't count.

use std::time::Duration;

/// Doubling delays with jitter between `first` and `ceiling`.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The delay after the first failure.
    pub first: Duration,
    /// The longest delay.
    pub ceiling: Duration,
}

impl Backoff {
    /// The delay after `failures` failures in a row (from 1). `jitter` from 0 to 1 shortens it by
    /// up to a quarter, so that many that failed together don't return together.
    pub fn delay(&self, failures: u32, jitter: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let delay = self.first.saturating_mul(1 << doublings).min(self.ceiling);
        delay.mul_f64(1.0 - 0.25 * jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_ceiling() {
        let backoff = Backoff {
            first: Duration::from_secs(1),
            ceiling: Duration::from_mins(15),
        };
        let seconds: Vec<u64> = (1..=12).map(|n| backoff.delay(n, 0.0).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        assert_eq!(backoff.delay(u32::MAX, 1.0), Duration::from_secs(675));
    }
}
