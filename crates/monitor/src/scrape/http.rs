//! HTTP as a `prometheus.yml` has it, over the client of this program: who we are, headers, proxies,
//! redirects. Credentials go to the server that was asked for and to no other.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base::client::{Body, Client, ClientError, Dial};
use base::clock;
use base::files::{self, Stamp};
use base::secret::{SecretError, SecretSource};
use base::supervise::Supervisor;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, LOCATION, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::Full;
use url::Url;

use super::config::{ClientAuth, HttpOptions, Proxy, ServerUrl};
use super::dial::{ProxyDial, UnixDial};
use super::oauth2::Tokens;

/// Answers that lead elsewhere, one after the other.
const REDIRECTS_MAX: usize = 10;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// On its way.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A secret of ours is not to be had.
    #[error("credentials: {0}")]
    Secret(#[from] SecretError),
    /// A header or a URL of ours is none.
    #[error("{0}")]
    Request(String),
    /// The token endpoint gives no token.
    #[error("oauth2: {0}")]
    Token(String),
    /// It leads from one place to the next.
    #[error("stopped after {REDIRECTS_MAX} redirects")]
    Redirects,
}

/// How often it is looked whether files of certificates have changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A client with the options of a job or of a source.
pub(crate) struct HttpClient {
    options: HttpOptions,
    environment: Arc<BTreeMap<String, String>>,
    supervisor: Supervisor,
    way: Way,
    clients: Mutex<Clients>,
    tokens: Option<Tokens>,
}

/// What connections are kept in, until the files of certificates change.
#[derive(Clone)]
struct Clients {
    direct: Client,
    /// For plain HTTP and for HTTPS.
    proxied: [Option<Client>; 2],
    stamps: Vec<Option<Stamp>>,
    looked_at: Instant,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// The way that connections of a client take.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// Sockets of this machine, and the proxy that is configured.
    Direct,
    /// A socket of this machine, whatever the URL's host.
    Unix(std::path::PathBuf),
    /// Somebody else's, such as a line to a node.
    Through(Arc<dyn Dial>),
}

impl HttpClient {
    pub(crate) fn new(
        options: &HttpOptions,
        way: &Way,
        (environment, supervisor): (&Arc<BTreeMap<String, String>>, &Supervisor),
    ) -> Self {
        let tokens = match &options.auth {
            Some(ClientAuth::Oauth2(config)) => {
                Some(Tokens::new(config, (environment, supervisor)))
            }
            _ => None,
        };
        Self {
            clients: Mutex::new(Clients::new(options, way, (environment, supervisor))),
            options: options.clone(),
            environment: Arc::clone(environment),
            supervisor: supervisor.clone(),
            way: way.clone(),
            tokens,
        }
    }

    /// The clients for files of certificates as they are now.
    fn clients(&self) -> Clients {
        let now = clock::now();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = now.saturating_duration_since(clients.looked_at) >= LOOK_EVERY;
        if is_due && !clients.stamps.is_empty() {
            clients.looked_at = now;
            if clients.stamps != stamps(&self.options) {
                let around = (&self.environment, &self.supervisor);
                *clients = Clients::new(&self.options, &self.way, around);
                tracing::info!("files of certificates are read again");
            }
        }
        clients.clone()
    }

