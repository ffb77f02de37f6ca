//! Who reads records: strangers post and see nothing, and a role may be about one project.

use std::net::{SocketAddr, UdpSocket};

use it::client::{self, Reply};
use it::cluster;
use it::need::skip;
use it::program::Program;
use it::telemetrics::{self, Collector, Form, Record, Store, TID, TID_HEADER, exchange};
use serde_json::{Value, json};

const OTHER_TID: &str = "11111111-2222-3333-4444-555555555555";
/// Everything that shows records.
const READING: [&str; 18] = [
    "/api/records",
    "/v1/records",
    "/v1/records/1",
    "/v1/records/counts",
    "/v1/records/choices",
    "/v1/records/export",
    "/v1/records/machines",
    "/v1/records/machine-checks",
    "/v1/records/population",
    "/v1/records/groups",
    "/v1/records/groups/1",
    "/v1/records/quarantine",
    "/v1/records/imports",
    "/v1/records/imports/1",
    "/v1/records/quarantine/1",
    "/v1/records/regroup",
    "/v1/records/tail",
    "/telemetryui/records/export/records-1.csv",
];

/// An address of this machine that is not the one that it calls itself by; nothing is sent.
pub(crate) fn outer_address() -> Option<std::net::IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback()).then_some(address)
}

/// Where the collector itself listens.
fn own_listener(program: &Program) -> SocketAddr {
    let listeners = std::fs::read(program.path("data/listeners.json")).unwrap();
    let listeners: Value = serde_json::from_slice(&listeners).unwrap();
    listeners["collector"].as_str().unwrap().parse().unwrap()
}

/// Everybody may post, over plain HTTP as the clients do, but who comes from elsewhere reads nothing.
#[tokio::test]
async fn strangers_post_and_see_nothing() {
    let Some(outer) = outer_address() else {
        return skip("this machine has no address but its own");
    };
    let mut whole: Value =
        serde_json::from_str(&telemetrics::configuration(&json!({}), json!({}))).unwrap();
    whole["collector"]["listen"] = json!("0.0.0.0:0");
    let program = Program::start(&whole.to_string()).await;
    let own = own_listener(&program);
    let from_outside = SocketAddr::new(outer, own.port());
    for form in Form::ALL {
        let reply = exchange(from_outside, &Record::new().request(form)).await;
        assert_eq!(
            (reply.status, reply.header("landline-outcome").as_str()),
            (201, "kept")
        );
    }
    let invalid = Record::new().set("severity", "9").request(Form::Headers);
    assert_eq!(exchange(from_outside, &invalid).await.status, 201);
    for path in READING {
        let url = format!("http://{from_outside}{path}");
        // Who says that they are from here is not believed.
        for headers in [
            &[][..],
            &[
                ("x-forwarded-for", "127.0.0.1"),
                ("forwarded", "for=127.0.0.1"),
                ("host", "127.0.0.1"),
            ],
        ] {
            let reply = client::get(&url, headers).await.unwrap();
            assert!(
                [401, 403].contains(&reply.status),
                "{path}: {}",
                reply.status
            );
            assert!(
                !reply.text().contains("org.example"),
                "{path}: {}",
                reply.text()
            );
        }
    }
    let url = format!("http://{from_outside}/v1/records/groups/1");
    let reply = client::send("POST", &url, &[], "{\"state\":\"resolved\"}")
        .await
        .unwrap();
    assert!([401, 403].contains(&reply.status), "{}", reply.status);
    let inside = SocketAddr::from(([127, 0, 0, 1], own.port()));
    let reply = client::get(&format!("http://{inside}/api/records"), &[])
        .await
        .unwrap();
    assert_eq!(reply.json()["records"].as_array().map(Vec::len), Some(2));
}

/// A hub whose collector has two projects, with a record, a crash and something invalid of each.
async fn hub(store: Store) -> Option<Collector> {
    let projects = json!([
        {"name": "ours", "tid": TID},
        {"name": "theirs", "tid": OTHER_TID},
    ]);
    let more = json!({"roles": ["auth", "proxy", "collector"]});
    let hub = Collector::start_with(store, more, json!({"projects": projects})).await?;
    for tid in [TID, OTHER_TID] {
        let crash = "Process: x\n\n#0 inner() - [x]\n#1 main() - [x]\n";
        for record in [
            Record::new()
                .set("classification", format!("{tid}/a/b"))
                .set("build", tid.replace('-', ""))
                .set("system_name", "x"),
            Record::new()
                .set("classification", "org.clearlinux/crash/clr")
                .payload(crash),
            Record::new().set("severity", "9"),
        ] {
            let record = record.set(TID_HEADER, tid);
            assert_eq!(hub.post(Form::Headers, &record).await.status, 201);
        }
    }
    Some(hub)
}

