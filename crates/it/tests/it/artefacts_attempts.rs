//! Wrong passwords and signatures: who shows too many waits, and who is right at the same address does
//! not.

use it::artefacts::{PASSWORD, Store, USER, section};
use it::client;
use it::cluster;
use it::program::Program;
use serde_json::{Value, json};
use wire::auth::basic;

const OTHER: (&str, &str) = ("ci", "ci-password");

fn users() -> Value {
    json!([
        {"name": USER, "password": {"file": "krkn.password"}},
        {"name": OTHER.0, "password": OTHER.1},
    ])
}

async fn start() -> Store {
    Store::start(section(json!({"users": users(), "access": "closed"}))).await
}

async fn attempts(store: &Store, proof: &str, result: &str) -> f64 {
    let labels = [("proof", proof), ("result", result)];
    let metric = store
        .program
        .metric("landline_artefacts_attempts_total", &labels);
    metric.await
}

#[tokio::test]
async fn wrong_passwords_hold_off_their_own_name_only() {
    let store = start().await;
    let ask = async |name: &str, password: &str| {
        let credentials = basic(name, password);
        let headers = [("authorization", credentials.as_str())];
        store.send("GET", "/navigate", &headers, "").await
    };
    // A client with an old password sends it again and again.
    for _ in 0..40 {
        assert_eq!(ask(USER, "an-old-one").await.status, 401);
    }
    assert_eq!(ask(USER, PASSWORD).await.status, 200, "nobody guesses");
    let mut held_off = None;
    for guess in 0..100 {
        let reply = ask(USER, &format!("guess-{guess}")).await;
        if reply.status == 429 {
            held_off = Some((guess, reply.header("retry-after")));
            break;
        }
        assert_eq!(reply.status, 401);
    }
    let (guess, wait) = held_off.expect("somebody who guesses has to wait");
    assert!(guess >= 5, "{guess}");
    assert!(wait.parse::<u64>().is_ok_and(|wait| wait >= 1), "{wait}");
    assert_eq!(ask(OTHER.0, OTHER.1).await.status, 200);
    assert!(attempts(&store, "password", "wrong").await >= 45.0);
    assert!(attempts(&store, "password", "held_off").await >= 1.0);
    let again = it::wait::until("the wait is over", it::wait::SOON, async || {
        let status = ask(USER, PASSWORD).await.status;
        (status == 200).then_some(status)
    });
    again.await;
}

#[tokio::test]
async fn wrong_signatures_are_counted_as_well() {
    let store = start().await;
    let ask = async |user: (&str, &str)| {
        let url = store.signed(user, ("GET", ""), &[("list-type", "2")], 60);
        client::get(&url, &[]).await.unwrap()
    };
    for name in [USER, "nobody"] {
        let mut refused = 0;
        loop {
            let reply = ask((name, "wrong")).await;
            if reply.status == 503 {
                let text = reply.text();
                assert!(text.contains("<Code>SlowDown</Code>"), "{text}");
                let wait = reply.header("retry-after");
                assert!(wait.parse::<u64>().is_ok_and(|wait| wait >= 1), "{wait}");
                break;
            }
            assert_eq!(reply.status, 403);
            refused += 1;
            assert!(refused < 100, "{name} guesses on");
        }
        assert!(refused >= 5, "{refused}");
    }
    assert_eq!(ask(OTHER).await.status, 200);
    assert!(attempts(&store, "signature", "wrong").await >= 10.0);
    assert!(attempts(&store, "signature", "held_off").await >= 2.0);
    // Links are nobody's, and work on; those that were changed are no guesses.
    let credentials = basic(OTHER.0, OTHER.1);
    let path = "/presigned-url?request_id=g/r&remote_filename=f";
    let headers = [("authorization", credentials.as_str())];
    let link = store.send("GET", path, &headers, "").await.text();
    for _ in 0..20 {
        let changed = link.replace("/f?", "/g?");
        let sent = client::send("PUT", &changed, &[], "x").await.unwrap();
        assert_eq!(sent.status, 403);
    }
    let sent = client::send("PUT", &link, &[], "x").await.unwrap();
    assert_eq!(sent.status, 200);
}

/// What users of the configuration remove is in the audit log, by a name that no user of the cluster has.
#[tokio::test]
async fn what_is_removed_is_in_the_audit_log() {
    let section = section(json!({"users": users(), "access": "closed"}));
    let roles = ["auth", "proxy", "collector"];
    let hub = cluster::hub(json!({"roles": roles, "collector": {"artefacts": section}}));
    let launch = it::program::Launch::new(&hub);
    let hub: Program = launch.file("krkn.password", PASSWORD).start().await;
    let ask = async |method: &str, path: &str, body: &str| {
        let url = format!("http://{}/artefacts{path}", hub.main);
        let credentials = basic(OTHER.0, OTHER.1);
        let headers = [("authorization", credentials.as_str())];
        client::send(method, &url, &headers, body)
            .await
            .unwrap()
            .status
    };
    for path in ["/g/r/a", "/g/r/b", "/g/r/c", "/g/s/d"] {
        assert_eq!(ask("PUT", path, "x").await, 200);
    }
    assert_eq!(ask("DELETE", "/g/r/a", "").await, 204);
    assert_eq!(ask("DELETE", "/g/r/none", "").await, 204);
    let object = |key: &str| format!("<Object><Key>{key}</Key></Object>");
    let list = ["g/r/b", "g/r/c", "g/s/d", "g/r/none"].map(object).concat();
    let body = format!("<Delete>{list}</Delete>");
    assert_eq!(ask("POST", "?delete", &body).await, 200);
    let log = cluster::run(&hub, &["audit", "--kind", "artefact.removed", "--json"]);
    let events: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let shown: Vec<_> = events
        .iter()
        .map(|event| {
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            (
                text("actor"),
                text("target"),
                event["details"]["change"]["files"].as_u64(),
            )
        })
        .collect();
    let by = || "user:artefacts/ci".to_owned();
    assert_eq!(
        shown,
        [
            (by(), "artefact:g/r/a".to_owned(), None),
            (by(), "artefact_run:g/r".to_owned(), Some(2)),
            (by(), "artefact:g/s/d".to_owned(), None),
        ],
        "{log}"
    );
    assert_eq!(events[0]["address"], "127.0.0.1");
}
