//! The harness itself is proven: with a script in the program's place, and with peers alone.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use it::gate::Gate;
use it::load::Load;
use it::mysql::{Database, Row};
use it::need::need;
use it::program::{Launch, Program};
use it::prometheus::{Prometheus, promtool_check};
use it::stubs::hmac::{self, Hmac, Rule};
use it::stubs::oauth2::{self, OAuth2};
use it::stubs::pages::Pages;
use it::stubs::server::{Server, handler, text_page};
use it::stubs::{schemes, sigv4};
use it::wait::{self, SOON};
use it::{client, curl, proc};
use rustix::process::Signal;
use serde_json::json;

/// A script that looks like the program as far as the harness can see.
fn imitation(script: &str) -> Launch {
    let mut launch = Launch::new("roles: [gateway]\n");
    let path = launch.path("imitation");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    launch.program = path;
    launch
}

/// A script that is ready at this address.
fn ready(address: std::net::SocketAddr, then: &str) -> String {
    format!("mkdir data; echo '{{\"main\":\"{address}\"}}' >data/listeners.json; {then}")
}

/// It learns the ports, asks, signals, sees the code, and ends all generations.
#[tokio::test]
async fn a_program_is_started_watched_and_ended() {
    let pages = Pages::start(&[("/metrics", "up_total 4\n")]).await;
    let then = "sleep 600 & trap 'echo bye >&2; exit 7' TERM; wait";
    let mut program = imitation(&ready(pages.server.address, then)).start().await;
    assert_eq!(
        (program.main, program.gateway),
        (pages.server.address, pages.server.address)
    );
    assert!((program.metric("up_total", &[]).await - 4.0).abs() < f64::EPSILON);
    assert!(program.rss_kib().is_some());
    let generations = wait::until("the child is there", SOON, async || {
        Some(program.generations()).filter(|pids| pids.len() == 2)
    })
    .await;
    program.signal(Signal::TERM);
    assert_eq!(program.wait_exit(SOON).await, 7);
    assert!(program.stderr().contains("bye"));
    let left: Vec<u32> = generations
        .into_iter()
        .filter(|pid| proc::is_alive(*pid))
        .collect();
    assert_eq!(left.len(), 1, "the orphan");
    drop(program);
    wait::until("the orphan has ended", SOON, async || {
        (!proc::is_alive(*left.first()?)).then_some(())
    })
    .await;
}

/// A program that ends before it is ready is a failure that shows its output.
#[tokio::test]
#[should_panic(expected = "cannot bind")]
async fn an_early_end_is_told() {
    imitation("echo cannot bind >&2; exit 1").start().await;
}

/// The load sees what goes wrong, and nothing where all is well.
#[tokio::test]
async fn the_load_counts_what_goes_wrong() {
    let pages = Pages::start(&[("/metrics", "up 1\n")]).await;
    let load = Load {
        address: pages.server.address,
        path: "/metrics".to_owned(),
        expected: "up 1".to_owned(),
        kept: 3,
        fresh: 3,
        interval: Duration::from_millis(5),
    };
    let running = load.start();
    wait::until("some load", SOON, async || {
        (running.tally().good > 100).then_some(())
    })
    .await;
    let connections = pages.server.connections();
    drop(pages);
    wait::until("failures are seen", SOON, async || {
        (!running.tally().bad.is_empty()).then_some(())
    })
    .await;
    let tally = running.finish().await;
    assert!(
        connections > 20 && connections < tally.good,
        "{connections} {tally:?}"
    );
}

/// A gate can be shut and opened.
#[tokio::test]
async fn a_gate_shuts_and_opens() {
    let pages = Pages::start(&[("/metrics", "up 1\n")]).await;
    let gate = Gate::start(pages.server.address).await;
    let url = format!("http://{}/metrics", gate.address);
    assert_eq!(client::get(&url, &[]).await.unwrap().status, 200);
    gate.set_open(false);
    wait::until("the gate is shut", SOON, async || {
        client::get(&url, &[]).await.err()
    })
    .await;
    gate.set_open(true);
    wait::until("the gate is open", SOON, async || {
        client::get(&url, &[]).await.ok()
    })
    .await;
    assert!(gate.passed() >= 2);
}

/// The database of a test is its own, and its account can only read.
#[tokio::test]
async fn a_database_is_made_and_removed() {
    let Some(admin) = need("MYSQL_ADMIN_URL") else {
        return;
    };
    let database = Database::create(&admin).await;
    let row = Row {
        country: "44",
        phone: "1",
        username: None,
        password: Some("x"),
        company: "ü",
    };
    database.insert(row).await;
    let pool = sqlx::MySqlPool::connect(&database.url()).await.unwrap();
    let names: Vec<String> = sqlx::query_scalar("SELECT company_name FROM whatsapp_config")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(names, ["ü"]);
    assert!(
        sqlx::query("DELETE FROM whatsapp_config")
            .execute(&pool)
            .await
            .is_err()
    );
    assert_eq!(database.tables().await, ["whatsapp_config"]);
    pool.close().await;
    database.remove().await;
}

/// Prometheus scrapes a stub; promtool accepts a good page and refuses a bad one.
#[tokio::test]
async fn prometheus_and_promtool_are_usable() {
    let Some(program) = need("PROMETHEUS") else {
        return;
    };
    let Some(promtool) = need("PROMTOOL") else {
        return;
    };
    let pages = Pages::start(&[("/metrics", schemes::PAGE)]).await;
    let address = pages.server.address.to_string();
    let configuration = json!({"global": {"scrape_interval": "1s"}, "scrape_configs": [
        {"job_name": "stub", "static_configs": [{"targets": [address]}]}]});
    let prometheus = Prometheus::start(&program, &configuration.to_string()).await;
    wait::until("the stub is scraped", SOON * 2, async || {
        prometheus.value("shop_orders_total == 42").await
    })
    .await;
    assert_eq!(promtool_check(&promtool, schemes::PAGE), "");
    assert_ne!(promtool_check(&promtool, "a{ 1\n"), "");
}

