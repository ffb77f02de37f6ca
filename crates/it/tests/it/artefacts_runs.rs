//! Runs: their states, their files by pages, versions and parts, two of them side by side, and how long
//! it took to recover.

use std::net::SocketAddr;

use it::artefacts::{PASSWORD, Store, USER, section};
use it::client::Reply;
use it::need::need;
use it::postgres::Database;
use it::wait;
use serde_json::{Value, json};
use wire::auth::basic;

const RUNS: &str = "/v1/artefacts/runs";

async fn ask(store: &Store, method: &str, path: &str, body: &Value) -> Reply {
    let credentials = basic(USER, PASSWORD);
    let headers = [("authorization", credentials.as_str())];
    store.send(method, path, &headers, &body.to_string()).await
}

/// An answer that has to be one.
async fn get(store: &Store, path: &str) -> Value {
    let reply = store.get(path).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply.json()
}

async fn on_postgresql(more: Value) -> Option<(Database, Store)> {
    let admin = need("POSTGRES_URL")?;
    let database = Database::create(&admin).await;
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let state = json!({"state": database.url});
    let store = Store::start_with(listen, section(more), state).await;
    Some((database, store))
}

fn names(list: &Value, of: &str) -> Vec<String> {
    let list = list.as_array().unwrap();
    let names = list.iter().map(|one| one[of].as_str().unwrap().to_owned());
    names.collect()
}

fn telemetry(scenarios: &Value, passed: bool) -> Value {
    json!({
        "scenarios": scenarios, "node_summary_infos": [], "node_taints": [],
        "job_status": passed, "tag": "nightly",
    })
}

/// A run goes through its states, and each is found.
#[tokio::test]
async fn runs_are_open_until_nothing_comes() {
    let store = Store::start(section(json!({"close_after": "3s"}))).await;
    store.link("g/open", "f").await;
    let body = telemetry(&json!([]), true);
    assert_eq!(store.post("sent", "g", &body).await.status, 200);
    let found = async |query: &str| {
        let page = get(&store, &format!("{RUNS}?{query}")).await;
        names(&page["runs"], "run")
    };
    let open = get(&store, &format!("{RUNS}/g/open")).await;
    assert_eq!(
        (&open["state"], &open["has_telemetry"]),
        (&json!("open"), &json!(false))
    );
    let sent = get(&store, &format!("{RUNS}/g/sent")).await;
    assert_eq!(
        (&sent["state"], &sent["has_telemetry"]),
        (&json!("telemetry_received"), &json!(true))
    );
    assert_eq!(sent["fields"]["tag"], json!(["nightly"]));
    wait::until("runs are closed", wait::SOON, async || {
        (found("state=closed").await == ["sent", "open"]).then_some(())
    })
    .await;
    assert!(found("state=open").await.is_empty());
    // Something comes after all.
    assert_eq!(store.upload("g/sent", "late", "x").await.status, 200);
    assert_eq!(found("state=telemetry_received").await, ["sent"]);
    assert_eq!(found("state=closed").await, ["open"]);
    let wrong = store.get(&format!("{RUNS}?state=over")).await;
    assert_eq!(wrong.status, 400);
}

async fn runs_are_pinned_and_removed(store: &Store) {
    for run in ["1", "2", "3"] {
        let run = format!("g/{run}");
        assert_eq!(store.upload(&run, "a/f", "x").await.status, 200);
        assert_eq!(store.upload(&run, "f", "x").await.status, 200);
    }
    let path = format!("{RUNS}/g/2");
    let pinned = ask(store, "PATCH", &path, &json!({"pinned": true})).await;
    assert_eq!(pinned.status, 200, "{}", pinned.text());
    let found = get(store, &format!("{RUNS}?pinned=true")).await;
    assert_eq!(names(&found["runs"], "run"), ["2"]);
    let found = get(store, &format!("{RUNS}?pinned=false&limit=1")).await;
    assert_eq!(names(&found["runs"], "run"), ["3"]);
    // From then on: everything; before: nothing.
    let since = get(store, &path).await["created_at"]
        .as_str()
        .unwrap()
        .to_owned();
    let found = get(store, &format!("{RUNS}?since={since}")).await;
    assert_eq!(names(&found["runs"], "run"), ["3", "2"]);
    let found = get(store, &format!("{RUNS}?until={since}")).await;
    assert_eq!(names(&found["runs"], "run"), ["1"]);
    what_is_pinned_is_not_removed(store).await;
}

