//! What waits for a remote: the log of the store from the place on up to which the remote has everything.
//! All of this blocks and happens while the store is open.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use signals::disk::DiskError;
use signals::{Exemplar, Follower, Limits, LogPlace, Store};

use super::batch::{Batch, Form, KnownMetrics};
use super::cursor::{Cursor, Found, Mark};
use super::metrics::RemoteMetrics;
use super::repeats::Repeats;

/// Samples of one request.
const BATCH_SAMPLES: usize = 10_000;
/// Bytes of one request before it is packed, about.
const BATCH_BYTES: usize = 2 << 20;
/// Batches without anything to send that are passed over at once.
const EMPTY_MAX: usize = 100;

/// Why there is no batch now.
#[derive(Debug, thiserror::Error)]
pub(super) enum QueueError {
    /// The log.
    #[error(transparent)]
    Log(#[from] DiskError),
    /// The file that says how far the remote is.
    #[error("{}: {error}", path.display())]
    Cursor {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// The first file of the log that each of several remotes needs.
#[derive(Debug, Clone)]
pub(super) struct Needed(Arc<Mutex<Vec<u32>>>);

impl Needed {
    /// Nothing goes before each has said what it needs.
    pub(super) fn new(remotes: usize) -> Self {
        Self(Arc::new(Mutex::new(vec![0; remotes])))
    }

    /// As [`Needed::set`], but never to an earlier file.
    fn raise(&self, at: usize, file: u32) -> u32 {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.get(at).copied().unwrap_or(0);
        drop(all);
        self.set(at, own.max(file))
    }

    fn set(&self, at: usize, file: u32) -> u32 {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = all.get_mut(at) {
            *own = file;
        }
        all.iter().copied().min().unwrap_or(u32::MAX)
    }
}

/// What a queue is made with.
#[derive(Debug)]
pub(super) struct QueueParts {
    /// Its name in the log.
    pub(super) name: String,
    /// The file that says how far it is.
    pub(super) path: PathBuf,
    pub(super) form: Form,
    /// Bytes that may wait.
    pub(super) limit: u64,
    pub(super) metrics: RemoteMetrics,
    pub(super) needed: (Needed, usize),
}

/// What waits for a remote.
#[derive(Debug)]
pub(super) struct Queue {
    parts: QueueParts,
    opened: Option<Opened>,
}

#[derive(Debug)]
struct Opened {
    cursor: Cursor,
    /// What the file says.
    written: Mark,
    mark: Mark,
    follower: Follower,
    orphans: u64,
    known: KnownMetrics,
    waiting: Vec<Exemplar>,
    repeats: Repeats,
}

impl Queue {
    pub(super) fn new(parts: QueueParts) -> Self {
        Self {
            parts,
            opened: None,
        }
    }

    /// What is sent next, if anything waits. It is noted as under way when this returns.
    pub(super) fn next(&mut self, store: &Store) -> Result<Option<Batch>, QueueError> {
        let next = self.take(store);
        next.inspect_err(|_| {
            // What was read on the way is not sent by anybody: it is read again, from where the file says.
            self.opened = None;
            self.parts.give_up_beyond_limit(store);
        })
    }

    /// Drops the oldest files of the log when more than the limit waits. True when what is under way
    /// was among it, and needs not be sent any more.
    pub(super) fn trim(&mut self, store: &Store) -> Result<bool, QueueError> {
        let trimmed = self.drop_oldest(store);
        trimmed.inspect_err(|_| self.parts.give_up_beyond_limit(store))
    }

    fn take(&mut self, store: &Store) -> Result<Option<Batch>, QueueError> {
        if self.opened.is_none() {
            self.opened = Some(self.open(store)?);
        }
        self.drop_oldest(store)?;
        let (parts, Some(opened)) = (&self.parts, &mut self.opened) else {
            return Ok(None);
        };
        for _ in 0..EMPTY_MAX {
            let before = opened.follower.place();
            let batch = opened.read(store, parts)?;
            let place = opened.follower.place();
            if !batch.is_empty() {
                opened.mark.to = place;
                opened.write(parts)?;
                opened.tell(store, parts)?;
                return Ok(Some(batch));
            }
            opened.mark.from = place;
            opened.mark.to = place;
            if place == before {
                break;
            }
        }
        if opened.written != opened.mark {
            opened.write(parts)?;
        }
        opened.tell(store, parts)?;
        Ok(None)
    }

    /// The remote has what was sent, or will not take it.
    pub(super) fn done(&mut self) {
        if let Some(opened) = &mut self.opened {
            opened.mark.from = opened.follower.place();
            opened.mark.to = opened.mark.from;
        }
    }

    fn drop_oldest(&mut self, store: &Store) -> Result<bool, QueueError> {
        let (parts, Some(opened)) = (&self.parts, &mut self.opened) else {
            return Ok(false);
        };
        if store.log_bytes_after(opened.mark.from) <= parts.limit {
            return Ok(false);
        }
        let mut follower = store.follow(opened.mark.from);
        let mut samples = 0;
        while store.log_bytes_after(follower.place()) > parts.limit {
            let before = follower.place();
            samples += follower.skip_file(store)?;
            if follower.place() == before {
                break;
            }
        }
        if follower.place() == opened.mark.from {
            return Ok(false);
        }
        let limit = base::config::format_bytes(parts.limit);
        tracing::warn!(
            remote = parts.name, samples, %limit,
            "more waits for a remote than its `queue` may have: the oldest samples are dropped"
        );
        parts.metrics.dropped("full", samples);
        let is_gone = opened.mark.to > opened.mark.from;
        let place = follower.place();
        opened.follower = follower;
        opened.orphans = 0;
        opened.mark = Mark {
            from: place,
            to: place,
        };
        opened.write(parts)?;
        opened.tell(store, parts)?;
        Ok(is_gone)
    }

    fn open(&self, store: &Store) -> Result<Opened, QueueError> {
        let parts = &self.parts;
        if let Some(folder) = parts.path.parent() {
            let made = std::fs::create_dir_all(folder);
            made.map_err(|error| parts.cursor_error(error))?;
        }
        let opened = Cursor::open(&parts.path);
        let (cursor, found) = opened.map_err(|error| parts.cursor_error(error))?;
        let wanted = match found {
            Found::Mark(mark) => mark,
            Found::Nothing => {
                // Some may have come before this was asked for the first time.
                let start = store.log_start();
                Mark {
                    from: start,
                    to: start,
                }
            }
            Found::Damaged => {
                let path = parts.path.display();
                tracing::error!(
                    remote = parts.name, %path,
                    "the file that says how far a remote is is damaged: everything that the log has is sent again"
                );
                Mark::default()
            }
        };
        let follower = store.follow(wanted.from);
        let mut mark = wanted;
        if follower.place() != wanted.from {
            if found != Found::Damaged {
                tracing::warn!(
                    remote = parts.name,
                    file = wanted.from.file,
                    "the log has not got any more what a remote should have been sent next; it goes on with the oldest that is there"
                );
            }
            mark = Mark {
                from: follower.place(),
                to: follower.place(),
            };
        }
        let known = store.metadata().into_iter();
        let mut opened = Opened {
            cursor,
            written: wanted,
            mark,
            orphans: 0,
            follower,
            known: known
                .map(|(name, metadata)| (name, Arc::new(metadata)))
                .collect(),
            waiting: Vec::new(),
            repeats: Repeats::default(),
        };
        if found == Found::Nothing || opened.mark != wanted {
            opened.write(parts)?;
        }
        Ok(opened)
    }
}

impl QueueParts {
    /// Even when nothing can be read or noted, the log grows no further than the limit.
    fn give_up_beyond_limit(&self, store: &Store) {
        let mut place = store.follow(LogPlace::default()).place();
        let end = store.log_end();
        while place.file < end.file && store.log_bytes_after(place) > self.limit {
            place = LogPlace::begin_of(place.file + 1);
        }
        let (needed, own) = &self.needed;
        // One that can't be removed goes at the next start.
        store.keep_log_from(needed.raise(*own, place.file)).ok();
    }

    fn cursor_error(&self, error: io::Error) -> QueueError {
        QueueError::Cursor {
            path: self.path.clone(),
            error,
        }
    }
}

impl Opened {
    fn read(&mut self, store: &Store, parts: &QueueParts) -> Result<Batch, QueueError> {
        let is_again = self.mark.to > self.follower.place();
        let limits = Limits {
            items: BATCH_SAMPLES,
            bytes: BATCH_BYTES,
            until: is_again.then_some(self.mark.to),
        };
        let mut items = Vec::new();
        if let Some(damage) = self.follower.read(store, &limits, &mut items)? {
            tracing::error!(
                remote = parts.name, %damage,
                "a part of the log can't be read for a remote, which is not sent what is in it"
            );
            parts.metrics.damaged();
        }
        let orphans = self.follower.orphans();
        let more = orphans.saturating_sub(self.orphans);
        parts.metrics.dropped("damaged", more);
        self.orphans = orphans;
        self.repeats.remove(&mut items);
        let batch = Batch::gather(items, parts.form, &mut self.known, &mut self.waiting);
        parts.metrics.dropped("histogram", batch.left_out);
        Ok(batch)
    }

    fn write(&mut self, parts: &QueueParts) -> Result<(), QueueError> {
        let written = self.cursor.write(self.mark);
        written.map_err(|error| parts.cursor_error(error))?;
        self.written = self.mark;
        Ok(())
    }

    /// Says how much waits, and lets go the files of the log that nobody needs.
    fn tell(&self, store: &Store, parts: &QueueParts) -> Result<(), QueueError> {
        parts.metrics.queued(store.log_bytes_after(self.mark.from));
        let (needed, own) = &parts.needed;
        // What is on disk says so already.
        let first: LogPlace = self.written.from.min(self.mark.from);
        store.keep_log_from(needed.set(*own, first.file))?;
        Ok(())
    }
}
