//! Samples of an hour for the pages to show, sent by remote write as a Prometheus would.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use it::client::Connection;
use it::program::Program;
use serde_json::{Value, json};
use wire::remote_write::{Encoder, Points, Sample, Version};
use wire::snappy;

/// Two machines; the pages show the one that the address names.
const MACHINES: [&str; 2] = ["attic", "cellar"];
/// Not the one by which the monitor scrapes its own machine.
const JOB: &str = "fleet";
/// Between two samples, in milliseconds.
const STEP_MS: i64 = 15_000;
/// How many samples each series has: 50 minutes of them.
const COUNT: i32 = 200;
const GIB: f64 = 1_073_741_824.0;

/// A series of one machine: its name, more labels, the first value, and what each sample adds.
type Row = (
    &'static str,
    &'static [(&'static str, &'static str)],
    f64,
    f64,
);

const ROWS: [Row; 15] = [
    ("up", &[], 1.0, 0.0),
    ("node_boot_time_seconds", &[], 1_790_000_000.0, 0.0),
    (
        "node_cpu_seconds_total",
        &[("cpu", "0"), ("mode", "idle")],
        900.0,
        10.5,
    ),
    (
        "node_cpu_seconds_total",
        &[("cpu", "0"), ("mode", "user")],
        90.0,
        4.5,
    ),
    (
        "node_disk_read_bytes_total",
        &[("device", "vda")],
        1e6,
        30_000.0,
    ),
    (
        "node_disk_written_bytes_total",
        &[("device", "vda")],
        1e6,
        900_000.0,
    ),
    (
        "node_filesystem_avail_bytes",
        &[
            ("device", "/dev/vda1"),
            ("fstype", "ext4"),
            ("mountpoint", "/"),
        ],
        2.0 * GIB,
        0.0,
    ),
    (
        "node_filesystem_size_bytes",
        &[
            ("device", "/dev/vda1"),
            ("fstype", "ext4"),
            ("mountpoint", "/"),
        ],
        40.0 * GIB,
        0.0,
    ),
    ("node_load1", &[], 0.5, 0.01),
    ("node_load5", &[], 0.4, 0.01),
    ("node_load15", &[], 0.3, 0.01),
    ("node_memory_MemAvailable_bytes", &[], 5.0 * GIB, -4e6),
    ("node_memory_MemTotal_bytes", &[], 8.0 * GIB, 0.0),
    (
        "node_network_receive_bytes_total",
        &[("device", "eth0")],
        1e6,
        60_000.0,
    ),
    ("node_time_seconds", &[], 1_790_086_400.0, 15.0),
];

/// Sends everything in one request, and tells the browser of it: the machines, and until when they were
/// looked at. All views together take longer than a sample counts as the newest one.
pub(super) async fn send(hub: &Program) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_millis()).unwrap();
    let first = now - STEP_MS * i64::from(COUNT);
    let mut request = Encoder::new(Version::One);
    for machine in MACHINES {
        let instance = format!("{machine}:9100");
        for (name, more, begin, by) in ROWS {
            let labels = sorted(name, &instance, more);
            add(&mut request, &labels, first, (begin, by));
        }
        let known = [
            ("nodename", machine),
            ("release", "6.12.48"),
            ("sysname", "Linux"),
        ];
        let labels = sorted("node_uname_info", &instance, &known);
        add(&mut request, &labels, first, (1.0, 0.0));
    }
    let packed = snappy::pack(&request.finish()).expect("it is small");
    let authority = hub.main.to_string();
    let mut connection = Connection::open(&authority).await.unwrap();
    let headers = [
        ("content-type", Version::One.content_type()),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", "0.1.0"),
    ];
    let to = ("POST", "/api/v1/write");
    let body = Bytes::from(packed);
    let reply = connection.send_bytes(to, &headers, body).await.unwrap();
    assert_eq!(reply.status, 204, "{}", reply.text());
    json!({"machines": MACHINES, "until": now})
}

fn sorted<'a>(
    name: &'a str,
    instance: &'a str,
    more: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let mut labels = vec![("__name__", name), ("instance", instance), ("job", JOB)];
    labels.extend(more);
    labels.sort_unstable();
    labels
}

fn add(request: &mut Encoder, labels: &[(&str, &str)], first: i64, (begin, by): (f64, f64)) {
    let samples: Vec<Sample> = (0..COUNT)
        .map(|number| Sample {
            value: begin + by * f64::from(number),
            timestamp: first + STEP_MS * i64::from(number),
            start: 0,
        })
        .collect();
    let points = Points {
        samples: &samples,
        ..Points::default()
    };
    let labels = labels
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    request.series(labels, &points);
}
