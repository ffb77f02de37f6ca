//! A scrape that comes as to an HTTP proxy: who may, what it is for, and the answer of a page of a node
//! or of a pushprox-client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::response::Response;
use base::clock;
use base::error::Class;
use base::http::{Peer, text_response};
use http::header::{PROXY_AUTHENTICATE, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::ext::ReasonPhrase;

use super::coordinator::Full;
use super::request::{self, TIMEOUT};
use super::{Counters, Pushprox, token};
use crate::gateway::api;
use crate::gateway::target::Target;

/// What a scraper gets that does not say how long it waits, and the most; PushProx's own times.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(15);
const TIMEOUT_MAX: Duration = Duration::from_mins(5);
/// The least.
const TIMEOUT_MIN: Duration = Duration::from_millis(500);
/// Of that, what is kept so that our answer arrives in time.
const TIMEOUT_RESERVE: f64 = 0.1;
/// Prometheus shows nothing but the status line of the answer to a CONNECT.
const NO_CONNECT: &[u8] =
    b"CONNECT refused: use scheme http; for an HTTPS target params _scheme https";

impl Pushprox {
    /// `GET http://<name>[:<port>]/…`
    pub(super) async fn scrape(self: Arc<Self>, request: Request) -> Response {
        // What a GET may have as a body is nothing to us.
        let answer = self.proxy(request.map(drop)).await;
        let result = match answer.status() {
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => "refused",
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => "unknown",
            StatusCode::GATEWAY_TIMEOUT => "timeout",
            status if status.is_success() => "success",
            _ => "failed",
        };
        Counters::count(&self.clients.counters.scrapes, result);
        answer
    }

    async fn proxy(&self, request: http::Request<()>) -> Response {
        let started = clock::now();
        let Some(peer) = request.extensions().get::<Peer>().copied() else {
            return text_response(Class::Internal, "the connection is not known", None);
        };
        let uri = request.uri();
        let host = uri.host().unwrap_or_default().to_owned();
        let token = token(request.headers(), PROXY_AUTHORIZATION);
        let token = token.as_ref().map(base::secret::Secret::expose);
        if !self.gateway.access().lets_in(&peer, token) {
            let name: String = host.chars().take(100).collect();
            self.clients
                .clientele
                .refuse_scraper(peer.ip(), &name)
                .await;
            return authentication_required();
        }
        if request.method() == Method::CONNECT {
            return connect_refused();
        }
        if request.method() != Method::GET || uri.scheme_str() != Some("http") {
            let mut answer = text_response(
                Class::Invalid,
                "only GET of http:// URLs passes here: this proxy is for scrapes",
                None,
            );
            *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            return answer;
        }
        let is_page = |target: Arc<Target>| target.config().via.is_some();
        let has_page = self.gateway.registry().find(&host).is_some_and(is_page);
        let coordinator = &self.clients.coordinator;
        let deadline = started + patience(request.headers());
        if coordinator.knows(&host, started)
            || (!has_page && coordinator.knows_soon(&host, deadline).await)
        {
            return self.ask_client(&host, &request, started).await;
        }
        if !has_page {
            let text = format!(
                "no node offers a page named `{host}`, and no pushprox-client polls as `{host}`: \
                 this proxy reaches nothing else"
            );
            return text_response(Class::NotFound, &text, None);
        }
        if uri.path() != "/metrics" {
            let text = format!("the page of `{host}` is at /metrics, and nothing else is here");
            return text_response(Class::NotFound, &text, None);
        }
        api::get_metrics(&self.gateway, &host, request.headers().clone()).await
    }

    async fn ask_client(
        &self,
        name: &str,
        request: &http::Request<()>,
        started: Instant,
    ) -> Response {
        let patience = patience(request.headers());
        let deadline = started + patience;
        let Some(id) = new_id() else {
            return text_response(Class::Internal, "the system gives no random bytes", None);
        };
        let text = request::serialise(request, &id, patience.as_secs_f64());
        let mut waiting = match self.clients.coordinator.scrape((name, id), text, deadline) {
            Ok(waiting) => waiting,
            Err(full @ (Full::Scrapes | Full::Queue | Full::Clients | Full::Closed)) => {
                return text_response(Class::Unavailable, &format!("{name}: {full}"), None);
            }
        };
        match tokio::time::timeout_at(deadline.into(), &mut waiting.answer).await {
            Ok(Ok(answer)) => answer,
            // The sender lives in the table, from which only this function takes it unanswered.
            Ok(Err(_)) => text_response(Class::Internal, "the answer was lost", None),
            Err(_) => {
                let text = format!(
                    "the pushprox-client `{name}` gave no answer within {:.1} s: is it running, and \
                     does its target answer?",
                    patience.as_secs_f64()
                );
                text_response(Class::Timeout, &text, None)
            }
        }
    }
}

/// How long the scraper waits for us.
fn patience(headers: &HeaderMap) -> Duration {
    let asked = headers
        .get(TIMEOUT)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<f64>().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds * (1.0 - TIMEOUT_RESERVE)).ok());
    asked.map_or(TIMEOUT_DEFAULT, |asked| {
        asked.clamp(TIMEOUT_MIN, TIMEOUT_MAX)
    })
}

/// 128 random bits: whoever does not know it can't answer.
fn new_id() -> Option<String> {
    let mut bytes = [0u8; 16];
    base::tls::provider().secure_random.fill(&mut bytes).ok()?;
    Some(wire::auth::hex(&bytes))
}

fn authentication_required() -> Response {
    let text = "this proxy needs a token of gateway.access: \
                proxy_url: https://prometheus:<token>@<public_addr>";
    let mut answer = text_response(Class::Unauthenticated, text, None);
    *answer.status_mut() = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
    let value = HeaderValue::from_static("Basic realm=\"landline\"");
    answer.headers_mut().insert(PROXY_AUTHENTICATE, value);
    answer
}

fn connect_refused() -> Response {
    let text = "CONNECT is refused: this proxy is for scrapes. Keep `scheme: http`; for a target that \
                speaks HTTPS add `params: {_scheme: [https]}`";
    let mut answer = text_response(Class::Invalid, text, None);
    *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    let reason = ReasonPhrase::from_static(NO_CONNECT);
    answer.extensions_mut().insert(reason);
    answer
}
