//! Artefacts for the pages to show, uploaded as krkn and CI jobs upload them.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use it::client::Connection;
use it::program::Program;
use it::telemetrics::TID;
use serde_json::{Value, json};
use wire::s3::key::percent_encode;
use wire::tar;

use super::VIEWS;

/// The group that all views look at.
pub(super) const GROUP: &str = "chaos lab";
/// A group that takes next to nothing, so that its clients try again.
const FULL: &str = "full";
/// Lines of a log: more than one window has.
pub(super) const LINES: usize = 4_000;
/// Files of a folder: more than a page has.
pub(super) const FILES: usize = 230;
/// A small picture, in base64.
const PICTURE: &str = "\
     iVBORw0KGgoAAAANSUhEUgAAADAAAAAgCAIAAADbtmxLAAAARklEQVR42mN4v0AbK5LP9sKKaK2eYdRBow4addCI\
     c9BAWYxL/aiDRh006qCR56DRknrUQaMOGnXQaHtotOoYddCog0a4gwCPRqpqRDjAkAAAAABJRU5ErkJggg==";

/// The section `collector.artefacts`.
pub(super) fn section() -> Value {
    json!({
        "retention": "90d",
        "quota": {"total": "1GiB", "group": "100MiB", "keep_free": "1B"},
        "groups": {FULL: {"quota": "1KiB"}},
    })
}

/// What the browser has to know of them.
pub(super) fn told() -> Value {
    json!({"group": GROUP, "lines": LINES, "files": FILES})
}

struct Uploads {
    authority: String,
    connection: Connection,
}

impl Uploads {
    /// The status and the body of the answer to a request.
    async fn ask(&mut self, (method, path): (&str, &str), body: &[u8]) -> (u16, String) {
        let body = Bytes::copy_from_slice(body);
        let headers = [
            ("host", self.authority.as_str()),
            ("content-type", "application/json"),
        ];
        let reply = self
            .connection
            .send_bytes((method, path), &headers, body)
            .await
            .unwrap();
        (reply.status, reply.text())
    }

    /// The status of an upload by a link.
    async fn put(&mut self, (group, run): (&str, &str), name: &str, body: &[u8]) -> u16 {
        let run = percent_encode(&format!("{group}/{run}"), false);
        let name = percent_encode(name, false);
        let path = format!("/presigned-url?request_id={run}&remote_filename={name}");
        let (status, link) = self.ask(("GET", &path), b"").await;
        if status != 200 {
            return status;
        }
        let path = link.split_once(&self.authority).expect("a link to here").1;
        self.ask(("PUT", path), body).await.0
    }

    async fn telemetry(&mut self, (group, run): (&str, &str), body: &Value) {
        let group = percent_encode(group, false);
        let path = format!("/telemetry?request_id={run}&telemetry_group={group}");
        let body = body.to_string();
        let (status, text) = self.ask(("POST", &path), body.as_bytes()).await;
        assert_eq!(status, 200, "{text}");
    }
}

/// Telemetry of two scenarios; the second one fails when the run has failed.
fn telemetry(number: u32, has_passed: bool) -> Value {
    let begun = 1_790_000_000 + number * 10_000;
    let pod = |name: &str, seconds: f64| {
        json!({
            "pod_name": name, "namespace": "openshift-etcd", "total_recovery_time": seconds,
            "pod_readiness_time": seconds * 0.7, "pod_rescheduling_time": seconds * 0.3,
        })
    };
    let seconds = f64::from(number);
    let lost = if has_passed {
        json!([])
    } else {
        json!([{"pod_name": "etcd-guard-3", "namespace": "openshift-etcd"}])
    };
    json!({
        "scenarios": [
            {
                "scenario": "scenarios/pod_kill.yml", "scenario_type": "pod_disruption_scenarios",
                "exit_status": 0, "start_timestamp": begun, "end_timestamp": begun + 95,
                "parameters_base64": "Y29uZmlnOgogIGtpbGw6IDEKICBuYW1lc3BhY2U6IG9wZW5zaGlmdC1ldGNkCg==",
                "affected_pods": {"recovered": [pod("etcd-1", 12.5 + seconds), pod("etcd-2", 9.25)], "unrecovered": []},
            },
            {
                "scenario": "scenarios/node_stop.yml", "scenario_type": "node_scenarios",
                "exit_status": i32::from(!has_passed), "start_timestamp": begun + 100, "end_timestamp": begun + 400,
                "affected_pods": {"recovered": [pod("etcd-0", 180.0 - 7.0 * seconds)], "unrecovered": lost},
                "affected_nodes": [{"node_name": "worker-7", "not_ready_time": 41.2, "ready_time": 118.75}],
            },
        ],
        "node_summary_infos": [{"count": 3, "architecture": "amd64", "instance_type": "m6i.2xlarge", "kubelet_version": "v1.29.8"}],
        "node_taints": [], "job_status": has_passed, "run_uuid": TID,
        "tag": if number.is_multiple_of(2) { "nightly" } else { "release" },
        "cluster_version": format!("4.16.{number}"), "network_plugins": ["OVNKubernetes"],
        "alerts": [{"alertname": "etcdMembersDown", "alertstate": "firing", "severity": "critical", "namespace": "openshift-etcd"}],
        "what_tomorrow_brings": {"kept": ["as", "it", "is"]},
    })
}

