//! `landline store import --remote-read`: asks a server for the samples of one stretch of time after the
//! other, each of which becomes a segment.

use std::path::Path;
use std::time::Duration;

use base::client::{self, Client, ClientError};
use base::retry::Backoff;
use base::supervise::Supervisor;
use base::tls::ClientTls;
use base::{clock, files};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use monitor::import::ImportError;
use monitor::import::remote::{self, AnswerError, Wanted};
use signals::Store;
use url::Url;

use super::import::{Done, came, oldest_kept};
use super::{CommandError, Found, Outcome, Output, Progress, Stretch, Unit, failed, shown, text};
use crate::commands::asking::query;

/// How much time is asked for at once; less where that is too much.
const STEP_MS: i64 = 2 * 3_600_000;
/// Less is not asked for at once.
const STEP_MS_MIN: i64 = 1_000;
/// Stretches of one import: 45 years.
const STRETCHES_MAX: i64 = 200_000;
/// The longest wait for an answer.
const ANSWER_LIMIT: Duration = Duration::from_mins(5);
/// Bytes of an answer as it is sent.
const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// Bytes of a refusal that are read.
const REFUSAL_BYTES_MAX: u64 = 64 << 10;
/// Bytes of a file with a token or a password.
const PROOF_BYTES_MAX: u64 = 16 << 10;
/// So often a server that is away is asked again, for half a minute altogether.
const ATTEMPTS_MAX: u32 = 6;
const PAUSES: Backoff = Backoff {
    first: Duration::from_secs(1),
    ceiling: Duration::from_secs(15),
};

/// Who is asked, and for what.
struct Server {
    client: Client,
    url: Url,
    proof: Option<HeaderValue>,
    wanted: Wanted,
    /// What the noted names of its stretches begin with.
    name: String,
}

/// Why a stretch of time did not come.
enum Missed {
    /// Less time may come.
    TooMuch(String),
    /// Asking again may help.
    Away(String),
    /// It does not.
    Refused(String),
}

/// `landline store import --remote-read URL`
pub(super) async fn import(
    found: &Found,
    (url, stretch, is_dry): (&str, &Stretch, bool),
    output: &mut Output,
) -> Outcome {
    let server = Server::of(url, stretch)?;
    let (start, end) = span(stretch)?;
    warn(found, start);
    let mut done = Done::of(found)?;
    let stretches = stretches(start, end);
    let all = stretches.len();
    let left: Vec<_> = stretches
        .into_iter()
        .filter(|(from, to)| !done.has(&server.stretch_name(*from, *to)))
        .collect();
    if left.len() < all {
        eprintln!(
            "landline: {} of {all} stretches came in before",
            all - left.len()
        );
    }
    if is_dry {
        let count = left.len();
        let line = format!("{} to {}, in {count} stretches", shown(start), shown(end));
        output.line(&line)?;
        return output.flush();
    }
    let store = found.open(found.new_disk())?;
    let mut progress = Progress::new(Unit::Stretches, left.len() as u64, 0);
    let mut count = 0;
    for (from, to) in left {
        count += server
            .bring(&store, (from, to), output, &mut progress)
            .await?;
        done.note(&server.stretch_name(from, to))?;
        progress.add(1);
    }
    progress.clear();
    store.close().map_err(|error| failed(&error))?;
    output.line(&format!(
        "{} samples are in; `landline store compact` makes them smaller.",
        text::number(count)
    ))?;
    output.flush()
}

