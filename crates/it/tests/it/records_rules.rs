//! Which valid records are kept: rates, the rules of a project, what was sent before, and to whom a
//! telemetry id belongs. Whatever is not kept is answered as if it were.

use std::time::{Duration, Instant};

use it::client::Reply;
use it::telemetrics::{Collector, Form, Record, Store, TID, TID_HEADER, event_id};
use it::wait;
use serde_json::{Value, json};

/// Another project's id.
const OTHER_TID: &str = "11111111-2222-3333-4444-555555555555";

fn outcome(reply: &Reply) -> (u16, String) {
    (reply.status, reply.header("landline-outcome"))
}

fn is(status: u16, word: &str) -> (u16, String) {
    (status, word.to_owned())
}

/// The default project with more keys.
fn project(more: Value) -> Value {
    let mut project = json!({"name": "clear-linux", "tid": TID});
    if let (Value::Object(project), Value::Object(more)) = (&mut project, more) {
        project.extend(more);
    }
    project
}

/// Sends one; what became of it has to be this, and it is there or not.
async fn check(collector: &Collector, record: &Record, expected: &str) {
    let reply = collector.post(Form::Headers, record).await;
    assert_eq!(outcome(&reply), is(201, expected), "{record:?}");
    let answer = reply.json();
    if expected != "quarantined" {
        assert_eq!(answer["event_id"], json!(record.event()));
        assert_eq!(answer["id"].is_null(), expected != "kept", "{answer}");
    }
    let path = format!("/v1/records?event_id={}", record.event());
    let found = collector.json(&path).await["records"]
        .as_array()
        .map(Vec::len);
    assert_eq!(found, Some(usize::from(expected == "kept")), "{record:?}");
}

/// A machine may send so many at once and so many in a minute; another one is not held up by it.
#[tokio::test]
async fn a_machine_has_a_rate() {
    let rate = json!({"machine_rate": {"per_minute": 20, "burst": 3}});
    let collector = Collector::start_small(rate).await;
    for expected in ["kept", "kept", "kept", "throttled", "throttled"] {
        check(&collector, &Record::new(), expected).await;
    }
    let other = || Record::new().set("machine_id", "other");
    check(&collector, &other(), "kept").await;
    let throttled = collector
        .program
        .metric("landline_records_total", &[("outcome", "throttled")])
        .await;
    assert!((throttled - 2.0).abs() < f64::EPSILON, "{throttled}");
    // One in 3 s.
    wait::until("there is room again", Duration::from_secs(8), async || {
        let reply = collector.post(Form::Json, &Record::new()).await;
        assert_eq!(reply.status, 201);
        (reply.header("landline-outcome") == "kept").then_some(())
    })
    .await;
}

/// By default a machine may send 240 at once.
#[tokio::test]
async fn a_machine_has_a_rate_by_default() {
    let configuration = json!({
        "roles": ["collector"],
        "listen": "127.0.0.1:0",
        "data_dir": "./data",
    });
    let program = it::program::Program::start(&configuration.to_string()).await;
    let mut kept = 0;
    for _ in 0..260 {
        let request = Record::new().request(Form::Headers);
        let reply = it::telemetrics::exchange(program.main, &request).await;
        assert_eq!(reply.status, 201);
        kept += usize::from(reply.header("landline-outcome") == "kept");
    }
    // Two more for each second that it took.
    assert!((240..260).contains(&kept), "{kept}");
}

/// What is too much of an invalid record is answered like what is too much of a valid one: a refusal
/// would hold up everything in the spool of its client.
#[tokio::test]
async fn too_many_invalid_records_are_answered() {
    let rate = json!({"machine_rate": {"per_minute": 1, "burst": 2}});
    let collector = Collector::start_small(rate).await;
    let invalid = || Record::new().set("kernel_version", "unknown");
    for _ in 0..2 {
        let reply = collector.post(Form::Headers, &invalid()).await;
        assert_eq!(outcome(&reply), is(201, "quarantined"));
    }
    let (_, newest) = collector.newest().await;
    let reply = collector.post(Form::Headers, &invalid()).await;
    assert_eq!(outcome(&reply), is(201, "throttled"), "{}", reply.text());
    assert_eq!(collector.newest().await.1, newest);
}

