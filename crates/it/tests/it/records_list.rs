//! `/v1/records` and what is counted of records: filters, pages, counts, choices and the population.

use futures_util::future::join_all;
use it::telemetrics::{self, Collector, EXTERNAL_HEADER, Form, Record, Store, TID, TID_HEADER};
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::records_commands::shown;
use crate::records_export::whole as exported;

const OTHER_TID: &str = "11111111-2222-3333-4444-555555555555";
const CRASH: &str = "Process: /usr/bin/app\nPID: 1\nSignal: 11\n\nBacktrace (TID 1):\n\
     #0 inner() - [/usr/bin/app]\n#1 main() - [/usr/bin/app]\n";

async fn start(store: Store) -> Option<Collector> {
    let projects = json!([
        {"name": "clear-linux", "tid": TID},
        {"name": "other", "tid": OTHER_TID},
    ]);
    Collector::start(store, json!({"projects": projects})).await
}

pub(crate) fn ids(page: &Value) -> Vec<i64> {
    let records = page["records"].as_array().unwrap().iter();
    records
        .map(|record| record["id"].as_i64().unwrap())
        .collect()
}

/// Four records, no two of which are alike in anything.
async fn four(collector: &Collector) -> [i64; 4] {
    let crash = Record::new()
        .set("classification", "org.clearlinux/crash/clr")
        .payload(CRASH);
    let ping = Record::new()
        .set("classification", "org.clearlinux/heartbeat/ping")
        .set("severity", "1")
        .set(EXTERNAL_HEADER, "true");
    let debian = Record::new()
        .set("classification", "org.clear/x/y")
        .set("severity", "3")
        .set("system_name", "debian")
        .set("build", "12")
        .set("host_type", "a|b|c")
        .set("machine_id", "m3");
    let other = Record::new()
        .set(TID_HEADER, OTHER_TID)
        .set("severity", "4");
    let mut kept = Vec::new();
    for record in [crash, ping, debian, other] {
        kept.push(collector.keep(Form::Headers, &record).await);
    }
    kept.try_into().unwrap()
}

/// Each filter alone, and two together.
async fn filters(store: Store) {
    let Some(collector) = start(store).await else {
        return;
    };
    let [crash, ping, debian, other] = four(&collector).await;
    let all = vec![other, debian, ping, crash];
    let first = collector.json(&format!("/v1/records/{crash}")).await;
    let event = format!("event_id={}", first["event_id"].as_str().unwrap());
    let group = format!("group={}", first["group"]);
    let (before, after) = (format!("before={debian}"), format!("after={ping}"));
    for (query, expected) in [
        ("", all.clone()),
        ("project=other", vec![other]),
        ("project=clear-linux&severity=1", vec![ping]),
        ("project=nobody", vec![]),
        ("classification=org.clear/x/y", vec![debian]),
        ("classification=org.clearlinux/*", vec![ping, crash]),
        ("classification=org.clearlinux/crash/*", vec![crash]),
        ("classification=org.nobody/*", vec![]),
        ("severity=3", vec![debian]),
        ("build=12", vec![debian]),
        ("system_name=debian", vec![debian]),
        ("machine_id=m3", vec![debian]),
        (&event, vec![crash]),
        (&group, vec![crash]),
        ("group=999", vec![]),
        ("source=external", vec![ping]),
        ("source=internal", vec![other, debian, crash]),
        ("since=2020-01-01T00:00:00Z", all.clone()),
        ("since=2999-01-01T00:00:00Z", vec![]),
        ("until=2020-01-01T00:00:00Z", vec![]),
        ("until=2999-01-01T00:00:00%2B01:00", all),
        (&before, vec![ping, crash]),
        (&after, vec![other, debian]),
        ("limit=2", vec![other, debian]),
    ] {
        let page = collector.json(&format!("/v1/records?{query}")).await;
        assert_eq!(ids(&page), expected, "{query}");
        let lines = exported(&collector, query).await;
        let lines: Vec<&Value> = lines.iter().map(|record| &record["id"]).collect();
        assert_eq!(lines, expected, "export?{query}");
    }
    for query in [
        "severity=0",
        "severity=5",
        "severity=x",
        "group=0",
        "source=x",
        "since=yesterday",
        "until=",
        "before=-1",
        "after=x",
        "limit=0",
        "limit=1001",
        "unknown=1",
        "classification=a*",
        "classification=*/x",
        &format!("build={}", "x".repeat(257)),
        &format!("project={}", "x".repeat(65)),
    ] {
        // An export has no pages.
        if query != "limit=1001" {
            let reply = collector.get(&format!("/v1/records/export?{query}")).await;
            assert_eq!(reply.status, 400, "export?{query}");
        }
        let reply = collector.get(&format!("/v1/records?{query}")).await;
        assert_eq!(reply.status, 400, "{query}");
        assert!(
            reply.json()["error"]["message"].is_string(),
            "{query}: {}",
            reply.text()
        );
    }
    for (path, status) in [
        ("/v1/records/0", 400),
        ("/v1/records/x", 400),
        ("/v1/records/999", 404),
    ] {
        assert_eq!(collector.get(path).await.status, status, "{path}");
    }
    collector.remove().await;
}

