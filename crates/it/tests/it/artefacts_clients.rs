//! Real clients: krkn's own library from PyPI, and boto3. `cargo xtask test` makes the virtual
//! environment that they are in.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use it::artefacts::{PASSWORD, Store, USER, in_bucket_of, section};
use it::certificates::Authority;
use it::client;
use it::need::need;
use it::program::Launch;
use it::prometheus::free_port;
use it::s3s::S3Server;
use it::wait;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::process::Command;
use wire::auth::hex;

const KRKN: &str = include_str!("artefacts_clients/krkn.py");
const BOTO: &str = include_str!("artefacts_clients/boto.py");
/// The archive: 200 MB.
const PARTS: usize = 8;
const PART_BYTES: usize = 25_000_000;
/// The longest that a client may take on a busy machine: the library of krkn decodes 25 MB in a second.
const CLIENT_LIMIT: Duration = Duration::from_mins(5);

/// Runs a script; its last line.
async fn run(python: &str, script: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(python);
    command.arg("-c").arg(script).args(arguments);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(CLIENT_LIMIT, command.output());
    let output = output.await.map_err(|error| error.to_string())?;
    let output = output.map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    if !output.status.success() {
        return Err(format!("{stdout}\n{stderr}"));
    }
    Ok(stdout.lines().last().unwrap_or_default().to_owned())
}

/// Vectors 12 and 14: krkn sends a run, the server is killed in the middle of the archive, and the parts
/// together are what was sent.
#[tokio::test]
async fn krkn_sends_a_run_through_a_kill() {
    through_a_kill(section(json!({"access": "closed"}))).await;
}

/// The same with objects in a bucket.
#[tokio::test]
async fn krkn_sends_a_run_through_a_kill_into_a_bucket() {
    let Some(program) = need("S3S_FS") else {
        return;
    };
    let server = S3Server::start(&program, "artefacts").await;
    let mut section = in_bucket_of(&server.endpoint, S3Server::KEY);
    section["access"] = json!("closed");
    through_a_kill(section).await;
}

async fn through_a_kill(section: Value) {
    let Some(python) = need("KRKN") else { return };
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut store = Store::start_at(listen, section).await;
    let url = store.url("");
    let (parts, bytes) = (PARTS.to_string(), PART_BYTES.to_string());
    let sending = tokio::spawn(async move {
        let run_id = "1700000000-u1-nightly";
        let arguments = [url.as_str(), USER, PASSWORD, "perf", run_id, &parts, &bytes];
        run(&python, KRKN, &arguments).await
    });
    wait::until("the archive is on its way", CLIENT_LIMIT, async || {
        // Telemetry, alerts, and a part.
        let came = store.navigate("/perf/1700000000-u1-nightly").await.len();
        (came >= 3 || sending.is_finished()).then_some(())
    })
    .await;
    store.program.signal(Signal::KILL);
    assert_eq!(store.program.wait_exit(wait::SOON).await, -9);
    store.program.restart();
    store.program.ready().await;
    let sent = sending.await.unwrap().unwrap();
    let path = "/perf/1700000000-u1-nightly";
    let entries = store.navigate(path).await;
    let names: Vec<&str> = entries
        .iter()
        .map(|entry| entry["path"].as_str().unwrap())
        .collect();
    let mut expected: Vec<String> = (0..PARTS)
        .map(|n| format!("prometheus-{n:02}.tar"))
        .collect();
    expected.insert(0, "critical-alerts-00.log".to_owned());
    expected.push("telemetry.json".to_owned());
    assert_eq!(names, expected);
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for name in names.iter().filter(|name| name.starts_with("prometheus-")) {
        let link = store
            .get(&format!("/download-url{path}/{name}"))
            .await
            .json();
        let part = client::get(link["download_link"].as_str().unwrap(), &[])
            .await
            .unwrap();
        assert_eq!((part.status, part.body.len()), (200, PART_BYTES), "{name}");
        hash.update(&part.body);
    }
    assert_eq!(hex(hash.finish().as_ref()), sent);
    let telemetry = store
        .s3("GET", &format!("{path}/telemetry.json"), &[], "")
        .await
        .json();
    let scenario = &telemetry["scenarios"][0];
    assert_eq!(scenario["parameters"]["config"]["runtime"], 5);
    assert_eq!(scenario["parameters"]["config"]["kubeconfig"], "anonymized");
    assert_eq!(scenario["start_timestamp"], 1_700_000_000);
    let alerts = store
        .s3("GET", &format!("{path}/critical-alerts-00.log"), &[], "")
        .await
        .json();
    assert_eq!(
        alerts["chaos_alerts"][0]["alertname"],
        "KubePodCrashLooping"
    );
}

/// boto3 puts, gets, lists and removes, with headers and with links.
#[tokio::test]
async fn boto_works_over_plain_http() {
    let Some(python) = need("KRKN") else { return };
    let store = Store::start(section(json!({"access": "closed"}))).await;
    let url = store.url("");
    let said = run(&python, BOTO, &[&url, USER, PASSWORD, ""]).await;
    assert_eq!(said.as_deref(), Ok("well"), "{}", store.program.stderr());
}

/// Over TLS it sends its checksums behind the body.
#[tokio::test]
async fn boto_works_over_tls() {
    let Some(python) = need("KRKN") else { return };
    let whole = json!({
        "roles": ["collector"],
        "listen": "127.0.0.1:0",
        "data_dir": "./data",
        "tls": {"cert": "server.pem", "key": "server.key"},
        "collector": {"artefacts": section(json!({"access": "closed"}))},
    });
    let authority = Authority::new("artefacts");
    let launch = Launch::new(&whole.to_string()).file("krkn.password", PASSWORD);
    let launch = launch.file("authority.pem", &authority.cert);
    authority
        .server(&["127.0.0.1"])
        .write(launch.directory.path(), "server");
    let program = launch.start().await;
    let url = format!("https://{}", program.main);
    let trusted = program.path("authority.pem");
    let trusted = trusted.to_string_lossy();
    let said = run(&python, BOTO, &[&url, USER, PASSWORD, &trusted]).await;
    assert_eq!(said.as_deref(), Ok("well"), "{}", program.stderr());
}
