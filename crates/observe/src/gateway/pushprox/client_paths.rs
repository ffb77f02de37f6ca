//! What a stock pushprox-client speaks: `POST /poll` with its name, answered by a request; `POST /push`
//! with the answer to it; and `GET /clients`, the list for service discovery.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base::clock;
use base::error::Class;
use base::http::{Peer, read_body, text_response};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::timeout_at;
use wire::http_message::{HEAD_BYTES_MAX, Head, parse_head};

use super::request::{ID, remove_what_stays};
use super::{Claim, Counters, Denial, Pushprox, token};

/// The longest a poll waits; less than what balancers and address translators forget after, and
/// PushProx's own clients ask again at once.
const POLL_LIMIT: Duration = Duration::from_secs(55);
/// The longest name of a client: that of a DNS name.
const NAME_BYTES_MAX: usize = 253;
/// The largest page.
const PAGE_BYTES_MAX: usize = 64 << 20;
/// What may be left of an answer that the decoder waits to see more of.
const REST_BYTES_MAX: usize = 64 << 10;
/// The longest wait for the name of a client, or for the head of a pushed answer.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// Pieces of a page between client and scraper.
const PIECES: usize = 4;

/// A piece of a page, or its end; a channel that closes without one was cut.
type Piece = Option<Bytes>;

/// A page that was cut off.
#[derive(Debug, thiserror::Error)]
#[error("the pushprox-client broke off in the middle of the page")]
struct Cut;

/// The groups of `/clients`.
#[derive(Serialize)]
struct Group {
    targets: [String; 1],
    labels: std::collections::BTreeMap<String, String>,
}

impl Pushprox {
    /// `POST /poll`
    pub(super) async fn poll(self: Arc<Self>, request: Request) -> Response {
        match self.wait_for_scrape(request).await {
            Ok(request) => {
                Counters::count(&self.clients.counters.polls, "scrape");
                let mut answer = Response::new(Body::from(request));
                let kind = HeaderValue::from_static("message/http");
                answer.headers_mut().insert(CONTENT_TYPE, kind);
                answer
            }
            Err(denial) => {
                let result = match denial.class {
                    Class::Timeout => "nothing",
                    Class::Unauthenticated | Class::Forbidden => "refused",
                    _ => "failed",
                };
                Counters::count(&self.clients.counters.polls, result);
                told(&denial)
            }
        }
    }

    async fn wait_for_scrape(&self, request: Request) -> Result<Bytes, Denial> {
        let (peer, token) = who(&request)?;
        let body = read_body(request.into_body(), NAME_BYTES_MAX + 16).await;
        let body = body.map_err(|class| match class {
            Class::Timeout => denial(class, "the name did not come in time"),
            class => denial(class, "the name of a client has up to 253 bytes"),
        })?;
        let name = name(&body).ok_or_else(|| {
            denial(
                Class::Invalid,
                "the body is the name of a client: letters, digits, - . _ or :",
            )
        })?;
        let claim = Claim {
            token,
            address: peer.ip(),
            name: Some(name),
        };
        self.clients.clientele.admit(&claim).await?;
        let waiting = self.clients.coordinator.poll(name, clock::now());
        let waiting = waiting.map_err(|full| denial(Class::Unavailable, &full.to_string()))?;
        let outcome = tokio::time::timeout(POLL_LIMIT, waiting).await;
        match outcome {
            Ok(Ok(request)) => Ok(request),
            Ok(Err(_)) => Err(denial(
                Class::Timeout,
                "another poll under this name took its place, or this process is being replaced",
            )),
            Err(_) => {
                self.clients.coordinator.seen(name, clock::now());
                Err(denial(Class::Timeout, "no scrape came: poll again"))
            }
        }
    }

    /// `POST /push`
    pub(super) async fn push(self: Arc<Self>, request: Request) -> Response {
        match self.take_answer(request).await {
            Ok(()) => {
                Counters::count(&self.clients.counters.pushes, "success");
                StatusCode::OK.into_response()
            }
            Err(denial) => {
                let result = match denial.class {
                    Class::Unauthenticated | Class::Forbidden => "refused",
                    Class::NotFound => "late",
                    _ => "failed",
                };
                Counters::count(&self.clients.counters.pushes, result);
                tracing::debug!(
                    reason = denial.text,
                    "an answer of a pushprox-client was not taken"
                );
                told(&denial)
            }
        }
    }

