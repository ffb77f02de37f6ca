//! Recognising a page that was read before.

use bytes::Bytes;
use proptest::prelude::*;

use super::read;
use crate::exposition::{Format, Limits, Page, Shape};

const PAGE: &str = "# HELP a A.\n# TYPE a gauge\na{x=\"1 2\"} 1\na{x=\"3\"} 2.5e3\n\nb +Inf\n";

fn shape() -> Shape {
    Shape::of(&read(PAGE, Format::Text)).unwrap()
}

#[test]
fn other_values_keep_the_shape() {
    let next = PAGE.replace("} 1\n", "} -17.25\n").replace("+Inf", "NaN");
    assert_ne!(next, PAGE);
    assert!(shape().matches(PAGE.as_bytes(), Format::Text));
    assert!(shape().matches(next.as_bytes(), Format::Text));
    assert!(!shape().matches(next.as_bytes(), Format::OpenMetrics));
}

#[test]
fn anything_else_is_another_shape() {
    for (from, to) in [
        ("x=\"3\"", "x=\"4\""),
        ("} 1\n", "} one\n"),
        ("} 1\n", "} \n"),
        ("} 1\n", "} 1 1700000000000\n"),
        ("} 1\n", "}  1\n"),
        ("} 1\n", "} 1 \n"),
        ("} 1\n", "} 1\na{x=\"9\"} 1\n"),
        ("# HELP a A.\n", ""),
        ("b +Inf", "b\t+Inf"),
        ("b +Inf", "+Inf"),
        ("a{x=\"3\"} 2.5e3\n\n", "a{x=\"3\"} 2.5e3\n"),
        ("1 2", "1\n2"),
        ("A.", "\u{e4}"),
    ] {
        let other = PAGE.replacen(from, to, 1);
        assert_ne!(other, PAGE);
        assert!(!shape().matches(other.as_bytes(), Format::Text), "{other}");
    }
    let not_utf8 = [PAGE.as_bytes(), b"\xff 1\n"].concat();
    assert!(!shape().matches(&not_utf8, Format::Text));
    assert!(!shape().matches(b"", Format::Text));
}

#[test]
fn pages_that_end_in_more_than_values_have_none() {
    let stamped = read("a 1 1700000000000\n", Format::Text);
    assert_eq!(Shape::of(&stamped), None);
    let loose = read("a\t1\n", Format::Text);
    assert_eq!(Shape::of(&loose), None);
    let repaired = read(
        "# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# TYPE a gauge\na 2\n",
        Format::Text,
    );
    assert_eq!(Shape::of(&repaired), None);
    let exemplar = "# TYPE a counter\na_total 1 # {t=\"1\"} 1\n# EOF\n";
    assert_eq!(Shape::of(&read(exemplar, Format::OpenMetrics)), None);
    let plain = read("# TYPE a counter\na_total 1\n# EOF\n", Format::OpenMetrics);
    let shape = Shape::of(&plain).unwrap();
    assert!(shape.matches(b"# TYPE a counter\na_total 2\n# EOF\n", Format::OpenMetrics));
    assert!(!shape.matches(b"# TYPE a counter\na_total 2\n", Format::OpenMetrics));
}

fn body() -> impl Strategy<Value = String> {
    let line = prop::sample::select(vec![
        "a 1",
        "a 2",
        "a{b=\"c\"} 1",
        "a{b=\"c d\"} 2",
        "# TYPE a gauge",
        "# TYPE b counter",
        "# x",
        "",
        "b 1 5",
        "b 1",
        " # y",
        "a nan",
        "a x",
        "c{",
        "# EOF",
    ]);
    prop::collection::vec(line, 0..6).prop_map(|lines| lines.join("\n"))
}

proptest! {
    /// Whatever matches the shape of a good page is a good page that is written as it came.
    #[test]
    fn a_match_is_as_good_as_reading(one in body(), other in body()) {
        for format in [Format::Text, Format::OpenMetrics] {
            let parse = |text: &str| {
                Page::parse(Bytes::copy_from_slice(text.as_bytes()), format, Limits::default())
            };
            let Some(shape) = parse(&one).ok().and_then(|page| Shape::of(&page)) else { continue };
            if shape.matches(other.as_bytes(), format) {
                let page = parse(&other).unwrap();
                prop_assert_eq!(page.render_whole(format), other.as_bytes());
            }
        }
    }
}
