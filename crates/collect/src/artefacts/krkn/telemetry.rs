//! The telemetry of a run: checked as the original checks it, and kept with all that it brings, known or
//! not. The original dropped fields that its version did not know, and events that it thought boring.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::fields;
use super::parameters;
use crate::artefacts::catalogue::Field;

/// What is kept.
#[derive(Debug)]
pub(crate) struct Converted {
    /// The document, indented by four as the original's.
    pub(crate) json: Vec<u8>,
    /// What is searched.
    pub(crate) fields: Vec<Field>,
}

/// Parameters of a scenario, in base64.
const ENCODED: &str = "parameters_base64";

/// Reads a body; an error is what the client is told.
pub(crate) fn convert(body: &[u8]) -> Result<Converted, String> {
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
        decode_parameters(scenario)?;
        for name in ["start_timestamp", "end_timestamp"] {
            cut_fraction(scenario, name);
        }
    }
    for name in ["node_summary_infos", "node_taints"] {
        if !root.get(name).is_some_and(Value::is_array) {
            return Err(format!("{name} param must be a list"));
        }
    }
    let fields = fields::of(&root);
    Ok(Converted {
        json: indented(&Value::Object(root))?,
        fields,
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
fn decode_parameters(scenario: &mut Map<String, Value>) -> Result<(), String> {
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

fn indented(value: &Value) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    serde::Serialize::serialize(value, &mut serializer).map_err(|error| error.to_string())?;
    Ok(out)
}
