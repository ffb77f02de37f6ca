//! `/api/records`: the original's parameters with its checks and messages, and the cursors that we add.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use it::client;
use it::telemetrics::{Collector, Form, Record, Store};
use it::wait;
use serde_json::{Value, json};
use sqlx::Connection as _;

/// How many records are paged through: more than two pages of the largest size.
const MANY: usize = 2_500;
const DAY_MILLISECONDS: i64 = 24 * 60 * 60 * 1000;

/// Posts so many records, eight at a time.
pub(crate) async fn fill(collector: &Collector, count: usize) {
    let mut left = count;
    while left > 0 {
        let now = left.min(8);
        let records: Vec<Record> = (0..now).map(|_| Record::new()).collect();
        let posts = records
            .iter()
            .map(|record| collector.keep(Form::Headers, record));
        join_all(posts).await;
        left -= now;
    }
}

/// The records that this asks for.
async fn records(collector: &Collector, query: &str) -> Vec<Value> {
    let answer = collector.json(&format!("/api/records?{query}")).await;
    answer["records"].as_array().unwrap().clone()
}

fn ids(records: &[Value]) -> Vec<i64> {
    records
        .iter()
        .map(|record| record["id"].as_i64().unwrap())
        .collect()
}

/// What the original refuses, in its words; and what it passes over.
async fn parameters_are_checked(collector: &Collector) {
    let limit = "Record limit value is invalid";
    let digits33 = "machine_id=".to_owned() + &"a".repeat(33);
    let long_build = "build=".to_owned() + &"1".repeat(200);
    for (query, message) in [
        ("limit=1001", limit),
        ("limit=abc", limit),
        ("limit=-1", limit),
        ("limit=", limit),
        ("limit=99999999999999999999", limit),
        ("severity=5", "Severity value is out of range"),
        ("severity=0", "Severity value is out of range"),
        ("severity=abc", "Severity should be a numeric value"),
        ("classification=a/b", "Classification value is invalid"),
        ("classification=a/b/c/d", "Classification value is invalid"),
        (&digits33, "Machine id value is invalid"),
        (&long_build, "Build value is invalid"),
        ("created_in_days=x", "Created (in days) value is invalid"),
        ("created_in_days=-1", "Created (in days) value is invalid"),
        (
            "created_in_sec=1.5",
            "Created (in seconds) value is invalid",
        ),
        ("from_id=x", "From id value is invalid"),
        ("after_id=x", "After id value is invalid"),
        ("before_id=-1", "Before id value is invalid"),
    ] {
        let reply = collector.get(&format!("/api/records?{query}")).await;
        assert_eq!(
            (reply.status, reply.json()),
            (400, json!({"message": message})),
            "{query}"
        );
    }
    let reply = collector.get("/api/record").await;
    assert_eq!(reply.status, 404);
    assert_eq!(
        collector.program.main("POST", "/api/records").await.status,
        405
    );
}

/// Each filter gives what fits and nothing else.
async fn filters_choose(collector: &Collector) {
    let mut all = Vec::new();
    for (severity, class, build, machine, created) in [
        ("1", "a/b/c", "12", "m1", "100"),
        ("2", "a/b/c", "\"12\"", "m2", "200"),
        ("3", "a/b/d", "13", "m1", "300"),
    ] {
        let record = Record::new()
            .set("severity", severity)
            .set("classification", class)
            .set("system_name", "debian")
            .set("build", build)
            .set("machine_id", machine)
            .set("creation_timestamp", created);
        all.push(collector.keep(Form::Headers, &record).await);
    }
    let [first, second, third] = all[..] else {
        unreachable!()
    };
    let from_second = format!("from_id={second}");
    let both = format!("from_id={second}&machine_id=m1");
    for (query, expected) in [
        ("", vec![third, second, first]),
        ("unknown=1&also", vec![third, second, first]),
        ("severity=1", vec![first]),
        ("classification=a/b/c", vec![second, first]),
        ("classification=a/b/*", vec![]),
        ("build=12", vec![second, first]),
        ("build=%2212%22", vec![second, first]),
        ("build=%2712%27", vec![second, first]),
        ("machine_id=m1", vec![third, first]),
        ("machine_id=", vec![]),
        (&from_second, vec![third, second]),
        (&both, vec![third]),
        ("ts_capture=100", vec![third, second]),
        ("ts_capture=300", vec![]),
        ("limit=2", vec![third, second]),
        ("limit=0", vec![]),
        ("created_in_days=1", vec![third, second, first]),
        ("created_in_sec=3600", vec![third, second, first]),
        ("created_in_days=99999", vec![third, second, first]),
        (
            "created_in_days=99999999999999999999",
            vec![third, second, first],
        ),
        ("created_in_days=0", vec![]),
        // Days win.
        (
            "created_in_days=1&created_in_sec=0",
            vec![third, second, first],
        ),
    ] {
        assert_eq!(ids(&records(collector, query).await), expected, "{query}");
    }
}

async fn parameters(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    parameters_are_checked(&collector).await;
    filters_choose(&collector).await;
    collector.remove().await;
}

#[tokio::test]
async fn its_parameters_are_those_of_the_original_on_sqlite() {
    parameters(Store::Sqlite).await;
}

#[tokio::test]
async fn its_parameters_are_those_of_the_original_on_postgresql() {
    parameters(Store::Postgres).await;
}

