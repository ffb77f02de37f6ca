//! The list by regular expressions on payloads: with the other filters, and over more records than are
//! looked at for one page. What an expression means is tried in `records_export.rs`.

use it::telemetrics::{Collector, Form, Record, Store};
use serde_json::{Value, json};

use crate::records_commands::shown;
use crate::records_list::ids;

/// More than are looked at for one page.
const HAY: i64 = 10_400;
/// However slow a machine is: a page gets further by a record at least, and mostly by thousands.
const PAGES_MAX: usize = 3_000;

async fn list(collector: &Collector, query: &str) -> Value {
    collector.json(&format!("/v1/records?{query}")).await
}

/// The records of all pages, and which of the pages were partial. On a machine that is slow just now
/// any page may be.
pub(crate) async fn all_pages(collector: &Collector, query: &str) -> (Vec<i64>, Vec<bool>) {
    let (mut seen, mut partial) = (Vec::new(), Vec::new());
    let mut before: Option<i64> = None;
    while partial.len() < PAGES_MAX {
        let on = before.map_or(String::new(), |before| format!("&before={before}"));
        // The cursor takes the place of where the first page began.
        let own = query
            .split('&')
            .filter(|pair| before.is_none() || !pair.starts_with("before="));
        let own = own.collect::<Vec<_>>().join("&");
        let page = list(collector, &format!("{own}{on}")).await;
        seen.extend(ids(&page));
        partial.push(page["is_partial"].as_bool().unwrap());
        let Some(next) = page["next"].as_i64() else {
            assert_eq!(page["is_partial"], false, "{query}");
            return (seen, partial);
        };
        assert!(before.is_none_or(|before| next < before), "{query}: {next}");
        before = Some(next);
    }
    panic!("{query}: no end after {PAGES_MAX} pages");
}

/// With every other filter, and with pages.
async fn filtered(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let mut all = Vec::new();
    for (number, class) in ["a/b/c", "a/b/d", "a/x/d"].repeat(4).iter().enumerate() {
        let record = Record::new()
            .set("classification", class)
            .set("severity", if number < 6 { "1" } else { "2" })
            .set("machine_id", format!("m{}", number % 2))
            .payload(format!("payload {number}: {class}\nsecond line"));
        all.push(collector.keep(Form::Headers, &record).await);
    }
    let of = |numbers: &[usize]| numbers.iter().map(|at| all[*at]).collect::<Vec<_>>();
    let (before, after) = (format!("before={}", all[10]), format!("after={}", all[3]));
    // payload [0-4]: and a/b
    let (low, b) = ("payload=payload%20%5B0-4%5D%3A", "payload=a%2Fb");
    for (query, expected) in [
        (low.to_owned(), of(&[4, 3, 2, 1, 0])),
        (format!("{low}&severity=2"), vec![]),
        (format!("{low}&machine_id=m1"), of(&[3, 1])),
        (format!("{low}&classification=a/b/*"), of(&[4, 3, 1, 0])),
        (format!("{low}&not_payload=a/b"), of(&[2])),
        (format!("{low}&text=second"), of(&[4, 3, 2, 1, 0])),
        (format!("{low}&{after}"), of(&[4])),
        (format!("{b}&{before}"), of(&[9, 7, 6, 4, 3, 1, 0])),
        (format!("{b}&{before}&{after}"), of(&[9, 7, 6, 4])),
        (format!("{b}&source=external"), vec![]),
        (format!("{b}&since=2999-01-01T00:00:00Z"), vec![]),
        (format!("{b}&project=nobody"), vec![]),
    ] {
        let (seen, _) = all_pages(&collector, &query).await;
        assert_eq!(seen, expected, "{query}");
    }
    let expected = of(&[10, 9, 7, 6, 4, 3, 1, 0]);
    for limit in [1, 3, 8, 9] {
        let (seen, _) = all_pages(&collector, &format!("{b}&limit={limit}")).await;
        assert_eq!(seen, expected, "limit {limit}");
    }
    // Nothing else has the word.
    for query in ["", "limit=3", "text=payload", "payload=&not_payload="] {
        let page = list(&collector, query).await;
        assert_eq!(page.get("is_partial"), None, "{query}");
    }
    let text = shown(&collector, &["ls", "--payload", "a/b", "--json"]);
    assert_eq!(lines(&text), expected);
    let text = shown(&collector, &["ls", "--not-payload", "a/b", "--json"]);
    assert_eq!(lines(&text), of(&[11, 8, 5, 2]));
    collector.remove().await;
}

