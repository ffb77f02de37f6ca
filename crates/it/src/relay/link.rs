//! One direction of a shared link: whoever wants to send waits for the turn of the bytes. The waits
//! are granted in the order in which they were asked for, a small piece at a time, so connections
//! share the link fairly.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// How far the link's clock may lag behind: what the timer's grain takes is given back, but a link
/// that was idle saves nothing up.
const LAG_MAX: Duration = Duration::from_millis(5);

/// When the link is free again.
#[derive(Debug, Default)]
pub(super) struct Link {
    free_at: Mutex<Option<Instant>>,
}

impl Link {
    /// Sends `bytes` and returns when the last of them has left.
    pub(super) async fn send(&self, bytes: usize, bits_per_second: u64) -> Instant {
        // Held over the wait on purpose: that is the queue before the link, and it is fair.
        let mut free_at = self.free_at.lock().await;
        let now = Instant::now();
        let earliest = now.checked_sub(LAG_MAX).unwrap_or(now);
        let begins = free_at.map_or(now, |free| free.max(earliest));
        let ends = begins + Duration::from_secs_f64(bytes as f64 * 8.0 / bits_per_second as f64);
        *free_at = Some(ends);
        tokio::time::sleep_until(ends.into()).await;
        // What was saved up makes nothing arrive before it was sent.
        ends.max(now)
    }
}
