//! A real Prometheus at every side of the monitor: it sends to it, reads back from it, federates from
//! it, is scraped by it; and promtool asks it. Everybody says the same.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, SystemTime};

use it::client::Connection;
use it::need::need;
use it::program::{Launch, Program};
use it::prometheus::{Prometheus, free_port};
use it::samples::{self, Series, point};
use it::stubs::page;
use it::stubs::pages::Pages;
use it::wait;
use serde_json::{Value, json};
use wire::remote_read;
use wire::remote_write::Version;
use wire::tsdb::chunk::Sample;

/// The longest until samples have come where they are sent, or fetched.
const ARRIVED: Duration = Duration::from_secs(40);

/// Points of series by their labels.
type Answer = BTreeMap<String, Vec<(i64, u64)>>;

/// Seconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_secs_f64()
}

/// What somebody answers: the points of each series, numbers by their bits.
async fn ask(authority: &str, expression: &str, time: f64) -> Answer {
    let result = samples::query(authority, expression, time).await;
    let result = result.as_array().unwrap();
    let bits = |value: &Value| {
        let (time, number) = point(value);
        (time, number.to_bits())
    };
    let points = |series: &Value| match series["values"].as_array() {
        Some(points) => points.iter().map(bits).collect(),
        None => vec![bits(&series["value"])],
    };
    let series = |series: &Value| (series["metric"].to_string(), points(series));
    result.iter().map(series).collect()
}

/// A time until which everything has come.
async fn settled(authority: &str, job: &str) -> f64 {
    let comes = async |expression: String| {
        wait::until("samples have come", ARRIVED, async || {
            let answer = ask(authority, &expression, now()).await;
            (!answer.is_empty()).then_some(())
        })
        .await;
    };
    comes(format!("count_over_time(up{{job=\"{job}\"}}[1h]) > 4")).await;
    let time = now();
    comes(format!("timestamp(up{{job=\"{job}\"}}) > {time} + 1")).await;
    time
}

/// What a Prometheus scrapes and sends is here as it is there, and another one that has nothing of its
/// own reads it back.
#[tokio::test]
async fn a_prometheus_sends_and_another_reads_back() {
    let Some(program) = need("PROMETHEUS") else {
        return;
    };
    let landline = Program::start(&samples::monitor(json!({}))).await;
    let here = landline.main.to_string();
    let pages = Pages::start(&[("/metrics", &page(30))]).await;
    let page = pages.server.url("/metrics");
    let page = page
        .trim_start_matches("http://")
        .trim_end_matches("/metrics");
    let configuration = json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [
            {"job_name": "page", "static_configs": [{"targets": [page]}]},
            {"job_name": "down", "static_configs": [{"targets": ["127.0.0.1:1"]}]},
        ],
        "remote_write": [{"url": format!("http://{here}/api/v1/write")}],
    });
    let sender = Prometheus::start(&program, &configuration.to_string()).await;
    let configuration = json!({
        "remote_read": [{"url": format!("http://{here}/api/v1/read"), "read_recent": true}],
    });
    let reader = Prometheus::start(&program, &configuration.to_string()).await;
    let time = settled(&here, "page").await;
    for (expression, least) in [
        ("{__name__=~\".+\"}", 40),
        ("{job=~\"page|down\"}[1h]", 40),
        ("sum by (job) (count_over_time(up[1h]))", 2),
        ("stub_family_2{job=\"page\"} * 2 == 4008", 1),
    ] {
        let sent = ask(&sender.authority(), expression, time).await;
        assert!(sent.len() >= least, "{expression}: {sent:?}");
        let kept = ask(&here, expression, time).await;
        assert_eq!(kept, sent, "{expression}: here and at the sender");
        let read = ask(&reader.authority(), expression, time).await;
        assert_eq!(read, sent, "{expression}: at the reader and at the sender");
    }
}

