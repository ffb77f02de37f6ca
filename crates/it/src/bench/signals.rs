//! Time series beside Debian's Prometheus and VictoriaMetrics, in one run: remote write, scraping of the
//! same targets, and queries over what was scraped. What counts is CPU of the server's process.

mod history;
mod many;
mod restart;
mod servers;
mod targets;
mod writes;

use std::fmt::Write as _;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::report::Verdict;
use servers::Server;
use targets::{SERIES, TARGETS, Targets};

/// How long a store may take to show what it has taken.
const SEEN_WITHIN: Duration = Duration::from_mins(1);

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Seconds of remote write to each server.
    pub write_seconds: u64,
    /// Seconds of scraping by all servers.
    pub scrape_seconds: u64,
    /// How often each question is asked.
    pub runs: usize,
    /// Series of the largest store, without those that are replaced.
    pub series: usize,
    /// Bytes of the log that a start has to read.
    pub log_bytes: u64,
}

impl Size {
    /// What the published numbers are made with.
    pub const FULL: Self = Self {
        write_seconds: 15,
        scrape_seconds: 300,
        runs: 20,
        series: 1_000_000,
        log_bytes: 1_000_000_000,
    };
    /// A quick look, not for publication.
    pub const QUICK: Self = Self {
        write_seconds: 5,
        scrape_seconds: 60,
        runs: 5,
        series: 100_000,
        log_bytes: 100_000_000,
    };
    /// Only that everything can be measured.
    pub const TINY: Self = Self {
        write_seconds: 1,
        scrape_seconds: 5,
        runs: 1,
        series: 5_000,
        log_bytes: 1_000_000,
    };
}

/// The peers' programs, where they are.
#[derive(Debug, Clone, Default)]
pub struct Peers {
    /// Prometheus.
    pub prometheus: Option<String>,
    /// VictoriaMetrics.
    pub victoria: Option<String>,
}

impl Peers {
    /// As `cargo xtask bench` names them in the environment.
    pub fn named() -> Self {
        let named = |name: &str| std::env::var(name).ok().filter(|path| !path.is_empty());
        Self {
            prometheus: named("LANDLINE_TEST_PROMETHEUS"),
            victoria: named("LANDLINE_TEST_VICTORIA_METRICS"),
        }
    }

    /// Ours and those that are there, one after the other.
    async fn start(&self, scrapes: &str) -> Vec<Server> {
        let mut servers = vec![Server::landline(scrapes).await];
        match &self.prometheus {
            Some(program) => servers.push(Server::prometheus(program, scrapes).await),
            None => eprintln!("SKIPPED: comparison with Prometheus: it is not there"),
        }
        match &self.victoria {
            Some(program) => servers.push(Server::victoria(program, scrapes).await),
            None => eprintln!("SKIPPED: comparison with VictoriaMetrics: it is not there"),
        }
        servers
    }
}

/// A question, and from when to when at which step, in seconds; at one time without them.
#[derive(Debug, Clone, Copy)]
struct Question<'a> {
    query: &'a str,
    times: Option<(f64, f64, f64)>,
}

/// Questions over what was scraped, over a range of 240 s or what there is, each 5 s.
const RANGES: [(&str, &str); 5] = [
    ("up", "up"),
    (
        "sum by (rate), 4,000 series",
        "sum by (instance) (rate(app_requests_total[1m]))",
    ),
    (
        "avg_over_time, 4,000 series out",
        "avg_over_time(app_temperature_celsius[1m])",
    ),
    (
        "quantile by instance",
        "quantile by (instance) (0.99, app_temperature_celsius)",
    ),
    (
        "subquery",
        "max_over_time((sum(rate(app_requests_total[30s])))[1m:10s])",
    ),
];
/// Those at one time.
const INSTANTS: [(&str, &str); 4] = [
    ("instant topk", "topk(5, rate(app_bytes_total[1m]))"),
    (
        "instant count of all",
        "count by (__name__) ({job=\"bench\"})",
    ),
    ("instant, 4,000 series out", "app_requests_total"),
    ("1+1", "1+1"),
];

/// What can be measured by itself.
const PARTS: [&str; 4] = ["writes", "many", "restart", "scrape"];

