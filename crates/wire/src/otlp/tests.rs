//! Requests by their schema, and names by the tables of Prometheus.

use std::fmt::Write as _;

use super::{Kind, Metric, Point, Visitor, escape_label, metric_name, read};
use crate::protobuf::{Malformed, Writer};

/// Notes what it is told, a line each.
#[derive(Debug, Default)]
struct Notes(String);

impl Visitor for Notes {
    fn resource(&mut self, attributes: &[super::Attribute<'_>]) {
        writeln!(self.0, "resource {attributes:?}").unwrap();
    }

    fn metric(&mut self, metric: &Metric<'_>) {
        let Metric {
            name,
            unit,
            kind,
            is_delta,
            ..
        } = metric;
        writeln!(self.0, "metric {name} {unit} {kind:?} {is_delta}").unwrap();
    }

    fn point(&mut self, point: &Point<'_>) {
        let Point {
            timestamp,
            start,
            value,
            attributes,
            ..
        } = point;
        writeln!(self.0, "point {timestamp} {start} {value:?} {attributes:?}").unwrap();
        for exemplar in &point.exemplars {
            writeln!(
                self.0,
                "exemplar {} {:?}",
                exemplar.value, exemplar.trace_id
            )
            .unwrap();
        }
    }

    fn resource_end(&mut self) {
        self.0.push_str("end\n");
    }
}

fn attribute(out: &mut Writer, number: u32, name: &str, value: impl FnOnce(&mut Writer)) {
    out.message(number, |out| {
        out.text(1, name);
        out.message(2, value);
    });
}

/// A request with one metric, whose data has the given field number.
fn request(field: u32, data: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::default();
    out.message(1, |out| {
        out.message(2, |out| {
            out.message(2, |out| {
                out.text(1, "a.b");
                out.text(3, "ms");
                out.message(field, data);
            });
        });
        // The resource may come last.
        out.message(1, |out| {
            attribute(out, 1, "service.name", |out| out.text(1, "shop"));
        });
    });
    out.finish()
}

fn noted(message: &[u8]) -> String {
    let mut notes = Notes::default();
    read(message, &mut notes).unwrap();
    notes.0
}

#[test]
fn otlp_reads_numbers() {
    let message = request(7, |out| {
        out.message(1, |out| {
            attribute(out, 7, "k", |out| out.text(1, "v"));
            out.fixed64(2, 5_000_000);
            out.fixed64(3, 7_900_000);
            out.fixed64(6, (-3_i64).cast_unsigned());
            out.message(5, |out| {
                out.double(3, 1.5);
                out.bytes(5, &[1, 2]);
            });
        });
        out.unsigned(2, 1);
        out.unsigned(3, 1);
    });
    let expected = "resource [(\"service.name\", \"shop\")]\n\
        metric a.b ms Sum { is_monotonic: true } true\n\
        point 7 5 Number(-3.0) [(\"k\", \"v\")]\n\
        exemplar 1.5 [1, 2]\n\
        end\n";
    assert_eq!(noted(&message), expected);
}

#[test]
fn otlp_reads_histograms_and_summaries() {
    let message = request(9, |out| {
        out.message(1, |out| {
            out.fixed64(4, 3);
            out.double(5, 4.5);
            out.message(6, |out| {
                out.raw(&1_u64.to_le_bytes());
                out.raw(&2_u64.to_le_bytes());
            });
            out.doubles(7, &[0.5]);
        });
        out.unsigned(2, 2);
    });
    let expected = "Histogram { count: 3, sum: Some(4.5), bounds: [0.5], counts: [1, 2] }";
    assert!(noted(&message).contains(expected), "{}", noted(&message));
    let message = request(10, |out| {
        out.message(1, |out| {
            out.fixed64(4, 6);
            out.zigzag(6, -1);
            out.fixed64(7, 3);
            out.message(8, |out| {
                out.zigzag(1, 4);
                out.varints(2, [1, 2].into_iter());
            });
        });
    });
    let expected = "Exponential { scale: -1, count: 6, sum: None, zero_threshold: 0.0, \
        zero_count: 3, positive: (4, [1, 2]), negative: (0, []) }";
    assert!(noted(&message).contains(expected), "{}", noted(&message));
    let message = request(11, |out| {
        out.message(1, |out| {
            out.fixed64(4, 6);
            out.double(5, 2.0);
            out.message(6, |out| {
                out.double(1, 0.5);
                out.double(2, 7.0);
            });
        });
    });
    let expected = "Summary { count: 6, sum: 2.0, quantiles: [(0.5, 7.0)] }";
    assert!(noted(&message).contains(expected), "{}", noted(&message));
}

#[test]
fn otlp_writes_values_that_are_no_text_as_json() {
    let mut out = Writer::default();
    let mut add = |name: &str, value: &dyn Fn(&mut Writer)| {
        attribute(&mut out, 1, name, |out| value(out));
    };
    add("bool", &|out| out.unsigned_always(2, 0));
    add("int", &|out| out.signed(3, -7));
    add("double", &|out| out.double(4, 1.5));
    add("infinite", &|out| out.double(4, f64::INFINITY));
    add("list", &|out| {
        out.message(5, |out| {
            out.message(1, |out| out.text(1, "a"));
            out.message(1, |out| out.unsigned_always(2, 1));
        });
    });
    add("object", &|out| {
        out.message(6, |out| attribute(out, 1, "k", |out| out.text(1, "v")));
    });
    add("bytes", &|out| out.bytes(7, &[0, 255]));
    add("nothing", &|_| {});
    let resource = out.finish();
    let mut out = Writer::default();
    out.message(1, |out| out.message(1, |out| out.raw(&resource)));
    let expected = r#"resource [("bool", "false"), ("int", "-7"), ("double", "1.5"), ("infinite", "inf"), ("list", "[\"a\",true]"), ("object", "{\"k\":\"v\"}"), ("bytes", "AP8="), ("nothing", "")]"#;
    assert_eq!(noted(&out.finish()), format!("{expected}\nend\n"));
}

/// The same in JSON as the other tests have in protobuf.
const DOCUMENT: &str = r#"{"resourceMetrics": [{
    "resource": {"attributes": [
        {"key": "service.name", "value": {"stringValue": "shop"}},
        {"key": "int", "value": {"intValue": "-7"}},
        {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "a"}, {"boolValue": true}]}}},
        {"key": "object", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"doubleValue": 1.5}}]}}},
        {"key": "nothing", "value": {}}
    ]},
    "scopeMetrics": [{"scope": {"name": "x"}, "metrics": [
        {"name": "a.b", "unit": "ms", "sum": {"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [
            {"asInt": "-3", "startTimeUnixNano": "5000000", "timeUnixNano": "7900000",
             "attributes": [{"key": "k", "value": {"stringValue": "v"}}],
             "exemplars": [{"asDouble": 1.5, "traceId": "01fF"}]}
        ]}},
        {"name": "h", "histogram": {"aggregationTemporality": 2, "dataPoints": [
            {"count": "3", "sum": 4.5, "explicitBounds": [0.5], "bucketCounts": ["1", 2]}
        ]}},
        {"name": "e", "exponentialHistogram": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA", "dataPoints": [
            {"count": 6, "scale": -1, "zeroCount": "3", "positive": {"offset": 4, "bucketCounts": ["1", "2"]}}
        ]}},
        {"name": "s", "summary": {"dataPoints": [
            {"count": "6", "sum": 2, "quantileValues": [{"quantile": 0.5, "value": "NaN"}]}
        ]}}
    ]}]
}]}"#;

