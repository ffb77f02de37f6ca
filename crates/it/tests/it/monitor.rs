//! The monitor as its clients know it: Prometheus' paths, promtool, rights, and a replacement that
//! hands over the store.

use std::net::{IpAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, SystemTime};

use it::need::{need, skip};
use it::program::{Program, send_signal};
use it::samples::{self, Series};
use it::stubs::pages::Pages;
use it::{client, proc, wait};
use rustix::process::Signal;
use serde_json::{Value, json};
use wire::remote_write::Version;

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
            let log = program.stderr();
            assert!(!log.contains("not replaced"), "{log}");
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

/// A successor that would not get the store open says so before it is ready, and the old process goes on.
#[tokio::test]
async fn a_successor_that_cannot_open_the_store_leaves_it_to_the_old_process() {
    let program = Program::start(&samples::monitor(json!({}))).await;
    let old = program.pid();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = i64::try_from(now.unwrap().as_millis()).unwrap();
    let series = Series::new(&[("__name__", "kept")]).at(now, 1.0);
    samples::write(&program.main.to_string(), Version::Two, &[series]).await;
    let manifest = program.path("data/signals/MANIFEST");
    let content = std::fs::read(&manifest).unwrap();
    std::fs::write(&manifest, "landline-signals 1\nnonsense\n").unwrap();
    send_signal(old, Signal::HUP);
    wait::until("the successor has given up", REPLACED, async || {
        let log = program.stderr();
        log.contains("its last line is missing").then_some(())
    })
    .await;
    let ask = async || {
        let reply = program.main("GET", "/api/v1/series?match[]=kept").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(reply.text().contains("kept"), "{}", reply.text());
        program.serving_pid().await
    };
    wait::until("one process is left", REPLACED, async || {
        (program.generations() == [old]).then_some(())
    })
    .await;
    assert_eq!(ask().await, Some(old));
    std::fs::write(&manifest, content).unwrap();
    send_signal(old, Signal::HUP);
    wait::until("the old process has handed over", REPLACED, async || {
        (!proc::is_alive(old)).then_some(())
    })
    .await;
    assert_ne!(ask().await, Some(old));
}

/// The process reaches itself where the main listener has no address of loopback.
#[tokio::test]
async fn machines_are_scraped_where_the_listener_is_not_on_loopback() {
    let Some(own) = outer_address() else {
        return skip("this machine has no address but its own");
    };
    let pages = Pages::start(&[("/metrics", "page_up 1\n")]).await;
    let page = pages.server.url("/metrics");
    let configuration = json!({
        "roles": ["monitor", "gateway"],
        "listen": format!("{own}:0"),
        "data_dir": "data",
        "monitor": {"listen": "127.0.0.1:0", "interval": "1s"},
        "gateway": {"targets": [{"name": "page", "url": page}]},
    });
    let program = Program::start(&configuration.to_string()).await;
    let listeners = std::fs::read(program.path("data/listeners.json")).unwrap();
    let listeners: Value = serde_json::from_slice(&listeners).unwrap();
    let url = format!("http://{}", listeners["monitor"].as_str().unwrap());
    let query = "/api/v1/query?query=sum(up)%20by%20(job)%20%3D%3D%201";
    wait::until(
        "the machine and the page are scraped",
        REPLACED,
        async || {
            let reply = client::get(&format!("{url}{query}"), &[])
                .await
                .ok()?
                .json();
            let found = reply["data"]["result"].as_array()?;
            (found.len() == 2).then_some(())
        },
    )
    .await;
    let reply = client::get(&format!("{url}/api/v1/targets"), &[]).await;
    let shown = reply.unwrap().json()["data"]["activeTargets"].to_string();
    assert!(shown.contains("/v1/host/metrics"), "{shown}");
}

/// An address of this machine that is not the one that it calls itself by; nothing is sent.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback()).then_some(address)
}
