//! `landline-fuzz [--seconds N] [--seed N] [target]`: feeds mutated bytes to the parsers of foreign
//! input, N seconds each (10), and ends with 1 when one of them panics or takes too long; beyond a
//! limit of memory it is aborted. The table below is all there is to add to.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for developers: it reads its arguments and seeds, and prints"
)]

use std::process::ExitCode;
use std::time::Duration;

use it::fuzz::{Target, run_all};
use rustix::process::{Resource, Rlimit, setrlimit};
use wire::exposition::Kind;
use wire::histogram::{Histogram, Span};
use wire::protobuf::Writer;
use wire::remote_read::{Comparison, Matcher, Query};
use wire::remote_write::{Encoder, Exemplar, HistogramSample, Metadata, Points, Sample, Version};

/// Address space of this process.
const MEMORY_BYTES_MAX: u64 = 4 << 30;
/// Seconds when nothing else is said.
const SECONDS: u64 = 10;

const OPEN_METRICS: &str = "# HELP a A.\n# TYPE a counter\na_total{b=\"c\"} 1 # {t=\"u\"} 1 1.5\n\
    # TYPE h histogram\n# UNIT h \nh_bucket{le=\"+Inf\"} 2 1.5\nh_count 2\nh_sum 3\n# EOF\n";
const JSON_METRICS: &str = r#"{"metrics":{"a":{"type":"gauge","help":"A \"b\"","data":[{"labels":
    {"c":"d\n"},"value":1},{"value":"NaN"}]}},"stats":{"e":{"f":{"type":"counter","data":[]}}}}"#;

const S3_BODY: &str = "5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";
const S3_LINK: &str = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=k%2F20130524%2Fus-east-1%2Fs3%2F\
    aws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=0";
const S3_PARTS: &str = "<CompleteMultipartUpload><Part><ETag>&quot;aa&quot;</ETag><PartNumber>1</PartNumber>\
    </Part></CompleteMultipartUpload>";

const OTLP_JSON: &str = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"a","value":{"intValue":"1"}}]},
    "scopeMetrics":[{"metrics":[{"name":"a","unit":"By/s","sum":{"aggregationTemporality":2,"isMonotonic":true,
    "dataPoints":[{"asDouble":1,"timeUnixNano":"1","exemplars":[{"traceId":"ff"}]}]}},{"name":"b",
    "exponentialHistogram":{"dataPoints":[{"count":"2","scale":1,"positive":{"offset":1,"bucketCounts":["2"]}}]}}]}]}]}"#;

const HEADERS: &str = "record_format_version: 4\nclassification: org.clearlinux/crash/clr\nseverity: 3\n\
    machine_id: 0123456789abcdef0123456789abcdef\ncreation_timestamp: 1700000000\narch: x86_64\n\
    host_type: a|b|c\nbuild: \"12\"\nkernel_version: 6.1.0-13-amd64\npayload_format_version: 1\n\
    system_name: debian\nboard_name: a|b\ncpu_model: AMD EPYC\nbios_version: 1.0\n\
    event_id: 0123456789abcdef0123456789abcdef\nX-Telemetry-TID: a\n\n\
    Process: /usr/bin/app\nPID: 1\nSignal: 11\n\nBacktrace (TID 1):\n\
    #0 inner() - [/usr/bin/app] - app.c:6\n#1 ??? - [libc.so.6]\n#2 (no symbols)\n";
const JSON_RECORD: &str = r#"{"record_format_version":"4","classification":"a/b/c","severity":1,
    "machine_id":null,"creation_timestamp":"0","arch":"i686","host_type":"","build":"\"12\"",
    "kernel_version":"6.1.0","payload_format_version":"1","system_name":"x","board_name":"",
    "cpu_model":"Intel(R)","bios_version":"","event_id":"0123456789abcdef0123456789abcdef",
    "payload":"hello\u0000\n"}"#;

