//! Applications behind nodes: by path and by host, streamed, upgraded and forwarded; for users whose
//! roles allow it, and for nobody else.

use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use it::certificates::{Authority, server_config};
use it::client::{self, Connection, Reply};
use it::cluster::{self, run};
use it::curl::curl;
use it::need::need;
use it::program::{Program, program_path};
use it::stubs::apps::{App, STEP, masked};
use it::stubs::server::{Server, answer, handler};
use it::wait;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// The longest a caller waits for the word that something can't be reached.
const TOLD: Duration = Duration::from_secs(6);
/// The longest a replacement takes.
const REPLACED: Duration = Duration::from_secs(30);

/// A hub with a node, and a user who may use the applications of production.
struct Site {
    hub: Program,
    node: Program,
    /// Of anna, who may.
    token: String,
}

impl Site {
    async fn start(apps: Value) -> Self {
        let more = json!({"public_addr": "hub.example.net:3080", "log": {"level": "debug"}});
        let hub = Program::start(&cluster::hub(more)).await;
        let section = json!({"labels": {"env": "prod"}, "apps": apps});
        let node = cluster::join(&hub, "web-1", section).await;
        let role = json!({
            "name": "prod-apps",
            "allow": [{"kinds": ["apps"], "verbs": ["use"], "labels": {"env": "prod"}}],
        });
        std::fs::write(hub.path("role.json"), role.to_string()).unwrap();
        run(&hub, &["roles", "add", "role.json"]);
        let token = user(&hub, "anna", "prod-apps");
        Self { hub, node, token }
    }

    /// `GET` on the hub with anna's token.
    async fn get(&self, path: &str) -> Reply {
        self.get_as(path, &self.token).await
    }

    async fn get_as(&self, path: &str, token: &str) -> Reply {
        let bearer = format!("Bearer {token}");
        let url = format!("http://{}{path}", self.hub.main);
        let headers = [("authorization", bearer.as_str())];
        client::get(&url, &headers).await.unwrap()
    }

    /// Sends a head and gives the connection.
    async fn raw(&self, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.hub.main).await.unwrap();
        let head = format!("{head}Authorization: Bearer {}\r\n\r\n", self.token);
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    fn forward(&self, arguments: &[&str]) -> Forward {
        Forward::start(&self.hub, &self.token, arguments)
    }
}

/// A running `landline forward`.
struct Forward {
    child: Child,
}

impl Forward {
    fn start(hub: &Program, token: &str, arguments: &[&str]) -> Self {
        std::fs::write(hub.path("api.token"), token).unwrap();
        let child = Command::new(program_path())
            .args([&["forward"], arguments, &["--token-file", "api.token"]].concat())
            .current_dir(hub.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child }
    }

    /// A connection through it.
    async fn connect(&mut self) -> TcpStream {
        let mut lines = BufReader::new(self.child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(STEP, lines.next_line()).await;
        let line = line.expect("in time").unwrap().expect("a line");
        let address = line.split(' ').next().unwrap().to_owned();
        TcpStream::connect(address).await.unwrap()
    }
}

/// Adds a user with one role; gives a token of theirs.
fn user(hub: &Program, name: &str, role: &str) -> String {
    run(hub, &["users", "add", name, "--role", role]);
    let words = [
        "tokens", "add", "--role", "api", "--user", name, "--ttl", "30d", "--json",
    ];
    let issued: Value = serde_json::from_str(&run(hub, &words)).unwrap();
    issued["token"].as_str().unwrap().to_owned()
}

/// Reads up to the empty line.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let read = async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a head"));
        }
    };
    tokio::time::timeout(STEP, read)
        .await
        .expect("a head in time");
    String::from_utf8(head).unwrap()
}

fn http(app: &App) -> Value {
    json!({"name": "api", "url": format!("http://{}", app.address)})
}

