//! A bucket of an S3 store: `<prefix>objects/<id>` for what is kept, `<prefix>store.id` for the tie.
//! Every request is signed with the hash of its body, and repeated a few times when the store does not
//! answer well.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::client::{Body, Client, chain, read_body};
use base::clock;
use base::secret::Secret;
use base::supervise::Supervisor;
use base::tls::ClientTls;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, RANGE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use url::Url;
use wire::s3::key::percent_encode;
use wire::s3::xml::read_text;
use wire::sigv4::{Credentials, Payload, Request as Signing, sha256_hex, sign};

use super::ObjectError;
use crate::artefacts::config::BucketConfig;
use crate::artefacts::time;

/// How long the store may take for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How often a request is sent before it has failed, with what pause after the first time.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);
/// The largest document of an answer.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
const TIE_KEY: &str = "store.id";
const NO_BODY: Bytes = Bytes::new();

/// What a bucket is opened with beside its configuration.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) id: Secret,
    pub(crate) secret: Secret,
    pub(crate) session: Option<Secret>,
}

/// The bucket; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
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

/// One request: method, key or nothing for the bucket itself, query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) method: &'a Method,
    pub(super) key: &'a str,
    pub(super) query: &'a str,
    /// First and last byte that are wanted.
    pub(super) range: Option<(u64, u64)>,
    pub(super) what: &'static str,
}

impl Bucket {
    pub(crate) fn new(
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

    pub(super) fn place(&self) -> String {
        let BucketConfig { name, prefix, .. } = &self.inner.config;
        format!("s3://{name}/{prefix} at {}", self.inner.host)
    }

    /// The key of an object.
    pub(super) fn key(&self, id: &str) -> String {
        format!("{}objects/{id}", self.inner.config.prefix)
    }

    /// What the keys of all objects begin with.
    pub(super) fn prefix(&self) -> String {
        self.key("")
    }

    pub(super) async fn tie(&self) -> Result<Option<String>, ObjectError> {
        let call = Call {
            method: &Method::GET,
            key: &format!("{}{TIE_KEY}", self.inner.config.prefix),
            query: "",
            range: None,
            what: "store.id can't be read from the bucket",
        };
        let response = self.send(call, NO_BODY).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let bytes = self.document(call, response).await?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(Some(text.trim().to_owned()))
    }

    pub(super) async fn set_tie(&self, tie: &str) -> Result<(), ObjectError> {
        let call = Call {
            method: &Method::PUT,
            key: &format!("{}{TIE_KEY}", self.inner.config.prefix),
            query: "",
            range: None,
            what: "store.id can't be written into the bucket",
        };
        let body = Bytes::copy_from_slice(tie.as_bytes());
        let response = self.send(call, body).await?;
        self.document(call, response).await.map(drop)
    }

    pub(super) async fn remove(&self, ids: Vec<String>) {
        for id in ids {
            let call = Call {
                method: &Method::DELETE,
                key: &self.key(&id),
                query: "",
                range: None,
                what: "an object can't be removed from the bucket now",
            };
            let removed = match self.send(call, NO_BODY).await {
                Ok(response) if response.status() == StatusCode::NOT_FOUND => Ok(()),
                Ok(response) => self.document(call, response).await.map(drop),
                Err(error) => Err(error),
            };
            if let Err(error) = removed {
                tracing::warn!(error = chain(&error), id, "it is an orphan now");
            }
        }
    }

    /// Sends a request until there is an answer that is not about the store's own state.
    pub(super) async fn send(
        &self,
        call: Call<'_>,
        body: Bytes,
    ) -> Result<Response<Body>, ObjectError> {
        let mut pause = PAUSE;
        let mut tries = 1;
        loop {
            let failed = match self.try_send(call, body.clone()).await {
                Ok(response) if !response.status().is_server_error() => return Ok(response),
                Ok(response) => format!("it answered {}", response.status()),
                Err(reason) => reason,
            };
            if tries >= TRIES {
                return Err(ObjectError::Remote {
                    what: call.what,
                    reason: failed,
                });
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
        let headers = sign(&signing, &inner.credentials, time::now().div_euclid(1000));
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
    pub(super) async fn document(
        &self,
        call: Call<'_>,
        response: Response<Body>,
    ) -> Result<Bytes, ObjectError> {
        let remote = |reason| ObjectError::Remote {
            what: call.what,
            reason,
        };
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
                Err(remote(format!("it answered {status}, {code}: {message}")))
            }
        }
    }
}

/// The store of AWS in a region.
pub(crate) fn usual_endpoint(region: &str) -> Option<Url> {
    Url::parse(&format!("https://s3.{region}.amazonaws.com")).ok()
}
