//! Groups: what is shown of them and to whom, what is set for them, and what goes when its time has
//! passed.

use std::net::SocketAddr;

use it::artefacts::{PASSWORD, Store, USER, own_listener, section};
use it::client::Reply;
use it::cluster;
use it::need::need;
use it::postgres::Database;
use it::program::Program;
use it::{client, wait};
use rustix::process::Signal;
use serde_json::{Value, json};
use wire::auth::basic;
use wire::s3::key::percent_encode;

const GROUPS: &str = "/v1/artefacts/groups";

/// A request of the user to whom everything is allowed.
async fn ask(store: &Store, method: &str, path: &str, body: &Value) -> Reply {
    ask_as(store, (USER, PASSWORD), (method, path), body).await
}

async fn ask_as(
    store: &Store,
    user: (&str, &str),
    (method, path): (&str, &str),
    body: &Value,
) -> Reply {
    let credentials = basic(user.0, user.1);
    let headers = [("authorization", credentials.as_str())];
    store.send(method, path, &headers, &body.to_string()).await
}

/// The names of all groups, page by page.
async fn names(store: &Store, user: (&str, &str)) -> Vec<String> {
    let mut names = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("{GROUPS}?limit=1{after}");
        let page = ask_as(store, user, ("GET", &path), &Value::Null).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        let groups = page["groups"].as_array().unwrap();
        assert_eq!(groups.len(), 1, "{page}");
        names.push(groups[0]["name"].as_str().unwrap().to_owned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={}", percent_encode(next, false)),
            None => return names,
        }
    }
}

async fn on_postgresql() -> Option<(Database, Store)> {
    let admin = need("POSTGRES_URL")?;
    let database = Database::create(&admin).await;
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let more = json!({"state": database.url});
    let store = Store::start_with(listen, section(usual()), more).await;
    Some((database, store))
}

fn usual() -> Value {
    json!({
        "retention": "90d",
        "quota": {"total": "1MiB", "group": "100KiB", "keep_free": "1B"},
        "groups": {"ci-*": {"retention": "forever", "quota": "50KiB"}},
    })
}

async fn groups_are_shown_and_set(store: &Store) {
    for run in ["ci-1/1", "ci-1/2", "perf/1", "perf lab/1"] {
        assert_eq!(store.upload(run, "f", "bytes").await.status, 200);
    }
    assert_eq!(store.upload("perf/1", "f", "again").await.status, 200);
    assert_eq!(
        names(store, (USER, PASSWORD)).await,
        ["ci-1", "perf lab", "perf"]
    );
    let all = store.get(GROUPS).await.json();
    assert_eq!(all["total"], json!({"bytes": 25, "quota": 1 << 20}));
    assert!(all["free"].as_u64().is_some(), "{all}");
    let perf = store.get(&format!("{GROUPS}/perf")).await.json();
    for (name, value) in [
        ("runs", json!(1)),
        ("files", json!(1)),
        ("bytes", json!(10)),
        ("pinned", json!(false)),
        ("retention", json!(90 * 86_400)),
        ("quota", json!(100 << 10)),
        ("settings", json!({"retention": null, "quota": null})),
        ("may", json!(["read", "create", "update", "delete"])),
    ] {
        assert_eq!(perf[name], value, "{name} in {perf}");
    }
    assert!(perf["changed_at"].as_str().unwrap().starts_with("20"));
    let ci = store.get(&format!("{GROUPS}/ci-1")).await.json();
    assert_eq!(
        (&ci["retention"], &ci["quota"]),
        (&Value::Null, &json!(50 << 10))
    );
    let lab = store.get(&format!("{GROUPS}/perf%20lab")).await.json();
    assert_eq!(lab["runs"], 1);

    settings_are_changed(store).await;
    what_is_pinned_stays(store).await;
}

async fn settings_are_changed(store: &Store) {
    let path = format!("{GROUPS}/perf");
    let change = json!({"retention": "30d", "quota": "none", "pinned": true});
    let changed = ask(store, "PATCH", &path, &change).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let changed = changed.json();
    assert_eq!(
        changed["settings"],
        json!({"retention": "30d", "quota": "none"})
    );
    assert_eq!(
        (&changed["retention"], &changed["quota"], &changed["pinned"]),
        (&json!(30 * 86_400), &Value::Null, &json!(true))
    );
    let reset = json!({"retention": null, "pinned": false});
    let changed = ask(store, "PATCH", &path, &reset).await.json();
    assert_eq!(
        changed["settings"],
        json!({"retention": null, "quota": "none"})
    );
    for (wrong, status) in [
        (json!({"retention": "0"}), 400),
        (json!({"quota": "much"}), 400),
        (json!({"quota": ""}), 400),
        (json!({"pinned": null}), 400),
        (json!({"name": "other"}), 400),
        (json!([]), 400),
    ] {
        let reply = ask(store, "PATCH", &path, &wrong).await;
        assert_eq!(reply.status, status, "{wrong}: {}", reply.text());
    }
    for path in [
        format!("{GROUPS}/none"),
        format!("{GROUPS}/a%2Fb"),
        format!("{GROUPS}/%00"),
    ] {
        let reply = ask(store, "PATCH", &path, &json!({})).await;
        assert_eq!(reply.status, 404, "{path}: {}", reply.text());
    }
}

