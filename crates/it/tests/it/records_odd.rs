//! Records that are valid and odd: none of them breaks a list, and every byte of a payload is kept, on
//! both databases.

use it::telemetrics::{Collector, Form, Record, Store};
use serde_json::json;

/// One record from the far future, without a body or with bytes of any kind must not break the lists
/// that it is in.
async fn odd_records_break_no_list(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let future = Record::new().set("creation_timestamp", "253402300800");
    let end = Record::new().set("creation_timestamp", i64::MAX.to_string());
    let mut failed = Vec::new();
    for (name, record) in [
        ("far future", future),
        ("end of time", end),
        ("NUL", Record::new().payload("a\0b")),
        ("Latin-1", Record::new().payload(b"\xe9\xff")),
        ("no machine", Record::new().set("machine_id", "")),
        ("no body", Record::new().payload("")),
    ] {
        collector.keep(Form::Headers, &record).await;
        for path in [
            "/api/records",
            "/v1/records",
            "/v1/records/counts",
            "/v1/records/counts?by=host_type",
            "/v1/records/choices",
            "/v1/records/population",
            "/telemetryui/records/export/records-1.csv?format_type=inline",
        ] {
            let status = collector.get(path).await.status;
            failed.extend((status != 200).then(|| format!("{name}: {path} {status}")));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    collector.remove().await;
}

#[tokio::test]
async fn odd_records_break_no_list_on_sqlite() {
    odd_records_break_no_list(Store::Sqlite).await;
}

#[tokio::test]
async fn odd_records_break_no_list_on_postgresql() {
    odd_records_break_no_list(Store::Postgres).await;
}

/// What the original would have refused is told from what it takes.
#[tokio::test]
async fn an_unusual_architecture_is_marked() {
    let Some(collector) = Collector::start(Store::Sqlite, json!({})).await else {
        return;
    };
    for (arch, is_unusual) in [("riscv64", true), ("x86_64", false)] {
        let record = Record::new().set("arch", arch);
        let id = collector.keep(Form::Headers, &record).await;
        let shown = collector.json(&format!("/v1/records/{id}")).await;
        assert_eq!(shown["is_unusual_arch"], json!(is_unusual), "{arch}");
    }
    collector.remove().await;
}

/// NUL is a byte like any other in payloads, on both databases; in other texts it is replaced.
#[tokio::test]
async fn nul_is_kept() {
    for store in [Store::Sqlite, Store::Postgres] {
        let Some(collector) = Collector::start(store, json!({})).await else {
            continue;
        };
        for form in Form::ALL {
            let record = Record::new().payload("a\0b\0");
            let id = collector.keep(form, &record).await;
            let kept = collector.original(id).await;
            assert_eq!(kept["payload"], "a\0b\0");
            let ours = collector.json(&format!("/v1/records/{id}")).await;
            assert_eq!(ours["payload"], "a\0b\0");
        }
        let record = Record::new()
            .set("host_type", "a\0b")
            .set("classification", "a/b/\0");
        let id = collector.keep(Form::Json, &record).await;
        let kept = collector.original(id).await;
        assert_eq!(kept["machine_type"], "a\u{fffd}b");
        let invalid = Record::new()
            .set("severity", "\0")
            .set("host_type", "\0")
            .payload("\0");
        let reply = collector.post(Form::Json, &invalid).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let kept = collector
            .quarantined(reply.json()["id"].as_i64().unwrap())
            .await;
        assert_eq!(
            (&kept["fields"]["host_type"], &kept["payload"]),
            (&json!("\0"), &json!("\0"))
        );
        collector.remove().await;
    }
}

/// Nobody has a NUL in what is asked for, so that finds nothing or is refused; PostgreSQL can't be asked.
#[tokio::test]
async fn nul_may_be_asked_for() {
    let mut failed = Vec::new();
    for store in [Store::Sqlite, Store::Postgres] {
        let Some(collector) = Collector::start(store, json!({})).await else {
            continue;
        };
        collector.keep(Form::Headers, &Record::new()).await;
        for path in [
            "/api/records?machine_id=%00",
            "/api/records?classification=a/b/%00",
            "/v1/records?build=%00",
            "/v1/records?classification=a/%00/*",
            "/v1/records?project=%00",
            "/telemetryui/records/export/records-1.csv?build=%00",
            "/telemetryui/records/export/records-1.csv?system_name=%00",
            "/telemetryui/records/export/records-1.csv?machine_id=%00",
            "/telemetryui/records/export/records-1.csv?classification=%00",
        ] {
            let status = collector.get(path).await.status;
            let is_fine = [200, 400].contains(&status);
            failed.extend((!is_fine).then(|| format!("{store:?} {path}: {status}")));
        }
        collector.remove().await;
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
