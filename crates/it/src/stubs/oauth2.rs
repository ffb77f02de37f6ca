//! An OAuth 2 token server with a metrics page behind its tokens: client credentials, password,
//! rotating refresh tokens, signed assertions, and clients that authenticate by header, by body or
//! by a signed assertion.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::jwt::Verifier;
use super::schemes::PAGE;
use super::server::{Answer, Seen, Server, answer, handler, json as json_answer, text_page};

/// The one client.
pub const CLIENT: (&str, &str) = ("scraper", "s3cret/with:odd+signs");
/// The one user of the password grant.
pub const USER: (&str, &str) = ("reader", "pass word&=");
/// The first refresh token.
pub const REFRESH: &str = "refresh-0";
const ASSERTION_CLIENT: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ASSERTION_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// How the server behaves.
#[derive(Debug)]
pub struct State {
    /// Life of a token, `expires_in`.
    pub life: Duration,
    /// Whether the token answer tells `expires_in`.
    pub tells_life: bool,
    /// The key of signed assertions.
    pub verifier: Option<Verifier>,
    /// Scope that must be asked for.
    pub scope: Option<String>,
    refresh: String,
    tokens: HashMap<String, Instant>,
    issued: usize,
    denied: usize,
    refused: Vec<String>,
}

impl State {
    /// From now on only this refresh token is good, as after a new consent.
    pub fn restart_line(&mut self, token: &str) {
        token.clone_into(&mut self.refresh);
    }
}

/// The running stub.
#[derive(Debug)]
pub struct OAuth2 {
    /// What it was asked, and where it is: `/token` and `/metrics`.
    pub server: Server,
    state: Arc<Mutex<State>>,
}

impl OAuth2 {
    /// Starts with tokens that live an hour.
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            life: Duration::from_hours(1),
            tells_life: true,
            verifier: None,
            scope: None,
            refresh: REFRESH.to_owned(),
            tokens: HashMap::new(),
            issued: 0,
            denied: 0,
            refused: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        let server = Server::plain(handler(move |seen| {
            let answer = respond(&mut shared.lock().unwrap(), &seen);
            async move { answer }
        }));
        Self {
            server: server.await,
            state,
        }
    }

    /// Changes how it behaves.
    pub fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    /// Forgets all access tokens.
    pub fn revoke(&self) {
        self.set(|state| state.tokens.clear());
    }

    /// How many tokens were given.
    pub fn issued(&self) -> usize {
        self.state.lock().unwrap().issued
    }

    /// How often the page was asked for without a valid token.
    pub fn denied(&self) -> usize {
        self.state.lock().unwrap().denied
    }

    /// Why token requests were refused.
    pub fn refused(&self) -> Vec<String> {
        self.state.lock().unwrap().refused.clone()
    }
}

/// Answers one request.
fn respond(state: &mut State, seen: &Seen) -> Answer {
    match seen.path.as_str() {
        "/token" => match grant(state, seen) {
            Ok(answer) => answer,
            Err(reason) => {
                let body = json!({"error": "invalid_grant", "error_description": reason});
                state.refused.push(reason);
                json_answer(401, &body)
            }
        },
        "/metrics" => {
            let token = seen.header("authorization").strip_prefix("Bearer ");
            let end = token.and_then(|token| state.tokens.get(token));
            if end.is_some_and(|end| *end > Instant::now()) {
                return text_page(PAGE);
            }
            state.denied += 1;
            answer(401, "no valid token")
        }
        _ => answer(404, "no such page"),
    }
}

/// The token endpoint (RFC 6749, 7521, 7523).
fn grant(state: &mut State, seen: &Seen) -> Result<Answer, String> {
    let is_form = seen
        .header("content-type")
        .starts_with("application/x-www-form-urlencoded");
    if seen.method != "POST" || !is_form {
        return Err("not a POST of a form".to_owned());
    }
    if state
        .scope
        .as_ref()
        .is_some_and(|scope| *scope != seen.field("scope"))
    {
        return Err(format!("scope is {:?}", seen.field("scope")));
    }
    let kind = seen.field("grant_type");
    if kind == ASSERTION_GRANT {
        check_assertion(state, &seen.field("assertion"), &[])?;
        return Ok(issue(state, None));
    }
    authenticate_client(state, seen)?;
    match kind.as_str() {
        "client_credentials" => Ok(issue(state, None)),
        "password" if (seen.field("username"), seen.field("password")) == owned(USER) => {
            Ok(issue(state, None))
        }
        "password" => Err("wrong user or password".to_owned()),
        "refresh_token" if seen.field("refresh_token") == state.refresh => {
            state.refresh = format!("refresh-{}", state.issued + 1);
            let next = state.refresh.clone();
            Ok(issue(state, Some(&next)))
        }
        "refresh_token" => Err(format!(
            "spent refresh token {}",
            seen.field("refresh_token")
        )),
        other => Err(format!("grant {other:?}")),
    }
}

/// By header (RFC 6749 2.3.1: both halves form-encoded), by body, or by a signed assertion.
fn authenticate_client(state: &State, seen: &Seen) -> Result<(), String> {
    if seen.field("client_assertion_type") == ASSERTION_CLIENT {
        let same = [("iss", CLIENT.0), ("sub", CLIENT.0)];
        return check_assertion(state, &seen.field("client_assertion"), &same);
    }
    if let Some(basic) = seen.header("authorization").strip_prefix("Basic ") {
        let encode =
            |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let plain = STANDARD.encode(format!("{}:{}", CLIENT.0, CLIENT.1));
        let strict = STANDARD.encode(format!("{}:{}", encode(CLIENT.0), encode(CLIENT.1)));
        let is_right = basic == strict || basic == plain;
        return is_right
            .then_some(())
            .ok_or_else(|| "wrong client in the header".to_owned());
    }
    if (seen.field("client_id"), seen.field("client_secret")) == owned(CLIENT) {
        return Ok(());
    }
    Err("no client".to_owned())
}

/// Signature, time and the claims that must have these values.
fn check_assertion(state: &State, text: &str, same: &[(&str, &str)]) -> Result<(), String> {
    let verifier = state.verifier.as_ref().ok_or("no assertion expected")?;
    let (_, claims) = verifier.open(text)?;
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let expires = claims["exp"].as_i64().ok_or("no exp")?;
    if expires <= now || expires > now + 3600 {
        return Err(format!("exp is {expires}, now is {now}"));
    }
    for claim in ["iss", "sub", "aud"] {
        if !claims[claim].is_string() {
            return Err(format!("no {claim} in {claims}"));
        }
    }
    match same.iter().find(|(claim, value)| claims[*claim] != *value) {
        Some((claim, _)) => Err(format!("{claim} is {}", claims[*claim])),
        None => Ok(()),
    }
}

/// A new token.
fn issue(state: &mut State, refresh: Option<&str>) -> Answer {
    state.issued += 1;
    let token = format!("access-{}", state.issued);
    state
        .tokens
        .insert(token.clone(), Instant::now() + state.life);
    let mut body = json!({"access_token": token, "token_type": "bearer"});
    if state.tells_life {
        body["expires_in"] = json!(state.life.as_secs());
    }
    if let Some(refresh) = refresh {
        body["refresh_token"] = json!(refresh);
    }
    json_answer(200, &body)
}

/// Owned copies of a pair.
fn owned(pair: (&str, &str)) -> (String, String) {
    (pair.0.to_owned(), pair.1.to_owned())
}
