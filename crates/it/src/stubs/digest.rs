//! A page behind digest authentication (RFC 7616, `qop=auth`), MD5 or SHA-256. It checks nonces,
//! their counters and the path, and can let a nonce go stale. Proven against curl.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};

use super::schemes::PAGE;
use super::server::{Answer, Seen, Server, answer, handler, text_page, with_header};

/// The one account.
pub const USER: (&str, &str) = ("scraper", "dig\"est: pass");
const REALM: &str = "metrics";

/// Which hash the server asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RFC 2617's.
    Md5,
    /// RFC 7616's.
    Sha256,
}

/// What the server remembers.
#[derive(Debug, Default)]
struct State {
    /// Nonces and the highest counter that came with each.
    nonces: HashMap<String, u32>,
    given: usize,
    /// Right answers that will be called stale.
    stale: usize,
    wrong: Vec<String>,
}

/// The running stub.
#[derive(Debug)]
pub struct Digest {
    /// What it was asked, and where it is.
    pub server: Server,
    state: Arc<Mutex<State>>,
}

impl Digest {
    /// Starts it.
    pub async fn start(algorithm: Algorithm) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let server = Server::plain(handler(move |seen| {
            let answer = respond(&mut shared.lock().unwrap(), algorithm, &seen);
            async move { answer }
        }));
        Self {
            server: server.await,
            state,
        }
    }

    /// Lets all nonces go stale.
    pub fn expire(&self) {
        self.state.lock().unwrap().nonces.clear();
    }

    /// Calls the next right answers stale, also those to a new nonce.
    pub fn call_stale(&self, answers: usize) {
        self.state.lock().unwrap().stale = answers;
    }

    /// How many nonces were given.
    pub fn challenges(&self) -> usize {
        self.state.lock().unwrap().given
    }

    /// What was wrong with answers to a challenge.
    pub fn wrong(&self) -> Vec<String> {
        self.state.lock().unwrap().wrong.clone()
    }
}

/// Answers one request.
fn respond(state: &mut State, algorithm: Algorithm, seen: &Seen) -> Answer {
    let Some(fields) = seen
        .header("authorization")
        .strip_prefix("Digest ")
        .map(parse)
    else {
        return challenge(state, algorithm, false);
    };
    let get = |name: &str| fields.get(name).cloned().unwrap_or_default();
    if let Err(reason) = verify(algorithm, seen, &get) {
        state.wrong.push(reason);
        return challenge(state, algorithm, false);
    }
    if state.stale > 0 {
        state.stale -= 1;
        return challenge(state, algorithm, true);
    }
    let count = u32::from_str_radix(&get("nc"), 16).unwrap_or(0);
    match state.nonces.get_mut(&get("nonce")) {
        None => challenge(state, algorithm, true),
        Some(last) if count <= *last => {
            state.wrong.push(format!("nc {count} after {last}"));
            challenge(state, algorithm, false)
        }
        Some(last) => {
            *last = count;
            text_page(PAGE)
        }
    }
}

/// 401 with a new nonce.
fn challenge(state: &mut State, algorithm: Algorithm, is_stale: bool) -> Answer {
    state.given += 1;
    let nonce = format!("nonce-{}", state.given);
    state.nonces.insert(nonce.clone(), 0);
    let name = name(algorithm);
    let stale = if is_stale { ", stale=true" } else { "" };
    let value = format!(
        "Digest realm=\"{REALM}\", qop=\"auth\", algorithm={name}, nonce=\"{nonce}\", \
         opaque=\"o\\\"q\"{stale}"
    );
    with_header(answer(401, "digest, please"), "www-authenticate", &value)
}

/// Computes the response anew and compares.
fn verify(algorithm: Algorithm, seen: &Seen, get: &dyn Fn(&str) -> String) -> Result<(), String> {
    let same = |what: &str, found: String, wanted: &str| {
        let is_same = found == wanted;
        is_same
            .then_some(())
            .ok_or_else(|| format!("{what} is {found:?}, not {wanted:?}"))
    };
    same("username", get("username"), USER.0)?;
    same("realm", get("realm"), REALM)?;
    same("uri", get("uri"), &seen.target())?;
    same("qop", get("qop"), "auth")?;
    same("opaque", get("opaque"), "o\"q")?;
    if !get("algorithm").is_empty() || algorithm == Algorithm::Sha256 {
        same("algorithm", get("algorithm"), name(algorithm))?;
    }
    if get("cnonce").is_empty() || get("nc").len() != 8 {
        return Err("no cnonce or nc".to_owned());
    }
    let a1 = hash(algorithm, &format!("{}:{REALM}:{}", USER.0, USER.1));
    let a2 = hash(algorithm, &format!("{}:{}", seen.method, get("uri")));
    let text = format!(
        "{a1}:{}:{}:{}:auth:{a2}",
        get("nonce"),
        get("nc"),
        get("cnonce")
    );
    same("response", get("response"), &hash(algorithm, &text))
}

/// The name in the header.
fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Md5 => "MD5",
        Algorithm::Sha256 => "SHA-256",
    }
}

/// The hash in hex.
fn hash(algorithm: Algorithm, text: &str) -> String {
    use md5::Digest as _;
    match algorithm {
        Algorithm::Md5 => hex(&md5::Md5::digest(text.as_bytes())),
        Algorithm::Sha256 => {
            hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()).as_ref())
        }
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Reads `name=value, name="value"` with quoted pairs.
fn parse(text: &str) -> HashMap<String, String> {
    let mut fields = HashMap::new();
    let mut rest = text.trim();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, after) = if let Some(quoted) = after.strip_prefix('"') {
            unquote(quoted)
        } else {
            let end = after.find(',').unwrap_or(after.len());
            let (value, after) = after.split_at(end);
            (value.trim().to_owned(), after)
        };
        fields.insert(name.trim().to_owned(), value);
        rest = after.trim_start_matches([',', ' ']);
    }
    fields
}

/// Reads up to the closing quote.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, text.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(characters.next().map(|(_, next)| next)),
            other => value.push(other),
        }
    }
    (value, "")
}
