//! The benchmark's own parts, so that its numbers can be believed.

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
