//! The telemetry of a run: checked as the original checks it, and kept with all that it brings, known or
//! not. The original dropped fields that its version did not know, and events that it thought boring.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::fields;
use super::parameters;
use super::recovery;
use crate::artefacts::catalogue::Facts;

/// What is kept.
#[derive(Debug)]
pub(crate) struct Converted {
    /// The document, indented by four as the original's.
    pub(crate) json: Vec<u8>,
    /// What is searched and compared.
    pub(crate) facts: Facts,
}

/// Parameters of a scenario, in base64.
const ENCODED: &str = "parameters_base64";

/// Values within values. Indented, each level costs four bytes a line.
const DEPTH_MAX: usize = 32;
/// Values of all parameters of a body, what aliases repeat counted.
const PARAMETERS_MAX: u64 = 500_000;
/// How often as large as the largest body what is kept may be: it is indented, and aliases are written
/// out.
pub(crate) const GROWTH_MAX: u64 = 4;

/// Reads a body of at most `limit` bytes; an error is what the client is told.
pub(crate) fn convert(body: &[u8], limit: u64) -> Result<Converted, String> {
    let mut budget = Budget {
        values: PARAMETERS_MAX,
        bytes: limit,
    };
    let value: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let Value::Object(mut root) = value else {
        return Err("an object is expected".to_owned());
    };
    let Some(Value::Array(scenarios)) = root.get_mut("scenarios") else {
        return Err("scenarios param must be a list of object".to_owned());
    };
    for scenario in scenarios {
        let Value::Object(scenario) = scenario else {
            return Err("scenarios param must be a list of object".to_owned());
        };
        check_scenario(scenario)?;
        decode_parameters(scenario, &mut budget)?;
        for name in ["start_timestamp", "end_timestamp"] {
            cut_fraction(scenario, name);
        }
    }
    for name in ["node_summary_infos", "node_taints"] {
        if !root.get(name).is_some_and(Value::is_array) {
            return Err(format!("{name} param must be a list"));
        }
    }
    let facts = Facts {
        fields: fields::of(&root),
        scenarios: recovery::of(&root),
    };
    let root = Value::Object(root);
    check_depth(&root, DEPTH_MAX)?;
    Ok(Converted {
        json: indented(&root, limit.saturating_mul(GROWTH_MAX))?,
        facts,
    })
}

fn check_scenario(scenario: &Map<String, Value>) -> Result<(), String> {
    for (name, value) in scenario {
        let is_empty = value.is_null() || value.as_str() == Some("");
        if is_empty && name != ENCODED {
            return Err(format!("{name} is null or empty"));
        }
    }
    Ok(())
}

/// Puts the parameters behind the base64 beside it, and empties that.
fn decode_parameters(scenario: &mut Map<String, Value>, budget: &mut Budget) -> Result<(), String> {
    let wrong = |why: &str| format!("invalid parameters format: {why}");
    let encoded = match scenario.get(ENCODED) {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::String(text)) if text.is_empty() => return Ok(()),
        Some(Value::String(text)) => text,
        Some(_) => return Err(wrong("not a text")),
    };
    // Some encoders break lines.
    let joined: String = encoded.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(joined).map_err(|_| wrong("not base64"))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("not UTF-8"))?;
    let parameters = parameters::read(&text).map_err(|why| wrong(&why))?;
    if !budget.pay(&parameters) {
        return Err(wrong("more than is taken of all scenarios together"));
    }
    scenario.insert("parameters".to_owned(), parameters);
    scenario.insert(ENCODED.to_owned(), String::new().into());
    Ok(())
}

/// Whole seconds, as the original keeps them.
fn cut_fraction(scenario: &mut Map<String, Value>, name: &str) {
    if let Some(value) = scenario.get_mut(name)
        && let Some(seconds) = value.as_f64().filter(|_| value.is_f64())
        && let Some(whole) = fields::whole(seconds)
    {
        *value = whole.into();
    }
}

/// What the parameters of all scenarios of a body may still cost: a few aliases in each of many would
/// add up otherwise.
struct Budget {
    values: u64,
    bytes: u64,
}

impl Budget {
    /// Takes off what a value costs; whether it was enough. The value is as deep as its reader allows.
    fn pay(&mut self, value: &Value) -> bool {
        self.take(1, 0)
            && match value {
                Value::Array(items) => items.iter().all(|item| self.pay(item)),
                Value::Object(entries) => entries
                    .iter()
                    .all(|(name, value)| self.take(0, name.len()) && self.pay(value)),
                Value::String(text) => self.take(0, text.len()),
                Value::Null | Value::Bool(_) | Value::Number(_) => true,
            }
    }

    fn take(&mut self, values: u64, bytes: usize) -> bool {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let (values, bytes) = (
            self.values.checked_sub(values),
            self.bytes.checked_sub(bytes),
        );
        let is_enough = values.is_some() && bytes.is_some();
        (self.values, self.bytes) = (values.unwrap_or(0), bytes.unwrap_or(0));
        is_enough
    }
}

/// Refuses what is nested deeper than `left` levels.
fn check_depth(value: &Value, left: usize) -> Result<(), String> {
    let too_deep = || format!("it is nested more than {DEPTH_MAX} levels deep");
    let mut within: Box<dyn Iterator<Item = &Value>> = match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(entries) => Box::new(entries.values()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Ok(()),
    };
    let left = left.checked_sub(1).ok_or_else(too_deep)?;
    within.try_for_each(|value| check_depth(value, left))
}

fn indented(value: &Value, limit: u64) -> Result<Vec<u8>, String> {
    let mut out = Limited {
        bytes: Vec::new(),
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
    };
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    serde::Serialize::serialize(value, &mut serializer).map_err(|error| error.to_string())?;
    Ok(out.bytes)
}

/// Bytes that can't become more than a limit.
struct Limited {
    bytes: Vec<u8>,
    limit: usize,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit.saturating_sub(self.bytes.len()) {
            let limit = base::config::format_bytes(self.limit as u64);
            return Err(io::Error::other(format!(
                "it is more than {limit} when indented"
            )));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
