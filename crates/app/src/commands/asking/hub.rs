//! Asking a hub for what its collector has. Programs of this machine may read without proof, so that a
//! token is no condition here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::client::{self, Body, Client};
use base::clock;
use base::files;
use base::secret::Secret;
use base::supervise::Supervisor;
use base::tls::ClientTls;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;
use wire::s3::xml;

use super::incoming::Incoming;
use super::{CommandError, Outcome, Question};
use crate::admin::ADMIN_TOKEN_FILE;
use crate::commands::hub::{TOKEN_VARIABLE, Way};
use crate::commands::with_running;
use crate::environment::Environment;

/// The longest wait for an answer: a rare value among millions of records takes its time.
const ASK_TIMEOUT: Duration = Duration::from_mins(1);
/// The longest answer that is held as a whole.
const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// The longest refusal that is read.
const REFUSAL_BYTES_MAX: u64 = 64 << 10;
/// The largest file with a token.
const TOKEN_BYTES_MAX: u64 = 1 << 10;
/// What a process says of paths that it doesn't have.
const NOTHING: &str = "there is nothing at this path";

/// The hub that is asked.
pub(in crate::commands) struct Hub {
    way: Way,
    client: Client,
    /// The file of the administrator's token, of the process of this machine. Each start writes
    /// another one.
    token_file: Option<PathBuf>,
    has_given_token: bool,
    /// What it is asked for, as people call it.
    things: &'static str,
}

/// What is asked for beyond the path.
#[derive(Clone)]
pub(in crate::commands) struct Wanted<'a> {
    /// The type of the answer.
    pub(in crate::commands) accept: &'static str,
    /// The last record that was seen, for a stream that goes on.
    pub(in crate::commands) seen: Option<i64>,
    /// What is done.
    pub(in crate::commands) method: Method,
    /// What is sent.
    pub(in crate::commands) body: Option<&'a Value>,
}

impl Wanted<'_> {
    /// What is there, in this type.
    pub(in crate::commands) const fn of(accept: &'static str) -> Self {
        Self {
            accept,
            seen: None,
            method: Method::GET,
            body: None,
        }
    }
}

/// The usual type.
const JSON: &str = "application/json";

/// A request as it is, for what is no question in JSON.
#[derive(Debug, Clone)]
pub(in crate::commands) struct Call<'a> {
    /// What is done.
    pub(in crate::commands) method: Method,
    /// The path with its query.
    pub(in crate::commands) path: &'a str,
    /// Beside those that every request has.
    pub(in crate::commands) headers: Vec<(HeaderName, String)>,
    /// What is sent.
    pub(in crate::commands) body: Bytes,
    /// How long the head of the answer may take.
    pub(in crate::commands) patience: Duration,
}

impl<'a> Call<'a> {
    /// Without headers and body.
    pub(in crate::commands) fn new(method: Method, path: &'a str) -> Self {
        Self {
            method,
            path,
            headers: Vec::new(),
            body: Bytes::new(),
            patience: ASK_TIMEOUT,
        }
    }
}

impl Hub {
    /// As other commands find it, but without asking for a token where none is needed.
    pub(in crate::commands) fn find(
        question: &Question,
        environment: &Environment,
        things: &'static str,
    ) -> Outcome<Self> {
        let local = match question.proxy {
            Some(_) => None,
            None => local(question, environment),
        };
        let (way, token_file) = match local {
            Some((way, token_file)) => (way, Some(token_file)),
            None => {
                let way = Way::find(question, environment);
                (way.map_err(CommandError::wrong)?, None)
            }
        };
        let dial = Some(Arc::new(way.door.clone()) as _);
        Ok(Self {
            way,
            client: Client::through(dial, ClientTls::default(), Supervisor::new()),
            token_file,
            has_given_token: environment.variables.contains_key(TOKEN_VARIABLE),
            things,
        })
    }

    /// Asks, and gives the answer as a whole.
    pub(in crate::commands) async fn get(&self, path: &str) -> Outcome<Value> {
        self.whole(self.send(path, Wanted::of(JSON)).await?).await
    }

    /// Changes something. Some paths say all by themselves.
    pub(in crate::commands) async fn post(
        &self,
        path: &str,
        body: Option<&Value>,
    ) -> Outcome<Value> {
        let wanted = Wanted {
            method: Method::POST,
            body,
            ..Wanted::of(JSON)
        };
        self.whole(self.send(path, wanted).await?).await
    }

    /// Changes some of what something is.
    pub(in crate::commands) async fn patch(&self, path: &str, body: &Value) -> Outcome<Value> {
        let wanted = Wanted {
            method: Method::PATCH,
            body: Some(body),
            ..Wanted::of(JSON)
        };
        self.whole(self.send(path, wanted).await?).await
    }

    /// Removes something.
    pub(in crate::commands) async fn delete(&self, path: &str) -> Outcome<Value> {
        let wanted = Wanted {
            method: Method::DELETE,
            ..Wanted::of(JSON)
        };
        self.whole(self.send(path, wanted).await?).await
    }

    /// Asks, and gives the answer as it comes.
    pub(in crate::commands) async fn open(
        &self,
        path: &str,
        wanted: Wanted<'_>,
    ) -> Outcome<Incoming> {
        let answer = self.send(path, wanted).await?;
        Ok(Incoming::new(answer.into_body(), &self.way.name))
    }

