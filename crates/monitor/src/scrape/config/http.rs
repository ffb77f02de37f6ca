//! The options of an HTTP client, the same for scrapes and for discovery: who we are, TLS, proxies.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use base::config::{Field, Section};
use base::secret::{MASK, SecretSource};
use base::tls::ClientTls;
use url::Url;

use super::Reading;
use super::values::{boolean, flag, text, texts, url};

/// Headers of `http_headers`.
const HEADERS_MAX: usize = 100;

/// How requests go out.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpOptions {
    /// Who we say we are.
    pub auth: Option<ClientAuth>,
    /// How the server is verified.
    pub tls: ClientTls,
    /// Whether an answer that leads elsewhere is followed.
    pub follow_redirects: bool,
    /// Headers that are added; a name may have several values.
    pub headers: Vec<(String, Vec<SecretSource>)>,
    /// The proxy in between.
    pub proxy: Proxy,
}

/// A URL whose password does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(pub(super) Url);

impl Deref for ServerUrl {
    type Target = Url;

    fn deref(&self) -> &Url {
        &self.0
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        if shown.password().is_some() {
            // It fails for a URL without a host only.
            shown.set_password(Some(MASK)).ok();
        }
        f.write_str(shown.as_str())
    }
}

/// Who we say we are.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientAuth {
    /// A user and a password.
    Basic(BasicAuth),
    /// A word and what follows it, such as `Bearer` and a token.
    Header {
        /// The word.
        kind: String,
        /// The credentials.
        credentials: SecretSource,
    },
    /// A token from a token endpoint.
    Oauth2(Box<Oauth2>),
}

/// A user and a password.
#[derive(Debug, Clone, PartialEq)]
pub struct BasicAuth {
    /// The user.
    pub username: Option<SecretSource>,
    /// The password.
    pub password: Option<SecretSource>,
}

/// The grant `client_credentials` (RFC 6749, 4.4).
#[derive(Debug, Clone, PartialEq)]
pub struct Oauth2 {
    /// The client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Option<SecretSource>,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// The token endpoint.
    pub token_url: ServerUrl,
    /// Further parameters.
    pub endpoint_params: BTreeMap<String, String>,
    /// How the token endpoint is verified.
    pub tls: ClientTls,
    /// The proxy to it.
    pub proxy: Proxy,
}

/// The proxy that requests go through.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Proxy {
    /// The proxy for plain HTTP.
    pub http: Option<ServerUrl>,
    /// The proxy for HTTPS.
    pub https: Option<ServerUrl>,
    /// Hosts that are asked directly: names, domains, addresses, networks.
    pub except: Vec<String>,
    /// Headers for the proxy itself.
    pub connect_headers: Vec<(String, Vec<SecretSource>)>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            auth: None,
            tls: ClientTls::default(),
            follow_redirects: true,
            headers: Vec::new(),
            proxy: Proxy::default(),
        }
    }
}

impl HttpOptions {
    /// Takes their keys out of the section of a job or of a source.
    pub(super) fn read(section: &mut Section<'_>, reading: &Reading) -> Self {
        let auth = read_auth(section, reading);
        let tls = section.optional("tls_config");
        let tls = tls.and_then(|field| read_tls(&field)).unwrap_or_default();
        let follow_redirects = flag(section, "follow_redirects", true);
        // Requests go over HTTP/1.1, which the option allows either way.
        flag(section, "enable_http2", true);
        let headers = section.optional("http_headers");
        let headers = headers.and_then(|field| read_headers(&field, reading));
        Self {
            auth,
            tls,
            follow_redirects,
            headers: headers.unwrap_or_default(),
            proxy: Proxy::read(section, reading),
        }
    }
}

fn read_auth(section: &mut Section<'_>, reading: &Reading) -> Option<ClientAuth> {
    let basic = section.optional("basic_auth");
    let header = section.optional("authorization");
    let oauth2 = section.optional("oauth2");
    let has_token = ["bearer_token", "bearer_token_file"].map(|key| section.optional(key));
    let given = [&basic, &header, &oauth2];
    let count = given.iter().filter(|field| field.is_some()).count();
    let tokens = has_token.iter().flatten().count();
    if count + tokens.min(1) > 1 || tokens > 1 {
        let message = "at most one of basic_auth, authorization, oauth2, bearer_token and \
                       bearer_token_file may be given";
        section.field().error(message, None);
    }
    let token = reading.secret_or_file_quietly(&has_token);
    let basic = basic.and_then(|field| read_basic(&field, reading));
    let header = header.and_then(|field| read_header(&field, reading));
    let oauth2 = oauth2.and_then(|field| read_oauth2(&field, reading));
    basic
        .or(header)
        .or(oauth2)
        .or(token.map(|credentials| ClientAuth::Header {
            kind: "Bearer".to_owned(),
            credentials,
        }))
}

