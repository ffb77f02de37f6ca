//! The ways to log in. Each says how to obtain a credential and how to put it on a request; when
//! to do so is the session's business.

mod digest;
mod exec;
mod form_cookie;
mod login_token;
mod oauth2;
mod refresh_tokens;
mod signing;

pub(crate) use refresh_tokens::RefreshTokens;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base::client::{Client, ClientError, read_body};
use base::secret::{Secret, SecretError, SecretSource};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use url::Url;

use super::config::{Apply, AuthConfig};
use super::failure::{Failure, FailureKind};
use super::template;

/// The largest answer of a login.
const LOGIN_BYTES_MAX: u64 = 1 << 20;
/// Logins at one host at once, over all targets.
pub(crate) const LOGINS_PER_HOST_MAX: usize = 4;

/// A request without or with a small body.
pub(crate) type OutRequest = Request<Full<Bytes>>;

/// What a login leaves.
#[derive(Debug)]
pub(crate) enum Credential {
    /// A header that goes on every request.
    Header(HeaderName, HeaderValue),
    /// Cookies, each for the hosts and paths that it was set for.
    Cookies(Box<cookie_store::CookieStore>),
    /// A challenge that every request answers anew.
    Challenge(Box<digest::Challenge>),
}

impl Credential {
    /// It came because the one before was too old, not because it was wrong (RFC 7616 3.3).
    pub(crate) fn is_stale(&self) -> bool {
        matches!(self, Self::Challenge(challenge) if challenge.is_stale())
    }
}

/// A credential and how long it lasts.
#[derive(Debug)]
pub(crate) struct Obtained {
    /// What goes on requests.
    pub(crate) credential: Credential,
    /// From now; `None` when the login doesn't say.
    pub(crate) life: Option<Duration>,
}

/// What a login needs beside its own settings.
#[derive(Debug, Clone)]
pub(crate) struct LoginContext {
    /// The target's name, for templates and logs.
    pub(crate) name: Arc<str>,
    /// The client with the target's TLS settings, for logins on the target's own host.
    pub(crate) client: Client,
    /// The client for logins elsewhere, with the settings of `auth.tls`: what one target excuses,
    /// another host must not enjoy.
    pub(crate) other: Client,
    /// The page that a challenge is asked of.
    pub(crate) page: Url,
    /// Bounds logins at one host.
    pub(crate) gate: LoginGate,
    /// Where rotated refresh tokens last.
    pub(crate) refresh_tokens: RefreshTokens,
}

/// At most [`LOGINS_PER_HOST_MAX`] logins at one host, whatever the number of targets.
#[derive(Debug, Clone, Default)]
pub(crate) struct LoginGate {
    hosts: Arc<Mutex<BTreeMap<String, Arc<tokio::sync::Semaphore>>>>,
}

impl LoginGate {
    /// The semaphore of a host. Hosts come from the configuration only, so the map is bounded by it.
    fn host(&self, url: &Url) -> Arc<tokio::sync::Semaphore> {
        let key = url.host_str().unwrap_or_default().to_owned();
        let mut hosts = self
            .hosts
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let new = || Arc::new(tokio::sync::Semaphore::new(LOGINS_PER_HOST_MAX));
        Arc::clone(hosts.entry(key).or_insert_with(new))
    }
}

/// A kind of login with its secrets at hand.
#[derive(Debug)]
pub(crate) enum Scheme {
    /// Nothing to do.
    None,
    /// The same header always.
    Header(HeaderName, HeaderValue),
    /// The same parameter always.
    Query(String, Secret),
    /// A keyed hash of each request.
    Hmac(Box<signing::Hmac>),
    /// AWS Signature Version 4.
    Sigv4(Box<signing::Sigv4>),
    /// RFC 7616.
    Digest(Box<digest::Digest>),
    /// A request that answers with a token.
    LoginToken(Box<login_token::LoginToken>),
    /// RFC 6749.
    Oauth2(Box<oauth2::Oauth2>),
    /// Forms and cookies.
    FormCookie(Box<form_cookie::FormCookie>),
    /// A program.
    Exec(Box<exec::Exec>),
}

