//! The same page, scraped by Debian's Prometheus and by us: the same series with the same values.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base::client::{Client, read_body};
use base::clock;
use base::supervise::Supervisor;
use base::tls::ClientTls;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use signals::{Options, SeriesSamples};
use tokio::sync::watch;

use super::loaded;
use super::server::{Page, Server};
use crate::samples::Samples;
use crate::scrape::{Scraper, Sources};

const ORIGINAL: &str = "/usr/bin/prometheus";
const SOON: Duration = Duration::from_mins(1);

const PAGE: &str = "# HELP up nothing of ours
# TYPE a counter
a{b=\"c\",instance=\"page\",job=\"page\"} 1
a{b=\"\",exported_instance=\"x\",instance=\"y\"} 2
escaped{v=\"q\\\"b\\\\n\\nx\\d\"} 3.5e-3
huge 1e300
tiny -5e-324
whole 12345678901234567
special NaN
special{x=\"1\"} +Inf
special{x=\"2\"} -Inf
dropped{drop=\"yes\"} 1
renamed{from=\"old\"} 7
hashed{key=\"value\"} 8
# TYPE h histogram
h_bucket{le=\"0.5\"} 1
h_bucket{le=\"+Inf\"} 2
h_sum 3
h_count 2
up{mine=\"yes\"} 9
";

const RULES: &str = "
    relabel_configs:
      - {source_labels: [__address__], regex: '([^:]+):.*', target_label: host}
      - {regex: zone, action: labeldrop}
      - {regex: 'map_(.+)', action: labelmap}
    metric_relabel_configs:
      - {source_labels: [drop], regex: 'y.s', action: drop}
      - {source_labels: [__name__, from], separator: '-', regex: 'renamed-(.*)', target_label: __name__, replacement: 'new_$1'}
      - {source_labels: [key], modulus: 1000, target_label: shard, action: hashmod}
      - {source_labels: [b], target_label: upper, action: uppercase}
";

#[expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a skip must be seen"
)]
fn skip() {
    let line = format!("SKIPPED: scraping beside the original: no {ORIGINAL}");
    println!("{line}");
    if let Ok(list) = std::env::var("LANDLINE_TEST_SKIPS") {
        let file = std::fs::File::options()
            .append(true)
            .create(true)
            .open(list);
        file.and_then(|mut file| writeln!(file, "{line}"))
            .expect("the list of skips is writable");
    }
}

/// A process that ends with the test.
struct Original(Child);

impl Drop for Original {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Original {
    fn start(folder: &Path, port: u16) -> Self {
        let child = Command::new(ORIGINAL)
            .arg(format!(
                "--config.file={}",
                folder.join("prometheus.yml").display()
            ))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("it starts"))
    }
}

/// Series without those about the scrape, whose values differ; values in one spelling.
type Series = BTreeMap<String, String>;

fn is_compared(name: &str) -> bool {
    !name.starts_with("scrape_duration") && !name.is_empty()
}

fn ours(samples: &Samples) -> Series {
    let store = samples.store();
    let mut selection = store
        .select(&[], i64::MIN / 4, i64::MAX / 4)
        .expect("a selection");
    let labels: Vec<signals::Labels> = selection.labels().cloned().collect();
    let mut found = Series::new();
    let mut samples = SeriesSamples::default();
    for (at, labels) in labels.iter().enumerate() {
        selection.read(at, &mut samples).expect("samples");
        if let (true, Some(value)) = (
            is_compared(labels.get("__name__")),
            samples.floats.values.first(),
        ) {
            let labels: BTreeMap<&str, &str> = labels.iter().collect();
            found.insert(format!("{labels:?}"), format!("{value:?}"));
        }
    }
    found
}

fn theirs(answer: &Value) -> Series {
    let mut found = Series::new();
    for series in answer["data"]["result"].as_array().into_iter().flatten() {
        let labels: BTreeMap<&str, &str> = series["metric"]
            .as_object()
            .expect("labels")
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().expect("a text")))
            .collect();
        if is_compared(labels.get("__name__").unwrap_or(&"")) {
            let value = series["values"][0][1].as_str().expect("a value");
            let value = query::number::parse(value).expect("a number");
            found.insert(format!("{labels:?}"), format!("{value:?}"));
        }
    }
    found
}

/// Asks until it answers with series.
async fn ask(client: &Client, url: &str) -> Series {
    let begun = clock::now();
    loop {
        let request = Request::get(url)
            .body(Full::new(Bytes::new()))
            .expect("a request");
        let deadline = clock::now() + SOON;
        if let Ok(response) = client.send(request, deadline).await {
            let body = read_body(response.into_body(), 64 << 20, deadline).await;
            // Before it is ready it answers in words.
            let answer = serde_json::from_slice(&body.expect("a body"));
            let found = theirs(&answer.unwrap_or_default());
            // What is told of a scrape comes last.
            if found
                .keys()
                .any(|labels| labels.contains("scrape_series_added"))
            {
                return found;
            }
        }
        assert!(begun.elapsed() < SOON, "the original has nothing");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_original_makes_the_same_of_a_page() {
    if !Path::new(ORIGINAL).exists() {
        return skip();
    }
    let supervisor = Supervisor::new();
    let server = Server::start(&supervisor).await;
    server.put("/metrics?x=1", Page::text(PAGE));
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: a\n    params: {{x: ['1']}}\n    \
         static_configs: [{{targets: ['{0}'], labels: {{zone: z, map_m: v}}}}]{RULES}  - job_name: b\n    \
         params: {{x: ['1']}}\n    honor_labels: true\n    static_configs: [{{targets: ['{0}']}}]\n",
        server.address
    );
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("prometheus.yml"), &config).expect("written");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    let original = Original::start(folder.path(), port);
    let samples = Samples::default();
    let opened = samples.open(&folder.path().join("own"), Options::default());
    opened.expect("a store");
    let (_sender, given) = watch::channel(Vec::new());
    let sources = Sources {
        config: loaded(&config),
        given,
        environment: BTreeMap::new(),
    };
    let (_scraper, services) = Scraper::open(
        sources,
        samples.clone(),
        &base::telemetry::Metrics::default(),
    );
    for service in services {
        supervisor.register(service);
    }
    supervisor.start();
    let client = Client::new(ClientTls::default(), supervisor.clone());
    let mut expected = Series::new();
    for job in ["a", "b"] {
        // What the page says of itself in job `b` has its own `job`.
        let query = format!("%7Bjob%3D~%22{job}%7Cpage%22%7D%5B5m%5D");
        let url = format!("http://127.0.0.1:{port}/api/v1/query?query={query}");
        expected.extend(ask(&client, &url).await);
    }
    let begun = clock::now();
    while ours(&samples).len() < expected.len() {
        assert!(
            begun.elapsed() < SOON,
            "{:#?}\n{expected:#?}",
            ours(&samples)
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(ours(&samples), expected);
    assert!(expected.len() > 40, "{}", expected.len());
    drop(original);
}
