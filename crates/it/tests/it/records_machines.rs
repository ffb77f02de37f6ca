//! Which machines sent the newest records of a kind, what their machine checks say, and what is in
//! quarantine as a whole.

use it::telemetrics::{Collector, Form, Record, Store};
use serde_json::{Value, json};

/// Bytes of a payload that the list of the quarantine shows.
const BEGINNING: usize = 4_096;

fn machine_check(class: &str, machine: &str, status: &str) -> Record {
    Record::new()
        .set("classification", format!("org.clearlinux/mce/{class}"))
        .set("machine_id", machine)
        .payload(format!("MCE 0\nSTATUS {status} MCGSTATUS 0\n"))
}

async fn checked(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    for record in [
        machine_check("corrected", "a", "8c00004000010091"),
        machine_check("corrected", "b", "8C0000400001009F").set("build", "34970"),
        machine_check("SRAO", "a", "bd80000000010091").set("build", "34970"),
        machine_check("corrected", "a", "8c00004000010091"),
        machine_check("thermal", "c", "none").payload(""),
        Record::new().set("machine_id", "a"),
    ] {
        collector.keep(Form::Headers, &record).await;
    }
    let pattern = "classification=org.clearlinux/mce/*";
    let machines = collector
        .json(&format!("/v1/records/machines?{pattern}"))
        .await;
    let oldest = collector.json(&format!("/v1/records?{pattern}")).await;
    let oldest = &oldest["records"][4]["received_at"];
    let expected = json!({
        "looked_at": 5, "has_more": false, "before": null, "since": oldest, "count": 3, "next": null,
        "machines": [
            {"machine_id": "a", "records": 3, "builds": {"34960": 2, "34970": 1}},
            {"machine_id": "b", "records": 1, "builds": {"34970": 1}},
            {"machine_id": "c", "records": 1, "builds": {"34960": 1}},
        ],
    });
    assert_eq!(machines, expected);
    let checks = collector
        .json(&format!("/v1/records/machine-checks?{pattern}"))
        .await;
    let expected = json!({
        "looked_at": 5, "has_more": false, "before": null, "since": oldest,
        "codes": {"00010091": 3, "0001009f": 1}, "without_code": 1,
    });
    assert_eq!(checks, expected);
    for path in ["machines", "machine-checks"] {
        let newest = collector.json(&format!("/v1/records/{path}?limit=2")).await;
        assert_eq!(
            (&newest["looked_at"], &newest["has_more"]),
            (&json!(2), &json!(true))
        );
        let none = collector.json(&format!("/v1/records/{path}?build=1")).await;
        assert_eq!(
            (&none["looked_at"], &none["since"]),
            (&json!(0), &Value::Null)
        );
        for query in ["limit=0", "limit=1001", "text=two+words", "unknown=1"] {
            let reply = collector.get(&format!("/v1/records/{path}?{query}")).await;
            assert_eq!(reply.status, 400, "{path}?{query}");
        }
    }
    collector.remove().await;
}

#[tokio::test]
async fn machine_checks_are_told_by_machine_and_code_on_sqlite() {
    checked(Store::Sqlite).await;
}

#[tokio::test]
async fn machine_checks_are_told_by_machine_and_code_on_postgresql() {
    checked(Store::Postgres).await;
}

async fn whole(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let payload = "x".repeat(BEGINNING * 3) + "the end";
    let long = Record::new().set("severity", "9").payload(&payload);
    for record in [long, Record::new().set("severity", "9").payload("")] {
        let reply = collector.post(Form::Headers, &record).await;
        assert_eq!(reply.status, 201);
    }
    let page = collector.json("/v1/records/quarantine").await;
    let [empty, long] = [&page["submissions"][0], &page["submissions"][1]];
    assert_eq!(
        (&empty["payload"], &empty["payload_bytes"]),
        (&json!(""), &json!(0))
    );
    assert_eq!(long["payload"], "x".repeat(BEGINNING));
    assert_eq!(long["payload_bytes"], payload.len());
    for listed in [empty, long] {
        let path = format!("/v1/records/quarantine/{}", listed["id"]);
        let mut one = collector.json(&path).await;
        if listed == long {
            assert_eq!(one["payload"], payload);
            one["payload"] = listed["payload"].clone();
        }
        assert_eq!(&one, listed);
    }
    for (id, status) in [("999", 404), ("0", 400), ("x", 400)] {
        let reply = collector.get(&format!("/v1/records/quarantine/{id}")).await;
        assert_eq!(reply.status, status, "{id}");
    }
    collector.remove().await;
}

#[tokio::test]
async fn a_submission_is_shown_whole_on_sqlite() {
    whole(Store::Sqlite).await;
}

#[tokio::test]
async fn a_submission_is_shown_whole_on_postgresql() {
    whole(Store::Postgres).await;
}

/// Who waits for the end of a regroup need not read the whole list of frames.
async fn progress(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let frames = collector.json("/v1/records/skipped-frames").await;
    let alone = collector.json("/v1/records/regroup").await;
    assert_eq!(alone, frames["regroup"]);
    assert_eq!(alone["is_running"], false);
    collector.remove().await;
}

#[tokio::test]
async fn the_progress_of_a_regroup_is_told_alone_on_sqlite() {
    progress(Store::Sqlite).await;
}

#[tokio::test]
async fn the_progress_of_a_regroup_is_told_alone_on_postgresql() {
    progress(Store::Postgres).await;
}