const PROMQL: [&str; 7] = [
    "sum by (a, \"b.c\") (rate({\"x\", a=~\"1|[^f]\", g!=\"b\"}[5m:30s] @ start() offset -1m)) > bool 2 ^ -1",
    "x * on(a) group_left(c) fill_right(Inf) topk(3, x) or ignoring() y unless x and z",
    "label_replace(x, 'a', '$1-${2}', 'b', '(.*)-\\\\d{2,3}') </ histogram_quantile(0.9, y)",
    "increase(x[step() * 2 + min_of(1m, range())] smoothed) - sum_over_time(vector(time())[1h:])",
    "info(x, {b=~\".+\"}) + histogram_quantiles(z, \"q\", 0.5, NaN, 0x1F, .5e-3) atan2 scalar(x)",
    "count_values(`v`, clamp(absent_over_time(x[2h1m]), 1, 2)) # comment\n% limit_ratio(-0.5, month())",
    "histogram_fraction(0, 1, rate(y[5m] anchored)) >/ avg_over_time(y[10m]) + irate(y[1m]) - delta(x[5m])",
];

/// Every parser under test: a name, inputs to start from, and a function that asserts.
fn targets() -> Vec<Target> {
    vec![
        Target {
            name: "exposition",
            seeds: vec![
                it::stubs::page(20).into_bytes(),
                OPEN_METRICS.as_bytes().to_vec(),
            ],
            run: wire::fuzz::exposition,
        },
        Target {
            name: "exposition_protobuf",
            seeds: vec![families()],
            run: wire::fuzz::exposition_protobuf,
        },
        Target {
            name: "json_metrics",
            seeds: vec![JSON_METRICS.as_bytes().to_vec()],
            run: wire::fuzz::json_metrics,
        },
        Target {
            name: "telemetrics",
            seeds: vec![HEADERS.as_bytes().to_vec(), JSON_RECORD.as_bytes().to_vec()],
            run: wire::fuzz::telemetrics,
        },
        Target {
            name: "s3",
            seeds: vec![S3_BODY.into(), S3_LINK.into(), S3_PARTS.into()],
            run: wire::fuzz::s3,
        },
        Target {
            name: "tar",
            seeds: vec![archive()],
            run: wire::fuzz::tar,
        },
        Target {
            name: "remote_write",
            seeds: remote_writes(),
            run: wire::fuzz::remote_write,
        },
        Target {
            name: "remote_read",
            seeds: vec![remote_read(), remote_writes().concat()],
            run: wire::fuzz::remote_read,
        },
        Target {
            name: "otlp",
            seeds: vec![otlp(), OTLP_JSON.into()],
            run: wire::fuzz::otlp,
        },
        Target {
            name: "promql",
            seeds: PROMQL.iter().map(|text| text.as_bytes().to_vec()).collect(),
            run: query::fuzz::promql,
        },
        Target {
            name: "configuration",
            seeds: it::configuration::all_examples(),
            run: observe::fuzz::fuzz,
        },
    ]
}

/// A request of each version, with everything that may be in one; the first also packed.
fn remote_writes() -> Vec<Vec<u8>> {
    let samples = [Sample {
        value: 1.5,
        timestamp: 1_700_000_000_000,
        start: 1_600_000_000_000,
    }];
    let histograms = [HistogramSample {
        histogram: Histogram {
            count: 3.0,
            positive_spans: vec![Span {
                offset: -1,
                length: 2,
            }],
            positive: vec![1.0, 2.0],
            ..Histogram::default()
        },
        timestamp: 1,
        start: 2,
    }];
    let labels: [(&[u8], &[u8]); 2] = [(b"__name__", b"up"), (b"job", b"node")];
    let exemplars = [Exemplar {
        labels: labels.to_vec(),
        value: 1.0,
        timestamp: 1,
    }];
    let metadata = Metadata {
        kind: Kind::Counter,
        help: b"Help.",
        unit: b"s",
    };
    let written = |version| {
        let mut encoder = Encoder::new(version);
        let points = Points {
            samples: &samples,
            histograms: &histograms,
            exemplars: &exemplars,
            metadata: Some(metadata),
        };
        encoder.series(labels, &points);
        encoder.metadata("up", &metadata);
        encoder.finish()
    };
    let (one, two) = (written(Version::One), written(Version::Two));
    let packed = wire::snappy::pack(&one).unwrap_or_default();
    vec![one, two, packed]
}

/// A request of remote read with two matchers.
fn remote_read() -> Vec<u8> {
    let matcher = |comparison| Matcher {
        comparison,
        name: "job",
        value: "node",
    };
    let query = Query {
        start: 1_600_000_000_000,
        end: 1_700_000_000_000,
        matchers: vec![matcher(Comparison::Equal), matcher(Comparison::NotMatches)],
    };
    let request = wire::remote_read::Request {
        queries: vec![query.clone(), query],
        takes_samples: true,
    };
    request.write()
}

