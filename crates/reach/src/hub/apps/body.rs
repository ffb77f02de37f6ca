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

/// The longest time in which neither body of an exchange moves.
const IDLE_LIMIT: Duration = Duration::from_mins(10);

/// When something moved last in an exchange.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Mutex<Instant>>);

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(clock::now())))
    }

    pub(super) fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = clock::now();
    }
}

/// A body whose movement is noted.
struct Watched {
    body: Body,
    activity: Activity,
    /// Ends the body when nothing moves.
    idle: Pin<Box<Sleep>>,
}

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
