//! Values as Prometheus' configuration writes them.

use std::time::Duration;

use base::config::{Field, Section, Value};
use base::secret::{Secret, SecretSource};
use url::Url;

use super::Reading;
use super::http::ServerUrl;

const DURATION_UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

const SIZE_UNITS: [(&str, u32); 7] = [
    ("E", 60),
    ("P", 50),
    ("T", 40),
    ("G", 30),
    ("M", 20),
    ("K", 10),
    ("", 0),
];

/// `1h30m`, with each unit once and the larger ones first; years, weeks and days are as long as the
/// original's.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0_u64;
    let mut units = DURATION_UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let (number, behind) = rest.split_at_checked(digits)?;
        let end = behind.find(|letter: char| letter.is_ascii_digit());
        let (unit, after) = behind.split_at_checked(end.unwrap_or(behind.len()))?;
        let (_, factor) = units.find(|(name, _)| *name == unit)?;
        let part = number.parse::<u64>().ok()?.checked_mul(*factor)?;
        total = total.checked_add(part)?;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::from_millis(total))
}

/// A duration as the original writes it.
pub(crate) fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, factor) in DURATION_UNITS {
        // Large units only when nothing is left over, as the original does.
        let is_exact = !matches!(unit, "y" | "w" | "d") || rest.is_multiple_of(factor);
        if rest >= factor && is_exact {
            text.push_str(&(rest / factor).to_string());
            text.push_str(unit);
            rest %= factor;
        }
    }
    text
}

/// `10MB` or `1.5GiB`: powers of 1024 both.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = unit.strip_suffix('B')?;
    let unit = unit.strip_suffix('i').unwrap_or(unit);
    let (_, shift) = SIZE_UNITS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    let number: f64 = number.parse().ok()?;
    let bytes = number * (1_u64 << shift) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "digits have no sign; it saturates"
    )]
    bytes.is_finite().then_some(bytes as u64)
}

pub(super) fn duration(field: &Field<'_>) -> Option<Duration> {
    let duration = field.node.text().and_then(parse_duration);
    if duration.is_none() {
        let help = Some("write it as 500ms, 30s, 5m, 1h30m or 7d");
        field.error("a duration is expected here", help);
    }
    duration
}

/// A duration that is longer than nothing.
pub(super) fn interval(field: &Field<'_>) -> Option<Duration> {
    let duration = duration(field)?;
    if duration.is_zero() {
        field.error("it has to be longer than 0", None);
        return None;
    }
    Some(duration)
}

/// A size; 0 is no limit.
pub(super) fn size(field: &Field<'_>) -> Option<u64> {
    let text = field.node.text().unwrap_or_default();
    let size = if text == "0" {
        Some(0)
    } else {
        parse_size(text)
    };
    if size.is_none() {
        let help = Some("write it with a unit: 512B, 64KB, 10MB or 1GB");
        field.error("a size is expected here", help);
    }
    size
}

/// YAML 1.1 has more words for them than two.
pub(super) fn boolean(field: &Field<'_>) -> Option<bool> {
    match field.node.text() {
        Some("yes" | "Yes" | "YES" | "on" | "On" | "ON" | "True" | "TRUE") => Some(true),
        Some("no" | "No" | "NO" | "off" | "Off" | "OFF" | "False" | "FALSE") => Some(false),
        _ => field.boolean(),
    }
}

pub(super) fn flag(section: &mut Section<'_>, key: &'static str, default: bool) -> bool {
    let value = section.optional(key).and_then(|field| boolean(&field));
    value.unwrap_or(default)
}

pub(super) fn text(section: &mut Section<'_>, key: &'static str) -> Option<String> {
    section.optional(key).and_then(|field| field.text())
}

pub(super) fn integer(section: &mut Section<'_>, key: &'static str) -> Option<u64> {
    let range = 0..=u64::from(u32::MAX);
    section.optional(key).and_then(|field| field.integer(range))
}

pub(super) fn texts(field: &Field<'_>) -> Option<Vec<String>> {
    field.list(|item| item.text())
}

/// A number with a fraction.
pub(super) fn number(field: &Field<'_>) -> Option<f64> {
    let number = field.node.text().and_then(|text| text.parse().ok());
    if number.is_none() {
        field.error("a number is expected here", None);
    }
    number
}

/// A mapping with at least one key: the original refuses an empty item of a list.
pub(super) fn item<'a>(field: &Field<'a>, what: &str) -> Option<Section<'a>> {
    if field.node.is_null() {
        field.error(format!("this {what} is empty"), None);
        return None;
    }
    field.section()
}

/// Whether a key stands there with nothing behind it.
pub(super) fn is_null(section: &Section<'_>, key: &str) -> bool {
    let Value::Mapping(entries) = &section.field().node.value else {
        return false;
    };
    let found = entries.iter().find(|(name, _)| name.text() == Some(key));
    found.is_some_and(|(_, value)| value.is_null())
}

impl Reading {
    /// A secret that stands here, hidden from then on.
    pub(super) fn secret(&self, field: &Field<'_>) -> Option<SecretSource> {
        self.secrets.borrow_mut().push(field.node.span.clone());
        Some(SecretSource::Inline(Secret::new(field.text()?)))
    }

    /// A secret under one key, or the file of it under another.
    pub(super) fn secret_or_file(
        &self,
        section: &mut Section<'_>,
        key: &'static str,
        file_key: &'static str,
    ) -> Option<SecretSource> {
        let inline = section.optional(key);
        let file = section.optional(file_key);
        if let (Some(_), Some(file)) = (&inline, &file) {
            file.error(format!("`{key}` and `{file_key}` exclude each other"), None);
        }
        let inline = inline.and_then(|field| self.secret(&field));
        let file = file.and_then(|field| field.path());
        inline.or(file.map(SecretSource::File))
    }
}

/// A URL with http or https and a host; a password in it is hidden.
pub(super) fn url(field: &Field<'_>, reading: &Reading) -> Option<ServerUrl> {
    let text = field.text()?;
    let help = Some("write it as http://host:8080/path");
    let Ok(url) = Url::parse(&text) else {
        field.error("a URL is expected here", help);
        return None;
    };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        field.error("a URL with http or https and a host is expected here", help);
        return None;
    }
    if url.password().is_some() {
        reading.secrets.borrow_mut().push(field.node.span.clone());
    }
    Some(ServerUrl(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_the_originals() {
        let cases = [
            ("1h30m", Some(5_400_000)),
            ("1y2w", Some(379_u64 * 86_400_000)),
            ("1w3d4h5m6s7ms", Some(878_706_007)),
            ("0", Some(0)),
            ("30m1h", None),
            ("1h1h", None),
            ("5", None),
            ("", None),
            ("-1h", None),
            ("1.5h", None),
        ];
        for (text, expected) in cases {
            let found = parse_duration(text).map(|found| found.as_millis());
            assert_eq!(found, expected.map(u128::from), "{text}");
        }
        for text in ["15s", "1m", "1h", "1d", "500ms", "36h", "1m30s"] {
            let duration = parse_duration(text).expect("a duration");
            let written = format_duration(duration);
            assert_eq!(parse_duration(&written), Some(duration), "{text}");
        }
    }

    #[test]
    fn sizes_have_units() {
        let cases = [
            ("10MB", Some(10 << 20)),
            ("1.5KiB", Some(1536)),
            ("512B", Some(512)),
            ("1GB", Some(1 << 30)),
            ("100", None),
            ("-1GB", None),
            ("MB", None),
            ("1XB", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }
}
