//! Questions to a collector that keeps many records, as pages and programs ask them.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::proc;

/// How often each is asked; the middle one counts.
const TIMES: usize = 7;

/// What is asked, by name.
const QUESTIONS: [(&str, &str); 24] = [
    ("main list", "/v1/records"),
    ("list of 1,000", "/v1/records?limit=1000"),
    (
        "common class",
        "/v1/records?classification=org.clearlinux/heartbeat/ping",
    ),
    (
        "rare class",
        "/v1/records?classification=org.clearlinux/kernel/panic",
    ),
    (
        "classes below",
        "/v1/records?classification=org.clearlinux/crash/*",
    ),
    ("severity", "/v1/records?severity=4"),
    ("build", "/v1/records?build=34100"),
    ("system", "/v1/records?system_name=clear-linux-os"),
    (
        "machine",
        "/v1/records?machine_id=00000000000000000000000000000000",
    ),
    (
        "event",
        "/v1/records?event_id=0123456789abcdef0123456789abcdef",
    ),
    ("group", "/v1/records?group=1"),
    ("nothing of a source", "/v1/records?source=external"),
    ("project", "/v1/records?project=clear-linux"),
    (
        "nothing of a time",
        "/v1/records?until=2000-01-01T00:00:00Z",
    ),
    ("since a time", "/v1/records?since=2000-01-01T00:00:00Z"),
    ("per day by class", "/v1/records/counts?by=classification"),
    ("per day by build", "/v1/records/counts?by=build"),
    ("per day by severity", "/v1/records/counts?by=severity"),
    ("per day by system", "/v1/records/counts?by=system_name"),
    ("per day by source", "/v1/records/counts?by=source"),
    ("population", "/v1/records/population"),
    ("crash-free", "/v1/records/crash-free"),
    ("crash groups", "/v1/records/groups"),
    ("a crash group", "/v1/records/groups/1"),
];

/// What other parts of the pages, and programs, ask.
const OTHERS: [(&str, &str); 6] = [
    ("machines of a group", "/v1/records/groups/1/machines"),
    ("backtraces of a group", "/v1/records/groups/1/backtraces"),
    (
        "machines of a class",
        "/v1/records/machines?classification=org.clearlinux/crash/*",
    ),
    ("choices", "/v1/records/choices"),
    ("a record", "/v1/records/1000"),
    ("the original's list of 1,000", "/api/records?limit=1000"),
];

/// What is searched for: words in each payload, in one of fifty crashes, in one of thousands, in none.
const SEARCHES: [(&str, &str); 5] = [
    ("words of all", "/v1/records?text=connection+refused"),
    ("a stack of fifty", "/v1/records?text=function_17_3"),
    ("a common number", "/v1/records?text=pid+4711"),
    ("in no payload", "/v1/records?text=nowhere_to_be_found"),
    (
        "in no payload of a class",
        "/v1/records?text=nowhere_to_be_found&classification=org.clearlinux/crash/clr",
    ),
];

/// A body and how long it took.
pub(super) fn get(address: SocketAddr, path: &str) -> (Duration, Vec<u8>) {
    let mut body = Vec::new();
    let took = stream(address, path, |bytes| body.extend_from_slice(bytes));
    (took, body)
}

/// Shows the body as it comes; gives how long it took.
fn stream(address: SocketAddr, path: &str, mut see: impl FnMut(&[u8])) -> Duration {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut reader = BufReader::with_capacity(1 << 18, stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let read = reader.read_line(&mut head).unwrap();
        assert!(read > 0, "{path}: {head}");
    }
    let is_good = head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200");
    assert!(is_good, "{path}: {head}");
    loop {
        let bytes = reader.fill_buf().unwrap();
        let length = bytes.len();
        if length == 0 {
            return begun.elapsed();
        }
        see(bytes);
        reader.consume(length);
    }
}

/// Asks everything; resident memory is watched meanwhile.
pub(super) fn ask_all(address: SocketAddr, pid: u32) -> Value {
    proc::reset_peak(pid);
    let mut each = Map::new();
    let mut slowest: f64 = 0.0;
    for (name, path) in QUESTIONS {
        let took = middle(address, path);
        slowest = slowest.max(took);
        each.insert(name.to_owned(), json!(took));
    }
    let mut others = Map::new();
    for (name, path) in OTHERS {
        others.insert(name.to_owned(), json!(middle(address, path)));
    }
    let mut searches = Map::new();
    let mut search: f64 = 0.0;
    for (name, path) in SEARCHES {
        let took = middle(address, path);
        search = search.max(took);
        searches.insert(name.to_owned(), json!(took));
    }
    let export = "/telemetryui/records/export/records-1.csv?format_type=attach";
    // As whoever saves it: bytes are counted and not kept, which would take more than two gigabytes.
    let (mut lines, mut bytes) = (0, 0);
    let took = stream(address, export, |part| {
        lines += part.split(|byte| *byte == b'\n').count() - 1;
        bytes += part.len();
    });
    json!({
        "each_ms": each,
        "slowest_ms": slowest,
        "others_ms": others,
        "searches_ms": searches,
        "search_ms": search,
        "csv": {"records": lines - 1, "mib": bytes >> 20, "ms": took.as_secs_f64() * 1e3 / (lines as f64 / 1e5)},
        "peak_rss_kib": proc::status_kib(pid, "VmHWM"),
    })
}

/// The middle of several, in milliseconds.
fn middle(address: SocketAddr, path: &str) -> f64 {
    let mut times: Vec<Duration> = (0..TIMES).map(|_| get(address, path).0).collect();
    times.sort_unstable();
    (times[TIMES / 2].as_secs_f64() * 1e5).round() / 100.0
}