#[test]
fn otlp_reads_json() {
    let mut notes = Notes::default();
    super::read_json(DOCUMENT.as_bytes(), &mut notes).unwrap();
    let expected = r#"resource [("service.name", "shop"), ("int", "-7"), ("list", "[\"a\",true]"), ("object", "{\"k\":1.5}"), ("nothing", "")]
metric a.b ms Sum { is_monotonic: true } true
point 7 5 Number(-3.0) [("k", "v")]
exemplar 1.5 [1, 255]
metric h  Histogram false
point 0 0 Histogram { count: 3, sum: Some(4.5), bounds: [0.5], counts: [1, 2] } []
metric e  Exponential true
point 0 0 Exponential { scale: -1, count: 6, sum: None, zero_threshold: 0.0, zero_count: 3, positive: (4, [1, 2]), negative: (0, []) } []
metric s  Summary false
point 0 0 Summary { count: 6, sum: 2.0, quantiles: [(0.5, NaN)] } []
end
"#;
    assert_eq!(notes.0, expected);
}

#[test]
fn otlp_refuses_json_that_says_something_else() {
    let point = |point: &str| {
        let data = format!("{{\"gauge\": {{\"dataPoints\": [{point}]}}}}");
        format!("{{\"resourceMetrics\": [{{\"scopeMetrics\": [{{\"metrics\": [{data}]}}]}}]}}")
    };
    let read = |document: &str| super::read_json(document.as_bytes(), &mut Notes::default());
    assert!(read(&point("{}")).is_ok());
    for wrong in [
        "nonsense".to_owned(),
        r#"{"resourceMetrics": 5}"#.to_owned(),
        point(r#"{"timeUnixNano": "soon"}"#),
        point(r#"{"asDouble": "much"}"#),
        point(r#"{"asInt": "1.5"}"#),
        point(r#"{"exemplars": [{"traceId": "abc"}]}"#),
    ] {
        assert!(read(&wrong).is_err(), "{wrong}");
    }
    assert!(read(&"[".repeat(100_000)).is_err(), "depth is bounded");
}

#[test]
fn otlp_bounds_what_is_nested() {
    let mut value = Writer::default();
    value.text(1, "deep");
    for _ in 0..20 {
        let inner = value.finish();
        value = Writer::default();
        value.message(5, |out| out.bytes(1, &inner));
    }
    let mut out = Writer::default();
    out.message(1, |out| {
        out.message(1, |out| {
            attribute(out, 1, "a", |out| out.raw(value.as_bytes()));
        });
    });
    let error = read(&out.finish(), &mut Notes::default()).unwrap_err();
    assert!(matches!(error, Malformed::Meaning(_)), "{error}");
}

#[test]
fn otlp_names_are_those_of_prometheus() {
    let gauge = Kind::Gauge;
    let counter = Kind::Sum { is_monotonic: true };
    let cases = [
        (
            "http.server.duration",
            "ms",
            Kind::Histogram,
            "http_server_duration_milliseconds",
        ),
        (
            "system.disk.io",
            "By",
            counter,
            "system_disk_io_bytes_total",
        ),
        ("foo.total.bar", "", counter, "foo_bar_total"),
        ("requests_total", "1", counter, "requests_total"),
        ("hit", "1", gauge, "hit_ratio"),
        ("hit.ratio", "1", gauge, "hit_ratio"),
        ("speed", "m/s", gauge, "speed_meters_per_second"),
        ("memory.bytes", "By", gauge, "memory_bytes"),
        ("packets", "{packet}", gauge, "packets"),
        ("packets", "{packet}/s", gauge, "packets_per_second"),
        ("cpu", "%", gauge, "cpu_percent"),
        ("2xx", "", counter, "_2xx_total"),
        ("a::b", "", gauge, "a::b"),
        ("über.x", "furlong", gauge, "ber_x_furlong"),
    ];
    for (name, unit, kind, expected) in cases {
        let metric = Metric {
            name,
            description: "",
            unit,
            kind,
            is_delta: false,
        };
        assert_eq!(metric_name(&metric), expected);
    }
}

#[test]
fn otlp_label_names_are_those_of_prometheus() {
    let cases = [
        ("http.method", "http_method"),
        ("a-b c", "a_b_c"),
        ("1a", "key_1a"),
        ("_a", "key_a"),
        ("__a", "__a"),
    ];
    for (name, expected) in cases {
        assert_eq!(escape_label(name), expected);
    }
}

#[test]
fn otlp_answers_by_the_schema() {
    assert_eq!(super::partial_success(0, ""), b"");
    assert_eq!(
        super::partial_success(3, "no"),
        b"\x0a\x06\x08\x03\x12\x02no"
    );
    assert_eq!(super::error(3, "no"), b"\x08\x03\x12\x02no");
    assert_eq!(super::partial_success_json(0, ""), b"{}");
    let partial = super::partial_success_json(3, "no");
    let expected = r#"{"partialSuccess":{"errorMessage":"no","rejectedDataPoints":"3"}}"#;
    assert_eq!(String::from_utf8(partial).unwrap(), expected);
}
