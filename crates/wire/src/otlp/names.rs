//! Names of metrics and attributes as Prometheus has them by default: what is no letter, digit or
//! underscore becomes an underscore, units and `total` are suffixes.

use super::{Kind, Metric};

/// Units by their code; what is not here stands as it is.
const UNITS: [(&str, &str); 33] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("B", "bytes"),
    ("KiB", "kibibytes"),
    ("MiB", "mebibytes"),
    ("GiB", "gibibytes"),
    ("TiB", "tibibytes"),
    ("KB", "kilobytes"),
    ("MB", "megabytes"),
    ("GB", "gigabytes"),
    ("TB", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
];

/// Units behind the stroke.
const PER_UNITS: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// The name of a metric: `http.server.duration` in `ms` is `http_server_duration_milliseconds`, a sum
/// that only grows ends with `_total`, a gauge of unit `1` with `_ratio`.
pub fn metric_name(metric: &Metric<'_>) -> String {
    let mut words: Vec<&str> = words(metric.name).collect();
    let mut parts = metric.unit.splitn(2, '/').map(str::trim);
    let (unit, per) = (parts.next().unwrap_or_default(), parts.next());
    let unit_words = unit_name(unit, &UNITS);
    let per = per
        .map(|per| unit_name(per, &PER_UNITS))
        .unwrap_or_default();
    let mut suffixes: Vec<&str> = self::words(&unit_words).collect();
    let unit_is_there = suffixes.iter().all(|suffix| words.contains(suffix));
    if unit_is_there {
        suffixes.clear();
    }
    words.extend(suffixes);
    let per_words: Vec<&str> = self::words(&per).collect();
    if !per_words.is_empty() && !per_words.iter().all(|word| words.contains(word)) {
        words.push("per");
        words.extend(per_words);
    }
    let suffix = match metric.kind {
        Kind::Sum { is_monotonic: true } => Some("total"),
        Kind::Gauge if metric.unit == "1" => Some("ratio"),
        _ => None,
    };
    if let Some(suffix) = suffix {
        words.retain(|word| *word != suffix);
        words.push(suffix);
    }
    let name = words.join("_");
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        return format!("_{name}");
    }
    name
}

/// What stands between characters that a name may not have.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|it: char| !it.is_ascii_alphanumeric() && it != ':');
    words.filter(|word| !word.is_empty())
}

/// A unit as a word. What stands in braces is a remark, and 1 is none.
fn unit_name(unit: &str, known: &[(&str, &'static str)]) -> String {
    if unit.is_empty() || unit.contains(['{', '}']) || unit == "1" {
        return String::new();
    }
    if unit == "%" {
        return "percent".to_owned();
    }
    let found = known.iter().find(|(code, _)| *code == unit);
    found.map_or_else(|| unit.to_owned(), |(_, word)| (*word).to_owned())
}

/// The name of a label for the name of an attribute.
pub fn escape_label(name: &str) -> String {
    let escaped: String = name
        .chars()
        .map(|it| if it.is_ascii_alphanumeric() { it } else { '_' })
        .collect();
    if escaped.starts_with(|first: char| first.is_ascii_digit()) {
        return format!("key_{escaped}");
    }
    if escaped.starts_with('_') && !escaped.starts_with("__") {
        return format!("key{escaped}");
    }
    escaped
}
