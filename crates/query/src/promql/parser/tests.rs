//! Expressions that are read, and how, and what is said of those that are not.

use super::*;

/// An expression in brackets, so that its tree shows.
fn shape(expression: &Expression) -> String {
    match &expression.node {
        Node::Number(number) => number.value.to_string(),
        Node::Text(text) => crate::quote::quoted(text),
        Node::Vector(selector) => selector.name.clone().unwrap_or_default(),
        Node::Matrix(selector, _) => format!("{}[]", selector.name.clone().unwrap_or_default()),
        Node::Subquery(subquery) => format!("{}[:]", shape(&subquery.inner)),
        Node::Unary { negates, inner } => {
            format!("({}{})", if *negates { '-' } else { '+' }, shape(inner))
        }
        Node::Parenthesized(inner) => shape(inner),
        Node::Binary(binary) => {
            let (left, right) = (shape(&binary.left), shape(&binary.right));
            format!("({left} {} {right})", binary.operator.text())
        }
        Node::Call(call) => {
            let arguments: Vec<String> = call.arguments.iter().map(shape).collect();
            format!("{}({})", call.function.name, arguments.join(", "))
        }
        Node::Aggregate(aggregate) => {
            format!(
                "{}({})",
                aggregate.operation.name(),
                shape(&aggregate.inner)
            )
        }
    }
}

#[test]
fn operators_bind_as_they_should() {
    let cases = [
        ("1 + 2 * 3", "(1 + (2 * 3))"),
        ("0755 + 09 + 0xc", "((493 + 9) + 12)"),
        ("2 ^ 3 ^ 2", "(2 ^ (3 ^ 2))"),
        ("-a ^ 2", "(-(a ^ 2))"),
        ("-a * b", "((-a) * b)"),
        ("a or b and c unless d", "(a or ((b and c) unless d))"),
        ("a - b - c", "((a - b) - c)"),
        ("a == bool b + 1", "(a == (b + 1))"),
        ("a </ 2 atan2 b", "(a </ (2 atan2 b))"),
        ("a offset 5m + 1", "(a + 1)"),
        (
            "sum by (x) (a) / on(y) group_left sum(b)",
            "(sum(a) / sum(b))",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(
            parse(text).map(|parsed| shape(&parsed)),
            Ok(expected.to_owned()),
            "{text}"
        );
    }
}

#[test]
fn reads_names_of_all_kinds() {
    let accepted = [
        r#"{"metric.name", "label.name"="x"}"#,
        r#"{"metric.name"}"#,
        r#"sum by ("a.b", c) (x)"#,
        "sum",
        "offset + fill + by",
        ":rule:name",
        "x[5m:]",
        "x[step():1m*2] @ end() offset -5m",
        "rate(x[5m] smoothed)",
        "x{a=~'b|c',}",
        "# comment\nx",
        "label_join(x, 'a', '-', 'b', 'c')",
        "histogram_quantiles(x, 'q', 0.1, 0.2)",
        "1h30m",
        "x + on(a) fill_left(-Inf) y",
    ];
    for text in accepted {
        assert!(parse(text).is_ok(), "{text}: {:?}", parse(text));
    }
}

#[test]
fn says_what_is_wrong_and_where() {
    let cases = [
        ("", "1:1: parse error: no expression found in input"),
        ("1 +", "1:4: parse error: unexpected end of input"),
        (
            "{}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            "foo(x)",
            "1:1: parse error: unknown function with name \"foo\"",
        ),
        (
            "rate(x)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        (
            "1 == 1",
            "1:1: parse error: comparisons between scalars must use BOOL modifier",
        ),
        (
            "\nx{a=b}",
            "2:5: parse error: unexpected identifier \"b\" in label matching, expected string",
        ),
        ("x[0s]", "1:3: parse error: duration must be greater than 0"),
        (
            "x and 1",
            "1:1: parse error: set operator \"and\" not allowed in binary scalar expression",
        ),
        (
            "x{a=~\"(\"}",
            "1:3: parse error: error parsing regexp: unclosed group: \"(\"",
        ),
        (
            "sum()",
            "1:1: parse error: no arguments for aggregate expression provided",
        ),
        (
            "x offset 5m offset 5m",
            "1:13: parse error: offset may not be set multiple times",
        ),
        ("\"a", "1:1: parse error: unterminated quoted string"),
        ("sum(on)", "1:5: parse error: unexpected identifier \"on\""),
        ("a + on b", "1:5: parse error: unexpected identifier \"on\""),
        (
            "foo{a>1}",
            "1:6: parse error: unexpected <op:>> in label matching, expected label matching operator",
        ),
        (
            "x offset 1s[5m]",
            "1:1: parse error: no offset modifiers allowed before range",
        ),
        (
            "1 offset 1d",
            "1:3: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        (
            "x @ +Inf",
            "1:3: parse error: timestamp out of bounds for @ modifier: inf",
        ),
    ];
    for (text, expected) in cases {
        let error = parse(text).unwrap_err();
        assert_eq!(error.to_string(), expected, "{text}");
    }
}

#[test]
fn refuses_what_is_too_deep() {
    let brackets = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
    let chain = vec!["1"; 5000].join("+");
    let signs = format!("{}1", "-".repeat(5000));
    let ranges = format!("x{}", "[5m:]".repeat(5000));
    for text in [brackets, chain, signs, ranges] {
        assert!(parse(&text).is_err());
    }
    assert!(parse(&vec!["x"; 900].join(" or ")).is_ok());
}

#[test]
fn a_series_ends_where_its_values_begin() {
    let cases = [
        ("metric 1 2", r#"{__name__="metric"}"#, 6),
        (
            r#"m{a="b", c="d"} 1"#,
            r#"{__name__="m", a="b", c="d"}"#,
            15,
        ),
        ("{} 1", "{}", 2),
        (r#"{"m.x", a="b"}@st"#, r#"{__name__="m.x", a="b"}"#, 14),
    ];
    for (text, labels, end) in cases {
        let (found, taken) = metric(text).unwrap();
        assert_eq!((found.to_string().as_str(), taken), (labels, end), "{text}");
    }
}
