//! Other stores: a real Prometheus, and another Landline, are sent everything that one Landline takes,
//! whatever is killed or away meanwhile; and queries read back what only they have.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use it::need::need;
use it::program::{Launch, Program, send_signal};
use it::prometheus::Prometheus;
use it::relay::{Mode, Relay};
use it::samples::{self, Series, point};
use it::stubs::page;
use it::stubs::pages::Pages;
use it::{client, proc, wait};
use rustix::process::Signal;
use serde_json::{Value, json};
use wire::histogram::{Histogram, Span};
use wire::remote_write::{HistogramSample, Version};

/// The longest until samples are where they are sent.
const ARRIVED: Duration = Duration::from_mins(1);
/// A Prometheus that takes what is sent.
const RECEIVING: [&str; 1] = ["--web.enable-remote-write-receiver"];

/// Points with their series, numbers by their bits.
type Points = BTreeSet<(String, i64, u64)>;

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_millis()).unwrap()
}

/// A monitor with remotes.
fn sending(remotes: &Value, more: Value) -> String {
    let mut whole: Value = serde_json::from_str(&samples::monitor(more)).unwrap();
    whole["signals"] = json!({"remote": remotes});
    whole.to_string()
}

fn to(authority: &str, more: Value) -> Value {
    let mut remote = json!({"name": "there", "url": format!("http://{authority}/api/v1/write")});
    let Value::Object(more) = more else {
        return remote;
    };
    remote.as_object_mut().unwrap().extend(more);
    remote
}

/// All points of what a selector selects, numbers by their bits, with their series.
async fn points(authority: &str, selector: &str) -> Points {
    let time = now() as f64 / 1000.0 + 1.0;
    let result = samples::query(authority, &format!("{selector}[2h]"), time).await;
    let mut all = BTreeSet::new();
    for series in result.as_array().unwrap() {
        for pair in series["values"].as_array().into_iter().flatten() {
            let (time, value) = point(pair);
            all.insert((series["metric"].to_string(), time, value.to_bits()));
        }
    }
    all
}

/// Waits until both have the same, and gives it.
async fn same(here: &str, there: &str, selector: &str) -> Points {
    let mut missing = BTreeSet::new();
    let all = wait::within(ARRIVED, async || {
        let (own, other) = (points(here, selector).await, points(there, selector).await);
        missing = own.symmetric_difference(&other).cloned().collect();
        missing.is_empty().then_some(own)
    })
    .await;
    assert!(missing.is_empty(), "{} differ: {missing:?}", missing.len());
    all.unwrap()
}

/// Sends a sample of each of ten series for each of these numbers.
async fn write(authority: &str, begin: i64, numbers: std::ops::Range<i64>) {
    for number in numbers {
        let one = |series: i64| {
            let series = series.to_string();
            let labels = [("__name__", "orders_total"), ("shop", series.as_str())];
            Series::new(&labels).at(begin + number * 10, number as f64 + 0.25)
        };
        let all: Vec<Series> = (0..10).map(one).collect();
        samples::write(authority, Version::One, &all).await;
    }
}

/// What is scraped, with ends, and what is received, comes to a real Prometheus as it is here.
#[tokio::test]
async fn a_prometheus_gets_what_is_scraped_and_received() {
    let Some(program) = need("PROMETHEUS") else {
        return;
    };
    let prometheus = Prometheus::start_with(&program, "{}", &RECEIVING).await;
    let there = prometheus.authority();
    let pages = Pages::start(&[("/metrics", &page(30))]).await;
    let target = pages.server.url("/metrics");
    let target = target
        .trim_start_matches("http://")
        .trim_end_matches("/metrics");
    let scrape = json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [
            {"job_name": "page", "static_configs": [{"targets": [target]}]},
            {"job_name": "down", "static_configs": [{"targets": ["127.0.0.1:1"]}]},
        ],
    });
    let configuration = sending(
        &json!([to(&there, json!({}))]),
        json!({"prometheus": "prometheus.yml"}),
    );
    let launch = Launch::new(&configuration).file("prometheus.yml", &scrape.to_string());
    let landline = launch.start().await;
    let here = landline.main.to_string();
    write(&here, now() - 5_000, 0..20).await;
    wait::until("there are some scrapes", ARRIVED, async || {
        let count = points(&here, "up{job=\"page\"}").await.len();
        (count > 4).then_some(())
    })
    .await;
    // Series end: a marker that a query can't show, but for its effect.
    pages.set(
        "/metrics",
        it::stubs::pages::Page::Text("left 1\n".to_owned()),
    );
    wait::until("the page's series have ended", ARRIVED, async || {
        let count = samples::query(&here, "count({job=\"page\"})", now() as f64 / 1000.0).await;
        let value = count[0]["value"][1].as_str()?.to_owned();
        (value.parse::<f64>().ok()? < 10.0).then_some(())
    })
    .await;
    let time = now() as f64 / 1000.0;
    wait::until("they have ended there, too", ARRIVED, async || {
        let ask =
            async |authority| samples::query(authority, "count by (job) ({job!=\"\"})", time).await;
        (ask(&here).await == ask(&there).await).then_some(())
    })
    .await;
    // Scraping goes on: everything up to now.
    let orders = same(&here, &there, "orders_total").await;
    assert_eq!(orders.len(), 200);
    let until = now() - 2_000;
    let cut = |all: Points| all.into_iter().filter(|(_, time, _)| *time < until);
    let mut differing = Points::new();
    let mut count = 0;
    wait::within(ARRIVED, async || {
        let selector = "{job=~\"page|down\"}";
        let own: Points = cut(points(&here, selector).await).collect();
        let other = cut(points(&there, selector).await).collect();
        differing = own.symmetric_difference(&other).cloned().collect();
        count = own.len();
        differing.is_empty().then_some(())
    })
    .await;
    let some: Vec<_> = differing.iter().take(5).collect();
    assert!(some.is_empty(), "{} of {count}: {some:?}", differing.len());
    assert!(count > 100, "{count}");
    let page = landline.metrics().await;
    let sent = it::exposition::value(&page, "landline_remote_sent_total", &[("kind", "sample")]);
    assert!(sent.unwrap() > 300.0, "{sent:?}");
}

