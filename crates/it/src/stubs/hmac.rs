//! A page behind a signature made of method, path and date with a shared secret, as the `hmac`
//! scheme's defaults make it. The date must be that of this second.

use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::digest::hex;
use super::schemes::guard;
use super::server::{Seen, Server};

/// Key id and secret.
pub const KEY: (&str, &str) = ("scraper", "hmac secret");

/// The rule of one installation.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// All defaults: SHA-256, hex, `Date`, `Authorization: HMAC id:signature`.
    Default,
    /// SHA-512, base64, epoch in `X-Date`, query and host signed, `X-Signature: signature`.
    Custom,
}

/// The running stub.
#[derive(Debug)]
pub struct Hmac {
    /// What it was asked, and where it is.
    pub server: Server,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl Hmac {
    /// Starts it.
    pub async fn start(rule: Rule) -> Self {
        let wrong = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&wrong);
        let server = Server::plain(guard(move |seen| {
            let verdict = match rule {
                Rule::Default => check_default(seen),
                Rule::Custom => check_custom(seen),
            };
            verdict
                .map_err(|reason| shared.lock().unwrap().push(reason))
                .is_ok()
        }));
        Self {
            server: server.await,
            wrong,
        }
    }

    /// Why requests were refused.
    pub fn wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap().clone()
    }
}

/// The defaults.
fn check_default(seen: &Seen) -> Result<(), String> {
    let date = seen.header("date");
    let when = OffsetDateTime::parse(&date.replace("GMT", "+0000"), &Rfc2822);
    check_now(
        when.map_err(|error| format!("date {date:?}: {error}"))?
            .unix_timestamp(),
    )?;
    let text = format!("{}\n{}\n{date}", seen.method, seen.path);
    let signature = hex(&sign(aws_lc_rs::hmac::HMAC_SHA256, &text));
    same(
        seen.header("authorization"),
        &format!("HMAC {}:{signature}", KEY.0),
    )
}

/// The other rule.
fn check_custom(seen: &Seen) -> Result<(), String> {
    let date = seen.header("x-date");
    check_now(
        date.parse()
            .map_err(|error| format!("date {date:?}: {error}"))?,
    )?;
    let text = format!(
        "{}|{}|{}|{}|{}|{date}",
        KEY.0,
        seen.method,
        seen.header("host"),
        seen.path,
        seen.query
    );
    let signature = STANDARD.encode(sign(aws_lc_rs::hmac::HMAC_SHA512, &text));
    same(seen.header("x-signature"), &signature)
}

/// The two texts must be equal.
fn same(found: &str, wanted: &str) -> Result<(), String> {
    let is_same = found == wanted;
    is_same
        .then_some(())
        .ok_or_else(|| format!("{found:?} is not {wanted:?}"))
}

/// No skew but the edge between two seconds.
fn check_now(date: i64) -> Result<(), String> {
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let is_now = (now - 1..=now).contains(&date);
    is_now
        .then_some(())
        .ok_or_else(|| format!("signed at {date}, now is {now}"))
}

/// The signature.
fn sign(algorithm: aws_lc_rs::hmac::Algorithm, text: &str) -> Vec<u8> {
    let key = aws_lc_rs::hmac::Key::new(algorithm, KEY.1.as_bytes());
    aws_lc_rs::hmac::sign(&key, text.as_bytes())
        .as_ref()
        .to_vec()
}
