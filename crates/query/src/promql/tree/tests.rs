//! The shape that the web interface of Prometheus reads.

use super::*;
use crate::promql::parser::parse;

fn written(text: &str) -> String {
    let mut out = String::new();
    match parse(text) {
        Ok(parsed) => expression(&mut out, &parsed),
        Err(error) => out.push_str(&error.to_string()),
    }
    out
}

#[test]
fn every_node_has_the_members_that_prometheus_gives() {
    let vector = |name: &str| {
        format!(
            r#"{{"type":"vectorSelector","name":"{name}","matchers":[{{"name":"__name__","value":"{name}","type":"="}}],"offset":0,"offsetExpr":null,"timestamp":null,"startOrEnd":null,"anchored":false,"smoothed":false}}"#
        )
    };
    let (a, b) = (vector("a"), vector("b"));
    let cases = [
        ("1.5", r#"{"type":"numberLiteral","val":"1.5"}"#.to_owned()),
        ("'<x'", r#"{"type":"stringLiteral","val":"\u003cx"}"#.to_owned()),
        ("a", a.clone()),
        ("-(a)", format!(r#"{{"type":"unaryExpr","op":"-","expr":{{"type":"parenExpr","expr":{a}}}}}"#)),
        (
            "a == bool 1",
            format!(
                r#"{{"type":"binaryExpr","op":"==","bool":true,"lhs":{a},"rhs":{{"type":"numberLiteral","val":"1"}},"matching":null}}"#
            ),
        ),
        (
            "a * on(x) group_left(y) fill_right(2) b",
            format!(
                r#"{{"type":"binaryExpr","op":"*","bool":false,"lhs":{a},"rhs":{b},"matching":{{"card":"many-to-one","on":true,"labels":["x"],"include":["y"],"fillValues":{{"lhs":null,"rhs":2}}}}}}"#
            ),
        ),
        (
            "quantile without(x) (0.5, a)",
            format!(
                r#"{{"type":"aggregation","op":"quantile","without":true,"grouping":["x"],"param":{{"type":"numberLiteral","val":"0.5"}},"expr":{a}}}"#
            ),
        ),
        (
            "round(a)",
            format!(
                r#"{{"type":"call","func":{{"name":"round","argTypes":["vector","scalar"],"variadic":1,"returnType":"vector"}},"args":[{a}]}}"#
            ),
        ),
        (
            "a[5m] @ 1.5 offset -1s",
            r#"{"type":"matrixSelector","range":300000,"rangeExpr":null,"name":"a","matchers":[{"name":"__name__","value":"a","type":"="}],"offset":-1000,"offsetExpr":null,"timestamp":1500,"startOrEnd":null,"anchored":false,"smoothed":false}"#.to_owned(),
        ),
        (
            "a[step()*2:(1m)] @ start()",
            format!(
                r#"{{"type":"subquery","expr":{a},"range":0,"rangeExpr":{{"type":"durationExpr","op":"*","wrapped":false,"lhs":{{"type":"durationExpr","op":"step","wrapped":false,"lhs":null,"rhs":null}},"rhs":{{"type":"numberLiteral","val":"2","duration":false}}}},"step":0,"stepExpr":{{"type":"durationExpr","op":"+","wrapped":true,"lhs":null,"rhs":{{"type":"numberLiteral","val":"60","duration":true}}}},"offset":0,"offsetExpr":null,"timestamp":null,"startOrEnd":"start"}}"#
            ),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(written(text), expected, "{text}");
    }
}

#[test]
fn functions_say_how_many_arguments_they_take() {
    let cases = [
        ("rate", r#"["matrix"],"variadic":0"#),
        ("day_of_week", r#"["vector"],"variadic":1"#),
        (
            "label_join",
            r#"["vector","string","string","string"],"variadic":-1"#,
        ),
        (
            "histogram_quantiles",
            r#"["vector","string","scalar","scalar"],"variadic":9"#,
        ),
    ];
    for (name, expected) in cases {
        let mut out = String::new();
        function(&mut out, crate::promql::functions::named(name).unwrap());
        assert!(out.contains(expected), "{out}");
    }
}

#[test]
fn long_chains_end() {
    assert!(written(&vec!["x"; 900].join(" or ")).ends_with("}}}"));
}
