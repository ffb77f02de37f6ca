//! The control stream: messages both ways, each a frame.

use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::error::chain;
use super::frame::{FrameError, read_frame, write_frame};
use super::limits::MESSAGE_BYTES_MAX;
use super::message::Message;
use super::stream::LineStream;

/// Sends what is queued and hands over what comes, until the stream ends; says why it did.
pub(crate) async fn exchange<F, H>(
    stream: LineStream,
    mut outgoing: mpsc::Receiver<Message>,
    mut heard: F,
) -> String
where
    F: FnMut(Message) -> H,
    H: Future<Output = ()>,
{
    let (mut reader, mut writer) = tokio::io::split(stream);
    let sending = async {
        while let Some(message) = outgoing.recv().await {
            write_frame(&mut writer, &message).await?;
        }
        // Nobody can queue any more: the line is being dropped.
        writer.shutdown().await?;
        Ok::<(), FrameError>(())
    };
    let hearing = async {
        loop {
            match read_frame(&mut reader, MESSAGE_BYTES_MAX).await {
                Ok(message) => heard(message).await,
                Err(error) => return error,
            }
        }
    };
    tokio::select! {
        outcome = sending => match outcome {
            Ok(()) => "the line was given up".to_owned(),
            Err(error) => format!("control stream: {}", chain(&error)),
        },
        error = hearing => format!("control stream: {}", chain(&error)),
    }
}
