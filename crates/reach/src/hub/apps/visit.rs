//! Who comes to an application, and with what: a script with a token, or a person with a browser. A
//! browser has a cookie of the application's host alone, for which it is sent by way of the hub's own
//! host: pages of an application never see the hub's cookie, and are of another origin.

use std::net::IpAddr;

use axum::response::{IntoResponse, Response};
use base::error::Class;
use base::http::{Peer, browser, error_response, host_of};
use base::secret::Secret;
use http::header::{CACHE_CONTROL, HOST, LOCATION, REFERRER_POLICY, SET_COOKIE, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use identity::IdentityError;
use identity::audit::Caller;
use identity::credential::CredentialKind;
use identity::principal::Principal;
use identity::sessions::SESSION_LIFE;
use url::form_urlencoded;

use super::admission::{refused, token, unauthenticated};
use super::name::split_host;
use super::{AppName, Apps};

/// Seconds for which a browser keeps what ties a code to it.
const NONCE_SECONDS: u64 = 600;
/// Characters of it.
const NONCE_CHARACTERS: usize = 32;
const NEEDED: &str = "an API token is needed: send `Authorization: Bearer …`; `landline tokens add --role api` makes one";

/// A request as far as it says who makes it.
#[derive(Debug)]
pub(super) struct Visit<'a> {
    pub(super) peer: &'a Peer,
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
    /// The application has this host to itself, so that a cookie may say who it is.
    pub(super) is_at_host: bool,
}

impl Visit<'_> {
    /// The host with its port, as codes and cookies are bound to it.
    fn host(&self) -> String {
        host_and_port(self.headers)
    }

    fn cookie(&self) -> Option<Secret> {
        let name = cookie_name(self.is_tls(), "app");
        let value = browser::cookie(self.headers, &name).filter(|_| self.is_at_host)?;
        Some(Secret::new(value))
    }

    fn is_tls(&self) -> bool {
        browser::speaks_tls(self.headers, self.peer)
    }

    /// Whether another site may have made the browser send it.
    fn is_forged(&self) -> bool {
        let changes = !browser::is_safe(self.method) || self.headers.contains_key(UPGRADE);
        changes && !browser::is_same_origin(self.headers, self.peer)
    }
}

impl Apps {
    /// Who it is, and the header that said it; no principal for the administrator of this machine.
    pub(super) async fn visitor(
        &self,
        name: &AppName,
        visit: &Visit<'_>,
    ) -> Result<(Option<Principal>, Option<HeaderName>), Response> {
        let address = visit.peer.ip();
        // With a cookie of ours a bearer token that is not may be the application's own.
        let is_for_us = |token: &Secret| visit.cookie().is_none() || self.is_ours(token.expose());
        if let Some((header, token)) = token(visit.headers).filter(|(_, token)| is_for_us(token)) {
            let principal = self.bearer(name, &token, address).await?;
            return Ok((principal, Some(header)));
        }
        let anonymous = Caller::anonymous(Some(address));
        let ended = match visit.cookie() {
            Some(cookie) => {
                let visits = self.identity.app_sessions();
                match visits.verify(&cookie, &visit.host()).await {
                    Ok(principal) if visit.is_forged() => {
                        let caller = principal.caller(Some(address));
                        self.refuse(&caller, name, None, "another origin").await;
                        let text = "this request did not come from a page of this application";
                        return Err(error_response(Class::Forbidden, text));
                    }
                    Ok(principal) => return Ok((Some(principal), None)),
                    Err(error) => Some(error),
                }
            }
            None => None,
        };
        let is_over = |error: &IdentityError| error.class() == Class::Unauthenticated;
        if ended.as_ref().is_none_or(is_over)
            && browser::is_navigation(visit.method, visit.headers)
            && let Some(way) = self.way_to_sign_in(name, visit)
        {
            return Err(way);
        }
        let reason = if ended.is_some() {
            "session"
        } else {
            "no token"
        };
        self.refuse(&anonymous, name, None, reason).await;
        Err(ended.map_or_else(|| unauthenticated(NEEDED), |error| refused(&error)))
    }

    fn is_ours(&self, token: &str) -> bool {
        let kinds = [CredentialKind::Api, CredentialKind::Session];
        kinds.iter().any(|kind| kind.is_like(token)) || (self.settings.is_local_admin)(token)
    }

    async fn bearer(
        &self,
        name: &AppName,
        token: &Secret,
        address: IpAddr,
    ) -> Result<Option<Principal>, Response> {
        if (self.settings.is_local_admin)(token.expose()) {
            return Ok(None);
        }
        if !CredentialKind::Session.is_like(token.expose()) {
            let tokens = self.identity.api_tokens();
            let verified = tokens.verify(token, Some(address)).await;
            return verified.map(Some).map_err(|error| refused(&error));
        }
        match self.identity.sessions().verify(token).await {
            Ok(principal) => Ok(Some(principal)),
            Err(error) => {
                let anonymous = Caller::anonymous(Some(address));
                self.refuse(&anonymous, name, None, "session").await;
                Err(refused(&error))
            }
        }
    }

