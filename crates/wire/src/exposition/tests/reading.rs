//! What is accepted, what is refused and where it is put.

use bytes::Bytes;

use super::{open_metrics, summary, text};
use crate::exposition::{Format, Kind, Limits, Page, Reason};

#[test]
fn text_lines_that_are_read() {
    for line in [
        "up 1",
        "up 1 1395066363000",
        "up{} 1",
        "up{a=\"b\"} 1",
        "up{a=\"b\",} 1",
        "up { a = \"b\" , c = \"d\" , } 1",
        "up{a=\"b\"}1",
        "up\t1  ",
        "up{a=\"}, {\"} 1",
        "up{a=\"\\\"\\\\\\n\"} 1",
        "up{path=\"C:\\dir\"} 1",
        "up{a=\"ümläut\"} 1",
        "a:b:c 1",
        ":x 1",
        "{\"my.metric\"} 1",
        "{\"my.metric\", a=\"b\", \"c.d\"=\"e\"} 1 5",
        "{a=\"b\",\"my metric\"} 1",
        "up{\"a.b\"=\"c\"} 1",
        "up 0",
        "up -1.5e-7",
        "up +.5",
        "up 5.",
        "up 1E+3",
        "up NaN",
        "up nan",
        "up +Inf",
        "up -inf",
        "up Infinity",
        "up 1e308",
        "up 1e-999",
    ] {
        let page = text(&format!("{line}\n"));
        assert_eq!(page.series(), 1, "{line}");
        assert_eq!(text(line).series(), 1, "without the last newline: {line}");
    }
    for nothing in [
        "",
        "\n",
        "\n\n",
        "  \n",
        "# comment\n",
        "#HELP x\n",
        "  # c\n",
        "# HELP a-b c\n",
    ] {
        assert_eq!(text(nothing).series(), 0, "{nothing:?}");
    }
}

#[test]
fn text_lines_that_are_refused() {
    use Reason as R;
    for (line, reason) in [
        ("9up 1", R::MetricName),
        ("u-p 1", R::MetricName),
        ("ü 1", R::MetricName),
        ("\0", R::MetricName),
        ("{} 1", R::MetricName),
        ("{\"\"} 1", R::LabelName),
        ("{a=\"b\"} 1", R::MetricName),
        ("up{\"other\"} 1", R::MetricName),
        ("{\"a\",\"b\"} 1", R::MetricName),
        ("up{9=\"b\"} 1", R::LabelName),
        ("up{a:b=\"b\"} 1", R::LabelValue),
        ("up{,} 1", R::LabelName),
        ("up{a=\"b\",,} 1", R::LabelName),
        ("up{a} 1", R::LabelValue),
        ("up{a=b} 1", R::LabelValue),
        ("up{a=\"b} 1", R::LabelValue),
        ("up{a=\"b\\\"} 1", R::LabelValue),
        ("up{a=\"b\"c=\"d\"} 1", R::LabelSeparator),
        ("up{a=\"b\" 1", R::LabelSeparator),
        ("up{a=\"b\"", R::LabelSeparator),
        ("up{", R::LabelName),
        ("up{a=\"b\",a=\"c\"} 1", R::LabelTwice),
        ("up", R::Value),
        ("up ", R::Value),
        ("up{a=\"b\"}", R::Value),
        ("up one", R::Value),
        ("up 1\r", R::Value),
        ("up 0x10", R::Value),
        ("up 0x1p4", R::Value),
        ("up 1_000", R::Value),
        ("up 1,5", R::Value),
        ("up 1e", R::Value),
        ("up 1e+", R::Value),
        ("up .", R::Value),
        ("up +", R::Value),
        ("up +nan", R::Value),
        ("up 1e999", R::Value),
        ("  up 1", R::MetricName),
        ("up 1 -5", R::Timestamp),
        ("up 1 x", R::Timestamp),
        ("up 1 1.5", R::Timestamp),
        ("up 1 +5", R::Timestamp),
        ("up 1 99999999999999999999", R::Timestamp),
        ("up 1 2 3", R::TrailingText),
        ("up 1 # {a=\"b\"} 1", R::TrailingText),
        ("# TYPE up", R::Type),
        ("# TYPE up unknown", R::Type),
        ("# TYPE up COUNTER", R::Type),
        ("# TYPE 9up counter", R::MetricName),
    ] {
        let body = format!("# comment\n\n{line}\nup 1\n");
        let error = Page::parse(Bytes::from(body), Format::Text, Limits::default()).unwrap_err();
        assert_eq!((error.line, error.reason), (3, reason), "{line:?}");
    }
}