/// Federation gives series as they are, with and without an instance of their own.
#[tokio::test]
async fn a_prometheus_federates() {
    let Some(program) = need("PROMETHEUS") else {
        return;
    };
    let landline = Program::start(&samples::monitor(json!({}))).await;
    let here = landline.main.to_string();
    let configuration = json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{
            "job_name": "federation",
            "honor_labels": true,
            "metrics_path": "/federate",
            "params": {"match[]": ["{job=\"shop\"}"]},
            "static_configs": [{"targets": [here]}],
        }],
    });
    #[expect(clippy::cast_possible_truncation, reason = "times of this century")]
    let time = (now() * 1000.0) as i64 - 5_000;
    let job = ("job", "shop");
    let series = [
        Series::new(&[("__name__", "orders"), ("instance", "a:1"), job]).at(time, 0.1),
        Series::new(&[("__name__", "orders"), ("quote", "\"\\\nü"), job]).at(time, -1e300),
        Series::new(&[("__name__", "stock"), job]).at(time, f64::INFINITY),
        Series::new(&[("__name__", "other"), ("job", "else")]).at(time, 1.0),
    ];
    samples::write(&here, Version::Two, &series).await;
    let prometheus = Prometheus::start(&program, &configuration.to_string()).await;
    let expression = "{job=\"shop\"}[1h]";
    let there = prometheus.authority();
    let found = wait::until("it has federated", ARRIVED, async || {
        Some(ask(&there, expression, now()).await).filter(|found| !found.is_empty())
    })
    .await;
    assert_eq!(found, ask(&here, expression, now()).await);
    assert_eq!(found.len(), 3);
    assert!(ask(&there, "other", now()).await.is_empty());
}

/// promtool's questions are answered with what was sent.
#[tokio::test]
async fn promtool_reads_what_was_sent() {
    let Some(promtool) = need("PROMTOOL") else {
        return;
    };
    let landline = Program::start(&samples::monitor(json!({}))).await;
    let here = landline.main.to_string();
    let url = format!("http://{here}");
    #[expect(clippy::cast_possible_truncation, reason = "times of this century")]
    let time = (now() as i64 - 600) / 60 * 60;
    for (version, shop) in [(Version::One, "north"), (Version::Two, "south")] {
        let labels = [("__name__", "orders_total"), ("shop", shop)];
        let series = (0..5).fold(Series::new(&labels), |series, minute| {
            series.at((time + minute * 60) * 1000, minute as f64 * 1.5)
        });
        samples::write(&here, version, &[series]).await;
    }
    let ask = |words: &[&str]| {
        let output = Command::new(&promtool).arg("query").args(words).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let (start, end) = (time.to_string(), (time + 240).to_string());
    let between = ["--start", &start, "--end", &end];
    let expression = "orders_total{shop=\"south\"}";
    let instant = ask(&["instant", "--time", &end, &url, expression]);
    let wanted = format!("orders_total{{shop=\"south\"}} => 6 @[{end}]\n");
    assert_eq!(instant, wanted);
    let range = [&["range", "--step=60s"], &between[..], &[&url, expression]].concat();
    let range = ask(&range);
    let lines: Vec<&str> = range.lines().collect();
    let values = ["0", "1.5", "3", "4.5", "6"]
        .into_iter()
        .zip((time..).step_by(60));
    let wanted: Vec<String> = values
        .map(|(value, time)| format!("{value} @[{time}]"))
        .collect();
    assert_eq!(lines[0], "orders_total{shop=\"south\"} =>");
    assert_eq!(lines[1..], wanted);
    let matching = ["--match", "orders_total"];
    let series = [&["series"], &matching[..], &between, &[&url]].concat();
    let found: BTreeSet<String> = ask(&series).lines().map(str::to_owned).collect();
    let both = ["north", "south"].map(|shop| format!("orders_total{{shop=\"{shop}\"}}"));
    let both = BTreeSet::from(both);
    let unnamed =
        ["north", "south"].map(|shop| format!("{{__name__=\"orders_total\", shop=\"{shop}\"}}"));
    assert!(
        found == both || found == BTreeSet::from(unnamed),
        "{found:?}"
    );
    assert_eq!(ask(&["labels", &url, "shop"]), "north\nsouth\n");
}

/// Bounds and quantiles as we keep them: a Prometheus does so, too, since version 3.
fn with_decimals(labels: &str) -> String {
    let mut labels: Value = serde_json::from_str(labels).unwrap();
    for name in ["le", "quantile"] {
        let text = labels[name].as_str().unwrap_or_default();
        if text.parse::<i64>().is_ok() {
            labels[name] = json!(format!("{text}.0"));
        }
    }
    labels.to_string()
}

/// What a Prometheus says of itself is the same whether it or Landline scrapes it with the same file.
#[tokio::test]
async fn the_same_file_gives_the_same_series() {
    let Some(program) = need("PROMETHEUS") else {
        return;
    };
    let page = Pages::start(&[("/metrics", &page(30))]).await;
    let page = page.server.url("/metrics");
    let page = page
        .trim_start_matches("http://")
        .trim_end_matches("/metrics");
    let dead = format!("127.0.0.1:{}", free_port());
    let file = |itself: &str| {
        json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [
                {"job_name": "itself", "static_configs": [{"targets": [itself]}],
                 "relabel_configs": [{"target_label": "instance", "replacement": "itself"}]},
                {"job_name": "page", "static_configs": [
                    {"targets": [page, dead], "labels": {"shop": "north"}}],
                 "metric_relabel_configs": [{"source_labels": ["__name__"],
                    "regex": "stub_family_1", "action": "drop"}]},
            ],
        })
        .to_string()
    };
    let prometheus = Prometheus::start_on_itself(&program, file).await;
    let there = prometheus.authority();
    let launch = Launch::new(&samples::monitor(json!({"prometheus": "prometheus.yml"})));
    let landline = launch.file("prometheus.yml", &file(&there)).start().await;
    let here = landline.main.to_string();
    settled(&here, "itself").await;
    settled(&here, "page").await;
    let labels = |answer: Answer| {
        let keys = answer.into_keys().map(|labels| with_decimals(&labels));
        keys.collect::<BTreeSet<String>>()
    };
    let expression = "{job=~\"itself|page\"}";
    let mut differing = BTreeSet::new();
    wait::within(ARRIVED, async || {
        let own = labels(ask(&here, expression, now()).await);
        let other = labels(ask(&there, expression, now()).await);
        differing = own.symmetric_difference(&other).cloned().collect();
        (differing.is_empty() && own.len() > 300).then_some(())
    })
    .await;
    assert!(differing.is_empty(), "{differing:#?}");
    for expression in [
        "up",
        "scrape_samples_scraped{job=\"page\"}",
        "{__name__=~\"stub.*\"}",
    ] {
        let time = now();
        let values = |answer: Answer| {
            let bits = answer
                .into_iter()
                .map(|(labels, points)| (labels, points[0].1));
            bits.collect::<BTreeMap<String, u64>>()
        };
        let own = values(ask(&here, expression, time).await);
        assert_eq!(
            own,
            values(ask(&there, expression, time).await),
            "{expression}"
        );
        assert!(own.len() >= 2, "{expression}: {own:?}");
    }
}

