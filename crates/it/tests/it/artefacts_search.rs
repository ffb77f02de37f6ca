//! Runs are found by what is known of them.

use std::net::SocketAddr;

use it::artefacts::{Store, section};
use it::need::need;
use it::postgres::Database;
use serde_json::{Value, json};
use wire::auth::basic;

/// The names of the runs that a search finds, page by page.
async fn found(store: &Store, query: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut before = String::new();
    loop {
        let page = store
            .get(&format!("/v1/artefacts/runs?limit=2&{query}{before}"))
            .await;
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        let runs = page["runs"].as_array().unwrap();
        names.extend(
            runs.iter()
                .map(|run| run["run"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_i64() {
            Some(next) => before = format!("&before={next}"),
            None => return names,
        }
    }
}

fn telemetry(tag: &str, passed: bool, version: &str, scenario: &str) -> Value {
    json!({
        "scenarios": [{
            "scenario": scenario,
            "affected_pods": {"recovered": [{"total_recovery_time": 12.5}]},
        }],
        "node_summary_infos": [], "node_taints": [],
        "tag": tag, "job_status": passed, "cluster_version": version,
    })
}

async fn runs_are_found(store: &Store) {
    for (run, group, body) in [
        ("1-a", "perf", telemetry("nightly", true, "4.16.1", "pods")),
        (
            "2-b",
            "perf",
            telemetry("nightly", false, "4.16.2", "nodes"),
        ),
        (
            "3-c",
            "other",
            telemetry("release_50%", true, "4.16.1", "pods"),
        ),
    ] {
        assert_eq!(store.post(run, group, &body).await.status, 200);
    }
    store.link("perf/4-open", "logs.tar").await;
    for (query, expected) in [
        ("", &["4-open", "3-c", "2-b", "1-a"][..]),
        ("group=perf", &["4-open", "2-b", "1-a"]),
        ("tag=nightly", &["2-b", "1-a"]),
        ("tag=nightly&status=passed", &["1-a"]),
        ("version=4.16.1", &["3-c", "1-a"]),
        ("scenario=nodes", &["2-b"]),
        ("field=recovery_time:12.5&group=other", &["3-c"]),
        ("text=OPEN", &["4-open"]),
        ("text=NIGHT", &["2-b", "1-a"]),
        ("text=50%25", &["3-c"]),
        ("text=5%25", &[]),
        ("text=OTHE", &["3-c"]),
        ("group=none", &[]),
    ] {
        assert_eq!(found(store, query).await, expected, "{query}");
    }
    let newest = store.get("/v1/artefacts/runs?limit=2").await.json();
    assert_eq!(newest["runs"][0]["state"], "open");
    let run = &newest["runs"][1];
    assert_eq!(
        (&run["state"], &run["files"]),
        (&json!("telemetry_received"), &json!(1))
    );
    assert_eq!(run["fields"]["tag"], json!(["release_50%"]));
    // What is sent again replaces what was known.
    let again = telemetry("weekly", true, "4.16.2", "nodes");
    assert_eq!(store.post("2-b", "perf", &again).await.status, 200);
    assert_eq!(found(store, "tag=nightly").await, ["1-a"]);
    for wrong in ["limit=0", "limit=501", "before=x", "field=x", "unknown=1"] {
        let reply = store.get(&format!("/v1/artefacts/runs?{wrong}")).await;
        assert_eq!(reply.status, 400, "{wrong}");
    }
    let groups = store.get("/v1/artefacts/groups").await.json();
    let names: Vec<&Value> = groups["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| &g["name"])
        .collect();
    assert_eq!(names, ["other", "perf"]);
    assert_eq!(groups["groups"][1]["runs"], 3);
}

#[tokio::test]
async fn runs_are_found_on_sqlite() {
    runs_are_found(&Store::start(section(json!({}))).await).await;
}

#[tokio::test]
async fn runs_are_found_on_postgresql() {
    let Some(admin) = need("POSTGRES_URL") else {
        return;
    };
    let database = Database::create(&admin).await;
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let more = json!({"state": database.url});
    let store = Store::start_with(listen, section(json!({})), more).await;
    runs_are_found(&store).await;
    drop(store);
    database.remove().await;
}

/// Nobody finds what they may not see.
#[tokio::test]
async fn a_search_shows_what_may_be_seen() {
    let users = json!([
        {"name": "krkn", "password": {"file": "krkn.password"}},
        {"name": "eye", "password": "eye-password", "groups": ["perf"], "rights": ["read"]},
    ]);
    let store = Store::start(section(json!({"users": users, "access": "closed"}))).await;
    store.link("perf/1", "f").await;
    store.link("other/2", "f").await;
    let credentials = basic("eye", "eye-password");
    let headers = [("authorization", credentials.as_str())];
    let seen = store
        .send("GET", "/v1/artefacts/runs", &headers, "")
        .await
        .json();
    assert_eq!(seen["runs"].as_array().map(Vec::len), Some(1), "{seen}");
    let groups = store
        .send("GET", "/v1/artefacts/groups", &headers, "")
        .await
        .json();
    assert_eq!(
        groups["groups"].as_array().map(Vec::len),
        Some(1),
        "{groups}"
    );
    let other = "/v1/artefacts/runs?group=other";
    assert_eq!(store.send("GET", other, &headers, "").await.status, 404);
    assert_eq!(
        store
            .send("GET", "/v1/artefacts/runs", &[], "")
            .await
            .status,
        401
    );
}