/// The remote is away, the program is killed meanwhile, again and again: everything arrives.
#[tokio::test]
async fn a_prometheus_that_was_away_gets_everything_whatever_is_killed() {
    let Some(program) = need("PROMETHEUS") else {
        return;
    };
    let prometheus = Prometheus::start_with(&program, "{}", &RECEIVING).await;
    let there = prometheus.authority();
    let relay = Relay::start(&[there.parse().unwrap()]);
    let configuration = sending(
        &json!([to(&relay.address.to_string(), json!({}))]),
        json!({}),
    );
    let mut landline = Program::start(&configuration).await;
    let mut here = landline.main.to_string();
    let begin = now() - 600_000;
    write(&here, begin, 0..20).await;
    same(&here, &there, "orders_total").await;
    let mut next = 20;
    for round in 0..4 {
        // Away; then answers get lost, so that nobody knows what was taken.
        let is_deaf = round % 2 == 1;
        relay.set(if is_deaf { Mode::LoseDown } else { Mode::Reset });
        write(&here, begin, next..next + 100).await;
        next += 100;
        if is_deaf {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
        }
        landline.signal(Signal::KILL);
        assert_eq!(landline.wait_exit(wait::SOON).await, -9);
        landline.restart();
        landline.ready().await;
        here = landline.main.to_string();
        write(&here, begin, next..next + 10).await;
        next += 10;
    }
    relay.set(Mode::Pass);
    let all = same(&here, &there, "orders_total").await;
    assert_eq!(all.len(), usize::try_from(next).unwrap() * 10);
    for (name, wanted) in [
        ("landline_remote_queued_bytes", 0.0),
        ("landline_remote_lag_seconds", 0.0),
    ] {
        wait::until("nothing waits", ARRIVED, async || {
            let page = landline.metrics().await;
            (it::exposition::value(&page, name, &[("remote", "there")])? <= wanted).then_some(())
        })
        .await;
    }
    let page = landline.metrics().await;
    // What was taken before a kill, and its answer lost, is refused when it comes again.
    let labels = [("reason", "full")];
    let dropped = it::exposition::value(&page, "landline_remote_dropped_total", &labels);
    assert_eq!(dropped, None);
}

/// A replacement hands the queue over with the store.
#[tokio::test]
async fn a_replacement_goes_on_sending() {
    let other = Program::start(&samples::monitor(json!({}))).await;
    let there = other.main.to_string();
    let configuration = sending(&json!([to(&there, json!({"version": "2.0"}))]), json!({}));
    let landline = Program::start(&configuration).await;
    let here = landline.main.to_string();
    let begin = now() - 600_000;
    for round in 0..3 {
        write(&here, begin, round * 20..round * 20 + 20).await;
        let old = landline.serving_pid().await.unwrap();
        send_signal(old, Signal::HUP);
        wait::until("the old process has handed over", ARRIVED, async || {
            (!proc::is_alive(old)).then_some(())
        })
        .await;
    }
    write(&here, begin, 60..70).await;
    assert_eq!(same(&here, &there, "orders_total").await.len(), 700);
}

