//! A file in parts: those that the collector has from an upload that broke off are not sent again.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use wire::s3::xml::CompletedPart;

use super::{Local, Put, Sending, read, unchanged};
use crate::commands::artefacts::check::etag_of;
use crate::commands::artefacts::store::{KeptPart, persist};
use crate::commands::artefacts::{CommandError, Outcome};

/// The usual part: S3 takes none below 5 MiB but the last.
const PART_BYTES: u64 = 8 << 20;
/// Parts of an upload, as S3 has it.
const PARTS_MAX: u64 = 10_000;
/// Parts have whole mebibytes.
const PART_STEP: u64 = 1 << 20;
/// Parts on their way at once.
const PARTS_AT_ONCE: u64 = 4;
/// What these may take in memory; a single part of a huge file may be larger.
const MEMORY_BYTES_MAX: u64 = 128 << 20;

/// How large the parts of a file are: its size alone says it, so that a second attempt has the same.
fn part_bytes(size: u64) -> u64 {
    let needed = size.div_ceil(PARTS_MAX).div_ceil(PART_STEP) * PART_STEP;
    needed.max(PART_BYTES)
}

/// How many of these are read at once.
fn at_once(part_bytes: u64) -> usize {
    let count = (MEMORY_BYTES_MAX / part_bytes).clamp(1, PARTS_AT_ONCE);
    usize::try_from(count).unwrap_or(1)
}

/// An upload, and the tags of its parts that are right.
struct Found {
    upload: String,
    tags: BTreeMap<u64, String>,
}

/// Puts a file in parts.
pub(super) async fn put(sending: &Sending<'_>, file: &Local) -> Outcome<Put> {
    let size = part_bytes(file.bytes);
    let count = file.bytes.div_ceil(size);
    let found = if sending.resumes {
        find(sending, file, size).await?
    } else {
        None
    };
    let found = match found {
        Some(found) => found,
        None => {
            let begin = async || sending.store.begin(&file.key, size).await;
            Found {
                upload: persist(begin, |why| sending.tell_again(why)).await?,
                tags: BTreeMap::new(),
            }
        }
    };
    let kept = found.tags.keys().map(|number| length(file, size, *number));
    let kept_bytes = kept.sum();
    let missing = (1..=count).filter(|number| !found.tags.contains_key(number));
    let sent = stream::iter(missing)
        .map(|number| send(sending, file, (&found.upload, size, number)))
        .buffer_unordered(at_once(size));
    let sent: Vec<(u64, String)> = sent.try_collect().await?;
    unchanged(file)?;
    let mut tags = found.tags;
    tags.extend(sent);
    let parts = tags.into_iter();
    let parts = parts.map(|(number, etag)| CompletedPart { number, etag });
    let parts: Vec<CompletedPart> = parts.collect();
    let names = (file.key.as_str(), found.upload.as_str());
    let complete = async || sending.store.complete(names, &parts).await;
    let etag = match persist(complete, |why| sending.tell_again(why)).await {
        // The answer to a first attempt may have been lost.
        Err(CommandError::Refused { status: 404, .. }) if is_there(sending, file, &parts).await => {
            etag_of(&parts)
        }
        etag => etag.map_err(|error| gone(error, file))?,
    };
    Ok(Put {
        etag,
        parts: count,
        kept_bytes,
    })
}

async fn is_there(sending: &Sending<'_>, file: &Local, parts: &[CompletedPart]) -> bool {
    let known = sending.store.find(&file.key).await.ok().flatten();
    known.is_some_and(|known| known.etag == etag_of(parts))
}

/// Bytes of a part.
fn length(file: &Local, size: u64, number: u64) -> u64 {
    let start = (number - 1).saturating_mul(size);
    file.bytes.saturating_sub(start).min(size)
}

async fn send(
    sending: &Sending<'_>,
    file: &Local,
    (upload, size, number): (&str, u64, u64),
) -> Outcome<(u64, String)> {
    let (start, length) = ((number - 1) * size, length(file, size, number));
    let body = read(file, start, length).await?;
    let names = (file.key.as_str(), upload);
    let put = async || sending.store.put_part(names, number, body.clone()).await;
    let etag = persist(put, |why| sending.tell_again(why)).await;
    let etag = etag.map_err(|error| gone(error, file))?;
    sending.progress.borrow_mut().add(length);
    Ok((number, etag))
}

/// Somebody else may have finished an upload, or given it up.
fn gone(error: CommandError, file: &Local) -> CommandError {
    match error {
        CommandError::Refused { status: 404, text } => {
            let key = &file.key;
            let text = format!("{key}: {text}: the same command begins another one");
            CommandError::Refused { status: 404, text }
        }
        error => error,
    }
}

/// An upload of the key that broke off, all of whose parts are parts of this file. One with others is of
/// somebody else, or of what the file was before.
async fn find(sending: &Sending<'_>, file: &Local, size: u64) -> Outcome<Option<Found>> {
    let uploads = async || sending.store.uploads(&file.key).await;
    let uploads = match persist(uploads, |why| sending.tell_again(why)).await {
        // Who may not read may put all the same, from the beginning.
        Err(CommandError::Refused { status: 403, .. }) => return Ok(None),
        uploads => uploads?,
    };
    for upload in uploads {
        let parts = async || sending.store.parts(&file.key, &upload).await;
        let parts = match persist(parts, |why| sending.tell_again(why)).await {
            Err(CommandError::Refused {
                status: 403 | 404, ..
            }) => continue,
            parts => parts?,
        };
        if let Some(tags) = compare(sending, file, (size, parts)).await? {
            return Ok(Some(Found { upload, tags }));
        }
    }
    Ok(None)
}

/// The tags of the parts, if all of them are right, and there is one.
async fn compare(
    sending: &Sending<'_>,
    file: &Local,
    (size, parts): (u64, Vec<KeptPart>),
) -> Outcome<Option<BTreeMap<u64, String>>> {
    let count = file.bytes.div_ceil(size);
    let fits = |part: &KeptPart| {
        (1..=count).contains(&part.number) && part.bytes == length(file, size, part.number)
    };
    if parts.is_empty() || !parts.iter().all(fits) {
        return Ok(None);
    }
    let mut tags = BTreeMap::new();
    let mut compared = 0;
    for part in parts {
        let start = (part.number - 1) * size;
        let own = read(file, start, part.bytes).await?;
        if own.md5 != part.etag {
            sending.progress.borrow_mut().take_back(compared);
            return Ok(None);
        }
        compared += part.bytes;
        sending.progress.borrow_mut().add_before(part.bytes);
        tags.insert(part.number, part.etag);
    }
    Ok(Some(tags))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_too_many_parts() {
        for (size, expected) in [
            (0, 8 << 20),
            (60_000_000, 8 << 20),
            (10_000 * (8 << 20), 8 << 20),
            (10_000 * (8 << 20) + 1, 9 << 20),
            (5 << 40, 525 << 20),
        ] {
            let part = part_bytes(size);
            assert_eq!(part, expected, "{size}");
            assert!(size.div_ceil(part) <= PARTS_MAX);
        }
        assert_eq!(
            [8, 33, 100, 525].map(|size| at_once(size << 20)),
            [4, 3, 1, 1]
        );
    }
}