#[tokio::test]
async fn filters_give_what_fits_on_sqlite() {
    filters(Store::Sqlite).await;
}

#[tokio::test]
async fn filters_give_what_fits_on_postgresql() {
    filters(Store::Postgres).await;
}

/// A star stands for classes of which the first record came just now.
#[tokio::test]
async fn a_star_stands_for_what_is_new() {
    let collector = start(Store::Sqlite).await.unwrap();
    let record = |class| Record::new().set("classification", class);
    for class in ["a/first/x", "a/second/x"] {
        let id = collector.keep(Form::Headers, &record(class)).await;
        let page = collector.json("/v1/records?classification=a/*").await;
        assert_eq!(ids(&page).first(), Some(&id), "{class}");
    }
}

#[tokio::test]
async fn text_finds_words() {
    let collector = start(Store::Sqlite).await.unwrap();
    let [crash, ..] = four(&collector).await;
    let page = collector.json("/v1/records?text=Backtrace").await;
    assert_eq!(ids(&page), [crash]);
}

/// A summary says what lists show, and where the next page begins.
#[tokio::test]
async fn pages_follow_one_another() {
    let collector = start(Store::Sqlite).await.unwrap();
    let payload = "  one\n\ttwo  ".to_owned() + &"ü".repeat(500);
    let id = collector
        .keep(Form::Headers, &Record::new().payload(&payload))
        .await;
    let page = collector.json("/v1/records").await;
    let summary = &page["records"][0];
    let whole = collector.json(&format!("/v1/records/{id}")).await;
    for (key, value) in summary.as_object().unwrap() {
        assert_eq!(value, &whole[key], "{key}");
    }
    assert_eq!(
        summary["excerpt"],
        json!(format!("one two {}", "ü".repeat(112)))
    );
    assert_eq!(page["next"], Value::Null);
    let mut all = vec![id];
    for _ in 0..24 {
        all.insert(0, collector.keep(Form::Headers, &Record::new()).await);
    }
    for limit in [1, 4, 7, 25, 26] {
        let mut seen = Vec::new();
        let mut path = format!("/v1/records?limit={limit}");
        loop {
            let page = collector.json(&path).await;
            seen.extend(ids(&page));
            let Some(next) = page["next"].as_i64() else {
                break;
            };
            path = format!("/v1/records?limit={limit}&before={next}");
        }
        assert_eq!(seen, all, "limit {limit}");
    }
}

/// Records of a page when nobody says how many; the pages show as many of one event.
const PAGE: usize = 50;

/// Sends so many records of one event, and between them some of others; their ids, the newest first.
async fn send_event(collector: &Collector, event: &str, count: usize) -> Vec<i64> {
    let mut ids = Vec::new();
    while ids.len() < count {
        let now = (count - ids.len()).min(7);
        let records: Vec<Record> = (0..now)
            .map(|_| Record::new().set("event_id", event))
            .collect();
        let keep = |record| collector.keep(Form::Headers, record);
        let other = Record::new();
        let (new, _) =
            futures_util::future::join(join_all(records.iter().map(keep)), keep(&other)).await;
        ids.extend(new);
    }
    ids.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
    ids
}

/// The timeline of an event goes on from page to page, with each of its records once and no other.
async fn timeline(store: Store) {
    let Some(collector) = start(store).await else {
        return;
    };
    let event = telemetrics::event_id();
    let all = send_event(&collector, &event, 2 * PAGE + 20).await;
    let asked = format!("event_id={event}");
    let page = async |query: &str| collector.json(&format!("/v1/records?{query}")).await;
    let (mut seen, mut query) = (Vec::new(), asked.clone());
    for count in [PAGE, PAGE, 20] {
        let found = page(&query).await;
        assert_eq!(ids(&found).len(), count, "{query}");
        seen.extend(ids(&found));
        let next = (seen.len() < all.len()).then(|| *seen.last().unwrap());
        assert_eq!(found["next"], json!(next), "{query}");
        query = format!("{asked}&before={}", next.unwrap_or_default());
    }
    assert_eq!(seen, all);
    for id in [all[0], all[PAGE], *all.last().unwrap()] {
        let record = collector.json(&format!("/v1/records/{id}")).await;
        assert_eq!(record["event_id"], event);
    }
    // Those after one that the first page does not have.
    let found = page(&format!("{asked}&after={}", all[PAGE + 10])).await;
    assert_eq!(ids(&found), all[..PAGE]);
    let found = page(&format!("{asked}&after={}&limit=100", all[PAGE + 10])).await;
    assert_eq!(ids(&found), all[..PAGE + 10]);
    let found = page(&format!("{asked}&limit=1000")).await;
    assert_eq!((ids(&found), &found["next"]), (all.clone(), &Value::Null));
    let lines = exported(&collector, &asked).await;
    let lines: Vec<&Value> = lines.iter().map(|record| &record["id"]).collect();
    assert_eq!(lines, all);
    for (words, count) in [
        (&["--json"][..], PAGE),
        (&["--json", "--limit", "60"], 60),
        (&["--json", "--all"], all.len()),
    ] {
        let words = [&["ls", "--event-id", &event], words].concat();
        let text = shown(&collector, &words);
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let lines: Vec<Value> = lines.map(|record: Value| record["id"].clone()).collect();
        assert_eq!(lines, all[..count], "{words:?}");
    }
    collector.remove().await;
}