fn archive() -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, text) in [
        ("prometheus/meta.json", "{\"version\": 1}\n"),
        ("prometheus/wal/00000001.log", "the first segment\n"),
        ("prometheus/wal/00000002.log", "the second segment\n"),
    ] {
        let size = text.len() as u64;
        bytes.extend(tar::head(name, size, 1_790_000_000));
        bytes.extend(text.as_bytes());
        bytes.extend(vec![0; tar::padding(size)]);
    }
    bytes.extend(tar::end());
    bytes
}

fn packed_log() -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for line in 1..=LINES {
        writeln!(
            encoder,
            "2026-11-21T10:00:00Z INFO step {line} of the recovery is done"
        )
        .unwrap();
    }
    encoder.finish().unwrap()
}

/// Runs that all views look at, and for each view a group that it alone changes.
pub(super) async fn upload(hub: &Program) {
    let authority = format!("127.0.0.1:{}", hub.main.port());
    let connection = Connection::open(&authority).await.unwrap();
    let mut uploads = Uploads {
        authority,
        connection,
    };
    for (number, has_passed) in [(1, true), (2, false), (3, true), (4, true)] {
        let run = format!("1790000{number}-run-{number}");
        uploads
            .telemetry((GROUP, &run), &telemetry(number, has_passed))
            .await;
    }
    let (old, new) = ("17900003-run-3", "17900004-run-4");
    let parts = archive();
    let (first, second) = parts.split_at(1_000);
    let picture = STANDARD.decode(PICTURE).unwrap();
    for (name, body) in [
        ("prometheus-00.tar", first),
        ("prometheus-01.tar", second),
        ("results/krkn.log.gz", &packed_log()),
        (
            "results/report.json",
            b"{\"steps\": [{\"name\": \"kill\"}], \"done\": true}",
        ),
        ("console.png", &picture),
        ("core.bin", &[0, 1, 2, 255].repeat(512)),
        ("notes.txt", b"the first version\n"),
        ("notes.txt", b"the second version\n"),
    ] {
        assert_eq!(uploads.put((GROUP, new), name, body).await, 200, "{name}");
    }
    for (name, body) in [("notes.txt", "another text\n"), ("only-here.txt", "x\n")] {
        assert_eq!(uploads.put((GROUP, old), name, body.as_bytes()).await, 200);
    }
    for number in 0..FILES {
        let name = format!("pods/{number:05}-pod.log");
        let status = uploads.put((GROUP, old), &name, b"ready\n").await;
        assert_eq!(status, 200, "{name}");
    }
    for view in VIEWS {
        let own = format!("own-{view}");
        for run in ["1-keep", "2-remove"] {
            let status = uploads.put((&own, run), "notes.txt", view.as_bytes()).await;
            assert_eq!(status, 200, "{own}/{run}");
        }
    }
    for _ in 0..3 {
        let status = uploads
            .put((FULL, "1-large"), "large.tar", &[7; 2_048])
            .await;
        assert_eq!(status, 507);
    }
}
