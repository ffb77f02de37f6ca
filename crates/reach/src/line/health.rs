//! How a lane is doing, and the pings by which each end notices that the other is gone.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use base::clock;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::Notify;

use super::error::{UNSAID, chain};
use super::limits::{PROBE_PAUSE, Timing};
use super::mux::Mux;

/// What an end knows of a lane.
#[derive(Debug)]
pub(crate) struct Health {
    /// Asks for a ping at once.
    pub(crate) probe: Notify,
    /// Streams open.
    pub(crate) streams: Arc<AtomicUsize>,
    /// Bulk connections of the same line in use: they end with the lane.
    pub(crate) bulk: Arc<AtomicUsize>,
    /// The last round trip in microseconds; 0 before the first.
    round_trip_us: AtomicU64,
    begun: Instant,
    /// When bytes came last, in milliseconds since the beginning.
    heard_ms: AtomicU64,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            probe: Notify::new(),
            streams: Arc::default(),
            bulk: Arc::default(),
            round_trip_us: AtomicU64::new(0),
            begun: clock::now(),
            heard_ms: AtomicU64::new(0),
        }
    }
}

impl Health {
    /// The last round trip.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        match self.round_trip_us.load(Ordering::Relaxed) {
            0 => None,
            microseconds => Some(Duration::from_micros(microseconds)),
        }
    }

    /// Whether somebody may wait for something.
    fn is_busy(&self) -> bool {
        self.streams.load(Ordering::Relaxed) + self.bulk.load(Ordering::Relaxed) > 0
    }

    /// Bytes have come.
    pub(crate) fn hear(&self) {
        self.heard_ms.store(self.mark(), Ordering::Relaxed);
    }

    /// Now, for [`Health::has_heard_since`].
    pub(crate) fn mark(&self) -> u64 {
        let now = clock::now().saturating_duration_since(self.begun);
        u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether bytes have come since that moment.
    pub(crate) fn has_heard_since(&self, mark: u64) -> bool {
        self.heard_ms.load(Ordering::Relaxed) >= mark
    }

    /// How long nothing has come.
    fn quiet(&self) -> Duration {
        let heard = Duration::from_millis(self.heard_ms.load(Ordering::Relaxed));
        let now = clock::now().saturating_duration_since(self.begun);
        now.saturating_sub(heard)
    }

    /// Resolves when nothing has come for `limit` while a stream is open.
    async fn silence(&self, limit: Duration) {
        while self.is_busy() {
            let left = limit.saturating_sub(self.quiet());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
        // A stream that is opened later asks for a ping when it is first written to.
        std::future::pending::<()>().await;
    }
}

/// The reading half of a connection, which notes when bytes come.
pub(crate) struct Heard<R> {
    pub(crate) reader: R,
    pub(crate) health: Arc<Health>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Heard<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.reader).poll_read(context, buffer);
        if polled.is_ready() {
            self.health.hear();
        }
        polled
    }
}

/// Why a lane broke. A connection that ends without TLS's goodbye is told in words of an operator:
/// it is what a process that was killed and what a device on the way leave behind.
pub(crate) fn broke(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return UNSAID.to_owned();
    }
    chain(error)
}

/// Why a lane ends whose other end does not answer.
pub(crate) fn silent(limit: Duration) -> String {
    let limit = limit.as_millis();
    format!(
        "no answer to a ping within {limit} ms: the path is cut without a trace, or the other machine \
         sleeps"
    )
}

/// Pings until the other end does not answer, and says so. The other end does the same: with a
/// loss in one direction only, both notice. While streams are open it is quick to ask and to judge,
/// because somebody may wait; a target that takes its time is no reason, since pings don't reach it.
pub(crate) async fn watch(mux: &Mux, timing: Timing) -> String {
    let health = mux.health();
    loop {
        let sent = clock::now();
        let mut pong = std::pin::pin!(mux.ping());
        let mut limit = timing.pong_limit;
        let mut answered = None;
        if health.is_busy() && timing.busy_limit < limit {
            answered = tokio::time::timeout(timing.busy_limit, pong.as_mut())
                .await
                .ok();
            let waited = clock::now().saturating_duration_since(sent);
            if health.quiet() >= waited {
                limit = timing.busy_limit;
            }
        }
        if answered.is_none() {
            let left = limit.saturating_sub(clock::now().saturating_duration_since(sent));
            answered = tokio::time::timeout(left, pong).await.ok();
        }
        if answered.is_none() {
            return silent(limit);
        }
        let elapsed = clock::now().saturating_duration_since(sent).as_micros();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX).max(1);
        health.round_trip_us.store(elapsed, Ordering::Relaxed);
        let doubted = async {
            tokio::time::sleep(PROBE_PAUSE).await;
            health.probe.notified().await;
        };
        tokio::select! {
            () = tokio::time::sleep(timing.ping_interval) => {}
            () = doubted => {}
            () = health.silence(timing.silence) => {}
        }
    }
}