    /// Asks for a page, and follows where it leads if the options allow it.
    pub(crate) async fn get(
        &self,
        url: &Url,
        headers: &HeaderMap,
        deadline: Instant,
    ) -> Result<Response<Body>, HttpError> {
        let mut at = url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let is_home = at.origin() == url.origin();
            let mut request = Request::new(Full::new(Bytes::new()));
            request.headers_mut().clone_from(headers);
            let response = self.send(&at, request, (is_home, deadline)).await?;
            if !self.options.follow_redirects || !response.status().is_redirection() {
                return Ok(response);
            }
            let Some(next) = location(&at, response.headers()) else {
                return Ok(response);
            };
            at = next;
        }
        Err(HttpError::Redirects)
    }

    /// Sends a body; an answer that leads elsewhere is not followed.
    pub(crate) async fn post(
        &self,
        url: &Url,
        (headers, body): (&HeaderMap, Bytes),
        deadline: Instant,
    ) -> Result<Response<Body>, HttpError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        request.headers_mut().clone_from(headers);
        self.send(url, request, (true, deadline)).await
    }

    async fn send(
        &self,
        url: &Url,
        mut request: Request<Full<Bytes>>,
        (is_home, deadline): (bool, Instant),
    ) -> Result<Response<Body>, HttpError> {
        let uri = http::Uri::try_from(url.as_str());
        let uri = uri.map_err(|error| HttpError::Request(error.to_string()))?;
        *request.uri_mut() = without_user(uri, url)?;
        if is_home {
            self.put_credentials(url, request.headers_mut(), deadline)
                .await?;
        }
        let is_tls = url.scheme() == "https";
        let clients = self.clients();
        let proxied = clients.proxied.get(usize::from(is_tls));
        let proxied = proxied.and_then(Option::as_ref);
        let proxied = proxied.filter(|_| !is_excepted(url, &self.options.proxy));
        if let (Some(_), false) = (proxied, is_tls) {
            let proxy = self.options.proxy.http.as_ref();
            if let Some(value) = proxy.and_then(|url| user_of(url)) {
                request.headers_mut().insert(PROXY_AUTHORIZATION, value);
            }
        }
        let client = proxied.unwrap_or(&clients.direct);
        Ok(client.send(request, deadline).await?)
    }

    async fn put_credentials(
        &self,
        url: &Url,
        headers: &mut HeaderMap,
        deadline: Instant,
    ) -> Result<(), HttpError> {
        for (name, values) in &self.options.headers {
            let name = HeaderName::try_from(name.as_str());
            let name = name.map_err(|error| HttpError::Request(error.to_string()))?;
            for value in values {
                let value = value.resolve(&self.environment)?;
                headers.append(name.clone(), secret_header(value.expose())?);
            }
        }
        let resolve = |source: &SecretSource| source.resolve(&self.environment);
        let value = match &self.options.auth {
            None => user_of(url),
            Some(ClientAuth::Basic(basic)) => {
                let username = basic.username.as_ref().map(resolve).transpose()?;
                let password = basic.password.as_ref().map(resolve).transpose()?;
                let text = |secret: &Option<base::secret::Secret>| {
                    secret
                        .as_ref()
                        .map_or("", |secret| secret.expose())
                        .to_owned()
                };
                Some(basic_header(&text(&username), &text(&password)))
            }
            Some(ClientAuth::Header { kind, credentials }) => {
                let credentials = resolve(credentials)?;
                let value = format!("{kind} {}", credentials.expose());
                Some(secret_header(value.trim())?)
            }
            Some(ClientAuth::Oauth2(_)) => match &self.tokens {
                Some(tokens) => Some(tokens.header(deadline).await?),
                None => None,
            },
        };
        if let Some(value) = value {
            headers.insert(AUTHORIZATION, value);
        }
        Ok(())
    }

    /// A token that was refused is not used again.
    pub(crate) async fn was_refused(&self) {
        if let Some(tokens) = &self.tokens {
            tokens.forget().await;
        }
    }
}

impl Clients {
    fn new(
        options: &HttpOptions,
        way: &Way,
        (environment, supervisor): (&Arc<BTreeMap<String, String>>, &Supervisor),
    ) -> Self {
        let dial: Option<Arc<dyn Dial>> = match way {
            Way::Direct => None,
            Way::Unix(path) => Some(Arc::new(UnixDial::new(path))),
            Way::Through(dial) => Some(Arc::clone(dial)),
        };
        let is_direct = dial.is_none();
        let tls = &options.tls;
        let proxy = &options.proxy;
        let through = |url: &Option<ServerUrl>, is_tunnel: bool| {
            let url = url.as_ref().filter(|_| is_direct)?;
            let dial = ProxyDial::new(url, is_tunnel.then_some(proxy), environment);
            let client = Client::through(Some(Arc::new(dial)), tls.clone(), supervisor.clone());
            Some(if is_tunnel { client } else { client.to_proxy() })
        };
        Self {
            direct: Client::through(dial, tls.clone(), supervisor.clone()),
            proxied: [through(&proxy.http, false), through(&proxy.https, true)],
            stamps: stamps(options),
            looked_at: clock::now(),
        }
    }
}

fn stamps(options: &HttpOptions) -> Vec<Option<Stamp>> {
    options.tls.files().map(files::stamp).collect()
}

/// A value that shows in no log.
pub(super) fn secret_header(text: &str) -> Result<HeaderValue, HttpError> {
    let value = HeaderValue::from_str(text);
    // The library's error repeats nothing of it.
    let mut value =
        value.map_err(|_| HttpError::Request("a header has a line end in it".into()))?;
    value.set_sensitive(true);
    Ok(value)
}

