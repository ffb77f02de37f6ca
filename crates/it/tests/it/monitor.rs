//! The monitor as its clients know it: Prometheus' paths, promtool, rights, and a replacement that
//! hands over the store.

use std::process::Command;
use std::time::Duration;

use it::need::need;
use it::program::{Program, send_signal};
use it::{client, proc, wait};
use rustix::process::Signal;
use serde_json::json;

/// The longest a replacement may take on a busy machine.
const REPLACED: Duration = Duration::from_secs(30);

async fn start() -> Program {
    let configuration = json!({
        "roles": ["monitor"],
        "listen": "127.0.0.1:0",
        "data_dir": "data",
        "monitor": {"listen": "127.0.0.1:0"},
    });
    Program::start(&configuration.to_string()).await
}

#[tokio::test]
async fn promtool_asks_it_as_a_prometheus() {
    let Some(promtool) = need("PROMTOOL") else {
        return;
    };
    let program = start().await;
    let url = format!("http://{}", program.main);
    let ask = |arguments: &[&str]| {
        let output = Command::new(&promtool).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let instant = ask(&["query", "instant", &url, "vector(1) + 1"]);
    assert!(instant.starts_with("{} => 2 @["), "{instant}");
    let range = ask(&["query", "range", "--step=1m", &url, "vector(7)"]);
    assert!(range.contains("7 @["), "{range}");
    let labels = ask(&["query", "labels", &url, "job"]);
    assert!(!labels.contains("rror"), "{labels}");
}

/// What a front passes on is not from this machine, and without proof nobody else sees anything.
#[tokio::test]
async fn strangers_are_asked_who_they_are() {
    let program = start().await;
    for path in [
        "/api/v1/query?query=1",
        "/api/v1/labels",
        "/api/v1/status/tsdb",
        "/federate?match[]=up",
    ] {
        let url = format!("http://{}{path}", program.main);
        let near = client::get(&url, &[]).await.unwrap();
        assert_eq!(near.status, 200, "{path}: {}", near.text());
        let passed_on = [("x-forwarded-for", "192.0.2.1")];
        let far = client::get(&url, &passed_on).await.unwrap();
        assert_eq!(far.status, 401, "{path}");
    }
    let path = "/api/v1/admin/tsdb/delete_series?match[]=up";
    assert_eq!(program.main("POST", path).await.status, 401);
}

/// Only one process may have the store: the successor takes it over while queries come in.
#[tokio::test]
async fn a_replacement_takes_the_store_over() {
    let program = start().await;
    let mut old = program.pid();
    for _ in 0..3 {
        send_signal(old, Signal::HUP);
        wait::until("the old process has handed over", REPLACED, async || {
            let reply = program.main("GET", "/api/v1/query?query=1").await;
            assert!(matches!(reply.status, 200 | 503), "{}", reply.text());
            (!proc::is_alive(old)).then_some(())
        })
        .await;
        let reply = program.main("GET", "/api/v1/status/tsdb").await;
        assert_eq!(reply.status, 200, "{}", program.stderr());
        let new = wait::until("the new process answers", REPLACED, async || {
            program.serving_pid().await
        });
        let new = new.await;
        assert_ne!(new, old);
        old = new;
    }
}
