//! HTTP Digest access authentication, the client's side (RFC 7616, and RFC 2069 servers without
//! `qop`): challenges are read from `WWW-Authenticate` and answered. It keeps no nonce and counts
//! nothing; the caller does. `userhash`, `domain` and `rspauth` are not used.

use aws_lc_rs::digest;
use md5::{Digest as _, Md5};

use crate::auth::hex;

#[cfg(test)]
mod tests;

/// Challenges of one response that are looked at.
const CHALLENGES_MAX: usize = 16;

/// No challenge that can be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// No header names the scheme Digest.
    #[error("the server asks for no digest authentication; choose the auth kind it asks for")]
    NoDigest,
    /// Only algorithms or protections that are not supported.
    #[error(
        "the server asks for an unsupported digest (algorithm `{0}`); allow SHA-256 or MD5 with qop auth there"
    )]
    Unsupported(String),
    /// A challenge without realm or nonce.
    #[error("the digest challenge of the server has no {0}; the server is at fault")]
    Missing(&'static str),
    /// A control character in a value that goes into a header.
    #[error("the {0} has a control character, which no header can carry; remove it")]
    ControlCharacter(&'static str),
}

/// Hash function of a challenge, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// MD5, also when the challenge names none.
    Md5,
    /// SHA-256.
    Sha256,
    /// SHA-512/256.
    Sha512Half,
}

impl Algorithm {
    /// The algorithm and whether it is the session variant.
    fn from_name(name: &str) -> Option<(Self, bool)> {
        let lower = name.to_ascii_lowercase();
        let (base, is_session) = match lower.strip_suffix("-sess") {
            Some(base) => (base, true),
            None => (lower.as_str(), false),
        };
        let algorithm = match base {
            "md5" => Self::Md5,
            "sha-256" => Self::Sha256,
            "sha-512-256" => Self::Sha512Half,
            _ => return None,
        };
        Some((algorithm, is_session))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512Half => "SHA-512-256",
        }
    }

    fn hash(self, data: &[u8]) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(data)),
            Self::Sha256 => hex(digest::digest(&digest::SHA256, data).as_ref()),
            Self::Sha512Half => hex(digest::digest(&digest::SHA512_256, data).as_ref()),
        }
    }
}

/// What the answer protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protection {
    /// No `qop`: a server of RFC 2069, without protection against replays.
    Legacy,
    /// `auth-int`: the body, too. Taken only when `auth` is not offered.
    AuthInt,
    /// `auth`.
    Auth,
}

/// A challenge that can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Name of the protection space.
    pub realm: String,
    /// The server's nonce; count the answers given to it.
    pub nonce: String,
    /// To be returned as it came.
    pub opaque: Option<String>,
    /// Hash function.
    pub algorithm: Algorithm,
    /// The `-sess` variant.
    pub is_session: bool,
    /// What the answer will protect.
    pub protection: Protection,
    /// The credentials were right, only the nonce was too old: answer again, do not give up.
    pub is_stale: bool,
    /// The server named the algorithm, so the answer does, too.
    pub is_algorithm_named: bool,
}

/// What one answer is made of.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// User name.
    pub username: &'a str,
    /// Password.
    pub password: &'a str,
    /// Method of the request, in upper case.
    pub method: &'a str,
    /// Request target exactly as in the request line: path and query.
    pub uri: &'a str,
    /// Body of the request; used with `auth-int` only.
    pub body: &'a [u8],
    /// Random text of the client, at least 64 bits in hexadecimal digits.
    pub cnonce: &'a str,
    /// How many requests, this one included, were answered with this nonce; the first is 1.
    pub nonce_count: u32,
}

impl std::fmt::Debug for Answer<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Answer")
            .field("username", &self.username)
            .field("method", &self.method)
            .field("uri", &self.uri)
            .field("nonce_count", &self.nonce_count)
            .finish_non_exhaustive()
    }
}

/// The strongest challenge of a response that can be answered, from the values of all its
/// `WWW-Authenticate` headers. Of equally strong ones the first.
///
/// # Errors
/// When there is none; the error of the first digest challenge tells why.
pub fn choose<'a>(headers: impl IntoIterator<Item = &'a str>) -> Result<Challenge, DigestError> {
    let mut chosen: Option<Challenge> = None;
    let mut refused = None;
    for parameters in digest_challenges(headers) {
        match Challenge::new(&parameters) {
            Ok(challenge) => {
                let rank = |of: &Challenge| (of.algorithm, of.protection);
                if chosen
                    .as_ref()
                    .is_none_or(|best| rank(&challenge) > rank(best))
                {
                    chosen = Some(challenge);
                }
            }
            Err(error) => {
                refused.get_or_insert(error);
            }
        }
    }
    chosen.ok_or(refused.unwrap_or(DigestError::NoDigest))
}

impl Challenge {
    fn new(parameters: &[(String, String)]) -> Result<Self, DigestError> {
        let get = |name: &str| {
            let found = parameters
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        };
        let algorithm_name = get("algorithm");
        let shown = algorithm_name.as_deref().unwrap_or("MD5");
        let unsupported = || DigestError::Unsupported(shown.chars().take(40).collect());
        let (algorithm, is_session) = Algorithm::from_name(shown).ok_or_else(unsupported)?;
        let protection = match get("qop") {
            None => Protection::Legacy,
            Some(offered) => {
                let has = |name: &str| {
                    offered
                        .split(',')
                        .any(|option| option.trim().eq_ignore_ascii_case(name))
                };
                if has("auth") {
                    Protection::Auth
                } else if has("auth-int") {
                    Protection::AuthInt
                } else {
                    return Err(unsupported());
                }
            }
        };
        Ok(Self {
            realm: get("realm").ok_or(DigestError::Missing("realm"))?,
            nonce: get("nonce").ok_or(DigestError::Missing("nonce"))?,
            opaque: get("opaque"),
            algorithm,
            is_session,
            protection,
            is_stale: get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
            is_algorithm_named: algorithm_name.is_some(),
        })
    }

