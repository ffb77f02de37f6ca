//! Retention removes what has had its time, and nothing else: whole records with their payloads, in more
//! than one transaction; what was counted of them stays. The first look comes a minute after the start.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use it::telemetrics::{Collector, Form, Record, Store};
use it::wait;
use serde_json::json;

/// More than one transaction takes.
const SHORT: usize = 130;
/// Before this nothing is removed.
const FIRST_LOOK: Duration = Duration::from_secs(50);
/// How long after its start a collector may need for its first look.
const LOOKED: Duration = Duration::from_mins(3);

async fn passed(store: Store) {
    let filters = json!([
        {"classification": "org.example/short/*", "keep": "1d"},
        {"classification": "org.example/forever/*", "keep": "forever"},
        // The longest of those that fit holds.
        {"severity": 4, "keep": "1d"},
    ]);
    let project = json!({
        "name": "ours", "tid": it::telemetrics::TID,
        "retention": {"unfiltered": "35d", "filters": filters},
    });
    let Some(collector) = Collector::start(store, json!({"projects": [project]})).await else {
        return;
    };
    let keep = async |classification: &str, payload: &str| {
        let record = Record::new()
            .set("classification", classification)
            .set("severity", "4");
        collector
            .keep(Form::Headers, &record.payload(payload))
            .await
    };
    let begun = Instant::now();
    let short = (0..SHORT).map(|number| format!("perishable {number}"));
    let short: Vec<String> = short.collect();
    let short = short.iter().map(|text| keep("org.example/short/one", text));
    let (mut gone, mut kept) = (join_all(short).await, Vec::new());
    for number in 0..3 {
        kept.push(keep("org.example/forever/one", &format!("eternal {number}")).await);
    }
    let plain = Record::new().set("classification", "org.example/plain/one");
    gone.push(collector.keep(Form::Headers, &plain).await);
    let crash = "Process: /usr/bin/app\nPID: 7\nSignal: 11\n\n#0 inner() - [/usr/bin/app]\n";
    let crash = Record::new()
        .set("classification", "org.clearlinux/crash/clr")
        .payload(crash);
    gone.push(collector.keep(Form::Headers, &crash).await);
    let wrong = Record::new().set("severity", "9");
    let reply = collector.post(Form::Headers, &wrong).await;
    let wrong = reply.json()["id"].as_i64().unwrap();
    assert!(collector.quarantined(wrong).await.is_object());

    for table in ["records", "record_quarantine"] {
        let sql = format!("UPDATE {table} SET received_at = received_at - 3110400000");
        assert!(collector.execute(&sql).await > 0);
    }
    // What has come since is younger than any of the times.
    kept.push(keep("org.example/short/one", "perishable, later").await);
    kept.push(
        collector
            .keep(Form::Headers, &plain.clone().payload("later"))
            .await,
    );
    let list = collector.json("/v1/records/retention").await;
    assert!(
        begun.elapsed() < FIRST_LOOK,
        "too slow to be before the first look"
    );
    assert_eq!(list["records"], gone.len(), "{list}");

    let listed = async || {
        let list = collector.json("/v1/records?limit=1000").await;
        let records = list["records"].as_array().unwrap().iter();
        let mut ids: Vec<i64> = records
            .map(|record| record["id"].as_i64().unwrap())
            .collect();
        ids.sort_unstable();
        ids
    };
    wait::until("old records are gone", LOOKED, async || {
        (listed().await == kept).then_some(())
    })
    .await;
    wait::until("the quarantine is empty", wait::SOON, async || {
        collector.quarantined(wrong).await.is_null().then_some(())
    })
    .await;

    let [first, .., last] = gone.as_slice() else {
        unreachable!()
    };
    for id in [first, last] {
        assert_eq!(
            collector.get(&format!("/v1/records/{id}")).await.status,
            404
        );
    }
    for id in &kept {
        assert_eq!(
            collector.get(&format!("/v1/records/{id}")).await.status,
            200
        );
    }
    // The original's list knows the young ones.
    assert!(collector.original(kept[4]).await.is_object());
    for (word, count) in [("perishable", 1), ("eternal", 3)] {
        let found = collector.json(&format!("/v1/records?text={word}")).await;
        let found = found["records"].as_array().map(Vec::len);
        assert_eq!(found, Some(count), "{word}");
    }
    let payloads = collector
        .count("SELECT COUNT(*) FROM record_payloads")
        .await;
    assert_eq!(payloads, i64::try_from(kept.len()).unwrap());
    // What was counted stays.
    let groups = collector.json("/v1/records/groups").await;
    assert_eq!(groups["groups"][0]["total"], 1, "{groups}");
    let counts = collector.json("/v1/records/counts").await;
    let days = counts["days"].as_array().unwrap().iter();
    let counted = days.filter_map(|day| day["counts"]["org.example/short/one"].as_u64());
    assert_eq!(counted.sum::<u64>(), SHORT as u64 + 1, "{counts}");
    assert_eq!(collector.json("/v1/records/retention").await["records"], 0);
    // And what comes is kept.
    keep("org.example/short/one", "after it").await;
    collector.remove().await;
}

#[tokio::test]
async fn retention_removes_what_has_had_its_time_on_sqlite() {
    passed(Store::Sqlite).await;
}

#[tokio::test]
async fn retention_removes_what_has_had_its_time_on_postgresql() {
    passed(Store::Postgres).await;
}
