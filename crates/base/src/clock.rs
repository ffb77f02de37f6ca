//! The one place that reads the clocks. Everything deeper takes `now` as an argument.

use std::time::{Instant, SystemTime};

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