/// From when to when, in milliseconds since 1970, both inclusive.
fn span(stretch: &Stretch) -> Outcome<(i64, i64)> {
    let now = query::now();
    let moment = |name: &str, given: &str| -> Outcome<i64> {
        let nanoseconds = query::moment(name, given, now)?.unix_timestamp_nanos();
        let beyond = |_| CommandError::wrong(format!("--{name} {given} is too far away"));
        i64::try_from(nanoseconds / 1_000_000).map_err(beyond)
    };
    let start = moment("from", stretch.from.as_deref().unwrap_or_default())?;
    let end = match &stretch.to {
        Some(to) => moment("to", to)?,
        None => moment("to", "0s")?,
    };
    if end <= start {
        return Err(CommandError::wrong("--to is not after --from"));
    }
    if (end - start) / STEP_MS > STRETCHES_MAX {
        return Err(CommandError::wrong(
            "that is more than 45 years; name a later --from",
        ));
    }
    // What is at that time is left out.
    Ok((start, end - 1))
}

/// Stretches that begin at even hours, so that the same ones come when the command is repeated later.
fn stretches(start: i64, end: i64) -> Vec<(i64, i64)> {
    let mut stretches = Vec::new();
    let mut from = start;
    while from <= end {
        let next = (from.div_euclid(STEP_MS) + 1) * STEP_MS;
        stretches.push((from, end.min(next - 1)));
        from = next;
    }
    stretches
}

fn warn(found: &Found, start: i64) {
    if oldest_kept(found).is_some_and(|oldest| start < oldest) {
        eprintln!(
            "landline: what is older than `monitor.retention` keeps is removed once the monitor runs, \
             unless it is raised before"
        );
    }
}