/// All machines of a project together have a rate; other projects have their own.
#[tokio::test]
async fn a_project_has_a_rate() {
    let rate = json!({"per_minute": 1, "burst": 2});
    let other = json!({"name": "other", "tid": OTHER_TID});
    let projects = json!([project(json!({"rate": rate})), other]);
    let collector = Collector::start_small(json!({"projects": projects})).await;
    for (machine, expected) in [("a", "kept"), ("b", "kept"), ("c", "throttled")] {
        let record = Record::new().set("machine_id", machine);
        check(&collector, &record, expected).await;
    }
    let record = Record::new().set(TID_HEADER, OTHER_TID);
    check(&collector, &record, "kept").await;
}

/// Rules decide in their order by class, severity, build and machine.
#[tokio::test]
async fn the_first_rule_decides() {
    let rules = json!([
        {"classification": "org.example/loud/*", "severity": 4, "action": "allow"},
        {"classification": "org.example/loud/*", "action": "drop"},
        {"build": "1*", "machine_id": "lab-*", "action": "defer"},
        {"machine_id": "lab-*", "action": "drop"},
        {"severity": 1, "classification": "*/late", "action": "drop"},
    ]);
    let projects = json!([project(json!({"rules": rules}))]);
    let collector = Collector::start_small(json!({"projects": projects})).await;
    let loud = || Record::new().set("classification", "org.example/loud/thing");
    let lab = || Record::new().set("machine_id", "lab-7");
    let late = || Record::new().set("classification", "a/b/late");
    for (record, expected) in [
        (loud().set("severity", "4"), "kept"),
        (loud(), "dropped"),
        (lab().set("build", "2"), "dropped"),
        (lab().set("build", "12"), "quarantined"),
        (late().set("severity", "1"), "dropped"),
        (late(), "kept"),
        (Record::new().set("machine_id", "office-lab-7"), "kept"),
    ] {
        check(&collector, &record, expected).await;
    }
    let deferred = collector.json("/v1/records/quarantine").await["submissions"][0].take();
    assert_eq!(deferred["reason"], "deferred");
    assert_eq!(deferred["fields"]["machine_id"], "lab-7");
}

/// A sample is by machine: one is in it with all it sends, or with nothing.
#[tokio::test]
async fn a_sample_is_of_machines() {
    let rules = json!([{"action": "sample", "one_of": 5}]);
    let projects = json!([project(json!({"rules": rules}))]);
    let collector = Collector::start_small(json!({"projects": projects})).await;
    let mut kept = 0;
    for number in 0..200 {
        let record = || Record::new().set("machine_id", format!("machine-{number}"));
        let first = outcome(&collector.post(Form::Headers, &record()).await);
        let second = outcome(&collector.post(Form::Json, &record()).await);
        assert_eq!(first, second, "machine {number}");
        assert!(
            first == is(201, "kept") || first == is(201, "sampled"),
            "{first:?}"
        );
        kept += usize::from(first.1 == "kept");
    }
    // 40 are expected; it is never further off than this, since the choice is by the names alone.
    assert!((20..60).contains(&kept), "{kept}");
}

