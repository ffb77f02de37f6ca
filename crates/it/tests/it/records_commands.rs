//! `landline records …` on a running program: each command that changes something or tells what is known
//! beyond lists, for people and for scripts.

use std::process::Output;

use it::program::code;
use it::telemetrics::{Collector, EXTERNAL_HEADER, Form, Record, Store, TID};
use it::wait;
use serde_json::{Value, json};

/// The code of a command that was answered with no.
const NO: i32 = 1;
const DAY_MILLISECONDS: i64 = 24 * 60 * 60 * 1000;

pub(crate) fn crash(functions: &[&str]) -> Record {
    let frames = functions.iter().enumerate();
    let frames = frames.map(|(n, function)| format!("#{n} {function}() - [/usr/bin/app]\n"));
    let frames: String = frames.collect();
    let payload = format!("Process: /usr/bin/app\nPID: 7\nSignal: 11\n\n{frames}");
    let record = Record::new().set("classification", "org.clearlinux/crash/clr");
    record.set("severity", "3").payload(payload)
}

/// A collector of one project with these rules.
pub(crate) async fn start(store: Store, rules: Value) -> Option<Collector> {
    let projects = json!([{"name": "ours", "tid": TID, "rules": rules}]);
    Collector::start(store, json!({"projects": projects})).await
}

/// Sends a record; the id that it got, in quarantine, too.
pub(crate) async fn keep(collector: &Collector, record: &Record) -> i64 {
    let reply = collector.post(Form::Headers, record).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["id"].as_i64().unwrap()
}

pub(crate) fn run(collector: &Collector, words: &[&str]) -> Output {
    collector.program.command(&[&["records"], words].concat())
}