impl Reading {
    /// The older spelling of a bearer token; that both are given was told.
    fn secret_or_file_quietly(
        &self,
        [inline, file]: &[Option<Field<'_>>; 2],
    ) -> Option<SecretSource> {
        let inline = inline.as_ref().and_then(|field| self.secret(field));
        let file = file.as_ref().and_then(Field::path);
        inline.or(file.map(SecretSource::File))
    }
}

fn read_basic(field: &Field<'_>, reading: &Reading) -> Option<ClientAuth> {
    let mut section = field.section()?;
    let name = text(&mut section, "username");
    let name_file = section.optional("username_file");
    if let (Some(_), Some(file)) = (&name, &name_file) {
        file.error("`username` and `username_file` exclude each other", None);
    }
    let name_file = name_file.and_then(|file| file.path());
    let inline = name.map(|name| SecretSource::Inline(base::secret::Secret::new(name)));
    let username = inline.or(name_file.map(SecretSource::File));
    let password = reading.secret_or_file(&mut section, "password", "password_file");
    section.finish();
    Some(ClientAuth::Basic(BasicAuth { username, password }))
}

fn read_header(field: &Field<'_>, reading: &Reading) -> Option<ClientAuth> {
    let mut section = field.section()?;
    let kind = text(&mut section, "type").unwrap_or_else(|| "Bearer".to_owned());
    if kind.eq_ignore_ascii_case("basic") {
        field.error("for `Basic` there is `basic_auth`", None);
    }
    let credentials = reading.secret_or_file(&mut section, "credentials", "credentials_file");
    section.finish();
    let credentials = credentials?;
    Some(ClientAuth::Header {
        kind: kind.trim().to_owned(),
        credentials,
    })
}

fn read_oauth2(field: &Field<'_>, reading: &Reading) -> Option<ClientAuth> {
    let mut section = field.section()?;
    let client_id = section.required("client_id").and_then(|field| field.text());
    let client_secret = reading.secret_or_file(&mut section, "client_secret", "client_secret_file");
    let scopes = section.optional("scopes").and_then(|field| texts(&field));
    let token_url = section.required("token_url");
    let token_url = token_url.and_then(|field| url(&field, reading));
    let params = section.optional("endpoint_params");
    let params = params.and_then(|field| field.entries(|_, value| value.text()));
    let tls = section.optional("tls_config");
    let tls = tls.and_then(|field| read_tls(&field)).unwrap_or_default();
    let proxy = Proxy::read(&mut section, reading);
    section.finish();
    Some(ClientAuth::Oauth2(Box::new(Oauth2 {
        client_id: client_id?,
        client_secret,
        scopes: scopes.unwrap_or_default(),
        token_url: token_url?,
        endpoint_params: params.unwrap_or_default().into_iter().collect(),
        tls,
        proxy,
    })))
}

/// `tls_config`. Certificates stand in files; versions that are not spoken can't be asked for.
pub(super) fn read_tls(field: &Field<'_>) -> Option<ClientTls> {
    let mut section = field.section()?;
    let mut path = |key| section.optional(key).and_then(|field| field.path());
    let (ca, cert, key) = (path("ca_file"), path("cert_file"), path("key_file"));
    for key in ["ca", "cert", "key"] {
        if let Some(field) = section.optional(key) {
            let help = format!("write it into a file and name that as `{key}_file`");
            field.error(format!("`{key}` is not supported"), Some(&help));
        }
    }
    let server_name = text(&mut section, "server_name");
    let insecure = flag(&mut section, "insecure_skip_verify", false);
    // TLS 1.2 and 1.3 are spoken: an older minimum is kept by that.
    let versions = [
        ("min_version", ["TLS10", "TLS11", "TLS12"].as_slice()),
        ("max_version", ["TLS13"].as_slice()),
    ];
    for (key, supported) in versions {
        let Some(field) = section.optional(key) else {
            continue;
        };
        let version = field.text().unwrap_or_default();
        if !supported.contains(&version.as_str()) {
            let supported = supported.join(", ");
            let help = format!("supported here: {supported}");
            field.error(format!("this `{key}` is not supported"), Some(&help));
        }
    }
    section.finish();
    if cert.is_some() != key.is_some() {
        field.error("`cert_file` and `key_file` belong together", None);
    }
    Some(ClientTls {
        ca,
        cert,
        key,
        server_name,
        insecure,
    })
}

/// Headers that the client writes itself, and those that tell who asks.
const RESERVED_HEADERS: [&str; 12] = [
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "host",
    "proxy-authorization",
    "transfer-encoding",
    "user-agent",
    "x-prometheus-remote-read-version",
    "x-prometheus-scrape-timeout-seconds",
];

fn read_headers(field: &Field<'_>, reading: &Reading) -> Option<Vec<(String, Vec<SecretSource>)>> {
    let headers = field.entries(|name, value| {
        check_header(name, &value);
        let mut section = value.section()?;
        let values = section.optional("values").and_then(|field| texts(&field));
        let inline = |text: String| SecretSource::Inline(base::secret::Secret::new(text));
        let mut all: Vec<SecretSource> = values.into_iter().flatten().map(inline).collect();
        let secrets = section.optional("secrets");
        let secrets = secrets.and_then(|field| field.list(|field| reading.secret(&field)));
        all.extend(secrets.into_iter().flatten());
        let files = section.optional("files");
        let files = files.and_then(|field| field.list(|field| field.path()));
        all.extend(files.into_iter().flatten().map(SecretSource::File));
        section.finish();
        Some(all)
    })?;
    if headers.len() > HEADERS_MAX {
        field.error(format!("more than {HEADERS_MAX} headers"), None);
    }
    Some(headers)
}

fn check_header(name: &str, field: &Field<'_>) {
    if http::HeaderName::try_from(name).is_err() {
        field.error("this is no name of a header", None);
    }
    let lower = name.to_ascii_lowercase();
    if RESERVED_HEADERS.contains(&lower.as_str()) {
        let help = Some("there are keys of their own for authentication");
        field.error("this header can't be set here", help);
    }
}

impl Proxy {
    fn read(section: &mut Section<'_>, reading: &Reading) -> Self {
        let from_environment = section.optional("proxy_from_environment");
        let is_wanted = from_environment.as_ref().and_then(boolean) == Some(true);
        let explicit = section.optional("proxy_url");
        let except = section.optional("no_proxy");
        let headers = section.optional("proxy_connect_header");
        if let (Some(field), true) = (&from_environment, is_wanted)
            && (explicit.is_some() || except.is_some())
        {
            let message = "`proxy_from_environment` excludes `proxy_url` and `no_proxy`";
            field.error(message, None);
        }
        if let (None, Some(field), false) = (&explicit, &except, is_wanted) {
            field.error("`no_proxy` is given without `proxy_url`", None);
        }
        let connect_headers = headers.and_then(|field| {
            field.entries(|name, values| {
                check_header(&name.replace("Proxy-", ""), &values);
                values.list(|field| reading.secret(&field))
            })
        });
        let mut proxy = match &from_environment {
            Some(field) if is_wanted => Self::from_environment(field),
            _ => {
                let url = explicit.and_then(|field| proxy_url(&field, reading));
                let list = except.and_then(|field| field.text()).unwrap_or_default();
                Self {
                    http: url.clone(),
                    https: url,
                    except: words(&list),
                    connect_headers: Vec::new(),
                }
            }
        };
        proxy.connect_headers = connect_headers.unwrap_or_default();
        proxy
    }