#[tokio::test]
async fn an_event_has_more_records_than_a_page_on_sqlite() {
    timeline(Store::Sqlite).await;
}

#[tokio::test]
async fn an_event_has_more_records_than_a_page_on_postgresql() {
    timeline(Store::Postgres).await;
}

/// A page that is just full is the last one, and one more record makes another.
async fn full_page(store: Store) {
    let Some(collector) = start(store).await else {
        return;
    };
    let event = telemetrics::event_id();
    let mut all = send_event(&collector, &event, PAGE).await;
    let path = format!("/v1/records?event_id={event}");
    let found = collector.json(&path).await;
    assert_eq!((ids(&found), &found["next"]), (all.clone(), &Value::Null));
    all.insert(0, send_event(&collector, &event, 1).await[0]);
    let found = collector.json(&path).await;
    assert_eq!(ids(&found), all[..PAGE]);
    assert_eq!(found["next"], all[PAGE - 1]);
    let rest = format!("{path}&before={}", all[PAGE - 1]);
    let rest = collector.json(&rest).await;
    assert_eq!((ids(&rest), &rest["next"]), (vec![all[PAGE]], &Value::Null));
    collector.remove().await;
}

#[tokio::test]
async fn a_full_page_of_an_event_is_the_last_on_sqlite() {
    full_page(Store::Sqlite).await;
}

#[tokio::test]
async fn a_full_page_of_an_event_is_the_last_on_postgresql() {
    full_page(Store::Postgres).await;
}

/// What is counted of records, and what filters may choose from.
async fn counted(store: Store) {
    let Some(collector) = start(store).await else {
        return;
    };
    four(&collector).await;
    let list = collector.json("/v1/records").await;
    let received = list["records"][0]["received_at"].as_str().unwrap();
    let (day, _) = received.split_once('T').unwrap();
    let host = "QEMU|Standard PC (Q35 + ICH9, 2009)|pc-q35-7.2";
    let classes = json!({
        "org.clearlinux/crash/clr": 1, "org.clearlinux/heartbeat/ping": 1, "org.clear/x/y": 1,
        "org.example/test/thing": 1,
    });
    for (query, by, counts) in [
        ("", "classification", classes.clone()),
        ("?by=classification", "classification", classes),
        (
            "?by=severity",
            "severity",
            json!({"1": 1, "2": 1, "3": 1, "4": 1}),
        ),
        ("?by=build", "build", json!({"34960": 3, "12": 1})),
        (
            "?by=system_name",
            "system_name",
            json!({"clear-linux-os": 3, "debian": 1}),
        ),
        (
            "?by=source",
            "source",
            json!({"internal": 3, "external": 1}),
        ),
        ("?by=host_type", "host_type", json!({host: 3, "a|b|c": 1})),
        ("?by=severity&project=other", "severity", json!({"4": 1})),
        (
            "?by=build&classification=org.clearlinux/*",
            "build",
            json!({"34960": 2}),
        ),
        (
            "?classification=org.clear/x/y",
            "classification",
            json!({"org.clear/x/y": 1}),
        ),
        (
            "?by=severity&since=2020-01-01T00:00:00Z&until=2999-01-01T00:00:00Z",
            "severity",
            json!({"1": 1, "2": 1, "3": 1, "4": 1}),
        ),
    ] {
        let found = collector.json(&format!("/v1/records/counts{query}")).await;
        let expected = json!({"by": by, "days": [{"day": day, "counts": counts}]});
        assert_eq!(found, expected, "{query}");
    }
    for query in [
        "until=2020-01-01T00:00:00Z",
        "since=2999-01-01T00:00:00Z",
        "project=nobody",
        "classification=org.nobody/*",
    ] {
        let found = collector.json(&format!("/v1/records/counts?{query}")).await;
        assert_eq!(found["days"], json!([]), "{query}");
    }
    for query in ["by=payload", "since=x", "unknown=1", "classification=a*"] {
        let status = collector
            .get(&format!("/v1/records/counts?{query}"))
            .await
            .status;
        assert_eq!(status, 400, "{query}");
    }
    let both = "/v1/records/counts?by=host_type&classification=a/b/c";
    assert_eq!(collector.get(both).await.status, 409);
    assert_choices(&collector).await;
    collector.remove().await;
}