    /// Leads a person to the hub's own host, or from there to that of the application. None when
    /// applications have no hosts where they came.
    fn way_to_sign_in(&self, name: &AppName, visit: &Visit<'_>) -> Option<Response> {
        let scheme = if visit.is_tls() { "https" } else { "http" };
        let host = host_of(visit.headers)?;
        let whole = visit.host();
        let port = whole.get(host.len()..)?;
        if !visit.is_at_host {
            let (_, _, rest) = AppName::of_path(visit.uri)?;
            let own = Some(name.host()).filter(|own| AppName::is_host(own))?;
            let below = self.host_below(host)?;
            let to = browser::local_path(rest.as_deref()?)
                .unwrap_or("/")
                .to_owned();
            return see_other(&format!("{scheme}://{own}.{below}{port}{to}"));
        }
        let (app, below) = split_host(host, &self.settings.hosts)?;
        let to = visit.uri.path_and_query().map_or("/", |path| path.as_str());
        let to = browser::local_path(to).unwrap_or("/");
        let cookie = cookie_name(visit.is_tls(), "nonce");
        let kept = browser::cookie(visit.headers, &cookie).filter(|nonce| is_nonce(nonce));
        let nonce = match kept {
            Some(nonce) => Secret::new(nonce),
            None => self.identity.app_sessions().nonce().ok()?,
        };
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("nonce", nonce.expose())
            .append_pair("to", to)
            .finish();
        let response = see_other(&format!("{scheme}://{below}{port}/launch/{app}?{query}"))?;
        Some(with_cookie(
            response,
            visit.is_tls(),
            (&cookie, nonce.expose()),
            NONCE_SECONDS,
        ))
    }

    /// The host below which applications have theirs, for who came to the hub under this name. This
    /// machine knows what is below `localhost`.
    fn host_below(&self, host: &str) -> Option<String> {
        let is_loopback = host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
        let wanted = if is_loopback { "localhost" } else { host };
        let mut hosts = self.settings.hosts.iter();
        hosts
            .find(|known| known.eq_ignore_ascii_case(wanted))
            .cloned()
    }

    /// A browser brings a code from the hub's own host.
    pub(super) async fn enter(&self, head: Parts) -> Response {
        let peer = head.extensions.get::<Peer>().copied();
        let Some(peer) = peer.filter(|peer| peer.is_tls || peer.is_loopback()) else {
            let text = "applications are reached with TLS only";
            return error_response(Class::Forbidden, text);
        };
        let is_tls = browser::speaks_tls(&head.headers, &peer);
        let query = head.uri.query().unwrap_or_default();
        let value = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs
                .find(|(found, _)| found == name)
                .map(|(_, value)| value.into_owned())
        };
        let code = Secret::new(value("code").unwrap_or_default());
        let to = value("to").unwrap_or_default();
        let to = browser::local_path(&to).unwrap_or("/");
        let nonce = browser::cookie(&head.headers, &cookie_name(is_tls, "nonce"));
        let place = (host_and_port(&head.headers), nonce.unwrap_or_default());
        let visits = self.identity.app_sessions();
        let entered = visits
            .enter(&code, (&place.0, place.1), Some(peer.ip()))
            .await;
        match (entered, see_other(to)) {
            (Ok(secret), Some(response)) => {
                let name = cookie_name(is_tls, "app");
                let seconds = SESSION_LIFE.as_secs();
                with_cookie(response, is_tls, (&name, secret.expose()), seconds)
            }
            (Err(error), _) => refused(&error),
            (Ok(_), None) => error_response(Class::Invalid, "the path can't be led to"),
        }
    }
}

/// The cookies of an application's host. The prefix keeps them to it and to TLS; without TLS, on this
/// machine, browsers would not keep such ones.
fn cookie_name(is_tls: bool, what: &str) -> String {
    if is_tls {
        format!("__Host-landline-{what}")
    } else {
        format!("landline-local-{what}")
    }
}

fn is_nonce(text: &str) -> bool {
    text.len() == NONCE_CHARACTERS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn host_and_port(headers: &HeaderMap) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    host.unwrap_or_default().to_ascii_lowercase()
}

fn see_other(location: &str) -> Option<Response> {
    let location = HeaderValue::from_str(location).ok()?;
    let headers = [
        (LOCATION, location),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    Some((StatusCode::SEE_OTHER, headers).into_response())
}

fn with_cookie(
    mut response: Response,
    is_tls: bool,
    (name, value): (&str, &str),
    seconds: u64,
) -> Response {
    let secure = if is_tls { "; Secure" } else { "" };
    let cookie =
        format!("{name}={value}{secure}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax");
    if let Ok(mut cookie) = HeaderValue::from_str(&cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}
