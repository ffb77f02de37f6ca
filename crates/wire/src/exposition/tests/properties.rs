//! What holds for every page: random ones made of well-formed lines, and random bytes.

use bytes::Bytes;
use proptest::prelude::*;

use super::{read, summary, text, written};
use crate::exposition::{Format, Limits, Page, merge};

/// Few names, so that families meet, and all the suffixes with a meaning.
fn name() -> impl Strategy<Value = String> {
    let suffix = prop::sample::select(vec![
        "", "_total", "_sum", "_count", "_bucket", "_created", "_gsum", "_gcount", "_info",
    ]);
    (
        prop::sample::select(vec!["a", "b", "a_sum", "a_total"]),
        suffix,
    )
        .prop_map(|(base, suffix)| format!("{base}{suffix}"))
}

fn label() -> impl Strategy<Value = String> {
    "[a-zü\"\\\\\n{},= #]{0,6}".prop_map(|value: String| {
        let escaped = value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        format!("{{l=\"{escaped}\"}}")
    })
}

fn line(format: Format) -> impl Strategy<Value = String> {
    let kinds = match format {
        Format::Text => vec!["counter", "gauge", "histogram", "summary", "untyped"],
        Format::OpenMetrics => vec![
            "counter",
            "gauge",
            "histogram",
            "summary",
            "unknown",
            "gaugehistogram",
            "info",
            "stateset",
        ],
    };
    let stamp = match format {
        Format::Text => "( [1-9][0-9]{0,17})?",
        Format::OpenMetrics => "( [1-9][0-9]{0,9}(\\.[0-9]{1,3})?)?",
    };
    let value = prop::sample::select(vec!["1", "-2.5e3", "NaN", "+Inf", "0"]);
    let labels = prop_oneof![Just(String::new()), label()];
    let sample = (name(), labels, value, stamp)
        .prop_map(|(name, labels, value, stamp)| format!("{name}{labels} {value}{stamp}"));
    let kind = (name(), prop::sample::select(kinds))
        .prop_map(|(name, kind)| format!("# TYPE {name} {kind}"));
    let help =
        (name(), "[a-z\\\\\" ]{0,8}").prop_map(|(name, help)| format!("# HELP {name} {help}"));
    prop_oneof![6 => sample, 2 => kind, 1 => help]
}

fn page(format: Format) -> impl Strategy<Value = String> {
    prop::collection::vec(line(format), 0..14).prop_map(move |lines| {
        let mut body = lines.join("\n");
        if !body.is_empty() {
            body.push('\n');
        }
        if format == Format::OpenMetrics {
            body.push_str("# EOF\n");
        }
        body
    })
}

fn any_page() -> impl Strategy<Value = (Format, String)> {
    let of = |format: Format| page(format).prop_map(move |body| (format, body));
    prop_oneof![of(Format::Text), of(Format::OpenMetrics)]
}

/// The sample lines of a page, sorted.
fn lines(page: &Page) -> Vec<String> {
    let mut lines: Vec<String> = page
        .families()
        .flat_map(|family| family.lines().map(str::to_owned))
        .collect();
    lines.sort();
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn writing_and_reading_is_stable((format, body) in any_page(), to_text in any::<bool>()) {
        let target = if to_text { Format::Text } else { Format::OpenMetrics };
        let first = read(&body, format);
        let converted = first.clone().convert(target);
        prop_assert_eq!(converted.series(), first.series());
        let once = written(&first, target);
        let again = read(&once, target);
        prop_assert_eq!(lines(&again), lines(&converted), "{}", once);
        prop_assert_eq!(written(&again, target), once);
    }

    #[test]
    fn joining_is_stable(pages in prop::collection::vec(any_page(), 2..4)) {
        let pages: Vec<Page> = pages.iter().map(|(format, body)| read(body, *format)).collect();
        let series: usize = pages.iter().map(Page::series).sum();
        let merged = merge(pages);
        let once = written(&merged, merged.format());
        let again = read(&once, merged.format());
        prop_assert_eq!(again.series(), series);
        prop_assert_eq!(summary(&again), summary(&merged), "{}", once);
        prop_assert_eq!((again.duplicate_families(), again.conflicts()), (0, 0), "{}", once);
    }

    #[test]
    fn text_survives_open_metrics(body in page(Format::Text)) {
        let first = text(&body);
        let there = written(&first, Format::OpenMetrics);
        let back = text(&written(&read(&there, Format::OpenMetrics), Format::Text));
        prop_assert_eq!(lines(&back), lines(&first), "{}", there);
    }

    #[test]
    fn random_bytes_do_no_harm(body in prop::collection::vec(any::<u8>(), 0..200)) {
        crate::fuzz::exposition(&body);
    }

    #[test]
    fn random_tokens_do_no_harm(
        body in "(a|# TYPE |# HELP |_sum|[{]|[}]|\"|\\\\|=|,| |\n|1|# EOF|counter|\\.|#){0,30}",
    ) {
        crate::fuzz::exposition(body.as_bytes());
    }

    #[test]
    fn values_are_read_as_go_does(word in "[+-]?[0-9]{0,3}[._xp]?[0-9]{0,3}([eE][+-]?[0-9]{0,3})?|[+-]?(inf|NAN|Infinity|infin)") {
        let sign_free = word.trim_start_matches(['+', '-']);
        let is_signed_nan = sign_free.len() < word.len() && sign_free.eq_ignore_ascii_case("nan");
        let expected = word.parse::<f64>().is_ok_and(|value| {
            value.is_finite() || !sign_free.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        });
        let read = Page::parse(Bytes::from(format!("a {word}\n")), Format::Text, Limits::default());
        prop_assert_eq!(read.is_ok(), expected && !is_signed_nan, "{}", word);
    }
}