/// Measures the named parts, or all.
pub async fn measure(size: Size, peers: &Peers, parts: &[String]) -> Value {
    for part in parts {
        assert!(
            PARTS.contains(&part.as_str()),
            "no part {part:?}: {PARTS:?}"
        );
    }
    let wants = |name: &str| parts.is_empty() || parts.iter().any(|part| part == name);
    let mut report = json!({});
    if wants("writes") {
        written(size, peers, &mut report).await;
    }
    if wants("many") {
        let server = Server::landline("scrape_configs: []\n").await;
        let many = many::measure(&server, size).await;
        eprintln!("landline: many series: {many}");
        report["landline"]["many"] = many;
    }
    if wants("restart") {
        let restart = restart::measure(size).await;
        eprintln!("landline: start: {restart}");
        report["landline"]["restart"] = restart;
    }
    if wants("scrape") {
        scrape(size, peers, &mut report).await;
    }
    report
}

/// Remote write, and questions over a day of it.
async fn written(size: Size, peers: &Peers, report: &mut Value) {
    for server in peers.start("scrape_configs: []\n").await {
        let history = history::measure(&server, size.runs).await;
        let writes = writes::measure(&server, size.write_seconds).await;
        eprintln!("{}: writes: {writes}; a day: {history}", server.name);
        report[server.name]["history"] = history;
        report[server.name]["writes"] = writes;
    }
}

/// Scraping by all servers at once, questions over it, and what it takes on disk.
async fn scrape(size: Size, peers: &Peers, report: &mut Value) {
    let targets = Targets::start();
    let mut servers = peers.start(&targets.configuration()).await;
    let before: Vec<f64> = servers.iter().map(Server::cpu).collect();
    tokio::time::sleep(Duration::from_secs(size.scrape_seconds)).await;
    for (server, before) in servers.iter().zip(before) {
        let cpu = server.cpu() - before;
        let scraped = scraped(server, size.scrape_seconds).await;
        report[server.name]["scrape"] = json!({
            "samples": scraped,
            "cpu_us_per_sample": round(cpu * 1e6 / scraped),
            "rss_mib": round(server.rss_mib()),
        });
    }
    for server in &servers {
        let asked = questions(server, size).await;
        eprintln!("{}: {} {asked}", server.name, report[server.name]["scrape"]);
        report[server.name]["questions"] = asked;
    }
    report["landline"]["disk"] = disk(&mut servers[0]).await;
}

/// Samples of targets that were scraped, not counting those about the scrapes.
async fn scraped(server: &Server, seconds: u64) -> f64 {
    let query = format!(
        "sum(count_over_time(up{{job=\"bench\"}}[{}s]))",
        seconds + 5
    );
    let found = server.ask("/api/v1/query", &[("query", &query)]).await;
    let scrapes: f64 = found["result"][0]["value"][1]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0.0);
    assert!(scrapes >= TARGETS as f64, "{}: {found}", server.name);
    scrapes * SERIES as f64
}

async fn questions(server: &Server, size: Size) -> Value {
    let now = std::time::SystemTime::now();
    let end = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let end = end.as_secs() as f64 - 5.0;
    let begin = end - (size.scrape_seconds.min(240) as f64);
    let mut asked = json!({});
    for (name, query) in RANGES {
        let times = Some((begin, end, 5.0));
        asked[name] = ask(server, &Question { query, times }, size.runs).await;
    }
    for (name, query) in INSTANTS {
        asked[name] = ask(server, &Question { query, times: None }, size.runs).await;
    }
    asked
}

/// Asks so often; CPU and the median of the time.
async fn ask(server: &Server, question: &Question<'_>, runs: usize) -> Value {
    let mut parameters = vec![
        ("query", question.query.to_owned()),
        ("nocache", "1".to_owned()),
    ];
    let mut path = "/api/v1/query";
    if let Some((begin, end, step)) = question.times {
        path = "/api/v1/query_range";
        parameters.push(("start", begin.to_string()));
        parameters.push(("end", end.to_string()));
        parameters.push(("step", step.to_string()));
    }
    let parameters: Vec<(&str, &str)> = parameters
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let series = seen(server, (path, &parameters)).await;
    let before = server.cpu();
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let begun = std::time::Instant::now();
        server.ask(path, &parameters).await;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    json!({
        "series": series,
        "cpu_ms": round((server.cpu() - before) * 1e3 / runs as f64),
        "p50_ms": round(times[times.len() / 2]),
    })
}

