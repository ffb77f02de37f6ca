//! Lines one after the other: what is expected reads as what is not, and labels as they were meant.

use proptest::prelude::*;

use crate::exposition::{Format, Item, Kind, Limits, SampleLine, Stream, exemplar, series_labels};

/// All items of a page; each series is expected where `expects` says so.
fn items(body: &str, format: Format, expects: bool) -> Vec<Item<'_>> {
    let mut expected: Vec<Vec<u8>> = Vec::new();
    let mut items = Vec::new();
    for round in 0..=u8::from(expects) {
        let mut stream = Stream::new(body.as_bytes(), format, Limits::default());
        let mut next = expected.clone().into_iter();
        expected.clear();
        items.clear();
        let mut wanted = next.next().unwrap_or_default();
        while let Some(item) = stream.next(&wanted) {
            let item = item.unwrap_or_else(|error| panic!("{error}\n{body}"));
            if let Item::Sample(sample) = &item {
                expected.push(sample.series.to_vec());
                if round == 1 {
                    assert_eq!(sample.series, wanted, "{body}");
                }
                wanted = next.next().unwrap_or_default();
            }
            items.push(item);
        }
    }
    items
}

fn samples(items: &[Item<'_>]) -> Vec<(String, u64, Option<i64>)> {
    let sample = |item: &Item<'_>| match item {
        Item::Sample(sample) => Some((
            String::from_utf8_lossy(sample.series).into_owned(),
            sample.value.to_bits(),
            sample.timestamp,
        )),
        Item::Type(..) | Item::Help(..) | Item::Unit(..) => None,
    };
    items.iter().filter_map(sample).collect()
}

#[test]
fn a_page_is_read_line_by_line() {
    let body = "# HELP a says \\\\ and \\n\n# TYPE a counter\n\na{b=\"c\"} 1\n# a comment\n\
                a 2.5 1234\n# TYPE h histogram\nh_bucket{le=\"1\"} 3";
    let read = items(body, Format::Text, false);
    assert_eq!(read.len(), 6);
    assert_eq!(read[0], Item::Help("a".into(), "says \\ and \n".into()));
    assert_eq!(read[1], Item::Type("a".into(), Kind::Counter));
    let expected = SampleLine {
        series: b"a",
        is_expected: false,
        value: 2.5,
        timestamp: Some(1234),
        exemplar: None,
    };
    assert_eq!(read[3], Item::Sample(expected));
}

#[test]
fn open_metrics_has_exemplars_seconds_and_an_end() {
    let body = "# TYPE a counter\n# UNIT a_s s\n\
                a_total{x=\"y\"} 5.0 1.5 # {trace=\"1\"} 0.25 2.5\n# EOF\n";
    let read = items(body, Format::OpenMetrics, true);
    assert_eq!(read[1], Item::Unit("a_s".into(), "s".into()));
    let Item::Sample(sample) = &read[2] else {
        panic!("{read:?}");
    };
    assert_eq!(sample.timestamp, Some(1500));
    let found = exemplar(sample.exemplar.expect("an exemplar")).expect("readable");
    assert_eq!(found.labels, [("trace".into(), "1".into())]);
    assert_eq!((found.value, found.timestamp), (0.25, Some(2500)));
    for (body, line) in [("a 1\n", 1), ("a 1\n# EOF\na 1\n", 3), ("a  1\n# EOF\n", 1)] {
        let mut stream = Stream::new(body.as_bytes(), Format::OpenMetrics, Limits::default());
        let error = std::iter::from_fn(|| stream.next(b"a")).find_map(Result::err);
        assert_eq!(error.map(|error| error.line), Some(line), "{body}");
    }
}

#[test]
fn labels_are_read_as_they_were_meant() {
    type Pairs<'a> = &'a [(&'a str, &'a str)];
    let cases: [(&str, &str, Pairs<'_>); 5] = [
        ("a", "a", &[]),
        ("a{}", "a", &[]),
        (
            "a { b = \"c\\\"d\" , e=\"\\n\\x\", }",
            "a",
            &[("b", "c\"d"), ("e", "\n\\x")],
        ),
        (
            "{\"my.metric\",\"l.x\"=\"v\"}",
            "my.metric",
            &[("l.x", "v")],
        ),
        ("{l=\"}\",\"m\"}", "m", &[("l", "}")]),
    ];
    for (series, name, labels) in cases {
        let body = format!("{series} 1\n");
        let read = items(&body, Format::Text, false);
        let Some(Item::Sample(sample)) = read.first() else {
            panic!("{read:?}");
        };
        assert_eq!(sample.series, series.as_bytes());
        let found = series_labels(sample.series).expect("readable");
        assert_eq!(found.name, name);
        let found: Vec<(&str, &str)> = found
            .labels
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
            .collect();
        assert_eq!(found, labels);
    }
}

#[test]
fn a_name_that_begins_another_is_not_taken_for_it() {
    let body = b"ab 1\na{b=\"c\"} 2\na {b=\"d\"} 3\na 4\n";
    let mut stream = Stream::new(body, Format::Text, Limits::default());
    let mut seen = Vec::new();
    while let Some(item) = stream.next(b"a") {
        if let Ok(Item::Sample(sample)) = item {
            seen.push((sample.series.to_vec(), sample.is_expected));
        }
    }
    let expected = [
        (b"ab".to_vec(), false),
        (b"a{b=\"c\"}".to_vec(), false),
        (b"a {b=\"d\"}".to_vec(), false),
        (b"a".to_vec(), true),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn what_is_no_page_is_refused() {
    for body in ["a", "a b", "a{ 1", "{} 1", "a 1 2 3", "a 0x1"] {
        let mut stream = Stream::new(body.as_bytes(), Format::Text, Limits::default());
        let outcome = stream.next(b"").expect("a line");
        assert!(outcome.is_err(), "{body}: {outcome:?}");
    }
    assert!(series_labels(b"a{b=\"\xff\"}").is_err());
}

proptest! {
    /// Numbers read on the short way are those of the standard library, to the bit.
    #[test]
    fn numbers_are_exact(text in "-?[0-9]{0,17}(\\.[0-9]{0,17})?(e[+-]?[0-9]{1,2})?") {
        let body = format!("a {text}\n");
        let mut stream = Stream::new(body.as_bytes(), Format::Text, Limits::default());
        let read = stream.next(b"a");
        match (text.parse::<f64>(), read) {
            (Ok(expected), Some(Ok(Item::Sample(sample)))) => {
                prop_assert_eq!(expected.to_bits(), sample.value.to_bits());
            }
            (Err(_), Some(Err(_))) => {}
            (expected, read) => prop_assert!(false, "{:?} {:?}", expected, read),
        }
    }

    /// A page reads the same whether its series were expected or not.
    #[test]
    fn expecting_changes_nothing(
        lines in prop::collection::vec(
            ("[ab]{1,2}", prop::option::of("[a\"\\\\{} ]{0,3}"), "[ \t]{1,2}", "[0-9]{1,3}", "( [0-9]{1,4})?"),
            0..20,
        )
    ) {
        let mut body = String::new();
        for (name, label, blank, value, time) in lines {
            let label = label.map(|label| {
                let label = label.replace('\\', "\\\\").replace('"', "\\\"");
                format!("{{x=\"{label}\"}}")
            });
            let label = label.unwrap_or_default();
            body.extend([name, label, blank, value, time, "\n".to_owned()]);
        }
        let (new, known) = (items(&body, Format::Text, false), items(&body, Format::Text, true));
        prop_assert_eq!(samples(&new), samples(&known));
    }
}
