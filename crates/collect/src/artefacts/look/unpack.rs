//! What is packed with gzip can only be read from its beginning on: on a thread of its own, up to a
//! bound of bytes and of time. Both bounds are of all that is unpacked for a request, also when
//! something packed lies in something packed, so that it does not matter how tightly it is.

mod reader;
#[cfg(test)]
mod tests;

use std::io::{Cursor, Read};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use self::reader::{Budget, Pipe, Unpacked, unpacked};
use super::content::{Content, Window};
use super::error::LookError;
use super::query::Asked;
use super::source::Source;
use super::walk::{Ended, Finder, Listing, Visit, Walk};
use super::{HEAD_BYTES, Look};

/// What is unpacked for one request, and for how long.
const LIMITS: Limits = Limits {
    bytes: 1 << 30,
    time: Duration::from_secs(15),
};
/// Pieces that wait for the thread.
const PIECES_MAX: usize = 2;

#[derive(Debug, Clone, Copy)]
struct Limits {
    bytes: u64,
    time: Duration,
}

/// Looks at a range of a file, which is packed.
pub(super) async fn look(
    source: Source,
    range: (u64, u64),
    (asked, turn): (Asked, OwnedSemaphorePermit),
) -> Result<Look, LookError> {
    let mut stream = source.stream(range).await?;
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    // The turn moves along: when nobody waits for the answer any more, the thread still counts.
    let mut work = tokio::task::spawn_blocking(move || {
        let look = look_at(Pipe::new(receiver), range.1, &asked, LIMITS);
        drop(turn);
        look
    });
    let feed = async move {
        while let Some(piece) = stream.next().await {
            if sender.send(piece).await.is_err() {
                break;
            }
        }
        drop(sender);
    };
    let looked = tokio::select! {
        looked = &mut work => looked,
        () = feed => work.await,
    };
    looked.map_err(|_| LookError::Broken)?
}

/// The same of bytes as they come.
fn look_at(
    packed: impl Read,
    bytes: u64,
    asked: &Asked,
    limits: Limits,
) -> Result<Look, LookError> {
    let budget = Budget::new(limits.bytes, limits.time);
    let mut reader = unpacked(packed, &budget);
    let head = reader.take_up_to(HEAD_BYTES)?;
    let content = Content::of(&head, asked.name());
    let mut reader = Unpacked::new(Cursor::new(&head).chain(reader));
    match (&asked.member, content) {
        (None, Content::Tar) if !asked.is_within() => {
            let mut walk = Walk::new(asked.list_from()?);
            let mut listing = Listing::new(asked);
            let ended = go(&mut reader, &mut walk, &mut listing);
            let members = listing.finish(ended, walk.begin(), "tar.gz")?;
            Ok(Look::Archive(members))
        }
        (Some(wanted), Content::Tar) => {
            let mut walk = Walk::new(wanted.at.unwrap_or(0));
            let mut finder = Finder::new(wanted);
            let ended = go(&mut reader, &mut walk, &mut finder);
            let member = finder.finish(ended)?;
            look_into_member(reader, member.stored, asked, &budget)
        }
        (Some(_), _) => Err(LookError::NoArchive),
        (None, Content::Text(media)) => text(&mut reader, (media, None), asked),
        (None, content) => Ok(content.shown(&head, bytes)),
    }
}

/// A file of a packed archive, whose bytes come next.
fn look_into_member(
    archive: Unpacked<impl Read>,
    bytes: u64,
    asked: &Asked,
    budget: &Budget,
) -> Result<Look, LookError> {
    let mut member = Unpacked::new(archive.take(bytes));
    let head = member.take_up_to(HEAD_BYTES)?;
    let mut whole = Unpacked::new(Cursor::new(&head).chain(&mut member));
    let look = match Content::of(&head, asked.name()) {
        Content::Gzip => {
            let mut reader = unpacked(&mut whole, budget);
            let head = reader.take_up_to(HEAD_BYTES)?;
            match Content::of(&head, asked.name()) {
                Content::Text(media) => {
                    let mut reader = Unpacked::new(Cursor::new(&head).chain(reader));
                    text(&mut reader, (media, None), asked)
                }
                content => Ok(content.shown(&head, bytes)),
            }
        }
        Content::Text(media) => text(&mut whole, (media, Some(bytes)), asked),
        content => Ok(content.shown(&head, bytes)),
    };
    // An archive that is cut off ends like any file.
    if member.has_ended() && member.at() < bytes {
        return Err(LookError::Cut(asked.name().to_owned()));
    }
    look
}

/// A window of what comes; its length is known when it is not packed itself.
fn text(
    reader: &mut Unpacked<impl Read>,
    (media, total): (&'static str, Option<u64>),
    asked: &Asked,
) -> Result<Look, LookError> {
    reader.skip_to(asked.offset)?;
    let (offset, limit) = (reader.at(), asked.text_bytes());
    let (mut bytes, error) = reader.take_what_comes(limit + 1);
    // What stands before damaged bytes is shown; who goes on learns of them.
    if let Some(error) = error
        && (bytes.is_empty() || !error.is_of_content())
    {
        return Err(error);
    }
    let is_end = reader.has_ended();
    bytes.truncate(limit);
    let window = Window {
        offset,
        bytes: &bytes,
        is_end,
        is_packed: total.is_none(),
        total: total.or(is_end.then_some(reader.at())),
    };
    Ok(Look::Text(window.shown(media)))
}

fn go(
    reader: &mut Unpacked<impl Read>,
    walk: &mut Walk,
    visit: &mut impl Visit,
) -> Result<Ended, LookError> {
    while let Some(wanted) = walk.wanted() {
        reader.skip_to(wanted.offset)?;
        let bytes = if reader.has_ended() {
            Vec::new()
        } else {
            reader.take_up_to(wanted.length)?
        };
        // The bytes of a file begin behind its last head: they come next.
        if let Some(ended) = walk.feed(&bytes, reader.at(), visit)? {
            return Ok(ended);
        }
    }
    Ok(Ended::Bound)
}
