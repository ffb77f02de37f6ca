//! The one place that reads the clocks. Everything deeper takes `now` as an argument.

use std::time::{Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// The monotonic clock, for deadlines, back-off and durations.
#[expect(clippy::disallowed_methods, reason = "the home of the monotonic clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock, for time stamps that leave the process.
#[expect(clippy::disallowed_methods, reason = "the home of the wall clock")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// The monotonic clock as systemd counts it: microseconds of `CLOCK_MONOTONIC`.
pub fn monotonic_usec() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}
