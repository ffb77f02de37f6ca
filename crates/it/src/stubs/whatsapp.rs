//! A stub of the WhatsApp Business on-premises API as the gateway's profile uses it: login with a
//! basic header, a bearer token, three pages and a health map.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::server::{Answer, Seen, Server, answer, handler, hang, text_page, with_header};

/// The page of `/metrics`.
pub const METRICS: &str = "# HELP web_uptime Uptime\n# TYPE web_uptime gauge\nweb_uptime 12\n";
/// The page of `/v1/stats/app`.
pub const APP: &str =
    "# HELP callback_queue_size Queue\n# TYPE callback_queue_size gauge\ncallback_queue_size 3\n";
/// The page of `/v1/stats/db`.
pub const DB: &str = "# HELP db_contacts Contacts\n# TYPE db_contacts gauge\ndb_contacts 7\n";

/// How the login answers.
#[derive(Debug, Clone)]
pub enum Login {
    /// A token when the credentials are right, 401 otherwise.
    Check,
    /// This status always.
    Status(u16),
    /// 429 with this `Retry-After`.
    TooMany(u64),
    /// No answer.
    Hang,
    /// 200 with this body.
    Body(String),
    /// 302 to this URL.
    Redirect(String),
}

/// How a page answers.
#[derive(Debug, Clone)]
pub enum Part {
    /// 200 with this text.
    Text(String),
    /// This status.
    Status(u16),
    /// 200 with this text, after a while.
    Slow(Duration, String),
    /// No answer.
    Hang,
}

/// What the stub does at the moment.
#[derive(Debug)]
pub struct State {
    /// The user.
    pub username: String,
    /// Its password.
    pub password: String,
    /// The login.
    pub login: Login,
    /// `/metrics`.
    pub metrics: Part,
    /// `/v1/stats/app`.
    pub app: Part,
    /// `/v1/stats/db`.
    pub db: Part,
    /// `/v1/health`.
    pub health: Value,
    /// Tokens are given out but never accepted.
    pub is_revoked_for_ever: bool,
    /// Whether callers need no token at all.
    pub is_open: bool,
    tokens: HashSet<String>,
    issued: usize,
}

/// The running stub.
#[derive(Debug)]
pub struct WhatsApp {
    /// What it was asked, and where it is.
    pub server: Server,
    state: Arc<Mutex<State>>,
}

impl WhatsApp {
    /// Plain HTTP, user `admin`, password `secret`.
    pub async fn plain() -> Self {
        let (state, handle) = stub();
        Self {
            server: Server::plain(handle).await,
            state,
        }
    }

    /// HTTPS with this configuration.
    pub async fn tls(config: Arc<rustls::ServerConfig>) -> Self {
        let (state, handle) = stub();
        Self {
            server: Server::tls(handle, config).await,
            state,
        }
    }

    /// Changes what it does.
    pub fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    /// Makes all tokens given out so far invalid.
    pub fn revoke(&self) {
        self.set(|state| state.tokens.clear());
    }

    /// How many logins were tried.
    pub fn logins(&self) -> usize {
        self.server.count("/v1/users/login")
    }

    /// A target entry for it with the profile.
    pub fn target(&self, name: &str, password: &Value) -> Value {
        json!({
            "name": name,
            "profile": "whatsapp",
            "base_url": self.server.url(""),
            "labels": {"customer_name": "Test company"},
            "auth": {"username": "admin", "password": password},
        })
    }
}

/// A new state and the handler that follows it.
fn stub() -> (Arc<Mutex<State>>, super::server::Handler) {
    let state = Arc::new(Mutex::new(State {
        username: "admin".to_owned(),
        password: "secret".to_owned(),
        login: Login::Check,
        metrics: Part::Text(METRICS.to_owned()),
        app: Part::Text(APP.to_owned()),
        db: Part::Text(DB.to_owned()),
        health: json!({"health": {"gateway_status": "connected"}}),
        is_revoked_for_ever: false,
        is_open: false,
        tokens: HashSet::new(),
        issued: 0,
    }));
    let shared = Arc::clone(&state);
    (
        state,
        handler(move |seen| respond(Arc::clone(&shared), seen)),
    )
}

/// Answers one request.
async fn respond(state: Arc<Mutex<State>>, seen: Seen) -> Answer {
    if seen.path == "/v1/users/login" {
        return log_in(&state, &seen).await;
    }
    if !may_read(&state, &seen) {
        return answer(401, r#"{"errors":[{"code":1005,"title":"Access denied"}]}"#);
    }
    let part = {
        let state = state.lock().unwrap();
        match seen.path.as_str() {
            "/v1/health" => Part::Text(state.health.to_string()),
            "/metrics" => state.metrics.clone(),
            "/v1/stats/app" => state.app.clone(),
            "/v1/stats/db" => state.db.clone(),
            _ => Part::Status(404),
        }
    };
    match part {
        Part::Text(text) => text_page(text),
        Part::Status(status) => answer(status, "the stub was told so"),
        Part::Hang => hang().await,
        Part::Slow(time, text) => {
            tokio::time::sleep(time).await;
            text_page(text)
        }
    }
}

/// The login.
async fn log_in(state: &Mutex<State>, seen: &Seen) -> Answer {
    let login = state.lock().unwrap().login.clone();
    match login {
        Login::Check => check(&mut state.lock().unwrap(), seen),
        Login::Status(status) => answer(status, "the stub was told so"),
        Login::TooMany(seconds) => with_header(
            answer(429, "slow down"),
            "retry-after",
            &seconds.to_string(),
        ),
        Login::Hang => hang().await,
        Login::Body(body) => answer(200, body),
        Login::Redirect(url) => with_header(answer(302, ""), "location", &url),
    }
}

/// Gives a token when method and credentials are exactly right.
fn check(state: &mut State, seen: &Seen) -> Answer {
    let credentials = STANDARD.encode(format!("{}:{}", state.username, state.password));
    if seen.method != "POST" || seen.header("authorization") != format!("Basic {credentials}") {
        return answer(401, r#"{"errors":[{"code":1005,"title":"Access denied"}]}"#);
    }
    state.issued += 1;
    let token = format!("token-{}", state.issued);
    state.tokens.insert(token.clone());
    super::server::json(
        200,
        &json!({
            "users": [{"token": token, "expires_after": "2099-03-01 15:29:26+00:00"}],
            "meta": {"version": "v2.23.4", "api_status": "stable"},
        }),
    )
}

/// Whether the request carries a token that is valid.
fn may_read(state: &Mutex<State>, seen: &Seen) -> bool {
    let state = state.lock().unwrap();
    let token = seen.header("authorization").strip_prefix("Bearer ");
    let is_known = token.is_some_and(|token| state.tokens.contains(token));
    state.is_open || (is_known && !state.is_revoked_for_ever)
}
