//! The section `auth` of a target: the kinds of login and their fields. Reading them is in
//! [`super::auth_reader`], what a kind does in `gateway::auth`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use base::secret::SecretSource;
use base::tls::ClientTls;
use http::StatusCode;
use serde::Serialize;
use url::Url;

use super::{as_duration, as_url};

/// The default of `ttl_max` and `ttl_default`.
const TTL_DEFAULT: Duration = Duration::from_hours(1);
/// The default of `margin`.
const MARGIN_DEFAULT: Duration = Duration::from_mins(1);

/// When a session is over, and how long it may last.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SessionRules {
    /// Answers that mean that the session is over.
    pub invalid_on: Vec<InvalidOn>,
    /// A token is replaced this long before it expires, at most a fifth of its life.
    #[serde(serialize_with = "as_duration")]
    pub margin: Duration,
    /// No token is used longer.
    #[serde(serialize_with = "as_duration")]
    pub ttl_max: Duration,
    /// The life of a token that doesn't say.
    #[serde(serialize_with = "as_duration")]
    pub ttl_default: Duration,
}

/// An answer that means that the session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum InvalidOn {
    /// This status.
    Status(u16),
    /// Any redirect: to a login page, as a rule.
    Redirect(RedirectWord),
}

/// The word `redirect` in a list of statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RedirectWord {
    /// Any 3xx answer.
    Redirect,
}

impl Default for SessionRules {
    fn default() -> Self {
        Self {
            invalid_on: vec![
                InvalidOn::Status(401),
                InvalidOn::Status(403),
                InvalidOn::Redirect(RedirectWord::Redirect),
            ],
            margin: MARGIN_DEFAULT,
            ttl_max: TTL_DEFAULT,
            ttl_default: TTL_DEFAULT,
        }
    }
}

impl SessionRules {
    /// Whether an answer with this status ends the session.
    pub fn ends_session(&self, status: StatusCode) -> bool {
        self.invalid_on.iter().any(|rule| match rule {
            InvalidOn::Status(code) => status.as_u16() == *code,
            InvalidOn::Redirect(_) => status.is_redirection(),
        })
    }
}

/// All that the section `auth` says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Login {
    /// How to log in.
    pub auth: AuthConfig,
    /// When a session is over.
    pub session: SessionRules,
    /// TLS towards a login on another host than the target's.
    pub tls: ClientTls,
}

/// How to log in.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "the fields are the keys of docs/operate/gateway.md"
)]
#[expect(
    clippy::large_enum_variant,
    reason = "one a target, and most are logins"
)]
pub enum AuthConfig {
    /// Nothing to do.
    #[default]
    None,
    /// A header with a fixed value.
    StaticHeader {
        name: String,
        scheme: Option<String>,
        value: SecretSource,
    },
    /// RFC 7617.
    Basic {
        #[serde(serialize_with = "as_visible")]
        username: SecretSource,
        password: SecretSource,
    },
    /// RFC 6750.
    Bearer { token: SecretSource },
    /// A parameter of the query.
    QueryKey { param: String, value: SecretSource },
    /// A request that answers with a token.
    LoginToken {
        #[serde(serialize_with = "as_visible_option")]
        username: Option<SecretSource>,
        password: Option<SecretSource>,
        request: LoginRequest,
        ok_status: Vec<u16>,
        extract: Extract,
        apply: Apply,
    },
    /// RFC 6749 and RFC 7523.
    Oauth2(Box<Oauth2Config>),
    /// Forms in steps, and the cookies that they leave.
    FormCookie {
        #[serde(serialize_with = "as_visible_option")]
        username: Option<SecretSource>,
        password: Option<SecretSource>,
        steps: Vec<FormStep>,
        success: FormSuccess,
    },
    /// A client certificate.
    Mtls {
        cert: PathBuf,
        key: PathBuf,
        ca: Option<PathBuf>,
    },
    /// A keyed hash over each request.
    Hmac {
        key_id: String,
        secret: SecretSource,
        algorithm: HashAlgorithm,
        string_to_sign: String,
        date_header: String,
        date_format: DateFormat,
        encoding: Encoding,
        output_header: Apply,
    },
    /// AWS Signature Version 4.
    Sigv4 {
        region: String,
        service: String,
        key_id: SecretSource,
        secret: SecretSource,
        session_token: Option<SecretSource>,
    },
    /// RFC 7616.
    Digest {
        #[serde(serialize_with = "as_visible")]
        username: SecretSource,
        password: SecretSource,
    },
    /// A program that prints a token.
    Exec {
        command: Vec<String>,
        #[serde(serialize_with = "as_duration")]
        timeout: Duration,
        apply: Apply,
    },
}