/// How many series answer; not every store shows at once what it has taken.
async fn seen(server: &Server, (path, parameters): (&str, &[(&str, &str)])) -> usize {
    let end = std::time::Instant::now() + SEEN_WITHIN;
    loop {
        let found = server.ask(path, parameters).await;
        let series = found["result"].as_array().map_or(0, Vec::len);
        if series > 0 {
            return series;
        }
        let is_late = std::time::Instant::now() > end;
        assert!(!is_late, "{}: no series for {parameters:?}", server.name);
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Bytes on disk after compaction.
async fn disk(server: &mut Server) -> Value {
    let log = folder_bytes(&server.folder().join("data/signals/wal"));
    let Some(program) = server.program() else {
        return Value::Null;
    };
    program.signal(Signal::TERM);
    assert_eq!(program.wait_exit(Duration::from_mins(1)).await, 0);
    let compacted = program.command(&["store", "compact", "--config", "landline.yaml"]);
    assert!(compacted.status.success(), "{compacted:?}");
    let inspected = program.command(&["store", "inspect", "--json", "--config", "landline.yaml"]);
    assert!(inspected.status.success(), "{inspected:?}");
    let found: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    let bytes = found["bytes"].as_f64().unwrap_or(f64::NAN);
    let samples = found["samples"].as_f64().unwrap_or(f64::NAN);
    json!({
        "samples": samples,
        "bytes": bytes,
        "bytes_per_sample": round(bytes / samples),
        "log_bytes_per_sample": round(log as f64 / samples),
    })
}

fn folder_bytes(folder: &std::path::Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .filter_map(|file| file.metadata().ok())
        .map(|about| about.len())
        .sum()
}

/// Compares with what was promised.
pub fn judge(report: &Value) -> Vec<Verdict> {
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64);
    let at_most = |goal, pointer: &str, limit: f64| Verdict {
        goal,
        measured: number(pointer).unwrap_or(f64::NAN),
        is_met: number(pointer).map(|measured| measured <= limit),
    };
    let written = number("/landline/writes/per_cpu_second");
    vec![
        at_most(
            "bytes for a sample on disk, compacted, at most 1.15",
            "/landline/disk/bytes_per_sample",
            1.15,
        ),
        Verdict {
            goal: "samples by remote write for a CPU second, at least 1,000,000",
            measured: written.unwrap_or(f64::NAN),
            is_met: written.map(|written| written >= 1e6),
        },
        at_most(
            "CPU for a scraped sample, at most 0.6 us",
            "/landline/scrape/cpu_us_per_sample",
            0.6,
        ),
        at_most(
            "rates of 100 series over a day, summed by ten groups, at most 10 ms of CPU",
            "/landline/history/sum/cpu_ms",
            10.0,
        ),
        at_most(
            "sum by (rate) of 4,000 series, at most 40 ms of CPU",
            "/landline/questions/sum by (rate), 4,000 series/cpu_ms",
            40.0,
        ),
        at_most(
            "resident with 1,000,000 series and 500,000 replaced ones, at most 3,072 MiB",
            "/landline/many/rss_mib",
            3_072.0,
        ),
        at_most(
            "the slowest question about labels of these, at most 50 ms",
            "/landline/many/slowest_p50_ms",
            50.0,
        ),
        at_most(
            "start with a log of 1 GB, at most 5 s",
            "/landline/restart/ready_s",
            5.0,
        ),
        at_most(
            "resident while scraping 20,000 series, at most 60 MiB",
            "/landline/scrape/rss_mib",
            60.0,
        ),
    ]
}

/// For people.
pub fn table(report: &Value) -> String {
    let mut text = String::new();
    for name in ["landline", "prometheus", "victoria-metrics"] {
        let Some(found) = report.get(name) else {
            continue;
        };
        writeln!(text, "{name}:").unwrap();
        for (key, value) in found.as_object().into_iter().flatten() {
            match (key.as_str(), value.as_object()) {
                ("questions", Some(questions)) => {
                    for (question, value) in questions {
                        writeln!(text, "  {question}: {value}").unwrap();
                    }
                }
                _ => writeln!(text, "  {key}: {value}").unwrap(),
            }
        }
    }
    text
}

/// Two digits.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