/// By path and by host, with a real client; the application learns how the client came and who it
/// is, and nothing that is not for it.
#[tokio::test]
async fn an_application_is_reached_by_path_and_by_host() {
    let app = App::http().await;
    let site = Site::start(json!([http(&app)])).await;
    let reply = site.get("/apps/api/a/b?c=d").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let told = reply.json();
    assert_eq!(told["target"], "/a/b?c=d");
    let headers = &told["headers"];
    assert_eq!(headers["host"], app.address.to_string());
    assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(headers["x-forwarded-proto"], "http");
    assert_eq!(headers["x-forwarded-host"], site.hub.main.to_string());
    assert_eq!(headers["x-forwarded-prefix"], "/apps/api");
    assert_eq!(headers["authorization"], Value::Null);
    assert_eq!(
        (reply.header("x-app"), reply.header("keep-alive")),
        ("yes".to_owned(), String::new())
    );
    assert_eq!(site.get("/apps/api@web-1/x").await.json()["target"], "/x");
    assert_eq!(site.get("/apps/api@web-2/x").await.status, 404);
    assert_eq!(site.get("/apps/api").await.header("location"), "/apps/api/");
    assert_eq!(
        site.get("/apps/api/away").await.header("location"),
        "/apps/api/here?x=y"
    );
    let admin = std::fs::read_to_string(site.hub.path("data/admin.token")).unwrap();
    assert_eq!(site.get_as("/apps/api/", admin.trim()).await.status, 200);
    assertion(&site, headers["landline-jwt-assertion"].as_str().unwrap()).await;
    let Some(program) = need("CURL") else { return };
    let (port, bearer) = (
        site.hub.main.port(),
        format!("Authorization: Bearer {}", site.token),
    );
    for (host, status) in [
        ("api.hub.example.net", 200),
        ("api.web-1.hub.example.net", 200),
        ("other.hub.example.net", 404),
    ] {
        let url = format!("https://{host}:{port}/v1/nodes?x=1");
        let resolve = format!("{host}:{port}:127.0.0.1");
        let words = [
            "-k",
            "--resolve",
            &resolve,
            "-H",
            &bearer,
            "-H",
            "X-Forwarded-For: 9.9.9.9",
            &url,
        ];
        let (got, body) = curl(&program, &words).await;
        assert_eq!(got, status, "{host}: {body}");
        if status == 200 {
            let told: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(told["target"], "/v1/nodes?x=1", "a path of the hub's, too");
            assert_eq!(told["headers"]["x-forwarded-proto"], "https");
            assert_eq!(told["headers"]["x-forwarded-for"], "127.0.0.1");
            assert_eq!(
                told["headers"]["x-forwarded-host"],
                format!("{host}:{port}")
            );
        }
    }
}

/// A client can't take away what the hub tells an application, by calling it a matter of one hop.
#[tokio::test]
async fn a_client_cannot_remove_what_the_hub_says() {
    let app = App::http().await;
    let site = Site::start(json!([http(&app)])).await;
    let bearer = format!("Bearer {}", site.token);
    let naming = [
        ("authorization", bearer.as_str()),
        ("connection", "x-forwarded-for, x-forwarded-host, host"),
    ];
    let url = format!("http://{}/apps/api/", site.hub.main);
    let told = it::client::send("GET", &url, &naming, "").await.unwrap();
    let told = told.json();
    for (name, expected) in [
        ("x-forwarded-for", "127.0.0.1".to_owned()),
        ("x-forwarded-host", site.hub.main.to_string()),
        ("host", app.address.to_string()),
    ] {
        assert_eq!(told["headers"][name], expected, "a client removed {name}");
    }
}

/// Anyone can check who the hub says it is, with the published keys alone.
async fn assertion(site: &Site, signed: &str) {
    let keys = site.hub.main("GET", "/.well-known/jwks.json").await;
    let keys: JwkSet = serde_json::from_slice(&keys.body).unwrap();
    let name = decode_header(signed).unwrap().kid.unwrap();
    let key = DecodingKey::from_jwk(keys.find(&name).expect("a known key")).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&["https://hub.example.net:3080"]);
    validation.set_audience(&["api@web-1"]);
    let claims = decode::<Value>(signed, &key, &validation).unwrap().claims;
    assert_eq!(claims["sub"], "anna");
    assert_eq!(claims["roles"], json!(["prod-apps"]));
}