/// When a remote is away for longer than its queue has room, the oldest samples go, and are counted;
/// who sends samples here notices nothing.
#[tokio::test]
async fn a_full_queue_drops_the_oldest_and_says_so() {
    let other = Program::start(&samples::monitor(json!({}))).await;
    let there = other.main.to_string();
    let relay = Relay::start(&[other.main]);
    relay.set(Mode::Reset);
    let remote = to(&relay.address.to_string(), json!({"queue": "1MiB"}));
    let landline = Program::start(&sending(&json!([remote]), json!({}))).await;
    let here = landline.main.to_string();
    let begin = now() - 600_000;
    let (series, rounds) = (2_000_i64, 120_i64);
    for number in 0..rounds {
        let one = |series: i64| {
            let name = series.to_string();
            let labels = [("__name__", "many"), ("series", name.as_str())];
            // Values that take their eight bytes.
            let value = 1.0 / (number * 10_000 + series + 3) as f64;
            Series::new(&labels).at(begin + number * 100, value)
        };
        let all: Vec<Series> = (0..series).map(one).collect();
        samples::write(&here, Version::Two, &all).await;
    }
    let dropped = wait::until("something is dropped", ARRIVED, async || {
        let page = landline.metrics().await;
        let labels = [("remote", "there"), ("reason", "full")];
        it::exposition::value(&page, "landline_remote_dropped_total", &labels)
    })
    .await;
    assert!(landline.stderr().contains("the oldest samples are dropped"));
    relay.set(Mode::Pass);
    let all = series * rounds;
    let count = async |authority: &str| {
        let time = now() as f64 / 1000.0;
        let found = samples::query(authority, "sum(count_over_time(many[1h]))", time).await;
        found[0]["value"][1].as_str().map_or(0, whole)
    };
    assert_eq!(count(&here).await, all, "here is everything");
    wait::until("the rest has come", ARRIVED, async || {
        let page = landline.metrics().await;
        let labels = [("remote", "there"), ("reason", "full")];
        let dropped = it::exposition::value(&page, "landline_remote_dropped_total", &labels)?;
        (count(&there).await + whole(&dropped.to_string()) == all).then_some(())
    })
    .await;
    assert!(dropped > 0.0);
    let last = (begin + (rounds - 1) * 100) as f64 / 1000.0;
    let newest = samples::query(&there, "count(many)", last).await;
    assert_eq!(newest[0]["value"][1], series.to_string());
}

/// Two Landlines: version 2.0 has histograms, and the credentials stand in a file.
#[tokio::test]
async fn a_landline_gets_histograms_by_version_two() {
    let other = Program::start(&samples::monitor(json!({}))).await;
    let there = other.main.to_string();
    let remote = to(
        &there,
        json!({"version": "2.0", "headers": {"X-Scope-OrgID": {"file": "tenant"}}}),
    );
    let launch = Launch::new(&sending(&json!([remote]), json!({}))).file("tenant", "shop\n");
    let landline = launch.start().await;
    let here = landline.main.to_string();
    let span = Span {
        offset: 0,
        length: 2,
    };
    let histogram = Histogram {
        schema: 1,
        count: 5.0,
        sum: 7.5,
        zero_threshold: 0.001,
        positive_spans: vec![span],
        positive: vec![2.0, 3.0],
        ..Histogram::default()
    };
    let time = now() - 1_000;
    let mut series = Series::new(&[("__name__", "seconds"), ("shop", "north")]);
    series.histograms.push(HistogramSample {
        histogram,
        timestamp: time,
        start: time - 1_000,
    });
    let number = Series::new(&[("__name__", "plain")]).at(time, -0.0);
    samples::write(&here, Version::Two, &[series, number]).await;
    let time = time as f64 / 1000.0;
    for expression in ["seconds", "plain", "histogram_quantile(0.7, seconds)"] {
        let own = samples::query(&here, expression, time).await;
        assert_ne!(own, json!([]), "{expression}");
        wait::until("it has come", ARRIVED, async || {
            (samples::query(&there, expression, time).await == own).then_some(())
        })
        .await;
    }
}

