//! The agent's end of the bulk lane: keeps connections dialled ahead and serves one stream on each.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::agent_end::Shared;
use super::bulk::{Order, Report};
use super::error::{ConnectError, chain};
use super::frame::{FrameError, read_frame, write_frame};
use super::limits::{BULK_MAX, BULK_PAUSE, BULK_REFUSED_PAUSE, FRAME_BYTES_MAX};
use super::message::OpenRequest;
use super::sealed::Sealed;
use super::stream::{Counted, LineStream};

/// How many connections wait, and whether any are wanted. Those in use the lane's health counts.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// Fires when the proxy has asked for some: most lines never carry bulk.
    pub(crate) wanted: CancellationToken,
    pub(crate) idle: Arc<AtomicUsize>,
}

/// Silence of the proxy for this many ping intervals means that an idle connection is dead.
const SILENT_INTERVALS: u32 = 3;

/// Dials from when the proxy asks until the line drains or ends, so that the wanted number waits to be
/// used.
pub(crate) async fn keep_dialled(shared: Arc<Shared>) {
    let dialling = dial_and_serve(&shared);
    tokio::select! {
        () = dialling => {}
        () = shared.draining.cancelled() => {}
        _ = shared.end.ended() => {}
    }
}

async fn dial_and_serve(shared: &Arc<Shared>) {
    shared.bulk.wanted.cancelled().await;
    let ahead = Arc::new(Semaphore::new(shared.connector.bulk_idle()));
    let all = Arc::new(Semaphore::new(BULK_MAX));
    loop {
        let permits = (
            Arc::clone(&ahead).acquire_owned().await,
            Arc::clone(&all).acquire_owned().await,
        );
        let (Ok(waiting), Ok(counted)) = permits else {
            return;
        };
        match shared.connector.join_bulk(&shared.route).await {
            Ok(io) => {
                let shared_too = Arc::clone(shared);
                shared.scope.spawn("bulk connection", async move {
                    serve(io, waiting, &shared_too).await;
                    drop(counted);
                });
            }
            Err(error) => {
                tracing::debug!(error = chain(&error), "no bulk connection");
                let pause = match &error {
                    ConnectError::Refused { .. } => BULK_REFUSED_PAUSE,
                    _ => BULK_PAUSE,
                };
                sleep(pause.mul_f64(1.0 + fastrand::f64())).await;
            }
        }
    }
}

async fn serve(mut io: Sealed, waiting: OwnedSemaphorePermit, shared: &Shared) {
    let counted = Counted::new(&shared.bulk.idle);
    let request = tokio::select! {
        request = wait_for_use(&mut io, shared) => request,
        () = shared.draining.cancelled() => return,
        _ = shared.end.ended() => return,
    };
    drop(counted);
    match request {
        Ok(request) => {
            drop(waiting);
            let counted = Counted::new(&shared.interactive.bulk);
            // While it was idle, pings were rare.
            shared.interactive.probe.notify_one();
            tokio::select! {
                outcome = open(io, request, counted, shared) => if let Err(error) = outcome {
                    tracing::debug!(error = chain(&error), "bulk stream not opened");
                },
                _ = shared.end.ended() => {}
            }
        }
        Err(error) => {
            tracing::debug!(error = chain(&error), "idle bulk connection gone");
            // The permit is kept meanwhile: a proxy that closes at once is not dialled in a circle.
            sleep(BULK_PAUSE).await;
        }
    }
}

async fn wait_for_use(io: &mut Sealed, shared: &Shared) -> Result<OpenRequest, FrameError> {
    let silence = shared.connector.timing().ping_interval * SILENT_INTERVALS
        + shared.connector.timing().pong_limit;
    loop {
        let order = timeout(silence, read_frame(io, FRAME_BYTES_MAX)).await;
        match order.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?? {
            Order::Ping => write_frame(io, &Report::Pong).await?,
            Order::Open(request) => return Ok(request),
        }
    }
}

async fn open(
    mut io: Sealed,
    request: OpenRequest,
    counted: Counted,
    shared: &Shared,
) -> Result<(), FrameError> {
    write_frame(&mut io, &Report::Seen).await?;
    match shared.dial(request).await {
        Ok(served) => {
            write_frame(&mut io, &Report::Opened).await?;
            let line = (shared.end.token().clone(), Arc::clone(&shared.interactive));
            let stream = LineStream::connection(io, line, (counted, None));
            shared.run(served, stream).await;
        }
        Err(refusal) => write_frame(&mut io, &Report::Refused(refusal)).await?,
    }
    Ok(())
}
