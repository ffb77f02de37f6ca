//! Lists where there is much: thousands of runs in a group, many objects in a run.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wire::s3::key::percent_encode;

use super::line::{Answer, Line};
use super::{Size, round};
use crate::artefacts::Store;

/// Connections that fill the store.
const CONNECTIONS: usize = 32;
/// How often all pages of a list are read.
const ROUNDS: usize = 5;
/// How often it is told how far the filling is.
const TOLD: Duration = Duration::from_secs(10);
/// Runs that a page of the web shows, and those of the largest page.
const PAGE_OF_WEB: u64 = 50;
const PAGE: u64 = 500;

/// Fills and asks.
pub(super) fn measure(size: Size, store: &Store) -> Value {
    let runs = fill("runs", size.runs, store.address, |line, number| {
        let path = format!("/telemetry?request_id=run-{number:06}&telemetry_group=many");
        let body = telemetry(number);
        let headers = "content-type: application/json\r\n";
        line.send("POST", (&path, headers), (&body, body.len() as u64))
    });
    let objects = fill("objects", size.objects, store.address, |line, number| {
        let folder = number / 1_000;
        let path = format!("/artefacts/deep/1/logs/{folder:03}/pod-{number:06}.log");
        line.put(&path, (b"a short log\n", 12))
    });
    let mut line = Line::open(store.address).unwrap();
    let first = format!("/v1/artefacts/runs?group=many&limit={PAGE_OF_WEB}");
    let first = repeated(&mut line, &first);
    json!({
        "filled": {"runs_per_second": runs, "objects_per_second": objects},
        "runs": runs_by_pages(&mut line, PAGE, size.runs),
        "runs_first_page": first,
        "runs_of_web": runs_by_pages(&mut line, PAGE_OF_WEB, size.runs),
        "runs_by_s3": by_s3(&mut line, "prefix=many%2F&delimiter=%2F", ("<CommonPrefixes>", size.runs)),
        "objects": by_s3(&mut line, "prefix=deep%2F1%2F", ("<Contents>", size.objects)),
        "objects_by_v1": files_by_v1(&mut line, size.objects),
    })
}

/// As krkn ends a run, in short.
fn telemetry(number: u64) -> Vec<u8> {
    let body = json!({
        "scenarios": [{
            "scenario": format!("pod-kill-{}", number % 7),
            "exit_status": i32::from(number.is_multiple_of(9)),
            "affected_pods": {"recovered": [{"total_recovery_time": 12.5}], "unrecovered": []},
        }],
        "node_summary_infos": [],
        "node_taints": [],
        "tag": format!("nightly-{}", number % 30),
        "job_status": !number.is_multiple_of(9),
        "cluster_version": format!("4.{}.1", number % 5 + 14),
    });
    body.to_string().into_bytes()
}

