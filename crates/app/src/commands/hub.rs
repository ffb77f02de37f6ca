//! Asking a hub: the one of this machine with the token of its data directory, or another one with a
//! session of `landline login` or a token.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::client::{self, Client};
use base::clock;
use base::files;
use base::secret::Secret;
use base::supervise::Supervisor;
use base::tls::ClientTls;
use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http_body_util::Full;
use reach::forward::HubDoor;
use serde_json::Value;

use super::logins::Logins;
use super::{Question, with_running};
use crate::admin::ADMIN_TOKEN_FILE;
use crate::cluster;
use crate::environment::Environment;

/// The longest wait for an answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// The largest file with a token.
const TOKEN_BYTES_MAX: u64 = 1 << 10;
/// Says which token is sent to a hub when nothing else does.
pub(super) const TOKEN_VARIABLE: &str = "LANDLINE_TOKEN";

/// A hub, and what we show it.
#[derive(Debug)]
pub(super) struct Way {
    /// What it is called in errors.
    pub(super) name: String,
    pub(super) door: HubDoor,
    pub(super) token: Option<Secret>,
    /// What to do when the token is refused.
    remedy: String,
}

/// A request, and what came back.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Way {
    /// The hub at `proxy`; without that the one of this machine, and when there is none that of the
    /// last login.
    pub(super) fn find(question: &Question, environment: &Environment) -> Result<Self, String> {
        if question.proxy.is_some() {
            return Self::remote(question.proxy.as_deref(), environment);
        }
        let local = Self::local(question.config.as_deref(), environment);
        let Err(why) = local else { return local };
        let logins = Logins::read(environment)?;
        if logins.find(None).is_none() {
            return Err(format!(
                "{why}; for a hub elsewhere use `landline login --proxy <host:port>`"
            ));
        }
        Self::remote(None, environment)
    }

    /// The process of this machine, as its administrator.
    pub(super) fn local(
        config: Option<&std::path::Path>,
        environment: &Environment,
    ) -> Result<Self, String> {
        with_running(config, environment, |address, data_dir| {
            let file = data_dir.join(ADMIN_TOKEN_FILE);
            let token = files::read_text_limited(&file, TOKEN_BYTES_MAX).map_err(|error| {
                format!(
                    "{}: {error}; does the process there have the role `auth`, and may you read its data directory?",
                    file.display()
                )
            })?;
            Ok(Self {
                token: Some(Secret::new(token.trim())),
                remedy: "start the process again: it makes its token anew".to_owned(),
                ..Self::of_local(address)
            })
        })
    }

    /// The same, as nobody yet.
    pub(super) fn of_local(address: SocketAddr) -> Self {
        let address = cluster::reachable(address);
        Self {
            name: address.to_string(),
            door: HubDoor::Local(address),
            token: None,
            remedy: String::new(),
        }
    }

    /// A hub elsewhere, as nobody yet.
    pub(super) fn of_proxy(
        proxy: &str,
        pins: Vec<String>,
        environment: &Environment,
    ) -> Result<Self, String> {
        let egress = cluster::egress(environment).map_err(|error| client::chain(&*error))?;
        let door = HubDoor::tls(proxy.to_owned(), pins, egress);
        Ok(Self {
            name: proxy.to_owned(),
            door: door.map_err(|error| client::chain(&*error))?,
            token: None,
            remedy: String::new(),
        })
    }

    /// A hub of a login.
    pub(super) fn remote(proxy: Option<&str>, environment: &Environment) -> Result<Self, String> {
        let logins = Logins::read(environment)?;
        let given = environment.variables.get(TOKEN_VARIABLE);
        let given = given.map(|token| Secret::new(token.trim()));
        let Some((name, login)) = logins.find(proxy) else {
            let proxy = proxy.unwrap_or_default();
            let token = given.ok_or_else(|| {
                format!("nobody is signed in at {proxy}: use `landline login --proxy {proxy}`")
            })?;
            let way = Self::of_proxy(proxy, Vec::new(), environment)?;
            return Ok(Self {
                token: Some(token),
                remedy: format!("the token in {TOKEN_VARIABLE} is not valid there"),
                ..way
            });
        };
        let way = match name.parse() {
            Ok(address) if login.is_local => Self::of_local(address),
            _ => Self::of_proxy(name, login.ca_pins.clone(), environment)?,
        };
        let is_given = given.is_some();
        Ok(Self {
            token: given.or_else(|| Some(Secret::new(login.token.as_str()))),
            remedy: if is_given {
                format!("the token in {TOKEN_VARIABLE} is not valid there")
            } else {
                format!("sign in again with `landline login --proxy {name}`")
            },
            ..way
        })
    }

    /// Asks, and gives what came back whatever it is.
    pub(super) fn ask(&self, method: &str, path: &str, body: &str) -> Result<Answered, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| format!("the runtime can't start: {error}"))?;
        runtime.block_on(self.exchange(method, path, body))
    }

    /// Asks, and gives the answer if it is one.
    pub(super) fn call(&self, method: &str, path: &str, body: &str) -> Result<Value, String> {
        let Answered { status, body } = self.ask(method, path, body)?;
        if status == 200 {
            return Ok(body);
        }
        let message = body.pointer("/error/message").and_then(Value::as_str);
        Err(match (status, message) {
            (404, None | Some(NOTHING)) => format!(
                "the process at {} has no such path: it needs the roles `auth` and `proxy`",
                self.name
            ),
            (401, Some(message)) => format!("{}: {message}; {}", self.name, self.remedy),
            (_, Some(message)) => message.to_owned(),
            (_, None) => format!("{} answered {status}", self.name),
        })
    }

    async fn exchange(&self, method: &str, path: &str, body: &str) -> Result<Answered, String> {
        // The door does TLS itself, so that to the client it is a plain connection.
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.name))
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("landline/", env!("CARGO_PKG_VERSION")));
        let request = match &self.token {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {}", token.expose())),
            None => request,
        };
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes())));
        let request = request.map_err(|_| format!("{} can't be asked for {path}", self.name))?;
        let dial = Some(Arc::new(self.door.clone()) as _);
        let client = Client::through(dial, ClientTls::default(), Supervisor::new());
        let deadline = clock::now() + ASK_TIMEOUT;
        let failed = |error: client::ClientError| format!("no answer from {}: {error}", self.name);
        let answer = client.send(request, deadline).await.map_err(failed)?;
        let status = answer.status().as_u16();
        let body = client::read_body(answer.into_body(), ANSWER_BYTES_MAX, deadline).await;
        Ok(Answered {
            status,
            body: serde_json::from_slice(&body.map_err(failed)?).unwrap_or(Value::Null),
        })
    }
}

/// What the hub says of paths that it doesn't have.
const NOTHING: &str = "there is nothing at this path";