/// What is pinned stays, and with it the group.
async fn what_is_pinned_stays(store: &Store) {
    let pin = ask(
        store,
        "PATCH",
        "/v1/artefacts/runs/ci-1/2",
        &json!({"pinned": true}),
    )
    .await;
    assert_eq!(pin.json()["pinned"], true, "{}", pin.text());
    let removed = ask(store, "DELETE", &format!("{GROUPS}/ci-1"), &Value::Null).await;
    assert_eq!(removed.json(), json!({"removed": 1}), "{}", removed.text());
    assert_eq!(store.get(&format!("{GROUPS}/ci-1")).await.json()["runs"], 1);
    let path = format!("{GROUPS}/perf");
    let removed = ask(store, "DELETE", &path, &Value::Null).await;
    assert_eq!(removed.json(), json!({"removed": 1}), "{}", removed.text());
    assert_eq!(store.get(&path).await.status, 404);
    assert_eq!(store.get(GROUPS).await.json()["total"]["bytes"], json!(10));
}

#[tokio::test]
async fn artefact_groups_are_shown_and_set_on_sqlite() {
    let store = Store::start(section(usual())).await;
    groups_are_shown_and_set(&store).await;
    assert_eq!(store.files_below("objects"), 2);
}

#[tokio::test]
async fn artefact_groups_are_shown_and_set_on_postgresql() {
    let Some((database, store)) = on_postgresql().await else {
        return;
    };
    groups_are_shown_and_set(&store).await;
    drop(store);
    database.remove().await;
}

/// Whoever may see one group learns of no other: not its name, not that it is there, not how much it
/// holds.
#[tokio::test]
async fn a_group_that_may_not_be_read_is_not_there() {
    let users = json!([
        {"name": USER, "password": {"file": "krkn.password"}},
        {"name": "eye", "password": "eye-password", "groups": ["mine"], "rights": ["read"]},
    ]);
    let quota = json!({"total": "1MiB", "keep_free": "1B"});
    let more = json!({"users": users, "access": "closed", "quota": quota});
    let store = Store::start(section(more)).await;
    for run in ["a/1", "a/2", "mine/1", "z/1", "z/2"] {
        assert_eq!(store.upload(run, "secret-00.tar", "xx").await.status, 200);
    }
    let eye = ("eye", "eye-password");
    assert_eq!(names(&store, eye).await, ["mine"]);
    let all = ask_as(&store, eye, ("GET", GROUPS), &Value::Null).await;
    let all = all.json();
    assert_eq!(all["total"], json!({"bytes": 2, "quota": null}));
    assert_eq!(all["free"], Value::Null);
    assert_eq!(all["groups"][0]["may"], json!(["read"]));
    // A page that others fill has no end that would tell of them.
    for query in [
        "limit=1",
        "limit=1&text=1",
        "limit=5",
        "text=secret",
        "state=open",
    ] {
        let path = format!("/v1/artefacts/runs?{query}");
        let page = ask_as(&store, eye, ("GET", &path), &Value::Null)
            .await
            .json();
        let seen = page["runs"].as_array().unwrap();
        assert!(seen.iter().all(|run| run["group"] == "mine"), "{page}");
        if query != "text=secret" {
            assert_eq!(seen.len(), 1, "{query}: {page}");
        }
        let next = page["next"].as_i64();
        if let Some(next) = next {
            let path = format!("{path}&before={next}");
            let page = ask_as(&store, eye, ("GET", &path), &Value::Null)
                .await
                .json();
            assert_eq!(page, json!({"runs": [], "next": null}));
        }
    }
    hidden_paths_are_not_there(&store, eye).await;
}

