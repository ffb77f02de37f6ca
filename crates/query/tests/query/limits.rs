//! What a query may want, and what is said when it wants more.

use std::cell::Cell;

use query::promql::engine::{Context, Interruption, Options, Query, QueryError};
use query::promql::value::Value;

use crate::promqltest::memory::Memory;
use crate::promqltest::script::parse_load;

fn store() -> Memory {
    let mut memory = Memory::default();
    let lines = ["metric{a=\"1\"} 0+1x100", "metric{a=\"2\"} 0+2x100"];
    let load = parse_load("load 15s", &lines.map(str::to_owned)).unwrap();
    memory.load(&load);
    memory
}

fn ask(
    options: &Options,
    text: &str,
    interrupt: &dyn Fn() -> Option<Interruption>,
) -> Result<Value, QueryError> {
    let memory = store();
    let context = Context {
        source: &memory,
        options,
        interrupt,
    };
    let query = Query::parse(text)?;
    query
        .range(context, 0, 600_000, 1000)
        .map(|outcome| outcome.value)
}

#[test]
fn too_many_samples_are_refused() {
    let options = Options {
        samples_max: 1000,
        ..Options::default()
    };
    let refused = ask(&options, "rate(metric[1m])", &|| None);
    assert_eq!(refused, Err(QueryError::TooManySamples(1000)));
    let refused = ask(&options, "sum_over_time(vector(1)[1000y:1ms])", &|| None);
    assert_eq!(refused, Err(QueryError::TooManySamples(1000)));
}

#[test]
fn a_query_that_is_told_to_stop_stops() {
    let asked = Cell::new(0);
    let interrupt = || {
        asked.set(asked.get() + 1);
        (asked.get() > 1).then_some(Interruption::Timeout)
    };
    let text = "sum_over_time(sum_over_time(metric[1m])[5m:1s])";
    let stopped = ask(&Options::default(), &format!("{text} + {text}"), &interrupt);
    assert_eq!(stopped, Err(QueryError::Timeout));
    assert_eq!(asked.get(), 2);
}

#[test]
fn ranges_that_make_no_sense_are_refused() {
    let memory = store();
    let options = Options::default();
    let context = Context {
        source: &memory,
        options: &options,
        interrupt: &|| None,
    };
    let query = Query::parse("metric").unwrap();
    for (start, end, step) in [(0, 10, 0), (10, 0, 1), (0, 20_000, 1)] {
        let refused = query.range(context, start, end, step);
        assert!(
            matches!(refused, Err(QueryError::Parameter(_))),
            "{refused:?}"
        );
    }
    let matrix = Query::parse("metric[5m]").unwrap();
    assert!(matches!(
        matrix.range(context, 0, 10, 1),
        Err(QueryError::Parameter(_))
    ));
    assert!(matrix.instant(context, 600_000).is_ok());
}

#[test]
fn what_is_as_deep_as_allowed_has_room_on_the_stack() {
    const DEPTH: usize = 95;
    let nested = |before: &str, middle: &str, behind: &str| {
        format!("{}{middle}{}", before.repeat(DEPTH), behind.repeat(DEPTH))
    };
    let texts = [
        nested("(", "1", ")"),
        nested("-", "metric", ""),
        nested("abs(", "metric", ")"),
        nested("sum by (a) (", "metric", ")"),
        nested("topk(1, ", "metric", ")"),
        nested("count_values(\"a\", ", "metric", ")"),
        nested("", "metric", "[5m:5m]"),
        nested("max_over_time(", "metric", "[5m:5m])"),
        nested("1^", "1", ""),
        vec!["metric"; 900].join(" or "),
        vec!["(metric + 1)"; 900].join(" * "),
        format!("info({})", vec!["metric"; 900].join(" + ")),
        nested("metric + on(a) fill(1) (", "metric", ")"),
        nested("info(", "metric", ")"),
        nested("label_replace(", "metric", ",\"a\",\"\",\"b\",\"c\")"),
        nested("histogram_quantile(0.9, ", "metric", ")"),
        format!("metric[{}]", nested("(", "1", ")")),
        format!("metric[{}]", nested("1^", "1", "")),
        format!("metric[{}]", nested("min_of(1,", "1", ")")),
    ];
    let memory = store();
    let options = Options::default();
    let context = Context {
        source: &memory,
        options: &options,
        interrupt: &|| None,
    };
    for text in texts {
        // Some are no queries: then the parser had the room.
        if let Ok(query) = Query::parse(&text) {
            let outcome = query.instant(context, 600_000);
            assert!(!matches!(outcome, Err(QueryError::Timeout)), "{text}");
        }
    }
}
