//! `landline store import` of what a real Prometheus has: its data directory as a SIGKILL leaves it, and
//! what it gives by remote read. What it told then Landline tells afterwards.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, SystemTime};

use it::client;
use it::need::need;
use it::program::{Launch, Program, command_in};
use it::prometheus::Prometheus;
use it::samples::{self, Series, point};
use it::wait;
use serde_json::{Value, json};
use wire::histogram::{Histogram, Span};
use wire::remote_write::{Encoder, Exemplar, HistogramSample, Points, Sample, Version};
use wire::snappy;

/// The staleness marker.
const STALE: u64 = 0x7ff0_0000_0000_0002;
/// So many minutes are sent, one at a time.
const MINUTES: i64 = 40;
const MINUTE_MS: i64 = 60_000;
/// The longest until a Prometheus has written blocks.
const WRITTEN: Duration = Duration::from_mins(2);
/// How long it may work after some of them.
const PAUSE: Duration = Duration::from_millis(300);
/// All series with all their samples.
const ALL: &str = "{__name__=~\".+\"}[2h]";

/// Points of series by their labels: numbers by their bits, histograms as they are told.
type Answer = BTreeMap<String, (Vec<(i64, u64)>, Value)>;

/// Histograms with numbers of twelve digits: a Prometheus 2.42 computes bounds of buckets another way
/// than later ones do.
fn rounded(told: &Value) -> Value {
    match told {
        Value::Array(parts) => parts.iter().map(rounded).collect(),
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields = fields.map(|(name, value)| (name.clone(), rounded(value)));
            Value::Object(fields.collect())
        }
        Value::String(number) => json!(format!("{:.11e}", samples::number(number))),
        other => other.clone(),
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_millis()).unwrap()
}

async fn ask(authority: &str, expression: &str, time_ms: i64) -> Answer {
    let found = samples::query(authority, expression, time_ms as f64 / 1_000.0).await;
    let series = |series: &Value| {
        let values = series["values"].as_array().map_or(&[][..], Vec::as_slice);
        let bits = |value: &Value| {
            let (time, number) = point(value);
            (time, number.to_bits())
        };
        let values = values.iter().map(bits).collect();
        let histograms = rounded(&series["histograms"]);
        (series["metric"].to_string(), (values, histograms))
    };
    found.as_array().unwrap().iter().map(series).collect()
}

/// Series by series and point by point.
fn assert_same(found: &Answer, told: &Answer) {
    assert!(found.keys().eq(told.keys()), "{:?}", found.keys());
    for (labels, (numbers, histograms)) in told {
        let (own, own_histograms) = &found[labels];
        let times = |points: &[(i64, u64)]| points.iter().map(|(time, _)| *time).collect();
        let (own_times, times): (Vec<i64>, Vec<i64>) = (times(own), times(numbers));
        assert_eq!(own_times, times, "{labels}");
        assert_eq!(own, numbers, "{labels}");
        let parts = |told: &Value| told.as_array().cloned().unwrap_or_default();
        let (own, told) = (parts(own_histograms), parts(histograms));
        assert_eq!(own.len(), told.len(), "{labels}");
        for (own, told) in own.iter().zip(&told) {
            assert_eq!(own, told, "{labels}");
        }
    }
}

async fn exemplars(authority: &str) -> Value {
    let path = "/api/v1/query_exemplars";
    let parameters = [("query", "traced"), ("start", "0"), ("end", "9999999999")];
    let path = samples::with_parameters(path, &parameters);
    let reply = client::get(&format!("http://{authority}{path}"), &[]).await;
    reply.unwrap().json()["data"].take()
}

async fn start(program: &str, more: &[&str]) -> Prometheus {
    let configuration = json!({
        "storage": {"tsdb": {"out_of_order_time_window": "30m"}, "exemplars": {"max_exemplars": 100}},
    });
    let arguments = [
        "--web.enable-remote-write-receiver",
        "--web.enable-admin-api",
        "--enable-feature=native-histograms,exemplar-storage",
        "--storage.tsdb.min-block-duration=2m",
        "--storage.tsdb.max-block-duration=4m",
    ];
    let arguments = [&arguments[..], more].concat();
    Prometheus::start_with(program, &configuration.to_string(), &arguments).await
}

