//! A real vmagent sends to the monitor: what it has scraped is here, also what it scraped while nobody
//! was; and what a newer one tries first is refused in the way that makes it try again.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use it::client::{self, Connection};
use it::need::need;
use it::program::Program;
use it::prometheus::free_port;
use it::samples::{self, point};
use it::stubs::page;
use it::stubs::pages::Pages;
use it::wait;
use rustix::process::Signal;
use serde_json::json;

/// The longest until what was scraped is here.
const ARRIVED: Duration = Duration::from_mins(1);
/// How long nobody is there: a few scrapes.
const AWAY: Duration = Duration::from_secs(4);
/// Between two scrapes, in milliseconds, and how far it may be off on a busy machine.
const INTERVAL_MS: i64 = 1_000;
const LATE_MS: i64 = 700;

/// The running vmagent.
#[derive(Debug)]
struct Agent {
    _folder: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl Agent {
    fn start(program: &str, scraped: &str, url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let configuration = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [
                {"job_name": "page", "static_configs": [{"targets": [scraped]}]},
            ],
        });
        let path = folder.path().join("scrape.yml");
        std::fs::write(&path, configuration.to_string()).unwrap();
        let port = free_port();
        let child = Command::new(program)
            .arg("-promscrape.config=scrape.yml")
            .arg(format!("-remoteWrite.url={url}"))
            .arg("-remoteWrite.tmpDataPath=queue")
            .arg("-remoteWrite.flushInterval=1s")
            .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            _folder: folder,
            port,
            child,
        }
    }

    /// The sum of one of its counters.
    async fn counter(&self, name: &str) -> f64 {
        let url = format!("http://127.0.0.1:{}/metrics", self.port);
        let page = client::get(&url, &[]).await.unwrap().text();
        let lines = page.lines().filter(|line| line.starts_with(name));
        let values = lines.map(|line| line.rsplit_once(' ').unwrap().1);
        values.map(|value| value.parse::<f64>().unwrap()).sum()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The times of `up`, in milliseconds since 1970.
async fn times(authority: &str) -> Vec<i64> {
    let now = std::time::SystemTime::now();
    let now = now
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    let found = samples::query(authority, "up{job=\"page\"}[1h]", now.as_secs_f64()).await;
    let Some(values) = found[0]["values"].as_array() else {
        return Vec::new();
    };
    values.iter().map(|value| point(value).0).collect()
}

#[tokio::test]
async fn a_vmagent_sends_all_that_it_scraped() {
    let Some(program) = need("VMAGENT") else {
        return;
    };
    let configuration = samples::monitor(json!({}));
    let port = free_port();
    let configuration = configuration.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    let mut landline = Program::start(&configuration).await;
    let here = landline.main.to_string();
    let pages = Pages::start(&[("/metrics", &page(30))]).await;
    let url = pages.server.url("");
    let scraped = url.trim_start_matches("http://").trim_end_matches('/');
    let agent = Agent::start(&program, scraped, &format!("http://{here}/api/v1/write"));
    let reaches = async |count: usize| {
        wait::until("samples have come", ARRIVED, async || {
            (times(&here).await.len() >= count).then_some(())
        })
        .await;
    };
    reaches(3).await;
    landline.signal(Signal::TERM);
    assert_eq!(landline.wait_exit(wait::SOON).await, 0);
    tokio::time::sleep(AWAY).await;
    let before = agent
        .counter("vmagent_remotewrite_retries_count_total")
        .await;
    assert!(before > 0.0, "it has tried in vain");
    landline.restart();
    landline.ready().await;
    reaches(12).await;
    let times = times(&here).await;
    let gap = times.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(gap < Some(INTERVAL_MS + LATE_MS), "{gap:?}: {times:?}");
    let lost = agent
        .counter("vmagent_remotewrite_packets_dropped_total")
        .await;
    assert!(lost == 0.0, "{lost} were dropped");
    // The page has come as it is.
    let now = (times[times.len() - 1] + 500) as f64 / 1_000.0;
    let found = samples::query(&here, "count({job=\"page\", __name__=~\"stub.*\"})", now).await;
    assert_eq!(found[0]["value"][1], "30");
    let four = "stub_family_2{job=\"page\", member=\"4\"}";
    let found = samples::query(&here, four, now).await;
    assert_eq!(found[0]["value"][1], "2004");
}

/// A vmagent since version 1.88 packs with zstd first, and with Snappy once it is answered 415 or 400.
#[tokio::test]
async fn zstd_is_refused_with_415() {
    let landline = Program::start(&samples::monitor(json!({}))).await;
    let mut connection = Connection::open(&landline.main.to_string()).await.unwrap();
    let headers = [
        ("content-encoding", "zstd"),
        ("content-type", "application/x-protobuf"),
        ("x-victoriametrics-remote-write-version", "1"),
    ];
    let frame = b"\x28\xb5\x2f\xfd\x24\x00\x01\x00\x00\x99\xe9\xd8\x51";
    let path = ("POST", samples::WRITE);
    let reply = connection
        .send_bytes(path, &headers, frame.as_slice().into())
        .await
        .unwrap();
    assert_eq!(reply.status, 415);
    assert!(reply.text().contains("snappy"), "{}", reply.text());
}
