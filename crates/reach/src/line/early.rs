//! What a client says before it is known whether its connection can be made. It travels with the
//! question, so that a client that speaks first has its answer a round trip sooner.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::copy::Chunk;
use super::message::Refusal;
use super::mux::Stream;
use super::stream::LineStream;

/// The most that travels with a question. The other end holds it while it dials.
pub const EARLY_BYTES_MAX: usize = 16 << 10;

/// The first bytes of a client's connection. They are kept, for a question may be asked on one line
/// after the other.
pub struct Early<'a> {
    connection: &'a mut (dyn AsyncRead + Unpin + Send),
    taken: Bytes,
    has_ended: bool,
    is_sent: bool,
}

impl fmt::Debug for Early<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Early")
            .field("taken", &self.taken.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Early<'a> {
    /// Nothing is read before somebody asks. One that was just accepted should be a
    /// [`Fresh`](base::dial::Fresh): of any other the runtime does not know at once what has come, and it
    /// leaves after the question instead of with it.
    pub fn new(connection: &'a mut (dyn AsyncRead + Unpin + Send)) -> Self {
        Self {
            connection,
            taken: Bytes::new(),
            has_ended: false,
            is_sent: false,
        }
    }

    /// Whether the target may have them already: then nobody else may get them.
    pub(crate) fn is_sent(&self) -> bool {
        self.is_sent
    }

    /// The other end has said that it has not passed them on.
    pub(crate) fn take_back(&mut self) {
        self.is_sent = false;
    }

    /// What was read. It has been sent on a [`LineStream`](super::LineStream) that was opened with it;
    /// over anything else whoever has it has to send it first.
    pub fn taken(&self) -> Bytes {
        self.taken.clone()
    }

    /// Looks whether the client has spoken; most that speak first have done so by now. To be called before
    /// the question is queued: once it is, the flush of any stream may send it without these bytes.
    pub(crate) async fn look(&mut self) {
        if self.taken.is_empty() && !self.has_ended {
            let mut first = std::pin::pin!(self.first());
            poll_fn(|context| Poll::Ready(first.as_mut().poll(context).is_ready())).await;
        }
    }

    /// Waits for the first bytes. That the client has ended or broke is for whoever reads next. Nothing
    /// is lost when it is given up.
    async fn first(&mut self) {
        let mut buffer = BytesMut::with_capacity(EARLY_BYTES_MAX);
        match self.connection.read_buf(&mut buffer).await {
            // As much memory as it needs: it may be kept for as long as the connection.
            Ok(1..) => self.taken = Bytes::copy_from_slice(&buffer),
            Ok(_) | Err(_) => {
                self.has_ended = true;
                std::future::pending::<()>().await;
            }
        }
    }

    /// Sends the question of a stream and waits for the answer; what the client says first goes along.
    pub(crate) async fn answered(
        &mut self,
        stream: &mut Stream,
    ) -> io::Result<Result<(), Refusal>> {
        let is_taken = !self.taken.is_empty();
        if is_taken {
            self.send(stream).await;
        }
        stream.flush();
        if !is_taken && !self.has_ended {
            tokio::select! {
                biased;
                answer = stream.answered() => return answer,
                () = self.first() => {}
            }
            self.send(stream).await;
            stream.flush();
        }
        stream.answered().await
    }

    /// Sends what was taken on a connection of its own, whose target is there already.
    pub(crate) async fn pass_on(&mut self, stream: &mut LineStream) -> io::Result<()> {
        if self.taken.is_empty() {
            return Ok(());
        }
        self.is_sent = true;
        stream.write_all(&self.taken).await?;
        stream.flush().await
    }

    /// Queues what was taken.
    async fn send(&mut self, stream: &mut Stream) {
        self.is_sent = true;
        let mut chunk = Chunk::default();
        chunk.push(BytesMut::from(&self.taken[..]));
        while !chunk.is_empty() {
            let queued = poll_fn(|context| stream.poll_send(context, &mut chunk)).await;
            // The answer says why.
            if queued.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_look_takes_what_is_there_and_waits_for_nothing() {
        let (mut near, mut far) = tokio::io::duplex(64);
        let mut early = Early::new(&mut near);
        early.look().await;
        assert_eq!(early.taken(), "");
        far.write_all(b"hello").await.unwrap();
        early.look().await;
        far.write_all(b" again").await.unwrap();
        early.look().await;
        assert_eq!(
            (early.taken(), early.is_sent()),
            (Bytes::from("hello"), false)
        );

        let (mut near, far) = tokio::io::duplex(64);
        drop(far);
        let mut early = Early::new(&mut near);
        early.look().await;
        assert!(early.has_ended && early.taken().is_empty());
    }
}