/// Reads the secrets of one target and remembers them, so that a change can be told.
#[derive(Debug)]
pub(crate) struct Resolver<'a> {
    environment: &'a BTreeMap<String, String>,
    /// Every secret read, in order.
    pub(crate) secrets: Vec<Secret>,
}

impl<'a> Resolver<'a> {
    /// Nothing read yet.
    pub(crate) fn new(environment: &'a BTreeMap<String, String>) -> Self {
        Self {
            environment,
            secrets: Vec::new(),
        }
    }

    fn read(&mut self, source: &SecretSource) -> Result<Secret, SecretError> {
        let secret = source.resolve(self.environment)?;
        self.secrets.push(secret.clone());
        Ok(secret)
    }

    fn read_optional(
        &mut self,
        source: Option<&SecretSource>,
    ) -> Result<Option<Secret>, SecretError> {
        source.map(|source| self.read(source)).transpose()
    }
}

/// Why a configured login can't be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SchemeError {
    /// A secret is not to be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A secret has characters that a header can't carry.
    #[error("a secret has line ends or other characters that a header can't carry")]
    HeaderValue,
    /// A key or a pattern can't be used.
    #[error("{0}")]
    Unusable(String),
}

impl Scheme {
    /// Reads the secrets and builds the scheme.
    ///
    /// # Errors
    /// A secret is missing or can't be used.
    pub(crate) fn resolve(
        config: &AuthConfig,
        resolver: &mut Resolver<'_>,
    ) -> Result<Self, SchemeError> {
        Ok(match config {
            AuthConfig::None | AuthConfig::Mtls { .. } => Self::None,
            AuthConfig::StaticHeader {
                name,
                scheme,
                value,
            } => {
                let secret = resolver.read(value)?;
                let prefix = scheme
                    .as_ref()
                    .map_or(String::new(), |scheme| format!("{scheme} "));
                header(name, &format!("{prefix}{}", secret.expose()))?
            }
            AuthConfig::Basic { username, password } => {
                let (username, password) = (resolver.read(username)?, resolver.read(password)?);
                header(
                    "authorization",
                    &wire::auth::basic(username.expose(), password.expose()),
                )?
            }
            AuthConfig::Bearer { token } => header(
                "authorization",
                &format!("Bearer {}", resolver.read(token)?.expose()),
            )?,
            AuthConfig::QueryKey { param, value } => {
                Self::Query(param.clone(), resolver.read(value)?)
            }
            AuthConfig::Hmac { .. } => {
                Self::Hmac(Box::new(signing::Hmac::resolve(config, resolver)?))
            }
            AuthConfig::Sigv4 { .. } => {
                Self::Sigv4(Box::new(signing::Sigv4::resolve(config, resolver)?))
            }
            AuthConfig::Digest { username, password } => Self::Digest(Box::new(digest::Digest {
                username: resolver.read(username)?,
                password: resolver.read(password)?,
            })),
            AuthConfig::LoginToken { .. } => Self::LoginToken(Box::new(
                login_token::LoginToken::resolve(config, resolver)?,
            )),
            AuthConfig::Oauth2(config) => {
                Self::Oauth2(Box::new(oauth2::Oauth2::resolve(config, resolver)?))
            }
            AuthConfig::FormCookie { .. } => Self::FormCookie(Box::new(
                form_cookie::FormCookie::resolve(config, resolver)?,
            )),
            AuthConfig::Exec {
                command,
                timeout,
                apply,
            } => Self::Exec(Box::new(exec::Exec {
                command: command.clone(),
                timeout: *timeout,
                apply: apply.clone(),
            })),
        })
    }