/// What is sent again is kept once and answered with the id that it has, at once and after a restart;
/// the same by the other protocol is the same. What differs in anything its client chose is not.
async fn what_was_sent_before_is_known(store: Store) {
    let Some(mut collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let record = Record::new();
    let id = collector.keep(Form::Headers, &record).await;
    for form in [Form::Headers, Form::Json] {
        let reply = collector.post(form, &record).await;
        assert_eq!(outcome(&reply), is(201, "repeated"));
        assert_eq!(reply.json(), collector.original(id).await);
    }
    let now = "1700000001";
    for other in [
        record.clone().payload("other"),
        record.clone().set("event_id", event_id()),
        record.clone().set("creation_timestamp", now),
        record
            .clone()
            .set("classification", "org.example/other/thing"),
        record.clone().set("build", "34970"),
        record.clone().set("machine_id", "other"),
    ] {
        collector.keep(Form::Headers, &other).await;
    }
    let invalid = record.clone().set("severity", "9");
    let first = collector.post(Form::Headers, &invalid).await.json();
    let second = collector.post(Form::Headers, &invalid).await.json();
    assert_eq!(
        (&first["id"], &first["quarantined"]),
        (&second["id"], &json!(true))
    );
    collector.program.signal(rustix::process::Signal::TERM);
    assert_eq!(collector.program.wait_exit(wait::SOON).await, 0);
    collector.program.restart();
    collector.program.ready().await;
    let reply = collector.post(Form::Headers, &record).await;
    assert_eq!(
        (outcome(&reply), &reply.json()["id"]),
        (is(201, "repeated"), &json!(id))
    );
    let all = collector.json("/v1/records").await["records"]
        .as_array()
        .map(Vec::len);
    assert_eq!(all, Some(7));
    let at_once = Record::new();
    let posts = (0..8).map(|_| collector.post(Form::Headers, &at_once));
    let replies = futures_util::future::join_all(posts).await;
    let mut ids: Vec<i64> = replies
        .iter()
        .map(|reply| reply.json()["id"].as_i64().unwrap())
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let new = replies
        .iter()
        .filter(|reply| outcome(reply) == is(201, "kept"));
    assert_eq!(new.count(), 1);
    collector.remove().await;
}

#[tokio::test]
async fn what_was_sent_before_is_known_on_sqlite() {
    what_was_sent_before_is_known(Store::Sqlite).await;
}

#[tokio::test]
async fn what_was_sent_before_is_known_on_postgresql() {
    what_was_sent_before_is_known(Store::Postgres).await;
}

/// Who wants every one gets every one.
#[tokio::test]
async fn what_was_sent_before_may_be_kept_again() {
    let collector = Collector::start_small(json!({"drop_repeated": false})).await;
    let record = Record::new();
    let first = collector.keep(Form::Headers, &record).await;
    let second = collector.keep(Form::Headers, &record).await;
    assert_ne!(first, second);
    let path = format!("/v1/records?event_id={}", record.event());
    assert_eq!(
        collector.json(&path).await["records"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    let invalid = record.set("severity", "9");
    for _ in 0..2 {
        assert_eq!(collector.post(Form::Headers, &invalid).await.status, 201);
    }
    let quarantine = collector.json("/v1/records/quarantine").await;
    assert_eq!(quarantine["submissions"].as_array().map(Vec::len), Some(2));
}

/// The telemetry id says whose a record is; who is not in the list of projects is nobody.
#[tokio::test]
async fn records_belong_to_projects() {
    let projects = json!([
        {"name": "ours", "tid": OTHER_TID},
        {"name": "theirs", "tid": "Any.visible~text"},
    ]);
    let collector = Collector::start_small(json!({"projects": projects})).await;
    let of = |tid: &str| Record::new().set(TID_HEADER, tid);
    for (tid, name, form) in [
        (OTHER_TID, "ours", Form::Headers),
        ("Any.visible~text", "theirs", Form::Json),
    ] {
        let id = collector.keep(form, &of(tid)).await;
        let shown = collector.json(&format!("/v1/records/{id}")).await;
        assert_eq!(shown["project"], json!(name));
        let list = collector.json(&format!("/v1/records?project={name}")).await;
        assert_eq!(list["records"].as_array().map(Vec::len), Some(1));
        assert_eq!(list["records"][0]["id"], json!(id));
    }
    // The same record of another project is another record.
    let record = of(OTHER_TID);
    let first = collector.keep(Form::Headers, &record).await;
    let second = record.set(TID_HEADER, "Any.visible~text");
    assert_ne!(first, collector.keep(Form::Headers, &second).await);
    for tid in [TID, "any.visible~text"] {
        let reply = collector.post(Form::Headers, &of(tid)).await;
        assert_eq!(
            (reply.status, reply.json()["message"].as_str()),
            (400, Some("Telemetry ID mismatch"))
        );
    }
    assert_eq!(
        collector.json("/v1/records?project=nobody").await["records"],
        json!([])
    );
}

/// How long it takes to keep so many records, one after the other.
async fn time_to_keep(collector: &Collector, count: usize, event: Option<&str>) -> Duration {
    let begun = Instant::now();
    for _ in 0..count {
        let record = match event {
            Some(event) => Record::new().set("event_id", event),
            None => Record::new(),
        };
        collector.keep(Form::Headers, &record).await;
    }
    begun.elapsed()
}

/// Somebody who sends everything under one event id does not make the collector slow: whether a
/// record was sent before costs the same for the thousandth of an event as for the first.
#[tokio::test]
async fn an_event_may_have_many_records() {
    let collector = Collector::start_small(json!({})).await;
    let event = event_id();
    for _ in 0..200 {
        let posts = (0..8).map(|_| Record::new().set("event_id", &event));
        let posts: Vec<Record> = posts.collect();
        let posts = posts
            .iter()
            .map(|record| collector.keep(Form::Headers, record));
        futures_util::future::join_all(posts).await;
    }
    let usual = time_to_keep(&collector, 100, None).await;
    let many = time_to_keep(&collector, 100, Some(&event)).await;
    assert!(many < usual * 3, "{many:?} instead of {usual:?}");
}
