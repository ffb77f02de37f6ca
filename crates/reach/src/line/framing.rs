//! HTTP/2 as the framing of the control and interactive lanes, with the roles turned round: the
//! agent, which dialled, is the server of h2, and the proxy opens streams as its client. Here are
//! the settings of both and the pings by which each end notices that the other is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use base::clock;
use bytes::Bytes;
use h2::{Ping, PingPong, client, server};
use tokio::sync::Notify;

use super::error::chain;
use super::limits::{
    CONNECTION_WINDOW, FRAME_SIZE, HEADERS_BYTES_MAX, PROBE_PAUSE, RESETS_MAX, SEND_BUFFER,
    STREAM_WINDOW, STREAMS_MAX, Timing,
};
use super::stream::BoxDuplex;

/// The path of a request that opens a stream to a target.
pub(crate) const OPEN_PATH: &str = "/open";
/// The path of the stream that carries messages.
pub(crate) const CONTROL_PATH: &str = "/control";
/// The header that carries an open request as JSON.
pub(crate) const OPEN_HEADER: &str = "landline-open";
/// The header that carries a refusal as JSON.
pub(crate) const REFUSAL_HEADER: &str = "landline-refusal";

/// What both ends know of a framed lane.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Asks for a ping at once.
    pub(crate) probe: Notify,
    /// Streams open.
    pub(crate) streams: Arc<AtomicUsize>,
    /// The last round trip in microseconds; 0 before the first.
    round_trip_us: AtomicU64,
}

impl Health {
    /// The last round trip.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        match self.round_trip_us.load(Ordering::Relaxed) {
            0 => None,
            microseconds => Some(Duration::from_micros(microseconds)),
        }
    }
}

/// The proxy's end of a lane.
pub(crate) async fn begin_opening(
    io: BoxDuplex,
) -> Result<
    (
        client::SendRequest<Bytes>,
        client::Connection<BoxDuplex, Bytes>,
    ),
    h2::Error,
> {
    client::Builder::new()
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_window_size(STREAM_WINDOW)
        .max_frame_size(FRAME_SIZE)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .initial_max_send_streams(STREAMS_MAX)
        .max_local_error_reset_streams(Some(RESETS_MAX))
        .enable_push(false)
        .handshake(io)
        .await
}

/// The agent's end of a lane.
pub(crate) async fn begin_serving(
    io: BoxDuplex,
) -> Result<server::Connection<BoxDuplex, Bytes>, h2::Error> {
    server::Builder::new()
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_window_size(STREAM_WINDOW)
        .max_frame_size(FRAME_SIZE)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .max_concurrent_streams(u32::try_from(STREAMS_MAX).unwrap_or(u32::MAX))
        .max_local_error_reset_streams(Some(RESETS_MAX))
        .max_pending_accept_reset_streams(STREAMS_MAX)
        .handshake(io)
        .await
}

/// Why a lane broke. A connection that ends without TLS's goodbye is told in words of an operator:
/// it is what a process that was killed and what a device on the way leave behind.
pub(crate) fn broke(error: &h2::Error) -> String {
    let kind = error.get_io().map(std::io::Error::kind);
    if kind == Some(std::io::ErrorKind::UnexpectedEof) {
        return "the connection ended without a goodbye: the other end gave it up (its log says why) \
                or went down, or something on the way cut it"
            .to_owned();
    }
    chain(error)
}

/// Pings until the other end does not answer, and says so. The other end does the same: with a
/// loss in one direction only, both notice.
pub(crate) async fn watch(mut pings: PingPong, health: &Health, timing: Timing) -> String {
    loop {
        let sent = clock::now();
        match tokio::time::timeout(timing.pong_limit, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {
                let elapsed = clock::now().saturating_duration_since(sent).as_micros();
                let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX).max(1);
                health.round_trip_us.store(elapsed, Ordering::Relaxed);
            }
            Ok(Err(error)) => return format!("the connection broke: {error}"),
            Err(_) => {
                let limit = timing.pong_limit.as_millis();
                return format!(
                    "no answer to a ping within {limit} ms: the path is cut without a trace, or \
                     the other machine sleeps"
                );
            }
        }
        let doubted = async {
            tokio::time::sleep(PROBE_PAUSE).await;
            health.probe.notified().await;
        };
        tokio::select! {
            () = tokio::time::sleep(timing.ping_interval) => {}
            () = doubted => {}
        }
    }
}