    /// Whether a request needs a credential that must be obtained first.
    pub(crate) fn needs_login(&self) -> bool {
        match self {
            Self::None | Self::Header(..) | Self::Query(..) | Self::Hmac(_) | Self::Sigv4(_) => {
                false
            }
            Self::Digest(_)
            | Self::LoginToken(_)
            | Self::Oauth2(_)
            | Self::FormCookie(_)
            | Self::Exec(_) => true,
        }
    }

    /// Logs in.
    ///
    /// # Errors
    /// Refused, unreachable, too late, or an answer that can't be used.
    pub(crate) async fn obtain(
        &self,
        context: &LoginContext,
        deadline: Instant,
    ) -> Result<Obtained, Failure> {
        match self {
            Self::None | Self::Header(..) | Self::Query(..) | Self::Hmac(_) | Self::Sigv4(_) => {
                Err(Failure::new(
                    FailureKind::Degraded,
                    "this scheme has no login",
                ))
            }
            Self::Digest(digest) => digest.obtain(context, deadline).await,
            Self::LoginToken(login) => login.obtain(context, deadline).await,
            Self::Oauth2(oauth2) => oauth2.obtain(context, deadline).await,
            Self::FormCookie(form) => form.obtain(context, deadline).await,
            Self::Exec(exec) => exec.obtain(context, deadline).await,
        }
    }

    /// The next credential, when a refusal brings it along.
    pub(crate) fn credential_of_refusal(&self, headers: &HeaderMap) -> Option<Credential> {
        match self {
            Self::Digest(_) => digest::Digest::challenge_of(headers),
            Self::None
            | Self::Header(..)
            | Self::Query(..)
            | Self::Hmac(_)
            | Self::Sigv4(_)
            | Self::LoginToken(_)
            | Self::Oauth2(_)
            | Self::FormCookie(_)
            | Self::Exec(_) => None,
        }
    }

    /// Puts the credential on a request to `url`.
    ///
    /// # Errors
    /// The request can't carry it.
    pub(crate) fn sign(
        &self,
        request: &mut OutRequest,
        url: &Url,
        credential: Option<&Credential>,
    ) -> Result<(), Failure> {
        match self {
            Self::Header(name, value) => {
                request.headers_mut().insert(name.clone(), value.clone());
            }
            Self::Query(param, secret) => {
                let mut url = url.clone();
                url.query_pairs_mut().append_pair(param, secret.expose());
                *request.uri_mut() = uri(&url)?;
            }
            Self::Hmac(hmac) => hmac.sign(request, url)?,
            Self::Sigv4(sigv4) => sigv4.sign(request, url)?,
            Self::None
            | Self::Digest(_)
            | Self::LoginToken(_)
            | Self::Oauth2(_)
            | Self::FormCookie(_)
            | Self::Exec(_) => {}
        }
        match credential {
            Some(Credential::Header(name, value)) => {
                request.headers_mut().insert(name.clone(), value.clone());
            }
            Some(Credential::Cookies(store)) => {
                if let Some(value) = form_cookie::cookie_header(store, url) {
                    request.headers_mut().insert(COOKIE, value);
                }
            }
            Some(Credential::Challenge(challenge)) => {
                if let Self::Digest(digest) = self {
                    let value = digest.answer(challenge, request)?;
                    request.headers_mut().insert(AUTHORIZATION, value);
                }
            }
            None => {}
        }
        Ok(())
    }
}

fn header(name: &str, value: &str) -> Result<Scheme, SchemeError> {
    let (name, value) = header_pair(name, value).ok_or(SchemeError::HeaderValue)?;
    Ok(Scheme::Header(name, value))
}

