//! Asking a hub for records. Programs of this machine may read without proof, so that a token is no
//! condition here.

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
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;

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

/// The hub whose records are asked for.
pub(super) struct Hub {
    way: Way,
    client: Client,
    /// The file of the administrator's token, of the process of this machine. Each start writes
    /// another one.
    token_file: Option<PathBuf>,
    has_given_token: bool,
}

/// What is asked for beyond the path.
#[derive(Clone)]
pub(super) struct Wanted<'a> {
    /// The type of the answer.
    pub(super) accept: &'static str,
    /// The last record that was seen, for a stream that goes on.
    pub(super) seen: Option<i64>,
    /// What is done.
    pub(super) method: Method,
    /// What is sent.
    pub(super) body: Option<&'a Value>,
}

impl Wanted<'_> {
    /// What is there, in this type.
    pub(super) const fn of(accept: &'static str) -> Self {
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

impl Hub {
    /// As other commands find it, but without asking for a token where none is needed.
    pub(super) fn find(question: &Question, environment: &Environment) -> Outcome<Self> {
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
        })
    }

    /// Asks, and gives the answer as a whole.
    pub(super) async fn get(&self, path: &str) -> Outcome<Value> {
        self.whole(self.send(path, Wanted::of(JSON)).await?).await
    }

    /// Changes something. Some paths say all by themselves.
    pub(super) async fn post(&self, path: &str, body: Option<&Value>) -> Outcome<Value> {
        let wanted = Wanted {
            method: Method::POST,
            body,
            ..Wanted::of(JSON)
        };
        self.whole(self.send(path, wanted).await?).await
    }

    /// Removes something.
    pub(super) async fn delete(&self, path: &str) -> Outcome<Value> {
        let wanted = Wanted {
            method: Method::DELETE,
            ..Wanted::of(JSON)
        };
        self.whole(self.send(path, wanted).await?).await
    }

    /// Asks, and gives the answer as it comes.
    pub(super) async fn open(&self, path: &str, wanted: Wanted<'_>) -> Outcome<Incoming> {
        let answer = self.send(path, wanted).await?;
        Ok(Incoming::new(answer.into_body(), &self.way.name))
    }

    async fn whole(&self, answer: Response<Body>) -> Outcome<Value> {
        let deadline = clock::now() + ASK_TIMEOUT;
        let body = client::read_body(answer.into_body(), ANSWER_BYTES_MAX, deadline).await;
        let body = body.map_err(|error| self.no_answer(&error))?;
        serde_json::from_slice(&body).map_err(|_| {
            CommandError::wrong(format!("what {} answered is not JSON", self.way.name))
        })
    }

    /// Gives the answer if it is a good one.
    async fn send(&self, path: &str, wanted: Wanted<'_>) -> Outcome<Response<Body>> {
        let mut token = self.token();
        let mut answer = self.exchange(path, wanted.clone(), token.as_ref()).await?;
        if answer.status() == StatusCode::UNAUTHORIZED && self.token() != token {
            // A start between: it listens before it writes the token, and answers afterwards.
            token = self.token();
            answer = self.exchange(path, wanted, token.as_ref()).await?;
        }
        if answer.status() == StatusCode::OK {
            return Ok(answer);
        }
        Err(self.refusal(answer).await)
    }

    async fn exchange(
        &self,
        path: &str,
        wanted: Wanted<'_>,
        token: Option<&Secret>,
    ) -> Outcome<Response<Body>> {
        let name = &self.way.name;
        // The door does TLS itself, so that to the client it is a plain connection.
        let mut request = Request::builder()
            .method(wanted.method)
            .uri(format!("http://{name}{path}"))
            .header(ACCEPT, wanted.accept)
            .header(USER_AGENT, concat!("landline/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        if let Some(id) = wanted.seen {
            request = request.header("last-event-id", id);
        }
        let body = match wanted.body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(body));
        let request = request
            .map_err(|_| CommandError::wrong(format!("{name} can't be asked for {path}")))?;
        let deadline = clock::now() + ASK_TIMEOUT;
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
        let body: Value = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
        // Our own paths say it in `error`, those of the original collector at the top.
        let message = body
            .pointer("/error/message")
            .or_else(|| body.get("message"));
        let message = message.and_then(Value::as_str);
        let name = &self.way.name;
        let text = match (status, message) {
            (404, None | Some(NOTHING)) => {
                format!("the process at {name} has no records: it needs the role `collector`")
            }
            (401, Some(message)) => format!("{name}: {message}; {}", self.remedy()),
            (_, Some(message)) => message.to_owned(),
            (_, None) => format!("{name} answered {status}"),
        };
        match status {
            502..=504 => CommandError::Away(format!("{name}: {text}")),
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

/// The process of this machine, and where the token of its administrator is.
fn local(question: &Question, environment: &Environment) -> Option<(Way, PathBuf)> {
    let config = question.config.as_deref();
    let found = with_running(config, environment, |address, data_dir| {
        Ok((Way::of_local(address), data_dir.join(ADMIN_TOKEN_FILE)))
    });
    found.ok()
}
