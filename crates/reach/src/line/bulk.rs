//! The bulk lane: authenticated connections that the agent has dialled ahead. One is used for one stream
//! and is then gone; the agent dials the next when it sees that one was taken.
//!
//! After the answer to the hello both ends leave TLS (`sealed`), and the agent says that it has. On an idle
//! connection the proxy pings and the agent answers. To use one, the proxy sends the
//! open request; the agent says at once that it has seen it, dials its target, and answers. What
//! follows are the bytes of the stream, each direction with an end of its own.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::read_ahead::ReadAhead;
use rustls::{ClientConnection, ServerConnection};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::error::AcceptError;
use super::frame::{FrameError, read_frame, write_frame};
use super::health::Health;
use super::limits::{BULK_MAX, BULK_SEEN_LIMIT, FRAME_BYTES_MAX, HELLO_LIMIT, Timing};
use super::message::{OpenRequest, Refusal};
use super::proxy_end::lock;
use super::sealed::{Sealed, Side};
use super::stream::{Counted, Duplex, LineStream};

/// From the proxy.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// Still there?
    Ping,
    /// Dial this.
    Open(OpenRequest),
}

/// From the agent.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// TLS is left behind: orders may come.
    Ready,
    /// Still there.
    Pong,
    /// The open request has arrived.
    Seen,
    /// The bytes of the target follow.
    Opened,
    /// The target can't be had.
    Refused(Refusal),
}

/// The agent's end of a connection whose hello was answered leaves TLS, and says so: what the proxy sent
/// before that, TLS would take.
pub(crate) async fn greet<S: Duplex + 'static>(
    io: ReadAhead<S>,
    session: ClientConnection,
) -> Result<Sealed, FrameError> {
    let mut sealed = Sealed::new(io, session, Side::Agent)?;
    write_frame(&mut sealed, &Report::Ready).await?;
    Ok(sealed)
}

/// The proxy's end leaves TLS after its answer to the hello, and waits for the agent's.
pub(crate) async fn welcome<S: Duplex + 'static>(
    io: ReadAhead<S>,
    session: ServerConnection,
) -> Result<Sealed, AcceptError> {
    let sealed = Sealed::new(io, session, Side::Proxy);
    let mut sealed = sealed.map_err(FrameError::Io)?;
    let report = timeout(HELLO_LIMIT, read_frame(&mut sealed, FRAME_BYTES_MAX)).await;
    match report
        .map_err(|_| AcceptError::Timeout("the agent's first word on a bulk connection"))??
    {
        Report::Ready => Ok(sealed),
        report => {
            let text = format!("a bulk connection that begins with {report:?}");
            Err(Refusal::new(super::message::RefusalCode::Invalid, text).into())
        }
    }
}

/// The proxy's connections of one line.
pub(crate) struct BulkPool {
    idle: Mutex<VecDeque<Idle>>,
    /// Of the line's interactive lane, which counts those in use and knows what has come.
    health: Arc<Health>,
}

/// One that waits to be used, and counts among all of the proxy.
pub(crate) struct Idle {
    pub(crate) connection: Sealed,
    pub(crate) counted: Counted,
}

/// Why there is no stream.
pub(crate) enum NotOpened {
    /// No connection is of use.
    NoConnection,
    /// The agent says why.
    Refused(Refusal),
    /// The connection broke; the target may have been dialled.
    Broke(String),
}

impl std::fmt::Debug for BulkPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BulkPool")
            .field("idle", &self.idle())
            .field("busy", &self.busy())
            .finish()
    }
}

impl BulkPool {
    /// `health` is that of the line's interactive lane.
    pub(crate) fn new(health: Arc<Health>) -> Self {
        Self {
            idle: Mutex::default(),
            health,
        }
    }

    /// Takes in a connection that the agent has dialled ahead; false if there are enough.
    pub(crate) fn add(&self, connection: Idle) -> bool {
        let mut idle = lock(&self.idle);
        let has_room = idle.len() + self.busy() < BULK_MAX;
        if has_room {
            idle.push_back(connection);
        }
        has_room
    }

    pub(crate) fn has_room(&self) -> bool {
        self.idle() + self.busy() < BULK_MAX
    }

    pub(crate) fn idle(&self) -> usize {
        lock(&self.idle).len()
    }

    pub(crate) fn busy(&self) -> usize {
        self.health.bulk.load(Ordering::Relaxed)
    }

    /// Opens a stream on one of the idle connections.
    /// The stream breaks when `line_end` fires.
    pub(crate) async fn open(
        &self,
        request: &OpenRequest,
        line_end: &CancellationToken,
    ) -> Result<LineStream, NotOpened> {
        loop {
            // The youngest: the least likely to have been cut by something on the way.
            let idle = lock(&self.idle).pop_back();
            let Some(Idle {
                mut connection,
                counted,
            }) = idle
            else {
                return Err(NotOpened::NoConnection);
            };
            let busy = Counted::new(&self.health.bulk);
            let asked_at = self.health.mark();
            match timeout(BULK_SEEN_LIMIT, ask(&mut connection, request)).await {
                Ok(Ok(Report::Seen)) => {}
                // Dead or confused: the next one.
                Ok(_) => continue,
                Err(_) => {
                    // The others are older. On a path that is only slow they are well.
                    if !self.health.has_heard_since(asked_at) {
                        self.clear();
                    }
                    return Err(NotOpened::NoConnection);
                }
            }
            return match read_frame(&mut connection, FRAME_BYTES_MAX).await {
                Ok(Report::Opened) => Ok(LineStream::connection(
                    connection,
                    (line_end.clone(), Arc::clone(&self.health)),
                    (busy, Some(counted)),
                )),
                Ok(Report::Refused(refusal)) => Err(NotOpened::Refused(refusal)),
                Ok(report) => Err(NotOpened::Broke(format!("an unexpected {report:?}"))),
                Err(error) => Err(NotOpened::Broke(error.to_string())),
            };
        }
    }

    /// Pings what is idle, one after the other, so that the dead are thrown away before use.
    pub(crate) async fn keep(&self, timing: Timing) {
        loop {
            tokio::time::sleep(timing.ping_interval).await;
            for _ in 0..self.idle() {
                let Some(mut idle) = lock(&self.idle).pop_front() else {
                    break;
                };
                if is_alive(&mut idle.connection, timing.pong_limit).await {
                    lock(&self.idle).push_back(idle);
                }
            }
        }
    }

    /// Throws away what is idle.
    pub(crate) fn clear(&self) {
        lock(&self.idle).clear();
    }
}

async fn ask(connection: &mut Sealed, request: &OpenRequest) -> Result<Report, FrameError> {
    write_frame(connection, &Order::Open(request.clone())).await?;
    read_frame(connection, FRAME_BYTES_MAX).await
}

async fn is_alive(connection: &mut Sealed, limit: Duration) -> bool {
    let exchange = async {
        write_frame(connection, &Order::Ping).await?;
        read_frame::<Report, _>(connection, FRAME_BYTES_MAX).await
    };
    let answer = timeout(limit, exchange).await;
    // Whatever comes unasked would be kept.
    matches!(answer, Ok(Ok(Report::Pong))) && connection.is_quiet()
}