fn histogram(time: i64, at: f64) -> HistogramSample {
    let span = |offset, length| Span { offset, length };
    HistogramSample {
        histogram: Histogram {
            schema: 2,
            zero_threshold: 0.001,
            zero_count: 1.0,
            count: 6.0 + 2.0 * at,
            sum: 1.5 * at,
            positive_spans: vec![span(-1, 1), span(2, 2)],
            negative_spans: vec![span(0, 1)],
            positive: vec![1.0 + at, 2.0, 1.0 + at],
            negative: vec![1.0],
            ..Histogram::default()
        },
        timestamp: time,
        start: 0,
    }
}

/// The samples of a minute, six of each series.
fn minute(begin: i64, minute: i64) -> Vec<Series> {
    let mut all = Vec::new();
    for job in ["a", "b", "c", "d", "e"] {
        let series = Series::new(&[("__name__", "load"), ("job", job)]);
        let series = (0..6).fold(series, |series, ten| {
            let at = minute * 6 + ten;
            let number = if job == "d" && minute % 4 == 3 && ten == 2 {
                f64::from_bits(STALE)
            } else {
                (at as f64 * 0.37).sin() * 1e3
            };
            series.at(begin + at * 10_000, number)
        });
        all.push(series);
    }
    let mut seconds = Series::new(&[("__name__", "seconds"), ("unit", "ü\"")]);
    let times = (0..6).map(|ten| minute * 6 + ten);
    let histograms = times.map(|at| histogram(begin + at * 10_000, at as f64));
    seconds.histograms.extend(histograms);
    all.push(seconds);
    if minute % 10 == 0 {
        // A series of its own each time, and of one sample.
        let name = minute.to_string();
        let short = Series::new(&[("__name__", "short"), ("minute", &name)]);
        all.push(short.at(begin + minute * MINUTE_MS, minute as f64));
    }
    all
}

/// A series with an exemplar.
async fn traced(authority: &str, time: i64) {
    let mut encoder = Encoder::new(Version::One);
    let sample = Sample {
        value: 4.0,
        timestamp: time,
        start: 0,
    };
    let exemplar = Exemplar {
        labels: vec![(b"trace_id", b"abc")],
        value: 0.25,
        timestamp: time,
    };
    let points = Points {
        samples: &[sample],
        exemplars: &[exemplar],
        ..Points::default()
    };
    encoder.series([(&b"__name__"[..], &b"traced"[..])], &points);
    let body = snappy::pack(&encoder.finish()).unwrap();
    let mut connection = client::Connection::open(authority).await.unwrap();
    let headers = [
        ("content-encoding", "snappy"),
        ("content-type", "application/x-protobuf"),
    ];
    let path = ("POST", samples::WRITE);
    let reply = connection.send_bytes(path, &headers, body.into()).await;
    assert_eq!(reply.unwrap().status, 204);
}

/// Whether a data directory has so many blocks, a checkpoint, and a log of late samples.
fn is_ready(data: &Path) -> bool {
    let names = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    };
    let is_block = |name: &&String| data.join(name).join("meta.json").is_file();
    let blocks = names(data).iter().filter(is_block).count();
    let wal = names(&data.join("wal"));
    let number = |name: &String| name.strip_prefix("checkpoint.")?.parse::<u64>().ok();
    let is_checkpoint = |name: &String| number(name).is_some();
    blocks >= 2 && wal.iter().any(is_checkpoint) && !names(&data.join("wbl")).is_empty()
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

fn store(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = command_in(folder, &[&["store"], arguments].concat());
    assert_eq!(output.status.code(), Some(code), "{}", text(&output));
    text(&output)
}