/// The first half of an answer arrives while the second is not there yet; a large body passes; and
/// who does not read is not read for.
#[tokio::test]
async fn bodies_stream_both_ways() {
    let app = App::http().await;
    let site = Site::start(json!([http(&app)])).await;
    let mut stream = site
        .raw("GET /apps/api/stream HTTP/1.1\r\nHost: hub\r\n")
        .await;
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
    let mut first = [0; 9];
    let read = tokio::time::timeout(STEP, stream.read_exact(&mut first)).await;
    read.expect("the first half comes alone").unwrap();
    assert_eq!(&first, b"4\r\none\n\r\n");
    app.release.notify_one();
    let mut second = [0; 9];
    stream.read_exact(&mut second).await.unwrap();
    assert_eq!(&second, b"4\r\ntwo\n\r\n");
    let body = "x".repeat(32 << 20);
    let url = format!("http://{}/apps/api/upload", site.hub.main);
    let bearer = format!("Bearer {}", site.token);
    let headers = [("authorization", bearer.as_str())];
    let reply = client::send("POST", &url, &headers, &body).await.unwrap();
    assert_eq!(reply.json()["length"], 32 << 20, "{}", reply.text());
    let before = site.hub.rss_kib().unwrap();
    let mut stalled = Vec::new();
    for _ in 0..4 {
        stalled.push(
            site.raw("GET /apps/api/endless HTTP/1.1\r\nHost: hub\r\n")
                .await,
        );
    }
    for stream in &mut stalled {
        assert!(head(stream).await.starts_with("HTTP/1.1 200"));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let grown = site.hub.rss_kib().unwrap().saturating_sub(before);
    assert!(
        grown < 40 << 10,
        "{grown} KiB more for four readers that do not read"
    );
    assert_eq!(site.get("/apps/api/").await.status, 200, "the others go on");
}

/// The node speaks HTTPS with an application that wants it, and only with the right one.
#[tokio::test]
async fn an_application_with_tls_is_checked_by_the_node() {
    let authority = Authority::new("own");
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("own.pem");
    std::fs::write(&ca, &authority.cert).unwrap();
    let pair = authority.server(&["app.internal"]);
    let handler = handler(|seen| async move { answer(200, seen.header("host").to_owned()) });
    let server = Server::tls(handler, server_config(&pair, None)).await;
    let tls = json!({"ca": ca.display().to_string(), "server_name": "app.internal"});
    let site = Site::start(json!([
        {"name": "secure", "url": server.url(""), "tls": tls},
        {"name": "stranger", "url": server.url("")},
    ]))
    .await;
    let reply = site.get("/apps/secure/").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.text(), server.address.to_string());
    let reply = site.get("/apps/stranger/").await;
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert!(reply.text().contains("tls"), "{}", reply.text());
    assert_eq!(server.requests(), 1, "nothing is said to a stranger");
}