    /// The value of the `Authorization` header (RFC 7616 section 3.4).
    ///
    /// # Errors
    /// When a part has a control character, such as a newline, that a header cannot carry.
    pub fn authorization(&self, answer: &Answer<'_>) -> Result<String, DigestError> {
        let parts = [
            ("user name", answer.username),
            ("request target", answer.uri),
            ("cnonce", answer.cnonce),
            ("realm", &self.realm),
            ("nonce", &self.nonce),
            ("opaque value", self.opaque.as_deref().unwrap_or_default()),
        ];
        for (what, text) in parts {
            if text.chars().any(char::is_control) {
                return Err(DigestError::ControlCharacter(what));
            }
        }
        let username = if answer.username.is_ascii() {
            format!("username={}", quoted(answer.username))
        } else {
            format!("username*=UTF-8''{}", percent(answer.username))
        };
        let mut parts = vec![
            username,
            format!("realm={}", quoted(&self.realm)),
            format!("nonce={}", quoted(&self.nonce)),
            format!("uri={}", quoted(answer.uri)),
            format!("response=\"{}\"", self.response(answer)),
        ];
        if self.is_algorithm_named {
            let session = if self.is_session { "-sess" } else { "" };
            parts.push(format!("algorithm={}{session}", self.algorithm.name()));
        }
        if let Some(qop) = self.qop() {
            parts.push(format!("qop={qop}, nc={:08x}", answer.nonce_count));
        }
        if self.qop().is_some() || self.is_session {
            parts.push(format!("cnonce={}", quoted(answer.cnonce)));
        }
        if let Some(opaque) = &self.opaque {
            parts.push(format!("opaque={}", quoted(opaque)));
        }
        Ok(format!("Digest {}", parts.join(", ")))
    }

    const fn qop(&self) -> Option<&'static str> {
        match self.protection {
            Protection::Legacy => None,
            Protection::Auth => Some("auth"),
            Protection::AuthInt => Some("auth-int"),
        }
    }

    /// The response parameter (RFC 7616 sections 3.4.1 to 3.4.3).
    fn response(&self, answer: &Answer<'_>) -> String {
        let hash = |text: String| self.algorithm.hash(text.as_bytes());
        let mut secret = hash(format!(
            "{}:{}:{}",
            answer.username, self.realm, answer.password
        ));
        if self.is_session {
            secret = hash(format!("{secret}:{}:{}", self.nonce, answer.cnonce));
        }
        let mut request = format!("{}:{}", answer.method, answer.uri);
        if self.protection == Protection::AuthInt {
            request.push(':');
            request.push_str(&self.algorithm.hash(answer.body));
        }
        let request = hash(request);
        match self.qop() {
            None => hash(format!("{secret}:{}:{request}", self.nonce)),
            Some(qop) => hash(format!(
                "{secret}:{}:{:08x}:{}:{qop}:{request}",
                self.nonce, answer.nonce_count, answer.cnonce
            )),
        }
    }
}

/// Names and values of one challenge, in their order.
type Parameters = Vec<(String, String)>;

/// The parameters of every challenge of the scheme Digest. Other schemes are read past, also those
/// with a token instead of parameters (RFC 9110 section 11.6.1).
fn digest_challenges<'a>(headers: impl IntoIterator<Item = &'a str>) -> Vec<Parameters> {
    let mut found: Vec<Parameters> = Vec::new();
    for header in headers {
        let mut rest = header;
        let mut is_digest = false;
        loop {
            rest = rest.trim_start_matches([',', ' ', '\t']);
            if rest.is_empty() {
                break;
            }
            let (token, behind) = split_token(rest);
            let after = behind.trim_start_matches([' ', '\t']);
            if token.is_empty() {
                rest = after_comma(behind);
            } else if let Some(value) = after.strip_prefix('=') {
                let (value, behind) = split_value(value.trim_start_matches([' ', '\t']));
                if let (true, Some(last)) = (is_digest, found.last_mut()) {
                    last.push((token.to_owned(), value));
                }
                rest = after_comma(behind);
            } else {
                is_digest = token.eq_ignore_ascii_case("digest");
                if is_digest {
                    if found.len() == CHALLENGES_MAX {
                        return found;
                    }
                    found.push(Vec::new());
                }
                rest = after;
            }
        }
    }
    found
}

/// Cuts the token (RFC 9110 section 5.6.2) off the front.
fn split_token(text: &str) -> (&str, &str) {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    text.split_at_checked(text.find(|c| !is_token(c)).unwrap_or(text.len()))
        .unwrap_or_default()
}

/// Cuts a value off the front: a quoted string with its escapes resolved, else all up to a comma.
fn split_value(text: &str) -> (String, &str) {
    let Some(inside) = text.strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        let (value, behind) = text.split_at_checked(end).unwrap_or_default();
        return (value.trim().to_owned(), behind);
    };
    let mut value = String::new();
    let mut characters = inside.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => value.extend(characters.next()),
            _ => value.push(character),
        }
    }
    (value, characters.as_str())
}

/// What follows the next comma; nothing without one. Always shorter than what was given, or empty.
fn after_comma(text: &str) -> &str {
    text.split_once(',').map_or("", |(_, behind)| behind)
}

/// A quoted string (RFC 9110 section 5.6.4).
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
    out
}

/// Percent-encoded as in an extended value (RFC 8187 section 3.2).
fn percent(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex(&[byte]).to_ascii_uppercase());
        }
    }
    out
}
