//! Charts, tables and errors as they are printed, and what is asked.

use std::collections::BTreeMap;

use time::macros::datetime;

use super::*;

const PLAIN: Look = Look {
    is_unicode: false,
    is_coloured: false,
};
const DOTS: Look = Look {
    is_unicode: true,
    is_coloured: false,
};
const COLOURED: Look = Look {
    is_unicode: true,
    is_coloured: true,
};

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()))
        .collect()
}

fn series(name: &str, job: &str, values: &[f64]) -> answer::Series {
    let times = (0..).map(|at| 1_795_312_800.0 + f64::from(at) * 60.0);
    answer::Series {
        labels: labels(&[("__name__", "load"), ("instance", name), ("job", job)]),
        points: times.zip(values.iter().copied()).collect(),
        histograms: 0,
    }
}

fn drawn(series: &[answer::Series], look: Look) -> String {
    let lines = Chart::new(series, (48, 7), look).lines();
    for line in &lines {
        let plain = line
            .replace("\x1b[36m", "")
            .replace("\x1b[33m", "")
            .replace("\x1b[0m", "");
        assert!(text::width(&plain) <= 48, "{} {line}", text::width(&plain));
    }
    lines.join("\n")
}

#[test]
fn one_series_is_a_line_of_dots() {
    let rising = series("a", "node", &[0.0, 1.0, 2.0, 3.0, 4.0, 4.0, 2.0]);
    let expected = "\
4 ┤                          ⣀⠤⠒⠉⠉⠉⠉⠉⠉⠉⠉⠑⢄
  │                      ⣀⠤⠒⠉             ⠑⢄⡀
  │                  ⣀⠤⠒⠉                   ⠈⠢⡀
2 ┤             ⢀⡠⠤⠒⠉                         ⠈⠢
  │        ⢀⡠⠤⠒⠉⠁
  │    ⣀⠤⠒⠉⠁
0 ┤⣀⠤⠒⠉
  └┬──────────────┬─────────────┬──────────────┬
   02:00        02:02         02:04        02:06
                                  MIN  MAX  LAST
■ load{instance=\"a\", job=\"node\"}    0    4     2";
    assert_eq!(drawn(&[rising], DOTS), expected);
}

#[test]
fn several_series_have_marks_or_colours() {
    let pair = [
        series("a", "node", &[1.0, 2.0, f64::NAN, 4.0]),
        series("b", "node", &[4.0, 3.0, 2.0, 1.0]),
    ];
    let shown = drawn(&pair, PLAIN);
    assert!(shown.is_ascii());
    // What is the same is said once.
    assert!(shown.starts_with("load{job=\"node\"}\n"), "{shown}");
    assert!(shown.contains("* {instance=\"a\"}"), "{shown}");
    assert!(shown.contains("+ {instance=\"b\"}"), "{shown}");
    // Without colours lines of dots would look alike.
    assert!(drawn(&pair, DOTS).contains("* {instance=\"a\"}"));
    let coloured = drawn(&pair, COLOURED);
    assert!(
        coloured.contains("\x1b[36m■\x1b[0m {instance=\"a\"}"),
        "{coloured}"
    );
}

#[test]
fn too_many_series_are_not_drawn() {
    let name = |at: usize| format!("i{at}");
    let many: Vec<_> = (0..11_u8)
        .map(|at| series(&name(usize::from(at)), "x", &[f64::from(at)]))
        .collect();
    let chart = Chart::new(&many, (60, 6), PLAIN);
    let shown = chart.lines().join("\n");
    assert!(shown.contains("\"i10\"") && shown.contains("\"i3\"") && !shown.contains("\"i2\""));
    assert!(
        chart.notes()[0].starts_with("3 more series"),
        "{:?}",
        chart.notes()
    );
}

#[test]
fn what_is_no_number_is_not_drawn() {
    for values in [&[][..], &[f64::NAN], &[f64::INFINITY, f64::NEG_INFINITY]] {
        let shown = drawn(&[series("a", "node", values)], PLAIN);
        assert!(shown.contains("no number that can be drawn"), "{shown}");
    }
    // Numbers of any size are.
    for values in [
        &[1e308, -1e308][..],
        &[5e-324, 0.0],
        &[1e300],
        &[-0.0],
        &[1e17, 1e17 + 16.0],
    ] {
        drawn(&[series("a", "node", values)], DOTS);
    }
}

#[test]
fn answers_are_read() {
    let vector = br#"{"status":"success","data":{"resultType":"vector","result":[
        {"metric":{"__name__":"up","job":"node"},"value":[1.5,"1"]},
        {"metric":{},"histogram":[1.5,{"count":"2","sum":"0.5","buckets":[]}]}]},"warnings":["w"]}"#;
    let answer = Answer::parse(vector).unwrap();
    assert_eq!(answer.warnings, ["w"]);
    let Data::Vector(rows) = &answer.data else {
        panic!("{answer:?}");
    };
    let shown = values::table(rows, Some(40));
    let expected = [
        "           VALUE  SERIES",
        "               1  up{job=\"node\"}",
        "count 2, sum 0.5  {}",
    ];
    assert_eq!(shown, expected);
    let scalar = br#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"+Inf"]}}"#;
    assert!(matches!(Answer::parse(scalar).unwrap().data, Data::Scalar(value) if value == "+Inf"));
    let text = br#"{"status":"success","data":{"resultType":"string","result":[1.5,"a\nb"]}}"#;
    assert!(matches!(Answer::parse(text).unwrap().data, Data::Text(value) if value == "a\nb"));
    assert!(Answer::parse(b"{}").is_err());
}

