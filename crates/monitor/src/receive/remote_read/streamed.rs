//! Answers in frames of chunks: series by series, as fast as the reader takes them, so that there is no
//! bound of samples.

use std::io;
use std::time::Duration;

use axum::body::Body;
use base::clock;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use signals::{SeriesSamples, Store};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use wire::remote_read::chunks::SeriesChunks;
use wire::remote_read::{self, Query};

use super::{ReadError, select};
use crate::receive::answer::Refused;
use crate::receive::{Shared, convert};
use crate::samples::{Samples, labels};
use crate::viewer::Viewer;

/// Bytes that are sent at once.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces that wait for the reader.
const PIECES_MAX: usize = 8;
/// How long one may take.
const PIECE_LIMIT: Duration = Duration::from_secs(30);
/// How often whoever waits looks whether the store is to be closed.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What comes from the thread that reads.
#[derive(Debug)]
enum Piece {
    Frames(Bytes),
    Failed(ReadError),
    /// That was all. Without it the answer is cut off, and its reader has to learn that.
    End,
}

/// The body of an answer. What is wrong from the beginning is an error; what goes wrong later cuts the
/// body off.
pub(super) async fn answer(
    shared: &Shared,
    viewer: Viewer,
    message: Vec<u8>,
    turn: OwnedSemaphorePermit,
) -> Result<Body, ReadError> {
    let (sender, mut receiver) = mpsc::channel(PIECES_MAX);
    let samples = shared.samples.clone();
    let work = move |store: &Store, _: i64| {
        let mut sending = Sending {
            sender,
            samples,
            gathered: Vec::new(),
        };
        let last = match sending.all(store, &viewer, &message) {
            Ok(true) => Piece::End,
            Ok(false) => return,
            Err(error) => Piece::Failed(error),
        };
        sending.send(last);
        drop(turn);
    };
    let first = {
        let mut working = std::pin::pin!(shared.samples.run(work));
        tokio::select! {
            biased;
            first = receiver.recv() => first,
            // The thread goes on when nobody looks at it; this moves those who wait for the store.
            done = &mut working => {
                done.map_err(Refused::from)?;
                receiver.recv().await
            }
        }
    };
    let first = match first {
        Some(Piece::Frames(first)) => first,
        Some(Piece::End) => return Ok(Body::empty()),
        Some(Piece::Failed(error)) => return Err(error),
        None => return Err(ReadError::Closing),
    };
    let rest = stream::unfold(Some(receiver), |receiver| async move {
        let mut receiver = receiver?;
        let cut = |why: String| Some((Err(io::Error::other(why)), None));
        match receiver.recv().await {
            Some(Piece::Frames(frames)) => Some((Ok(frames), Some(receiver))),
            Some(Piece::End) => None,
            Some(Piece::Failed(error)) => {
                tracing::warn!(%error, "an answer to a remote read is cut off");
                cut(error.to_string())
            }
            None => cut("the store is closed, or the reader was too slow".to_owned()),
        }
    });
    let first = stream::iter([Ok(first)]);
    Ok(Body::from_stream(first.chain(rest)))
}

struct Sending {
    sender: mpsc::Sender<Piece>,
    samples: Samples,
    gathered: Vec<u8>,
}

impl Sending {
    /// Sends everything; false when nobody reads it to the end.
    fn all(&mut self, store: &Store, viewer: &Viewer, message: &[u8]) -> Result<bool, ReadError> {
        let request = remote_read::Request::read(message);
        let request = request.map_err(Refused::from)?;
        for (number, query) in request.queries.iter().enumerate() {
            if !self.query(store, viewer, (number, query))? {
                return Ok(false);
            }
        }
        Ok(self.gathered.is_empty() || self.flush())
    }

    fn query(
        &mut self,
        store: &Store,
        viewer: &Viewer,
        (number, query): (usize, &Query<'_>),
    ) -> Result<bool, ReadError> {
        let mut selection = select(store, query)?;
        let all: Vec<signals::Labels> = selection.labels().cloned().collect();
        let mut samples = SeriesSamples::default();
        let mut chunks = SeriesChunks::default();
        for (at, series) in all.iter().enumerate() {
            if !self.samples.is_open() {
                return Ok(false);
            }
            if !viewer.sees_everything() && !viewer.sees(&labels(series)) {
                continue;
            }
            selection.read(at, &mut samples)?;
            gather(&mut chunks, &samples);
            let pairs = series.iter();
            let pairs = pairs.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            chunks.frames(&mut self.gathered, number, &pairs);
            if self.gathered.len() >= PIECE_BYTES && !self.flush() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn flush(&mut self) -> bool {
        let frames = Bytes::from(std::mem::take(&mut self.gathered));
        self.send(Piece::Frames(frames))
    }

    /// Waits for room; false when there is none in time, or nobody reads any more.
    fn send(&self, piece: Piece) -> bool {
        let deadline = clock::now() + PIECE_LIMIT;
        loop {
            let room = tokio::time::timeout(LOOK_INTERVAL, self.sender.reserve());
            match Handle::current().block_on(room) {
                Ok(Ok(room)) => {
                    room.send(piece);
                    return true;
                }
                Ok(Err(_)) => return false,
                Err(_) if clock::now() > deadline || !self.samples.is_open() => return false,
                Err(_) => {}
            }
        }
    }
}

/// Numbers and histograms in the order of their times.
fn gather(chunks: &mut SeriesChunks, samples: &SeriesSamples) {
    let mut histograms = samples.histograms.iter().peekable();
    for (time, value, _) in samples.floats.iter() {
        while let Some((at, _, histogram)) = histograms.next_if(|next| next.0 < time) {
            chunks.histogram(*at, &convert::wire_histogram(histogram));
        }
        chunks.float(time, value);
    }
    for (at, _, histogram) in histograms {
        chunks.histogram(*at, &convert::wire_histogram(histogram));
    }
}