#[test]
fn open_metrics_lines_that_are_read() {
    for line in [
        "up 1",
        "up{a=\"b\"} 1 1395066363.123",
        "up 1 -5",
        "up 1 1e3",
        "up{} NaN",
        "x_total 1 # {} 1",
        "x_total{a=\"b\"} 1 # {trace_id=\"x\"} 0.5 123.5",
        "x_bucket{le=\"1\"} 1 5 # {trace_id=\"} # x\"} 0.5",
        "{\"my.metric\",a=\"b\"} 1",
        "# HELP up Is it \\\"up\\\".\nup 1",
        "# HELP up \nup 1",
        "# TYPE x_seconds gauge\n# UNIT x_seconds seconds\nx_seconds 1",
    ] {
        assert_eq!(
            open_metrics(&format!("{line}\n# EOF\n")).series(),
            1,
            "{line}"
        );
        assert_eq!(
            open_metrics(&format!("{line}\n# EOF")).series(),
            1,
            "{line}"
        );
    }
}

#[test]
fn open_metrics_lines_that_are_refused() {
    use Reason as R;
    for (line, reason) in [
        ("", R::EmptyLine),
        ("# comment", R::Comment),
        ("#", R::Comment),
        ("# HELP", R::Comment),
        ("# HELP up", R::Blanks),
        ("# TYPE up untyped", R::Type),
        ("# TYPE up gauge ", R::Type),
        ("# UNIT up seconds", R::Unit),
        ("# UNIT upseconds seconds", R::Unit),
        (" up 1", R::MetricName),
        ("up  1", R::Blanks),
        ("up\t1", R::Blanks),
        ("up 1 ", R::Blanks),
        ("up 1  5", R::Blanks),
        ("up {a=\"b\"} 1", R::Blanks),
        ("up{a=\"b\"}1", R::Blanks),
        ("up{a=\"b\", c=\"d\"} 1", R::Blanks),
        ("up{a=\"b\",} 1", R::LabelName),
        ("up 1 NaN", R::Timestamp),
        ("up 1 1e300", R::Timestamp),
        ("up 1 5 6", R::TrailingText),
        ("up 1 # {} 1", R::ExemplarNotAllowed),
        ("x_total 1 # 1", R::Exemplar),
        ("x_total 1 # {a=\"b\"}", R::Exemplar),
        ("x_total 1 # {\"a\"} 1", R::Exemplar),
        ("x_total 1 # {} 1 x", R::Exemplar),
        ("x_total 1 # {} 1 5 6", R::TrailingText),
    ] {
        let body = format!("up 1\n{line}\n# EOF\n");
        let error =
            Page::parse(Bytes::from(body), Format::OpenMetrics, Limits::default()).unwrap_err();
        assert_eq!((error.line, error.reason), (2, reason), "{line:?}");
    }
    for (body, line, reason) in [
        ("", 1, R::EofMissing),
        ("up 1\n", 1, R::EofMissing),
        ("up 1\n# EOF \n", 2, R::Comment),
        ("up 1\n# EOF\n\n", 3, R::AfterEof),
        ("# EOF\nup 1", 2, R::AfterEof),
    ] {
        let error =
            Page::parse(Bytes::from(body), Format::OpenMetrics, Limits::default()).unwrap_err();
        assert_eq!((error.line, error.reason), (line, reason), "{body:?}");
    }
}

#[test]
fn errors_show_the_line_and_stay_short() {
    let body = Bytes::from(format!("up 1\nup{{a=\"{}\u{1b}[0m\n", "ü\u{7}".repeat(100)));
    let error = Page::parse(body, Format::Text, Limits::default()).unwrap_err();
    assert!(error.excerpt.chars().count() <= 80, "{}", error.excerpt);
    assert!(
        error.excerpt.starts_with("`up{a=\"ü\\u{7}"),
        "{}",
        error.excerpt
    );
    assert!(!error.to_string().contains('\u{7}'));
    assert!(
        error
            .to_string()
            .starts_with("line 2: a label value is missing"),
        "{error}"
    );

    let error = Page::parse(
        Bytes::from_static(b"a 1\nb{c=\"\xff\"} 1\n"),
        Format::Text,
        Limits::default(),
    );
    let error = error.unwrap_err();
    assert_eq!((error.line, error.reason), (2, Reason::NotUtf8));
}

