//! Formats over HTTP.

use crate::exposition::{Format, negotiate};

#[test]
fn accept_headers() {
    let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let prometheus_3 = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    for (accept, expected) in [
        (None, Format::Text),
        (Some(""), Format::Text),
        (Some("*/*"), Format::Text),
        (Some("text/html, */*;q=0.1"), Format::Text),
        (Some(prometheus_2), Format::OpenMetrics),
        (Some(prometheus_3), Format::OpenMetrics),
        (Some("application/openmetrics-text"), Format::OpenMetrics),
        (
            Some("Application/OpenMetrics-Text ; Q=0.001"),
            Format::OpenMetrics,
        ),
        (Some("application/openmetrics-text;q=0"), Format::Text),
        (
            Some("application/openmetrics-text;q=0.5, text/plain;q=0.5"),
            Format::Text,
        ),
        (
            Some("application/openmetrics-text;q=0.5, */*;q=0.6"),
            Format::Text,
        ),
        (
            Some("application/openmetrics-text;q=0.5, text/plain"),
            Format::Text,
        ),
        (
            Some("application/openmetrics-text;version=2.0.0"),
            Format::Text,
        ),
        (
            Some("application/openmetrics-text;q=x, text/plain;q=0.1"),
            Format::Text,
        ),
        (Some("application/vnd.google.protobuf"), Format::Text),
    ] {
        assert_eq!(negotiate(accept), expected, "{accept:?}");
    }
}

#[test]
fn content_types() {
    for (value, expected) in [
        (
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::OpenMetrics,
        ),
        ("Application/OpenMetrics-Text", Format::OpenMetrics),
        ("text/plain; version=0.0.4", Format::Text),
        ("text/html", Format::Text),
        ("", Format::Text),
    ] {
        assert_eq!(Format::from_content_type(value), expected, "{value}");
    }
    for format in [Format::Text, Format::OpenMetrics] {
        assert_eq!(Format::from_content_type(format.content_type()), format);
    }
}
