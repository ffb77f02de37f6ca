//! The pages in a real browser, against the real program: Chromium signs in and uses everything, in both
//! themes and at two widths. `web/browser` has what it does; here is what it finds.

mod metrics;
mod runs;

use std::path::PathBuf;
use std::process::Stdio;

use it::client::{self, Reply};
use it::need::need;
use it::program::Program;
use it::telemetrics::{self, Collector, Form, Record, TID, TID_HEADER, exchange};
use serde_json::{Value, json};
use tokio::process::Command;

/// By this name the browser is nobody of this machine, so that it has to sign in.
const HOST: &str = "hub.example.net";
/// Views of the browser, each of which changes what no other one looks at.
const VIEWS: [&str; 4] = ["light-1280", "light-360", "dark-1280", "dark-360"];
const BUILDS: [&str; 2] = ["34960", "34970"];
/// A payload in quarantine that no list shows whole.
const LONG: usize = 20_000;

/// A crash with these functions, the innermost first.
fn crash(functions: &[&str]) -> Record {
    let frames = functions.iter().enumerate();
    let frames =
        frames.map(|(n, name)| format!("#{n} {name}() - [/usr/bin/editor] - editor.c:{n}"));
    let frames = frames.collect::<Vec<_>>().join("\n");
    let payload = format!(
        "Process: /usr/bin/editor\nPID: 4711\nSignal: 11\n\nBacktrace (TID 4711):\n{frames}\n"
    );
    Record::new()
        .set("classification", "org.clearlinux/crash/clr")
        .set("severity", "3")
        .payload(payload)
}

/// What a machine check says of itself: the lines of mcelog.
fn machine_check(class: &str, status: &str) -> Record {
    let payload = format!(
        "Hardware event. This is not a software error.\nMCE 0\nCPU 0 BANK 8\n\
         STATUS {status} MCGSTATUS 0\nMCGCAP 1c09 APICID 0 SOCKETID 0\n"
    );
    Record::new()
        .set("classification", format!("org.clearlinux/mce/{class}"))
        .payload(payload)
}

/// Crashes of two builds: three that all views look at, and two for each view that changes them.
fn crashes() -> Vec<Record> {
    let mut records = Vec::new();
    for (number, build) in BUILDS.iter().enumerate() {
        let mut add = |functions: &[&str]| records.push(crash(functions).set("build", build));
        for _ in 0..=number {
            add(&["g_signal_emit_valist", "g_signal_emit", "main"]);
        }
        add(&[
            "QQuickItemPrivate::addToDirtyList",
            "QQuickItem::update",
            "main",
        ]);
        if number == 1 {
            add(&["memmove", "buffer_insert", "main"]);
        }
        for view in VIEWS.map(|view| view.replace('-', "_")) {
            add(&[&format!("talked_about_{view}"), "main"]);
            add(&[&format!("noise_{view}"), &format!("culprit_{view}"), "main"]);
        }
    }
    records
}

/// Everything that is no crash.
fn others() -> Vec<Record> {
    let of = |class: &str| Record::new().set("classification", format!("org.clearlinux/{class}"));
    let mut records = Vec::new();
    for machine in 0..12 {
        let build = if machine % 3 == 0 {
            BUILDS[0]
        } else {
            BUILDS[1]
        };
        let mut alive = of("heartbeat/ping")
            .set("machine_id", format!("{machine:032x}"))
            .set("build", build)
            .set("severity", "1");
        if machine % 4 == 0 {
            alive = alive.set(telemetrics::EXTERNAL_HEADER, "true");
        }
        records.push(alive);
    }
    for (class, status) in [
        ("corrected", "8c00004000010091"),
        ("corrected", "8c00004000010090"),
        ("corrected", "8c00004000010091"),
        ("SRAO", "bd80000000100134"),
        ("UCNA", "ac00000000110134"),
    ] {
        records.push(machine_check(class, status).set("build", BUILDS[0]));
    }
    let hot = "Processor 2 above trip temperature. Throttling enabled.\n";
    for build in BUILDS {
        records.push(of("mce/thermal").set("build", build).payload(hot));
    }
    records.push(
        of("swupd-client/update").payload("version_from=34960\nversion_to=34970\nresult=0\n"),
    );
    records.push(of("journal/error").payload("editor.service: Failed with result 'core-dump'.\n"));
    records
}

/// For each view something in quarantine that can become a record, and something that can't; and one
/// that stays.
fn refused() -> Vec<Record> {
    let mut records = vec![Record::new().set("kernel_version", "unknown")];
    for view in VIEWS {
        let payload = format!("put aside for {view}\n");
        records.push(
            Record::new()
                .set("classification", "org.example/aside/one")
                .payload(payload),
        );
        let long = format!("wrong {view} {} the end of {view}\n", "-".repeat(LONG));
        records.push(Record::new().set("severity", "9").payload(long));
    }
    records
}