/// A page in protobuf: a metric of each kind.
fn families() -> Vec<u8> {
    let mut out = Writer::default();
    for (kind, value) in [(0, 3), (1, 2), (2, 4), (3, 5), (4, 7)] {
        out.delimited(|out| {
            out.text(1, "a_total");
            out.unsigned(3, kind);
            out.message(4, |out| {
                out.message(1, |out| {
                    out.text(1, "a");
                    out.text(2, "b");
                });
                out.message(value, |out| {
                    out.unsigned(5, 2);
                    out.message(12, |out| out.unsigned(2, 2));
                    out.varints(13, [2, 1].into_iter());
                    out.message(3, |out| out.double(2, 1.0));
                });
            });
        });
    }
    out.finish()
}

/// Metrics of OpenTelemetry: a resource with a point of each kind.
fn otlp() -> Vec<u8> {
    let attribute = |out: &mut Writer, number| {
        out.message(number, |out| {
            out.text(1, "service.name");
            out.message(2, |out| {
                out.message(5, |out| out.message(1, |out| out.text(1, "shop")));
            });
        });
    };
    let mut out = Writer::default();
    out.message(1, |out| {
        out.message(1, |out| attribute(out, 1));
        out.message(2, |out| {
            for (kind, attributes) in [(5, 7), (7, 7), (9, 9), (10, 1), (11, 7)] {
                out.message(2, |out| {
                    out.text(1, "a.b");
                    out.text(3, "By/s");
                    out.message(kind, |out| {
                        out.message(1, |out| {
                            attribute(out, attributes);
                            out.fixed64(3, 1_700_000_000_000_000_000);
                            out.fixed64(4, 3);
                            out.doubles(7, &[1.0]);
                            out.message(8, |out| out.varints(2, [1, 2].into_iter()));
                        });
                        out.unsigned(2, 2);
                    });
                });
            }
        });
    });
    out.finish()
}

/// An archive with a long name, a folder and an end.
fn archive() -> Vec<u8> {
    let mut archive = wire::tar::head(&"n".repeat(200), 5, 1_700_000_000);
    archive.extend(b"hello");
    archive.resize(archive.len() + wire::tar::padding(5), 0);
    archive.extend(wire::tar::head("folder/", 0, 0));
    archive.extend(wire::tar::end());
    archive
}

/// Bounds the memory of this process, so that an input that asks for more ends it.
fn bound_memory() {
    let limit = Rlimit {
        current: Some(MEMORY_BYTES_MAX),
        maximum: Some(MEMORY_BYTES_MAX),
    };
    if let Err(error) = setrlimit(Resource::As, limit) {
        eprintln!("memory is not bounded: {error}");
    }
}

fn main() -> ExitCode {
    let Some(request) = read_arguments(std::env::args().skip(1)) else {
        eprintln!("usage: landline-fuzz [--seconds N] [--seed N] [target]");
        return ExitCode::from(64);
    };
    let mut targets = targets();
    targets.retain(|target| {
        request
            .target
            .as_ref()
            .is_none_or(|name| *name == target.name)
    });
    if targets.is_empty() {
        eprintln!("nothing to fuzz: no parser of this name is in the table");
        return ExitCode::from(64);
    }
    bound_memory();
    let is_well = run_all(&targets, request.seed, Duration::from_secs(request.seconds));
    ExitCode::from(u8::from(!is_well))
}

/// What was asked for.
struct Request {
    seconds: u64,
    seed: u64,
    target: Option<String>,
}

/// Reads the command line; nothing when it makes no sense.
fn read_arguments(mut words: impl Iterator<Item = String>) -> Option<Request> {
    let mut request = Request {
        seconds: SECONDS,
        // Another one each time, or every run would walk the same inputs; it is printed.
        seed: std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |since| since.as_secs()),
        target: None,
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => request.seconds = words.next()?.parse().ok()?,
            "--seed" => request.seed = words.next()?.parse().ok()?,
            flag if flag.starts_with('-') => return None,
            name => request.target = Some(name.to_owned()),
        }
    }
    Some(request)
}