/// The request of `login_token`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoginRequest {
    /// Method.
    pub method: String,
    /// Where.
    #[serde(serialize_with = "as_url")]
    pub url: Url,
    /// Send username and password as RFC 7617.
    pub basic: bool,
    /// More headers.
    #[serde(serialize_with = "masked")]
    pub headers: BTreeMap<String, String>,
    /// What is sent.
    pub body: LoginBody,
}

/// The body of a login request; texts in it are templates.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LoginBody {
    /// Nothing.
    None,
    /// A JSON value.
    #[serde(serialize_with = "masked_json")]
    Json(serde_json::Value),
    /// A form, URL-encoded.
    #[serde(serialize_with = "masked")]
    Form(BTreeMap<String, String>),
}

/// Where in an answer the token and its end are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Extract {
    /// The token.
    pub token: ExtractFrom,
    /// When it ends.
    pub expires: Option<(ExtractFrom, ExpiryFormat)>,
}

/// A place in an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExtractFrom {
    /// JSON pointer (RFC 6901).
    Pointer(String),
    /// A header.
    Header(String),
    /// The first group of a regular expression over the body.
    Regex(String),
}

/// How an answer says when a token ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiryFormat {
    /// `2026-11-21T10:00:00Z`.
    Rfc3339,
    /// Unix seconds.
    Epoch,
    /// Seconds from now.
    Seconds,
    /// `2026-11-21 10:00:00+00:00`, as WhatsApp Business writes it.
    DateTime,
}

/// A header whose value is a template.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Apply {
    /// The header.
    pub header: String,
    /// The template.
    pub value: String,
}

/// OAuth 2.0.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(
    missing_docs,
    reason = "the fields are the parameters of RFC 6749 and RFC 7523"
)]
pub struct Oauth2Config {
    pub grant: Grant,
    #[serde(serialize_with = "as_url")]
    pub token_url: Url,
    pub client_id: Option<String>,
    pub client_secret: Option<SecretSource>,
    pub client_auth: ClientAuth,
    #[serde(serialize_with = "as_visible_option")]
    pub username: Option<SecretSource>,
    pub password: Option<SecretSource>,
    pub refresh_token: Option<SecretSource>,
    pub private_key: Option<SecretSource>,
    pub key_id: Option<String>,
    pub algorithm: SigningAlgorithm,
    pub issuer: Option<String>,
    pub subject: Option<String>,
    pub audience: Option<String>,
    pub scopes: Vec<String>,
    #[serde(serialize_with = "masked")]
    pub params: BTreeMap<String, String>,
}

/// How a client of OAuth 2.0 gets its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the grants of RFC 6749 and RFC 7523")]
pub enum Grant {
    ClientCredentials,
    Password,
    RefreshToken,
    JwtBearer,
}

/// How a client of OAuth 2.0 proves itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// As RFC 7617.
    Basic,
    /// In the form.
    Body,
    /// By a signed assertion (RFC 7523 2.2).
    PrivateKeyJwt,
}

/// How an assertion is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names of RFC 7518")]
pub enum SigningAlgorithm {
    Rs256,
    Es256,
}

/// One request of a form login.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FormStep {
    /// GET or POST.
    pub method: FormMethod,
    /// Where.
    #[serde(serialize_with = "as_url")]
    pub url: Url,
    /// The form; values are templates.
    #[serde(serialize_with = "masked")]
    pub fields: BTreeMap<String, String>,
    /// What this answer gives to the next form.
    pub csrf: Option<Csrf>,
}

/// The method of a form's step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the methods of RFC 9110")]
pub enum FormMethod {
    Get,
    Post,
}

/// A value of one page that the next form repeats.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Csrf {
    /// Where it is.
    pub from: CsrfFrom,
    /// The field of the next form.
    pub field: String,
}