/// The second of three runs is pinned.
async fn what_is_pinned_is_not_removed(store: &Store) {
    let path = format!("{RUNS}/g/2");
    let refused = ask(store, "DELETE", &path, &Value::Null).await;
    assert_eq!(refused.status, 409);
    assert!(
        refused.text().contains("PATCH /v1/artefacts/runs/g/2"),
        "{}",
        refused.text()
    );
    let refused = store.s3("DELETE", "/g/2/f", &[], "").await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.text().contains("pinned"), "{}", refused.text());
    let list = "<Delete><Object><Key>g/2/f</Key></Object></Delete>";
    let refused = store.s3("POST", "", &[("delete", "")], list).await;
    assert!(
        refused.text().contains("AccessDenied"),
        "{}",
        refused.text()
    );
    assert_eq!(get(store, &path).await["files"], 2);
    // A further version may come.
    assert_eq!(store.upload("g/2", "f", "y").await.status, 200);

    let removed = ask(store, "DELETE", &format!("{RUNS}/g/1"), &Value::Null).await;
    assert_eq!(removed.json(), json!({"removed": 2}), "{}", removed.text());
    assert_eq!(store.get(&format!("{RUNS}/g/1")).await.status, 404);
    assert_eq!(
        ask(store, "DELETE", &format!("{RUNS}/g/1"), &Value::Null)
            .await
            .status,
        404
    );
    ask(store, "PATCH", &path, &json!({"pinned": false})).await;
    ask(
        store,
        "PATCH",
        "/v1/artefacts/groups/g",
        &json!({"pinned": true}),
    )
    .await;
    let refused = ask(store, "DELETE", &path, &Value::Null).await;
    assert_eq!(refused.status, 409);
    assert!(
        refused.text().contains("PATCH /v1/artefacts/groups/g`"),
        "{}",
        refused.text()
    );
    ask(
        store,
        "PATCH",
        "/v1/artefacts/groups/g",
        &json!({"pinned": false}),
    )
    .await;
    let removed = ask(store, "DELETE", &path, &Value::Null).await;
    assert_eq!(removed.json(), json!({"removed": 2}), "{}", removed.text());
    let group = get(store, "/v1/artefacts/groups/g").await;
    assert_eq!(
        (&group["runs"], &group["files"], &group["bytes"]),
        (&json!(1), &json!(2), &json!(2))
    );
}

#[tokio::test]
async fn runs_are_pinned_and_removed_on_sqlite() {
    let store = Store::start(section(json!({}))).await;
    runs_are_pinned_and_removed(&store).await;
    assert_eq!(store.files_below("objects"), 2);
}

#[tokio::test]
async fn runs_are_pinned_and_removed_on_postgresql() {
    let Some((database, store)) = on_postgresql(json!({})).await else {
        return;
    };
    runs_are_pinned_and_removed(&store).await;
    drop(store);
    database.remove().await;
}

