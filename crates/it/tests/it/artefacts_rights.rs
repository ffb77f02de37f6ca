//! Who may do what, and how much: groups, users, tokens, quotas.

use it::artefacts::{PASSWORD, Store, USER, in_bucket_of, section};
use it::client;
use it::cluster;
use it::need::need;
use it::program::Program;
use it::s3s::S3Server;
use serde_json::{Value, json};
use wire::auth::basic;

const PRESIGN: &str = "/presigned-url?remote_filename=f&request_id=";

/// A user of the configuration may be about some groups and some acts.
#[tokio::test]
async fn users_have_rights_by_group() {
    let users = json!([
        {"name": USER, "password": {"file": "krkn.password"}},
        {"name": "ci", "password": "ci-password", "groups": ["ci-*"], "rights": ["create"]},
        {"name": "eye", "password": "eye-password", "groups": ["ci-1"], "rights": ["read"]},
    ]);
    let store = Store::start(section(json!({"users": users, "access": "closed"}))).await;
    let status = async |user: (&str, &str), path: &str| {
        let credentials = basic(user.0, user.1);
        let reply = store
            .send("GET", path, &[("authorization", &credentials)], "")
            .await;
        reply.status
    };
    let (ci, eye) = (("ci", "ci-password"), ("eye", "eye-password"));
    assert_eq!(status(ci, &format!("{PRESIGN}ci-1/r")).await, 200);
    assert_eq!(status(ci, &format!("{PRESIGN}other/r")).await, 403);
    assert_eq!(status(ci, "/navigate/ci-1").await, 403);
    assert_eq!(status(eye, "/navigate/ci-1").await, 200);
    assert_eq!(status(eye, "/navigate/other").await, 403);
    assert_eq!(status(eye, &format!("{PRESIGN}ci-1/r")).await, 403);
    assert_eq!(store.upload("ci-1/r", "f", "x").await.status, 200);
    assert_eq!(store.upload("other/r", "f", "x").await.status, 200);
    let credentials = basic(eye.0, eye.1);
    let seen = store
        .send("GET", "/navigate", &[("authorization", &credentials)], "")
        .await;
    assert_eq!(
        seen.json().as_array().map(Vec::len),
        Some(1),
        "{}",
        seen.text()
    );
    let s3 = async |user: (&str, &str), method: &str, path: &str| {
        let url = store.signed(user, (method, path), &[], 60);
        client::send(method, &url, &[], "x").await.unwrap().status
    };
    assert_eq!(s3(eye, "GET", "/ci-1/r/f").await, 200);
    assert_eq!(s3(eye, "GET", "/other/r/f").await, 403);
    assert_eq!(s3(eye, "PUT", "/ci-1/r/f").await, 403);
    assert_eq!(s3(eye, "DELETE", "/ci-1/r/f").await, 403);
    assert_eq!(s3(ci, "PUT", "/ci-2/r/f").await, 200);
    assert_eq!(s3(ci, "GET", "/ci-2/r/f").await, 403);
    let url = store.signed(eye, ("GET", ""), &[("list-type", "2")], 60);
    let list = client::get(&url, &[]).await.unwrap().text();
    assert!(
        list.contains("ci-1/r/f") && !list.contains("other"),
        "{list}"
    );
}

