//! The two formats of a page and the choice between them over HTTP. Protobuf is never chosen.

/// Media ranges of one `Accept` header that are looked at; a scraper sends fewer than ten.
const RANGES_MAX: usize = 64;

/// How a page of metrics is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The format a `Content-Type` header announces. Everything but OpenMetrics is read as text, as
    /// exporters that say `text/html` or nothing at all are common.
    pub fn from_content_type(value: &str) -> Self {
        let media = value.split(';').next().unwrap_or_default().trim();
        if media.eq_ignore_ascii_case("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The `Content-Type` header of a page written in this format.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The format to answer with, from the `Accept` header of the request (RFC 9110 section 12.5.1).
/// OpenMetrics only when it is listed by name and preferred to `text/plain` and to `*/*`; text in
/// every other case, also when neither is acceptable.
pub fn negotiate(accept: Option<&str>) -> Format {
    let mut open_metrics = 0;
    let mut text = 0;
    for range in accept.unwrap_or_default().split(',').take(RANGES_MAX) {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let (quality, version) = parameters(parts);
        if media.eq_ignore_ascii_case("application/openmetrics-text") {
            if matches!(version, None | Some("1.0.0" | "0.0.1")) {
                open_metrics = open_metrics.max(quality);
            }
        } else if ["text/plain", "text/*", "*/*"]
            .iter()
            .any(|known| media.eq_ignore_ascii_case(known))
        {
            text = text.max(quality);
        }
    }
    if open_metrics > text {
        Format::OpenMetrics
    } else {
        Format::Text
    }
}

/// Quality in thousandths and version of one media range.
fn parameters<'a>(parts: impl Iterator<Item = &'a str>) -> (u16, Option<&'a str>) {
    let mut quality = 1000;
    let mut version = None;
    for part in parts {
        let Some((name, value)) = part.split_once('=') else {
            continue;
        };
        let value = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("q") {
            quality = thousandths(value).unwrap_or(0);
        } else if name.trim().eq_ignore_ascii_case("version") {
            version = Some(value);
        }
    }
    (quality, version)
}

/// `0.75` as 750; none when it is not a quality value.
fn thousandths(value: &str) -> Option<u16> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let whole: u16 = match whole {
        "0" | "" => 0,
        "1" => 1000,
        _ => return None,
    };
    let mut parts = 0;
    for (digit, unit) in fraction.bytes().zip([100_u16, 10, 1]) {
        parts += u16::from(digit.is_ascii_digit().then(|| digit - b'0')?) * unit;
    }
    Some((whole + parts).min(1000))
}
