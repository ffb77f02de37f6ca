//! The face of S3, path-style with one bucket: who asks, and which operation it is. The operations are
//! in the modules below.

mod bucket;
mod condition;
mod copy;
mod multipart;
mod object;
mod tags;

pub(super) use self::object::{new_version, read_version};

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base::http::{Peer, Policy, Routes};
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use wire::s3::key::{Key, query_pairs};
use wire::s3::request::{BodyForm, ChunkKey, Claim, Incoming};
use wire::s3::xml;

use super::Shared;
use super::error::Trouble;
use super::time;
use super::visitor::{Act, Visitor};

/// What of S3 there is not: it must not be taken for the plain operation on the same path.
const NOT_HERE: [&str; 22] = [
    "accelerate",
    "acl",
    "analytics",
    "attributes",
    "cors",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "restore",
    "select",
    "website",
];

/// A request whose sender is known.
#[derive(Debug)]
struct Asked {
    head: Parts,
    parameters: Vec<(String, String)>,
    /// Who; with a link of ours nobody, and everything that it says is allowed.
    visitor: Option<Visitor>,
    form: BodyForm,
    chunk_key: Option<ChunkKey>,
    /// Signed in the query.
    is_link: bool,
}

pub(super) fn routes(shared: &Arc<Shared>, policy: &impl Fn() -> Policy) -> Routes {
    let bucket = &shared.config.bucket;
    // Paths of routes live as long as the program, and so does the bucket's name.
    let leak = |path: String| -> &'static str { path.leak() };
    let handler = || {
        let shared = Arc::clone(shared);
        move |request: Request| async move { Box::pin(answer(&shared, request)).await }
    };
    Routes::default()
        .any(leak(format!("/{bucket}")), policy(), handler())
        .any(leak(format!("/{bucket}/")), policy(), handler())
        .any(leak(format!("/{bucket}/{{*key}}")), policy(), handler())
}

