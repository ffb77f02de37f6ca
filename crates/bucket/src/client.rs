//! Asking a bucket. Every request is signed with the hash of its body, and repeated a few times when the
//! store does not answer well.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use base::client::{Body, Client, chain, read_body};
use base::clock;
use base::supervise::Supervisor;
use base::tls::ClientTls;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, RANGE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use wire::s3::key::percent_encode;
use wire::s3::xml::read_text;
use wire::sigv4::{Credentials, Payload, Request as Signing, sha256_hex, sign};

use crate::config::BucketConfig;
use crate::keys::Keys;

/// How long the store may take for an answer.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How often a request is sent before it has failed, with what pause after the first time.
pub(crate) const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);
/// The largest document of an answer.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;

/// The bucket; clones share it.
#[derive(Debug, Clone)]
pub struct Bucket {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    config: BucketConfig,
    /// Host with its port, as it is signed.
    host: String,
    credentials: Credentials,
}

/// Why a bucket did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {reason}")]
pub struct BucketError {
    /// What was attempted.
    pub what: &'static str,
    /// What the store answered, or why it did not.
    pub reason: String,
    /// The code of its answer, such as `NoSuchKey`.
    pub code: Option<String>,
}

impl BucketError {
    pub(crate) fn new(what: &'static str, reason: impl Into<String>) -> Self {
        Self {
            what,
            reason: reason.into(),
            code: None,
        }
    }
}

/// One request: method, key or nothing for the bucket itself, query.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// What is done.
    pub method: &'a Method,
    /// To what; the bucket itself when it is empty.
    pub key: &'a str,
    /// Parameters, encoded and sorted.
    pub query: &'a str,
    /// First and last byte that are wanted.
    pub range: Option<(u64, u64)>,
    /// What it would mean if that failed.
    pub what: &'static str,
}

impl Bucket {
    /// The bucket of a configuration; `ca` is the authority of the store's certificate, when it is not one of
    /// the system's.
    pub fn new(
        config: &BucketConfig,
        (keys, ca): (Keys, Option<PathBuf>),
        supervisor: &Supervisor,
    ) -> Self {
        let host = config.endpoint.host_str().unwrap_or_default();
        let host = match config.endpoint.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let tls = ClientTls {
            ca,
            ..ClientTls::default()
        };
        let inner = Inner {
            client: Client::new(tls, supervisor.clone()),
            config: config.clone(),
            host,
            credentials: Credentials {
                access_key_id: keys.id.expose().to_owned(),
                secret_access_key: keys.secret.expose().to_owned(),
                session_token: keys.session.map(|token| token.expose().to_owned()),
            },
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// What an operator calls what is below the configured prefix.
    pub fn place(&self, name: &str) -> String {
        let BucketConfig { name: bucket, .. } = &self.inner.config;
        format!("s3://{bucket}/{} at {}", self.key(name), self.inner.host)
    }

    /// The key of something below the configured prefix.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.inner.config.prefix)
    }

    /// Sends a request until there is an answer that is not about the store's own state.
    ///
    /// # Errors
    /// There is none within the limits.
    pub async fn send(&self, call: Call<'_>, body: Bytes) -> Result<Response<Body>, BucketError> {
        let mut pause = PAUSE;
        let mut tries = 1;
        loop {
            let failed = match self.try_send(call, body.clone()).await {
                Ok(response) if is_final(response.status()) => return Ok(response),
                Ok(response) => format!("it answered {}", response.status()),
                Err(reason) => reason,
            };
            if tries >= TRIES {
                return Err(BucketError::new(call.what, failed));
            }
            tries += 1;
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    async fn try_send(&self, call: Call<'_>, body: Bytes) -> Result<Response<Body>, String> {
        let inner = &self.inner;
        let bucket = percent_encode(&inner.config.name, false);
        let path = format!("/{bucket}/{}", percent_encode(call.key, true));
        let hash = sha256_hex(&body);
        let signing = Signing {
            method: call.method.as_str(),
            host: &inner.host,
            path: &path,
            query: call.query,
            headers: &[],
            payload: Payload::Sha256Hex(&hash),
            region: &inner.config.region,
            service: "s3",
        };
        let headers = sign(&signing, &inner.credentials, now());
        let scheme = inner.config.endpoint.scheme();
        let question = if call.query.is_empty() { "" } else { "?" };
        let address = format!("{scheme}://{}{path}{question}{}", inner.host, call.query);
        let mut request = Request::builder()
            .method(call.method)
            .uri(address)
            .header(CONTENT_LENGTH, body.len());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some((first, last)) = call.range {
            request = request.header(RANGE, format!("bytes={first}-{last}"));
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        let deadline = clock::now() + ANSWER_LIMIT;
        let sent = inner.client.send(request, deadline).await;
        sent.map_err(|error| chain(&error))
    }

    /// The whole body of an answer that has to be a success.
    ///
    /// # Errors
    /// It is none, or breaks off.
    pub async fn document(
        &self,
        call: Call<'_>,
        response: Response<Body>,
    ) -> Result<Bytes, BucketError> {
        let remote = |reason| BucketError::new(call.what, reason);
        let status = response.status();
        let deadline = clock::now() + ANSWER_LIMIT;
        let body = read_body(response.into_body(), DOCUMENT_BYTES_MAX, deadline).await;
        let body = body.map_err(|error| remote(chain(&error)))?;
        // A completed upload may turn out to have failed after its status was sent.
        let code = read_text(&body, "Code").ok().flatten();
        match code {
            None if status.is_success() => Ok(body),
            None => Err(remote(format!("it answered {status}"))),
            Some(code) => {
                let message = read_text(&body, "Message").ok().flatten();
                let message = message.unwrap_or_default();
                let reason = format!("it answered {status}, {code}: {message}");
                Err(BucketError {
                    code: Some(code),
                    ..remote(reason)
                })
            }
        }
    }
}

/// Whether asking again does not help.
fn is_final(status: StatusCode) -> bool {
    !status.is_server_error() || status == StatusCode::NOT_IMPLEMENTED
}

fn now() -> i64 {
    let since = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