/// Where a page keeps its token against forged requests.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CsrfFrom {
    /// The attribute of the first element that a selector finds.
    Css {
        /// The selector.
        selector: String,
        /// The attribute.
        attribute: String,
    },
    /// The first group of a regular expression over the page.
    Regex(String),
    /// A header of the answer; it also goes out as that header with the next form.
    Header(String),
}

/// What shows that a form login worked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FormSuccess {
    /// The last answer has one of these.
    pub status: Vec<u16>,
    /// This cookie is there.
    pub cookie: Option<String>,
    /// The last answer doesn't redirect to a place that contains this text.
    pub redirect_not: Option<String>,
}

/// A hash under HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names of FIPS 180-4")]
pub enum HashAlgorithm {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// How a date is written in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DateFormat {
    /// `Sat, 21 Nov 2026 10:00:00 GMT`.
    Http,
    /// `2026-11-21T10:00:00Z`.
    Rfc3339,
    /// Unix seconds.
    Epoch,
}

/// How bytes are written in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "RFC 4648")]
pub enum Encoding {
    Hex,
    Base64,
}

impl AuthConfig {
    /// Where it logs in; nothing when it does so at the target's page, or not over HTTP.
    pub fn login_urls(&self) -> Vec<&Url> {
        match self {
            Self::LoginToken { request, .. } => vec![&request.url],
            Self::Oauth2(config) => vec![&config.token_url],
            Self::FormCookie { steps, .. } => steps.iter().map(|step| &step.url).collect(),
            Self::None
            | Self::StaticHeader { .. }
            | Self::Basic { .. }
            | Self::Bearer { .. }
            | Self::QueryKey { .. }
            | Self::Mtls { .. }
            | Self::Hmac { .. }
            | Self::Sigv4 { .. }
            | Self::Digest { .. }
            | Self::Exec { .. } => Vec::new(),
        }
    }

    /// Every secret that it names.
    pub fn secrets(&self) -> Vec<&SecretSource> {
        match self {
            Self::None | Self::Mtls { .. } | Self::Exec { .. } => Vec::new(),
            Self::StaticHeader { value, .. } | Self::QueryKey { value, .. } => vec![value],
            Self::Basic { username, password } | Self::Digest { username, password } => {
                vec![username, password]
            }
            Self::Bearer { token } => vec![token],
            Self::LoginToken {
                username, password, ..
            }
            | Self::FormCookie {
                username, password, ..
            } => username.iter().chain(password).collect(),
            Self::Hmac { secret, .. } => vec![secret],
            Self::Sigv4 {
                key_id,
                secret,
                session_token,
                ..
            } => [key_id, secret].into_iter().chain(session_token).collect(),
            Self::Oauth2(config) => {
                let all = [
                    &config.client_secret,
                    &config.username,
                    &config.password,
                    &config.refresh_token,
                    &config.private_key,
                ];
                all.into_iter().flatten().collect()
            }
        }
    }
}

/// A user's name is no secret: the effective configuration shows it.
fn as_visible<S: serde::Serializer>(
    source: &SecretSource,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match source {
        SecretSource::Inline(name) => serializer.serialize_str(name.expose()),
        SecretSource::File(_) | SecretSource::Env(_) => source.serialize(serializer),
    }
}

#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
fn as_visible_option<S: serde::Serializer>(
    source: &Option<SecretSource>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match source {
        Some(source) => as_visible(source, serializer),
        None => serializer.serialize_none(),
    }
}

/// What may show of a text that is sent: a template does, a literal could be a key.
fn shown(text: &str) -> &str {
    if text.contains('{') {
        text
    } else {
        base::secret::MASK
    }
}

fn masked<S: serde::Serializer>(
    texts: &BTreeMap<String, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(texts.iter().map(|(name, text)| (name, shown(text))))
}

fn masked_json<S: serde::Serializer>(
    value: &serde_json::Value,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    use serde_json::Value;
    fn mask(value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(shown(text).to_owned()),
            Value::Array(items) => items.iter().map(mask).collect(),
            Value::Object(all) => all
                .iter()
                .map(|(key, item)| (key.clone(), mask(item)))
                .collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }
    mask(value).serialize(serializer)
}
