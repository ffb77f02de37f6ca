//! Records as the original exports them: its address, columns and escapes; and whole records, one a line.

use it::client::Reply;
use it::telemetrics::{Collector, EXTERNAL_HEADER, Form, Record, Store};
use it::wait::SOON;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::records_api::fill;
use crate::records_payloads::all_pages;

const COLUMNS: &str = "\"id\",\"external\",\"server_timestamp\",\"severity\",\"classification\",\"build\",\"machine_id\",\"payload\"";

async fn export(collector: &Collector, query: &str) -> Reply {
    let path = format!("/telemetryui/records/export/records-7.csv?{query}");
    collector.get(&path).await
}

/// The ids of the rows, after the columns.
async fn exported(collector: &Collector, query: &str) -> Vec<i64> {
    let reply = export(collector, query).await;
    assert_eq!(reply.status, 200, "{query}: {}", reply.text());
    let text = reply.text();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(COLUMNS));
    let id = |line: &str| line.split('"').nth(1).unwrap().parse().unwrap();
    lines.map(id).collect()
}

/// Rows as Python's `unicode-escape` and a spreadsheet read them.
async fn rows(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let record = Record::new()
        .set(EXTERNAL_HEADER, "true")
        .set("machine_id", "a\"b")
        .payload("a \"b\"\n\tc\\ é € 😀\0,=1+1\r\n");
    let id = collector.keep(Form::Headers, &record).await;
    let received = collector.original(id).await["ts_reception"]
        .as_str()
        .unwrap()
        .to_owned();
    let row = format!(
        "\"{id}\",\"True\",\"{received}\",\"2\",\"org.example/test/thing\",\"34960\",\"a\"\"b\",\
         \"a \"\"b\"\"\\n\\tc\\\\ \\xe9 \\u20ac \\U0001f600\\x00,=1+1\\r\\n\"\n"
    );
    let attached = export(&collector, "format_type=attach").await;
    assert_eq!(attached.text(), format!("{COLUMNS}\n{row}"));
    assert_eq!(
        attached.header("content-disposition"),
        "attachment; filename=export-7.csv"
    );
    assert!(
        attached.header("content-type").starts_with("text/csv"),
        "{:?}",
        attached.headers
    );
    let inline = export(&collector, "format_type=inline").await;
    assert_eq!(inline.text(), attached.text());
    assert_eq!(inline.header("content-disposition"), "");
    assert!(
        inline.header("content-type").starts_with("text/plain"),
        "{:?}",
        inline.headers
    );
    // The original fails without a word about it.
    assert_eq!(
        export(&collector, "").await.header("content-disposition"),
        attached.header("content-disposition")
    );
    collector.remove().await;
}

#[tokio::test]
async fn rows_are_those_of_the_original_on_sqlite() {
    rows(Store::Sqlite).await;
}

#[tokio::test]
async fn rows_are_those_of_the_original_on_postgresql() {
    rows(Store::Postgres).await;
}

/// The filters of the original's form.
#[tokio::test]
async fn rows_are_filtered() {
    let collector = Collector::start_small(json!({})).await;
    let mut all = Vec::new();
    for (severity, class, system, external, created) in [
        ("1", "a/b/c", "debian", "true", "1700000000"),
        ("2", "a/b/d", "arch", "false", "1700086400"),
        ("2", "a/x/d", "debian", "false", "253402300800"),
    ] {
        let record = Record::new()
            .set("severity", severity)
            .set("classification", class)
            .set("system_name", system)
            .set(EXTERNAL_HEADER, external)
            .set("creation_timestamp", created);
        all.push(collector.keep(Form::Headers, &record).await);
    }
    let [one, two, three] = all[..] else {
        unreachable!()
    };
    for (query, expected) in [
        ("", vec![three, two, one]),
        ("severity=2", vec![three, two]),
        ("system_name=debian&build=34960", vec![three, one]),
        ("classification=a/b/c", vec![one]),
        ("classification=a/b/*", vec![two, one]),
        ("classification=a/*", vec![three, two, one]),
        ("machine_id=nobody", vec![]),
        ("machine_id=&build=&severity=", vec![three, two, one]),
        ("data_source=external", vec![one]),
        ("data_source=internal", vec![three, two]),
        ("data_source=all", vec![three, two, one]),
        ("from_date=2023-11-15", vec![three, two]),
        ("to_date=2023-11-14", vec![one]),
        ("from_date=2023-11-15&to_date=2023-11-15", vec![two]),
    ] {
        assert_eq!(exported(&collector, query).await, expected, "{query}");
    }
    for query in [
        "format_type=x",
        "severity=x",
        "data_source=x",
        "from_date=x",
        "to_date=2023-13-01",
        "classification=*",
    ] {
        assert_eq!(export(&collector, query).await.status, 400, "{query}");
    }
}

