//! The waits between dials: linear, because a proxy that restarts is back within seconds and an
//! agent that waits minutes is an outage of its own.

use std::time::Duration;

/// The wait after the first failure, and what each further one adds.
pub(crate) const STEP: Duration = Duration::from_secs(1);
/// The longest wait.
pub(crate) const CEILING: Duration = Duration::from_secs(8);

/// The wait after `failures` failures in a row (from 1). `jitter` from 0 to 1 shortens it by up to
/// a half, so that thousands that lost the same proxy don't return together.
pub(crate) fn delay(failures: u32, jitter: f64) -> Duration {
    let delay = STEP.saturating_mul(failures.max(1)).min(CEILING);
    delay.mul_f64(1.0 - 0.5 * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_by_a_step_up_to_the_ceiling() {
        let seconds: Vec<u64> = (0..=10).map(|n| delay(n, 0.0).as_secs()).collect();
        assert_eq!(seconds, [1, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8]);
        assert_eq!(delay(u32::MAX, 1.0), Duration::from_secs(4));
    }
}
