//! An appliance with a login form: a page with a CSRF field, a POST that sets a session cookie,
//! metrics for sessions, and a redirect to the form for everyone else.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use super::schemes::PAGE;
use super::server::{Answer, Seen, Server, answer, handler, text_page, with_header};

/// The one account; odd signs show that the form is encoded properly.
pub const USER: (&str, &str) = ("scraper", "p&ss=w+rd %");

/// What the appliance remembers.
#[derive(Debug, Default)]
struct State {
    csrf: HashSet<String>,
    sessions: HashSet<String>,
    given: usize,
    logins: usize,
}

/// The running stub.
#[derive(Debug)]
pub struct Form {
    /// What it was asked, and where it is: `/login` and `/metrics`.
    pub server: Server,
    state: Arc<Mutex<State>>,
}

impl Form {
    /// Starts it.
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
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

    /// Ends all sessions.
    pub fn drop_sessions(&self) {
        self.state.lock().unwrap().sessions.clear();
    }

    /// How many logins went well.
    pub fn logins(&self) -> usize {
        self.state.lock().unwrap().logins
    }
}

/// Answers one request.
fn respond(state: &mut State, seen: &Seen) -> Answer {
    match (seen.method.as_str(), seen.path.as_str()) {
        ("GET", "/login") => login_page(state),
        ("POST", "/login") => log_in(state, seen),
        ("GET", "/metrics") if has_session(state, seen) => text_page(PAGE),
        ("GET", "/metrics") => with_header(answer(302, ""), "location", "/login"),
        _ => answer(404, "no such page"),
    }
}

/// The form, with a new CSRF value whose HTML needs decoding, and a cookie bound to it.
fn login_page(state: &mut State) -> Answer {
    state.given += 1;
    let csrf = format!("c{}&\"quoted\"", state.given);
    state.csrf.insert(csrf.clone());
    let shown = csrf.replace('&', "&amp;").replace('"', "&quot;");
    let body = format!(
        "<!doctype html><html><body><form method=post action=/login>\n\
         <input type=hidden name=other value=wrong>\n\
         <input type='hidden' name=\"csrf_token\" value=\"{shown}\">\n\
         <input name=user><input name=password type=password></form></body></html>"
    );
    let page = with_header(
        answer(200, body),
        "content-type",
        "text/html; charset=utf-8",
    );
    with_header(
        page,
        "set-cookie",
        &format!("visit={}; Path=/; HttpOnly", state.given),
    )
}

/// The POST: CSRF value, its cookie and the credentials must all be right.
fn log_in(state: &mut State, seen: &Seen) -> Answer {
    let csrf = seen.field("csrf_token");
    let visit = cookie(seen, "visit").unwrap_or_default();
    let is_known = state.csrf.remove(&csrf) && csrf.starts_with(&format!("c{visit}&"));
    let is_user = seen.field("user") == USER.0 && seen.field("password") == USER.1;
    if !is_known || !is_user {
        return with_header(answer(302, ""), "location", "/login?failed=1");
    }
    state.logins += 1;
    let session = format!("s{}", state.logins);
    state.sessions.insert(session.clone());
    let answer = with_header(answer(302, ""), "location", "/");
    with_header(
        answer,
        "set-cookie",
        &format!("session={session}; Path=/; HttpOnly"),
    )
}

/// Whether a valid session cookie came.
fn has_session(state: &State, seen: &Seen) -> bool {
    cookie(seen, "session").is_some_and(|session| state.sessions.contains(&session))
}

/// One cookie of a request.
fn cookie(seen: &Seen, name: &str) -> Option<String> {
    let pairs = seen
        .header("cookie")
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned());
    values.next()
}
