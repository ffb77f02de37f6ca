//! One page over HTTP: what is asked for, and which format the answer is in.

use std::time::{Duration, Instant};

use base::client::{ClientError, read_body};
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use url::Url;
use wire::exposition::Format;

use super::commit::{Answer, BODY_BYTES_MAX};
use super::config::{JobConfig, Protocol};
use super::http::{HttpClient, HttpError};
use super::page::PageFormat;

/// Tells a target how long it has.
const TIMEOUT_HEADER: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");
/// Who asks.
pub(crate) const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("landline/", env!("CARGO_PKG_VERSION")));

/// Protocol buffers, without the blanks that some servers trip over.
const PROTOBUF: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

/// The headers of a job's scrapes.
pub(crate) fn headers(job: &JobConfig, timeout: Duration) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, AGENT);
    if let Ok(value) = HeaderValue::try_from(accept(job)) {
        headers.insert(ACCEPT, value);
    }
    if let Ok(value) = HeaderValue::try_from(timeout.as_secs_f64().to_string()) {
        headers.insert(TIMEOUT_HEADER, value);
    }
    let encoding = if job.enable_compression {
        "gzip"
    } else {
        "identity"
    };
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(encoding));
    headers
}

/// The formats of a job, each wanted a little less than the one before.
fn accept(job: &JobConfig) -> String {
    let mut ranges = Vec::new();
    let mut quality = job.protocols.len() + 1;
    for protocol in &job.protocols {
        let media = match protocol {
            Protocol::OpenMetrics100 => "application/openmetrics-text;version=1.0.0",
            Protocol::OpenMetrics001 => "application/openmetrics-text;version=0.0.1",
            Protocol::Text100 => "text/plain;version=1.0.0",
            Protocol::Text004 => "text/plain;version=0.0.4",
            Protocol::Proto => PROTOBUF,
        };
        let knows_escaping = matches!(protocol, Protocol::OpenMetrics100 | Protocol::Text100);
        let escaping = if knows_escaping {
            format!(";escaping={}", job.escaping.word())
        } else {
            // Older versions know no other names than these.
            String::new()
        };
        ranges.push(format!("{media}{escaping};q=0.{quality}"));
        quality -= 1;
    }
    ranges.push(format!("*/*;q=0.{quality}"));
    ranges.join(",")
}

/// Asks for a page. Why there is none is a part of the answer.
pub(crate) async fn fetch(
    client: &HttpClient,
    url: &Url,
    job: &JobConfig,
    (headers, deadline): (&HeaderMap, Instant),
) -> Answer {
    match ask(client, url, job, (headers, deadline)).await {
        Ok(answer) => answer,
        Err(HttpError::Client(ClientError::TooLarge { limit })) => Answer::TooLarge(limit),
        Err(error) => Answer::Failed(error.to_string()),
    }
}

async fn ask(
    client: &HttpClient,
    url: &Url,
    job: &JobConfig,
    (headers, deadline): (&HeaderMap, Instant),
) -> Result<Answer, HttpError> {
    let response = client.get(url, headers, deadline).await?;
    let status = response.status();
    if status != StatusCode::OK {
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            client.was_refused().await;
        }
        return Ok(Answer::Failed(format!(
            "server returned HTTP status {status}"
        )));
    }
    let (format, is_packed) = match kind(response.headers(), job.fallback) {
        Ok(kind) => kind,
        Err(reason) => return Ok(Answer::Failed(reason)),
    };
    let limit = match job.limits.body_bytes {
        0 => BODY_BYTES_MAX,
        limit => limit,
    };
    let body = read_body(response.into_body(), limit, deadline).await?;
    Ok(Answer::Page {
        body,
        is_packed,
        format,
    })
}

/// The format of an answer, and whether it is packed.
fn kind(headers: &HeaderMap, fallback: Option<Protocol>) -> Result<(PageFormat, bool), String> {
    let text = |name| {
        let value = headers.get(name);
        value.and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let format = format(text(CONTENT_TYPE).unwrap_or_default(), fallback);
    match text(CONTENT_ENCODING).unwrap_or("identity") {
        "identity" | "" => Ok((format, false)),
        "gzip" => Ok((format, true)),
        other => {
            let other = other.escape_debug();
            Err(format!(
                "the page is packed with `{other}`, which was not asked for"
            ))
        }
    }
}

/// The format that a content type names. Exporters that say nothing, or something else, are common:
/// theirs is the job's fallback, and text without one.
fn format(content_type: &str, fallback: Option<Protocol>) -> PageFormat {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    let protocol = match media.to_ascii_lowercase().as_str() {
        "application/openmetrics-text" => Protocol::OpenMetrics100,
        "text/plain" => Protocol::Text004,
        "application/vnd.google.protobuf" => Protocol::Proto,
        _ => fallback.unwrap_or(Protocol::Text004),
    };
    match protocol {
        Protocol::OpenMetrics100 | Protocol::OpenMetrics001 => {
            PageFormat::Lines(Format::OpenMetrics)
        }
        Protocol::Text004 | Protocol::Text100 => PageFormat::Lines(Format::Text),
        // A page of another schema is told by its content.
        Protocol::Proto => PageFormat::Protobuf,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrape::tests::job;

    #[test]
    fn formats_are_asked_for_in_their_order() {
        let accepted = accept(&job(""));
        assert_eq!(
            accepted,
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
             text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
        );
        let job = job("scrape_protocols: [PrometheusProto, PrometheusText1.0.0]
metric_name_escaping_scheme: dots
enable_compression: false");
        assert_eq!(
            accept(&job),
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=delimited;q=0.3,text/plain;version=1.0.0;escaping=dots;q=0.2,*/*;q=0.1"
        );
        let headers = headers(&job, Duration::from_millis(2500));
        assert_eq!(headers[TIMEOUT_HEADER], "2.5");
        assert_eq!(headers[ACCEPT_ENCODING], "identity");
    }

    #[test]
    fn a_type_that_is_unknown_is_text_or_the_fallback() {
        let open_metrics = Some(Protocol::OpenMetrics100);
        let text = PageFormat::Lines(Format::Text);
        let lines = PageFormat::Lines(Format::OpenMetrics);
        let cases = [
            ("", None, text),
            ("text/html", None, text),
            ("text/html", open_metrics, lines),
            ("text/plain; version=0.0.4", open_metrics, text),
            ("application/openmetrics-text; version=1.0.0", None, lines),
            (
                "application/vnd.google.protobuf; proto=x",
                None,
                PageFormat::Protobuf,
            ),
        ];
        for (content_type, fallback, expected) in cases {
            assert_eq!(format(content_type, fallback), expected, "{content_type}");
        }
    }
}