/// Expressions that both know; the long ones are broken into lines.
const EXPRESSIONS: [&str; 34] = [
    "1 + 2 * 3 % -4 ^ 5",
    "1e3 - .5 + Inf / NaN",
    "'a\\n\\'' ",
    "up",
    "{__name__='up'}",
    "up{job!='a',b=~\"c|\\\\d\",a!~''}",
    "up offset 90m",
    "up offset -1w @ 1.5",
    "up[8d] @ end() offset 1y",
    "up[400d]",
    "sum(up)",
    "sum(up)by(b,a)",
    "sum by () (up)",
    "sum without () (up)",
    "topk without (instance) (5, up)",
    "count_values('x',up)",
    "-up ^ 2",
    "-(up)",
    "+up",
    "(((up)))",
    "a*on(x)group_left b",
    "a/ignoring(x)group_right(y,z)b",
    "a and on() b or c unless ignoring (d) e",
    "a>bool 1",
    "a >= on(x) b atan2 c",
    "rate(up[5m])",
    "max_over_time(rate(up[5m])[1h:30s] offset 5m)",
    "min_over_time(up[1h:])",
    "label_replace(up, 'a', '$1', \"b\", `(.*)\\.`)",
    "time()",
    "histogram_quantile(0.99, sum by (le, job) (rate(http_request_duration_seconds_bucket{job='shop', method='GET'}[5m])))",
    "sum by (job) (rate(http_requests_total{status=~'5..'}[5m])) / on (job) group_left (team) sum by (job) (rate(http_requests_total[5m])) > bool 0.05 and on () (vector(1) == -vector(1))",
    "topk(10, quantile_over_time(0.5, rate(a_counter_with_a_name_that_is_quite_long_total[5m])[1h:1m]) + -some_other_metric_with_a_long_name)",
    "max_over_time((sum(rate(a_counter_with_a_name_that_is_quite_long_total[5m])) + sum(rate(another_counter_with_a_long_name_total[5m])))[1h:1m] offset 1d)",
];

