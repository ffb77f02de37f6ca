//! Clients whose uploads are refused and that try them again: krkn asks for links for ever, and nobody
//! but the operator can end that. In memory, of this process.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::extract::Request;
use base::http::Peer;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Method, StatusCode};
use prometheus_client::metrics::gauge::Gauge;
use wire::s3::key::{Key, query_pairs};

use super::Shared;
use super::config::LINK_NAME;
use super::error::Trouble;
use super::time;
use super::visitor::Visitor;

/// Uploads that are remembered; beyond it the one goes that was silent for longest.
const REFUSED_MAX: usize = 1_000;
/// After which nobody is said to try again, in milliseconds: `Retry-After` is a minute.
const SILENT: i64 = 5 * 60 * 1000;
/// After which it is forgotten.
const FORGOTTEN: i64 = 24 * 60 * 60 * 1000;

/// Who uploads what. By keys first, so that those of one are beside each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Upload {
    pub(crate) key: String,
    pub(crate) address: Option<IpAddr>,
    /// Nobody with a link, which says nothing of whom it was given to.
    pub(crate) user: Option<String>,
}

/// How often it was refused, and why at last.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
    pub(crate) attempts: u64,
    /// In Unix milliseconds.
    pub(crate) first_at: i64,
    pub(crate) last_at: i64,
}

impl Refused {
    /// Whether more attempts are to be expected.
    pub(crate) fn is_retrying(&self, now: i64) -> bool {
        self.attempts > 1 && now.saturating_sub(self.last_at) < SILENT
    }
}

/// What was refused and has not come since.
#[derive(Debug)]
pub(crate) struct Retries {
    uploads: Mutex<BTreeMap<Upload, Refused>>,
    /// How many are trying.
    retrying: Gauge,
}

