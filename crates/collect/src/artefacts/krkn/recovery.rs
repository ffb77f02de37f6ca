//! How long pods and virtual machines took to recover, by scenario of a run's telemetry.

use serde_json::{Map, Value};

use super::fields::{VALUE_CHARACTERS_MAX, items, whole};
use crate::artefacts::catalogue::Scenario;

/// Scenarios of one run.
const SCENARIOS_MAX: usize = 1_000;
/// What recovers, and what its fields for readiness and rescheduling begin with.
const RECOVERING: [(&str, &str); 2] = [("affected_pods", "pod"), ("affected_vmis", "vmi")];

/// The scenarios in their order.
pub(crate) fn of(root: &Map<String, Value>) -> Vec<Scenario> {
    let scenarios = items(root.get("scenarios")).filter_map(Value::as_object);
    scenarios.take(SCENARIOS_MAX).map(read).collect()
}

/// Those of a document that was kept; none when it is none.
pub(crate) fn of_document(document: &[u8]) -> Vec<Scenario> {
    let root: Option<Map<String, Value>> = serde_json::from_slice(document).ok();
    root.map(|root| of(&root)).unwrap_or_default()
}

fn read(scenario: &Map<String, Value>) -> Scenario {
    let name = ["scenario", "scenario_type"]
        .iter()
        .find_map(|name| scenario.get(*name)?.as_str());
    let name = name.unwrap_or_default().chars().filter(|c| *c != '\0');
    let mut found = Scenario {
        name: name.take(VALUE_CHARACTERS_MAX).collect(),
        has_passed: scenario
            .get("exit_status")
            .and_then(Value::as_i64)
            .map(|status| status == 0),
        pods: 0,
        unrecovered: 0,
        recovery: None,
        readiness: None,
        rescheduling: None,
    };
    for (things, begin) in RECOVERING {
        let Some(things) = scenario.get(things) else {
            continue;
        };
        let unrecovered = items(things.get("unrecovered")).count();
        let unrecovered = u64::try_from(unrecovered).unwrap_or(u64::MAX);
        found.unrecovered = found.unrecovered.saturating_add(unrecovered);
        found.pods = found.pods.saturating_add(unrecovered);
        for thing in items(things.get("recovered")) {
            found.pods = found.pods.saturating_add(1);
            let time = |name: &str| milliseconds(thing.get(name)?);
            found.recovery = found.recovery.max(time("total_recovery_time"));
            let readiness = time(&format!("{begin}_readiness_time"));
            found.readiness = found.readiness.max(readiness);
            let rescheduling = time(&format!("{begin}_rescheduling_time"));
            found.rescheduling = found.rescheduling.max(rescheduling);
        }
    }
    found
}

/// Of a number of seconds.
fn milliseconds(value: &Value) -> Option<u64> {
    let milliseconds = whole(value.as_f64()? * 1000.0)?;
    u64::try_from(milliseconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_time_counts() {
        let document = serde_json::json!({"scenarios": [
            {
                "scenario": "pods", "exit_status": 0,
                "affected_pods": {
                    "recovered": [
                        {"total_recovery_time": 2.5, "pod_readiness_time": 1, "pod_rescheduling_time": 1.5},
                        {"total_recovery_time": 12.25, "pod_readiness_time": null},
                    ],
                    "unrecovered": [{"pod_name": "x"}],
                },
                "affected_vmis": {"recovered": [{"total_recovery_time": 3, "vmi_readiness_time": 7}]},
            },
            {"scenario_type": "nodes", "exit_status": 1, "affected_pods": "none"},
            {"scenario": 7},
            "none",
        ]});
        let scenarios = of_document(document.to_string().as_bytes());
        let [pods, nodes, unnamed] = scenarios.as_slice() else {
            panic!("{scenarios:?}");
        };
        assert_eq!((pods.name.as_str(), pods.has_passed), ("pods", Some(true)));
        assert_eq!((pods.pods, pods.unrecovered), (4, 1));
        assert_eq!(pods.recovery, Some(12_250));
        assert_eq!(
            (pods.readiness, pods.rescheduling),
            (Some(7_000), Some(1_500))
        );
        assert_eq!(
            (nodes.name.as_str(), nodes.has_passed),
            ("nodes", Some(false))
        );
        assert_eq!((nodes.pods, nodes.recovery), (0, None));
        assert_eq!((unnamed.name.as_str(), unnamed.has_passed), ("", None));
        assert!(of_document(b"x").is_empty());
    }
}
