//! What a crash group consists of: records of each machine and build, and their backtraces; and on how many
//! machines nothing crashed.

use it::telemetrics::{Collector, Form, Record, Store};
use serde_json::{Value, json};

const CLASS: &str = "org.clearlinux/crash/clr";

/// A crash of a process with this number.
fn crash(pid: u32, machine: &str, build: &str) -> Record {
    let payload = format!(
        "Process: /usr/bin/app\nPID: {pid}\nSignal: 11\n\nBacktrace (TID {pid}):\n\
         #0 raise() - [/usr/lib64/libc.so]\n#1 inner() - [/usr/bin/app]\n#2 main() - [/usr/bin/app]\n"
    );
    let record = Record::new().set("classification", CLASS).payload(payload);
    record.set("machine_id", machine).set("build", build)
}

fn heartbeat(machine: &str, build: &str) -> Record {
    let record = Record::new().set("classification", "org.clearlinux/heartbeat/ping");
    record.set("machine_id", machine).set("build", build)
}

/// Machine, build and records of each row.
fn rows(answer: &Value) -> Value {
    let rows = answer["machines"].as_array().unwrap().iter();
    let rows = rows.map(|row| json!([row["machine_id"], row["build"], row["records"]]));
    rows.collect()
}

async fn members(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let mut ids = Vec::new();
    for (pid, machine, build) in [
        (1, "m1", "100"),
        (2, "m1", "100"),
        (3, "m1", "200"),
        (4, "m2", "100"),
        (5, "m1", "100"),
    ] {
        let record = crash(pid, machine, build);
        ids.push(collector.keep(Form::Headers, &record).await);
    }
    let record = collector.json(&format!("/v1/records/{}", ids[0])).await;
    let path = format!("/v1/records/groups/{}", record["group"]);
    let machines = collector.json(&format!("{path}/machines")).await;
    // With the same count the one that was heard of last comes first.
    let expected = json!([["m1", "100", 3], ["m2", "100", 1], ["m1", "200", 1]]);
    assert_eq!(rows(&machines), expected, "{machines}");
    assert_eq!(machines["machines"][0]["latest"], ids[4]);
    let seen = machines["machines"][0]["last_seen"].as_str();
    assert!(seen.is_some_and(|seen| seen.ends_with('Z')), "{machines}");
    assert_eq!(
        (&machines["counted"], &machines["is_complete"]),
        (&json!(5), &json!(true))
    );
    let first = collector.json(&format!("{path}/machines?limit=1")).await;
    assert_eq!(rows(&first), json!([["m1", "100", 3]]));

    for (query, expected) in [
        ("", vec![5, 4, 3, 2, 1]),
        ("?limit=2", vec![5, 4]),
        ("?machine_id=m1&build=100", vec![5, 2, 1]),
        ("?build=200", vec![3]),
        ("?machine_id=m3", vec![]),
    ] {
        let answer = collector.json(&format!("{path}/backtraces{query}")).await;
        let traces = answer["backtraces"].as_array().unwrap();
        let pids: Vec<&Value> = traces.iter().map(|trace| &trace["pid"]).collect();
        assert_eq!(json!(pids), json!(expected), "{query}");
        for trace in traces {
            assert_eq!(trace["program"], "/usr/bin/app");
            assert_eq!(trace["signal"], "11");
            let frames = trace["frames"].as_array().unwrap();
            let functions: Vec<&Value> = frames.iter().map(|frame| &frame["function"]).collect();
            assert_eq!(json!(functions), json!(["raise()", "inner()", "main()"]));
            let guilty = frames.iter().filter(|frame| frame["is_guilty"] == true);
            assert_eq!(guilty.count(), 1, "{trace}");
        }
    }
    for (wrong, status) in [
        (format!("{path}/machines?limit=0"), 400),
        (format!("{path}/machines?limit=1001"), 400),
        (format!("{path}/backtraces?limit=51"), 400),
        (format!("{path}/backtraces?unknown=1"), 400),
        ("/v1/records/groups/999/machines".to_owned(), 404),
        ("/v1/records/groups/999/backtraces".to_owned(), 404),
    ] {
        assert_eq!(collector.get(&wrong).await.status, status, "{wrong}");
    }
    collector.remove().await;
}

#[tokio::test]
async fn a_group_tells_its_machines_and_backtraces_on_sqlite() {
    members(Store::Sqlite).await;
}

#[tokio::test]
async fn a_group_tells_its_machines_and_backtraces_on_postgresql() {
    members(Store::Postgres).await;
}

/// Of machines that only crash, and send no heartbeat, the share knows as well.
async fn crash_free(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    for machine in ["m1", "m2", "m3"] {
        collector
            .keep(Form::Headers, &heartbeat(machine, "100"))
            .await;
    }
    for (pid, machine, build) in [
        (1, "m1", "100"),
        (2, "m1", "100"),
        (3, "m4", "100"),
        (4, "m5", "20"),
    ] {
        collector
            .keep(Form::Headers, &crash(pid, machine, build))
            .await;
    }
    let answer = collector.json("/v1/records/crash-free").await;
    let builds = json!([
        {"build": "20", "machines": 1, "crashed": 1, "crash_free": 0.0},
        {"build": "100", "machines": 4, "crashed": 2, "crash_free": 0.5},
    ]);
    assert_eq!(answer, json!({"days": 7, "builds": builds}));
    for (query, status) in [("?days=0", 400), ("?days=367", 400), ("?days=366", 200)] {
        let path = format!("/v1/records/crash-free{query}");
        assert_eq!(collector.get(&path).await.status, status, "{query}");
    }
    collector.remove().await;
}

#[tokio::test]
async fn machines_without_a_crash_are_a_share_of_those_that_were_seen_on_sqlite() {
    crash_free(Store::Sqlite).await;
}

#[tokio::test]
async fn machines_without_a_crash_are_a_share_of_those_that_were_seen_on_postgresql() {
    crash_free(Store::Postgres).await;
}