    async fn whole(&self, answer: Response<Body>) -> Outcome<Value> {
        let body = self.bytes(answer).await?;
        serde_json::from_slice(&body).map_err(|_| {
            CommandError::wrong(format!("what {} answered is not JSON", self.way.name))
        })
    }

    /// Gives the answer if it is a good one.
    async fn send(&self, path: &str, wanted: Wanted<'_>) -> Outcome<Response<Body>> {
        let mut call = Call::new(wanted.method, path);
        call.headers.push((ACCEPT, wanted.accept.to_owned()));
        if let Some(id) = wanted.seen {
            let seen = HeaderName::from_static("last-event-id");
            call.headers.push((seen, id.to_string()));
        }
        if let Some(body) = wanted.body {
            call.headers.push((CONTENT_TYPE, JSON.to_owned()));
            call.body = Bytes::from(body.to_string());
        }
        self.call(&call).await
    }

    /// Sends a request, and gives the answer if it is a good one.
    pub(in crate::commands) async fn call(&self, call: &Call<'_>) -> Outcome<Response<Body>> {
        let mut token = self.token();
        let mut answer = self.exchange(call, token.as_ref()).await?;
        if answer.status() == StatusCode::UNAUTHORIZED && self.token() != token {
            // A start between: it listens before it writes the token, and answers afterwards.
            token = self.token();
            answer = self.exchange(call, token.as_ref()).await?;
        }
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(self.refusal(answer).await)
    }

    /// The bytes of an answer that is held as a whole.
    pub(in crate::commands) async fn bytes(&self, answer: Response<Body>) -> Outcome<Bytes> {
        let deadline = clock::now() + ASK_TIMEOUT;
        let body = client::read_body(answer.into_body(), ANSWER_BYTES_MAX, deadline).await;
        body.map_err(|error| self.no_answer(&error))
    }

    /// What the hub is called.
    pub(in crate::commands) fn name(&self) -> &str {
        &self.way.name
    }

    async fn exchange(&self, call: &Call<'_>, token: Option<&Secret>) -> Outcome<Response<Body>> {
        let (name, path) = (&self.way.name, call.path);
        // The door does TLS itself, so that to the client it is a plain connection.
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(format!("http://{name}{path}"))
            .header(USER_AGENT, concat!("landline/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        for (header, value) in &call.headers {
            request = request.header(header, value);
        }
        let request = request.body(Full::new(call.body.clone()));
        let request = request
            .map_err(|_| CommandError::wrong(format!("{name} can't be asked for {path}")))?;
        let deadline = clock::now() + call.patience;
        let answer = self.client.send(request, deadline).await;
        answer.map_err(|error| self.no_answer(&error))
    }

    /// What we show: as the process of this machine has it now, if we may read that; else we are
    /// nobody there.
    fn token(&self) -> Option<Secret> {
        let Some(file) = &self.token_file else {
            return self.way.token.clone();
        };
        let token = files::read_text_limited(file, TOKEN_BYTES_MAX).ok()?;
        Some(Secret::new(token.trim()))
    }

    async fn refusal(&self, answer: Response<Body>) -> CommandError {
        let status = answer.status().as_u16();
        let deadline = clock::now() + ASK_TIMEOUT;
        let body = client::read_body(answer.into_body(), REFUSAL_BYTES_MAX, deadline).await;
        let body = body.unwrap_or_default();
        let of_s3 = xml::read_text(&body, "Message").ok().flatten();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        // Our own paths say it in `error`, those of the original collector at the top, S3 in XML,
        // those of Prometheus as a text.
        let message = body
            .pointer("/error/message")
            .or_else(|| body.get("message"))
            .or_else(|| body.get("error").filter(|error| error.is_string()));
        let message = message.and_then(Value::as_str).or(of_s3.as_deref());
        let name = &self.way.name;
        let text = match (status, message) {
            (404, None | Some(NOTHING)) => {
                let things = self.things;
                let role = role_of(things);
                format!("the process at {name} has no {things}: it needs the role `{role}`")
            }
            (401, Some(message)) => format!("{name}: {message}; {}", self.remedy()),
            (_, Some(message)) => message.to_owned(),
            (_, None) => format!("{name} answered {status}"),
        };
        match status {
            408 | 502..=504 => CommandError::Away(format!("{name}: {text}")),
            _ => CommandError::Refused { status, text },
        }
    }

    /// What to do when who asks is not known there.
    fn remedy(&self) -> String {
        if self.token_file.is_some() {
            "or run this as who may read the data directory of the landline here".to_owned()
        } else if self.has_given_token {
            format!("the token in {TOKEN_VARIABLE} is not valid there")
        } else {
            format!(
                "sign in again with `landline login --proxy {}`",
                self.way.name
            )
        }
    }

    fn no_answer(&self, error: &client::ClientError) -> CommandError {
        CommandError::Away(format!("no answer from {}: {error}", self.way.name))
    }
}

/// Which role has what is asked for.
fn role_of(things: &str) -> &'static str {
    match things {
        "samples" => "monitor",
        _ => "collector",
    }
}

/// The process of this machine, and where the token of its administrator is.
fn local(question: &Question, environment: &Environment) -> Option<(Way, PathBuf)> {
    let config = question.config.as_deref();
    let found = with_running(config, environment, |address, data_dir| {
        Ok((Way::of_local(address), data_dir.join(ADMIN_TOKEN_FILE)))
    });
    found.ok()
}