/// The signatures that the stub expects are those that Python's own library makes.
#[tokio::test]
async fn hmac_agrees_with_python() {
    let Some(python) = need("PYTHON") else { return };
    let stub = Hmac::start(Rule::Default).await;
    let script = "import hashlib,hmac,sys,urllib.request as u; from email.utils import formatdate as f; \
        d=f(usegmt=True); s=hmac.new(sys.argv[2].encode(),('GET\\n/metrics\\n'+d).encode(),hashlib.sha256); \
        r=u.Request(sys.argv[1],headers={'Date':d,'Authorization':'HMAC scraper:'+s.hexdigest()}); \
        print(u.urlopen(r).status)";
    let url = stub.server.url("/metrics");
    let output = run(&python, script, &[&url, hmac::KEY.1]).await;
    assert_eq!(output.trim(), "200", "{:?}", stub.wrong());
    assert_eq!(curl_status(&url).await, 401);
}

/// The judge of SigV4 agrees with a request that botocore has signed by its usual way.
#[tokio::test]
async fn sigv4_agrees_with_itself() {
    let Some(python) = need("PYTHON") else { return };
    let stub = Server::plain(handler(|_| async { text_page(schemes::PAGE) })).await;
    let script = "import sys,urllib.request as u; from botocore.auth import SigV4Auth as S; \
        from botocore.awsrequest import AWSRequest as A; from botocore.credentials import Credentials as C; \
        a=A(method='GET',url=sys.argv[1]); S(C('id','secret','tok=='),'aps','eu-central-1').add_auth(a); \
        print(u.urlopen(u.Request(sys.argv[1],headers=dict(a.headers.items()))).status)";
    let url = stub.url("/a-b/metrics?b=2&a=1%2F3");
    assert_eq!(run(&python, script, &[&url]).await.trim(), "200");
    let seen = stub.seen();
    let seen = seen.first().unwrap();
    let mut credentials = sigv4::Credentials {
        key_id: "id",
        secret: "secret",
        region: "eu-central-1",
        service: "aps",
    };
    let made = sigv4::botocore(&python, seen, credentials).unwrap();
    assert_eq!(seen.header("authorization"), made);
    credentials.secret = "other";
    assert_ne!(
        seen.header("authorization"),
        sigv4::botocore(&python, seen, credentials).unwrap()
    );
}

/// The token server gives and checks tokens as curl's forms ask.
#[tokio::test]
async fn oauth2_agrees_with_curl() {
    let Some(program) = need("CURL") else { return };
    let stub = OAuth2::start().await;
    let url = stub.server.url("/token");
    let client = ["--data-urlencode", "client_id=scraper", "--data-urlencode"];
    let secret = format!("client_secret={}", oauth2::CLIENT.1);
    let ask = async |fields: &[&str]| {
        let mut arguments = [&client[..], &[&secret]].concat();
        for field in fields {
            arguments.extend(["--data-urlencode", *field]);
        }
        arguments.push(&url);
        curl::curl(&program, &arguments).await
    };
    let (status, body) = ask(&["grant_type=client_credentials"]).await;
    assert_eq!(status, 200, "{body}");
    let token: serde_json::Value = serde_json::from_str(&body).unwrap();
    let header = format!("Bearer {}", token["access_token"].as_str().unwrap());
    let page = stub.server.url("/metrics");
    assert_eq!(
        client::get(&page, &[("authorization", &header)])
            .await
            .unwrap()
            .status,
        200
    );
    let user = format!("password={}", oauth2::USER.1);
    assert_eq!(
        ask(&["grant_type=password", "username=reader", &user])
            .await
            .0,
        200
    );
    let refresh = ["grant_type=refresh_token", "refresh_token=refresh-0"];
    assert_eq!(ask(&refresh).await.0, 200);
    assert_eq!(ask(&refresh).await.0, 401, "works once");
    let basic = ["--user", &format!("scraper:{}", oauth2::CLIENT.1)].map(str::to_owned);
    let arguments = [
        &basic[0],
        basic[1].as_str(),
        "--data",
        "grant_type=client_credentials",
        &url,
    ];
    assert_eq!(curl::curl(&program, &arguments).await.0, 200);
    stub.revoke();
    assert_eq!(
        client::get(&page, &[("authorization", &header)])
            .await
            .unwrap()
            .status,
        401
    );
    assert_eq!(stub.denied(), 1);
}

/// Runs a Python script; its output.
async fn run(python: &str, script: &str, arguments: &[&str]) -> String {
    let mut command = tokio::process::Command::new(python);
    let output = command
        .arg("-c")
        .arg(script)
        .args(arguments)
        .output()
        .await
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// The status without any credentials.
async fn curl_status(url: &str) -> u16 {
    client::get(url, &[]).await.unwrap().status
}

/// A run whose program has gone leaves nothing to end.
#[tokio::test]
async fn nothing_is_left_behind() {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let program: Program = imitation(&ready(address, "exec sleep 600")).start().await;
    let (pid, path) = (program.pid(), program.path(""));
    drop(program);
    assert!(!proc::is_alive(pid) && !path.exists());
}