/// The ids of records, one a line.
fn lines(text: &str) -> Vec<i64> {
    let lines = text.lines();
    let records = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    records
        .map(|record| record["id"].as_i64().unwrap())
        .collect()
}

#[tokio::test]
async fn expressions_go_with_all_filters_on_sqlite() {
    filtered(Store::Sqlite).await;
}

#[tokio::test]
async fn expressions_go_with_all_filters_on_postgresql() {
    filtered(Store::Postgres).await;
}

/// Makes so many copies of a record behind the collector's back, with the ids after its own.
async fn copy(collector: &Collector, id: i64, count: i64) {
    let columns = "project, received_at, created_at, severity, external, record_version, \
         payload_version, group_id, digest, payload_bytes, classification, machine_id, build, \
         system_name, event_id, arch, host_type, kernel_version, board_name, cpu_model, bios_version";
    let sql = format!(
        "WITH RECURSIVE numbers (number) AS \
             (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {count}) \
         INSERT INTO records (id, {columns}) \
             SELECT {id} + number, {columns} FROM records CROSS JOIN numbers \
         WHERE records.id = {id}"
    );
    let made = collector.execute(&sql).await;
    assert_eq!(i64::try_from(made), Ok(count));
    let sql = format!(
        "INSERT INTO record_payloads (id, body) SELECT records.id, record_payloads.body \
         FROM records CROSS JOIN record_payloads \
         WHERE records.id > {id} AND record_payloads.id = {id}"
    );
    assert_eq!(i64::try_from(collector.execute(&sql).await), Ok(count));
}

/// What fits stands behind more records than one page looks at: pages go on to the end, and lose and
/// repeat nothing.
async fn far_behind(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let needle = Record::new().payload("a needle");
    let first = collector.keep(Form::Headers, &needle).await;
    let hay = collector.keep(Form::Headers, &Record::new()).await;
    copy(&collector, hay, HAY).await;
    let last = HAY + hay;
    let needles = format!(
        "UPDATE record_payloads SET body = (SELECT body FROM record_payloads \
         WHERE id = {first}) WHERE id IN ({last}, {})",
        hay + 7
    );
    assert_eq!(collector.execute(&needles).await, 2);
    let expected = [last, hay + 7, first];
    for query in ["payload=needle", "not_payload=%5Ehello"] {
        let page = list(&collector, query).await;
        assert_eq!(
            ids(&page),
            [last],
            "{query}: what is found so far comes at once"
        );
        assert_eq!(page["is_partial"], true, "{query}");
        let next = page["next"].as_i64().unwrap();
        assert!((hay..=last).contains(&next), "{query}: {next}");
        let (seen, partial) = all_pages(&collector, query).await;
        assert_eq!(seen, expected, "{query}");
        let (end, before) = partial.split_last().unwrap();
        assert!(
            !end && before.iter().all(|is_partial| *is_partial),
            "{partial:?}"
        );
    }
    let (seen, _) = all_pages(&collector, "payload=hello&limit=1000").await;
    let all: Vec<i64> = (hay..last).rev().filter(|id| *id != hay + 7).collect();
    assert!(seen == all, "{} of {}", seen.len(), all.len());
    for words in [&["--all"][..], &["--limit", "3"], &["--limit", "7"]] {
        let words = [&["ls", "--payload", "needle", "--json"], words].concat();
        assert_eq!(lines(&shown(&collector, &words)), expected, "{words:?}");
    }
    collector.remove().await;
}

#[tokio::test]
async fn pages_of_expressions_go_on_to_the_end_on_sqlite() {
    far_behind(Store::Sqlite).await;
}

#[tokio::test]
async fn pages_of_expressions_go_on_to_the_end_on_postgresql() {
    far_behind(Store::Postgres).await;
}

/// What looks at no payloads says so instead of passing expressions over.
#[tokio::test]
async fn expressions_are_refused_elsewhere() {
    let collector = Collector::start_small(json!({})).await;
    for path in ["tail", "export", "machines", "machine-checks"] {
        for query in ["payload=a", "not_payload=a", "payload=%28"] {
            let reply = collector.get(&format!("/v1/records/{path}?{query}")).await;
            assert_eq!(reply.status, 400, "{path}?{query}");
        }
        let reply = collector
            .get(&format!("/v1/records/{path}?payload=a"))
            .await;
        let message = reply.json()["error"]["message"].clone();
        let why = "by expressions; leave `payload` and `not_payload` out";
        assert!(
            message.as_str().unwrap().ends_with(why),
            "{path}: {message}"
        );
    }
}
