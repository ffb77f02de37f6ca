//! One request of remote write, and what its answer means.

use std::time::Duration;

use base::client::{chain, read_body};
use base::clock;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use url::Url;
use wire::remote_write::Version;

use super::batch::Counts;
use crate::scrape::{AGENT, HttpClient};

/// Bytes of an answer that are read; it is a text for people.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// Characters of it that are told.
const TOLD_CHARS_MAX: usize = 300;
/// The longest wait that a remote may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);
const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-write-version");
const SAMPLES_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-samples-written");
const HISTOGRAMS_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-histograms-written");

/// What came of a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// The remote has it.
    Taken,
    /// It has not; sending it again may help.
    Later {
        why: String,
        /// After this time, if the remote says so.
        after: Option<Duration>,
    },
    /// It will not take this, or some of it.
    Refused {
        why: String,
        /// How much of it was not taken, if the remote says so.
        lost: Option<u64>,
    },
    /// It will not take so much at once.
    TooLarge(String),
}

/// Where requests go, and how.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) client: HttpClient,
    pub(super) url: Url,
    pub(super) version: Version,
    pub(super) timeout: Duration,
}

impl Delivery {
    /// Sends one request.
    pub(super) async fn send(&self, body: Bytes, counts: Counts) -> Verdict {
        let deadline = clock::now() + self.timeout;
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, AGENT);
        let content_type = HeaderValue::from_static(self.version.content_type());
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        headers.insert(VERSION, HeaderValue::from_static(self.version.number()));
        let sent = self.client.post(&self.url, (&headers, body), deadline);
        let response = match sent.await {
            Ok(response) => response,
            Err(error) => {
                return Verdict::Later {
                    why: chain(&error),
                    after: None,
                };
            }
        };
        let (head, body) = response.into_parts();
        let told = read_body(body, ANSWER_BYTES_MAX, deadline).await;
        let told = told.map(|told| shown(&told)).unwrap_or_default();
        judge(self.version, &Response::from_parts(head, told), counts)
    }
}

/// What an answer means. What is wrong with the samples is a refusal; what is wrong with the address, the
/// credentials or the remote itself is not, because somebody can mend it while samples wait.
fn judge(version: Version, answer: &Response<String>, counts: Counts) -> Verdict {
    let status = answer.status();
    let why = match answer.body().as_str() {
        "" => status.to_string(),
        told => format!("{status}: {told}"),
    };
    let later = |why| Verdict::Later {
        why,
        after: retry_after(answer.headers()),
    };
    match status {
        _ if status.is_success() => {
            let has_samples = counts.samples + counts.histograms > 0;
            if version == Version::Two && has_samples && written(answer.headers()).is_none() {
                let why = "it does not say how much it has written, as remote write 2.0 wants; \
                           set `version: \"1.0\"`";
                return later(why.to_owned());
            }
            Verdict::Taken
        }
        StatusCode::PAYLOAD_TOO_LARGE => Verdict::TooLarge(why),
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::TOO_EARLY
        | StatusCode::TOO_MANY_REQUESTS => later(why),
        _ if status.is_client_error() => {
            let written = written(answer.headers());
            let all = counts.samples + counts.histograms;
            let lost = written.map(|written| all.saturating_sub(written));
            Verdict::Refused { why, lost }
        }
        _ => later(why),
    }
}

/// Samples and histograms that the remote says it has written.
fn written(headers: &HeaderMap) -> Option<u64> {
    let number = |name| headers.get(name)?.to_str().ok()?.trim().parse().ok();
    let samples: u64 = number(SAMPLES_WRITTEN)?;
    Some(samples.saturating_add(number(HISTOGRAMS_WRITTEN).unwrap_or(0)))
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse();
    Some(Duration::from_secs(seconds.ok()?).min(RETRY_AFTER_MAX))
}

/// The beginning of a text on one line.
fn shown(told: &[u8]) -> String {
    let told = String::from_utf8_lossy(told);
    let line: String = told.trim().chars().take(TOLD_CHARS_MAX).collect();
    line.replace(|letter: char| letter.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(HeaderName, &str)]) -> Response<String> {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(name, *value);
        }
        response.body("told".to_owned()).unwrap()
    }

    #[test]
    fn what_an_answer_means() {
        let counts = Counts {
            samples: 9,
            histograms: 1,
            exemplars: 0,
        };
        let one = |status| judge(Version::One, &answer(status, &[]), counts);
        assert_eq!(one(204), Verdict::Taken);
        assert_eq!(one(200), Verdict::Taken);
        for status in [302, 401, 403, 404, 408, 415, 429, 500, 502, 503, 504] {
            assert!(matches!(one(status), Verdict::Later { .. }), "{status}");
        }
        for status in [400, 409, 422] {
            assert!(matches!(one(status), Verdict::Refused { lost: None, .. }));
        }
        assert!(matches!(one(413), Verdict::TooLarge(_)));
        let wait = |value| {
            let answer = answer(503, &[(RETRY_AFTER, value)]);
            match judge(Version::One, &answer, counts) {
                Verdict::Later { after, .. } => after,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("86400"), Some(RETRY_AFTER_MAX));
        assert_eq!(wait("soon"), None);
    }

    /// One that only knows 1.0 reads nothing of a request of 2.0, and says that all is well.
    #[test]
    fn version_two_is_believed_only_when_it_says_what_it_wrote() {
        let counts = Counts {
            samples: 5,
            ..Counts::default()
        };
        let two = |status, headers: &[_]| judge(Version::Two, &answer(status, headers), counts);
        assert!(matches!(two(204, &[]), Verdict::Later { .. }));
        assert_eq!(two(204, &[(SAMPLES_WRITTEN, "5")]), Verdict::Taken);
        let partly = two(400, &[(SAMPLES_WRITTEN, "3")]);
        assert!(matches!(partly, Verdict::Refused { lost: Some(2), .. }));
    }
}
