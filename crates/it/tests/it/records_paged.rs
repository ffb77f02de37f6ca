//! Lists that are not sorted by ids alone, page by page: each of their things comes once. And the
//! quarantine by time.

use futures_util::future::join_all;
use it::telemetrics::{Collector, Form, Record, Store};
use serde_json::{Value, json};

use crate::records_commands::shown;

/// Machines of one answer.
const MACHINES_MAX: usize = 200;
/// No list here has as many pages.
const PAGES_MAX: usize = 20;

fn crash(function: &str) -> Record {
    let payload = format!(
        "Process: /usr/bin/app\nPID: 7\nSignal: 11\n\n\
         #0 {function}() - [/usr/bin/app] - app.c:1\n#1 main() - [/usr/bin/app] - app.c:2\n"
    );
    let record = Record::new().set("classification", "org.clearlinux/crash/clr");
    record.set("severity", "3").payload(payload)
}

/// As it stands in an address.
fn escaped(text: &str) -> String {
    let bytes = text.bytes().map(|byte| format!("%{byte:02x}"));
    bytes.collect()
}

/// All pages of a list, and what each of them has.
async fn pages(collector: &Collector, (path, key): (&str, &str)) -> Vec<Vec<Value>> {
    let mut pages: Vec<Vec<Value>> = Vec::new();
    let mut asked = path.to_owned();
    while pages.len() < PAGES_MAX {
        let page = collector.json(&asked).await;
        pages.push(page[key].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else {
            assert_eq!(page["next"], Value::Null, "{asked}");
            return pages;
        };
        let mark = if path.contains('?') { '&' } else { '?' };
        asked = format!("{path}{mark}cursor={}", escaped(next));
    }
    panic!("{path}: no end after {PAGES_MAX} pages");
}

/// Texts that are no cursor, where there is one and where there is none.
async fn assert_refused(collector: &Collector, path: &str, cursors: &[&str]) {
    for cursor in cursors {
        let asked = format!("{path}?cursor={}", escaped(cursor));
        let reply = collector.get(&asked).await;
        assert_eq!(reply.status, 400, "{asked}: {}", reply.text());
    }
}

/// Groups come with most records first, and those with as many by their ids.
async fn groups(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let counts = [2, 1, 3, 1, 2, 1, 1];
    for (number, count) in counts.iter().enumerate() {
        let crash = |_| {
            crash(&format!(
                "function{}",
                ["a", "b", "c", "d", "e", "f", "g"][number]
            ))
        };
        for record in (0..*count).map(crash) {
            let build = if number % 2 == 0 { "100" } else { "200" };
            let record = record.set("build", build);
            collector.keep(Form::Headers, &record).await;
        }
    }
    let path = "/v1/records/groups";
    let all = pages(&collector, (path, "groups")).await.concat();
    assert_eq!(all.len(), counts.len());
    let place = |group: &Value| (group["count"].as_i64(), group["id"].as_i64());
    assert!(all.is_sorted_by(|one, other| place(one) > place(other)));
    for limit in [1, 2, 3, 6, 7, 8] {
        let limited = format!("{path}?limit={limit}");
        let found = pages(&collector, (&limited, "groups")).await;
        assert_eq!(found.concat(), all, "limit {limit}");
        let (last, full) = found.split_last().unwrap();
        assert!(!last.is_empty() && full.iter().all(|page| page.len() == limit));
    }
    let odd = pages(
        &collector,
        ("/v1/records/groups?build=200&limit=2", "groups"),
    )
    .await;
    let expected: Vec<Value> = all
        .iter()
        .filter(|group| !group["builds"]["200"].is_null())
        .cloned()
        .collect();
    assert_eq!((odd.concat(), expected.len()), (expected, 3));
    // A group that gets more records meanwhile moves no other.
    let first = collector.json("/v1/records/groups?limit=3").await;
    let next = first["next"].as_str().unwrap();
    collector.keep(Form::Headers, &crash("functionc")).await;
    let rest = collector.json(&format!("{path}?cursor={next}")).await;
    assert_eq!(rest["groups"].as_array().unwrap()[..], all[3..]);
    let wrong = [
        "", "x", "1", "1-", "0-1", "1-0", "1-1-1", "-1-1", "01-1", "1-+1",
    ];
    assert_refused(&collector, path, &wrong).await;
    collector.remove().await;
}

#[tokio::test]
async fn groups_come_once_page_by_page_on_sqlite() {
    groups(Store::Sqlite).await;
}

#[tokio::test]
async fn groups_come_once_page_by_page_on_postgresql() {
    groups(Store::Postgres).await;
}

/// All machines of the newest records, though others come meanwhile, and those of the records before.
async fn machines(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let oldest = Record::new().set("machine_id", "oldest");
    collector.keep(Form::Headers, &oldest).await;
    let more = MACHINES_MAX + 40;
    let records: Vec<Record> = (0..more + 10)
        .map(|number| Record::new().set("machine_id", format!("m-{:03} x", number % more)))
        .collect();
    for some in records.chunks(8) {
        let kept = some
            .iter()
            .map(|record| collector.keep(Form::Headers, record));
        join_all(kept).await;
    }
    let path = format!("/v1/records/machines?limit={}", more + 10);
    let first = collector.json(&path).await;
    assert_eq!(first["count"], more, "{}", first["next"]);
    assert_eq!(
        first["machines"].as_array().map(Vec::len),
        Some(MACHINES_MAX)
    );
    let next = escaped(first["next"].as_str().unwrap());
    // They would be the first, and would take the place of others.
    for _ in 0..5 {
        collector
            .keep(Form::Headers, &Record::new().set("machine_id", "late"))
            .await;
    }
    let second = collector.json(&format!("{path}&cursor={next}")).await;
    assert_eq!(
        (&second["count"], &second["next"]),
        (&json!(more), &Value::Null)
    );
    let both = [&first["machines"], &second["machines"]];
    let both: Vec<&Value> = both
        .iter()
        .flat_map(|page| page.as_array().unwrap())
        .collect();
    let mut names: Vec<String> = both
        .iter()
        .map(|one| one["machine_id"].to_string())
        .collect();
    let place = |one: &&Value| std::cmp::Reverse(one["records"].as_i64());
    assert!(both.is_sorted_by_key(place));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), more);
    assert!(both.iter().all(|one| one["machine_id"] != "late"));
    // The records that were not looked at.
    assert_eq!(
        (&first["has_more"], &second["before"]),
        (&json!(true), &first["before"])
    );
    for list in ["machines", "machine-checks"] {
        let path = format!("/v1/records/{list}?before={}", first["before"]);
        let before = collector.json(&path).await;
        assert_eq!(before["looked_at"], 1, "{before}");
        assert_eq!(
            (&before["has_more"], &before["before"]),
            (&json!(false), &Value::Null)
        );
    }
    let wrong = ["", "x", "1-1", "0-1-m", "1-0-m", "1-10000-m", "1-1-\0"];
    assert_refused(&collector, "/v1/records/machines", &wrong).await;
    for list in ["", "/tail", "/export", "/machine-checks"] {
        assert_refused(&collector, &format!("/v1/records{list}"), &["1-1-m"]).await;
    }
    collector.remove().await;
}