/// The values of one project, those of more records first.
async fn assert_choices(collector: &Collector) {
    let mut choices = collector
        .json("/v1/records/choices?project=clear-linux")
        .await;
    // All of these are as frequent.
    let classifications = choices["classifications"].as_array_mut().unwrap();
    classifications.sort_by_key(ToString::to_string);
    let expected = json!({
        "projects": ["clear-linux"],
        "classifications": ["org.clear/x/y", "org.clearlinux/crash/clr", "org.clearlinux/heartbeat/ping"],
        "builds": [
            {"system_name": "clear-linux-os", "build": "34960"},
            {"system_name": "debian", "build": "12"},
        ],
        "system_names": ["clear-linux-os", "debian"],
    });
    assert_eq!(choices, expected);
}

#[tokio::test]
async fn records_are_counted_on_sqlite() {
    counted(Store::Sqlite).await;
}

#[tokio::test]
async fn records_are_counted_on_postgresql() {
    counted(Store::Postgres).await;
}

fn heartbeat(build: &str, machine: &str, external: &str) -> Record {
    Record::new()
        .set("classification", "org.clearlinux/heartbeat/ping")
        .set("build", build)
        .set("machine_id", machine)
        .set(EXTERNAL_HEADER, external)
}

fn row(build: &str, internal: i64, external: i64) -> Value {
    json!({"build": build, "internal": internal, "external": external, "crashed": 0})
}

/// A machine counts once for its build, however often it is heard.
async fn population(store: Store) {
    let Some(collector) = start(store).await else {
        return;
    };
    for (build, machine, external) in [
        ("9", "a", "false"),
        ("9", "a", "false"),
        ("9", "b", "false"),
        ("9", "c", "true"),
        ("34960", "a", "false"),
        ("34960", "d", "true"),
        ("34960", "e", "true"),
        ("34960", "e", "true"),
    ] {
        collector
            .keep(Form::Headers, &heartbeat(build, machine, external))
            .await;
    }
    collector
        .keep(
            Form::Headers,
            &Record::new().set("machine_id", "no heartbeat"),
        )
        .await;
    let builds = json!([row("9", 2, 1), row("34960", 1, 2)]);
    let windows = [0, 14, 7, 3, 1].map(|days| json!({"days": days, "builds": builds}));
    let found = collector.json("/v1/records/population").await;
    assert_eq!(found, json!({"windows": windows}));
    let other = collector.json("/v1/records/population?project=other").await;
    assert_eq!(other["windows"][0]["builds"], json!([]));
    collector.remove().await;
}

#[tokio::test]
async fn machines_are_counted_once_on_sqlite() {
    population(Store::Sqlite).await;
}

#[tokio::test]
async fn machines_are_counted_once_on_postgresql() {
    population(Store::Postgres).await;
}

/// A machine is in the windows that it was heard in last, and moves when it is heard again.
#[tokio::test]
async fn machines_are_in_the_windows_of_their_last_heartbeat() {
    let mut collector = start(Store::Sqlite).await.unwrap();
    collector
        .keep(Form::Headers, &heartbeat("1", "quiet", "false"))
        .await;
    collector
        .keep(Form::Headers, &heartbeat("1", "back", "false"))
        .await;
    let url = format!(
        "sqlite://{}",
        collector.program.path("data/state.db").display()
    );
    let mut state = sqlx::SqliteConnection::connect(&url).await.unwrap();
    for table in ["record_machines", "record_population"] {
        let sql = format!("UPDATE {table} SET last_day = last_day - 5");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .execute(&mut state)
            .await
            .unwrap();
    }
    state.close().await.unwrap();
    // It remembers whom it heard today.
    collector.program.signal(rustix::process::Signal::TERM);
    collector.program.wait_exit(it::wait::SOON).await;
    collector.program.restart();
    collector.program.ready().await;
    let machines = async || {
        let found = collector.json("/v1/records/population").await;
        let windows = found["windows"].as_array().unwrap().iter();
        let count = |window: &Value| window["builds"][0]["internal"].as_i64().unwrap_or(0);
        windows.map(count).collect::<Vec<_>>()
    };
    assert_eq!(machines().await, [2, 2, 2, 0, 0]);
    collector
        .keep(Form::Headers, &heartbeat("1", "back", "false"))
        .await;
    assert_eq!(machines().await, [2, 2, 2, 1, 1]);
}