#[test]
fn the_place_of_an_error_is_underlined() {
    let check = |query: &str, error: &str, expected: &str| {
        assert_eq!(place::shown(query, error), expected);
    };
    check(
        "sum(rat(x[5m]))",
        "1:5: parse error: unknown function with name \"rat\"",
        "1:5: parse error: unknown function with name \"rat\"\n  sum(rat(x[5m]))\n      ^^^",
    );
    check(
        "1 +",
        "invalid parameter \"query\": 1:4: parse error: unexpected end of input",
        "invalid parameter \"query\": 1:4: parse error: unexpected end of input\n  1 +\n     ^",
    );
    check(
        "a\n  + b c",
        "2:7: parse error: x",
        "2:7: parse error: x\n    + b c\n        ^",
    );
    check(
        "日本 x",
        "1:4: parse error: x",
        "1:4: parse error: x\n  日本 x\n       ^",
    );
    check("up", "query timed out", "query timed out");
    check("up", "9:1: parse error", "9:1: parse error");
}

fn arguments(words: &[&str]) -> QueryArguments {
    #[derive(Debug, clap::Parser)]
    struct Whole {
        #[command(flatten)]
        arguments: QueryArguments,
    }
    let words = ["query"].iter().chain(words);
    <Whole as clap::Parser>::try_parse_from(words)
        .unwrap()
        .arguments
}

#[test]
fn the_api_is_asked() {
    let now = datetime!(2026-11-22 03:00:00.25 UTC);
    let check = |words: &[&str], expected: &str| {
        let path = path(&arguments(words), now, 80);
        assert_eq!(
            path.map_err(|error| error.to_string()),
            Ok(expected.to_owned())
        );
    };
    check(&["up"], "/api/v1/query?query=up&time=1795316400.250");
    check(
        &["a + b", "--range", "1h"],
        "/api/v1/query_range?query=a+%2B+b&start=1795312800.250&end=1795316400.250&step=30",
    );
    check(
        &[
            "up",
            "--range",
            "1d",
            "--step",
            "90s",
            "--at",
            "2026-11-21",
            "--timeout",
            "5s",
        ],
        "/api/v1/query_range?query=up&timeout=5&start=1795132800.000&end=1795219200.000&step=90",
    );
    for wrong in [
        &["up", "--range", "0"][..],
        &["up", "--range", "1h", "--step", "1ms"],
        &["up", "--at", "soon"],
    ] {
        assert!(path(&arguments(wrong), now, 80).is_err(), "{wrong:?}");
    }
}
