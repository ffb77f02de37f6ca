//! Joined, extended and repaired pages as they are written.

use bytes::Bytes;

use super::{open_metrics, summary, text, written};
use crate::exposition::{Format, Kind, Page, merge};

#[track_caller]
fn joins(pages: &[&str], expected: &str) -> Page {
    let merged = merge(pages.iter().map(|body| text(body)).collect());
    assert_eq!(written(&merged, Format::Text), expected);
    assert_eq!(
        summary(&text(expected)),
        summary(&merged),
        "and reads back the same"
    );
    merged
}

#[test]
fn untouched_pages_come_back_as_they_were() {
    for body in [
        "",
        "# nothing\n",
        "a 1",
        "# x\n\n# TYPE a gauge\na   1\n# y\nb 1\nc 1\nb 2\n",
    ] {
        let bytes = Bytes::copy_from_slice(body.as_bytes());
        let page = Page::parse(
            bytes.clone(),
            Format::Text,
            crate::exposition::Limits::default(),
        );
        let chunks = page.map(|page| merge(vec![page]).render(Format::Text));
        let chunks = chunks.expect("valid");
        assert_eq!(chunks, std::slice::from_ref(&bytes));
        assert!(
            body.is_empty() || chunks[0].as_ptr() == bytes.as_ptr(),
            "not a copy"
        );
    }
    let body = "# TYPE a counter\na_total 1 # {t=\"x\"} 1\n# EOF\n";
    assert_eq!(written(&open_metrics(body), Format::OpenMetrics), body);
}

#[test]
fn big_parts_are_not_copied() {
    let lines: Vec<String> = (0..200)
        .map(|at| format!("a{{at=\"{at}\"}} {at}\n"))
        .collect();
    let lines = lines.concat();
    let first = Bytes::from(format!("# TYPE a gauge\n{lines}"));
    let second = Bytes::from(lines.replace("a{", "b{"));
    let parse = |body: &Bytes| {
        Page::parse(
            body.clone(),
            Format::Text,
            crate::exposition::Limits::default(),
        )
    };
    let pages = [&first, &second, &first].map(|body| parse(body).expect("valid"));
    let [one, two, three] = pages;
    let chunks = merge(vec![one.clone(), two.clone()]).render(Format::Text);
    let pointers: Vec<_> = chunks.iter().map(|chunk| chunk.as_ptr()).collect();
    assert_eq!(pointers, [first.as_ptr(), second.as_ptr()]);
    let joined = merge(vec![one, two, three]);
    let chunks = joined.render(Format::Text);
    assert_eq!(joined.series(), 600);
    assert_eq!(chunks.len(), 4, "head, two runs, the other family");
    assert_eq!(
        chunks[1].as_ptr(),
        first[b"# TYPE a gauge\n".len()..].as_ptr()
    );
}

#[test]
fn families_are_joined_under_the_first_head() {
    let merged = joins(
        &[
            "# HELP a First.\n# TYPE a gauge\na{p=\"1\"} 1\n# TYPE b counter\nb 1",
            "# HELP a Second.\n# TYPE a gauge\na{p=\"2\"} 2\nc 1\n",
            "b 3\na 4\n",
        ],
        "# HELP a First.\n# TYPE a gauge\na{p=\"1\"} 1\na{p=\"2\"} 2\na 4\n# TYPE b counter\nb 1\nb 3\nc 1\n",
    );
    assert_eq!(
        (
            merged.conflicts(),
            merged.duplicate_families(),
            merged.series()
        ),
        (0, 0, 6)
    );
    assert_eq!(merged.family("a").map(|family| family.series()), Some(3));
}

#[test]
fn missing_heads_come_from_later_pages() {
    joins(
        &["a 1\n", "# HELP a Late.\n# TYPE a gauge\na 2\n"],
        "# HELP a Late.\n# TYPE a gauge\na 1\na 2\n",
    );
    joins(
        &["# TYPE s summary\ns_sum 1\n", "s_sum 2\ns_count 2\n"],
        "# TYPE s summary\ns_sum 1\ns_sum 2\ns_count 2\n",
    );
    joins(
        &["# HELP s x\ns_sum 1\n", "# TYPE s summary\ns_sum 2\n"],
        "# HELP s x\n# TYPE s summary\ns_sum 2\ns_sum 1\n",
    );
}

