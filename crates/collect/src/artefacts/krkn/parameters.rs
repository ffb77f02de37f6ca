//! Parameters of a scenario: YAML as a value of JSON, with the types that Python's reader gives to
//! plain words (YAML 1.1).

use base::config::{Document, Node, Value as Yaml};
use serde_json::{Map, Number, Value};

/// Reads a mapping or a list; an error says what it is instead.
pub(crate) fn read(text: &str) -> Result<Value, String> {
    let document = Document::parse(text).map_err(|error| error.to_string())?;
    if text.trim().is_empty() || matches!(document.root.value, Yaml::Scalar { .. }) {
        return Err("a mapping or a list is expected".to_owned());
    }
    Ok(value(&document.root))
}

/// The tree is as deep as its reader allows.
fn value(node: &Node) -> Value {
    match &node.value {
        Yaml::Scalar { text, is_plain } if *is_plain => plain(text),
        Yaml::Scalar { text, .. } => text.as_str().into(),
        Yaml::Sequence(items) => items.iter().map(value).collect(),
        Yaml::Mapping(entries) => {
            let entries = entries.iter();
            let entries = entries.map(|(key, node)| {
                let key = key.text().unwrap_or_default();
                (key.to_owned(), value(node))
            });
            Value::Object(entries.collect::<Map<_, _>>())
        }
    }
}

/// A word without quotes.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            return true.into();
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return false.into();
        }
        _ => {}
    }
    whole(text)
        .or_else(|| fraction(text))
        .unwrap_or_else(|| text.into())
}

/// A whole number: decimal, octal with a leading zero, hexadecimal or binary.
fn whole(text: &str) -> Option<Value> {
    let (is_negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, text.get(1..)?),
        [b'+', ..] => (false, text.get(1..)?),
        _ => (false, text),
    };
    let starts_well = digits
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_digit());
    let digits = digits.replace('_', "");
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x', ..] => (digits.get(2..)?, 16),
        [b'0', b'b', ..] => (digits.get(2..)?, 2),
        [b'0', _, ..] => (digits.get(1..)?, 8),
        _ => (digits.as_str(), 10),
    };
    let number = i64::from_str_radix(digits, radix)
        .ok()
        .filter(|_| starts_well)?;
    let number = if is_negative { -number } else { number };
    Some(number.into())
}

/// A number with a point. What JSON has no number for stays a text.
fn fraction(text: &str) -> Option<Value> {
    let is_like = text.contains('.')
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || b"+-._eE".contains(&b))
        && text.bytes().any(|b| b.is_ascii_digit());
    let number = text
        .replace('_', "")
        .parse::<f64>()
        .ok()
        .filter(|_| is_like)?;
    Number::from_f64(number).map(Value::Number)
}