/// WebSocket passes, and stays open when the hub is replaced; so does a forwarded connection. Kept
/// connections are answered by the old process once more.
#[tokio::test]
async fn open_connections_outlive_a_replacement() {
    let (app, db) = (App::http().await, App::echo().await);
    let mut site =
        Site::start(json!([http(&app), {"name": "db", "tcp": db.address.to_string()}])).await;
    let mut socket = site
        .raw(
            "GET /apps/api/ws HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        )
        .await;
    let answer = head(&mut socket).await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 101"), "{answer}");
    assert!(answer.contains("upgrade: websocket"), "{answer}");
    let mut forward = site.forward(&["db", "127.0.0.1:0"]);
    let mut forwarded = forward.connect().await;
    echoes(&mut socket, &mut forwarded, "before").await;
    let mut kept = Vec::new();
    for _ in 0..20 {
        kept.push(Connection::open(&site.hub.main.to_string()).await.unwrap());
    }
    let before = statuses(&mut kept, &site.token).await;
    assert!(before.iter().all(|status| *status == 200), "{before:?}");
    let old = site.hub.serving_pid().await;
    site.hub.signal(Signal::HUP);
    wait::until("the replacement serves", REPLACED, async || {
        let now = site.hub.serving_pid().await;
        (now.is_some() && now != old).then_some(())
    })
    .await;
    echoes(&mut socket, &mut forwarded, "after").await;
    wait::until("the application at the new process", REPLACED, async || {
        (site.get("/apps/api/").await.status == 200).then_some(())
    })
    .await;
    let after = statuses(&mut kept, &site.token).await;
    assert!(after.iter().all(|status| *status == 200), "{after:?}");
    echoes(&mut socket, &mut forwarded, "at the end").await;
    drop((socket, forwarded, kept));
    assert_eq!(
        site.hub.wait_exit(REPLACED).await,
        0,
        "nothing holds the old process"
    );
}

/// One word there and back, on both.
async fn echoes(socket: &mut TcpStream, forwarded: &mut TcpStream, text: &str) {
    socket.write_all(&masked(text)).await.unwrap();
    let mut frame = vec![0; 2 + text.len()];
    let read = tokio::time::timeout(STEP, socket.read_exact(&mut frame)).await;
    read.expect("an echo in time").unwrap();
    assert_eq!(&frame[2..], text.as_bytes());
    forwarded.write_all(text.as_bytes()).await.unwrap();
    let mut echo = vec![0; text.len()];
    let read = tokio::time::timeout(STEP, forwarded.read_exact(&mut echo)).await;
    read.expect("an echo in time").unwrap();
    assert_eq!(echo, text.as_bytes());
}

/// What kept connections are answered, all at once.
async fn statuses(kept: &mut [Connection], token: &str) -> Vec<u16> {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let headers = headers.as_slice();
    let all = kept.iter_mut().map(|one| async move {
        let reply = one.send("GET", "/apps/api/", headers, "").await;
        reply.unwrap().status
    });
    join_all(all).await
}

/// Loopback is no proof, nor is a token alone: a role has to allow it. All of it is in the audit
/// log, once, and no token is in any log.
#[tokio::test]
async fn who_may_not_is_refused_and_recorded() {
    let app = App::http().await;
    let site = Site::start(json!([http(&app)])).await;
    let viewer = user(&site.hub, "ben", "viewer");
    let other = json!({
        "name": "test-apps",
        "allow": [{"kinds": ["apps"], "verbs": ["use"], "labels": {"env": "test"}}],
    });
    std::fs::write(site.hub.path("role.json"), other.to_string()).unwrap();
    run(&site.hub, &["roles", "add", "role.json"]);
    let tester = user(&site.hub, "cleo", "test-apps");
    assert_eq!(site.hub.main("GET", "/apps/api/").await.status, 401);
    let unknown = "landline_api_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert_eq!(site.get_as("/apps/api/", unknown).await.status, 401);
    for token in [&viewer, &tester] {
        let reply = site.get_as("/apps/api/", token).await;
        assert_eq!(reply.status, 403, "{}", reply.text());
    }
    let path = "/v1/apps/api/connect";
    let reply = client::send("POST", &format!("http://{}{path}", site.hub.main), &[], "").await;
    assert_eq!(reply.unwrap().status, 401);
    for _ in 0..5 {
        assert_eq!(site.get("/apps/api/").await.status, 200);
    }
    let events = cluster::audit(&site.hub, "app.used").await;
    let of = |actor: &str, outcome: &str| {
        let fits = |event: &&Value| event["actor"] == actor && event["outcome"] == outcome;
        events.iter().filter(fits).collect::<Vec<_>>()
    };
    assert_eq!(of("user:ben", "refused").len(), 1, "{events:?}");
    assert_eq!(of("user:cleo", "refused").len(), 1, "{events:?}");
    assert_eq!(of("anonymous", "refused").len(), 2, "{events:?}");
    let used = of("user:anna", "success");
    assert_eq!(used.len(), 1, "{events:?}");
    assert_eq!(used[0]["target"], "app:api@web-1");
    assert_eq!(used[0]["address"], "127.0.0.1");
    assert_eq!(used[0]["details"]["node"], "web-1");
    let admin = std::fs::read_to_string(site.hub.path("data/admin.token")).unwrap();
    for token in [&site.token, &viewer, &tester, &admin.trim().to_owned()] {
        for text in [site.hub.stderr(), site.node.stderr(), format!("{events:?}")] {
            assert!(!text.contains(token.as_str()), "a token is in a log");
        }
    }
    every_use_is_recorded(site).await;
}

/// The four uses after the first are counted, and that is on record when the hub has stopped.
async fn every_use_is_recorded(mut site: Site) {
    site.hub.signal(Signal::TERM);
    assert_eq!(site.hub.wait_exit(REPLACED).await, 0);
    site.hub.restart();
    site.hub.ready().await;
    let events = cluster::audit(&site.hub, "app.used").await;
    let of_anna = events.iter().filter(|event| event["actor"] == "user:anna");
    let more: Vec<_> = of_anna
        .map(|event| event["details"]["more_uses"].as_u64())
        .collect();
    assert_eq!(more, [None, Some(4)], "{events:?}");
}

/// TCP through `landline forward`: on the hub's machine and over TLS with the pin; the application
/// learns whose the connection is.
#[tokio::test]
async fn a_tcp_application_is_forwarded() {
    let app = App::echo().await;
    let address = app.address.to_string();
    let site = Site::start(json!([
        {"name": "db", "tcp": address},
        {"name": "db-v1", "tcp": address, "proxy_protocol": "v1"},
        {"name": "db-v2", "tcp": address, "proxy_protocol": "v2"},
    ]))
    .await;
    let mut forward = site.forward(&["db", "127.0.0.1:0"]);
    let mut stream = forward.connect().await;
    stream.write_all(b"hello").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut echoed = Vec::new();
    let read = tokio::time::timeout(STEP, stream.read_to_end(&mut echoed)).await;
    read.expect("the end is passed on").unwrap();
    assert_eq!(echoed, b"hello");
    let pin = cluster::token(&site.hub, json!({})).await.pin;
    let proxy = site.hub.main.to_string();
    let mut forward = site.forward(&["db-v1", "0", "--proxy", &proxy, "--ca-pin", &pin]);
    let mut stream = forward.connect().await;
    stream.write_all(b"hello").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut echoed = String::new();
    stream.read_to_string(&mut echoed).await.unwrap();
    let words: Vec<&str> = echoed.split([' ', '\r', '\n']).collect();
    assert_eq!(
        words[..4],
        ["PROXY", "TCP4", "127.0.0.1", "127.0.0.1"],
        "{echoed}"
    );
    assert_eq!(words[5], app.address.port().to_string(), "{echoed}");
    assert!(echoed.ends_with("\r\nhello"), "{echoed}");
    let mut forward = site.forward(&["db-v2@web-1", "0"]);
    let mut stream = forward.connect().await;
    let mut header = [0; 16];
    stream.read_exact(&mut header).await.unwrap();
    assert_eq!(header[..12], *b"\r\n\r\n\0\r\nQUIT\n");
    let events = cluster::audit(&site.hub, "app.used").await;
    let targets: Vec<&str> = events
        .iter()
        .filter_map(|event| event["target"].as_str())
        .collect();
    assert_eq!(
        targets,
        ["app:db@web-1", "app:db-v1@web-1", "app:db-v2@web-1"]
    );
}

/// A forward without the right, or with another hub's pin, says so and gives nothing away.
#[tokio::test]
async fn a_forward_without_a_right_says_why() {
    let app = App::echo().await;
    let site = Site::start(json!([{"name": "db", "tcp": app.address.to_string()}])).await;
    let token = user(&site.hub, "ben", "viewer");
    let proxy = site.hub.main.to_string();
    let pin = format!("sha256:{}", "0".repeat(64));
    let elsewhere = ["db", "0", "--proxy", &proxy, "--ca-pin", &pin];
    let cases: [(&[&str], &str); 3] = [
        (&["db", "0"], "may not use"),
        (&["db2", "0"], "no node offers"),
        (&elsewhere, "tls with"),
    ];
    for (arguments, expected) in cases {
        let mut forward = Forward::start(&site.hub, &token, arguments);
        let mut stream = forward.connect().await;
        let mut nothing = Vec::new();
        let read = tokio::time::timeout(STEP, stream.read_to_end(&mut nothing)).await;
        drop(read.expect("the connection ends"));
        assert!(nothing.is_empty());
        let mut lines = BufReader::new(forward.child.stderr.take().unwrap()).lines();
        let told = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains(expected) {
                    return;
                }
            }
            panic!("{arguments:?} ended without {expected:?}");
        };
        tokio::time::timeout(STEP, told).await.expect(expected);
    }
}