/// A remote that refuses a part of what it is sent gets the rest, and it is told here.
#[tokio::test]
async fn what_a_prometheus_refuses_keeps_nothing_else_out() {
    let Some(program) = need("PROMETHEUS") else {
        return;
    };
    let prometheus = Prometheus::start_with(&program, "{}", &RECEIVING).await;
    let there = prometheus.authority();
    let begin = now() - 60_000;
    // The Prometheus knows a newer sample of one series already: what comes is out of order for it.
    let labels = [("__name__", "orders_total"), ("shop", "3")];
    let newer = Series::new(&labels).at(begin + 30_000, 1.0);
    samples::write(&there, Version::One, &[newer]).await;
    let configuration = sending(&json!([to(&there, json!({}))]), json!({}));
    let landline = Program::start(&configuration).await;
    let here = landline.main.to_string();
    write(&here, begin, 0..50).await;
    let others = same(&here, &there, "orders_total{shop!=\"3\"}").await;
    assert_eq!(others.len(), 450);
    let labels = [("remote", "there"), ("reason", "refused")];
    let refused = wait::until("it is counted", ARRIVED, async || {
        let page = landline.metrics().await;
        it::exposition::value(&page, "landline_remote_dropped_total", &labels)
            .filter(|found| *found >= 50.0)
    })
    .await;
    assert!(refused <= 50.0, "{refused}");
    assert!(
        landline.stderr().contains("out of order"),
        "{}",
        landline.stderr()
    );
}

/// Values by the label `shop`.
type Shops = std::collections::BTreeMap<String, Vec<f64>>;

fn of_shops(reply: &client::Reply) -> Shops {
    let reply = reply.json();
    let series = reply["data"]["result"].as_array().unwrap().iter();
    let shop = |series: &Value| {
        let values = series["values"].as_array().unwrap().iter();
        let shop = series["metric"]["shop"].as_str().unwrap().to_owned();
        (shop, values.map(|pair| point(pair).1).collect())
    };
    series.map(shop).collect()
}

fn shops(wanted: &[(&str, Vec<f64>)]) -> Shops {
    let owned = wanted.iter();
    owned
        .map(|(shop, values)| ((*shop).to_owned(), values.clone()))
        .collect()
}

/// A count as text.
fn whole(text: &str) -> i64 {
    text.parse().unwrap()
}

/// Queries join what is here with what only a Prometheus has; when it is away, they say so.
#[tokio::test]
async fn queries_read_from_a_prometheus_what_is_not_here() {
    let Some(program) = need("PROMETHEUS") else {
        return;
    };
    let prometheus = Prometheus::start_with(&program, "{}", &RECEIVING).await;
    let relay = Relay::start(&[prometheus.authority().parse().unwrap()]);
    let begin = now() / 1000 * 1000 - 60_000;
    let labels = |shop| [("__name__", "orders"), ("shop", shop)];
    let there = [
        Series::new(&labels("both"))
            .at(begin, 1.0)
            .at(begin + 1_000, 2.0),
        Series::new(&labels("there")).at(begin, 7.0),
    ];
    samples::write(&prometheus.authority(), Version::One, &there).await;
    let reading = |mode: &str| {
        let url = format!("http://{}/api/v1/read", relay.address);
        json!([{"name": "there", "timeout": "5s", "read": {"url": url, "mode": mode}}])
    };
    let here = [
        Series::new(&labels("both"))
            .at(begin + 1_000, 20.0)
            .at(begin + 2_000, 30.0),
        Series::new(&labels("here")).at(begin, 9.0),
    ];
    let merged = Program::start(&sending(&reading("merged"), json!({}))).await;
    let delegated = Program::start(&sending(&reading("delegated"), json!({}))).await;
    let ask = async |program: &Program| {
        let time = ((begin + 10_000) / 1000).to_string();
        let parameters = [("query", "orders[1m]"), ("time", time.as_str())];
        let path = samples::with_parameters("/api/v1/query", &parameters);
        program.main("GET", &path).await
    };
    for program in [&merged, &delegated] {
        samples::write(&program.main.to_string(), Version::One, &here).await;
    }
    let reply = ask(&merged).await;
    let wanted = [
        ("both", vec![1.0, 20.0, 30.0]),
        ("here", vec![9.0]),
        ("there", vec![7.0]),
    ];
    assert_eq!(of_shops(&reply), shops(&wanted), "{}", reply.text());
    assert_eq!(reply.json()["warnings"], Value::Null);
    let reply = ask(&delegated).await;
    let wanted = [("both", vec![1.0, 2.0]), ("there", vec![7.0])];
    assert_eq!(of_shops(&reply), shops(&wanted), "{}", reply.text());
    relay.set(Mode::Reset);
    let reply = ask(&merged).await;
    let wanted = [("both", vec![20.0, 30.0]), ("here", vec![9.0])];
    assert_eq!(of_shops(&reply), shops(&wanted), "{}", reply.text());
    let warning = reply.json()["warnings"][0].to_string();
    assert!(
        warning.contains("there") && warning.contains("can't be read"),
        "{warning}"
    );
    let reply = ask(&delegated).await;
    assert_eq!(reply.status, 500, "{}", reply.text());
    assert!(reply.text().contains("can't be read"), "{}", reply.text());
}
