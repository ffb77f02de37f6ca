//! Bytes of one file, into a file or to standard output, compared with what the collector says of them.

use std::cell::RefCell;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use base::client::Body;
use base::retry::Backoff;
use http::header::CONTENT_RANGE;
use http::{Response, StatusCode};

use super::target::Target;
use crate::commands::artefacts::check::Check;
use crate::commands::artefacts::store::{Known, Store};
use crate::commands::artefacts::{CommandError, Outcome};
use crate::commands::asking::incoming::Incoming;
use crate::commands::asking::progress::Progress;

/// How long nothing may come.
const SILENCE_LIMIT: Duration = Duration::from_mins(1);
/// Failures in a row without a byte in between, after which it ends.
const FAILURES_MAX: u32 = 6;
/// The pauses between them.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(500),
    ceiling: Duration::from_secs(10),
};

/// What all files share.
#[derive(Clone, Copy)]
pub(super) struct Fetching<'a> {
    pub(super) store: &'a Store,
    pub(super) progress: &'a RefCell<Progress>,
}

/// What has become of a file.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) bytes: u64,
    /// Those that were here from before.
    pub(super) kept_bytes: u64,
    /// Whether the collector knows a checksum, which is the right one then.
    pub(super) is_checked: bool,
}

/// Where bytes go.
enum Place {
    File(Target),
    Standard,
}

impl Place {
    fn write(&mut self, bytes: &[u8]) -> Outcome {
        match self {
            Self::File(target) => target.write(bytes),
            Self::Standard => Ok(std::io::stdout().write_all(bytes)?),
        }
    }
}

impl Fetching<'_> {
    /// Gets a file into this one, which appears once it is whole and right.
    pub(super) async fn to_file(self, key: &str, known: &Known, path: &Path) -> Outcome<Fetched> {
        let is_checked = Check::of(known).is_possible();
        if is_checked && Target::has(path, known).await? {
            self.progress.borrow_mut().add_before(known.bytes);
            return Ok(Fetched {
                bytes: known.bytes,
                kept_bytes: known.bytes,
                is_checked,
            });
        }
        let (target, check, kept_bytes) = Target::open(path, known).await?;
        self.progress.borrow_mut().add_before(kept_bytes);
        let mut coming = Coming {
            fetching: self,
            names: (key, known),
            place: Place::File(target),
            check,
            at: kept_bytes,
        };
        coming.all().await?;
        let Coming { place, check, .. } = coming;
        let Place::File(target) = place else {
            return Ok(Fetched {
                bytes: known.bytes,
                kept_bytes,
                is_checked,
            });
        };
        if !check.finish() {
            target.give_up();
            return Err(CommandError::wrong(format!(
                "what came of {key} is not what the collector keeps: the same command gets it anew"
            )));
        }
        target.finish()?;
        Ok(Fetched {
            bytes: known.bytes,
            kept_bytes,
            is_checked,
        })
    }

    /// Writes a file to standard output.
    pub(super) async fn to_standard(self, key: &str, known: &Known) -> Outcome {
        if std::io::stdout().is_terminal() {
            // They would be in each other's way.
            self.progress.borrow_mut().hide();
        }
        let mut coming = Coming {
            fetching: self,
            names: (key, known),
            place: Place::Standard,
            check: Check::of(known),
            at: 0,
        };
        coming.all().await?;
        std::io::stdout().flush()?;
        if coming.check.finish() {
            return Ok(());
        }
        Err(CommandError::wrong(format!(
            "what came of {key} is not what the collector keeps"
        )))
    }
}

/// A file that comes.
struct Coming<'a> {
    fetching: Fetching<'a>,
    names: (&'a str, &'a Known),
    place: Place,
    check: Check,
    /// Bytes that are here.
    at: u64,
}

impl Coming<'_> {
    /// Takes all that is missing; when it breaks off, it goes on.
    async fn all(&mut self) -> Outcome {
        let mut failures = 0;
        while self.at < self.names.1.bytes {
            let before = self.at;
            let why = match self.some().await {
                Ok(()) => continue,
                Err(CommandError::Away(why)) => why,
                Err(error) => return Err(error),
            };
            // Only what brought nothing counts as one more.
            failures = if self.at > before { 1 } else { failures + 1 };
            if failures > FAILURES_MAX {
                return Err(CommandError::Away(why));
            }
            self.fetching.progress.borrow_mut().clear();
            eprintln!("landline: {why}; trying again");
            tokio::time::sleep(BACKOFF.delay(failures, 0.0)).await;
        }
        Ok(())
    }

    /// Takes what one answer gives.
    async fn some(&mut self) -> Outcome {
        let (key, known) = self.names;
        let store = self.fetching.store;
        let answer = store.read(key, known, self.at).await?;
        self.agree(&answer)?;
        let mut incoming = Incoming::new(answer.into_body(), store.hub.name());
        while let Some(piece) = incoming.next(SILENCE_LIMIT).await? {
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            if self.at.saturating_add(length) > known.bytes {
                return Err(changed(key));
            }
            self.place.write(&piece)?;
            self.check.update(&piece);
            self.at += length;
            self.fetching.progress.borrow_mut().add(length);
        }
        if self.at < known.bytes {
            let name = store.hub.name();
            return Err(CommandError::Away(format!("{name} broke off")));
        }
        Ok(())
    }

    /// Whether an answer begins where this one is.
    fn agree(&self, answer: &Response<Body>) -> Outcome {
        let range = answer.headers().get(CONTENT_RANGE);
        let range = range.and_then(|range| range.to_str().ok());
        let begins = format!("bytes {}-", self.at);
        let is_right = match answer.status() {
            StatusCode::OK => self.at == 0,
            StatusCode::PARTIAL_CONTENT => range.is_some_and(|range| range.starts_with(&begins)),
            _ => false,
        };
        if is_right {
            return Ok(());
        }
        Err(changed(self.names.0))
    }
}

fn changed(key: &str) -> CommandError {
    CommandError::wrong(format!(
        "{key} changed at the collector meanwhile: the same command gets it anew"
    ))
}
