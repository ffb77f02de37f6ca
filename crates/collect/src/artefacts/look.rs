//! Looking into a file without fetching it: the files of an archive, a window of a text, what is packed
//! with gzip unpacked. Everything that is read comes from strangers, and each request has bounds.

mod archive;
mod content;
mod error;
mod query;
mod source;
mod unpack;
mod walk;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base::http::{Policy, Routes};
use http::request::Parts;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use wire::s3::key::Key;

use self::content::Content;
use self::error::LookError;
use self::query::Asked;
use self::source::Source;
use super::Shared;
use super::visitor::{Act, Visitor};

/// Files that are unpacked at once: each has a thread and a core.
const UNPACKED_AT_ONCE_MAX: usize = 4;
/// Files that are read at once.
const READ_AT_ONCE_MAX: usize = 32;
/// The longest that a request may read or unpack.
const TIME_MAX: Duration = Duration::from_secs(20);
/// Bytes at the beginning by which a content is known.
const HEAD_BYTES: usize = 8 << 10;
/// Bytes that are shown of what is no text.
const START_BYTES: usize = 256;

/// The turns of those who look.
#[derive(Debug)]
pub(super) struct Looks {
    unpacking: Arc<Semaphore>,
    reading: Arc<Semaphore>,
}

impl Default for Looks {
    fn default() -> Self {
        Self {
            unpacking: Arc::new(Semaphore::new(UNPACKED_AT_ONCE_MAX)),
            reading: Arc::new(Semaphore::new(READ_AT_ONCE_MAX)),
        }
    }
}

impl Looks {
    /// A turn to unpack, for as long as it is held; nobody waits for one.
    fn unpack(&self) -> Result<OwnedSemaphorePermit, LookError> {
        let turn = Arc::clone(&self.unpacking).try_acquire_owned();
        turn.map_err(|_| LookError::Busy)
    }
}

/// What there is.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Look {
    Archive(Page),
    Text(Part),
    Image {
        media_type: &'static str,
        bytes: u64,
    },
    Binary {
        /// Of the file as it lies there.
        bytes: u64,
        /// In hexadecimal digits, unpacked.
        start: String,
    },
}

/// Files of an archive.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Page {
    format: &'static str,
    members: Vec<ShownMember>,
    /// To be asked for as `offset`.
    next: Option<u64>,
    /// Why there is nothing behind these, when that is not the end.
    problem: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct ShownMember {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    bytes: u64,
    changed_at: String,
    /// Where it begins, to be asked for as `at`: it is found at once, and told from others of its name.
    at: u64,
}

/// A part of a text.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Part {
    media: &'static str,
    is_packed: bool,
    offset: u64,
    text: String,
    /// To be asked for as `offset`.
    next: Option<u64>,
    /// Bytes of all of it, when that is known.
    total: Option<u64>,
}

pub(super) fn routes(shared: &Arc<Shared>, policy: &impl Fn() -> Policy) -> Routes {
    let shared = Arc::clone(shared);
    let handler = move |request: Request| async move {
        let head = request.into_parts().0;
        let answered = timeout(TIME_MAX, look(&shared, &head)).await;
        answered.unwrap_or(Err(LookError::Slow))
    };
    let path = "/v1/artefacts/runs/{group}/{run}/look";
    Routes::default().get(path, policy(), handler)
}

async fn look(shared: &Shared, head: &Parts) -> Result<Response, LookError> {
    let visitor = head.extensions.get::<Visitor>();
    let visitor = visitor.ok_or(LookError::Anonymous)?;
    let asked = Asked::read(head.uri.path(), head.uri.query().unwrap_or_default())?;
    // What one may not see is not there.
    if !visitor.may(asked.key.parts().group, Act::Read) {
        return Err(LookError::NoFile);
    }
    let turn = shared.looks.reading.try_acquire();
    let _turn = turn.map_err(|_| LookError::Busy)?;
    let source = open(shared, &asked.key, asked.version).await?;
    let look = look_into(&shared.looks, source, asked).await?;
    Ok(Json(look).into_response())
}

async fn open(shared: &Shared, key: &Key, version: Option<i64>) -> Result<Source, LookError> {
    let found = shared.catalogue.find(key, version).await?;
    let found = match found {
        None if version.is_none() => shared.find_joined(key).await?,
        found => found,
    };
    let found = found.ok_or(LookError::NoFile)?;
    Ok(Source::new(&shared.objects, found.segments))
}

async fn look_into(looks: &Looks, mut source: Source, asked: Asked) -> Result<Look, LookError> {
    let head = source.read(0, HEAD_BYTES).await?;
    let name = asked.key.as_str().to_owned();
    match Content::of(&head, &name) {
        Content::Gzip => {
            let turn = looks.unpack()?;
            let range = (0, source.bytes());
            unpack::look(source, range, (asked, turn)).await
        }
        Content::Tar => match &asked.member {
            None => archive::list(&mut source, &asked).await.map(Look::Archive),
            Some(wanted) => {
                let member = archive::find(&mut source, wanted).await?;
                look_into_member(looks, source, (member.data, member.stored), asked).await
            }
        },
        _ if asked.member.is_some() => Err(LookError::NoArchive),
        content => {
            let range = (0, source.bytes());
            show(&mut source, range, (content, &head), &asked).await
        }
    }
}

/// Looks at a range of a file, which is one of its files.
async fn look_into_member(
    looks: &Looks,
    mut source: Source,
    (begin, length): (u64, u64),
    asked: Asked,
) -> Result<Look, LookError> {
    let name = asked.name().to_owned();
    let head_bytes = usize::try_from(length)
        .unwrap_or(HEAD_BYTES)
        .min(HEAD_BYTES);
    let head = source.read(begin, head_bytes).await?;
    if begin.saturating_add(length) > source.bytes() {
        return Err(LookError::Cut(name));
    }
    match Content::of(&head, &name) {
        Content::Gzip => {
            let turn = looks.unpack()?;
            let asked = asked.within_member();
            unpack::look(source, (begin, length), (asked, turn)).await
        }
        content => show(&mut source, (begin, length), (content, &head), &asked).await,
    }
}

/// What is no archive and not packed.
async fn show(
    source: &mut Source,
    (begin, length): (u64, u64),
    (content, head): (Content, &[u8]),
    asked: &Asked,
) -> Result<Look, LookError> {
    let Content::Text(media) = content else {
        return Ok(content.shown(head, length));
    };
    let (offset, limit) = (asked.offset.min(length), asked.text_bytes());
    let rest = usize::try_from(length - offset).unwrap_or(usize::MAX);
    let bytes = source.read(begin + offset, limit.min(rest)).await?;
    let window = content::Window {
        offset,
        bytes: &bytes,
        is_end: rest <= limit,
        is_packed: false,
        total: Some(length),
    };
    Ok(Look::Text(window.shown(media)))
}