#[tokio::test]
async fn machines_come_once_page_by_page_on_sqlite() {
    machines(Store::Sqlite).await;
}

#[tokio::test]
async fn machines_come_once_page_by_page_on_postgresql() {
    machines(Store::Postgres).await;
}

/// Imports, of which some went on in the same moment.
async fn imports(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let sql = "INSERT INTO record_imports (source, project, state, new_ids, last_id, records, \
             reached, kept, quarantined, begun_at, changed_at) \
         SELECT 'source ' || number, tid, 'done', 0, 9, 9, 9, 9, 0, 5, 1000000 + number / 3 * 1000 \
         FROM (SELECT MIN(id) AS tid FROM record_projects) AS project CROSS JOIN \
             (SELECT 1 AS number UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 \
              UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7) AS numbers";
    assert_eq!(collector.execute(sql).await, 7);
    let path = "/v1/records/imports";
    let all = pages(&collector, (path, "imports")).await.concat();
    assert_eq!(all.len(), 7);
    let place = |import: &Value| (import["changed_at"].to_string(), import["id"].as_i64());
    assert!(all.is_sorted_by(|one, other| place(one) > place(other)));
    for limit in [1, 2, 3, 7, 8] {
        let limited = format!("{path}?limit={limit}");
        let found = pages(&collector, (&limited, "imports")).await;
        assert_eq!(found.concat(), all, "limit {limit}");
        assert_eq!(found.len(), 7_usize.div_ceil(limit), "limit {limit}");
    }
    assert_refused(&collector, path, &["", "x", "1", "0-1", "1-1-1"]).await;
    for query in ["limit=0", "limit=1001", "unknown=1"] {
        let reply = collector.get(&format!("{path}?{query}")).await;
        assert_eq!(reply.status, 400, "{query}");
    }
    collector.remove().await;
}

