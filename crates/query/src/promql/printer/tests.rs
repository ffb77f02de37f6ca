//! One spelling for each expression, and lines where it is long.

use super::*;
use crate::promql::parser::parse;

fn on_one_line(text: &str) -> String {
    parse(text).map_or_else(|error| error.to_string(), |parsed| parsed.to_string())
}

#[test]
fn expressions_have_one_spelling() {
    let cases = [
        ("sum(a)by(b,  'c.d')", r#"sum by (b, "c.d") (a)"#),
        ("sum by () (a)", "sum(a)"),
        ("sum without () (a)", "sum without () (a)"),
        ("topk(5,a)", "topk(5, a)"),
        ("a*ON(x)group_left b", "a * on (x) group_left () b"),
        (
            "a*ignoring()group_right(y)b",
            "a * ignoring () group_right (y) b",
        ),
        ("a==bool 1", "a == bool 1"),
        ("a + on(x) fill(0) b", "a + on (x) fill (0) b"),
        (
            "a + fill_left(1) fill_right(2) b",
            "a + fill_left (1) fill_right (2) b",
        ),
        ("- a ^ - 2", "-a ^ -2"),
        ("(1e3+.5)", "(1000 + 0.5)"),
        ("1h+90000ms", "1h + 1m30s"),
        ("-1h", "-1h"),
        ("{__name__='a',b=~'c'}", r#"{__name__="a",b=~"c"}"#),
        ("a{c='1',b!='2'}", r#"a{b!="2",c="1"}"#),
        (r#"{"a.b", "c d"="e"}"#, r#"{"c d"="e",__name__="a.b"}"#),
        (r#"{"bool"}"#, r#"{__name__="bool"}"#),
        ("a offset 1d @ 1.5", "a @ 1.500 offset 1d"),
        ("a[90m] offset -1w @ end()", "a[1h30m] @ end() offset -1w"),
        ("rate(a[300] smoothed)", "rate(a[5m] smoothed)"),
        ("rate(a[ 8d ] anchored)", "rate(a[8d] anchored)"),
        (
            "a[step( )*2:(1m+ 1s)] offset -(5m)",
            "a[step() * 2:(1m + 1s)] offset -(5m)",
        ),
        ("a[min_of(5m,1h*2)]", "a[min_of(5m, 1h * 2)]"),
        (
            "label_replace(a,'b','\"$1\"',`c`,'\\\\d')",
            r#"label_replace(a, "b", "\"$1\"", "c", "\\d")"#,
        ),
        ("time ()", "time()"),
    ];
    for (text, expected) in cases {
        let written = on_one_line(text);
        assert_eq!(written, expected, "{text}");
        assert_eq!(on_one_line(&written), expected, "again: {text}");
    }
}

#[test]
fn what_is_long_is_broken_into_lines() {
    let name = "a_metric_whose_name_takes_half_of_a_line_of_text";
    let text = format!(
        "sum by(job)(rate({name}{{b='c'}}[5m])) / on(job) (-{name} > quantile(0.5, {name} + {name}))"
    );
    let expected = format!(
        "  sum by (job) (rate({name}{{b=\"c\"}}[5m]))
/ on (job)
  (
      -{name}
    >
      quantile(
        0.5,
        {name} + {name}
      )
  )"
    );
    let parsed = parse(&text).unwrap();
    assert_eq!(pretty(&parsed), Some(expected.clone()));
    assert_eq!(on_one_line(&expected), parsed.to_string());
    let short = parse("a   + b").unwrap();
    assert_eq!(pretty(&short).as_deref(), Some("a + b"));
}

#[test]
fn deep_and_wide_expressions_end() {
    let chain = vec!["x{a='b'}"; 900].join(" or ");
    let brackets = format!("{}x{}", "(".repeat(90), ")".repeat(90));
    for text in [chain, brackets] {
        let parsed = parse(&text).unwrap();
        let lines = pretty(&parsed).unwrap();
        let words = |text: &str| text.split_whitespace().collect::<String>();
        assert!(lines.len() > text.len());
        assert!(words(&lines) == words(&text.replace('\'', "\"")));
    }
    let wide = vec!["'a'"; 4000].join(",");
    let wide = format!("label_join({},{wide})", "x");
    let chain = [
        vec!["x"; 800].join(" + "),
        vec![wide.as_str(); 15].join(" + "),
    ];
    assert!(pretty(&parse(&chain.join(" + ")).unwrap()).is_some());
    // 60,000 arguments that are indented by 1,600 blanks.
    let chain = [
        vec![wide.as_str(); 15].join(" + "),
        vec!["x"; 800].join(" + "),
    ];
    assert_eq!(pretty(&parse(&chain.join(" + ")).unwrap()), None);
}