async fn hidden_paths_are_not_there(store: &Store, eye: (&str, &str)) {
    for path in [
        "groups/{}",
        "groups/{}/recovery",
        "runs/{}/1",
        "runs/{}/1/files",
        "runs/{}/1/versions?name=secret-00.tar",
        "runs/{}/1/telemetry",
        "runs?group={}",
        "compare?left={}/1&right=mine/1",
    ] {
        let get = async |group: &str| {
            let path = format!("/v1/artefacts/{}", path.replace("{}", group));
            let reply = ask_as(store, eye, ("GET", &path), &Value::Null).await;
            (reply.status, reply.text())
        };
        let hidden = get("z").await;
        assert_eq!(hidden.0, 404, "{path}: {hidden:?}");
        assert_eq!(hidden, get("nothing").await, "{path}");
    }
    for (method, path, status) in [
        ("PATCH", "groups/mine", 403),
        ("PATCH", "groups/z", 404),
        ("DELETE", "groups/mine", 403),
        ("DELETE", "groups/z", 404),
        ("PATCH", "runs/mine/1", 403),
        ("PATCH", "runs/z/1", 404),
        ("DELETE", "runs/mine/1", 403),
        ("DELETE", "runs/z/1", 404),
    ] {
        let path = format!("/v1/artefacts/{path}");
        let reply = ask_as(store, eye, (method, &path), &json!({})).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
    }
    let reply = store.send("GET", GROUPS, &[], "").await;
    assert_eq!(reply.status, 401);
}

/// Each group has a quota of its own, which is said before the body comes, and what was set holds after a
/// restart.
#[tokio::test]
async fn a_quota_that_was_set_holds() {
    let quota = json!({"group": "100KiB", "keep_free": "1B"});
    let groups = json!({"big-*": {"quota": "none"}});
    let more = json!({"quota": quota, "groups": groups});
    let mut store = Store::start(section(more)).await;
    let body = "x".repeat(60 << 10);
    for run in ["small/r", "usual/r", "big-1/r", "big-1/s"] {
        assert_eq!(store.upload(run, "f", &body).await.status, 200);
    }
    let change = json!({"quota": "70KiB", "retention": "1w"});
    let path = format!("{GROUPS}/small");
    assert_eq!(ask(&store, "PATCH", &path, &change).await.status, 200);
    store.program.signal(Signal::KILL);
    assert_eq!(store.program.wait_exit(wait::SOON).await, -9);
    store.program.restart();
    store.program.ready().await;
    store.address = own_listener(&store.program);
    let small = store.get(&path).await.json();
    assert_eq!(
        small["settings"],
        json!({"quota": "70KiB", "retention": "7d"})
    );
    let status = async |run: &str, bytes: usize| {
        // The head alone: the answer comes before the body.
        let link = store.link(run, "g").await;
        let path = link.strip_prefix(&store.url("")).unwrap();
        let request = format!(
            "PUT {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {bytes}\r\n\
             Expect: 100-continue\r\nConnection: close\r\n\r\n",
            store.address
        );
        client::raw_status(store.address, request.as_bytes()).await
    };
    assert_eq!(status("small/r", 20 << 10).await, 507);
    assert_eq!(status("usual/r", 50 << 10).await, 507);
    assert_eq!(
        store
            .upload("usual/r", "g", &"x".repeat(20 << 10))
            .await
            .status,
        200
    );
    assert_eq!(store.upload("big-1/r", "g", &body).await.status, 200);
    let more = json!({"quota": "1MiB"});
    assert_eq!(ask(&store, "PATCH", &path, &more).await.status, 200);
    assert_eq!(store.upload("small/r", "g", &body).await.status, 200);
}