    async fn take_answer(&self, request: Request) -> Result<(), Denial> {
        let (peer, token) = who(&request)?;
        let mut body = request.into_body();
        let (head, mut buffer) = read_head(&mut body).await?;
        let nobody = || {
            denial(
                Class::NotFound,
                "no scrape waits for this answer, or not any more",
            )
        };
        let id = head.header(ID).unwrap_or_default().to_owned();
        let awaited = self.clients.coordinator.awaited(&id);
        // Who has no token learns nothing of which answers are awaited.
        let claim = Claim {
            token,
            address: peer.ip(),
            name: awaited.as_ref().map(|awaited| awaited.name.as_str()),
        };
        self.clients.clientele.admit(&claim).await?;
        let awaited = awaited.as_ref().ok_or_else(nobody)?;
        let mut decoder = head.body();
        let (pieces, page) = mpsc::channel(PIECES);
        let answer = answer(&head, page)?;
        if !self.clients.coordinator.answer(&id, answer) {
            return Err(nobody());
        }
        let pumped = async {
            let mut bytes = 0;
            loop {
                while let Some(piece) = decoder.decode(&mut buffer).map_err(wrong)? {
                    bytes += piece.len();
                    if bytes > PAGE_BYTES_MAX {
                        return Err(denial(Class::TooLarge, "the page is larger than 64 MiB"));
                    }
                    pieces.send(Some(piece)).await.map_err(|_| nobody())?;
                }
                // What the decoder leaves is the beginning of a line, or is behind the body.
                if buffer.len() > REST_BYTES_MAX {
                    let text = "more came than the answer's body";
                    return Err(denial(Class::Invalid, text));
                }
                match next(&mut body).await? {
                    Some(more) => buffer.extend_from_slice(&more),
                    None => break,
                }
            }
            decoder.finish().map_err(wrong)?;
            pieces.send(None).await.map_err(|_| nobody())
        };
        let late = || denial(Class::Timeout, "the scrape's time is over");
        timeout_at(awaited.deadline.into(), pumped)
            .await
            .map_err(|_| late())?
    }

    /// `GET /clients`
    pub(super) fn list(&self) -> Response {
        let clients = self.clients.coordinator.clients(clock::now());
        let groups = clients.into_iter().map(|name| Group {
            targets: [name],
            labels: std::collections::BTreeMap::new(),
        });
        Json(groups.collect::<Vec<_>>()).into_response()
    }
}

/// Reads until the head is whole; what has come behind it belongs to the body.
async fn read_head(body: &mut Body) -> Result<(Head, BytesMut), Denial> {
    let mut buffer = BytesMut::new();
    let read = async {
        loop {
            let more = next(body).await?;
            let more =
                more.ok_or_else(|| denial(Class::Invalid, "the body is no HTTP response"))?;
            // Each look reads all of it, so there is one look for each line at most.
            let is_line_over = more.contains(&b'\n');
            buffer.extend_from_slice(&more);
            if !is_line_over && buffer.len() <= HEAD_BYTES_MAX {
                continue;
            }
            if let Some((head, length)) = parse_head(&buffer).map_err(wrong)? {
                buffer.advance(length);
                return Ok(head);
            }
        }
    };
    let head = tokio::time::timeout(HEAD_LIMIT, read).await;
    let head = head.map_err(|_| denial(Class::Timeout, "the answer did not come in time"))??;
    Ok((head, buffer))
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, Denial> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| denial(Class::Invalid, "the client broke off"))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// The answer as the scraper gets it, with a body that comes in pieces.
fn answer(head: &Head, page: mpsc::Receiver<Piece>) -> Result<Response, Denial> {
    let body = stream::unfold(Some(page), |page| async move {
        let mut page = page?;
        match page.recv().await {
            Some(Some(piece)) => Some((Ok(piece), Some(page))),
            Some(None) => None,
            None => Some((Err(Cut), None)),
        }
    });
    let mut answer = Response::new(Body::from_stream(body));
    let status = StatusCode::from_u16(head.status).ok();
    let status = status.filter(|status| !status.is_informational());
    *answer.status_mut() =
        status.ok_or_else(|| denial(Class::Invalid, "an answer has a status from 200 on"))?;
    let headers = answer.headers_mut();
    for (name, value) in &head.headers {
        let name = HeaderName::try_from(name.as_str());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    remove_what_stays(headers);
    if let Some(length) = head.content_length() {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    Ok(answer)
}

/// Who sends it, and with which token. Tokens do not travel in the clear.
fn who(request: &Request) -> Result<(Peer, Option<base::secret::Secret>), Denial> {
    let peer = request.extensions().get::<Peer>().copied();
    let peer = peer.filter(|peer| peer.is_tls || peer.is_loopback());
    let text = "clients come with TLS only: begin --proxy-url with https";
    let peer = peer.ok_or_else(|| denial(Class::Forbidden, text))?;
    Ok((peer, token(request.headers(), AUTHORIZATION)))
}

/// The name of a client, as it can stand in a URL.
fn name(body: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(body).ok()?.trim();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    let is_name = !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_word);
    is_name.then_some(name)
}

fn wrong(error: wire::http_message::MessageError) -> Denial {
    denial(
        Class::Invalid,
        &format!("the answer can't be read: {error}"),
    )
}

fn denial(class: Class, text: &str) -> Denial {
    Denial {
        class,
        text: text.to_owned(),
    }
}

/// The refusal. A client reads whatever it gets as a request and logs what it finds in the place of the
/// version: so the reason comes behind two words.
fn told(denial: &Denial) -> Response {
    let mut answer = text_response(
        denial.class,
        &format!("Landline says: {}", denial.text),
        None,
    );
    if denial.class == Class::Timeout {
        *answer.status_mut() = StatusCode::REQUEST_TIMEOUT;
    }
    if matches!(denial.class, Class::Timeout | Class::Unavailable) {
        // When this process is being replaced, the next poll has to go to the other one.
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(CONNECTION, close);
    }
    if denial.class == Class::Unauthenticated {
        let value = HeaderValue::from_static("Basic realm=\"landline\"");
        answer.headers_mut().insert(WWW_AUTHENTICATE, value);
    }
    answer
}
