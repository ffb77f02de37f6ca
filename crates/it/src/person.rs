//! A person with a browser, played by curl with a jar of cookies: TLS, cookies and headers as a real
//! client has them. It follows redirects only when it is told to.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};

use crate::program::Program;

/// A browser.
#[derive(Debug)]
pub struct Person {
    curl: String,
    folder: tempfile::TempDir,
    /// The port of the hub.
    pub port: u16,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Page {
    /// The status; 0 without an answer.
    pub status: u16,
    /// The headers, as sent.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Page {
    /// A header; empty when it is not there.
    pub fn header(&self, name: &str) -> String {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.trim().to_owned());
        value.unwrap_or_default()
    }

    /// Where it leads.
    pub fn location(&self) -> String {
        self.header("location")
    }

    /// What stands between two texts.
    pub fn between(&self, before: &str, after: &str) -> String {
        let rest = self.body.split_once(before).map(|(_, rest)| rest);
        let found = rest.and_then(|rest| rest.split_once(after));
        let found = found.unwrap_or_else(|| panic!("no {before}…{after} in {}", self.body));
        found.0.to_owned()
    }
}

impl Person {
    /// A person without any cookie who knows where the names of `hub` lead.
    pub fn new(curl: &str, hub: &Program) -> Self {
        Self {
            curl: curl.to_owned(),
            folder: tempfile::tempdir().unwrap(),
            port: hub.main.port(),
        }
    }

    /// The origin of a host at the hub's port.
    pub fn origin(&self, host: &str) -> String {
        format!("https://{host}:{}", self.port)
    }

    /// The cookies that are kept, as the file of curl.
    pub fn cookies(&self) -> String {
        std::fs::read_to_string(self.jar()).unwrap_or_default()
    }

    /// Goes to a page.
    pub async fn go(&self, url: &str) -> Page {
        self.ask(url, &["-H", "Accept: text/html,*/*;q=0.8"]).await
    }

    /// Sends a form from a page of the same origin.
    pub async fn send(&self, url: &str, fields: &[(&str, &str)]) -> Page {
        let origin: Vec<&str> = url.splitn(4, '/').take(3).collect();
        let origin = format!("Origin: {}", origin.join("/"));
        self.send_with(url, fields, &["-H", &origin]).await
    }

    /// Sends a form with other words for curl.
    pub async fn send_with(&self, url: &str, fields: &[(&str, &str)], more: &[&str]) -> Page {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let form = form.finish();
        let words = [&["-H", "Accept: text/html", "--data-raw", &form], more].concat();
        self.ask(url, &words).await
    }

    /// Anything else.
    pub async fn ask(&self, url: &str, words: &[&str]) -> Page {
        let jar = self.jar();
        let jar = jar.to_str().unwrap();
        let (port, head) = (self.port, self.folder.path().join("head"));
        let every = format!("::127.0.0.1:{port}");
        let output = tokio::process::Command::new(&self.curl)
            .args([
                "--silent",
                "--insecure",
                "--max-time",
                "30",
                "--cookie",
                jar,
            ])
            .args([
                "--cookie-jar",
                jar,
                "--connect-to",
                &every,
                "--noproxy",
                "*",
            ])
            .arg("--dump-header")
            .arg(&head)
            .args(["--write-out", "\n%{http_code}"])
            .args(words)
            .arg(url)
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap_or(("", "0"));
        Page {
            status: status.parse().unwrap_or(0),
            head: std::fs::read_to_string(head).unwrap_or_default(),
            body: body.to_owned(),
        }
    }

    fn jar(&self) -> PathBuf {
        self.folder.path().join("cookies")
    }
}

/// The code of an authenticator app at the moment, or `later` codes after it (RFC 6238).
pub fn code_of(key: &str, later: u64) -> String {
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits: Vec<bool> = key
        .chars()
        .filter(|letter| *letter != ' ')
        .flat_map(|letter| {
            let value = letters.find(letter).unwrap();
            (0..5).rev().map(move |bit| value >> bit & 1 == 1)
        })
        .collect();
    let bytes: Vec<u8> = bits
        .chunks_exact(8)
        .map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit)))
        .collect();
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let step = seconds / 30 + later;
    let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    let tag = sign(&key, &step.to_be_bytes());
    let start = usize::from(tag.as_ref()[19] & 15);
    let four: [u8; 4] = tag.as_ref()[start..start + 4].try_into().unwrap();
    format!(
        "{:06}",
        (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000
    )
}
