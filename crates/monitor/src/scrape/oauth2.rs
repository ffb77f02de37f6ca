//! Tokens by the grant `client_credentials` (RFC 6749, 4.4), kept until they end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::client::{Client, Dial, read_body};
use base::clock;
use base::secret::Secret;
use base::supervise::Supervisor;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use tokio::sync::Mutex;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::config::Oauth2;
use super::dial::ProxyDial;
use super::http::{HttpError, basic_header, secret_header};

/// The largest answer of a token endpoint.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// A token is replaced this long before its end.
const EARLY: Duration = Duration::from_secs(10);

/// A client of a token endpoint.
pub(super) struct Tokens {
    config: Oauth2,
    environment: Arc<BTreeMap<String, String>>,
    client: Client,
    kept: Mutex<Option<(Secret, Option<Instant>)>>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    pub(super) fn new(
        config: &Oauth2,
        (environment, supervisor): (&Arc<BTreeMap<String, String>>, &Supervisor),
    ) -> Self {
        let is_tls = config.token_url.scheme() == "https";
        let proxy = if is_tls {
            &config.proxy.https
        } else {
            &config.proxy.http
        };
        // A token's endpoint is always asked through the tunnel of a proxy: its secrets pass by.
        let dial = proxy.as_ref().map(|url| {
            let dial = ProxyDial::new(url, Some(&config.proxy), environment);
            Arc::new(dial) as Arc<dyn Dial>
        });
        Self {
            client: Client::through(dial, config.tls.clone(), supervisor.clone()),
            config: config.clone(),
            environment: Arc::clone(environment),
            kept: Mutex::new(None),
        }
    }

    /// The header with a token; those who ask at the same time wait for the same one.
    pub(super) async fn header(&self, deadline: Instant) -> Result<HeaderValue, HttpError> {
        let mut kept = self.kept.lock().await;
        let now = clock::now();
        let is_good = |end: &Option<Instant>| end.is_none_or(|end| now + EARLY < end);
        if let Some((token, end)) = &*kept
            && is_good(end)
        {
            return secret_header(&format!("Bearer {}", token.expose()));
        }
        let (token, life) = self.ask(deadline).await?;
        let header = secret_header(&format!("Bearer {}", token.expose()));
        *kept = Some((token, life.map(|life| now + life)));
        header
    }

    /// The token was refused.
    pub(super) async fn forget(&self) {
        *self.kept.lock().await = None;
    }

    /// Servers differ in where they want the client's secret: in the header, as they have to take it
    /// (RFC 6749, 2.3.1), or in the body.
    async fn ask(&self, deadline: Instant) -> Result<(Secret, Option<Duration>), HttpError> {
        match self.ask_as(true, deadline).await? {
            (status, answer) if status.is_success() => token(&answer),
            _ => match self.ask_as(false, deadline).await? {
                (status, answer) if status.is_success() => token(&answer),
                (status, _) => Err(HttpError::Token(format!(
                    "the token endpoint answered {status}"
                ))),
            },
        }
    }

    async fn ask_as(
        &self,
        in_header: bool,
        deadline: Instant,
    ) -> Result<(StatusCode, Bytes), HttpError> {
        let secret = self.config.client_secret.as_ref();
        let secret = secret.map(|source| source.resolve(&self.environment));
        let secret = secret.transpose()?.unwrap_or_default();
        let form = self.form(in_header, &secret);
        let uri = http::Uri::try_from(self.config.token_url.as_str());
        let mut request = Request::new(Full::new(Bytes::from(form)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.map_err(|error| HttpError::Request(error.to_string()))?;
        let headers = request.headers_mut();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, kind);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if in_header {
            let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let value = basic_header(&encoded(&self.config.client_id), &encoded(secret.expose()));
            headers.insert(AUTHORIZATION, value);
        }
        let response = self.client.send(request, deadline).await?;
        let status = response.status();
        let body = read_body(response.into_body(), ANSWER_BYTES_MAX, deadline).await?;
        Ok((status, body))
    }

    fn form(&self, in_header: bool, secret: &Secret) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if !self.config.scopes.is_empty() {
            form.append_pair("scope", &self.config.scopes.join(" "));
        }
        form.extend_pairs(&self.config.endpoint_params);
        if !in_header {
            form.append_pair("client_id", &self.config.client_id);
            form.append_pair("client_secret", secret.expose());
        }
        form.finish()
    }
}

fn token(answer: &[u8]) -> Result<(Secret, Option<Duration>), HttpError> {
    let json: serde_json::Value = serde_json::from_slice(answer)
        .map_err(|_| HttpError::Token("the token endpoint's answer is no JSON".to_owned()))?;
    let token = json.get("access_token").and_then(serde_json::Value::as_str);
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        let message = "the token endpoint's answer has no `access_token`";
        return Err(HttpError::Token(message.to_owned()));
    };
    // Some servers write the number as a text.
    let seconds = json.get("expires_in").and_then(|value| {
        let text = value.as_str().and_then(|text| text.parse().ok());
        value.as_f64().or(text)
    });
    let life = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Ok((Secret::new(token), life))
}