/// A header whose value never prints.
fn header_pair(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::try_from(name).ok()?;
    let mut value = HeaderValue::try_from(value).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

/// A URL as the client takes it.
pub(crate) fn uri(url: &Url) -> Result<http::Uri, Failure> {
    http::Uri::try_from(url.as_str()).map_err(|error| {
        let host = url.host_str().unwrap_or_default();
        Failure::new(
            FailureKind::Degraded,
            format!("the URL on {host} can't be sent: {error}"),
        )
    })
}

/// Puts a token into its header.
fn apply_token(apply: &Apply, token: &str) -> Result<Credential, Failure> {
    let bad = || Failure::new(FailureKind::Degraded, "the token can't go into a header");
    let value = template::expand(&apply.value, |name| (name == "token").then_some(token))
        .map_err(|_| bad())?;
    header_pair(&apply.header, &value)
        .map(|(n, v)| Credential::Header(n, v))
        .ok_or_else(bad)
}

/// The answer of a login.
struct LoginAnswer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// Sends one request of a login. It follows no redirect: credentials stay with their host.
async fn send(
    context: &LoginContext,
    request: OutRequest,
    url: &Url,
    deadline: Instant,
) -> Result<LoginAnswer, Failure> {
    let host = context.gate.host(url);
    let slot = tokio::time::timeout_at(deadline.into(), host.acquire()).await;
    let _slot = slot.map_err(|_| {
        let reason = "login: too many logins wait for this host";
        Failure::new(FailureKind::Timeout, reason)
    })?;
    let is_own = url.host_str() == context.page.host_str();
    let client = if is_own {
        &context.client
    } else {
        &context.other
    };
    let failed = |error| login_failure(&error, is_own);
    let response = client.send(request, deadline).await.map_err(failed)?;
    let (head, body) = response.into_parts();
    let body = read_body(body, LOGIN_BYTES_MAX, deadline)
        .await
        .map_err(failed)?;
    Ok(LoginAnswer {
        status: head.status,
        headers: head.headers,
        body,
    })
}

/// A failed login with what to do about a certificate that isn't trusted.
fn login_failure(error: &ClientError, is_own: bool) -> Failure {
    let failure = Failure::of_client("login", error);
    if failure.kind != FailureKind::TlsError {
        return failure;
    }
    let key = if is_own { "tls" } else { "auth.tls" };
    let reason = format!(
        "{}; if the login host has an authority of its own, name its PEM file: `{key}: {{ca: …}}`",
        failure.reason
    );
    Failure { reason, ..failure }
}

impl LoginAnswer {
    /// What an answer other than the wanted one means.
    fn failure(&self, url: &Url) -> Failure {
        if matches!(
            self.status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        ) {
            let reason = format!("login refused: {} answered {}", place(url), self.status);
            return Failure::new(FailureKind::AuthFailed, reason);
        }
        if self.status.is_redirection() {
            let to = self.redirect(url);
            let to = to.as_ref().map_or("an unknown place".to_owned(), place);
            let reason = format!(
                "login answered {}: it leads to {to}, and credentials don't follow redirects",
                self.status
            );
            return Failure::new(FailureKind::Degraded, reason);
        }
        Failure::of_status("login", self.status, &self.headers)
    }

    fn redirect(&self, url: &Url) -> Option<Url> {
        let location = self.headers.get(LOCATION)?.to_str().ok()?;
        url.join(location).ok()
    }

    fn json(&self) -> Result<serde_json::Value, Failure> {
        serde_json::from_slice(&self.body).map_err(|_| {
            let kind = self
                .headers
                .get(CONTENT_TYPE)
                .and_then(|value| value.to_str().ok());
            let kind = kind
                .unwrap_or("no content type")
                .chars()
                .take(60)
                .collect::<String>();
            let reason = format!(
                "login: the answer is not JSON but {} bytes of {kind}",
                self.body.len()
            );
            Failure::new(FailureKind::Degraded, reason)
        })
    }
}

/// Scheme and host of a URL, which is all that an error needs to show of it.
fn place(url: &Url) -> String {
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    format!(
        "{}://{}{port}",
        url.scheme(),
        url.host_str().unwrap_or_default()
    )
}

fn bad_answer(reason: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Degraded, reason)
}
