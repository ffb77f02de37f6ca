//! The benchmark's own parts, so that its numbers can be believed.

use it::bench::artefacts;
use it::bench::keep::Keep;
use it::bench::nginx::Nginx;
use it::bench::report;
use it::bench::upstream::{TOKEN, Upstream};
use it::need::need;
use serde_json::json;

/// Upstream, nginx and client agree on the page.
#[test]
fn nginx_passes_the_same_page() {
    let Some(program) = need("NGINX") else { return };
    let upstream = Upstream::start();
    let bearer = format!("authorization: Bearer {TOKEN}\r\n");
    let mut direct = Keep::open(upstream.address, "/metrics", &bearer).unwrap();
    direct.ask().unwrap();
    let nginx = Nginx::start(&program, &upstream);
    let mut through = Keep::open(nginx.address, "/metrics", "").unwrap();
    for _ in 0..50 {
        through.ask().unwrap();
    }
    assert_eq!(direct.body(), through.body());
    assert!(
        Keep::open(upstream.address, "/metrics", "")
            .unwrap()
            .ask()
            .is_err()
    );
}

/// A missed goal is called missed, an unmeasured one is not called met.
#[test]
fn goals_are_judged() {
    let report = json!({"latency": {"direct": {"median_us": 100.0}, "nginx": {"median_us": 150.0},
        "landline": {"median_us": 180.0}}, "idle": {"rss_kib": 10.0}});
    let verdicts = report::judge(&report);
    let met: Vec<_> = verdicts.iter().map(|verdict| verdict.is_met).collect();
    assert_eq!(met, [Some(true), Some(false), None, None, Some(true), None]);
    assert!(report::verdict_lines(&verdicts).contains("MISSED"));
}

/// Everything about artefacts can be measured, and is judged.
#[tokio::test]
async fn artefacts_are_measured() {
    let Some(nginx) = need("NGINX") else { return };
    let report = artefacts::measure(artefacts::Size::TINY, Some(&nginx)).await;
    for pointer in [
        "/parts/landline/mb_per_second",
        "/parts/nginx/mb_per_second",
        "/parts/ratio_to_nginx_synced",
        "/last_byte/worst_s",
        "/huge/peak_kib",
        "/lists/runs/worst_ms",
        "/lists/runs_by_s3/all_ms",
        "/lists/objects/p99_ms",
        "/lists/objects_by_v1/median_ms",
    ] {
        let found = report.pointer(pointer).and_then(serde_json::Value::as_f64);
        assert!(
            found.is_some_and(|number| number > 0.0),
            "{pointer}: {report}"
        );
    }
    let verdicts = artefacts::judge(&report);
    assert!(verdicts.iter().all(|verdict| verdict.is_met.is_some()));
    assert!(artefacts::table(&report).contains("nginx_synced"));
}

/// The lower of two bars counts, and without a peer only the absolute one can be met.
#[test]
fn parts_are_judged_by_the_lower_bar() {
    let met = |ours: f64, nginx: Option<f64>| {
        let report = json!({"parts": {"landline": {"mb_per_second": ours},
            "nginx_synced": {"mb_per_second": nginx}, "nginx": {"mb_per_second": nginx}}});
        artefacts::judge(&report)[0].is_met
    };
    assert_eq!(met(200.0, Some(250.0)), Some(true));
    assert_eq!(met(199.0, Some(250.0)), Some(false));
    assert_eq!(met(400.0, Some(2_000.0)), Some(true));
    assert_eq!(met(399.0, Some(2_000.0)), Some(false));
    assert_eq!(met(400.0, None), Some(true));
    assert_eq!(met(399.0, None), None);
}
