//! Scraping over real sockets into a real store.
#![expect(clippy::float_cmp, reason = "the values are exact")]

use std::collections::BTreeMap;
use std::time::Duration;

use base::http::{Peer, Policy};
use base::supervise::{Exit, Supervisor};
use base::telemetry::Metrics;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Request;
use serde_json::Value;
use signals::{Matcher, Operator, Options, STALE, SeriesSamples};
use std::io::Write as _;
use tokio::sync::watch;
use tower::ServiceExt;

use super::loaded;
use super::server::{Page, Server};
use crate::samples::Samples;
use crate::scrape::config::PrometheusConfig;
use crate::scrape::{GivenPool, GivenTarget, Scraper, Sources};

/// The longest wait for something to be there.
const SOON: Duration = Duration::from_secs(20);

/// A scraper, its store, and a server to scrape.
struct Bench {
    supervisor: Supervisor,
    server: Server,
    samples: Samples,
    scraper: Scraper,
    given: watch::Sender<Vec<GivenPool>>,
    metrics: Metrics,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn start(config: impl FnOnce(&Server) -> PrometheusConfig) -> Self {
        let supervisor = Supervisor::new();
        let server = Server::start(&supervisor).await;
        let folder = tempfile::tempdir().expect("a folder");
        let samples = Samples::default();
        let opened = samples.open(folder.path(), Options::default());
        opened.expect("a store");
        let (sender, given) = watch::channel(Vec::new());
        let sources = Sources {
            config: config(&server),
            given,
            environment: BTreeMap::new(),
        };
        let metrics = Metrics::default();
        let (scraper, services) = Scraper::open(sources, samples.clone(), &metrics);
        for service in services {
            supervisor.register(service);
        }
        supervisor.start();
        Self {
            supervisor,
            server,
            samples,
            scraper,
            given: sender,
            metrics,
            _folder: folder,
        }
    }

    /// All samples of the series with these labels, as text of labels and value.
    fn read(&self, matchers: &[(&str, &str)]) -> Vec<(String, i64, f64)> {
        let matchers: Vec<Matcher> = matchers
            .iter()
            .map(|(name, value)| Matcher::new(name, Operator::Equal, value).expect("a matcher"))
            .collect();
        let store = self.samples.store();
        let mut selection = store
            .select(&matchers, i64::MIN / 4, i64::MAX / 4)
            .expect("a selection");
        let labels: Vec<String> = selection.labels().map(ToString::to_string).collect();
        let mut found = Vec::new();
        let mut samples = SeriesSamples::default();
        for (at, labels) in labels.into_iter().enumerate() {
            selection.read(at, &mut samples).expect("samples");
            let floats = samples.floats.times.iter().zip(&samples.floats.values);
            found.extend(floats.map(|(time, value)| (labels.clone(), *time, *value)));
        }
        found
    }

    fn name(&self, name: &str) -> Vec<(String, i64, f64)> {
        self.read(&[("__name__", name)])
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !is_so(self) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(SOON, waiting).await;
        assert!(waited.is_ok(), "not so in time: {what}");
    }