/// A user with this role alone, by their token.
fn user(hub: &Program, name: &str, role: &str) -> String {
    let added = hub.command(&["users", "add", name, "--role", role]);
    assert!(added.status.success(), "{added:?}");
    let words = ["tokens", "add", "--role", "api", "--user", name, "--json"];
    let issued: Value = serde_json::from_slice(&hub.command(&words).stdout).unwrap();
    issued["token"].as_str().unwrap().to_owned()
}

async fn ask(hub: &Program, token: &str, (method, path): (&str, &str), body: &str) -> Reply {
    let bearer = format!("Bearer {token}");
    let url = format!("http://{}{path}", hub.main);
    let headers = [("authorization", bearer.as_str())];
    client::send(method, &url, &headers, body).await.unwrap()
}

async fn role(hub: &Program, name: &str, verbs: &Value, labels: &Value) {
    let rule = json!({"kinds": ["records"], "verbs": verbs, "labels": labels});
    let role = json!({"name": name, "allow": [rule]}).to_string();
    let reply = cluster::admin(hub, "POST", "/v1/roles", &role).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// Who may see one project sees nothing of another one, on any path.
async fn sees_one_project(store: Store) {
    let Some(collector) = hub(store).await else {
        return;
    };
    let hub = &collector.program;
    role(hub, "reader", &json!(["read"]), &json!({"project": "ours"})).await;
    let token = user(hub, "rosa", "reader");
    let get = async |path: &str| ask(hub, &token, ("GET", path), "").await;
    for path in [
        "/api/records",
        "/v1/records",
        "/v1/records?project=theirs",
        "/v1/records?classification=11111111-2222-3333-4444-555555555555/*",
        "/v1/records/counts",
        "/v1/records/counts?by=build",
        "/v1/records/choices",
        "/v1/records/choices?project=theirs",
        "/v1/records/groups",
        "/v1/records/quarantine",
        "/v1/records/quarantine?project=theirs",
        "/telemetryui/records/export/records-1.csv",
    ] {
        let reply = get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        let text = reply.text().replace('-', "");
        assert!(
            !text.contains("theirs") && !text.contains("111111112222"),
            "{path}: {text}"
        );
        if !path.contains("theirs") && !path.contains("1111") {
            assert!(
                text.contains("ours") || text.contains("6907c830"),
                "{path}: {text}"
            );
        }
    }
    let machines = get("/v1/records/machines").await.json();
    assert_eq!(machines["looked_at"], 2, "{machines}");
    let counted = get("/v1/records/counts?classification=11111111-2222-3333-4444-555555555555/*");
    assert_eq!(counted.await.json()["days"], json!([]));
    // Of the six ids, the last three are theirs; groups are numbered by themselves.
    for (path, status) in [
        ("/v1/records/1", 200),
        ("/v1/records/4", 404),
        ("/v1/records/5", 404),
        ("/v1/records/groups/1", 200),
        ("/v1/records/groups/2", 404),
        ("/v1/records/quarantine/3", 200),
        ("/v1/records/quarantine/6", 404),
    ] {
        assert_eq!(get(path).await.status, status, "{path}");
    }
    let resolved = "{\"state\":\"resolved\"}";
    for group in [1, 2] {
        let path = format!("/v1/records/groups/{group}");
        let reply = ask(hub, &token, ("POST", &path), resolved).await;
        assert_eq!(reply.status, 403, "{path}: {}", reply.text());
    }
    collector.remove().await;
}

#[tokio::test]
async fn a_role_is_about_one_project_on_sqlite() {
    sees_one_project(Store::Sqlite).await;
}

#[tokio::test]
async fn a_role_is_about_one_project_on_postgresql() {
    sees_one_project(Store::Postgres).await;
}

/// Who may change one project changes nothing of another one.
async fn changes_one_project(store: Store) {
    let Some(collector) = hub(store).await else {
        return;
    };
    let hub = &collector.program;
    role(
        hub,
        "keeper",
        &json!(["read", "update"]),
        &json!({"project": "theirs"}),
    )
    .await;
    let token = user(hub, "karl", "keeper");
    let resolved = "{\"state\":\"resolved\"}";
    for (group, status) in [(1, 404), (2, 200)] {
        let path = format!("/v1/records/groups/{group}");
        let reply = ask(hub, &token, ("POST", &path), resolved).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
    }
    // Ids are those of all projects: an import needs the right for each, and is seen in its own.
    let imports = "/v1/records/imports";
    let begin =
        json!({"source": "test", "project": "ours", "first": 1_000, "last": 2_000, "records": 5});
    for path in ["", "/1/batches", "/1/notes", "/1/finish", "/1/abandon"] {
        let path = format!("{imports}{path}");
        let reply = ask(hub, &token, ("POST", &path), &begin.to_string()).await;
        assert_eq!(reply.status, 403, "{path}: {}", reply.text());
    }
    let begun = cluster::admin(hub, "POST", imports, &begin.to_string()).await;
    assert_eq!((begun.status, &begun.json()["id"]), (200, &json!(1)));
    let listed = ask(hub, &token, ("GET", imports), "").await;
    assert_eq!(listed.json()["imports"], json!([]));
    let shown = ask(hub, &token, ("GET", "/v1/records/imports/1"), "").await;
    assert_eq!(shown.status, 404, "{}", shown.text());
    let audit = hub.command(&["audit", "--json"]);
    let audit = String::from_utf8(audit.stdout).unwrap();
    assert!(audit.contains("record_import.begun"), "{audit}");
    let other = cluster::admin(hub, "GET", "/v1/records/groups/1", "").await;
    assert_eq!(other.json()["state"], "new");
    // No right to records at all.
    role(
        hub,
        "nobody",
        &json!(["read"]),
        &json!({"project": "a third"}),
    )
    .await;
    let token = user(hub, "nina", "nobody");
    let reply = ask(hub, &token, ("GET", "/v1/records"), "").await;
    assert_eq!(reply.json()["records"], json!([]), "{}", reply.text());
    collector.remove().await;
}

#[tokio::test]
async fn a_role_changes_one_project_on_sqlite() {
    changes_one_project(Store::Sqlite).await;
}

#[tokio::test]
async fn a_role_changes_one_project_on_postgresql() {
    changes_one_project(Store::Postgres).await;
}

/// Merging, splitting, releasing and removing are changes of one project, too; frames are for all of them.
async fn touches_one_project(store: Store) {
    let Some(collector) = hub(store).await else {
        return;
    };
    let hub = &collector.program;
    let labels = json!({"project": "theirs"});
    role(hub, "keeper", &json!(["read", "update"]), &labels).await;
    role(hub, "reader", &json!(["read"]), &labels).await;
    let (karl, rosa) = (user(hub, "karl", "keeper"), user(hub, "rosa", "reader"));
    let frames = "/v1/records/skipped-frames";
    let frame = "{\"add\":[{\"function\":\"inner()\",\"module\":\"x\"}]}";
    // Groups are numbered by themselves; 3 and 6 are in quarantine, and can be no records.
    for (method, path, body, status) in [
        ("POST", "/v1/records/groups/1/merge", "{\"into\":2}", 404),
        ("POST", "/v1/records/groups/2/merge", "{\"into\":1}", 404),
        ("POST", "/v1/records/groups/1/split", "", 404),
        ("POST", "/v1/records/groups/2/split", "", 409),
        ("POST", "/v1/records/quarantine/3/release", "", 404),
        ("DELETE", "/v1/records/quarantine/3", "", 404),
        ("POST", "/v1/records/quarantine/6/release", "", 409),
        ("POST", frames, frame, 403),
        ("DELETE", "/v1/records/quarantine/6", "", 200),
    ] {
        let reply = ask(hub, &rosa, (method, path), body).await;
        assert_eq!(reply.status, 403, "{method} {path}: {}", reply.text());
        let reply = ask(hub, &karl, (method, path), body).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
    }
    let admin = async |path: &str| cluster::admin(hub, "GET", path, "").await.json();
    assert_eq!(admin("/v1/records/quarantine/3").await["id"], 3);
    for group in [1, 2] {
        let found = admin(&format!("/v1/records/groups/{group}")).await;
        assert_eq!(
            (&found["id"], &found["merged_into"]),
            (&json!(group), &Value::Null)
        );
    }
    assert_eq!(admin(frames).await["frames"], json!([]));
    let removed = cluster::audit(hub, "record_quarantine.removed").await;
    assert_eq!(removed.len(), 1, "{removed:?}");
    assert_eq!(
        (&removed[0]["actor"], &removed[0]["target"]),
        (&json!("user:karl"), &json!("submission:6"))
    );
    collector.remove().await;
}

#[tokio::test]
async fn a_role_touches_one_project_on_sqlite() {
    touches_one_project(Store::Sqlite).await;
}

#[tokio::test]
async fn a_role_touches_one_project_on_postgresql() {
    touches_one_project(Store::Postgres).await;
}
