//! One HTTP/1.1 connection, driven by whoever waits for its answer. It has no task of its own: a
//! request, its answer and the body come and go in the asker's, without a hand-over between them.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use super::wakes::Wakes;
use super::{ClientError, HEAD_BYTES_MAX, chain};
use crate::duplex::BoxDuplex;

type Line = http1::Connection<TokioIo<BoxDuplex>, Full<Bytes>>;

/// A connection to one origin. Dropping it closes it. It is large and changes hands often, so it
/// stays in one place.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Nothing once it has ended.
    line: Option<Line>,
    wakes: Wakes,
    /// When it was dialled.
    dialled: Instant,
}

impl Connection {
    /// Speaks HTTP/1.1 on `stream`, which was dialled at that time.
    pub(super) async fn open(
        stream: BoxDuplex,
        dialled: Instant,
    ) -> Result<Box<Self>, ClientError> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX);
        let opened = builder.handshake(TokioIo::new(stream)).await;
        let (sender, line) = opened.map_err(|error| ClientError::Protocol(chain(&error)))?;
        Ok(Box::new(Self {
            sender,
            line: Some(line),
            wakes: Wakes::new(),
            dialled,
        }))
    }

    /// When it was dialled.
    pub(super) fn dialled(&self) -> Instant {
        self.dialled
    }

    /// Sends `request` and gives the head of the answer. The body comes through
    /// [`Connection::poll_frame`]. An error has the request when none of it was sent.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        let (line, wakes) = (&mut self.line, &self.wakes);
        poll_fn(move |context| {
            wakes.drive(context, |context| {
                drive(line, context);
                answer.as_mut().poll(context)
            })
        })
        .await
    }

    /// Whether another request can be sent. The peer may have closed it meanwhile, which only
    /// driving tells. Until then it wakes nobody.
    pub(super) fn is_free(&mut self, context: &mut Context<'_>) -> bool {
        let line = &mut self.line;
        // It is ready when it has ended, which `line` shows as well.
        let _ended: Poll<()> = self.wakes.drive(context, |context| {
            drive(line, context);
            Poll::Pending
        });
        self.wakes.forget();
        self.line.is_some() && self.sender.is_ready()
    }

    /// The next piece of the body of an answer that came on this connection.
    pub(super) fn poll_frame(
        &mut self,
        body: &mut Incoming,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let (line, mut body) = (&mut self.line, Pin::new(body));
        self.wakes.drive(context, |context| {
            if let Poll::Ready(frame) = body.as_mut().poll_frame(context) {
                return Poll::Ready(frame);
            }
            drive(line, context);
            body.as_mut().poll_frame(context)
        })
    }
}

/// An error ends up with the answer or the body as well, so that here only the end counts.
fn drive(line: &mut Option<Line>, context: &mut Context<'_>) {
    let ended = line
        .as_mut()
        .is_some_and(|line| Pin::new(line).poll(context).is_ready());
    if ended {
        *line = None;
    }
}
