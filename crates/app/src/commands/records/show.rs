//! `landline records show`: all of a record.

use serde_json::Value;

use super::hub::Hub;
use super::output::Output;
use super::table::{self, flexible, whole};
use super::{Outcome, ShowArguments, query, text};

/// The fields that are shown with their names, in this order.
const FIELDS: [&str; 14] = [
    "project",
    "classification",
    "event_id",
    "machine_id",
    "host_type",
    "board_name",
    "cpu_model",
    "bios_version",
    "arch",
    "kernel_version",
    "system_name",
    "build",
    "record_format_version",
    "payload_format_version",
];
/// Behind an architecture that the original does not know.
const UNUSUAL: &str = " (unusual: the original refuses it)";
/// How wide their names are.
const NAME_COLUMNS: usize = 22;

/// `landline records show`
pub(super) async fn show(hub: &Hub, arguments: &ShowArguments, output: &mut Output) -> Outcome {
    let record = hub.get(&format!("/v1/records/{}", arguments.id)).await?;
    if arguments.question.json {
        return output.json(&record);
    }
    let field = |name: &str| text::field(&record, name);
    let severity = record.get("severity").and_then(Value::as_i64);
    let severity = format!("{} ({})", text::severity(severity), field("severity"));
    let received = field("received_at");
    let age = text::age(&received, query::now());
    let is_external = record.get("external").and_then(Value::as_bool);
    let source = match is_external {
        Some(true) => "external",
        _ => "internal",
    };
    output.line(&named("id", &field("id")))?;
    output.line(&named("received_at", &format!("{received} ({age} ago)")))?;
    output.line(&named("created_at", &field("created_at")))?;
    output.line(&named("severity", &severity))?;
    output.line(&named("source", source))?;
    let is_unusual = record.get("is_unusual_arch").and_then(Value::as_bool);
    for name in FIELDS {
        let mut value = field(name);
        if name == "arch" && is_unusual == Some(true) {
            value.push_str(UNUSUAL);
        }
        output.line(&named(name, &value))?;
    }
    output.line(&named("group", &field("group")))?;
    let payload = record.get("payload").and_then(Value::as_str);
    output.line("\nPAYLOAD")?;
    output.lines(&text::harmless_lines(payload.unwrap_or_default()))?;
    let why = record.get("why_grouped").filter(|why| !why.is_null());
    if let Some(why) = why {
        let group = field("group");
        output.line(&format!(
            "\nWHY IT IS IN GROUP {group}, see `landline records groups show {group}`"
        ))?;
        output.lines(&why_grouped(why, output.width()))?;
    }
    output.flush()
}

/// A name and its value.
pub(super) fn named(name: &str, value: &str) -> String {
    let value = if value.is_empty() { "-" } else { value };
    format!("{name:<NAME_COLUMNS$}  {value}")
}

/// A module without its path.
pub(super) fn base_name(module: &str) -> String {
    module.rsplit('/').next().unwrap_or(module).to_owned()
}

/// What a fingerprint is made of: the frames that count, and why the others don't.
pub(super) fn why_grouped(why: &Value, terminal: Option<usize>) -> Vec<String> {
    let columns = [
        whole("USED"),
        flexible("FUNCTION", 12),
        flexible("MODULE", 8),
        whole("WHY"),
    ];
    let frames = why.get("frames").and_then(Value::as_array);
    let frames = frames.into_iter().flatten();
    let rows: Vec<Vec<String>> = frames
        .map(|frame| {
            let field = |name: &str| text::field(frame, name);
            let is_used = frame.get("is_used").and_then(Value::as_bool);
            let used = if is_used == Some(true) { "yes" } else { "no" };
            vec![
                used.to_owned(),
                field("function"),
                base_name(&field("module")),
                field("why"),
            ]
        })
        .collect();
    let mut lines = vec![named("rules", &text::field(why, "version"))];
    if why.get("signal").is_some_and(|signal| !signal.is_null()) {
        lines.push(named("signal", &text::field(why, "signal")));
    }
    lines.push(named("fingerprint", &text::field(why, "key")));
    if !rows.is_empty() {
        lines.push(String::new());
        lines.extend(table::lines(&columns, &rows, terminal));
    }
    lines
}