impl Server {
    fn of(url: &str, stretch: &Stretch) -> Outcome<Self> {
        let wrong = |reason: &str| CommandError::wrong(format!("--remote-read: {reason}"));
        let parsed = Url::parse(url).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
            return Err(wrong("it has to be a URL of http or https"));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(wrong(
                "others on this machine can see a password in a URL; --login-file names a file with it",
            ));
        }
        let selector = stretch.selector.as_deref();
        let wanted = Wanted::of(selector).map_err(|error| wrong(&format!("--match: {error}")))?;
        let tls = ClientTls {
            ca: stretch.ca.clone(),
            ..ClientTls::default()
        };
        let selector = selector.unwrap_or_default().escape_debug();
        Ok(Self {
            name: format!("read {parsed} {selector}"),
            client: Client::new(tls, Supervisor::new()),
            url: parsed,
            proof: proof(stretch)?,
            wanted,
        })
    }

    fn stretch_name(&self, from: i64, to: i64) -> String {
        format!("{} {from} {to}", self.name)
    }

    /// Brings a stretch in, in parts if it has to be; gives how many samples came.
    async fn bring(
        &self,
        store: &Store,
        (start, end): (i64, i64),
        output: &mut Output,
        progress: &mut Progress,
    ) -> Outcome<u64> {
        let (mut from, mut step) = (start, end - start + 1);
        let mut count = 0;
        while from <= end {
            let to = end.min(from + step - 1);
            let part = match self.patiently(from, to).await {
                Ok(packed) => match remote::answer(store, &packed) {
                    Err(AnswerError::TooLarge(error)) => Err(Missed::TooMuch(error.to_string())),
                    other => Ok(other.map_err(missed)?),
                },
                Err(missed) => Err(missed),
            };
            progress.clear();
            let taken = match part {
                Ok(taken) => taken,
                Err(Missed::TooMuch(_)) if step > STEP_MS_MIN => {
                    step = (step / 2).max(STEP_MS_MIN);
                    continue;
                }
                Err(Missed::Away(reason)) => return Err(CommandError::Away(reason)),
                Err(Missed::TooMuch(reason) | Missed::Refused(reason)) => {
                    return Err(CommandError::wrong(reason));
                }
            };
            let samples = taken.segment.map_or(0, |segment| segment.samples);
            count += samples;
            let samples = text::number(samples);
            let line = format!("{} to {}  {samples} samples", shown(from), shown(to));
            output.line(&came(line, &taken))?;
            output.flush()?;
            from = to + 1;
        }
        Ok(count)
    }

    /// Asks, and again while the server is away.
    async fn patiently(&self, from: i64, to: i64) -> Result<Bytes, Missed> {
        let mut attempt = 1;
        loop {
            match self.ask(from, to).await {
                Err(Missed::Away(reason)) if attempt < ATTEMPTS_MAX => {
                    eprintln!("landline: {reason}; asking again");
                    tokio::time::sleep(PAUSES.delay(attempt, 0.0)).await;
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    async fn ask(&self, from: i64, to: i64) -> Result<Bytes, Missed> {
        let host = self.url.host_str().unwrap_or_default();
        let mut request = Request::post(self.url.as_str())
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header(CONTENT_ENCODING, "snappy")
            .header("x-prometheus-remote-read-version", "0.1.0")
            .header(USER_AGENT, concat!("landline/", env!("CARGO_PKG_VERSION")));
        if let Some(proof) = &self.proof {
            request = request.header(AUTHORIZATION, proof);
        }
        let body = Full::new(self.wanted.request(from, to));
        let request = request
            .body(body)
            .map_err(|error| Missed::Refused(error.to_string()))?;
        let deadline = clock::now() + ANSWER_LIMIT;
        let away = |error: ClientError| match error {
            ClientError::TooLarge { .. } => Missed::TooMuch(error.to_string()),
            ClientError::Tls { .. } => Missed::Refused(error.to_string()),
            _ => Missed::Away(format!("{host}: {error}")),
        };
        let response = self.client.send(request, deadline).await.map_err(away)?;
        let status = response.status();
        if status == StatusCode::OK {
            let body = client::read_body(response.into_body(), ANSWER_BYTES_MAX, deadline);
            return body.await.map_err(away);
        }
        let body = client::read_body(response.into_body(), REFUSAL_BYTES_MAX, deadline).await;
        let body = body.unwrap_or_default();
        let reason = text::harmless(String::from_utf8_lossy(&body).trim());
        let reason = format!("{host} answers {status}: {reason}");
        Err(match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Missed::Away(reason),
            StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Missed::Away(reason),
            // Limits of samples and series are told with this.
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => Missed::TooMuch(reason),
            _ => Missed::Refused(reason),
        })
    }
}

/// What an answer could not be used for: an error of the store ends everything.
fn missed(error: AnswerError) -> CommandError {
    match error {
        AnswerError::Import(ImportError::Store(error)) => failed(&error),
        error => CommandError::wrong(error.to_string()),
    }
}

/// The header that says who asks.
fn proof(stretch: &Stretch) -> Outcome<Option<HeaderValue>> {
    let read = |path: &Path| -> Outcome<String> {
        let text = files::read_text_limited(path, PROOF_BYTES_MAX);
        let text = text.map_err(|error| {
            CommandError::wrong(format!("can't read {}: {error}", path.display()))
        })?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    };
    let value = match (&stretch.token_file, &stretch.login_file) {
        (Some(path), _) => format!("Bearer {}", read(path)?),
        (None, Some(path)) => {
            let login = read(path)?;
            if !login.contains(':') {
                let path = path.display();
                let reason = format!("{path} has to have the form name:password");
                return Err(CommandError::wrong(reason));
            }
            format!("Basic {}", STANDARD.encode(login))
        }
        (None, None) => return Ok(None),
    };
    let beyond = |_| CommandError::wrong("the token or password has characters that no header has");
    let mut value = HeaderValue::try_from(value).map_err(beyond)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_whole_and_leave_nothing_out() {
        let found = stretches(STEP_MS - 5, 3 * STEP_MS);
        let wanted = [
            (STEP_MS - 5, STEP_MS - 1),
            (STEP_MS, 2 * STEP_MS - 1),
            (2 * STEP_MS, 3 * STEP_MS - 1),
            (3 * STEP_MS, 3 * STEP_MS),
        ];
        assert_eq!(found, wanted);
        assert_eq!(stretches(-5, -5), [(-5, -5)]);
        assert_eq!(stretches(0, 0), [(0, 0)]);
    }
}
