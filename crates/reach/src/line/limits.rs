//! The bounds and deadlines of lines, each with its reason. The windows are those that
//! docs/decisions/008-line-transport.md gives the measurements for.

use std::time::Duration;

/// The longest wait for a TCP connection, over all addresses of a name.
pub const TCP_LIMIT: Duration = Duration::from_secs(5);
/// The longest wait for one of several addresses of a name.
pub(crate) const TCP_ADDRESS_LIMIT: Duration = Duration::from_secs(2);
/// Addresses of one name that are tried.
pub(crate) const ADDRESSES_MAX: usize = 8;
/// The longest TLS handshake.
pub const TLS_LIMIT: Duration = Duration::from_secs(5);
/// The longest wait for the answer to `CONNECT` or to a WebSocket upgrade.
pub const UPGRADE_LIMIT: Duration = Duration::from_secs(5);
/// The longest wait for the hello or for its answer.
pub const HELLO_LIMIT: Duration = Duration::from_secs(5);
/// How long a line may wait for its second lane after the first.
pub(crate) const COMPLETE_LIMIT: Duration = Duration::from_secs(20);
/// How often a balancer is asked for the proxy that has the control lane, before the line is given
/// up: with four proxies drawn at random, one line in a hundred fails and is begun anew.
pub(crate) const DRAWS_MAX: usize = 16;
/// The longest wait for the answer to an open request, when the caller has no shorter deadline.
pub const OPEN_LIMIT: Duration = Duration::from_secs(5);
/// The longest time an agent gives its handler: less than `OPEN_LIMIT`, so that the reason of a
/// slow target still arrives.
pub const HANDLER_LIMIT: Duration = Duration::from_millis(4_500);
/// How long the answer to a client that has spoken first may wait for what the target says to it: most
/// say something at once, and then both travel together.
pub(crate) const ANSWER_PAUSE: Duration = Duration::from_millis(1);
/// An open request without an answer after this long makes the lane prove that it lives.
pub(crate) const PROBE_AFTER: Duration = Duration::from_millis(500);
/// Between two pings that doubt asks for. With `Timing::pong_limit` it is the longest that a write
/// into a dead line goes unnoticed, and it keeps a busy lane from pinging all the time.
pub(crate) const PROBE_PAUSE: Duration = Duration::from_millis(500);
/// How long a bulk connection may take to acknowledge an open request before another is used.
pub(crate) const BULK_SEEN_LIMIT: Duration = Duration::from_secs(1);
/// The pause after a bulk connection could not be dialled.
pub(crate) const BULK_PAUSE: Duration = Duration::from_secs(2);
/// The same after a proxy has refused one: it has enough, or its successor answers there already.
pub(crate) const BULK_REFUSED_PAUSE: Duration = Duration::from_secs(30);
/// Bulk connections that one line may hold, idle and busy.
pub const BULK_MAX: usize = 64;

/// Lines of one agent to one proxy: one that serves, and some that drain or that it has lost
/// without a trace.
pub const LINES_PER_PEER_MAX: usize = 8;

/// Lines of one agent to one proxy that are not complete yet: an agent may try again several times
/// within `COMPLETE_LIMIT`.
pub(crate) const BEGUN_PER_PEER_MAX: usize = 32;

/// A frame of JSON: the hello, its answer, an open request on a bulk connection; and a frame of the
/// interactive lane that is not data.
pub(crate) const FRAME_BYTES_MAX: usize = 64 << 10;
/// A message on the control lane; an announcement of a thousand proxies fits.
pub const MESSAGE_BYTES_MAX: usize = 512 << 10;
/// Messages that wait for the control lane, in each direction.
pub(crate) const MESSAGES_MAX: usize = 64;
/// The head of an answer to `CONNECT` or to an upgrade.
pub(crate) const HEAD_BYTES_MAX: usize = 16 << 10;
/// The text of a refusal.
pub(crate) const REFUSAL_BYTES_MAX: usize = 1 << 10;

/// What one stream may have under way: 20 MB/s at a round trip of 50 ms. There is no limit for all of
/// them: one that could be reached would let a reader that stalls stop its neighbours.
pub(crate) const STREAM_WINDOW: u32 = 1 << 20;
/// The most that one frame carries of a stream: with its head it fills four records of TLS.
pub(crate) const FRAME_SIZE: usize = (64 << 10) - 8;
/// What one stream may queue for sending; larger ones delay all others.
pub(crate) const SEND_BUFFER: usize = FRAME_SIZE;
/// What TLS may hold of the interactive lane that is encrypted and not sent: a frame and what goes
/// along.
pub(crate) const INTERACTIVE_TLS_BUFFER: usize = 96 << 10;
/// An open request.
pub(crate) const REQUEST_BYTES_MAX: usize = 16 << 10;
/// Streams at once on one lane.
pub const STREAMS_MAX: usize = 10_000;
/// The buffer of each direction of a copy.
pub(crate) const COPY_BUFFER: usize = FRAME_SIZE;
/// The same on the bulk lane, where nobody waits for a turn and each wait for more is a switch between
/// threads.
pub(crate) const BULK_BUFFER: usize = 512 << 10;

/// How often each end of a lane asks for a sign of life, and how long it waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Between two pings.
    pub ping_interval: Duration,
    /// The longest wait for a pong; then the lane, and with it the line, is dead.
    pub pong_limit: Duration,
    /// While streams are open: after this long without a byte from the other end it is asked at
    /// once. With `busy_limit` it is how long somebody waits on a path that is cut without a word.
    pub silence: Duration,
    /// While streams are open: the longest wait for a pong, or for any other byte.
    pub busy_limit: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(10),
            pong_limit: Duration::from_secs(5),
            silence: Duration::from_secs(2),
            busy_limit: Duration::from_millis(3_500),
        }
    }
}
