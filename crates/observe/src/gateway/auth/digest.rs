//! `digest`: answers to a challenge (RFC 7616). What is obtained is the challenge; each request
//! answers it with the next count. A refusal brings the next challenge along.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use base::secret::Secret;
use bytes::Bytes;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;

use super::{Credential, LoginContext, Obtained, OutRequest, bad_answer, send, uri};
use crate::gateway::failure::Failure;

/// User and password.
#[derive(Debug)]
pub(crate) struct Digest {
    pub(super) username: Secret,
    pub(super) password: Secret,
}

/// A challenge and how often it was answered.
#[derive(Debug)]
pub(crate) struct Challenge {
    offer: wire::digest::Challenge,
    /// One for all answers: the `-sess` algorithms make their key of the first (RFC 7616 3.4.2).
    cnonce: String,
    count: AtomicU32,
}

impl Challenge {
    fn new(offer: wire::digest::Challenge) -> Self {
        Self {
            offer,
            cnonce: format!("{:032x}", fastrand::u128(..)),
            count: AtomicU32::new(0),
        }
    }

    /// User and password were right, only the nonce was too old.
    pub(super) fn is_stale(&self) -> bool {
        self.offer.is_stale
    }
}

impl Digest {
    /// Asks the page without a credential; its refusal carries the challenge.
    pub(super) async fn obtain(
        &self,
        context: &LoginContext,
        deadline: Instant,
    ) -> Result<Obtained, Failure> {
        let request = Request::get(uri(&context.page)?)
            .body(Full::new(Bytes::new()))
            .map_err(|error| bad_answer(error.to_string()))?;
        let answer = send(context, request, &context.page, deadline).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            let reason = format!(
                "login: 401 with a challenge is expected, not {}",
                answer.status
            );
            return Err(if answer.status.is_success() {
                bad_answer(reason)
            } else {
                answer.failure(&context.page)
            });
        }
        let offered = answer.headers.get_all(WWW_AUTHENTICATE);
        let offered = offered.iter().filter_map(|value| value.to_str().ok());
        let challenge =
            wire::digest::choose(offered).map_err(|error| bad_answer(format!("login: {error}")))?;
        Ok(Obtained {
            credential: Credential::Challenge(Box::new(Challenge::new(challenge))),
            life: None,
        })
    }

    /// The challenge that a refusal carries: it is answered without asking for another.
    pub(super) fn challenge_of(headers: &http::HeaderMap) -> Option<Credential> {
        let offered = headers.get_all(WWW_AUTHENTICATE);
        let offered = offered.iter().filter_map(|value| value.to_str().ok());
        let challenge = wire::digest::choose(offered).ok()?;
        Some(Credential::Challenge(Box::new(Challenge::new(challenge))))
    }

    pub(super) fn answer(
        &self,
        challenge: &Challenge,
        request: &OutRequest,
    ) -> Result<HeaderValue, Failure> {
        let uri = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let answer = wire::digest::Answer {
            username: self.username.expose(),
            password: self.password.expose(),
            method: request.method().as_str(),
            uri,
            body: b"",
            cnonce: &challenge.cnonce,
            nonce_count: challenge.count.fetch_add(1, Ordering::Relaxed) + 1,
        };
        let failed = |reason: String| bad_answer(format!("login: {reason}"));
        let text = challenge.offer.authorization(&answer);
        let text = text.map_err(|error| failed(error.to_string()))?;
        let mut value = HeaderValue::try_from(text).map_err(|error| failed(error.to_string()))?;
        value.set_sensitive(true);
        Ok(value)
    }
}