/// Everything that a Prometheus can have in its files: blocks, a checkpoint and a log behind it, late
/// samples, deleted ones in both, histograms, staleness markers, exemplars.
async fn filled(prometheus: &Prometheus, begin: i64) -> i64 {
    let there = prometheus.authority();
    for number in 0..MINUTES {
        samples::write(&there, Version::One, &minute(begin, number)).await;
        if number % 2 == 1 {
            // It writes blocks and cuts its log when a write has shown it that there is enough.
            tokio::time::sleep(PAUSE).await;
        }
        if number % 10 == 5 {
            let late = Series::new(&[("__name__", "load"), ("job", "a")]);
            let time = begin + number * MINUTE_MS - 3 * MINUTE_MS + 5;
            samples::write(&there, Version::One, &[late.at(time, -0.5)]).await;
        }
    }
    let data = prometheus.data();
    wait::within(WRITTEN, async || is_ready(&data).then_some(())).await;
    let end = begin + MINUTES * MINUTE_MS;
    traced(&there, end - 10_000).await;
    for (job, from, to) in [("b", 5, 7), ("c", 36, 39), ("b", 38, 39)] {
        let selector = format!("load{{job=\"{job}\"}}");
        let [from, to] = [from, to].map(|at| ((begin + at * MINUTE_MS) / 1_000).to_string());
        let parameters = [
            ("match[]", selector.as_str()),
            ("start", &from),
            ("end", &to),
        ];
        let path = samples::with_parameters("/api/v1/admin/tsdb/delete_series", &parameters);
        let reply = client::send("POST", &prometheus.url(&path), &[], "").await;
        assert_eq!(reply.unwrap().status, 204);
    }
    end
}

#[tokio::test]
async fn a_killed_prometheus_is_brought_in_as_a_whole() {
    let Some(program) = need("PROMETHEUS") else {
        return;
    };
    let mut prometheus = start(&program, &[]).await;
    let begin = (now() - MINUTES * MINUTE_MS) / 10_000 * 10_000;
    let end = filled(&prometheus, begin).await;
    assert!(is_ready(&prometheus.data()), "{}", prometheus.log());
    let there = prometheus.authority();
    let told = ask(&there, ALL, end).await;
    let traces = exemplars(&there).await;
    assert_eq!(traces[0]["exemplars"][0]["labels"]["trace_id"], "abc");
    prometheus.kill();
    let launch = Launch::new(&samples::monitor(json!({})));
    let folder = launch.directory.path().to_owned();
    let data = prometheus.data();
    let data = data.to_str().unwrap();
    let dry = store(&folder, &["import", data, "--dry-run"], 0);
    assert!(dry.contains("the log  20"), "{dry}");
    let said = store(&folder, &["import", data], 0);
    assert!(said.contains("All is in"), "{said}");
    assert!(said.contains("were deleted there"), "{said}");
    let again = store(&folder, &["import", data], 0);
    assert!(!again.contains("the log  "), "{again}");
    store(&folder, &["verify"], 0);
    let landline = launch.start().await;
    let here = landline.main.to_string();
    let found = ask(&here, ALL, end).await;
    assert_same(&found, &told);
    let samples: usize = told.values().map(|(numbers, _)| numbers.len()).sum();
    assert!(
        samples > 1_000 && told.len() == 11,
        "{samples}: {:?}",
        told.keys()
    );
    assert_eq!(exemplars(&here).await, traces);
}