/// A browser sends along what it remembers, also for pages of other sites; these change nothing.
#[tokio::test]
async fn pages_of_other_sites_change_nothing() {
    let store = Store::start(section(json!({"access": "closed"}))).await;
    assert_eq!(store.upload("g/r", "f", "x").await.status, 200);
    let credentials = basic(USER, PASSWORD);
    let list = "<Delete><Object><Key>g/r/f</Key></Object></Delete>";
    let post = async |more: &[(&str, &str)]| {
        let mut headers = vec![
            ("authorization", credentials.as_str()),
            ("content-type", "text/plain"),
        ];
        headers.extend(more);
        let reply = store
            .send("POST", "/artefacts?delete", &headers, list)
            .await;
        reply.status
    };
    for other in [
        ("origin", "https://evil.example.net"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        assert_eq!(post(&[other]).await, 403, "{other:?}");
    }
    let read = [("authorization", credentials.as_str())];
    let there = store.send("GET", "/navigate/g/r", &read, "").await;
    assert!(there.text().contains("\"f\""), "{}", there.text());
    // Whoever is no browser says nothing of it.
    assert_eq!(post(&[]).await, 200);
}

/// A password in a file is read again when it changes.
#[tokio::test]
async fn a_changed_password_acts() {
    let store = Store::start(section(json!({"access": "closed"}))).await;
    store.program.write("krkn.password", "another-password\n");
    let status = async |password: &str| {
        let credentials = basic(USER, password);
        let headers = [("authorization", credentials.as_str())];
        store.send("GET", "/navigate", &headers, "").await.status
    };
    it::wait::until("the old password is refused", it::wait::SOON, async || {
        (status(PASSWORD).await == 401).then_some(())
    })
    .await;
    assert_eq!(status("another-password").await, 200);
}

/// Programs of this machine need no proof, unless they only pass on what others ask; krkn's usual name
/// and password are not held against it where nobody has one.
#[tokio::test]
async fn programs_of_this_machine_need_no_proof() {
    let store = Store::start(json!({"quota": {"keep_free": "1B"}})).await;
    let path = format!("{PRESIGN}g/r");
    assert_eq!(store.send("GET", &path, &[], "").await.status, 200);
    let usual = basic("username", "password");
    assert_eq!(
        store
            .send("GET", &path, &[("authorization", &usual)], "")
            .await
            .status,
        200
    );
    assert_eq!(
        store.send("PUT", "/artefacts/g/r/f", &[], "x").await.status,
        200
    );
    assert_eq!(
        store.send("GET", "/artefacts/g/r/f", &[], "").await.text(),
        "x"
    );
    assert_eq!(
        store
            .send("DELETE", "/artefacts/g/r/f", &[], "")
            .await
            .status,
        403
    );
    let passed_on = [("x-forwarded-for", "192.0.2.1")];
    assert_eq!(store.send("GET", &path, &passed_on, "").await.status, 401);
    // A page whose name was made to lead here.
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n");
    assert_eq!(
        client::raw_status(store.address, request.as_bytes()).await,
        401
    );
}

/// A quota is told before anything is sent, while it is sent, and by links.
#[tokio::test]
async fn a_full_store_says_so_at_once() {
    fills_up(section(json!({}))).await;
    let none = json!({"quota": {"keep_free": "900TiB"}});
    let store = Store::start(section(none)).await;
    let reply = store.get(&format!("{PRESIGN}g/r")).await;
    assert_eq!(
        (reply.status, reply.header("retry-after").as_str()),
        (507, "60")
    );
}

/// The same with objects in a bucket, which is never full by itself.
#[tokio::test]
async fn a_full_store_over_a_bucket_says_so_at_once() {
    let Some(program) = need("S3S_FS") else {
        return;
    };
    let server = S3Server::start(&program, "artefacts").await;
    fills_up(in_bucket_of(&server.endpoint, S3Server::KEY)).await;
}

async fn fills_up(mut section: Value) {
    section["quota"] = json!({"total": "100KiB", "group": "60KiB", "keep_free": "1B"});
    let store = Store::start(section).await;
    let body = "x".repeat(50 << 10);
    assert_eq!(store.upload("one/r", "f", &body).await.status, 200);
    let reply = store.upload("one/r", "g", &body).await;
    assert_eq!(
        (reply.status, reply.header("retry-after").as_str()),
        (507, "60")
    );
    assert!(
        reply.text().contains("the group is full"),
        "{}",
        reply.text()
    );
    assert_eq!(
        store
            .upload("two/r", "f", &"x".repeat(40 << 10))
            .await
            .status,
        200
    );
    let reply = store.upload("three/r", "f", &"x".repeat(20 << 10)).await;
    assert_eq!(reply.status, 507);
    assert!(
        reply.text().contains("the store is full"),
        "{}",
        reply.text()
    );
    // Without a length it is noticed on the way.
    let link = store.link("three/r", "chunked").await;
    let path = link.strip_prefix(&store.url("")).unwrap();
    let piece = format!("5000\r\n{}\r\n", "x".repeat(0x5000));
    let request = format!(
        "PUT {path} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{}0\r\n\r\n",
        store.address,
        piece.repeat(2)
    );
    assert_eq!(
        client::raw_status(store.address, request.as_bytes()).await,
        507
    );
    if store.has_folder() {
        assert_eq!(store.files_below("incoming"), 0);
    }
    assert_eq!(store.s3("DELETE", "/one/r/f", &[], "").await.status, 204);
    assert_eq!(
        store
            .upload("three/r", "f", &"x".repeat(20 << 10))
            .await
            .status,
        200
    );
    let refused = store.program.metric(
        "landline_artefacts_refused_total",
        &[("reason", "InsufficientStorage")],
    );
    assert!(refused.await >= 3.0);
}

/// Behind a front links lead to it, and a signature for its host holds.
#[tokio::test]
async fn links_lead_through_fronts() {
    let more = json!({"trusted_proxies": ["127.0.0.0/8"]});
    let store = Store::start(section(more)).await;
    let credentials = basic(USER, PASSWORD);
    let headers = [
        ("authorization", credentials.as_str()),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "collect.example.net"),
        ("x-forwarded-prefix", "/store/"),
    ];
    let reply = store
        .send("GET", &format!("{PRESIGN}g/r"), &headers, "")
        .await;
    let link = reply.text();
    let path = link
        .strip_prefix("https://collect.example.net/store")
        .expect("a link to the front");
    let behind = &headers[1..];
    assert_eq!(store.send("PUT", path, behind, "x").await.status, 200);
    assert_eq!(store.send("PUT", path, &[], "x").await.status, 403);
    let more = json!({"public_url": "https://collect.example.net/store"});
    let store = Store::start(section(more)).await;
    let link = store.link("g/r", "f").await;
    let path = link
        .strip_prefix("https://collect.example.net/store")
        .expect("a link to the front");
    assert_eq!(store.send("PUT", path, &[], "x").await.status, 200);
    // Who is not trusted is not believed.
    let reply = store
        .send("GET", &format!("{PRESIGN}g/r"), &headers, "")
        .await;
    assert!(
        reply
            .text()
            .starts_with("https://collect.example.net/store"),
        "{}",
        reply.text()
    );
}