    fn from_environment(field: &Field<'_>) -> Self {
        let environment = &field.context().environment;
        let variable = |upper: &str| {
            let value = environment.get(upper);
            let value = value.or_else(|| environment.get(&upper.to_ascii_lowercase()));
            value.filter(|value| !value.is_empty())
        };
        let url = |name: &str| {
            let text = variable(name)?;
            let full = if text.contains("://") {
                text.clone()
            } else {
                format!("http://{text}")
            };
            let url = Url::parse(&full).ok().filter(|url| url.scheme() == "http");
            if url.is_none() {
                field.error(format!("{name} names no proxy with http"), None);
            }
            url.map(ServerUrl)
        };
        Self {
            http: url("HTTP_PROXY"),
            https: url("HTTPS_PROXY"),
            except: words(variable("NO_PROXY").map_or("", String::as_str)),
            connect_headers: Vec::new(),
        }
    }
}

fn proxy_url(field: &Field<'_>, reading: &Reading) -> Option<ServerUrl> {
    let url = url(field, reading)?;
    if url.scheme() != "http" {
        field.error("a proxy is reached by http only", None);
        return None;
    }
    Some(url)
}

fn words(list: &str) -> Vec<String> {
    list.split(',')
        .map(|word| word.trim().to_ascii_lowercase())
        .filter(|word| !word.is_empty())
        .collect()
}