/// Runs whose time has passed go with their bytes; what is pinned stays.
#[tokio::test]
async fn retention_removes_what_is_not_pinned() {
    let groups = json!({"kept": {"retention": "forever"}});
    let store = Store::start(section(json!({"groups": groups}))).await;
    for run in ["short/1", "short/2", "held/1", "kept/1", "other/1"] {
        assert_eq!(store.upload(run, "a", "first").await.status, 200);
        assert_eq!(store.upload(run, "a", "second").await.status, 200);
    }
    // An upload under way is of the run as well.
    let begun = store
        .s3("POST", "/short/1/parts", &[("uploads", "")], "")
        .await;
    assert_eq!(begun.status, 200, "{}", begun.text());
    assert_eq!(store.files_below("objects"), 10);
    for (path, change) in [
        ("runs/short/2", json!({"pinned": true})),
        ("groups/held", json!({"pinned": true, "retention": "1s"})),
        ("groups/short", json!({"retention": "1s"})),
    ] {
        let reply = ask(&store, "PATCH", &format!("/v1/artefacts/{path}"), &change).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    wait::until("the run is gone", wait::SOON, async || {
        let reply = store.get("/v1/artefacts/runs/short/1").await;
        (reply.status == 404).then_some(())
    })
    .await;
    wait::until("its bytes are gone", wait::SOON, async || {
        (store.files_below("objects") == 8).then_some(())
    })
    .await;
    let counted = store
        .program
        .metric("landline_artefacts_expired_runs_total", &[]);
    assert!((counted.await - 1.0).abs() < f64::EPSILON);
    for run in ["short/2", "held/1", "kept/1", "other/1"] {
        let run = store.get(&format!("/v1/artefacts/runs/{run}")).await.json();
        assert_eq!(
            (&run["files"], &run["expires_at"]),
            (&json!(1), &Value::Null)
        );
    }
    let group = store.get(&format!("{GROUPS}/short")).await.json();
    assert_eq!((&group["runs"], &group["bytes"]), (&json!(1), &json!(11)));
    let uploads = store.s3("GET", "", &[("uploads", "")], "").await.text();
    assert!(!uploads.contains("short/1"), "{uploads}");
    // Without the pin it is as old as it is.
    let unpin = json!({"pinned": false});
    ask(&store, "PATCH", &format!("{GROUPS}/held"), &unpin).await;
    wait::until("the other run is gone", wait::SOON, async || {
        (store.files_below("objects") == 6).then_some(())
    })
    .await;
}

/// What is changed is in the audit log, with who changed it; who may only read and create changes
/// nothing.
#[tokio::test]
async fn changes_of_artefacts_are_audited() {
    let users = json!([{"name": "keeper", "password": "keeper-password", "groups": ["perf"]}]);
    let section = json!({"access": "closed", "quota": {"keep_free": "1B"}, "users": users});
    let roles = ["auth", "proxy", "collector"];
    let hub = cluster::hub(json!({"roles": roles, "collector": {"artefacts": section}}));
    let hub = Program::start(&hub).await;
    let mut tokens = Vec::new();
    for (name, verbs) in [
        ("anna", json!(["read", "create"])),
        ("berta", json!(["read", "create", "update", "delete"])),
    ] {
        let rules = json!([
            {"kinds": ["artefacts"], "verbs": verbs, "labels": {"group": ["perf"]}},
        ]);
        let role = json!({"name": name, "allow": rules}).to_string();
        let reply = cluster::admin(&hub, "POST", "/v1/roles", &role).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        cluster::run(&hub, &["users", "add", name, "--role", name]);
        let words = ["tokens", "add", "--role", "api", "--user", name, "--json"];
        let issued: Value = serde_json::from_str(&cluster::run(&hub, &words)).unwrap();
        tokens.push(format!("Bearer {}", issued["token"].as_str().unwrap()));
    }
    let keeper = basic("keeper", "keeper-password");
    let ask = async |proof: &str, method: &str, path: &str, body: &str| {
        let url = format!("http://{}{path}", hub.main);
        let reply = client::send(method, &url, &[("authorization", proof)], body).await;
        reply.unwrap()
    };
    let (anna, berta) = (tokens[0].as_str(), tokens[1].as_str());
    for run in ["1", "2"] {
        let path = format!("/artefacts/perf/{run}/f");
        assert_eq!(ask(anna, "PUT", &path, "x").await.status, 200);
    }
    let (group, run) = ("/v1/artefacts/groups/perf", "/v1/artefacts/runs/perf/1");
    let (pin, retention) = (r#"{"pinned": true}"#, r#"{"retention": "30d"}"#);
    assert_eq!(ask(anna, "PATCH", group, retention).await.status, 403);
    assert_eq!(ask(anna, "PATCH", run, pin).await.status, 403);
    assert_eq!(ask(anna, "DELETE", run, "").await.status, 403);
    assert_eq!(
        ask(anna, "GET", group, "").await.json()["may"],
        json!(["read", "create"])
    );
    assert_eq!(ask(berta, "PATCH", group, retention).await.status, 200);
    assert_eq!(ask(&keeper, "PATCH", run, pin).await.status, 200);
    assert_eq!(ask(berta, "DELETE", run, "").await.status, 409);
    assert_eq!(ask(berta, "DELETE", group, "").await.status, 200);
    let details = |event: &Value| event["details"]["change"].clone();
    let changed = cluster::audit(&hub, "artefact_group.changed").await;
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(changed[0]["actor"], "user:berta");
    assert_eq!(changed[0]["target"], "artefact_group:perf");
    assert_eq!(details(&changed[0]), json!({"retention": "30d"}));
    let pinned = cluster::audit(&hub, "artefact_run.changed").await;
    assert_eq!(pinned[0]["actor"], "user:artefacts/keeper", "{pinned:?}");
    assert_eq!(pinned[0]["target"], "artefact_run:perf/1");
    let removed = cluster::audit(&hub, "artefact_group.removed").await;
    assert_eq!(removed[0]["actor"], "user:berta", "{removed:?}");
}