/// A prefix that the client chooses does not make a link good for another key, whose path ends its own.
#[tokio::test]
async fn links_are_for_one_key() {
    let store = Store::start(section(json!({"trusted_proxies": ["127.0.0.0/8"]}))).await;
    assert_eq!(store.upload("theirs/r", "f", "x").await.status, 200);
    let link = store.get("/download-url/mine/artefacts/theirs/r/f").await;
    let link = link.json()["download_link"].as_str().unwrap().to_owned();
    let (_, query) = link.split_once('?').unwrap();
    let host = store.address.to_string();
    let front = [
        ("x-forwarded-host", host.as_str()),
        ("x-forwarded-prefix", "/artefacts/mine"),
    ];
    let path = format!("/artefacts/theirs/r/f?{query}");
    assert_eq!(store.send("GET", &path, &front, "").await.status, 403);
    let url = store.signed(
        (USER, PASSWORD),
        ("GET", "/mine/artefacts/theirs/r/f"),
        &[],
        60,
    );
    let (_, query) = url.split_once('?').unwrap();
    let path = format!("/artefacts/theirs/r/f?{query}");
    assert_eq!(store.send("GET", &path, &front, "").await.status, 403);
}

/// Users of the cluster show an API token, as bearer or as the password of Basic credentials; their roles
/// are about groups.
#[tokio::test]
async fn roles_of_the_cluster_are_about_groups() {
    let section = json!({"access": "closed", "quota": {"keep_free": "1B"}});
    let roles = ["auth", "proxy", "collector"];
    let hub = cluster::hub(json!({"roles": roles, "collector": {"artefacts": section}}));
    let hub = Program::start(&hub).await;
    let rules = json!([
        {"kinds": ["artefacts"], "verbs": ["read", "create"], "labels": {"group": ["perf"]}},
    ]);
    let role = json!({"name": "perf", "allow": rules}).to_string();
    let reply = cluster::admin(&hub, "POST", "/v1/roles", &role).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    cluster::run(&hub, &["users", "add", "anna", "--role", "perf"]);
    let words = ["tokens", "add", "--role", "api", "--user", "anna", "--json"];
    let issued: Value = serde_json::from_str(&cluster::run(&hub, &words)).unwrap();
    let token = issued["token"].as_str().unwrap();
    let ask = async |method: &str, path: &str, authorization: &str| {
        let url = format!("http://{}{path}", hub.main);
        let headers = [("authorization", authorization)];
        client::send(method, &url, &headers, "x").await.unwrap()
    };
    for proof in [format!("Bearer {token}"), basic("anna", token)] {
        let status = async |method: &str, path: &str| ask(method, path, &proof).await.status;
        assert_eq!(
            status("GET", &format!("{PRESIGN}perf/r")).await,
            200,
            "{proof}"
        );
        assert_eq!(status("GET", &format!("{PRESIGN}other/r")).await, 403);
        assert_eq!(status("PUT", "/artefacts/perf/r/f").await, 200);
        assert_eq!(status("GET", "/artefacts/perf/r/f").await, 200);
        assert_eq!(status("DELETE", "/artefacts/perf/r/f").await, 403);
        assert_eq!(status("GET", "/navigate/other").await, 403);
        assert_eq!(status("GET", "/v1/artefacts/runs").await, 200);
    }
    let others = [
        basic("berta", token),
        basic("anna", "landline_api_x"),
        "Bearer x".to_owned(),
    ];
    for wrong in others {
        let status = ask("GET", "/navigate", &wrong).await.status;
        assert!([400, 401].contains(&status), "{wrong}: {status}");
    }
}
