//! Which fields of telemetry are searched: how a run ended, what it ran on, and how long things took to
//! recover.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::artefacts::catalogue::Field;

/// Fields of one run.
const FIELDS_MAX: usize = 1_000;
/// The longest value.
pub(super) const VALUE_CHARACTERS_MAX: usize = 500;
/// Fields of the root that are kept as they are.
const PLAIN: [&str; 12] = [
    "tag",
    "run_uuid",
    "cluster_version",
    "major_version",
    "cloud_infrastructure",
    "cloud_type",
    "total_node_count",
    "timestamp",
    "build_url",
    "fips_enabled",
    "etcd_encryption_enabled",
    "ipsec_enabled",
];
/// What recovers in a scenario, and its field with the time that it took, in seconds.
const RECOVERING: [(&str, &str); 2] = [
    ("affected_pods", "recovery_time"),
    ("affected_vmis", "recovery_time"),
];

/// The fields of a run, each value once.
pub(crate) fn of(root: &Map<String, Value>) -> Vec<Field> {
    let mut fields = BTreeSet::new();
    let mut add = |name: &'static str, value: &Value| {
        if let Some((value, number)) = shown(value)
            && fields.len() < FIELDS_MAX
        {
            fields.insert((name, value, number));
        }
    };
    for name in PLAIN {
        if let Some(value) = root.get(name) {
            add(name, value);
        }
    }
    if let Some(status) = root.get("job_status").and_then(Value::as_bool) {
        add(
            "status",
            &Value::from(if status { "passed" } else { "failed" }),
        );
    }
    for plugin in items(root.get("network_plugins")) {
        add("network_plugin", plugin);
    }
    if let Some(score) = root
        .get("overall_resiliency_report")
        .and_then(|r| r.get("resiliency_score"))
    {
        add("resiliency_score", score);
    }
    for scenario in items(root.get("scenarios")) {
        for name in ["scenario", "scenario_type", "exit_status"] {
            if let Some(value) = scenario.get(name) {
                add(name, value);
            }
        }
        for (things, name) in RECOVERING {
            let recovered = scenario
                .get(things)
                .and_then(|things| things.get("recovered"));
            for thing in items(recovered) {
                if let Some(time) = thing.get("total_recovery_time") {
                    add(name, time);
                }
            }
        }
        for node in items(scenario.get("affected_nodes")) {
            if let Some(time) = node.get("ready_time") {
                add("node_ready_time", time);
            }
        }
    }
    let fields = fields.into_iter();
    fields
        .map(|(name, value, number)| Field {
            name,
            value,
            number,
        })
        .collect()
}

pub(super) fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

/// A value as text, and in thousandths when it is a number.
fn shown(value: &Value) -> Option<(String, i64)> {
    let text = match value {
        Value::String(text) if text.is_empty() => return None,
        // PostgreSQL has no texts with NUL.
        Value::String(text) => {
            let kept = text.chars().filter(|c| *c != '\0');
            kept.take(VALUE_CHARACTERS_MAX).collect()
        }
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    let number = value.as_f64().and_then(|number| whole(number * 1000.0));
    Some((text, number.unwrap_or(0)))
}

/// A number without its fraction, if it is one that can be counted to.
pub(crate) fn whole(number: f64) -> Option<i64> {
    /// Beyond it not every whole number is a floating-point number.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "the range was looked at")]
    let whole = number.trunc() as i64;
    (number.abs() <= EXACT_MAX).then_some(whole)
}