async fn answer(shared: &Shared, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let is_head = request.method() == Method::HEAD;
    let upload = shared.upload_in(&request);
    let (head, body) = request.into_parts();
    let is_last = expects_in_vain(&head.headers);
    let mut response = match answer_parts(shared, (head, body)).await {
        Ok(response) => response,
        Err(trouble) => {
            shared.metrics.count_refused(trouble.reason());
            if let Some((head, key)) = &upload {
                shared.note_refused((head, key), &trouble);
            }
            refuse(&trouble, &path, is_head)
        }
    };
    if is_last {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

/// Whether a client waits for "100 Continue" before a body that has no bytes, for which there is none.
/// botocore takes the answer that comes instead for that of its next request on the connection.
fn expects_in_vain(headers: &HeaderMap) -> bool {
    let is_empty = headers
        .get(CONTENT_LENGTH)
        .is_some_and(|length| length == "0");
    is_empty && headers.contains_key(EXPECT)
}

async fn answer_parts(shared: &Shared, (head, body): (Parts, Body)) -> Result<Response, Trouble> {
    let asked = ask(shared, head)?;
    Box::pin(perform(shared, asked, body)).await
}

fn refuse(trouble: &Trouble, path: &str, is_head: bool) -> Response {
    let response = trouble.xml(path);
    if is_head {
        let (head, _) = response.into_parts();
        return Response::from_parts(head, Body::empty());
    }
    response
}

/// `ListBuckets`, which is asked of `/`: there is one.
pub(super) async fn buckets(shared: &Shared, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let answered = match ask(shared, head) {
        Ok(_) => shared.catalogue.created_at().await.map_err(Trouble::from),
        Err(trouble) => Err(trouble),
    };
    match answered {
        Ok(created) => document(xml::buckets(&shared.config.bucket, created)),
        Err(trouble) => {
            shared.metrics.count_refused(trouble.reason());
            trouble.xml("/")
        }
    }
}

/// Finds out who asks.
fn ask(shared: &Shared, head: Parts) -> Result<Asked, Trouble> {
    let text = |headers: &HeaderMap| {
        let mut all = Vec::new();
        for (name, value) in headers {
            let value = value.to_str().ok()?;
            all.push((name.as_str().to_owned(), value.to_owned()));
        }
        Some(all)
    };
    // A header that is not ASCII can't have been signed by anybody in the way we would check it.
    let headers = text(&head.headers)
        .ok_or_else(|| Trouble::Invalid("headers have to be ASCII".to_owned()))?;
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let query = head.uri.query().unwrap_or_default();
    let incoming = Incoming {
        method: head.method.as_str(),
        path: head.uri.path(),
        query,
        headers: &headers,
    };
    let broken = || Trouble::Invalid("the query can't be read".to_owned());
    let parameters = query_pairs(query).ok_or_else(broken)?;
    let form = incoming.header("x-amz-content-sha256");
    let form = BodyForm::parse(form)
        .ok_or_else(|| Trouble::Invalid("x-amz-content-sha256 is not known".to_owned()))?;
    let (visitor, chunk_key, is_link) = match incoming.claim()? {
        Some(claim) => {
            let address = head.extensions.get::<Peer>().map(Peer::ip);
            let who = (address.ok_or(Trouble::Anonymous)?, &*claim.access_key_id);
            shared.check_wait(who.0, who.1)?;
            let proved = prove(shared, (&claim, &incoming), &head);
            shared.count_signature(who, &proved);
            let (visitor, key) = proved?;
            (visitor, Some(key), claim.expires.is_some())
        }
        None => {
            let visitor = head.extensions.get::<Visitor>().cloned();
            (Some(visitor.ok_or(Trouble::Anonymous)?), None, false)
        }
    };
    Ok(Asked {
        head,
        parameters,
        visitor,
        form,
        chunk_key,
        is_link,
    })
}

/// Whose signature it is, and the key of the chunks behind it.
fn prove(
    shared: &Shared,
    (claim, incoming): (&Claim, &Incoming<'_>),
    head: &Parts,
) -> Result<(Option<Visitor>, ChunkKey), Trouble> {
    let known = shared.users.secret(&claim.access_key_id);
    let (secret, visitor) = known.ok_or(Trouble::UnknownUser)?;
    if visitor.is_none() && claim.expires.is_none() {
        // Our own name signs links only.
        return Err(Trouble::UnknownUser);
    }
    let places = shared.places.of_signature(head, visitor.is_none());
    let places: Vec<(&str, &str)> = places
        .iter()
        .map(|(host, prefix)| (host.as_str(), prefix.as_str()))
        .collect();
    let now = time::now().div_euclid(1000);
    let key = claim.verify(incoming, &places, (secret.expose(), now))?;
    Ok((visitor, key))
}

impl Asked {
    /// A parameter of the query.
    fn parameter(&self, name: &str) -> Option<&str> {
        let mut found = self.parameters.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// A header.
    fn text(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    fn has(&self, name: &str) -> bool {
        self.parameter(name).is_some()
    }

    /// A parameter that is a number.
    fn number(&self, name: &str, range: std::ops::RangeInclusive<i64>) -> Result<i64, Trouble> {
        let value = self.parameter(name).and_then(|text| text.parse().ok());
        value
            .filter(|value| range.contains(value))
            .ok_or_else(|| Trouble::Invalid(format!("{name} is a number within {range:?}")))
    }

    /// Refuses who may not.
    fn check(&self, key: &Key, act: Act) -> Result<(), Trouble> {
        match &self.visitor {
            Some(visitor) => Shared::check(visitor, key, act),
            None => Ok(()),
        }
    }

    /// Whether somebody may see a group.
    fn sees(&self, group: &str) -> bool {
        let visitor = self.visitor.as_ref();
        visitor.is_none_or(|visitor| visitor.may(group, Act::Read))
    }

    /// How they are called, with what they upload.
    fn name(&self) -> &str {
        self.visitor.as_ref().map_or("link", Visitor::name)
    }

    /// Who it was, for what has to be written down.
    fn by(&self) -> (&Parts, Option<&Visitor>) {
        (&self.head, self.visitor.as_ref())
    }

    fn method(&self) -> &Method {
        &self.head.method
    }
}

async fn perform(shared: &Shared, asked: Asked, body: Body) -> Result<Response, Trouble> {
    if asked
        .parameters
        .iter()
        .any(|(name, _)| NOT_HERE.contains(&name.as_str()))
    {
        return Err(Trouble::NotImplemented);
    }
    let path = asked.head.uri.path();
    let bucket = shared.config.bucket.as_str();
    let rest = path
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(bucket));
    let rest = rest.ok_or(Trouble::NoBucket)?;
    let key = rest.strip_prefix('/').unwrap_or_default();
    if key.is_empty() {
        return bucket::perform(shared, asked, body).await;
    }
    let key = Key::decode(key)?;
    if asked.has("uploads") || asked.has("uploadId") || asked.has("partNumber") {
        return Box::pin(multipart::perform(shared, (asked, key), body)).await;
    }
    Box::pin(object::perform(shared, (asked, key), body)).await
}

/// An answer with a document.
fn document(text: String) -> Response {
    let kind = [(CONTENT_TYPE, "application/xml")];
    (StatusCode::OK, kind, text).into_response()
}
