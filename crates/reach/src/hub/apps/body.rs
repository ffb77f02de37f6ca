//! Bodies that pass through: frame by frame, so that a slow reader slows the writer, and with a limit
//! on how long nothing may happen.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::BoxError;
use axum::body::Body;
use base::clock;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::open::OpenUse;

/// The longest time in which neither body of an exchange moves.
const IDLE_LIMIT: Duration = Duration::from_mins(10);

/// When something moved last in an exchange.
#[derive(Debug, Clone)]
pub(super) struct Activity {
    moved: Arc<Mutex<Instant>>,
    open: OpenUse,
}

impl Activity {
    /// Of an exchange that ends with `open`.
    pub(super) fn new(open: &OpenUse) -> Self {
        Self {
            moved: Arc::new(Mutex::new(clock::now())),
            open: open.clone(),
        }
    }

    pub(super) fn last(&self) -> Instant {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self) {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = clock::now();
    }
}

/// A body whose movement is noted.
struct Watched {
    body: Body,
    activity: Activity,
    /// Ends the body when nothing moves.
    idle: Pin<Box<Sleep>>,
    /// Ends it when its user is locked.
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// Whose exchange it was is locked.
#[derive(Debug, thiserror::Error)]
#[error("locked by an operator")]
struct Locked;

/// Nothing moved for too long.
#[derive(Debug, thiserror::Error)]
#[error("nothing moved for {} s", IDLE_LIMIT.as_secs())]
struct Idle;

/// The same body, watched.
pub(super) fn watched<B>(body: B, activity: &Activity) -> Body
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let body = Body::new(body);
    if body.is_end_stream() {
        return body;
    }
    Body::new(Watched {
        body,
        activity: activity.clone(),
        idle: Box::pin(sleep_until((clock::now() + IDLE_LIMIT).into())),
        ended: Box::pin(activity.open.ended().cancelled_owned()),
    })
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        // First: a body that always has more would never let the other questions come.
        if this.ended.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(Box::new(Locked))));
        }
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.activity.note();
            return Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)));
        }
        while this.idle.as_mut().poll(context).is_ready() {
            let end = this.activity.last() + IDLE_LIMIT;
            if end <= clock::now() {
                return Poll::Ready(Some(Err(Box::new(Idle))));
            }
            this.idle.as_mut().reset(end.into());
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
