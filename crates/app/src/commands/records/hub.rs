//! Asking a hub for records. Programs of this machine may read without proof, so that a token is no
//! condition here.

use std::sync::Arc;
use std::time::Duration;

use base::client::{self, Body, Client};
use base::clock;
use base::files;
use base::secret::Secret;
use base::supervise::Supervisor;
use base::tls::ClientTls;
use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;

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
/// The longest line of a stream: a payload as JSON takes up to six times its length.
const LINE_BYTES_MAX: usize = 64 << 20;
/// The largest file with a token.
const TOKEN_BYTES_MAX: u64 = 1 << 10;
/// What a process says of paths that it doesn't have.
const NOTHING: &str = "there is nothing at this path";

/// The hub whose records are asked for.
pub(super) struct Hub {
    way: Way,
    client: Client,
    is_local: bool,
    has_given_token: bool,
}

/// What is asked for beyond the path.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The type of the answer.
    pub(super) accept: &'static str,
    /// The last record that was seen, for a stream that goes on.
    pub(super) seen: Option<i64>,
    /// What is sent.
    pub(super) body: Option<&'a Value>,
}

/// The usual.
const JSON: Wanted<'_> = Wanted {
    accept: "application/json",
    seen: None,
    body: None,
};

impl Hub {
    /// As other commands find it, but without asking for a token where none is needed.
    pub(super) fn find(question: &Question, environment: &Environment) -> Outcome<Self> {
        let local = match question.proxy {
            Some(_) => None,
            None => local(question, environment),
        };
        let is_local = local.is_some();
        let way = match local {
            Some(way) => way,
            None => Way::find(question, environment).map_err(CommandError::wrong)?,
        };
        let dial = Some(Arc::new(way.door.clone()) as _);
        Ok(Self {
            way,
            client: Client::through(dial, ClientTls::default(), Supervisor::new()),
            is_local,
            has_given_token: environment.variables.contains_key(TOKEN_VARIABLE),
        })
    }

    /// Asks, and gives the answer as a whole.
    pub(super) async fn get(&self, path: &str) -> Outcome<Value> {
        self.whole(self.send(path, JSON).await?).await
    }

    /// Changes something.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Outcome<Value> {
        let wanted = Wanted {
            body: Some(body),
            ..JSON
        };
        self.whole(self.send(path, wanted).await?).await
    }

    /// Asks, and gives the answer as it comes.
    pub(super) async fn open(&self, path: &str, wanted: Wanted<'_>) -> Outcome<Incoming> {
        let answer = self.send(path, wanted).await?;
        Ok(Incoming {
            body: answer.into_body(),
            name: self.way.name.clone(),
        })
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
        let name = &self.way.name;
        let method = match wanted.body {
            Some(_) => Method::POST,
            None => Method::GET,
        };
        // The door does TLS itself, so that to the client it is a plain connection.
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{name}{path}"))
            .header(ACCEPT, wanted.accept)
            .header(USER_AGENT, concat!("landline/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.way.token {
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
        let answer = answer.map_err(|error| self.no_answer(&error))?;
        if answer.status() == StatusCode::OK {
            return Ok(answer);
        }
        Err(self.refusal(answer).await)
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
        if self.is_local {
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

/// The process of this machine, as its administrator if we may read the token, else as nobody.
fn local(question: &Question, environment: &Environment) -> Option<Way> {
    let found = with_running(question.config.as_deref(), environment, |address, data| {
        let token = files::read_text_limited(&data.join(ADMIN_TOKEN_FILE), TOKEN_BYTES_MAX);
        let mut way = Way::of_local(address);
        way.token = token.ok().map(|token| Secret::new(token.trim()));
        Ok(way)
    });
    found.ok()
}

/// An answer that comes bit by bit.
pub(super) struct Incoming {
    body: Body,
    name: String,
}

impl Incoming {
    /// What comes next within this time; nothing at the end.
    pub(super) async fn next(&mut self, patience: Duration) -> Outcome<Option<Bytes>> {
        loop {
            let frame = tokio::time::timeout(patience, self.body.frame()).await;
            let silent = |_| CommandError::Away(format!("{} is silent", self.name));
            let Some(frame) = frame.map_err(silent)? else {
                return Ok(None);
            };
            let broken = |error| CommandError::Away(self.broken(&client::chain(&error)));
            if let Ok(data) = frame.map_err(broken)?.into_data() {
                return Ok(Some(data));
            }
        }
    }

    fn broken(&self, why: &str) -> String {
        format!("the connection to {} broke: {why}", self.name)
    }

    /// The same, line by line.
    pub(super) fn lines(self) -> Lines {
        Lines {
            incoming: self,
            buffer: BytesMut::new(),
            searched: 0,
        }
    }
}

/// An answer of lines.
pub(super) struct Lines {
    incoming: Incoming,
    buffer: BytesMut,
    /// How much of the buffer has no line end.
    searched: usize,
}

impl Lines {
    /// The next line without its end; nothing after the last.
    pub(super) async fn next(&mut self) -> Outcome<Option<BytesMut>> {
        loop {
            let rest = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
                let mut line = self.buffer.split_to(self.searched + at + 1);
                line.truncate(line.len() - 1);
                self.searched = 0;
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.searched > LINE_BYTES_MAX {
                let text = format!("{} sends a line without an end", self.incoming.name);
                return Err(CommandError::wrong(text));
            }
            match self.incoming.next(ASK_TIMEOUT).await? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }
}
