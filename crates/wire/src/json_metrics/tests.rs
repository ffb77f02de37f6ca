//! Tests of `json_metrics`.

use proptest::prelude::*;

use super::*;
use crate::exposition::Limits;

fn written(body: &str) -> String {
    let page = parse(body.as_bytes()).expect("readable");
    let bytes = page.render_whole(Format::Text);
    let again = Page::parse(bytes.clone(), Format::Text, Limits::default()).expect("valid");
    assert_eq!(again.series(), page.series());
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn both_forms_are_read() {
    let metrics = r#"{"meta":{"version":"v2"},"metrics":{
        "web_uptime":{"type":"gauge","help":"Up \"time\".\n","data":[{"labels":{"node":"a\"b\\c\nd"},"value":12.5}]},
        "api_requests_duration_ms_sum":{"type":"counter","help":"","data":[{"labels":{},"value":3},{"labels":{"code":200,"ok":true,"none":null},"value":"4"}]},
        "odd":{"type":"histogram","data":[{"value":null},{"value":-1e300},{"labels":null,"value":"NaN"}]},
        "empty":{"type":"gauge","help":"None.","data":[]}}}"#;
    let expected = concat!(
        "# TYPE api_requests_duration_ms_sum counter\napi_requests_duration_ms_sum 3\n",
        "api_requests_duration_ms_sum{code=\"200\",none=\"\",ok=\"true\"} 4\n",
        "# HELP empty None.\n# TYPE empty gauge\n",
        "# TYPE odd untyped\nodd -1e300\nodd NaN\n",
        "# HELP web_uptime Up \"time\".\\n\n# TYPE web_uptime gauge\n",
        "web_uptime{node=\"a\\\"b\\\\c\\nd\"} 12.5\n",
    );
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    // The order of the names depends on how the JSON library keeps objects.
    assert_eq!(sorted(&written(metrics)), sorted(expected));

    let stats = r#"{"stats":{"app":{"q":{"type":"gauge","help":"Q.","data":[{"labels":{"part":"app"},"value":1}]}},
        "db":{"q":{"type":"gauge","help":"Q.","data":[{"labels":{"part":"db"},"value":2}]}}}}"#;
    let expected = "# HELP q Q.\n# TYPE q gauge\nq{part=\"app\"} 1\nq{part=\"db\"} 2\n";
    assert_eq!(written(stats), expected);
    assert_eq!(written(r#"{"metrics":{}}"#), "");
    assert_eq!(written(r#"{"stats":{}}"#), "");
}

#[test]
fn errors_name_the_place() {
    for (body, expected) in [
        ("", "the body is not JSON"),
        ("web_uptime 1", "the body is not JSON"),
        ("[]", "neither `metrics` nor `stats`"),
        ("{}", "neither `metrics` nor `stats`"),
        (r#"{"errors":[]}"#, "neither `metrics` nor `stats`"),
        (r#"{"metrics":[]}"#, "`metrics` is not an object"),
        (r#"{"stats":{"app":1}}"#, "`app` is not an object"),
        (r#"{"metrics":{"up":1}}"#, "`up` is not an object"),
        (
            r#"{"metrics":{"a b":{"data":[]}}}"#,
            "`a b` cannot be a metric name",
        ),
        (r#"{"metrics":{"up":{}}}"#, "metric `up` has no list `data`"),
        (
            r#"{"metrics":{"up":{"data":[1]}}}"#,
            "metric `up`, element 0 of `data`: the value",
        ),
        (
            r#"{"metrics":{"up":{"data":[{"value":1},{"value":"x"}]}}}"#,
            "element 1",
        ),
        (
            r#"{"metrics":{"up":{"data":[{"labels":{"a b":""},"value":1}]}}}"#,
            "labels must be",
        ),
        (
            r#"{"metrics":{"up":{"data":[{"labels":{"a":[]},"value":1}]}}}"#,
            "labels must be",
        ),
    ] {
        let error = parse(body.as_bytes()).expect_err(body).to_string();
        assert!(error.contains(expected), "{body}: {error}");
    }
}

proptest! {
    #[test]
    fn texts_survive(help in ".{0,20}", text in ".{0,20}") {
        let body = serde_json::json!({"metrics": {"a": {"type": "gauge", "help": help,
            "data": [{"labels": {"l": text}, "value": 1}]}}});
        written(&body.to_string());
    }
}