/// Payloads that fit an expression, and those that don't fit another: over all of their lines, with case.
async fn by_payload(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let mut all = Vec::new();
    for payload in [
        "alpha one",
        "beta two\nsecond line",
        "Alpha café (x)",
        "gamma 42",
        "x\0y",
    ] {
        let record = Record::new().payload(payload);
        all.insert(0, collector.keep(Form::Headers, &record).await);
    }
    let [nul, gamma, cafe, beta, alpha] = all[..] else {
        unreachable!()
    };
    for (query, expected) in [
        ("payload=alpha", vec![alpha]),
        // (?i)alpha, ^[aA]lpha, caf. \(x\), \d{2}, one|42
        ("payload=%28%3Fi%29alpha", vec![cafe, alpha]),
        ("payload=%5E%5BaA%5Dlpha", vec![cafe, alpha]),
        ("payload=caf.%20%5C%28x%5C%29", vec![cafe]),
        ("payload=%5Cd%7B2%7D", vec![gamma]),
        ("payload=one%7C42", vec![gamma, alpha]),
        // Its end is that of the payload: two$, and (?m)two$
        ("payload=two%24", vec![]),
        ("payload=%28%3Fm%29two%24", vec![beta]),
        ("payload=two%0Asecond", vec![beta]),
        ("payload=x%00y", vec![nul]),
        ("payload=nowhere", vec![]),
        ("not_payload=alpha", vec![nul, gamma, cafe, beta]),
        // ^(alpha|beta)
        ("not_payload=%5E%28alpha%7Cbeta%29", vec![nul, gamma, cafe]),
        ("not_payload=nowhere", all.clone()),
        // An empty expression fits everything.
        ("not_payload=%28%29", vec![]),
        ("payload=a&not_payload=one%7Ctwo", vec![gamma, cafe]),
        ("payload=alpha&not_payload=alpha", vec![]),
        ("payload=&not_payload=", all.clone()),
        ("payload=alpha&severity=3", vec![]),
        ("payload=alpha&severity=2", vec![alpha]),
        ("text=gamma&payload=42", vec![gamma]),
        ("text=gamma&payload=alpha", vec![]),
        ("payload=alpha&format_type=inline", vec![alpha]),
    ] {
        assert_eq!(exported(&collector, query).await, expected, "{query}");
        // The list has the same expressions, but no form of a file.
        if !query.contains("format_type") && !query.contains("payload=&") {
            let (listed, _) = all_pages(&collector, query).await;
            assert_eq!(listed, expected, "{query}");
        }
    }
    collector.remove().await;
}

#[tokio::test]
async fn rows_are_chosen_by_their_payload_on_sqlite() {
    by_payload(Store::Sqlite).await;
}

#[tokio::test]
async fn rows_are_chosen_by_their_payload_on_postgresql() {
    by_payload(Store::Postgres).await;
}

/// What fits comes also when it stands behind more of what does not than is read at a time.
async fn far_behind(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let needle = Record::new().payload("a needle");
    let needle = collector.keep(Form::Headers, &needle).await;
    fill(&collector, 1_050).await;
    for query in ["payload=needle", "not_payload=%5Ehello"] {
        assert_eq!(exported(&collector, query).await, [needle], "{query}");
        let inline = format!("{query}&format_type=inline");
        assert_eq!(exported(&collector, &inline).await, [needle], "{inline}");
    }
    let hay = exported(&collector, "payload=%5Ehello").await;
    assert_eq!((hay.len(), hay.contains(&needle)), (1_050, false));
    collector.remove().await;
}

#[tokio::test]
async fn rows_far_behind_are_found_on_sqlite() {
    far_behind(Store::Sqlite).await;
}

#[tokio::test]
async fn rows_far_behind_are_found_on_postgresql() {
    far_behind(Store::Postgres).await;
}

/// What is no expression, or too large as one, is refused with its name and the reason.
#[tokio::test]
async fn wrong_expressions_are_refused() {
    let collector = Collector::start_small(json!({})).await;
    collector.keep(Form::Headers, &Record::new()).await;
    for (expression, why) in [
        ("%28", "unclosed group"),
        ("%29", "unopened group"),
        ("%5B", "unclosed character class"),
        ("%2A", "repetition operator missing expression"),
        ("%5C", "incomplete escape sequence"),
        ("a%7B2%2C1%7D", "invalid repetition count range"),
        // PostgreSQL knows these two: (?=a) and (a)\1
        ("%28%3F%3Da%29", "look-around"),
        ("%28a%29%5C1", "backreferences are not supported"),
        // \w{1000}
        ("%5Cw%7B1000%7D", "size limit"),
    ] {
        for name in ["payload", "not_payload"] {
            let query = format!("{name}={expression}");
            let reply = export(&collector, &query).await;
            let text = reply.text();
            assert_eq!(reply.status, 400, "{query}: {text}");
            assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
            let begin = format!("{name} is no regular expression: ");
            assert!(text.starts_with(&begin), "{query}: {text}");
            assert!(text.contains(why), "{query}: {text}");
            let listed = collector.get(&format!("/v1/records?{query}")).await;
            assert_eq!(listed.status, 400, "{query}: {}", listed.text());
            let message = listed.json()["error"]["message"].clone();
            assert_eq!(message.as_str(), Some(text.trim_end()), "{query}");
        }
    }
    assert_eq!(exported(&collector, "payload=hello").await.len(), 1);
}