/// A log whose last write is not whole, and one with a wrong bit in its middle.
#[tokio::test]
async fn a_log_is_brought_in_up_to_where_it_is_right() {
    let Some(program) = need("PROMETHEUS") else {
        return;
    };
    let mut prometheus = start(&program, &[]).await;
    let begin = (now() - 2 * MINUTE_MS) / 10_000 * 10_000;
    for number in 0..2 {
        samples::write(
            &prometheus.authority(),
            Version::One,
            &minute(begin, number),
        )
        .await;
    }
    prometheus.kill();
    let segment = prometheus.data().join("wal/00000000");
    let whole = std::fs::read(&segment).unwrap();
    let data = prometheus.data();
    let data = data.to_str().unwrap();
    let launch = Launch::new(&samples::monitor(json!({})));
    let folder = launch.directory.path();
    std::fs::write(&segment, &whole[..whole.len() - 3]).unwrap();
    let said = store(folder, &["import", data, "--store", "torn"], 0);
    assert!(said.contains("ends in a write that was cut off"), "{said}");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    std::fs::write(&segment, &flipped).unwrap();
    std::fs::write(prometheus.data().join("wal/00000001"), &whole).unwrap();
    let said = store(folder, &["import", data, "--store", "flipped"], 1);
    assert!(
        said.contains("DAMAGED") && said.contains("wal/00000000"),
        "{said}"
    );
    let inspect = ["inspect", "--json", "--store"];
    let samples = |name: &str| -> u64 {
        let output = command_in(folder, &[&["store"], &inspect[..], &[name]].concat());
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        found["samples"].as_u64().unwrap()
    };
    let (torn, flipped) = (samples("torn"), samples("flipped"));
    assert!((36..73).contains(&torn), "{torn}");
    assert!(flipped <= torn, "{flipped}");
}

#[tokio::test]
async fn what_a_prometheus_gives_by_remote_read_is_brought_in() {
    let Some(program) = need("PROMETHEUS") else {
        return;
    };
    // Two hours have more than that, so that they are asked for in parts.
    let prometheus = start(&program, &["--storage.remote.read-sample-limit=700"]).await;
    let begin = (now() - MINUTES * MINUTE_MS) / 10_000 * 10_000;
    let there = prometheus.authority();
    for number in 0..MINUTES {
        samples::write(&there, Version::One, &minute(begin, number)).await;
    }
    let end = begin + MINUTES * MINUTE_MS;
    let mut told = ask(&there, ALL, end).await;
    // A Prometheus 2.42 gives numbers only.
    told.retain(|_, (_, histograms)| histograms.is_null());
    let launch = Launch::new(&samples::monitor(json!({})));
    let folder = launch.directory.path().to_owned();
    let url = prometheus.url("/api/v1/read");
    let read = [
        "import",
        "--remote-read",
        &url,
        "--from",
        "12h",
        "--to",
        "10m",
    ];
    let said = store(&folder, &read, 0);
    assert!(said.contains("samples are in"), "{said}");
    let read = ["import", "--remote-read", &url, "--from", "12h"];
    let said = store(&folder, &read, 0);
    assert!(said.contains("stretches came in before"), "{said}");
    let one = ["--match", "load{job=~\"a|b\"}", "--store", "one"];
    store(&folder, &[&read[..], &one].concat(), 0);
    let inspect = ["store", "inspect", "--json", "--store", "one"];
    let found: Value = serde_json::from_slice(&command_in(&folder, &inspect).stdout).unwrap();
    assert_eq!(found["series"], 2);
    let away = [
        "import",
        "--remote-read",
        "http://u:p@127.0.0.1:1/",
        "--from",
        "1h",
    ];
    assert!(store(&folder, &away, 1).contains("--login-file"));
    let landline = launch.start().await;
    let found = ask(&landline.main.to_string(), ALL, end).await;
    assert_same(&found, &told);
    assert!(told.len() == 9, "{:?}", told.keys());
    from_one_to_the_other(&landline, end).await;
}

/// Ours gives what it has to another of ours, with histograms.
async fn from_one_to_the_other(first: &Program, end: i64) {
    let there = first.main.to_string();
    let mut seconds = Series::new(&[("__name__", "seconds")]);
    let times = (0..9).map(|at| end - 60_000 + at * 5_000);
    seconds
        .histograms
        .extend(times.map(|time| histogram(time, 7.0)));
    samples::write(&there, Version::Two, &[seconds]).await;
    let told = ask(&there, ALL, end).await;
    let launch = Launch::new(&samples::monitor(json!({})));
    let url = format!("http://{there}/api/v1/read");
    let read = ["import", "--remote-read", &url, "--from", "2h"];
    store(launch.directory.path(), &read, 0);
    let second = launch.start().await;
    assert_same(&ask(&second.main.to_string(), ALL, end).await, &told);
    assert_eq!(told.len(), 10, "{:?}", told.keys());
}