/// What a command that succeeds prints.
pub(crate) fn shown(collector: &Collector, words: &[&str]) -> String {
    let output = run(collector, words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn parsed(collector: &Collector, words: &[&str]) -> Value {
    let text = shown(collector, &[words, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What a command that is refused says.
pub(crate) fn refused(collector: &Collector, words: &[&str]) -> String {
    let output = run(collector, words);
    assert_eq!(code(output.status), NO, "{words:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

async fn group_of(collector: &Collector, record: i64) -> Value {
    let path = format!("/v1/records/{record}");
    collector.json(&path).await["group"].take()
}

/// One group becomes a part of another, with its records, and one of its own again.
async fn merged_and_split(store: Store) {
    let Some(collector) = start(store, json!([])).await else {
        return;
    };
    let one = keep(&collector, &crash(&["one", "main"])).await;
    let two = keep(&collector, &crash(&["two", "main"])).await;
    let first = group_of(&collector, one).await;
    let second = group_of(&collector, two).await;
    let (first_word, second_word) = (first.to_string(), second.to_string());
    let words = ["groups", "merge", &second_word, "--into", &first_word];
    let said = shown(&collector, &words);
    assert!(
        said.contains(&format!("group {second} is a part of group {first}")),
        "{said}"
    );
    let followed = wait::until("the record has followed", wait::SOON, async || {
        (group_of(&collector, two).await == first).then_some(())
    });
    followed.await;
    let answer = parsed(&collector, &["groups", "show", &first_word]);
    assert_eq!(answer["merged"][0]["id"], second, "{answer}");
    let said = shown(&collector, &["groups", "split", &second_word]);
    assert!(said.contains("is one of its own"), "{said}");
    let returned = wait::until("the record is back", wait::SOON, async || {
        (group_of(&collector, two).await == second).then_some(())
    });
    returned.await;
    let answer = parsed(
        &collector,
        &["groups", "merge", &first_word, "--into", &second_word],
    );
    assert_eq!(answer, json!({"id": first, "merged_into": second}));
    let answer = parsed(&collector, &["groups", "split", &first_word]);
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
        let said = refused(&collector, words);
        assert!(said.contains(why), "{words:?}: {said}");
    }
    collector.remove().await;
}

#[tokio::test]
async fn groups_become_one_and_are_split_on_sqlite() {
    merged_and_split(Store::Sqlite).await;
}

#[tokio::test]
async fn groups_become_one_and_are_split_on_postgresql() {
    merged_and_split(Store::Postgres).await;
}

/// What is in quarantine is listed and shown, becomes a record, or goes.
async fn emptied(store: Store) {
    let rules = json!([{"classification": "a/deferred/*", "action": "defer"}]);
    let Some(collector) = start(store, rules).await else {
        return;
    };
    let invalid = Record::new()
        .set("severity", "9")
        .payload("a \u{1b}[31mpayload");
    let invalid = keep(&collector, &invalid).await;
    let mut deferred = Vec::new();
    for _ in 0..3 {
        let record = Record::new().set("classification", "a/deferred/x");
        deferred.push(keep(&collector, &record).await.to_string());
    }
    let [first, second, third] = &deferred[..] else {
        unreachable!()
    };
    let list = shown(&collector, &["quarantine", "ls", "--limit", "3"]);
    assert_eq!(list.lines().count(), 4, "{list}");
    assert!(
        list.lines()
            .skip(1)
            .all(|line| line.contains("a/deferred/x")),
        "{list}"
    );
    let all = shown(&collector, &["quarantine", "ls", "--all", "--json"]);
    assert_eq!(all.lines().count(), 4, "{all}");
    let id = invalid.to_string();
    let one = shown(&collector, &["quarantine", "show", &id]);
    for words in [
        "severity value is out of range",
        "FIELDS",
        "machine_id",
        "a \u{fffd}[31mpayload",
    ] {
        assert!(one.contains(words), "no {words} in {one}");
    }
    let one = parsed(&collector, &["quarantine", "show", &id]);
    let fields = (&one["id"], &one["fields"]["severity"], &one["payload"]);
    assert_eq!(
        fields,
        (&json!(invalid), &json!("9"), &json!("a \u{1b}[31mpayload"))
    );

    let said = shown(&collector, &["quarantine", "release", first, second]);
    assert_eq!(said.lines().count(), 2, "{said}");
    let records = shown(
        &collector,
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
    let removed = parsed(&collector, &["quarantine", "drop", third]);
    assert_eq!(removed["removed"].to_string(), *third);
    let said = refused(&collector, &["quarantine", "release", &id]);
    assert!(
        said.contains("severity") && said.contains("quarantine drop"),
        "{said}"
    );
    for words in ["show", "release", "drop"] {
        let said = refused(&collector, &["quarantine", words, third]);
        assert!(said.contains("in quarantine"), "{words}: {said}");
    }
    shown(&collector, &["quarantine", "drop", &id]);
    let empty = run(&collector, &["quarantine", "ls"]);
    assert!(
        empty.status.success() && empty.stdout.is_empty(),
        "{empty:?}"
    );
    collector.remove().await;
}

#[tokio::test]
async fn quarantine_is_looked_at_and_emptied_on_sqlite() {
    emptied(Store::Sqlite).await;
}

#[tokio::test]
async fn quarantine_is_looked_at_and_emptied_on_postgresql() {
    emptied(Store::Postgres).await;
}

/// A frame that is skipped is no longer what names a group, and records follow.
async fn skipped(store: Store) {
    let Some(collector) = start(store, json!([])).await else {
        return;
    };
    let one = keep(&collector, &crash(&["log", "one", "main"])).await;
    let before = group_of(&collector, one).await;
    let none = run(&collector, &["frames", "ls"]);
    assert!(none.status.success(), "{none:?}");
    let words = ["frames", "add", "log()", "/usr/bin/app", "--wait"];
    let said = shown(&collector, &words);
    assert!(
        said.contains("log() in /usr/bin/app is skipped from now on"),
        "{said}"
    );
    assert!(
        said.contains("grouped anew: all, 1 came to another group"),
        "{said}"
    );
    let after = group_of(&collector, one).await;
    assert!(after.is_i64() && after != before, "{before} {after}");
    let list = shown(&collector, &["frames", "ls"]);
    assert!(
        list.contains("log()  ") && list.contains("grouped anew"),
        "{list}"
    );
    assert!(shown(&collector, &words).contains("was skipped already"));
    let frame = json!({"function": "log()", "module": "/usr/bin/app"});
    assert_eq!(
        parsed(&collector, &["frames", "ls"])["frames"],
        json!([frame])
    );
    let answer = parsed(
        &collector,
        &["frames", "rm", "log()", "/usr/bin/app", "--wait"],
    );
    let found = (&answer["frames"], &answer["regroup"]["is_running"]);
    assert_eq!(found, (&json!([]), &json!(false)), "{answer}");
    assert_eq!(group_of(&collector, one).await, before);
    let said = shown(&collector, &["frames", "rm", "log()", "/usr/bin/app"]);
    assert!(said.contains("was not skipped"), "{said}");
    let said = refused(&collector, &["frames", "add", "", "x"]);
    assert!(said.contains("as the payload writes them"), "{said}");
    collector.remove().await;
}

#[tokio::test]
async fn frames_are_skipped_and_count_again_on_sqlite() {
    skipped(Store::Sqlite).await;
}

#[tokio::test]
async fn frames_are_skipped_and_count_again_on_postgresql() {
    skipped(Store::Postgres).await;
}

/// Machines by build, and what retention would remove.
async fn counted(store: Store) {
    let Some(collector) = start(store, json!([])).await else {
        return;
    };
    let beat = |machine: &str, build: &str, external: &str| {
        let record = Record::new().set("classification", "org.clearlinux/heartbeat/ping");
        let record = record.set("machine_id", machine).set("build", build);
        record.set(EXTERNAL_HEADER, external)
    };
    let none = run(&collector, &["population"]);
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(
        none.status.success() && said.contains("no machine"),
        "{none:?}"
    );
    let mut beats = Vec::new();
    for (machine, build, external) in [
        ("m1", "100", "false"),
        ("m2", "200", "false"),
        ("m3", "200", "true"),
    ] {
        beats.push(keep(&collector, &beat(machine, build, external)).await);
    }
    let table = shown(&collector, &["population", "--days", "1"]);
    let cells = |line: &str| {
        line.split_whitespace()
            .take(5)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let rows: Vec<String> = table.lines().skip(1).map(cells).collect();
    assert_eq!(rows, ["200 2 1 1 0", "100 1 1 0 0"], "{table}");
    let answer = parsed(&collector, &["population", "--project", "ours"]);
    assert_eq!(
        answer["windows"][0]["builds"].as_array().map(Vec::len),
        Some(2),
        "{answer}"
    );

    let said = shown(&collector, &["retention"]);
    assert!(said.contains("removes 0 records"), "{said}");
    let (passed, oldest) = (36 * DAY_MILLISECONDS, &beats[..2]);
    let sql = format!(
        "UPDATE records SET received_at = received_at - {passed} WHERE id IN ({}, {})",
        oldest[0], oldest[1]
    );
    assert_eq!(collector.execute(&sql).await, 2);
    let said = shown(&collector, &["retention"]);
    assert!(
        said.contains("heartbeat/ping  2") && said.contains("removes 2 records"),
        "{said}"
    );
    assert_eq!(parsed(&collector, &["retention"])["records"], 2);
    collector.remove().await;
}

#[tokio::test]
async fn machines_and_old_records_are_counted_on_sqlite() {
    counted(Store::Sqlite).await;
}

#[tokio::test]
async fn machines_and_old_records_are_counted_on_postgresql() {
    counted(Store::Postgres).await;
}

/// The only critical record, as a table: all columns, and a formula as it was sent or made harmless.
fn assert_table(collector: &Collector, record: &Value) {
    let text = |key: &str| record[key].as_str().unwrap();
    let head = "id,project,received_at,created_at,severity,classification,machine_id,build,\
         system_name,external,group,event_id,arch,kernel_version,host_type,board_name,cpu_model,\
         bios_version,record_format_version,payload_format_version,payload";
    let row = format!(
        "{},ours,{},2023-11-14T22:13:20Z,4,org.example/test/thing,c588b962e95d5f3aa46ab0d644e7f57e,\
         34960,clear-linux-os,false,,{},x86_64,6.1.0-13-amd64,\
         \"QEMU|Standard PC (Q35 + ICH9, 2009)|pc-q35-7.2\",0H28RR|Dell Inc.,\
         Intel(R) Xeon(R) Processor,1.16.2-debian-1.16.2-1,4,1",
        record["id"],
        text("received_at"),
        text("event_id")
    );
    let words = ["export", "--format", "csv", "--severity", "critical"];
    let plain = shown(collector, &words);
    assert_eq!(plain, format!("{head}\r\n{row},=1+1\r\n"));
    let safe = shown(collector, &[&words[..], &["--safe-cells"]].concat());
    assert_eq!(safe, format!("{head}\r\n{row},'=1+1\r\n"));
}

/// An export has all records whole, in each form, and goes on where it is told.
async fn exported(store: Store) {
    let Some(collector) = start(store, json!([])).await else {
        return;
    };
    let formula = Record::new().payload("=1+1").set("severity", "4");
    let formula = keep(&collector, &formula).await;
    let other = keep(&collector, &Record::new()).await;
    let lines = shown(&collector, &["export"]);
    let records: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records.len(), 2, "{lines}");
    for (record, id) in records.iter().zip([other, formula]) {
        let path = format!("/v1/records/{id}");
        let mut whole = collector.json(&path).await;
        let whole = whole.as_object_mut().unwrap();
        assert!(whole.remove("excerpt").is_some() && whole.remove("why_grouped").is_some());
        assert_eq!(record.as_object().unwrap(), whole);
    }
    let array: Value =
        serde_json::from_str(&shown(&collector, &["export", "--format", "json"])).unwrap();
    assert_eq!(array, json!(records));
    let before = other.to_string();
    let rest = shown(&collector, &["export", "--before", &before]);
    assert_eq!(
        rest.lines().collect::<Vec<_>>(),
        [lines.lines().nth(1).unwrap()]
    );
    let found = shown(
        &collector,
        &["export", "--severity", "critical", "--text", "hello"],
    );
    assert_eq!(found, "");
    assert_table(&collector, &records[1]);
    let said = refused(&collector, &["export", "--safe-cells"]);
    assert!(said.contains("--format csv"), "{said}");
    shown(&collector, &["export", "--output", "all.ndjson"]);
    assert_eq!(
        std::fs::read_to_string(collector.program.path("all.ndjson")).unwrap(),
        lines
    );
    collector.remove().await;
}

#[tokio::test]
async fn whole_records_are_exported_on_sqlite() {
    exported(Store::Sqlite).await;
}

#[tokio::test]
async fn whole_records_are_exported_on_postgresql() {
    exported(Store::Postgres).await;
}