/// Only what came just now is new.
#[tokio::test]
async fn seconds_go_back_from_now() {
    let collector = Collector::start_small(json!({})).await;
    let old = collector.keep(Form::Headers, &Record::new()).await;
    wait::until("it is more than a second old", wait::SOON, async || {
        records(&collector, "created_in_sec=1")
            .await
            .is_empty()
            .then_some(())
    })
    .await;
    let new = collector.keep(Form::Headers, &Record::new()).await;
    assert_eq!(ids(&records(&collector, "created_in_sec=1").await), [new]);
    assert_eq!(
        ids(&records(&collector, "created_in_sec=3600").await),
        [new, old]
    );
}

/// It looks back 30 days and no further, whatever is asked.
#[tokio::test]
async fn it_looks_back_for_30_days() {
    let collector = Collector::start_small(json!({})).await;
    let mut all = Vec::new();
    for days in [31, 29, 5] {
        let id = collector.keep(Form::Headers, &Record::new()).await;
        let url = format!(
            "sqlite://{}",
            collector.program.path("data/state.db").display()
        );
        let mut state = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let moved = sqlx::query("UPDATE records SET received_at = received_at - $1 WHERE id = $2")
            .bind(days * DAY_MILLISECONDS)
            .bind(id)
            .execute(&mut state)
            .await;
        assert_eq!(moved.unwrap().rows_affected(), 1);
        state.close().await.unwrap();
        all.push(id);
    }
    let [_, month, week] = all[..] else {
        unreachable!()
    };
    for (query, expected) in [
        ("", vec![week, month]),
        ("created_in_days=99999", vec![week, month]),
        ("created_in_sec=9999999999", vec![week, month]),
        ("created_in_days=28", vec![week]),
        ("created_in_days=4", vec![]),
    ] {
        assert_eq!(ids(&records(&collector, query).await), expected, "{query}");
    }
}

/// Goes through all pages; the ids as they came.
async fn pages(collector: &Collector, first: &str, cursor: &str) -> Vec<i64> {
    let mut seen = Vec::new();
    let mut query = first.to_owned();
    for _ in 0..MANY {
        let page = collector.json(&format!("/api/records?{query}")).await;
        seen.extend(ids(page["records"].as_array().unwrap()));
        let Some(next) = page["next"].as_i64() else {
            return seen;
        };
        query = format!("{first}&{cursor}={next}");
    }
    panic!("pages without end");
}

/// A program that follows `next` sees each record once, in both directions, also when more come.
async fn paging(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    fill(&collector, MANY).await;
    for limit in [1_000, 50, 9, 500] {
        let limit = format!("limit={limit}");
        let down = pages(&collector, &limit, "before_id").await;
        assert_eq!(
            (down.len(), down.is_sorted_by(|a, b| a > b)),
            (MANY, true),
            "{limit}"
        );
        let up = pages(&collector, &format!("{limit}&after_id=0"), "after_id").await;
        assert_eq!(
            (up.len(), up.is_sorted_by(|a, b| a < b)),
            (MANY, true),
            "{limit}"
        );
    }
    assert_eq!(
        records(&collector, "").await.len(),
        1_000,
        "without a limit"
    );
    for limit in [1, 9, 50, 1_000] {
        assert_eq!(
            records(&collector, &format!("limit={limit}")).await.len(),
            limit
        );
    }
    let follow = async {
        let mut seen = BTreeSet::new();
        let mut last = 0;
        while seen.len() < MANY + 200 {
            let new = records(&collector, &format!("limit=7&after_id={last}")).await;
            for id in ids(&new) {
                assert!(seen.insert(id), "{id} came twice");
                last = id;
            }
        }
    };
    let both = futures_util::future::join(follow, fill(&collector, 200));
    tokio::time::timeout(Duration::from_mins(1), both)
        .await
        .expect("all are seen");
    collector.remove().await;
}

#[tokio::test]
async fn every_record_is_on_one_page_on_sqlite() {
    paging(Store::Sqlite).await;
}

#[tokio::test]
async fn every_record_is_on_one_page_on_postgresql() {
    paging(Store::Postgres).await;
}

/// One record a line, for who asks for it.
#[tokio::test]
async fn records_come_as_lines() {
    let collector = Collector::start_small(json!({})).await;
    let payload = "two\nlines \u{2028} and \"quotes\"";
    collector
        .keep(Form::Headers, &Record::new().payload(payload))
        .await;
    fill(&collector, 30).await;
    let list = records(&collector, "").await;
    let url = format!("http://{}/api/records", collector.program.main);
    for accept in [
        "application/x-ndjson",
        "application/json;q=0.5, application/x-ndjson",
    ] {
        let reply = client::get(&url, &[("accept", accept)]).await.unwrap();
        assert_eq!(reply.header("content-type"), "application/x-ndjson");
        let text = reply.text();
        assert!(text.ends_with("}\n"), "{text}");
        let lines = text
            .split_terminator('\n')
            .map(|line| serde_json::from_str(line).unwrap());
        assert_eq!(lines.collect::<Vec<Value>>(), list);
    }
    let reply = client::get(&url, &[("accept", "*/*")]).await.unwrap();
    assert_eq!(reply.header("content-type"), "application/json");
}

/// Programs of this machine need no proof, but who shows a wrong one is refused.
#[tokio::test]
async fn a_wrong_proof_is_refused() {
    let collector = Collector::start_small(json!({})).await;
    let forged = format!("Bearer landline_api_{}", "x".repeat(47));
    for path in [
        "/api/records",
        "/v1/records",
        "/v1/records/1",
        "/v1/records/quarantine",
        "/v1/records/tail",
        "/telemetryui/records/export/records-1.csv",
    ] {
        let url = format!("http://{}{path}", collector.program.main);
        let headers = [("authorization", forged.as_str())];
        assert_eq!(
            client::get(&url, &headers).await.unwrap().status,
            401,
            "{path}"
        );
    }
}
