//! Several files as one: parts as the file that was split into them, and a run as an archive.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use md5::{Digest as _, Md5};
use wire::s3::key::Key;
use wire::s3::xml::Object;
use wire::tar;

use super::Shared;
use super::catalogue::{Shown, Version, Window};
use super::error::Trouble;
use super::serve::UNKNOWN_TYPE;

/// Files that are listed at a time.
const PAGE: usize = 1_000;
/// Digits of the number of a part, at least: krkn begins with `-00`.
const DIGITS_MIN: usize = 2;
/// At most.
const DIGITS_MAX: usize = 9;

/// The key of the file that this one may be a part of, and its number there.
pub(crate) fn part_of(key: &str) -> Option<(String, usize)> {
    let name = key.rsplit('/').next()?;
    let folder = key.strip_suffix(name)?;
    let (numbered, extension) = name.split_once('.')?;
    let (stem, digits) = numbered.rsplit_once('-')?;
    let is_number = (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| is_number)?;
    Some((format!("{folder}{stem}.{extension}"), number))
}

/// What the keys of all parts of a file begin with.
pub(crate) fn prefix_of_parts(key: &str) -> Option<String> {
    let name = key.rsplit('/').next()?;
    let folder = key.strip_suffix(name)?;
    let (stem, _) = name.split_once('.')?;
    Some(format!("{folder}{stem}-"))
}

/// How many parts, when none is missing from the first to the last.
pub(crate) fn count_parts(numbers: impl Iterator<Item = usize>) -> Option<usize> {
    let mut numbers: Vec<usize> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    let is_whole = numbers.iter().enumerate().all(|(at, number)| at == *number);
    (is_whole && !numbers.is_empty()).then_some(numbers.len())
}

impl Shared {
    /// The file that was split into `name-00.ext`, `name-01.ext` and so on, when all of these are there
    /// from the first on.
    pub(crate) async fn find_joined(&self, key: &Key) -> Result<Option<Version>, Trouble> {
        let Some(prefix) = prefix_of_parts(key.as_str()) else {
            return Ok(None);
        };
        let name = key.as_str().rsplit('/').next().unwrap_or_default();
        let extension = name.split_once('.').map_or("", |(_, extension)| extension);
        let number_of = |part: &str| {
            let (joined, number) = part_of(part)?;
            (joined == key.as_str()).then_some(number)
        };
        // There is a first one, or nothing to be joined: names that only begin so are not read.
        let first = |digits: usize| format!("{prefix}{}.{extension}", "0".repeat(digits));
        let firsts: Vec<String> = (DIGITS_MIN..=DIGITS_MAX).map(first).collect();
        if !self.catalogue.has_any(&firsts).await? {
            return Ok(None);
        }
        let mut parts = Vec::new();
        // A colon comes behind the digits.
        let (begin, end) = (format!("{prefix}0"), format!("{prefix}:"));
        let segments = self
            .catalogue
            .current_segments((begin.as_bytes(), end.as_bytes()), |key| {
                number_of(key).is_some()
            });
        let segments = segments.await?.ok_or_else(|| {
            let message = format!("{key} has too many parts to be joined: fetch them one by one");
            Trouble::Invalid(message)
        })?;
        for part in segments {
            if let Some(number) = number_of(&part.object.key) {
                parts.push((number, part));
            }
        }
        // By their numbers: 100 comes after 99. Segments of one part keep their order.
        parts.sort_by_key(|(number, _)| *number);
        let Some(count) = count_parts(parts.iter().map(|(number, _)| *number)) else {
            return Ok(None);
        };
        let mut tags = Md5::new();
        for (_, part) in &parts {
            tags.update(part.object.etag.as_bytes());
        }
        let modified = parts.iter().map(|(_, part)| part.object.modified).max();
        let segments: Vec<_> = parts.into_iter().map(|(_, part)| part.segment).collect();
        Ok(Some(Version {
            id: 0,
            modified: modified.unwrap_or(0),
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
            etag: format!("{}-{}", wire::auth::hex(&tags.finalize()), count),
            sha256: String::new(),
            checksum: String::new(),
            content_type: UNKNOWN_TYPE.to_owned(),
            headers: "{}".to_owned(),
            segments,
        }))
    }
}

/// An archive that is being written.
struct Archive {
    shared: Arc<Shared>,
    /// What the names of its files begin with, which they lose.
    prefix: String,
    waiting: VecDeque<Object>,
    /// The last file that was listed; nothing once all were.
    listed: Option<String>,
    open: Option<(BodyDataStream, usize)>,
    has_ended: bool,
}

/// All files below a prefix as a tar archive, whose names begin behind it.
pub(crate) fn archive(shared: &Arc<Shared>, prefix: &str) -> Body {
    let archive = Archive {
        shared: Arc::clone(shared),
        prefix: prefix.to_owned(),
        waiting: VecDeque::new(),
        listed: Some(String::new()),
        open: None,
        has_ended: false,
    };
    Body::from_stream(stream::try_unfold(archive, |mut archive| async move {
        let piece = archive.next().await?;
        Ok::<_, io::Error>(piece.map(|piece| (piece, archive)))
    }))
}

impl Archive {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some((body, padding)) = &mut self.open {
                if let Some(piece) = body.next().await {
                    return piece.map(Some).map_err(io::Error::other);
                }
                let padding = *padding;
                self.open = None;
                if padding > 0 {
                    return Ok(Some(vec![0; padding].into()));
                }
            }
            if let Some(object) = self.waiting.pop_front() {
                if let Some(head) = self.begin(&object).await? {
                    return Ok(Some(head));
                }
                continue;
            }
            if !self.list().await? {
                let is_first = !std::mem::replace(&mut self.has_ended, true);
                return Ok(is_first.then(|| Bytes::from(tar::end().to_vec())));
            }
        }
    }

    /// The head of a file, whose body follows; nothing when it has gone meanwhile.
    async fn begin(&mut self, object: &Object) -> io::Result<Option<Bytes>> {
        let key = Key::new(object.key.clone()).map_err(io::Error::other)?;
        let found = self.shared.catalogue.find(&key, None).await;
        let Some(version) = found.map_err(io::Error::other)? else {
            return Ok(None);
        };
        let name = object.key.strip_prefix(&self.prefix).unwrap_or(&object.key);
        let seconds = version.modified.div_euclid(1000);
        let head = tar::head(name, version.bytes, seconds);
        let range = (0, version.bytes);
        let body = self.shared.objects.read(version.segments, range).await;
        let body = body.map_err(io::Error::other)?;
        self.open = Some((body.into_data_stream(), tar::padding(version.bytes)));
        Ok(Some(head.into()))
    }

    /// Lists more files; whether there were any.
    async fn list(&mut self) -> io::Result<bool> {
        let Some(after) = self.listed.take() else {
            return Ok(false);
        };
        let window = Window {
            prefix: &self.prefix,
            is_by_folder: false,
            after: &after,
            limit: PAGE,
        };
        let page = self.shared.catalogue.list(window).await;
        let page = page.map_err(io::Error::other)?;
        let last = page.entries.last().map(|entry| entry.key().to_owned());
        self.listed = last.filter(|_| page.is_truncated);
        let files = page.entries.into_iter().filter_map(|entry| match entry {
            // What ends with a slash is a folder, which archives make by themselves.
            Shown::File(object) if !object.key.ends_with('/') => Some(object),
            Shown::File(_) | Shown::Folder(_) => None,
        });
        self.waiting.extend(files);
        Ok(!self.waiting.is_empty() || self.listed.is_some())
    }
}
