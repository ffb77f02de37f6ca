//! Tests of telemetry: what is taken, what is refused, and what is searched.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::parameters;
use super::telemetry::convert;

const LIMIT: u64 = 1 << 20;

fn converted(body: &Value) -> Result<Value, String> {
    let converted = convert(body.to_string().as_bytes(), LIMIT)?;
    Ok(serde_json::from_slice(&converted.json).unwrap())
}

fn minimal() -> Value {
    json!({"scenarios": [], "node_summary_infos": [], "node_taints": []})
}

#[test]
fn what_is_missing_is_named() {
    assert!(converted(&minimal()).is_ok());
    for (name, expected) in [
        ("scenarios", "scenarios param must be a list of object"),
        (
            "node_summary_infos",
            "node_summary_infos param must be a list",
        ),
        ("node_taints", "node_taints param must be a list"),
    ] {
        let mut body = minimal();
        body.as_object_mut().unwrap().remove(name);
        assert_eq!(converted(&body), Err(expected.to_owned()));
    }
    let of = |scenario: Value| {
        let mut body = minimal();
        body["scenarios"] = json!([scenario]);
        converted(&body)
    };
    assert_eq!(
        of(json!({"scenario": ""})),
        Err("scenario is null or empty".to_owned())
    );
    assert_eq!(
        of(json!({"exit_status": null})),
        Err("exit_status is null or empty".to_owned())
    );
    assert_eq!(
        of(json!(1)),
        Err("scenarios param must be a list of object".to_owned())
    );
    for wrong in [
        STANDARD.encode("hello"),
        "%%%".to_owned(),
        STANDARD.encode("a: ["),
    ] {
        let error = of(json!({"parameters_base64": wrong})).unwrap_err();
        assert!(error.starts_with("invalid parameters format: "), "{error}");
    }
}

#[test]
fn what_is_known_is_decoded_and_the_rest_stays() {
    let yaml = "config:\n  runtime: 5\n  name: 'yes'\n  list: [1, 2.5, ~, on]\n";
    let mut body = minimal();
    body["new_in_9"] = json!({"a": [1, "ü"]});
    body["scenarios"] = json!([{
        "scenario": "pods", "start_timestamp": 1_700_000_000.75, "other": 1.5,
        "parameters_base64": STANDARD.encode(yaml),
    }]);
    let kept = converted(&body).unwrap();
    assert_eq!(kept["new_in_9"], body["new_in_9"]);
    let expected = json!({
        "scenario": "pods", "start_timestamp": 1_700_000_000, "other": 1.5, "parameters_base64": "",
        "parameters": {"config": {"runtime": 5, "name": "yes", "list": [1, 2.5, null, true]}},
    });
    assert_eq!(kept["scenarios"][0], expected);
}

#[test]
fn small_bodies_do_not_become_large() {
    let nested = |depth: usize| {
        let mut body = minimal();
        let value = (0..depth).fold(json!(1), |value, _| json!([value]));
        body["more"] = value;
        converted(&body)
    };
    assert!(nested(31).is_ok());
    let error = nested(32).unwrap_err();
    assert!(error.contains("levels deep"), "{error}");
    let mut body = minimal();
    let many = Value::from(vec![1; 100_000]);
    body["more"] = (0..25).fold(many, |value, _| json!([value]));
    let error = converted(&body).unwrap_err();
    assert!(error.contains("when indented"), "{error}");
    let yaml = format!("a: &a {}\nb: [*a, *a, *a, *a]\n", "x".repeat(50_000));
    let scenario = json!({"parameters_base64": STANDARD.encode(yaml)});
    let mut body = minimal();
    body["scenarios"] = json!([scenario, scenario, scenario, scenario]);
    assert!(converted(&body).is_ok());
    body["scenarios"] = json!([scenario, scenario, scenario, scenario, scenario]);
    let error = converted(&body).unwrap_err();
    assert!(error.contains("all scenarios together"), "{error}");
}

#[test]
fn plain_words_have_the_types_of_yaml() {
    let read = |text: &str| parameters::read(&format!("[{text}]")).unwrap()[0].clone();
    for (text, expected) in [
        ("12", json!(12)),
        ("-12", json!(-12)),
        ("0x1f", json!(31)),
        ("010", json!(8)),
        ("1_000", json!(1000)),
        ("1.50", json!(1.5)),
        ("1.2.3", json!("1.2.3")),
        (".inf", json!(".inf")),
        ("12s", json!("12s")),
        ("\"12\"", json!("12")),
        ("-", json!("-")),
        ("No", json!(false)),
    ] {
        if text != "-" {
            assert_eq!(read(text), expected, "{text}");
        }
    }
    assert!(parameters::read("").is_err());
    assert!(parameters::read("hello").is_err());
}

#[test]
fn fields_are_found() {
    let body = json!({
        "scenarios": [{
            "scenario": "pods", "scenario_type": "pod_disruption", "exit_status": 1,
            "affected_pods": {"recovered": [{"total_recovery_time": 12.345}]},
        }],
        "node_summary_infos": [], "node_taints": [], "job_status": false, "tag": "nightly",
        "cluster_version": "4.16\u{0}.3", "major_version": 4.16, "network_plugins": ["OVN"],
    });
    let fields = convert(body.to_string().as_bytes(), LIMIT)
        .unwrap()
        .facts
        .fields;
    let find = |name: &str| {
        let field = fields.iter().find(|field| field.name == name).unwrap();
        (field.value.as_str(), field.number)
    };
    assert_eq!(find("status"), ("failed", 0));
    assert_eq!(find("tag"), ("nightly", 0));
    assert_eq!(find("cluster_version"), ("4.16.3", 0));
    assert_eq!(find("major_version"), ("4.16", 4160));
    assert_eq!(find("scenario"), ("pods", 0));
    assert_eq!(find("exit_status"), ("1", 1000));
    assert_eq!(find("recovery_time"), ("12.345", 12_345));
    assert_eq!(find("network_plugin"), ("OVN", 0));
}