/// What can't be reached is told in time, with what to check; and it is back by itself.
#[tokio::test]
async fn what_is_wrong_is_told() {
    let app = App::http().await;
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let apps = json!([
        http(&app),
        {"name": "down", "url": format!("http://{closed}")},
        {"name": "db", "tcp": closed.to_string()},
    ]);
    let site = Site::start(apps).await;
    let check = async |path: &str, status: u16, words: &str| {
        let begun = Instant::now();
        let reply = site.get(path).await;
        let text = reply.text();
        assert_eq!(reply.status, status, "{path}: {text}");
        assert!(text.contains(words), "{path}: {text}");
        assert!(begun.elapsed() < TOLD, "{path}: {:?}", begun.elapsed());
    };
    check("/apps/down/", 502, "does it run there?").await;
    check("/apps/db/", 400, "landline forward").await;
    check("/apps/none/", 404, "landline apps ls").await;
    check("/apps/api/", 200, "").await;
    let listed = site.hub.command(&["apps", "ls", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    for app in listed["apps"].as_array().unwrap() {
        assert_eq!(app["lines"], 1, "{app}");
        let error = app["last_error"].as_str().unwrap_or_default();
        let is_told = error.contains("does it run there?");
        assert_eq!(is_told, app["name"] == "down", "{app}");
    }
    // It stops without a word while a connection to it is kept.
    site.node.signal(Signal::STOP);
    let begun = Instant::now();
    let reply = site.get("/apps/api/").await;
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(reply.text().contains("check"), "{}", reply.text());
    assert!(begun.elapsed() < TOLD, "{:?}", begun.elapsed());
    check("/apps/api/", 503, "offline").await;
    site.node.signal(Signal::CONT);
    wait::until(
        "the application is back",
        Duration::from_secs(30),
        async || (site.get("/apps/api/").await.status == 200).then_some(()),
    )
    .await;
    let events = cluster::audit(&site.hub, "app.used").await;
    assert!(
        events.iter().any(|event| event["outcome"] == "failed"),
        "{events:?}"
    );
}