    /// Waits for a target of which this is so.
    async fn until_told(&self, what: &str, is_so: impl Fn(&Value) -> bool) {
        let waiting = async {
            loop {
                let shown = self.ask("/api/v1/targets?state=active").await;
                let targets = shown["data"]["activeTargets"].as_array();
                if targets.expect("a list").iter().any(&is_so) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(SOON, waiting).await;
        assert!(waited.is_ok(), "not told in time: {what}");
    }

    async fn ask(&self, path: &str) -> Value {
        let router = self.scraper.routes(|| Policy::Public).into_router();
        let mut request = Request::get(path)
            .body(axum::body::Body::empty())
            .expect("a request");
        request.extensions_mut().insert(Peer {
            address: "127.0.0.1:1".parse().expect("an address"),
            is_tls: false,
        });
        let answer = router.oneshot(request).await.expect("an answer");
        let body = base::http::read_body(answer.into_body(), 1 << 20).await;
        serde_json::from_slice(&body.expect("a body")).expect("JSON")
    }
}

fn is_stale(sample: &(String, i64, f64)) -> bool {
    sample.2.to_bits() == STALE
}

fn config(server: &Server, keys: &str) -> PrometheusConfig {
    loaded(&format!(
        "global: {{scrape_interval: 100ms}}\nscrape_configs:\n  - job_name: a\n    \
         static_configs: [{{targets: ['{}'], labels: {{zone: z}}}}]\n{keys}",
        server.address
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_in_the_store_with_what_is_told_of_it() {
    let bench = Bench::start(|server| {
        server.put(
            "/metrics",
            Page::text("# HELP a counts\n# TYPE a counter\na{b=\"c\",job=\"x\"} 5\nd 2.5\n"),
        );
        config(server, "")
    })
    .await;
    bench
        .until("two scrapes", |bench| bench.name("up").len() >= 2)
        .await;
    let instance = bench.server.address.to_string();
    let rest = format!("instance={instance:?}, job=\"a\", zone=\"z\"}}");
    let found = bench.name("a");
    let labels = format!("{{__name__=\"a\", b=\"c\", exported_job=\"x\", {rest}");
    assert_eq!((found[0].0.as_str(), found[0].2), (labels.as_str(), 5.0));
    assert_eq!(bench.name("d")[0].0, format!("{{__name__=\"d\", {rest}"));
    for (name, first, second) in [
        ("up", 1.0, 1.0),
        ("scrape_samples_scraped", 2.0, 2.0),
        ("scrape_samples_post_metric_relabeling", 2.0, 2.0),
        ("scrape_series_added", 2.0, 0.0),
    ] {
        let values: Vec<f64> = bench
            .name(name)
            .iter()
            .take(2)
            .map(|found| found.2)
            .collect();
        assert_eq!(values, [first, second], "{name}");
        // All of a scrape have one time.
        assert_eq!(bench.name(name)[0].1, found[0].1);
    }
    assert!(bench.name("scrape_duration_seconds")[0].2 > 0.0);
    assert!(bench.name("scrape_body_size_bytes").is_empty());
    let request = bench.server.requests().remove(0).to_ascii_lowercase();
    for header in [
        "x-prometheus-scrape-timeout-seconds: 0.1\r\n",
        "accept-encoding: gzip\r\n",
        "accept: application/openmetrics-text;version=1.0.0;",
        "user-agent: landline/",
    ] {
        assert!(request.contains(header), "{request}");
    }
    let metrics = bench.metrics.encode().expect("metrics");
    assert!(metrics.contains("landline_scrape_targets 1\n"), "{metrics}");
    bench.supervisor.shutdown(Exit::Fast).await;
    // A process that ends marks no series: the next one goes on with them.
    assert!(!bench.name("a").iter().any(is_stale));
}

#[tokio::test(flavor = "multi_thread")]
async fn series_end_when_they_vanish_and_when_the_target_is_down() {
    let bench = Bench::start(|server| {
        server.put("/metrics", Page::text("stays 1\ngoes 1\ntimed 1 1000\n"));
        config(server, "")
    })
    .await;
    let now = crate::samples::now_ms();
    let timed = format!("stays 1\ngoes 1\ntimed 1 {now}\n");
    bench.server.put("/metrics", Page::text(&timed));
    bench
        .until("both", |bench| {
            !bench.name("goes").is_empty() && !bench.name("timed").is_empty()
        })
        .await;
    bench.server.put("/metrics", Page::text("stays 1\n"));
    bench
        .until("one has ended", |bench| {
            bench.name("goes").last().is_some_and(is_stale)
        })
        .await;
    assert!(!bench.name("stays").iter().any(is_stale));
    bench.server.put("/metrics", Page::status(500, ""));
    bench
        .until("the other has ended", |bench| {
            bench.name("stays").last().is_some_and(is_stale)
        })
        .await;
    let ended = bench.name("stays").last().cloned().expect("an end");
    let down = bench.name("up");
    let down = down.iter().find(|found| found.2 == 0.0).expect("down");
    assert_eq!(down.1, ended.1);
    assert_eq!(
        bench
            .name("goes")
            .iter()
            .filter(|found| is_stale(found))
            .count(),
        1
    );
    // What has times of its own ends by them.
    assert!(!bench.name("timed").iter().any(is_stale));
    bench
        .until_told("it is down", |target| {
            target["health"] == "down"
                && target["lastError"] == "server returned HTTP status 500 Internal Server Error"
        })
        .await;
    bench.server.put("/metrics", Page::text("stays 2\n"));
    bench
        .until("it is back", |bench| {
            bench
                .name("stays")
                .last()
                .is_some_and(|found| found.2 == 2.0)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_disturbs_nothing_that_stays() {
    let bench = Bench::start(|server| {
        server.put("/metrics", Page::text("a 1\nb 1\n"));
        server.put("/other", Page::text("a 2\n"));
        config(server, "")
    })
    .await;
    bench
        .until("it is there", |bench| !bench.name("b").is_empty())
        .await;
    let drop_b =
        "    metric_relabel_configs: [{source_labels: [__name__], regex: b, action: drop}]\n";
    bench.scraper.reload(config(&bench.server, drop_b));
    bench
        .until("b has ended", |bench| {
            bench.name("b").last().is_some_and(is_stale)
        })
        .await;
    // Another page with the same labels goes on with the series.
    let moved = format!("{drop_b}    metrics_path: /other\n");
    bench.scraper.reload(config(&bench.server, &moved));
    bench
        .until("the other page", |bench| {
            bench.name("a").last().is_some_and(|found| found.2 == 2.0)
        })
        .await;
    assert!(!bench.name("a").iter().any(is_stale));
    assert!(!bench.name("up").iter().any(is_stale));
    bench.scraper.reload(loaded("scrape_configs: []\n"));
    bench
        .until("all has ended", |bench| {
            bench.name("a").last().is_some_and(is_stale)
                && bench.name("up").last().is_some_and(is_stale)
        })
        .await;
    let shown = bench.ask("/api/v1/scrape_pools").await;
    assert_eq!(shown["data"]["scrapePools"], serde_json::json!([]));
    let shown = bench.ask("/api/v1/status/config").await;
    assert_eq!(shown["data"]["yaml"], "scrape_configs: []\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_fail_a_scrape_with_their_reason() {
    let bench = Bench::start(|server| {
        server.put("/metrics", Page::text("a 1\nb{c=\"dddd\"} 1\n"));
        config(server, "")
    })
    .await;
    for (keys, reason) in [
        ("    sample_limit: 1\n", "sample limit exceeded"),
        ("    body_size_limit: 8B\n", "body size limit exceeded"),
        ("    label_limit: 4\n", "label limits exceeded"),
        ("    label_name_length_limit: 7\n", "label limits exceeded"),
        ("    label_value_length_limit: 3\n", "label limits exceeded"),
        (
            "    target_limit: 1\n    file_sd_configs: []\n  - job_name: b\n    target_limit: 1\n    \
             static_configs: [{targets: [x, y]}]\n",
            "target_limit exceeded",
        ),
    ] {
        bench.scraper.reload(config(&bench.server, keys));
        let is_told = |target: &Value| {
            let error = target["lastError"].as_str();
            error.is_some_and(|error| error.starts_with(reason))
        };
        bench.until_told(keys, is_told).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_come_packed_and_in_open_metrics() {
    let bench = Bench::start(|server| {
        let body = "# TYPE a counter\n# HELP a counts\n# TYPE h_s histogram\n# UNIT h_s s\n\
                    a_total 5 # {trace_id=\"t\"} 0.5 1700000000.5\na_created 1\n\
                    h_s_bucket{le=\"1\"} 3\nh_s_bucket{le=\"+Inf\"} 3\n# EOF\n";
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(body.as_bytes()).expect("packed");
        let mut page = Page::of("application/openmetrics-text; version=1.0.0", "");
        page.headers.push_str("content-encoding: gzip\r\n");
        page.body = packed.finish().expect("packed");
        server.put("/metrics", page);
        config(server, "    extra_scrape_metrics: true\n")
    })
    .await;
    bench
        .until("two scrapes", |bench| bench.name("up").len() >= 2)
        .await;
    assert_eq!(bench.name("a_total")[0].2, 5.0);
    assert_eq!(bench.name("a_created")[0].2, 1.0);
    assert_eq!(
        bench.read(&[("le", "1.0")]).len(),
        bench.name("a_total").len()
    );
    assert!(bench.name("scrape_body_size_bytes")[0].2 > 100.0);
    assert_eq!(bench.name("scrape_timeout_seconds")[0].2, 0.1);
    let shown = bench.ask("/api/v1/targets/metadata?metric=h_s").await;
    let found = &shown["data"][0];
    assert_eq!(
        (&found["type"], &found["unit"]),
        (&"histogram".into(), &"s".into())
    );
    let shown = bench
        .ask("/api/v1/targets/metadata?match_target=%7Bjob=%22b%22%7D")
        .await;
    assert_eq!(shown["data"], serde_json::json!([]));
    let shown = bench.ask("/api/v1/targets/metadata?match_target=1").await;
    assert_eq!(
        (&shown["status"], &shown["errorType"]),
        (&"error".into(), &"bad_data".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_that_are_given_are_scraped_beside() {
    let bench = Bench::start(|server| {
        server.put("/page", Page::text("a{instance=\"own\"} 1\n"));
        loaded("")
    })
    .await;
    let pool = GivenPool {
        job: "nodes".to_owned(),
        interval: Duration::from_millis(100),
        timeout: Duration::from_secs(10),
        honor_labels: true,
        targets: vec![GivenTarget {
            address: bench.server.address.to_string(),
            path: "/page".to_owned(),
            labels: BTreeMap::from([("node".to_owned(), "n1".to_owned())]),
            dial: None,
        }],
    };
    bench.given.send_replace(vec![pool]);
    bench
        .until("it is there", |bench| !bench.name("a").is_empty())
        .await;
    let expected = "{__name__=\"a\", instance=\"own\", job=\"nodes\", node=\"n1\"}";
    assert_eq!(bench.name("a")[0].0, expected);
    bench.given.send_replace(Vec::new());
    bench
        .until("it has ended", |bench| {
            bench.name("a").last().is_some_and(is_stale)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_of_rules_are_shown() {
    let bench = Bench::start(|server| {
        let rules = "    relabel_configs: [{source_labels: [a, b], separator: '-', regex: '(.)-.*', \
            target_label: c}, {action: drop, source_labels: [c], regex: x}, {action: labeldrop, regex: a}]\n";
        config(server, rules)
    })
    .await;
    bench
        .until_told("the pool is there", |shown| shown["scrapePool"] == "a")
        .await;
    let labels = |text: &str| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs([("scrapePool", "a"), ("labels", text)]);
        format!("/api/v1/targets/relabel_steps?{}", query.finish())
    };
    let shown = bench.ask(&labels("{\"a\":\"1\",\"b\":\"2\"}")).await;
    let step = |at: usize| &shown["data"]["steps"][at];
    let rule = serde_json::json!({
        "source_labels": ["a", "b"], "separator": "-", "regex": "(.)-.*",
        "target_label": "c", "replacement": "$1", "action": "replace",
    });
    assert_eq!(step(0)["rule"], rule);
    assert_eq!(
        step(0)["output"],
        serde_json::json!({"a": "1", "b": "2", "c": "1"})
    );
    assert_eq!(step(1)["keep"], true);
    assert_eq!(step(2)["output"], serde_json::json!({"b": "2", "c": "1"}));
    let shown = bench.ask(&labels("{\"a\":\"x\"}")).await;
    for step in [1, 2] {
        let step = &shown["data"]["steps"][step];
        assert_eq!(
            (&step["keep"], &step["output"]),
            (&false.into(), &serde_json::json!({}))
        );
    }
    for (path, part) in [
        ("/api/v1/targets/relabel_steps?labels={}", "scrapePool"),
        (
            "/api/v1/targets/relabel_steps?labels={}&scrapePool=b",
            "no scrape pool",
        ),
        (
            "/api/v1/targets/relabel_steps?labels=1&scrapePool=a",
            "error parsing labels",
        ),
    ] {
        let shown = bench.ask(path).await;
        assert!(
            shown["error"]
                .as_str()
                .is_some_and(|error| error.contains(part)),
            "{shown}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_servers_name_targets() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("targets.json");
    let bench = Bench::start(|server| {
        server.put("/metrics", Page::text("a 1\n"));
        let groups = format!("[{{\"targets\": [\"{}\"], \"labels\": {{\"by\": \"http\"}}}}]", server.address);
        server.put("/sd", Page::of("application/json", &groups));
        let groups = groups.replace("http", "file");
        std::fs::write(&path, groups).expect("written");
        loaded(&format!(
            "global: {{scrape_interval: 100ms}}\nscrape_configs:\n  - job_name: f\n    \
             file_sd_configs: [{{files: [{}]}}]\n  - job_name: h\n    \
             http_sd_configs: [{{url: 'http://{}/sd', refresh_interval: 100ms}}]\n    \
             relabel_configs: [{{source_labels: [__meta_url], regex: '.*(/sd)', target_label: from}}]\n",
            path.display(),
            server.address
        ))
    })
    .await;
    bench
        .until("both", |bench| {
            !bench.read(&[("by", "http"), ("from", "/sd")]).is_empty()
                && !bench.read(&[("by", "file")]).is_empty()
        })
        .await;
    // A source that is broken keeps its last targets.
    bench.server.put("/sd", Page::status(500, ""));
    std::fs::write(&path, "[{").expect("written");
    let count = bench.name("a").len();
    bench
        .until("both go on", |bench| bench.name("a").len() > count + 40)
        .await;
    assert!(!bench.name("a").iter().any(is_stale));
    // One that says nothing any more has none.
    std::fs::write(&path, "[]").expect("written");
    bench
        .until("one has ended", |bench| {
            bench
                .read(&[("by", "file"), ("__name__", "a")])
                .last()
                .is_some_and(is_stale)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_go_to_whom_they_are_for() {
    let bench = Bench::start(|server| {
        server.put("/metrics", Page::status(302, "location: /there\r\n"));
        server.put("/there", Page::text("a 1\n"));
        server.put("/token", Page::of("application/json", "{\"access_token\": \"tok\", \"expires_in\": 3600}"));
        let mut config = config(server, "    basic_auth: {username: u, password: p}\n");
        let more = loaded(&format!(
            "global: {{scrape_interval: 100ms}}\nscrape_configs:\n  - job_name: o\n    \
             static_configs: [{{targets: ['{0}']}}]\n    metrics_path: /there\n    \
             http_headers: {{X-Own: {{values: [v]}}}}\n    \
             oauth2: {{client_id: c, client_secret: s, token_url: 'http://{0}/token', scopes: [x]}}\n",
            server.address
        ));
        config.jobs.extend(more.jobs);
        config
    })
    .await;
    bench
        .until("both", |bench| {
            !bench.read(&[("__name__", "a"), ("job", "a")]).is_empty()
                && !bench.read(&[("__name__", "a"), ("job", "o")]).is_empty()
        })
        .await;
    let requests = bench.server.requests();
    let of = |path: &str, text: &str| {
        let start = format!("{path} ");
        let all = requests.iter().filter(|head| head.contains(&start));
        all.filter(|head| head.contains(text)).count()
    };
    assert!(
        of("/metrics", "authorization: Basic dTpw") > 0,
        "{requests:?}"
    );
    assert!(of("/there", "authorization: Basic dTpw") > 0);
    assert!(of("/there", "authorization: Bearer tok") > 0);
    assert!(of("/there", "x-own: v") > 0);
    assert_eq!(of("/token", "authorization: Basic Yzpz"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_and_sockets_lead_to_targets() {
    let bench = Bench::start(|server| {
        let page = Page::text("a 1\n");
        server.put("http://far.example:9100/metrics", page.clone());
        server.put("/metrics", page);
        let port = server.address.port();
        let containers = format!(
            "[{{\"Id\": \"1\", \"Names\": [\"/web\"], \"Ports\": [{{\"PrivatePort\": {port}, \
             \"Type\": \"tcp\"}}], \"NetworkSettings\": {{\"Networks\": {{\"n\": \
             {{\"IPAddress\": \"127.0.0.1\"}}}}}}}}]"
        );
        let json = "application/json";
        let path = "/containers/json?filters=%7B%22name%22%3A%5B%22web%22%5D%7D";
        server.put(path, Page::of(json, &containers));
        server.put("/networks", Page::of(json, "[]"));
        loaded(&format!(
            "global: {{scrape_interval: 100ms}}\nscrape_configs:\n  - job_name: p\n    \
             proxy_url: 'http://u:geheim@{}'\n    static_configs: [{{targets: ['far.example:9100']}}]\n  \
             - job_name: d\n    docker_sd_configs: [{{host: 'unix://{}', filters: [{{name: name, \
             values: [web]}}]}}]\n",
            server.address,
            server.socket().display()
        ))
    })
    .await;
    bench
        .until("both", |bench| {
            !bench.read(&[("__name__", "a"), ("job", "p")]).is_empty()
                && !bench.read(&[("__name__", "a"), ("job", "d")]).is_empty()
        })
        .await;
    let requests = bench.server.requests();
    let proxied = requests.iter().find(|head| head.contains("far.example"));
    let proxied = proxied.expect("a request").to_ascii_lowercase();
    assert!(proxied.contains("host: far.example:9100\r\n"), "{proxied}");
    assert!(proxied.contains("proxy-authorization: basic "), "{proxied}");
    let shown = format!("{:?}", bench.scraper.config());
    assert!(!shown.contains("geheim"), "{shown}");
}
