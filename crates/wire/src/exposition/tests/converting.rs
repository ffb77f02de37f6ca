//! From one format to the other.

use super::{open_metrics, read, summary, text, written};
use crate::exposition::Format;

#[track_caller]
fn converts(body: &str, from: Format, expected: &str) {
    let to = if from == Format::Text {
        Format::OpenMetrics
    } else {
        Format::Text
    };
    let page = read(body, from);
    assert_eq!(written(&page, to), expected);
    assert_eq!(
        summary(&page.clone().convert(to)),
        summary(&read(expected, to)),
        "reads back"
    );
    let again = page.clone().convert(to);
    assert_eq!(again.series(), page.series(), "no sample is lost");
}

#[test]
fn text_to_open_metrics() {
    for (body, expected) in [
        ("", "# EOF\n"),
        ("up 1", "up 1\n# EOF\n"),
        (
            "# note\n\nup {a=\"b, c\" , } 1  1500\n",
            "up{a=\"b, c\"} 1 1.5\n# EOF\n",
        ),
        (
            "up 1 1000\nup 2 1\nup 3 1050\n",
            "up 1 1\nup 2 0.001\nup 3 1.05\n# EOF\n",
        ),
        (
            "# HELP a_total A \"b\" \\\\.\n# TYPE a_total counter\na_total 1\n",
            "# HELP a A \\\"b\\\" \\\\.\n# TYPE a counter\na_total 1\n# EOF\n",
        ),
        ("# TYPE a counter\na 1\n", "# TYPE a unknown\na 1\n# EOF\n"),
        (
            "# TYPE a gauge\na 1\n# TYPE a_total counter\na_total 1\n",
            "# TYPE a gauge\na 1\n# TYPE a_total unknown\na_total 1\n# EOF\n",
        ),
        ("# TYPE a untyped\na 1\n", "# TYPE a unknown\na 1\n# EOF\n"),
        (
            "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
            "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n# EOF\n",
        ),
        (
            "{\"my.metric\", a=\"b\"} 1\n",
            "{\"my.metric\",a=\"b\"} 1\n# EOF\n",
        ),
        (
            "# TYPE \"my.metric_total\" counter\n{\"my.metric_total\"} 1\n",
            "# TYPE \"my.metric\" counter\n{\"my.metric_total\"} 1\n# EOF\n",
        ),
    ] {
        converts(body, Format::Text, expected);
    }
}

#[test]
fn open_metrics_to_text() {
    for (body, expected) in [
        ("# EOF\n", ""),
        ("up 1\n# EOF", "up 1\n"),
        (
            "up 1 1.5\nup 2 -0.0005\nup 3 1e-3\n# EOF\n",
            "up 1 1500\nup 2 0\nup 3 1\n",
        ),
        (
            "# HELP a A \\\"b\\\".\n# TYPE a counter\na_total 1 # {t=\"x\"} 1\na_created 5\n# EOF\n",
            "# HELP a_total A \"b\".\n# TYPE a_total counter\na_total 1\n# HELP a_created A \"b\".\n# TYPE a_created gauge\na_created 5\n",
        ),
        ("# TYPE a counter\n# EOF\n", "# TYPE a_total counter\n"),
        (
            "# TYPE a_seconds gauge\n# UNIT a_seconds seconds\na_seconds 1\n# EOF\n",
            "# TYPE a_seconds gauge\na_seconds 1\n",
        ),
        ("# TYPE a unknown\na 1\n# EOF\n", "# TYPE a untyped\na 1\n"),
        (
            "# TYPE a info\na_info{b=\"c\"} 1\n# EOF\n",
            "# TYPE a_info gauge\na_info{b=\"c\"} 1\n",
        ),
        (
            "# TYPE a stateset\na{a=\"c\"} 1\n# EOF\n",
            "# TYPE a gauge\na{a=\"c\"} 1\n",
        ),
        (
            "# TYPE g gaugehistogram\ng_bucket{le=\"+Inf\"} 1\ng_gcount 1\ng_gsum 1\n# EOF\n",
            "# TYPE g_bucket gauge\ng_bucket{le=\"+Inf\"} 1\n# TYPE g_gcount gauge\ng_gcount 1\n# TYPE g_gsum gauge\ng_gsum 1\n",
        ),
        (
            "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1 # {} 1\nh_sum 1\nh_count 1\nh_created 5\nh_bucket{a=\"b\",le=\"+Inf\"} 1\nh_created{a=\"b\"} 5\n# EOF\n",
            "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\nh_bucket{a=\"b\",le=\"+Inf\"} 1\n# TYPE h_created gauge\nh_created 5\nh_created{a=\"b\"} 5\n",
        ),
    ] {
        converts(body, Format::OpenMetrics, expected);
    }
}

#[test]
fn samples_survive_the_way_there_and_back() {
    let body = concat!(
        "# HELP a_total A \"b\" \\\\.\n# TYPE a_total counter\na_total{x=\"\\\"\"} 1 9223372036854775807\n",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\nh_created 3\n",
        "# TYPE u untyped\nu 1 0\nx 1\n",
    );
    let there = text(body).convert(Format::OpenMetrics);
    let back = open_metrics(&written(&there, Format::OpenMetrics)).convert(Format::Text);
    let lines = |page: &crate::exposition::Page| -> Vec<String> {
        page.families()
            .flat_map(|family| family.lines().map(str::to_owned))
            .collect()
    };
    assert_eq!(lines(&back), lines(&text(body)));
}