async fn hub() -> Program {
    let aside = json!({"classification": "org.example/aside/*", "action": "defer"});
    let more = json!({
        "cluster": "home",
        "roles": ["auth", "proxy", "collector", "monitor"],
        "public_addr": format!("{HOST}:3080"),
    });
    let project = json!({"name": "clear-linux", "tid": TID, "rules": [aside]});
    let records = json!({"projects": [project]});
    let text = telemetrics::configuration(&more, records);
    let mut configuration: Value = serde_json::from_str(&text).unwrap();
    configuration["collector"]["artefacts"] = runs::section();
    let hub = Program::start(&configuration.to_string()).await;
    for record in [others(), crashes(), refused()].concat() {
        let reply = exchange(hub.main, &record.request(Form::Headers)).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
    runs::upload(&hub).await;
    hub
}

/// The one-time link of a new user.
fn invitation(hub: &Program, name: &str) -> String {
    let added = hub.command(&["users", "invite", name, "--role", "operator"]);
    let text = String::from_utf8_lossy(&added.stdout).into_owned();
    assert!(added.status.success(), "{added:?}");
    let link = text.rsplit_once("/welcome/").expect("a link").1;
    link.split_whitespace().next().unwrap().to_owned()
}

/// What the browser is told.
fn task(hub: &Program, chromium: &str, pictures: &str, metrics: &Value) -> Value {
    let record = Record::new().set("classification", "org.example/live/one");
    json!({
        "chromium": chromium,
        "pictures": pictures,
        "host": HOST,
        "port": hub.main.port(),
        "invitation": invitation(hub, "olga"),
        "name": "olga",
        "views": VIEWS,
        "crashes": crashes().len(),
        "builds": BUILDS,
        "long": LONG,
        "runs": runs::told(),
        "metrics": metrics,
        "live": {
            "path": Form::Json.path(),
            "tid": [TID_HEADER, TID],
            "body": String::from_utf8(record.body(Form::Json)).unwrap(),
        },
    })
}

#[tokio::test]
async fn the_pages_do_what_people_want_in_a_browser() {
    let (Some(chromium), Some(node), Some(web)) = (need("CHROMIUM"), need("NODE"), need("WEB"))
    else {
        return;
    };
    let hub = hub().await;
    let own = hub.path("pictures").to_string_lossy().into_owned();
    let pictures = std::env::var("LANDLINE_TEST_PICTURES").unwrap_or(own);
    let metrics = metrics::send(&hub).await;
    let task = task(&hub, &chromium, &pictures, &metrics);
    let output = Command::new(node)
        .arg(PathBuf::from(web).join("browser/run.mjs"))
        .arg(task.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(output.status.success(), "{told}");
    let done = told.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(done >= VIEWS.len() * 25, "it did little: {told}");
}

/// The page and all that it loads come compressed when the browser can read that, and not again while
/// it has them.
#[tokio::test]
async fn the_pages_are_sent_compressed_and_once() {
    if need("WEB").is_none() {
        return;
    }
    let collector = Collector::start_small(json!({})).await;
    let get = async |path: &str, headers: &[(&str, &str)]| -> Reply {
        let url = format!("http://{}{path}", collector.program.main);
        client::get(&url, headers).await.unwrap()
    };
    let page = get("/telemetryui/", &[]).await;
    let text = page.text();
    let names = text.split('"').filter(|word| word.starts_with("/ui/"));
    let mut paths = vec!["/telemetryui/stats", "/runs/a%20group/a-run/logs/x.log"];
    // One is so short that it is not worth while.
    paths.extend(names.filter(|name| !name.contains("first-paint")));
    assert!(paths.len() >= 4, "{text}");
    for path in paths {
        let plain = get(path, &[]).await;
        assert_eq!(plain.header("content-encoding"), "", "{path}");
        let mut tags = vec![plain.header("etag")];
        let mut size = plain.body.len();
        for (accepted, coding) in [("gzip, deflate", "gzip"), ("gzip, deflate, br", "br")] {
            let accepted = ("accept-encoding", accepted);
            let reply = get(path, &[accepted]).await;
            assert_eq!(reply.header("content-encoding"), coding, "{path}");
            assert_eq!(reply.header("vary"), "accept-encoding", "{path}");
            assert_eq!(reply.header("content-type"), plain.header("content-type"));
            assert!(reply.body.len() < size, "{path} as {coding}");
            size = reply.body.len();
            let tag = reply.header("etag");
            let again = get(path, &[accepted, ("if-none-match", &tag)]).await;
            assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
            assert_eq!(again.header("etag"), tag);
            assert_eq!(again.header("cache-control"), reply.header("cache-control"));
            let other = get(path, &[("if-none-match", &tag)]).await;
            assert_eq!(
                other.status, 200,
                "{path}: what is not compressed is another answer"
            );
            assert!(!tags.contains(&tag), "{path}");
            tags.push(tag);
        }
    }
}