#[test]
fn limits_hold() {
    let limits = Limits {
        line_bytes_max: 20,
        families_max: 2,
        labels_max: 1,
        samples_max: 3,
    };
    let refused = |body: &str| {
        Page::parse(
            Bytes::copy_from_slice(body.as_bytes()),
            Format::Text,
            limits,
        )
        .map(|_| ())
        .unwrap_err()
    };
    assert_eq!(
        refused("a 1\nb 1\n# aaaaaaaaaaaaaaaaaaa\n").reason,
        Reason::LineTooLong(20)
    );
    assert_eq!(
        refused("a 1\nb 1\nc 1\n").reason,
        Reason::TooManyFamilies(2)
    );
    assert_eq!(
        refused("a{b=\"\",c=\"\"} 1\n").reason,
        Reason::TooManyLabels(1)
    );
    assert_eq!(
        refused("a 1\na 2\nb 1\nb 2\n").reason,
        Reason::TooManySamples(3)
    );
    let many: Vec<String> = (0..400).map(|at| format!("l{at}=\"x\"")).collect();
    assert_eq!(text(&format!("a{{{}}} 1\n", many.join(","))).series(), 1);
    let twice = format!("a{{{},l7=\"y\"}} 1\n", many.join(","));
    let error = Page::parse(Bytes::from(twice), Format::Text, Limits::default()).unwrap_err();
    assert_eq!(error.reason, Reason::LabelTwice);
}

#[test]
fn samples_go_to_their_families() {
    let page = text(concat!(
        "# HELP h A \\\\ histogram\\nin two lines with \"quotes\".\n",
        "# TYPE h histogram\n",
        "h_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\nh_created 5\n",
        "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 1\ns_count 1\ns_bucket 1\n",
        "# TYPE c_total counter\nc_total 1\nc_sum 1\n",
    ));
    let expected = [
        "h Histogram Some(\"A \\\\ histogram\\nin two lines with \\\"quotes\\\".\") [\"h_bucket{le=\\\"+Inf\\\"} 1\", \"h_sum 1\", \"h_count 1\"]",
        "h_created Unknown None [\"h_created 5\"]",
        "s Summary None [\"s{quantile=\\\"0.5\\\"} 1\", \"s_sum 1\", \"s_count 1\"]",
        "s_bucket Unknown None [\"s_bucket 1\"]",
        "c_total Counter None [\"c_total 1\"]",
        "c_sum Unknown None [\"c_sum 1\"]",
    ];
    assert_eq!(summary(&page), expected);
    assert_eq!(
        (page.series(), page.duplicate_families(), page.conflicts()),
        (10, 0, 0)
    );

    let page = open_metrics(concat!(
        "# TYPE c counter\nc_total 1\nc_created 5\n",
        "# TYPE g gaugehistogram\ng_bucket{le=\"+Inf\"} 1\ng_gsum 1\ng_gcount 1\n",
        "# TYPE i info\ni_info{a=\"b\"} 1\n# TYPE s stateset\ns{s=\"a\"} 1\n",
        "# TYPE u unknown\nu 1\nu_total 1\n# EOF\n",
    ));
    let counts: Vec<_> = page
        .families()
        .map(|f| (f.name(), f.kind(), f.series()))
        .collect();
    let expected = [
        ("c", Kind::Counter, 2),
        ("g", Kind::GaugeHistogram, 3),
        ("i", Kind::Info, 1),
        ("s", Kind::StateSet, 1),
        ("u", Kind::Unknown, 1),
        ("u_total", Kind::Unknown, 1),
    ];
    assert_eq!(counts, expected);
}

#[test]
fn families_in_several_places_are_joined_and_counted() {
    for (body, duplicates, conflicts, families) in [
        ("# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\na 2\n", 1, 0, 2),
        ("# TYPE a gauge\na 1\n# TYPE a gauge\na 2\n", 1, 0, 1),
        ("# HELP a x\na 1\n# HELP a y\na 2\n", 1, 0, 1),
        ("# TYPE a gauge\na 1\n# TYPE a counter\na 2\n", 1, 1, 1),
        // Without metadata nobody has said that they belong together.
        ("a 1\nb 1\na 2\nb 2\n", 0, 0, 2),
        // A type after the samples, and a family that takes up those before it.
        ("a 1\n# TYPE a gauge\na 2\n", 0, 0, 1),
        ("# HELP a x\na_sum 1\n# TYPE a summary\na_sum 2\n", 1, 0, 1),
    ] {
        let page = text(body);
        let found = (
            page.duplicate_families(),
            page.conflicts(),
            page.families().len(),
        );
        assert_eq!(found, (duplicates, conflicts, families), "{body}");
    }
}
