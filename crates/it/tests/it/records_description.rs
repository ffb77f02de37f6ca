//! `/v1/records…` and `/v1/artefacts…` are as `docs/api/openapi.yaml` describes it: schemathesis makes requests from the
//! description, right ones and wrong ones, and judges the answers.

use std::path::Path;
use std::process::Stdio;

use it::client;
use it::need::need;
use it::program::Program;
use it::telemetrics::{self, Form, Record, TID, exchange};
use serde_json::{Value, json};

/// The stream of new records has no end of its own within a test.
const STREAM: &str = "/v1/records/tail";
/// Requests that are made up for each operation, beyond those that cover its description.
const EXAMPLES: &str = "20";
/// With it the same is made up each time.
const SEED: &str = "7";
/// Where the made-up texts of a format of our own come from: most texts are no regular expressions, and
/// the format of JSON Schema means those of another language.
const FORMATS: &str = r##"
import schemathesis
from hypothesis import strategies as st

EXPRESSIONS = ["", "hello", "(?i)HELLO", "^h.*o$", r"\d{2}", "#0|#1", "nothing"]
schemathesis.openapi.format("rust-regex", st.sampled_from(EXPRESSIONS))
"##;
/// Submissions in quarantine, which are used up by being released and removed.
const SUBMISSIONS: usize = 20;

fn crash(function: &str, build: &str) -> Record {
    let payload = format!(
        "Process: /usr/bin/app\nPID: 7\nSignal: 11\n\n\
         #0 {function}() - [/usr/bin/app] - app.c:1\n#1 main() - [/usr/bin/app] - app.c:2\n"
    );
    let record = Record::new().set("classification", "org.clearlinux/crash/clr");
    record
        .set("severity", "3")
        .set("build", build)
        .payload(payload)
}

/// What a collector has after a while: several classes, groups, machines, and a quarantine.
fn records() -> Vec<Record> {
    let mut all = Vec::new();
    for (severity, class) in [("1", "a/b/c"), ("2", "a/b/d"), ("4", "a/c/d")] {
        let record = Record::new().set("severity", severity);
        all.push(record.set("classification", class));
    }
    for function in ["inner", "other", "third"] {
        all.extend(["100", "200"].map(|build| crash(function, build)));
    }
    let heartbeat = Record::new().set("classification", "org.clearlinux/heartbeat/ping");
    all.push(heartbeat);
    for _ in 0..SUBMISSIONS {
        all.push(Record::new().set("severity", "9"));
        all.push(Record::new().set("classification", "a/deferred/x"));
    }
    all
}

/// A hub with these records, and the token of somebody who may change them.
async fn hub() -> (Program, String) {
    let rule = json!({"classification": "a/deferred/*", "action": "defer"});
    let projects = json!([{"name": "ours", "tid": TID, "rules": [rule]}]);
    let more = json!({"roles": ["auth", "proxy", "collector"]});
    let configuration = telemetrics::configuration(&more, json!({"projects": projects}));
    let program = Program::start(&configuration).await;
    for record in records() {
        let reply = exchange(program.main, &record.request(Form::Headers)).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
    let added = program.command(&["users", "add", "ops", "--role", "operator"]);
    assert!(added.status.success(), "{added:?}");
    let words = ["tokens", "add", "--role", "api", "--user", "ops", "--json"];
    let issued: Value = serde_json::from_slice(&program.command(&words).stdout).unwrap();
    let token = issued["token"].as_str().unwrap().to_owned();
    (program, token)
}

/// Runs schemathesis with all its checks; it has to find nothing.
async fn try_all(python: &str, (hub, token): &(Program, String), words: &[&str]) {
    let description = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api/openapi.yaml");
    std::fs::write(hub.directory.path().join("formats.py"), FORMATS).unwrap();
    let mut command = tokio::process::Command::new(python);
    command
        .env("SCHEMATHESIS_HOOKS", "formats")
        .args(["-m", "schemathesis.cli", "run"])
        .arg(description.canonicalize().unwrap())
        .arg(format!("--url=http://{}", hub.main))
        .arg(format!("--header=Authorization: Bearer {token}"))
        // Programs of this machine may read without proof; this one comes from elsewhere, so that it
        // sees who is refused without a token.
        .arg("--header=X-Forwarded-For: 203.0.113.7")
        .args(["--checks=all", "--continue-on-failure", "--no-color"])
        .args(["--seed", SEED, "--max-examples", EXAMPLES])
        // What fails is looked for and not made small: that may take minutes.
        .args(["--no-shrink", "--generation-database=none"])
        // A machine that does other things, too, is slow now and then.
        .args(["--request-timeout=20", "--suppress-health-check=all"])
        .args(words)
        .current_dir(hub.directory.path())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await.unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{shown}\n{errors}\n{}",
        hub.stderr()
    );
    assert!(shown.contains("passed"), "{shown}\n{errors}");
}

/// Every operation but the stream, right and wrong, alone and one after another by the links of the
/// description. Of an export it judges all but the lines, since no JSON Schema is about lines; that
/// each is what the operation for one record gives is tried in `records_export.rs`.
#[tokio::test]
async fn requests_of_the_description_are_answered_as_it_says() {
    let Some(python) = need("SCHEMATHESIS") else {
        return;
    };
    let words = [
        "--include-path-regex=^/v1/records",
        "--exclude-path",
        STREAM,
        "--phases=examples,coverage,fuzzing,stateful",
    ];
    try_all(&python, &hub().await, &words).await;
}

/// Groups and runs with telemetry, parts and versions. They are removed as well: what comes later finds
/// them gone.
#[tokio::test]
async fn requests_for_artefacts_are_answered_as_the_description_says() {
    let Some(python) = need("SCHEMATHESIS") else {
        return;
    };
    let (hub, token) = hub().await;
    let authorization = format!("Bearer {token}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
    ];
    for group in ["one", "other"] {
        for run in ["1", "2"] {
            let telemetry = json!({
                "scenarios": [{
                    "scenario": "pods",
                    "affected_pods": {"recovered": [{"total_recovery_time": 1.5}]},
                }],
                "node_summary_infos": [], "node_taints": [], "job_status": true,
            });
            let path = format!("/telemetry?request_id={run}&telemetry_group={group}");
            let url = format!("http://{}{path}", hub.main);
            let sent = client::send("POST", &url, &headers, &telemetry.to_string()).await;
            assert_eq!(sent.unwrap().status, 200);
            for name in ["a/b", "part-00.tar", "part-01.tar", "part-01.tar"] {
                let url = format!("http://{}/artefacts/{group}/{run}/{name}", hub.main);
                let sent = client::send("PUT", &url, &headers, name).await;
                assert_eq!(sent.unwrap().status, 200);
            }
        }
    }
    let words = [
        "--include-path-regex=^/v1/artefacts",
        "--phases=examples,coverage,fuzzing,stateful",
    ];
    try_all(&python, &(hub, token), &words).await;
}

/// A stream is asked for what is wrong only, which is refused at once: what is right would go on for ten
/// minutes. `records_tail.rs` tries that.
#[tokio::test]
async fn a_stream_refuses_what_the_description_does_not_allow() {
    let Some(python) = need("SCHEMATHESIS") else {
        return;
    };
    let words = [
        "--include-path",
        STREAM,
        "--phases=coverage,fuzzing",
        "--mode=negative",
    ];
    try_all(&python, &hub().await, &words).await;
}