#[tokio::test]
async fn imports_come_once_page_by_page_on_sqlite() {
    imports(Store::Sqlite).await;
}

#[tokio::test]
async fn imports_come_once_page_by_page_on_postgresql() {
    imports(Store::Postgres).await;
}

/// Puts five submissions into quarantine: at 2100-01-01T00:10:00Z and every minute after it, which
/// is not old. Their ids, the newest first.
async fn submissions(collector: &Collector) -> Vec<i64> {
    for _ in 0..5 {
        let wrong = Record::new().set("severity", "9");
        let reply = collector.post(Form::Headers, &wrong).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
    let page = collector.json("/v1/records/quarantine").await;
    let list = page["submissions"].as_array().unwrap().iter();
    let ids = list.map(|submission| submission["id"].as_i64().unwrap());
    let ids: Vec<i64> = ids.collect();
    for (minute, id) in (0..).zip(ids.iter().rev()) {
        let time = 4_102_445_400_000_i64 + 60_000 * minute;
        let sql = format!("UPDATE record_quarantine SET received_at = {time} WHERE id = {id}");
        assert_eq!(collector.execute(&sql).await, 1);
    }
    ids
}

/// What was received in a time: its beginning is in it, its end is not.
async fn quarantine(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let all = submissions(&collector).await;
    let path = "/v1/records/quarantine";
    let listed = async |query: &str| {
        let page = collector.json(&format!("{path}?{query}")).await;
        let list = page["submissions"].as_array().unwrap().iter();
        let ids = list.map(|submission| submission["id"].as_i64().unwrap());
        (ids.collect::<Vec<_>>(), page["next"].as_i64())
    };
    let [five, four, three, two, one] = all[..] else {
        panic!("{all:?}");
    };
    let at = |minute: u32| format!("2100-01-01T00:{minute}:00Z");
    for (query, expected) in [
        (format!("since={}", at(10)), all.clone()),
        (format!("since={}", at(12)), vec![five, four, three]),
        (
            "since=2100-01-01T00:12:00.001Z".to_owned(),
            vec![five, four],
        ),
        (
            "since=2100-01-01T02:13:00%2B02:00".to_owned(),
            vec![five, four],
        ),
        (format!("until={}", at(12)), vec![two, one]),
        (format!("until={}", at(10)), vec![]),
        (
            format!("since={}&until={}", at(11), at(13)),
            vec![three, two],
        ),
        (format!("from={}&to={}", at(11), at(13)), vec![three, two]),
        (format!("since={}&until={}", at(13), at(11)), vec![]),
        (format!("until={}&before={two}", at(12)), vec![one]),
        (format!("since={}&project=nobody", at(10)), vec![]),
    ] {
        assert_eq!(listed(&query).await, (expected, None), "{query}");
    }
    let window = format!("since={}&until={}&limit=2", at(10), at(13));
    assert_eq!(listed(&window).await, (vec![three, two], Some(two)));
    let rest = format!("{window}&before={two}");
    assert_eq!(listed(&rest).await, (vec![one], None));
    for query in [
        "since=yesterday",
        "until=",
        "from=x",
        "to=x",
        "since=2100-01-01",
    ] {
        let reply = collector.get(&format!("{path}?{query}")).await;
        assert_eq!(reply.status, 400, "{query}");
    }
    let (since, until) = (at(11), at(13));
    let words = [
        "quarantine",
        "ls",
        "--since",
        &since,
        "--until",
        &until,
        "--json",
    ];
    let text = shown(&collector, &words);
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<Value> = lines.map(|line: Value| line["id"].clone()).collect();
    assert_eq!(lines, [three, two]);
    collector.remove().await;
}

#[tokio::test]
async fn quarantine_is_listed_by_time_on_sqlite() {
    quarantine(Store::Sqlite).await;
}

#[tokio::test]
async fn quarantine_is_listed_by_time_on_postgresql() {
    quarantine(Store::Postgres).await;
}