/// Sends so many requests over many connections; how many of them a second.
fn fill(
    what: &str,
    count: u64,
    address: SocketAddr,
    send: impl Fn(&mut Line, u64) -> std::io::Result<Answer> + Sync,
) -> f64 {
    let next = AtomicU64::new(0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut line = Line::open(address).unwrap();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    let mut answer = send(&mut line, number).unwrap();
                    // It takes four bodies of telemetry at once, and says so.
                    while answer.status == 503 {
                        std::thread::sleep(Duration::from_millis(20));
                        answer = send(&mut line, number).unwrap();
                    }
                    let text = String::from_utf8_lossy(&answer.body);
                    assert_eq!(answer.status, 200, "{what} {number}: {text}");
                }
            });
        }
        let mut told = Instant::now();
        loop {
            let done = next.load(Ordering::Relaxed).min(count);
            if done >= count {
                break;
            }
            if told.elapsed() >= TOLD {
                told = Instant::now();
                eprintln!("{what}: {done} of {count}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    (count as f64 / begun.elapsed().as_secs_f64()).round()
}

/// How long pages took, in milliseconds, and lists of all pages.
#[derive(Default)]
struct Times {
    pages: Vec<f64>,
    first: Vec<f64>,
    last: Vec<f64>,
    all: Vec<f64>,
}

impl Times {
    /// Another list, page by page.
    fn add(&mut self, pages: &[f64]) {
        self.pages.extend(pages);
        self.first.extend(pages.first());
        self.last.extend(pages.last());
        self.all.push(pages.iter().sum());
    }

    fn report(&self) -> Value {
        json!({
            "pages": self.pages.len() / self.all.len().max(1),
            "median_ms": quantile(&self.pages, 0.5),
            "p99_ms": quantile(&self.pages, 0.99),
            "worst_ms": quantile(&self.pages, 1.0),
            "first_ms": quantile(&self.first, 0.5),
            "last_ms": quantile(&self.last, 0.5),
            "all_ms": quantile(&self.all, 0.5),
        })
    }
}

fn quantile(times: &[f64], quantile: f64) -> Option<f64> {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1) as f64;
    let at = (last * quantile).round();
    let mut found = sorted.iter().enumerate();
    let found = found.find(|(index, _)| *index as f64 >= at);
    found.map(|(_, time)| round(*time))
}

/// An answer, and how long it took.
fn ask(line: &mut Line, path: &str) -> (Answer, f64) {
    let begun = Instant::now();
    let answer = line.get(path, "").unwrap();
    (answer, begun.elapsed().as_secs_f64() * 1e3)
}

/// An answer that has to be a good one, as JSON.
fn parsed(path: &str, answer: &Answer) -> Value {
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// One page again and again.
fn repeated(line: &mut Line, path: &str) -> Value {
    let mut times = Vec::new();
    for _ in 0..ROUNDS * 10 {
        let (answer, time) = ask(line, path);
        parsed(path, &answer);
        times.push(time);
    }
    json!({
        "median_ms": quantile(&times, 0.5),
        "p99_ms": quantile(&times, 0.99),
        "worst_ms": quantile(&times, 1.0),
    })
}

/// All runs of the group, by pages of so many.
fn runs_by_pages(line: &mut Line, limit: u64, expected: u64) -> Value {
    let mut times = Times::default();
    for _ in 0..ROUNDS {
        let (mut pages, mut count, mut before) = (Vec::new(), 0, String::new());
        loop {
            let path = format!("/v1/artefacts/runs?group=many&limit={limit}{before}");
            let (answer, time) = ask(line, &path);
            let page = parsed(&path, &answer);
            let runs = page["runs"].as_array().map_or(0, Vec::len) as u64;
            // A page behind the last one may be empty.
            if runs > 0 {
                pages.push(time);
            }
            count += runs;
            match page["next"].as_i64() {
                Some(next) => before = format!("&before={next}"),
                None => break,
            }
        }
        assert_eq!(count, expected, "runs by pages of {limit}");
        times.add(&pages);
    }
    times.report()
}

/// All of a list of S3, by pages of 1,000; `counted` is the element that there are so many of.
fn by_s3(line: &mut Line, query: &str, counted: (&str, u64)) -> Value {
    let (element, expected) = counted;
    let mut times = Times::default();
    for _ in 0..ROUNDS {
        let (mut pages, mut count, mut token) = (Vec::new(), 0, String::new());
        loop {
            let path = format!("/artefacts?list-type=2&max-keys=1000&{query}{token}");
            let (answer, time) = ask(line, &path);
            pages.push(time);
            let text = String::from_utf8(answer.body).unwrap();
            assert_eq!(answer.status, 200, "{text}");
            count += text.matches(element).count() as u64;
            let next = text.split_once("<NextContinuationToken>");
            match next.and_then(|(_, rest)| rest.split('<').next()) {
                Some(next) => {
                    token = format!("&continuation-token={}", percent_encode(next, false));
                }
                None => break,
            }
        }
        assert_eq!(count, expected, "{query}");
        times.add(&pages);
    }
    times.report()
}

/// All files of the run as the page asks for them.
fn files_by_v1(line: &mut Line, expected: u64) -> Value {
    let mut times = Times::default();
    for _ in 0..ROUNDS {
        let (mut pages, mut count, mut after) = (Vec::new(), 0, String::new());
        loop {
            let path = format!("/v1/artefacts/runs/deep/1/files?limit=1000{after}");
            let (answer, time) = ask(line, &path);
            pages.push(time);
            let page = parsed(&path, &answer);
            count += page["files"].as_array().map_or(0, Vec::len) as u64;
            match page["next"].as_str() {
                Some(next) => after = format!("&after={}", percent_encode(next, false)),
                None => break,
            }
        }
        assert_eq!(count, expected, "files by pages of 1,000");
        times.add(&pages);
    }
    times.report()
}