impl Retries {
    pub(crate) fn new(retrying: Gauge) -> Self {
        Self {
            uploads: Mutex::default(),
            retrying,
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Upload, Refused>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An upload was refused.
    pub(crate) fn add(&self, upload: Upload, trouble: &Trouble, now: i64) {
        let mut uploads = self.lock();
        if uploads.len() >= REFUSED_MAX && !uploads.contains_key(&upload) {
            let oldest = uploads.iter().min_by_key(|(_, refused)| refused.last_at);
            let oldest = oldest.map(|(upload, _)| upload.clone());
            oldest.map(|upload| uploads.remove(&upload));
        }
        let refused = uploads.entry(upload).or_insert_with(|| Refused {
            status: 0,
            reason: "",
            attempts: 0,
            first_at: now,
            last_at: now,
        });
        refused.status = trouble.status().as_u16();
        refused.reason = trouble.reason();
        refused.attempts = refused.attempts.saturating_add(1);
        refused.last_at = now;
        self.count(&uploads, now);
    }

    /// An upload came: whoever tried it need not try again.
    pub(crate) fn settle(&self, key: &Key) {
        let mut uploads = self.lock();
        if uploads.is_empty() {
            return;
        }
        let first = Upload {
            key: key.as_str().to_owned(),
            address: None,
            user: None,
        };
        let same = uploads.range(first..).map(|(upload, _)| upload);
        let same = same.take_while(|upload| upload.key == key.as_str());
        for upload in same.cloned().collect::<Vec<_>>() {
            uploads.remove(&upload);
        }
        self.count(&uploads, time::now());
    }

    /// Forgets what is long ago, and counts who is still trying.
    pub(crate) fn look(&self, now: i64) {
        let mut uploads = self.lock();
        uploads.retain(|_, refused| now.saturating_sub(refused.last_at) < FORGOTTEN);
        self.count(&uploads, now);
    }

    fn count(&self, uploads: &BTreeMap<Upload, Refused>, now: i64) {
        let all = uploads.values();
        let retrying = all.filter(|refused| refused.is_retrying(now)).count();
        self.retrying
            .set(i64::try_from(retrying).unwrap_or(i64::MAX));
    }

    /// All of them, the last first.
    pub(crate) fn all(&self) -> Vec<(Upload, Refused)> {
        let uploads = self.lock();
        let all = uploads.iter();
        let mut all: Vec<_> = all
            .map(|(upload, refused)| (upload.clone(), refused.clone()))
            .collect();
        all.sort_by_key(|(_, refused)| std::cmp::Reverse(refused.last_at));
        all
    }
}

impl Shared {
    /// Who uploads a key with a request.
    pub(crate) fn upload_of(&self, head: &Parts, key: &Key) -> Upload {
        let peer = head.extensions.get::<Peer>().map(Peer::ip);
        let visitor = head.extensions.get::<Visitor>();
        let visitor = visitor.map(|visitor| visitor.name().to_owned());
        Upload {
            key: key.as_str().to_owned(),
            address: self.places.client(head).or(peer),
            user: visitor.or_else(|| signer(head)),
        }
    }

    /// The upload that a request to the bucket is, if it is one.
    pub(crate) fn upload_in(&self, request: &Request) -> Option<(Parts, Key)> {
        if !matches!(*request.method(), Method::PUT | Method::POST) {
            return None;
        }
        let path = request.uri().path().strip_prefix('/')?;
        let path = path.strip_prefix(self.config.bucket.as_str())?;
        let key = Key::decode(path.strip_prefix('/')?).ok()?;
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.uri = request.uri().clone();
        head.headers = request.headers().clone();
        head.extensions = request.extensions().clone();
        Some((head, key))
    }

    /// Remembers an upload that was refused for something that may pass: whoever may not has nothing to
    /// wait for, and a stranger could fill the list.
    pub(crate) fn note_refused(&self, (head, key): (&Parts, &Key), trouble: &Trouble) {
        let may_pass = matches!(
            trouble.status(),
            StatusCode::INSUFFICIENT_STORAGE
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::REQUEST_TIMEOUT
        );
        if may_pass || matches!(trouble, Trouble::Refused(_)) {
            self.retries
                .add(self.upload_of(head, key), trouble, time::now());
        }
    }
}

/// Who signed a request, as it says; it is only asked for when the signature was right.
fn signer(head: &Parts) -> Option<String> {
    let header = head.headers.get(AUTHORIZATION);
    let header = header.and_then(|value| value.to_str().ok()?.split_once("Credential="));
    let credential = match header {
        Some((_, credential)) => credential.to_owned(),
        None => {
            let pairs = query_pairs(head.uri.query().unwrap_or_default())?;
            let mut pairs = pairs.into_iter();
            pairs.find(|(name, _)| name == "X-Amz-Credential")?.1
        }
    };
    let (name, _) = credential.split_once('/')?;
    (name != LINK_NAME).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(key: &str, user: Option<&str>) -> Upload {
        Upload {
            key: key.to_owned(),
            address: None,
            user: user.map(str::to_owned),
        }
    }

    #[test]
    fn who_tries_again_is_known_until_it_comes() {
        let gauge = Gauge::default();
        let retries = Retries::new(gauge.clone());
        let full = Trouble::Full("the group");
        let start = time::now();
        retries.add(upload("g/r/f", Some("krkn")), &full, start);
        assert_eq!(gauge.get(), 0);
        retries.add(upload("g/r/f", Some("krkn")), &full, start + 1);
        retries.add(upload("g/r/f", None), &full, start + 2);
        retries.add(upload("g/r/f2", None), &full, start + 3);
        assert_eq!(gauge.get(), 1);
        let all = retries.all();
        let attempts: Vec<u64> = all.iter().map(|(_, refused)| refused.attempts).collect();
        assert_eq!(attempts, [1, 1, 2]);
        retries.look(start + SILENT + 1);
        assert_eq!(gauge.get(), 0);
        retries.settle(&Key::new("g/r/f").expect("a key"));
        let left: Vec<String> = retries.all().into_iter().map(|(one, _)| one.key).collect();
        assert_eq!(left, ["g/r/f2"]);
        retries.look(start + FORGOTTEN + 3);
        assert!(retries.all().is_empty());
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let retries = Retries::new(Gauge::default());
        for number in 0..=REFUSED_MAX {
            let at = i64::try_from(number).unwrap_or(0);
            let upload = upload(&format!("g/r/{number}"), None);
            retries.add(upload, &Trouble::Busy, at);
        }
        let all = retries.all();
        assert_eq!(all.len(), REFUSED_MAX);
        assert!(all.iter().all(|(upload, _)| upload.key != "g/r/0"));
    }
}
