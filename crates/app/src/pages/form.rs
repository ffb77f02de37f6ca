//! What a browser's form sends, read with bounds, and only when a page of ours sent it.
#![expect(
    clippy::result_large_err,
    reason = "an answer instead of a value is rare and not passed far"
)]

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::extract::Request;
use axum::response::Response;
use base::clock;
use base::http::{Attempts, Peer, browser, error_response, read_body};
use base::secret::Secret;
use http::StatusCode;
use http::header::{RETRY_AFTER, USER_AGENT};
use http::request::Parts;
use url::form_urlencoded;

use super::html::{Html, page};
use crate::askers::{other_origin, peer_of};

/// The largest form.
const FORM_BYTES_MAX: usize = 16 << 10;
/// Fields of one form.
const FIELDS_MAX: usize = 16;

/// A form that was sent.
#[derive(Debug)]
pub(crate) struct Form {
    /// The head of its request.
    pub(crate) head: Parts,
    /// Who sent it.
    pub(crate) peer: Peer,
    fields: BTreeMap<String, Secret>,
}

impl Form {
    /// Reads it. Another site's form is refused, also when nobody is signed in yet: it could sign
    /// somebody in as somebody else.
    pub(crate) async fn read(request: Request) -> Result<Self, Response> {
        let (head, body) = request.into_parts();
        let peer = peer_of(&head)?;
        if !browser::is_same_origin(&head.headers, &peer) {
            return Err(other_origin());
        }
        let body = read_body(body, FORM_BYTES_MAX).await;
        let body = body.map_err(|class| error_response(class, "the form can't be read"))?;
        let fields = form_urlencoded::parse(&body).take(FIELDS_MAX);
        let fields = fields.map(|(name, value)| (name.into_owned(), Secret::new(value)));
        Ok(Self {
            fields: fields.collect(),
            head,
            peer,
        })
    }

    /// A field; empty when it was not sent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.fields
            .get(name)
            .map(Secret::expose)
            .unwrap_or_default()
    }

    /// A field that must not be printed.
    pub(crate) fn secret(&self, name: &str) -> Secret {
        self.fields.get(name).cloned().unwrap_or_default()
    }

    /// What the browser calls itself.
    pub(crate) fn client(&self) -> String {
        let agent = self.head.headers.get(USER_AGENT);
        let agent = agent.and_then(|value| value.to_str().ok());
        agent.unwrap_or_default().to_owned()
    }
}

/// Refuses an address that has failed too often.
pub(crate) fn check_attempts(attempts: &Attempts, address: IpAddr) -> Result<(), Response> {
    let Some(wait) = attempts.wait(address, clock::now()) else {
        return Ok(());
    };
    let seconds = wait.as_secs() + 1;
    let text = format!("Too many attempts from your address: try again in {seconds} s.");
    let body = Html::default()
        .raw("<h1>Not now</h1>\n<p class=\"problem\" role=\"alert\">")
        .text(&text)
        .raw("</p>\n");
    let mut response = page(StatusCode::TOO_MANY_REQUESTS, "Not now", &body);
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    Err(response)
}
