//! `landline records …` on a running program: each command that changes something or tells what is known
//! beyond lists, for people and for scripts.

use std::process::Output;

use it::program::{Program, code};
use it::telemetrics::{self, EXTERNAL_HEADER, Form, Record, TID, exchange};
use it::wait;
use serde_json::{Value, json};
use sqlx::Connection as _;

/// The code of a command that was answered with no.
const NO: i32 = 1;
const DAY_MILLISECONDS: i64 = 24 * 60 * 60 * 1000;

fn crash(functions: &[&str]) -> Record {
    let frames = functions.iter().enumerate();
    let frames = frames.map(|(n, function)| format!("#{n} {function}() - [/usr/bin/app]\n"));
    let frames: String = frames.collect();
    let payload = format!("Process: /usr/bin/app\nPID: 7\nSignal: 11\n\n{frames}");
    let record = Record::new().set("classification", "org.clearlinux/crash/clr");
    record.set("severity", "3").payload(payload)
}

async fn start(rules: Value) -> Program {
    let projects = json!([{"name": "ours", "tid": TID, "rules": rules}]);
    let records = json!({"projects": projects});
    Program::start(&telemetrics::configuration(&json!({}), records)).await
}

/// Sends a record; the id that it got, in quarantine, too.
async fn keep(program: &Program, record: &Record) -> i64 {
    let reply = exchange(program.main, &record.request(Form::Headers)).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["id"].as_i64().unwrap()
}

fn run(program: &Program, words: &[&str]) -> Output {
    program.command(&[&["records"], words].concat())
}