pub(super) fn basic_header(username: &str, password: &str) -> HeaderValue {
    let encoded = STANDARD.encode(format!("{username}:{password}"));
    let value = HeaderValue::try_from(format!("Basic {encoded}"));
    // Base64 is always a header.
    let mut value = value.unwrap_or_else(|_| HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

/// The user and the password in a URL, as a header.
pub(super) fn user_of(url: &Url) -> Option<HeaderValue> {
    let has_user = !url.username().is_empty() || url.password().is_some();
    let decoded = |text: &str| {
        let pairs = format!("x={}", text.replace('+', "%2B"));
        let mut pairs = url::form_urlencoded::parse(pairs.as_bytes());
        pairs.next().map(|(_, value)| value.into_owned())
    };
    has_user.then(|| {
        let username = decoded(url.username()).unwrap_or_default();
        let password = decoded(url.password().unwrap_or_default()).unwrap_or_default();
        basic_header(&username, &password)
    })
}

/// A user in a URL is for us, not for the wire.
fn without_user(uri: http::Uri, url: &Url) -> Result<http::Uri, HttpError> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(uri);
    }
    let mut bare = url.clone();
    // Neither can fail for a URL with a host.
    bare.set_username("").ok();
    bare.set_password(None).ok();
    http::Uri::try_from(bare.as_str()).map_err(|error| HttpError::Request(error.to_string()))
}

fn location(from: &Url, headers: &HeaderMap) -> Option<Url> {
    let text = headers.get(LOCATION)?.to_str().ok()?;
    let next = from.join(text).ok()?;
    matches!(next.scheme(), "http" | "https").then_some(next)
}

/// Whether a host is asked without the proxy: `*`, a name, a domain with or without its dot, an
/// address, a network, each perhaps with a port. This machine always is.
fn is_excepted(url: &Url, proxy: &Proxy) -> bool {
    let Some(host) = url.host_str() else {
        return true;
    };
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    let port = url.port_or_known_default().map(|port| port.to_string());
    proxy.except.iter().any(|word| {
        if word == "*" {
            return true;
        }
        if let (Some(address), Some((network, bits))) = (address, word.split_once('/')) {
            return is_within(address, network, bits);
        }
        let (name, wanted) = match word.rsplit_once(':') {
            Some((name, wanted))
                if wanted.bytes().all(|byte| byte.is_ascii_digit()) && !name.contains(':') =>
            {
                (name, Some(wanted))
            }
            _ => (word.as_str(), None),
        };
        if wanted.is_some() && wanted != port.as_deref() {
            return false;
        }
        let name = name.trim_matches(['[', ']']);
        let domain = name.trim_start_matches("*.").trim_start_matches('.');
        let is_below = host
            .strip_suffix(domain)
            .is_some_and(|rest| rest.ends_with('.'));
        is_below || (host == domain && !name.starts_with(['.', '*']))
    })
}

fn is_within(address: IpAddr, network: &str, bits: &str) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else {
        return false;
    };
    let same = |left: u128, right: u128, width: u32| {
        let shift = width.saturating_sub(bits.min(width));
        bits <= width && left.checked_shr(shift) == right.checked_shr(shift)
    };
    match (address, network) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            same(u128::from(one.to_bits()), u128::from(other.to_bits()), 32)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_excepted_from_the_proxy_as_curl_has_it() {
        let proxy = Proxy {
            except: ["example.net", ".inner.org", "10.0.0.0/8", "host:81", "::1"]
                .map(str::to_owned)
                .to_vec(),
            ..Proxy::default()
        };
        let cases = [
            ("http://example.net/", true),
            ("http://a.example.net/", true),
            ("http://badexample.net/", false),
            ("http://inner.org/", false),
            ("http://a.inner.org/", true),
            ("http://10.2.3.4/", true),
            ("http://11.2.3.4/", false),
            ("http://host:81/", true),
            ("http://host:82/", false),
            ("http://localhost:9/", true),
            ("http://[::1]:9/", true),
        ];
        for (url, expected) in cases {
            let url = Url::parse(url).expect("a URL");
            assert_eq!(is_excepted(&url, &proxy), expected, "{url}");
        }
    }

    #[test]
    fn a_user_in_a_url_becomes_a_header() {
        let url = Url::parse("http://us%20er:p%40ss@a/").expect("a URL");
        let header = user_of(&url).expect("a header");
        assert_eq!(header, basic_header("us er", "p@ss"));
        assert!(header.is_sensitive());
        assert!(user_of(&Url::parse("http://a/").expect("a URL")).is_none());
    }
}