/// Everything in the files of a run, page by page.
async fn pages(store: &Store, query: &str) -> Value {
    let mut all = json!({"files": [], "folders": [], "joined": []});
    let mut after = String::new();
    loop {
        let page = get(store, &format!("{RUNS}/g/r/files?{query}{after}")).await;
        for name in ["files", "folders", "joined"] {
            let more = page[name].as_array().unwrap().clone();
            all[name].as_array_mut().unwrap().extend(more);
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}

async fn files_come_by_pages(store: &Store) {
    for (name, body) in [
        ("logs/a/x", "1"),
        ("logs/b", "22"),
        ("part-00.tar", "333"),
        ("part-01.tar", "4444"),
        ("part-01.txt", "no"),
        ("part-02.tar", "55555"),
        ("gap-00.tar", "1"),
        ("gap-02.tar", "1"),
        ("real-00.tar", "1"),
        ("real.tar", "1"),
        ("zebra", "666666"),
        ("zebra", "7"),
    ] {
        assert_eq!(store.upload("g/r", name, body).await.status, 200);
    }
    let expected = [
        "gap-00.tar",
        "gap-02.tar",
        "logs/a/x",
        "logs/b",
        "part-00.tar",
        "part-01.tar",
        "part-01.txt",
        "part-02.tar",
        "real-00.tar",
        "real.tar",
        "zebra",
    ];
    for limit in [1, 2, 3, 5, 500] {
        let flat = pages(store, &format!("limit={limit}")).await;
        assert_eq!(names(&flat["files"], "name"), expected, "{limit}");
        assert_eq!(flat["folders"], json!([]));
        let joined = json!([{"name": "part.tar", "parts": 3, "bytes": 12}]);
        assert_eq!(flat["joined"], joined, "{limit}");
        for file in flat["files"].as_array().unwrap() {
            let is_part = ["part-00.tar", "part-01.tar", "part-02.tar"]
                .contains(&file["name"].as_str().unwrap());
            let whole = if is_part {
                json!("part.tar")
            } else {
                Value::Null
            };
            assert_eq!(file["part_of"], whole, "{limit}: {file}");
        }
        let folders = pages(store, &format!("folders=true&limit={limit}")).await;
        assert_eq!(folders["folders"], json!(["logs/"]), "{limit}");
        assert_eq!(folders["files"].as_array().unwrap().len(), 9);
        assert_eq!(folders["joined"], joined);
        let within = pages(store, &format!("folders=true&prefix=logs/&limit={limit}")).await;
        assert_eq!(names(&within["files"], "name"), ["logs/b"]);
        assert_eq!(within["folders"], json!(["logs/a/"]));
    }
    versions_are_shown(store).await;
}

async fn versions_are_shown(store: &Store) {
    let zebra = pages(store, "prefix=zeb").await["files"][0].clone();
    assert_eq!(
        (&zebra["bytes"], &zebra["versions"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(zebra["sha256"].as_str().map(str::len), Some(64));
    let path = format!("{RUNS}/g/r/versions?name=zebra");
    let versions = get(store, &path).await["versions"].clone();
    let shown: Vec<(u64, bool)> = versions
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["bytes"].as_u64().unwrap(), one["is_current"] == true))
        .collect();
    assert_eq!(shown, [(1, true), (6, false)]);
    assert_eq!(versions[0]["sha256"], zebra["sha256"]);
    let old = versions[1]["id"].to_string();
    let old = store
        .s3("GET", "/g/r/zebra", &[("versionId", &old)], "")
        .await;
    assert_eq!(old.text(), "666666");
    for (path, status) in [
        ("files?limit=1001", 400),
        ("files?limit=0", 400),
        ("files?folders=yes", 400),
        ("files?other=1", 400),
        ("versions", 400),
        ("versions?name=../x", 404),
        ("versions?name=none", 404),
        ("telemetry", 404),
    ] {
        let reply = store.get(&format!("{RUNS}/g/r/{path}")).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
    }
    assert_eq!(store.get(&format!("{RUNS}/g/none/files")).await.status, 404);
}

#[tokio::test]
async fn files_come_by_pages_on_sqlite() {
    files_come_by_pages(&Store::start(section(json!({}))).await).await;
}

#[tokio::test]
async fn files_come_by_pages_on_postgresql() {
    let Some((database, store)) = on_postgresql(json!({})).await else {
        return;
    };
    files_come_by_pages(&store).await;
    drop(store);
    database.remove().await;
}

async fn runs_are_compared(store: &Store) {
    let pods = |recovered: Value, unrecovered: Value| {
        json!({
            "scenario": "pods", "exit_status": 0,
            "affected_pods": {"recovered": recovered, "unrecovered": unrecovered},
        })
    };
    let one = json!([pods(
        json!([{"total_recovery_time": 2.5, "pod_readiness_time": 1.5}, {"total_recovery_time": 12}]),
        json!([{"pod_name": "x"}])
    )]);
    let two = json!([
        pods(json!([{"total_recovery_time": 3}]), json!([])),
        {"scenario": "nodes", "exit_status": 1},
    ]);
    assert_eq!(
        store.post("1", "g", &telemetry(&one, true)).await.status,
        200
    );
    assert_eq!(
        store.post("2", "g", &telemetry(&two, false)).await.status,
        200
    );
    store.link("g/3", "f").await;
    for (run, name, body) in [
        ("g/1", "a", "x"),
        ("g/1", "same", "x"),
        ("g/2", "same", "x"),
        ("g/1", "z", "x"),
        ("g/2", "z", "yy"),
        ("g/2", "b", "x"),
    ] {
        assert_eq!(store.upload(run, name, body).await.status, 200);
    }
    let document = store.get(&format!("{RUNS}/g/1/telemetry")).await;
    assert_eq!(document.header("content-type"), "application/json");
    assert_eq!(document.json()["tag"], "nightly");
    both_sides_are_shown(store).await;
    recovery_is_shown(store).await;
}

async fn both_sides_are_shown(store: &Store) {
    let mut files = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/v1/artefacts/compare?left=g/1&right=g/2&limit=2{after}");
        let page = get(store, &path).await;
        assert_eq!(
            (&page["left"]["run"], &page["right"]["run"]),
            (&json!("1"), &json!("2"))
        );
        let fields = page["fields"].as_array().unwrap().clone();
        let field = |name: &str| fields.iter().find(|field| field["name"] == name).unwrap();
        assert_eq!(field("tag")["is_same"], true);
        assert_eq!(
            (&field("status")["left"], &field("status")["is_same"]),
            (&json!(["passed"]), &json!(false))
        );
        files.extend(page["files"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    let shown: Vec<(&str, &str)> = files
        .iter()
        .map(|file| {
            (
                file["name"].as_str().unwrap(),
                file["change"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("a", "left_only"),
        ("b", "right_only"),
        ("same", "same"),
        ("telemetry.json", "changed"),
        ("z", "changed"),
    ];
    assert_eq!(shown, expected);
    assert_eq!(files[0]["right"], Value::Null);
    assert_eq!(files[4]["right"]["bytes"], 2);
    for wrong in ["left=g/1", "left=g/1&right=g", "left=g/1&right=g/a/b"] {
        let reply = store.get(&format!("/v1/artefacts/compare?{wrong}")).await;
        assert_eq!(reply.status, 400, "{wrong}");
    }
}

async fn recovery_is_shown(store: &Store) {
    const PATH: &str = "/v1/artefacts/groups/g/recovery";
    let all = get(store, PATH).await;
    assert_eq!(names(&all["runs"], "run"), ["2", "1"]);
    assert_eq!(all["scenarios"], json!(["nodes", "pods"]));
    let first = &all["runs"][1];
    assert_eq!(first["status"], "passed");
    let expected = json!([{
        "scenario": "pods", "status": "passed", "pods": 3, "unrecovered": 1,
        "recovery": 12.0, "readiness": 1.5, "rescheduling": null,
    }]);
    assert_eq!(first["scenarios"], expected);
    let nodes = get(store, &format!("{PATH}?scenario=nodes")).await;
    assert_eq!(names(&nodes["runs"], "run"), ["2"]);
    assert_eq!(names(&nodes["runs"][0]["scenarios"], "scenario"), ["nodes"]);
    let page = get(store, &format!("{PATH}?limit=1")).await;
    let next = page["next"].as_i64().unwrap();
    let page = get(store, &format!("{PATH}?limit=1&before={next}")).await;
    assert_eq!(names(&page["runs"], "run"), ["1"]);
    // What is sent again replaces what was known.
    let none = telemetry(&json!([]), true);
    assert_eq!(store.post("2", "g", &none).await.status, 200);
    let all = get(store, PATH).await;
    assert_eq!(names(&all["runs"], "run"), ["1"]);
    let missing = store.get("/v1/artefacts/groups/none/recovery").await;
    assert_eq!(missing.status, 404);
}

#[tokio::test]
async fn runs_are_compared_on_sqlite() {
    runs_are_compared(&Store::start(section(json!({}))).await).await;
}

#[tokio::test]
async fn runs_are_compared_on_postgresql() {
    let Some((database, store)) = on_postgresql(json!({})).await else {
        return;
    };
    runs_are_compared(&store).await;
    drop(store);
    database.remove().await;
}

/// A client that is refused and tries again is shown until its upload comes.
#[tokio::test]
async fn clients_that_try_again_are_shown() {
    let users = json!([
        {"name": USER, "password": {"file": "krkn.password"}},
        {"name": "eye", "password": "eye-password", "groups": ["other"]},
    ]);
    let quota = json!({"group": "10B", "keep_free": "1B"});
    let store = Store::start(section(json!({"users": users, "quota": quota}))).await;
    let body = "more than ten bytes";
    for _ in 0..2 {
        assert_eq!(store.upload("full/r", "f", body).await.status, 507);
    }
    assert_eq!(store.s3("PUT", "/full/r/g", &[], body).await.status, 507);
    assert_eq!(
        store
            .post("r", "full", &json!({"scenarios": 7}))
            .await
            .status,
        400
    );
    let clients = get(&store, "/v1/artefacts/clients").await["clients"].clone();
    let by_key = |key: &str| {
        let all = clients.as_array().unwrap().iter();
        let found: Vec<&Value> = all.filter(|one| one["key"] == key).collect();
        assert_eq!(found.len(), 1, "{key} in {clients}");
        found[0].clone()
    };
    let file = by_key("full/r/f");
    for (name, value) in [
        ("address", json!("127.0.0.1")),
        ("user", Value::Null),
        ("status", json!(507)),
        ("reason", json!("InsufficientStorage")),
        ("attempts", json!(2)),
        ("is_retrying", json!(true)),
    ] {
        assert_eq!(file[name], value, "{name} in {file}");
    }
    let signed = by_key("full/r/g");
    assert_eq!(
        (&signed["user"], &signed["is_retrying"]),
        (&json!(USER), &json!(false))
    );
    let telemetry = by_key("full/r/telemetry.json");
    assert_eq!(
        (&telemetry["user"], &telemetry["status"]),
        (&json!(USER), &json!(400))
    );
    let retrying = async || {
        let retrying = store
            .program
            .metric("landline_artefacts_retrying_clients", &[]);
        retrying.await
    };
    assert!((retrying().await - 1.0).abs() < f64::EPSILON);
    let credentials = basic("eye", "eye-password");
    let headers = [("authorization", credentials.as_str())];
    let seen = store
        .send("GET", "/v1/artefacts/clients", &headers, "")
        .await;
    assert_eq!(seen.json(), json!({"clients": []}));
    // With room it comes, and nobody tries again.
    let more = json!({"quota": "1KiB"});
    let path = "/v1/artefacts/groups/full";
    assert_eq!(ask(&store, "PATCH", path, &more).await.status, 200);
    assert_eq!(store.upload("full/r", "f", body).await.status, 200);
    let clients = get(&store, "/v1/artefacts/clients").await;
    assert!(!names(&clients["clients"], "key").contains(&"full/r/f".to_owned()));
    assert!(retrying().await.abs() < f64::EPSILON);
}