#[test]
fn the_first_of_two_types_stays() {
    let merged = joins(
        &["# TYPE a gauge\na 1\n", "# TYPE a counter\na 2\n"],
        "# TYPE a gauge\na 1\na 2\n",
    );
    assert_eq!(merged.conflicts(), 1);
    let merged = joins(
        &[
            "# TYPE a gauge\na 1\nb 1\n",
            "# TYPE a summary\na 2\na_sum 3\na_count 4\n",
        ],
        "# TYPE a gauge\na 1\na 2\nb 1\na_sum 3\na_count 4\n",
    );
    assert_eq!(merged.conflicts(), 1);
    let merged = joins(
        &[
            "# TYPE a summary\na_sum 1\n",
            "# TYPE a histogram\na_bucket 2\na_sum 3\n",
        ],
        "# TYPE a summary\na_sum 1\na_sum 3\na_bucket 2\n",
    );
    assert_eq!(merged.conflicts(), 1);
}

#[test]
fn repairs_happen_only_where_needed() {
    for (body, expected) in [
        ("a 1\n# TYPE a gauge\n", "# TYPE a gauge\na 1\n"),
        ("# TYPE  a   gauge  \na 1\n", "# TYPE a gauge\na 1\n"),
        (
            "# HELP a x \\d\n# TYPE a gauge\na 1\n# TYPE a gauge\n# note\na 2",
            "# HELP a x \\\\d\n# TYPE a gauge\na 1\na 2\n",
        ),
    ] {
        assert_eq!(written(&text(body), Format::Text), expected, "{body}");
    }
}

#[test]
fn no_page_and_mixed_formats() {
    assert_eq!(written(&merge(Vec::new()), Format::Text), "");
    assert_eq!(
        written(&Page::empty(Format::Text), Format::OpenMetrics),
        "# EOF\n"
    );
    let mixed = || {
        (
            text("# TYPE a_total counter\na_total 1 1500\n"),
            open_metrics("# TYPE a counter\na_total 2 1.5 # {} 1\n# EOF\n"),
        )
    };
    let (one, two) = mixed();
    let expected = "# TYPE a_total counter\na_total 1 1500\na_total 2 1500\n";
    assert_eq!(written(&merge(vec![one, two]), Format::Text), expected);
    let (one, two) = mixed();
    let expected = "# TYPE a counter\na_total 2 1.5 # {} 1\na_total 1 1.5\n# EOF\n";
    assert_eq!(
        written(&merge(vec![two, one]), Format::OpenMetrics),
        expected
    );
}

#[test]
fn pushed_families_are_escaped_and_made_fit() {
    let mut page = text("up 1");
    let name = "quote \" backslash \\ newline \n end";
    page.push_gauge(
        "whatsapp_cluster_health",
        "Line one\nand \\ \"two\".",
        &[(vec![("customer", "441"), ("customer_name", name)], 1.0)],
    );
    page.push_counter(
        "polls",
        "",
        &[([("a-b", "1"), ("a_b", "2"), ("9", "")], f64::NAN)],
    );
    page.push_gauge("2 up", "", &[([], f64::INFINITY), ([], 1e300)]);
    let expected = concat!(
        "up 1\n# HELP whatsapp_cluster_health Line one\\nand \\\\ \"two\".\n",
        "# TYPE whatsapp_cluster_health gauge\n",
        "whatsapp_cluster_health{customer=\"441\",customer_name=\"quote \\\" backslash \\\\ newline \\n end\"} 1\n",
        "# TYPE polls_total counter\npolls_total{a_b=\"1\",_9=\"\"} NaN\n",
        "# TYPE _2_up gauge\n_2_up +Inf\n_2_up 1e300\n",
    );
    assert_eq!(written(&page, Format::Text), expected);
    assert_eq!(text(expected).series(), 5);

    let mut page = open_metrics("# TYPE polls counter\npolls_total 1\n# EOF\n");
    page.push_counter("polls_total", "Polls \"of\" all.", &[([("a", "b")], 2.0)]);
    let expected = "# HELP polls Polls \\\"of\\\" all.\n# TYPE polls counter\npolls_total 1\npolls_total{a=\"b\"} 2\n# EOF\n";
    assert_eq!(written(&page, Format::OpenMetrics), expected);
    assert_eq!(
        page.family("polls").map(|family| family.kind()),
        Some(Kind::Counter)
    );
}