/// Both have the same spelling for an expression, and the same lines.
#[tokio::test]
async fn expressions_are_formatted_as_prometheus_does() {
    let Some(program) = need("PROMETHEUS") else {
        return;
    };
    let landline = Program::start(&samples::monitor(json!({}))).await;
    let prometheus = Prometheus::start(&program, "{}").await;
    for expression in EXPRESSIONS {
        let path = samples::with_parameters("/api/v1/format_query", &[("query", expression)]);
        let ask = async |authority: String| {
            let reply = it::client::get(&format!("http://{authority}{path}"), &[]).await;
            reply.unwrap().json()
        };
        let theirs = ask(prometheus.authority()).await;
        let ours = ask(landline.main.to_string()).await;
        assert_eq!(theirs["status"], "success", "{expression}: {theirs}");
        assert_eq!(ours, theirs, "{expression}");
    }
}

/// Samples of series by their labels, numbers by their bits.
type Streamed = BTreeMap<Vec<(String, String)>, Vec<(i64, u64)>>;

/// What somebody streams of everything up to a time.
async fn streamed(authority: &str, end: f64) -> Streamed {
    #[expect(clippy::cast_possible_truncation, reason = "times of this century")]
    let query = remote_read::Query {
        start: 0,
        end: (end * 1000.0) as i64,
        matchers: vec![remote_read::Matcher {
            comparison: remote_read::Comparison::Matches,
            name: "__name__",
            value: ".+",
        }],
    };
    let request = remote_read::Request {
        queries: vec![query],
        takes_samples: false,
    };
    let body = wire::snappy::pack(&request.write()).unwrap().into();
    let mut connection = Connection::open(authority).await.unwrap();
    let headers = [
        ("content-encoding", "snappy"),
        ("content-type", remote_read::MEDIA_TYPE),
        ("x-prometheus-remote-read-version", "0.1.0"),
    ];
    let reply = connection.send_bytes(("POST", "/api/v1/read"), &headers, body);
    let reply = reply.await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let kind = reply.header("content-type");
    assert!(
        kind.starts_with("application/x-streamed-protobuf"),
        "{kind}"
    );
    let mut found = Streamed::new();
    for series in remote_read::chunks::read(&reply.body).unwrap() {
        let labels = series.labels.iter();
        let labels = labels.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let samples = series.samples.iter().map(|(time, sample)| match sample {
            Sample::Float(value) => (*time, value.to_bits()),
            Sample::Histogram(histogram) => panic!("{histogram:?}"),
        });
        found.entry(labels.collect()).or_default().extend(samples);
    }
    found
}

/// Remote read in streamed chunks gives what the Prometheus that has sent it streams itself.
#[tokio::test]
async fn chunks_are_streamed_as_prometheus_does() {
    let Some(program) = need("PROMETHEUS") else {
        return;
    };
    let landline = Program::start(&samples::monitor(json!({}))).await;
    let here = landline.main.to_string();
    let pages = Pages::start(&[("/metrics", &page(30))]).await;
    let page = pages.server.url("/metrics");
    let page = page
        .trim_start_matches("http://")
        .trim_end_matches("/metrics");
    let configuration = json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [
            {"job_name": "page", "static_configs": [{"targets": [page]}]},
            {"job_name": "down", "static_configs": [{"targets": ["127.0.0.1:1"]}]},
        ],
        "remote_write": [{"url": format!("http://{here}/api/v1/write")}],
    });
    let sender = Prometheus::start(&program, &configuration.to_string()).await;
    let time = settled(&here, "page").await;
    let theirs = streamed(&sender.authority(), time).await;
    assert!(theirs.len() >= 40, "{}", theirs.len());
    assert_eq!(streamed(&here, time).await, theirs);
}