/// What reads exports ahead does not hold up an exit.
#[tokio::test]
async fn nothing_is_late_at_the_exit() {
    for signal in [Signal::TERM, Signal::QUIT] {
        let mut collector = Collector::start_small(json!({})).await;
        collector
            .keep(Form::Headers, &Record::new().set("machine_id", "m"))
            .await;
        assert_eq!(exported(&collector, "").await.len(), 1);
        collector.program.signal(signal);
        assert_eq!(collector.program.wait_exit(SOON).await, 0);
        let log = collector.program.stderr();
        assert!(!log.contains("late at the exit"), "{log}");
        collector.remove().await;
    }
}

/// Only names as the original's are exports.
#[tokio::test]
async fn other_names_are_nothing() {
    let collector = Collector::start_small(json!({})).await;
    for name in [
        "records-.csv",
        "records-1.json",
        "records-x.csv",
        "records--1.csv",
        "x.csv",
        "records-1.csv.gz",
    ] {
        let path = format!("/telemetryui/records/export/{name}?format_type=attach");
        assert_eq!(collector.get(&path).await.status, 404, "{name}");
    }
    let path = format!("/telemetryui/records/export/records-{}.csv", "9".repeat(30));
    assert_eq!(collector.get(&path).await.status, 200);
}

/// What is long comes whole.
#[tokio::test]
async fn all_rows_come() {
    let collector = Collector::start_small(json!({})).await;
    fill(&collector, 1_700).await;
    let ids = exported(&collector, "format_type=attach").await;
    assert_eq!((ids.len(), ids.is_sorted_by(|a, b| a > b)), (1_700, true));
}

/// The whole records that this asks for.
pub(crate) async fn whole(collector: &Collector, query: &str) -> Vec<Value> {
    let reply = collector.get(&format!("/v1/records/export?{query}")).await;
    assert_eq!(reply.status, 200, "{query}: {}", reply.text());
    assert_eq!(reply.header("content-type"), "application/x-ndjson");
    let text = reply.text();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Many whole records come on one answer, also those that a search finds, which is made in parts; and an
/// export goes on where another one ended.
async fn many(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let odd = "a \"line\"\n\u{2028} with \u{e9} and \u{1}, and a rareword\n";
    let mut odd_ids = Vec::new();
    for size in [0, 100_000, 600_000, 300_000] {
        let record = Record::new().payload(odd.to_owned() + &"x".repeat(size));
        odd_ids.insert(0, collector.keep(Form::Headers, &record).await);
        fill(&collector, 400).await;
    }
    let all = whole(&collector, "").await;
    let ids = |records: &[Value]| {
        let ids = records.iter().map(|record| record["id"].as_i64().unwrap());
        ids.collect::<Vec<i64>>()
    };
    let is_sorted = ids(&all).is_sorted_by(|one, other| one > other);
    assert_eq!((all.len(), is_sorted), (1_604, true));
    for text in ["text=rareword", "text=RareWord+line"] {
        let found = whole(&collector, text).await;
        assert_eq!(ids(&found), odd_ids, "{text}");
    }
    assert_eq!(whole(&collector, "text=hello").await.len(), 1_600);
    assert!(whole(&collector, "text=nowhere").await.is_empty());
    let found = whole(&collector, "text=rareword").await;
    for record in &found {
        let path = format!("/v1/records/{}", record["id"]);
        let mut one = collector.json(&path).await;
        let one = one.as_object_mut().unwrap();
        assert!(one.remove("excerpt").is_some() && one.remove("why_grouped").is_some());
        assert!(record.as_object().unwrap() == one, "{path}");
        assert!(record["payload"].as_str().unwrap().starts_with(odd));
    }
    for query in ["limit=700", "limit=700&text=hello", "limit=1"] {
        let first = whole(&collector, query).await;
        let last = ids(&first).pop().unwrap();
        let rest = query.split_once('&').map_or("", |(_, text)| text);
        let rest = whole(&collector, &format!("before={last}&{rest}")).await;
        let both = [ids(&first), ids(&rest)].concat();
        let expected = whole(
            &collector,
            query.split_once('&').map_or("", |(_, text)| text),
        )
        .await;
        assert_eq!(both, ids(&expected), "{query}");
    }
    for wrong in ["limit=0", "limit=10000001", "text=a", "order=1"] {
        let path = format!("/v1/records/export?{wrong}");
        assert_eq!(collector.get(&path).await.status, 400, "{wrong}");
    }
    collector.remove().await;
}

#[tokio::test]
async fn whole_records_come_on_one_answer_on_sqlite() {
    many(Store::Sqlite).await;
}

#[tokio::test]
async fn whole_records_come_on_one_answer_on_postgresql() {
    many(Store::Postgres).await;
}