/// What a command that succeeds prints.
fn shown(program: &Program, words: &[&str]) -> String {
    let output = run(program, words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn parsed(program: &Program, words: &[&str]) -> Value {
    let text = shown(program, &[words, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What a command that is refused says.
fn refused(program: &Program, words: &[&str]) -> String {
    let output = run(program, words);
    assert_eq!(code(output.status), NO, "{words:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

async fn group_of(program: &Program, record: i64) -> Value {
    let path = format!("/v1/records/{record}");
    program.main("GET", &path).await.json()["group"].take()
}

/// One group becomes a part of another, with its records, and one of its own again.
#[tokio::test]
async fn groups_become_one_and_are_split() {
    let program = start(json!([])).await;
    let one = keep(&program, &crash(&["one", "main"])).await;
    let two = keep(&program, &crash(&["two", "main"])).await;
    let first = group_of(&program, one).await;
    let second = group_of(&program, two).await;
    let (first_word, second_word) = (first.to_string(), second.to_string());
    let words = ["groups", "merge", &second_word, "--into", &first_word];
    let said = shown(&program, &words);
    assert!(
        said.contains(&format!("group {second} is a part of group {first}")),
        "{said}"
    );
    let followed = wait::until("the record has followed", wait::SOON, async || {
        (group_of(&program, two).await == first).then_some(())
    });
    followed.await;
    let answer = parsed(&program, &["groups", "show", &first_word]);
    assert_eq!(answer["merged"][0]["id"], second, "{answer}");
    let said = shown(&program, &["groups", "split", &second_word]);
    assert!(said.contains("is one of its own"), "{said}");
    let returned = wait::until("the record is back", wait::SOON, async || {
        (group_of(&program, two).await == second).then_some(())
    });
    returned.await;
    let answer = parsed(
        &program,
        &["groups", "merge", &first_word, "--into", &second_word],
    );
    assert_eq!(answer, json!({"id": first, "merged_into": second}));
    let answer = parsed(&program, &["groups", "split", &first_word]);
    assert_eq!(answer, json!({"id": first, "merged_into": null}));
    for (words, why) in [
        (
            ["groups", "split", &first_word].as_slice(),
            "no part of another",
        ),
        (&["groups", "split", "999"], "no such crash group"),
        (
            &["groups", "merge", &first_word, "--into", &first_word],
            "a part of itself",
        ),
        (
            &["groups", "merge", &first_word, "--into", "999"],
            "no such crash group",
        ),
    ] {
        let said = refused(&program, words);
        assert!(said.contains(why), "{words:?}: {said}");
    }
}

/// What is in quarantine is listed and shown, becomes a record, or goes.
#[tokio::test]
async fn quarantine_is_looked_at_and_emptied() {
    let rules = json!([{"classification": "a/deferred/*", "action": "defer"}]);
    let program = start(rules).await;
    let invalid = Record::new()
        .set("severity", "9")
        .payload("a \u{1b}[31mpayload");
    let invalid = keep(&program, &invalid).await;
    let mut deferred = Vec::new();
    for _ in 0..3 {
        let record = Record::new().set("classification", "a/deferred/x");
        deferred.push(keep(&program, &record).await.to_string());
    }
    let [first, second, third] = &deferred[..] else {
        unreachable!()
    };
    let list = shown(&program, &["quarantine", "ls", "--limit", "3"]);
    assert_eq!(list.lines().count(), 4, "{list}");
    assert!(
        list.lines()
            .skip(1)
            .all(|line| line.contains("a/deferred/x")),
        "{list}"
    );
    let all = shown(&program, &["quarantine", "ls", "--all", "--json"]);
    assert_eq!(all.lines().count(), 4, "{all}");
    let id = invalid.to_string();
    let one = shown(&program, &["quarantine", "show", &id]);
    for words in [
        "severity value is out of range",
        "FIELDS",
        "machine_id",
        "a \u{fffd}[31mpayload",
    ] {
        assert!(one.contains(words), "no {words} in {one}");
    }
    let one = parsed(&program, &["quarantine", "show", &id]);
    let fields = (&one["id"], &one["fields"]["severity"], &one["payload"]);
    assert_eq!(
        fields,
        (&json!(invalid), &json!("9"), &json!("a \u{1b}[31mpayload"))
    );

    let said = shown(&program, &["quarantine", "release", first, second]);
    assert_eq!(said.lines().count(), 2, "{said}");
    let records = shown(
        &program,
        &["ls", "--classification", "a/deferred/*", "--json"],
    );
    assert_eq!(records.lines().count(), 2, "{records}");
    for line in records.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert!(
            said.contains(&format!("is record {}", record["id"])),
            "{said}: {record}"
        );
    }
    let removed = parsed(&program, &["quarantine", "drop", third]);
    assert_eq!(removed["removed"].to_string(), *third);
    let said = refused(&program, &["quarantine", "release", &id]);
    assert!(
        said.contains("severity") && said.contains("quarantine drop"),
        "{said}"
    );
    for words in ["show", "release", "drop"] {
        let said = refused(&program, &["quarantine", words, third]);
        assert!(said.contains("in quarantine"), "{words}: {said}");
    }
    shown(&program, &["quarantine", "drop", &id]);
    let empty = run(&program, &["quarantine", "ls"]);
    assert!(
        empty.status.success() && empty.stdout.is_empty(),
        "{empty:?}"
    );
}

/// A frame that is skipped is no longer what names a group, and records follow.
#[tokio::test]
async fn frames_are_skipped_and_count_again() {
    let program = start(json!([])).await;
    let one = keep(&program, &crash(&["log", "one", "main"])).await;
    let before = group_of(&program, one).await;
    let none = run(&program, &["frames", "ls"]);
    assert!(none.status.success(), "{none:?}");
    let words = ["frames", "add", "log()", "/usr/bin/app", "--wait"];
    let said = shown(&program, &words);
    assert!(
        said.contains("log() in /usr/bin/app is skipped from now on"),
        "{said}"
    );
    assert!(
        said.contains("grouped anew: all, 1 came to another group"),
        "{said}"
    );
    let after = group_of(&program, one).await;
    assert!(after.is_i64() && after != before, "{before} {after}");
    let list = shown(&program, &["frames", "ls"]);
    assert!(
        list.contains("log()  ") && list.contains("grouped anew"),
        "{list}"
    );
    assert!(shown(&program, &words).contains("was skipped already"));
    let frame = json!({"function": "log()", "module": "/usr/bin/app"});
    assert_eq!(
        parsed(&program, &["frames", "ls"])["frames"],
        json!([frame])
    );
    let answer = parsed(
        &program,
        &["frames", "rm", "log()", "/usr/bin/app", "--wait"],
    );
    let found = (&answer["frames"], &answer["regroup"]["is_running"]);
    assert_eq!(found, (&json!([]), &json!(false)), "{answer}");
    assert_eq!(group_of(&program, one).await, before);
    let said = shown(&program, &["frames", "rm", "log()", "/usr/bin/app"]);
    assert!(said.contains("was not skipped"), "{said}");
    let said = refused(&program, &["frames", "add", "", "x"]);
    assert!(said.contains("as the payload writes them"), "{said}");
}

/// Machines by build, and what retention would remove.
#[tokio::test]
async fn machines_and_old_records_are_counted() {
    let program = start(json!([])).await;
    let beat = |machine: &str, build: &str, external: &str| {
        let record = Record::new().set("classification", "org.clearlinux/heartbeat/ping");
        let record = record.set("machine_id", machine).set("build", build);
        record.set(EXTERNAL_HEADER, external)
    };
    let none = run(&program, &["population"]);
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(
        none.status.success() && said.contains("no machine"),
        "{none:?}"
    );
    for (machine, build, external) in [
        ("m1", "100", "false"),
        ("m2", "200", "false"),
        ("m3", "200", "true"),
    ] {
        keep(&program, &beat(machine, build, external)).await;
    }
    let table = shown(&program, &["population", "--days", "1"]);
    let cells = |line: &str| {
        line.split_whitespace()
            .take(5)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let rows: Vec<String> = table.lines().skip(1).map(cells).collect();
    assert_eq!(rows, ["200 2 1 1 0", "100 1 1 0 0"], "{table}");
    let answer = parsed(&program, &["population", "--project", "ours"]);
    assert_eq!(
        answer["windows"][0]["builds"].as_array().map(Vec::len),
        Some(2),
        "{answer}"
    );

    let said = shown(&program, &["retention"]);
    assert!(said.contains("removes 0 records"), "{said}");
    let url = format!("sqlite://{}", program.path("data/state.db").display());
    let mut state = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let sql = "UPDATE records SET received_at = received_at - $1 WHERE id < 3";
    let moved = sqlx::query(sql)
        .bind(36 * DAY_MILLISECONDS)
        .execute(&mut state);
    assert_eq!(moved.await.unwrap().rows_affected(), 2);
    state.close().await.unwrap();
    let said = shown(&program, &["retention"]);
    assert!(
        said.contains("heartbeat/ping  2") && said.contains("removes 2 records"),
        "{said}"
    );
    assert_eq!(parsed(&program, &["retention"])["records"], 2);
}

/// An export has all records whole, in each form, and goes on where it is told.
#[tokio::test]
async fn whole_records_are_exported() {
    let program = start(json!([])).await;
    let formula = Record::new().payload("=1+1").set("severity", "4");
    let formula = keep(&program, &formula).await;
    let other = keep(&program, &Record::new()).await;
    let lines = shown(&program, &["export"]);
    let records: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records.len(), 2, "{lines}");
    for (record, id) in records.iter().zip([other, formula]) {
        let path = format!("/v1/records/{id}");
        let mut whole = program.main("GET", &path).await.json();
        let whole = whole.as_object_mut().unwrap();
        assert!(whole.remove("excerpt").is_some() && whole.remove("why_grouped").is_some());
        assert_eq!(record.as_object().unwrap(), whole);
    }
    let array: Value =
        serde_json::from_str(&shown(&program, &["export", "--format", "json"])).unwrap();
    assert_eq!(array, json!(records));
    let before = other.to_string();
    let rest = shown(&program, &["export", "--before", &before]);
    assert_eq!(
        rest.lines().collect::<Vec<_>>(),
        [lines.lines().nth(1).unwrap()]
    );
    let found = shown(
        &program,
        &["export", "--severity", "critical", "--text", "hello"],
    );
    assert_eq!(found, "");
    let csv = ["export", "--format", "csv", "--severity", "critical"];
    let text = shown(&program, &csv);
    assert!(text.ends_with(",=1+1\r\n"), "{text}");
    let text = shown(&program, &[&csv[..], &["--safe-cells"]].concat());
    assert!(text.ends_with(",'=1+1\r\n"), "{text}");
    let said = refused(&program, &["export", "--safe-cells"]);
    assert!(said.contains("--format csv"), "{said}");
    shown(&program, &["export", "--output", "all.ndjson"]);
    assert_eq!(
        std::fs::read_to_string(program.path("all.ndjson")).unwrap(),
        lines
    );
}
