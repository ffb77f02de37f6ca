//! The control lane: messages both ways, each a frame, and the pings by which each end notices that
//! the other is gone. It has no other framing: an idle line should cost next to nothing.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc};

use super::error::{UNSAID, chain};
use super::frame::{FrameError, read_frame, write_frame};
use super::health::{Health, Heard, silent};
use super::limits::{MESSAGE_BYTES_MAX, Timing};
use super::message::Message;
use super::stream::BoxDuplex;

/// The longest that one message may take to be sent.
const WRITE_LIMIT: Duration = Duration::from_secs(30);

/// What the directions of one lane tell one another.
#[derive(Default)]
struct Exchange {
    health: Arc<Health>,
    /// It is time to ask whether the other end is there.
    asks: Notify,
    /// The question is out; a long message may have been before it.
    has_asked: Notify,
    /// The other end has asked.
    is_asked: Notify,
}

/// Sends what is queued and hands over what comes, until the lane ends; says why it did. Whoever hears
/// must not keep it waiting for long: pings of the other end wait behind.
pub(crate) async fn exchange<F, H>(
    io: BoxDuplex,
    outgoing: mpsc::Receiver<Message>,
    heard: F,
    timing: Timing,
) -> String
where
    F: FnMut(Message) -> H,
    H: Future<Output = ()>,
{
    let exchange = Exchange::default();
    let (reader, writer) = tokio::io::split(io);
    let health = Arc::clone(&exchange.health);
    let reader = Heard { reader, health };
    let reason = tokio::select! {
        outcome = exchange.send(writer, outgoing) => match outcome {
            Ok(()) => "the line was given up".to_owned(),
            Err(error) => broke(&error),
        },
        error = exchange.hear(reader, heard) => broke(&error),
        reason = exchange.watch(timing) => reason,
    };
    format!("control lane: {reason}")
}

impl Exchange {
    async fn send(
        &self,
        mut writer: impl AsyncWrite + Unpin,
        mut outgoing: mpsc::Receiver<Message>,
    ) -> Result<(), FrameError> {
        loop {
            let message = tokio::select! {
                message = outgoing.recv() => message,
                () = self.is_asked.notified() => Some(Message::Pong),
                () = self.asks.notified() => Some(Message::Ping),
            };
            let Some(message) = message else {
                // Nobody can queue any more: the line is being dropped.
                return Ok(());
            };
            write_frame(&mut writer, &message).await?;
            if message == Message::Ping {
                self.has_asked.notify_one();
            }
        }
    }

    async fn hear<F, H>(&self, mut reader: impl AsyncRead + Unpin, mut heard: F) -> FrameError
    where
        F: FnMut(Message) -> H,
        H: Future<Output = ()>,
    {
        loop {
            let message = match read_frame(&mut reader, MESSAGE_BYTES_MAX).await {
                Ok(message) => message,
                Err(error) => return error,
            };
            match message {
                Message::Ping => self.is_asked.notify_one(),
                Message::Pong => {}
                message => heard(message).await,
            }
        }
    }

    /// Until the other end does not answer, or does not take what is sent. Any byte that comes is an
    /// answer: a long message may be before it.
    async fn watch(&self, timing: Timing) -> String {
        let pause = timing.ping_interval.saturating_sub(timing.pong_limit);
        loop {
            tokio::time::sleep(pause).await;
            self.asks.notify_one();
            let asked = self.has_asked.notified();
            if tokio::time::timeout(WRITE_LIMIT, asked).await.is_err() {
                let limit = WRITE_LIMIT.as_secs();
                return format!("what is sent has not been taken for {limit} s");
            }
            let asked = self.health.mark();
            tokio::time::sleep(timing.pong_limit).await;
            if !self.health.has_heard_since(asked) {
                return silent(timing.pong_limit);
            }
        }
    }
}

/// Why the lane broke, in words of an operator.
fn broke(error: &FrameError) -> String {
    match error {
        FrameError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => UNSAID.to_owned(),
        error => chain(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Note;
    use super::*;

    const QUICK: Timing = Timing {
        ping_interval: Duration::from_millis(1_100),
        pong_limit: Duration::from_secs(1),
        silence: Duration::from_secs(1),
        busy_limit: Duration::from_secs(1),
    };

    /// Hands over what comes.
    fn tell(sender: &mpsc::Sender<Message>) -> impl FnMut(Message) -> std::future::Ready<()> {
        let sender = sender.clone();
        move |message| {
            drop(sender.try_send(message));
            std::future::ready(())
        }
    }

    #[tokio::test]
    async fn two_ends_keep_one_another_alive_and_talk() {
        let (near, far) = tokio::io::duplex(1 << 10);
        let (to_far, queued) = mpsc::channel(8);
        let (_silent, nothing) = mpsc::channel(8);
        let (heard, mut told) = mpsc::channel(8);
        let ends = async {
            tokio::select! {
                reason = exchange(Box::new(near), queued, tell(&heard), QUICK) => reason,
                reason = exchange(Box::new(far), nothing, tell(&heard), QUICK) => reason,
            }
        };
        let talk = async {
            tokio::time::sleep(3 * QUICK.ping_interval).await;
            let note = Message::Member(Note {
                text: "hello".to_owned(),
            });
            to_far.send(note.clone()).await.unwrap();
            // Pings are not for those who listen.
            assert_eq!(told.recv().await, Some(note));
            drop(to_far);
        };
        let (reason, ()) = tokio::join!(ends, talk);
        assert!(reason.starts_with("control lane: "), "{reason}");
    }

    #[tokio::test]
    async fn an_end_that_does_not_answer_is_given_up() {
        let (near, _far) = tokio::io::duplex(1 << 10);
        let (_sender, queued) = mpsc::channel(8);
        let (heard, _told) = mpsc::channel(8);
        let ended = exchange(Box::new(near), queued, tell(&heard), QUICK);
        let reason = tokio::time::timeout(Duration::from_secs(5), ended).await;
        let reason = reason.unwrap();
        assert!(reason.contains("no answer to a ping"), "{reason}");
    }
}
