//! Records come to other groups: when groups become one and are split again, when a frame is never guilty
//! from now on, and out of quarantine. What is counted of a group goes with its records.

use it::client::{self, Reply};
use it::telemetrics::{Collector, Form, Record, Store, TID, TID_HEADER};
use it::{cluster, wait};
use rustix::process::Signal;
use serde_json::{Value, json};

const OTHER_TID: &str = "11111111-2222-3333-4444-555555555555";
const FRAMES: &str = "/v1/records/skipped-frames";
const CLASS: &str = "org.clearlinux/crash/clr";

/// A crash with these functions, the innermost first.
fn crash(functions: &[&str]) -> Record {
    let frames = functions.iter().enumerate();
    let frames = frames.map(|(n, function)| format!("#{n} {function}() - [/usr/bin/app]\n"));
    let frames: String = frames.collect();
    let payload = format!("Process: /usr/bin/app\nPID: 7\nSignal: 11\n\n{frames}");
    let record = Record::new().set("classification", CLASS);
    record.set("severity", "3").payload(payload)
}

/// A crash in a build on a machine.
fn crash_in(functions: &[&str], build: &str, machine: &str) -> Record {
    let record = crash(functions).set("build", build);
    record.set("machine_id", machine)
}

async fn group_of(collector: &Collector, record: i64) -> Value {
    let path = format!("/v1/records/{record}");
    collector.json(&path).await["group"].take()
}

/// Keeps a record; its id and its group.
async fn keep(collector: &Collector, record: &Record) -> (i64, Value) {
    let id = collector.keep(Form::Headers, record).await;
    (id, group_of(collector, id).await)
}

async fn group(collector: &Collector, id: &Value) -> Value {
    let path = format!("/v1/records/groups/{id}");
    collector.json(&path).await
}

/// What is counted of a group: all of its records, those in the window, and machines.
fn counts(group: &Value) -> [&Value; 3] {
    ["total", "count", "machines"].map(|key| &group[key])
}

/// The groups of the list, by their numbers.
async fn listed(collector: &Collector) -> Vec<Value> {
    let list = collector.json("/v1/records/groups").await;
    let groups = list["groups"].as_array().unwrap().iter();
    let mut ids: Vec<Value> = groups.map(|group| group["id"].clone()).collect();
    ids.sort_by_key(Value::as_i64);
    ids
}

/// A change by who may do everything.
async fn change(collector: &Collector, path: &str, body: &Value) -> Reply {
    cluster::admin(&collector.program, "POST", path, &body.to_string()).await
}

/// One that has to be done.
async fn changed(collector: &Collector, path: &str, body: Value) -> Value {
    let reply = change(collector, path, &body).await;
    assert_eq!(reply.status, 200, "{path} {body}: {}", reply.text());
    reply.json()
}

/// Waits until all records were looked at after a change; how many came to another group.
async fn moved(collector: &Collector) -> Value {
    let mut progress = wait::until("records are grouped anew", wait::SOON, async || {
        let progress = collector.json("/v1/records/regroup").await;
        (progress["is_running"] == false).then_some(progress)
    })
    .await;
    assert_eq!(progress["reached"], progress["end"], "{progress}");
    progress["moved"].take()
}

/// A group becomes a part of another one with what it had and what comes, and gets it back.
async fn merged_and_split(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let (one, first) = keep(&collector, &crash_in(&["one", "main"], "100", "m1")).await;
    keep(&collector, &crash_in(&["one", "main"], "200", "m1")).await;
    let (two, second) = keep(&collector, &crash_in(&["two", "main"], "300", "m2")).await;
    assert_ne!(first, second);
    let path = format!("/v1/records/groups/{second}");
    let answer = changed(&collector, &format!("{path}/merge"), json!({"into": first})).await;
    assert_eq!(answer, json!({"id": second, "merged_into": first}));
    assert_eq!(moved(&collector).await, 1);
    assert_eq!(group_of(&collector, two).await, first);
    let whole = group(&collector, &first).await;
    assert_eq!(counts(&whole), [3, 3, 2], "{whole}");
    assert_eq!(whole["builds"], json!({"100": 1, "200": 1, "300": 1}));
    let part = json!({"id": second, "function": "two()", "module": "/usr/bin/app"});
    assert_eq!(whole["merged"], json!([part]));
    assert_eq!(whole["latest"].as_array().map(Vec::len), Some(3));
    let empty = group(&collector, &second).await;
    assert_eq!(
        (&empty["merged_into"], &empty["total"], &empty["latest"]),
        (&first, &json!(0), &json!([])),
        "{empty}"
    );
    assert_eq!(json!(listed(&collector).await), json!([first]));
    wait::until("nothing is left of the part", wait::SOON, async || {
        let empty = group(&collector, &second).await;
        (counts(&empty) == [0, 0, 0] && empty["builds"] == json!({})).then_some(())
    })
    .await;

    let (three, came_to) = keep(&collector, &crash_in(&["two", "main"], "400", "m3")).await;
    assert_eq!(came_to, first, "what comes comes to the whole");
    let whole = group(&collector, &first).await;
    assert_eq!(counts(&whole), [4, 4, 3], "{whole}");

    let answer = changed(&collector, &format!("{path}/split"), json!({})).await;
    assert_eq!(answer, json!({"id": second, "merged_into": null}));
    assert_eq!(moved(&collector).await, 2);
    for (record, expected) in [(one, &first), (two, &second), (three, &second)] {
        assert_eq!(group_of(&collector, record).await, *expected, "{record}");
    }
    let part = group(&collector, &second).await;
    assert_eq!(counts(&part), [2, 2, 2], "{part}");
    assert_eq!(part["builds"], json!({"300": 1, "400": 1}));
    assert_eq!(part["merged_into"], Value::Null);
    let rest = group(&collector, &first).await;
    assert_eq!(
        (&rest["total"], &rest["count"], &rest["merged"]),
        (&json!(2), &json!(2), &json!([])),
        "{rest}"
    );
    // What left took its machines along, and its builds: the last ones are those of what stayed.
    let rest = wait::until("the rest is as before", wait::SOON, async || {
        let rest = group(&collector, &first).await;
        (counts(&rest) == [2, 2, 1]).then_some(rest)
    });
    let rest = rest.await;
    assert_eq!(rest["builds"], json!({"100": 1, "200": 1}));
    assert_eq!(
        (&rest["first_build"], &rest["last_build"]),
        (&json!("100"), &json!("200")),
        "{rest}"
    );
    let function = &rest["why_grouped"]["frames"][0]["function"];
    assert_eq!(function, "one()", "by its latest record");
    assert_eq!(listed(&collector).await, [first, second]);
    collector.remove().await;
}

#[tokio::test]
async fn a_group_is_merged_and_split_on_sqlite() {
    merged_and_split(Store::Sqlite).await;
}

#[tokio::test]
async fn a_group_is_merged_and_split_on_postgresql() {
    merged_and_split(Store::Postgres).await;
}

/// What is a part of one that is merged itself goes along, and nothing is a part of itself.
async fn merged_twice(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let mut all = Vec::new();
    for function in ["one", "two", "three"] {
        all.push(keep(&collector, &crash(&[function, "main"])).await);
    }
    let [first, second, third] = [0, 1, 2].map(|n: usize| all[n].1.clone());
    let merge = |id: &Value| format!("/v1/records/groups/{id}/merge");
    changed(&collector, &merge(&first), json!({"into": second})).await;
    changed(&collector, &merge(&second), json!({"into": third})).await;
    moved(&collector).await;
    for (record, _) in &all {
        assert_eq!(group_of(&collector, *record).await, third, "{record}");
    }
    let whole = group(&collector, &third).await;
    assert_eq!(whole["total"], 3, "{whole}");
    let parts = whole["merged"].as_array().unwrap().iter();
    let parts: Vec<Value> = parts.map(|part| part["id"].clone()).collect();
    assert_eq!(parts, [first.clone(), second.clone()]);
    let path = format!("/v1/records/groups/{third}/split");
    for (path, body, status) in [
        (merge(&third), json!({"into": third}), 409),
        // The second is a part of the third.
        (merge(&third), json!({"into": second}), 409),
        (merge(&third), json!({"into": 999}), 404),
        (merge(&json!(999)), json!({"into": third}), 404),
        (merge(&third), json!({"into": 7.5}), 400),
        (merge(&third), json!({"into": first, "more": 1}), 400),
        (merge(&third), json!({}), 400),
        (path, json!({}), 409),
    ] {
        let reply = change(&collector, &path, &body).await;
        assert_eq!(reply.status, status, "{path} {body}: {}", reply.text());
    }
    assert_eq!(group(&collector, &third).await["total"], 3);
    collector.remove().await;
}

#[tokio::test]
async fn parts_go_along_with_a_merged_group_on_sqlite() {
    merged_twice(Store::Sqlite).await;
}

#[tokio::test]
async fn parts_go_along_with_a_merged_group_on_postgresql() {
    merged_twice(Store::Postgres).await;
}

/// The same crash of two projects is in two groups, and nobody makes them one.
async fn apart(store: Store) {
    let projects = json!([{"name": "ours", "tid": TID}, {"name": "theirs", "tid": OTHER_TID}]);
    let Some(collector) = Collector::start(store, json!({"projects": projects})).await else {
        return;
    };
    let stack = ["inner", "main"];
    let (_, ours) = keep(&collector, &crash(&stack)).await;
    let theirs = crash(&stack).set(TID_HEADER, OTHER_TID);
    let (record, theirs) = keep(&collector, &theirs).await;
    assert_ne!(ours, theirs);
    let path = format!("/v1/records/groups/{theirs}/merge");
    let reply = change(&collector, &path, &json!({"into": ours})).await;
    let message = json!("groups of two projects can't be one");
    assert_eq!(
        (reply.status, &reply.json()["error"]["message"]),
        (409, &message)
    );
    assert_eq!(group(&collector, &theirs).await["merged_into"], Value::Null);
    // Nor does a regroup of all.
    let frame = json!({"function": "main()", "module": "/usr/bin/app"});
    changed(&collector, FRAMES, json!({"add": [frame]})).await;
    assert_eq!(moved(&collector).await, 2);
    let found = group(&collector, &group_of(&collector, record).await).await;
    assert_eq!(
        (&found["project"], &found["total"]),
        (&json!("theirs"), &json!(1))
    );
    collector.remove().await;
}

#[tokio::test]
async fn groups_of_two_projects_stay_apart_on_sqlite() {
    apart(Store::Sqlite).await;
}

#[tokio::test]
async fn groups_of_two_projects_stay_apart_on_postgresql() {
    apart(Store::Postgres).await;
}

/// What a record says of its frames: guilty, used, and why.
async fn frames_of(collector: &Collector, record: i64) -> Vec<(bool, bool, String)> {
    let record = collector.json(&format!("/v1/records/{record}")).await;
    let frames = record["why_grouped"]["frames"].as_array().unwrap().iter();
    let told = |frame: &Value| {
        (
            frame["is_guilty"] == true,
            frame["is_used"] == true,
            frame["why"].as_str().unwrap().to_owned(),
        )
    };
    frames.map(told).collect()
}

/// Records that are there come to the groups of their other frames, what comes does so at once, also after
/// a restart; and all come back when the frame counts again.
async fn skipped(store: Store) {
    let Some(mut collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let logged = || crash_in(&["log", "one", "main"], "100", "m1");
    let (a, of_a) = keep(&collector, &logged()).await;
    let (_, of_b) = keep(&collector, &crash_in(&["one", "main"], "200", "m2")).await;
    let (c, of_c) = keep(&collector, &crash_in(&["log", "two"], "100", "m3")).await;
    let frame = json!({"function": "log()", "module": "/usr/bin/app"});
    let answer = changed(&collector, FRAMES, json!({"add": [frame]})).await;
    assert_eq!(answer["frames"], json!([frame]));
    assert_eq!(moved(&collector).await, 2);
    assert_eq!(group_of(&collector, a).await, of_b);
    let fuller = group(&collector, &of_b).await;
    assert_eq!(counts(&fuller), [2, 2, 2], "{fuller}");
    assert_eq!(fuller["builds"], json!({"100": 1, "200": 1}));
    let new = group_of(&collector, c).await;
    let made = group(&collector, &new).await;
    assert_eq!(
        (&made["function"], &made["total"]),
        (&json!("two()"), &json!(1)),
        "{made}"
    );
    assert_eq!(listed(&collector).await, [of_b.clone(), new]);
    let told = frames_of(&collector, a).await;
    let used = "one of the innermost telling functions".to_owned();
    assert_eq!(told[0], (false, false, "on the skip list".to_owned()));
    assert_eq!(told[1], (true, true, used));

    assert_eq!(keep(&collector, &logged()).await.1, of_b);
    collector.program.signal(Signal::TERM);
    assert_eq!(collector.program.wait_exit(wait::SOON).await, 0);
    collector.program.restart();
    collector.program.ready().await;
    assert_eq!(keep(&collector, &logged()).await.1, of_b, "after a restart");

    let answer = changed(&collector, FRAMES, json!({"remove": [frame]})).await;
    assert_eq!(answer["frames"], json!([]));
    assert_eq!(moved(&collector).await, 4);
    assert_eq!(group_of(&collector, a).await, of_a);
    assert_eq!(group_of(&collector, c).await, of_c);
    for (id, total) in [(&of_a, 3), (&of_b, 1), (&of_c, 1)] {
        let found = group(&collector, id).await;
        assert_eq!(found["total"], total, "{found}");
    }
    assert_eq!(listed(&collector).await, [of_a, of_b, of_c]);
    collector.remove().await;
}

#[tokio::test]
async fn records_follow_a_frame_that_is_skipped_on_sqlite() {
    skipped(Store::Sqlite).await;
}

#[tokio::test]
async fn records_follow_a_frame_that_is_skipped_on_postgresql() {
    skipped(Store::Postgres).await;
}

/// A frame is skipped in its module alone, and where there is nothing else it is still better than nothing.
/// What is no frame changes nothing.
async fn never_guilty(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    // Without a record there is nothing to wait for.
    keep(&collector, &crash(&["main"])).await;
    let frame = |function: &str| json!({"function": function, "module": "/usr/bin/app"});
    let frames = json!([frame("log()"), frame("trace()")]);
    changed(&collector, FRAMES, json!({"add": frames})).await;
    // Twice is once.
    changed(&collector, FRAMES, json!({"add": [frame("log()")]})).await;
    moved(&collector).await;
    let (both, group_of_both) = keep(&collector, &crash(&["log", "trace"])).await;
    let told = frames_of(&collector, both).await;
    // The original's rule: the last one of those that are skipped.
    assert!(!told[0].0 && told[1].0 && told[1].1, "{told:?}");
    assert!(told[1].2.contains("the best of the rest"), "{told:?}");
    assert_eq!(
        group(&collector, &group_of_both).await["function"],
        "trace()"
    );
    let elsewhere = crash(&["log", "main"]);
    let payload = String::from_utf8(elsewhere.payload.clone()).unwrap();
    let elsewhere = elsewhere.payload(payload.replace("/usr/bin/app", "/usr/bin/other"));
    let (_, other) = keep(&collector, &elsewhere).await;
    assert_eq!(group(&collector, &other).await["function"], "log()");
    for wrong in [
        json!({}),
        json!({"add": [], "remove": []}),
        json!({"add": [{"function": "", "module": "x"}]}),
        json!({"add": [{"function": "x", "module": ""}]}),
        json!({"add": [{"function": "x"}]}),
        json!({"remove": [{"function": "x\u{0}", "module": "x"}]}),
        json!({"add": [{"function": "x".repeat(1_025), "module": "x"}]}),
        json!({"unknown": []}),
        json!([]),
    ] {
        let reply = change(&collector, FRAMES, &wrong).await;
        assert_eq!(reply.status, 400, "{wrong}: {}", reply.text());
    }
    let url = format!("http://{}{FRAMES}", collector.program.main);
    let body = json!({"remove": frames}).to_string();
    let reply = client::send("POST", &url, &[], &body).await.unwrap();
    assert!([401, 403].contains(&reply.status), "{}", reply.status);
    assert_eq!(collector.json(FRAMES).await["frames"], frames);
    collector.remove().await;
}

#[tokio::test]
async fn a_skipped_frame_is_never_guilty_on_sqlite() {
    never_guilty(Store::Sqlite).await;
}

#[tokio::test]
async fn a_skipped_frame_is_never_guilty_on_postgresql() {
    never_guilty(Store::Postgres).await;
}

/// Sends a record that is put aside; under which id.
async fn put_aside(collector: &Collector, record: &Record) -> i64 {
    let reply = collector.post(Form::Headers, record).await;
    let outcome = reply.header("landline-outcome");
    assert_eq!((reply.status, outcome.as_str()), (201, "quarantined"));
    reply.json()["id"].as_i64().unwrap()
}

/// A crash that a rule put aside becomes a record that is grouped and counted as any other, once.
async fn released(store: Store) {
    let rules = json!([{"classification": CLASS, "build": "7*", "action": "defer"}]);
    let projects = json!([{"name": "ours", "tid": TID, "rules": rules}]);
    let Some(collector) = Collector::start(store, json!({"projects": projects})).await else {
        return;
    };
    let (_, id) = keep(&collector, &crash_in(&["inner", "main"], "100", "m1")).await;
    let resolved = json!({"state": "resolved"});
    changed(&collector, &format!("/v1/records/groups/{id}"), resolved).await;
    let sent = crash_in(&["inner", "main"], "700", "m2");
    let aside = put_aside(&collector, &sent).await;
    let path = format!("/v1/records/quarantine/{aside}");
    let found = collector.json(&path).await;
    assert_eq!(
        (&found["reason"], &found["fields"]["build"]),
        (&json!("deferred"), &json!("700"))
    );
    let before = group(&collector, &id).await;
    assert_eq!(
        (&before["total"], &before["state"]),
        (&json!(1), &json!("resolved"))
    );
    let url = format!("http://{}{path}/release", collector.program.main);
    let reply = client::send("POST", &url, &[], "").await.unwrap();
    assert!([401, 403].contains(&reply.status), "{}", reply.status);

    let answer = changed(&collector, &format!("{path}/release"), json!({})).await;
    let record = collector
        .json(&format!("/v1/records/{}", answer["record"]))
        .await;
    for name in ["classification", "build", "machine_id", "event_id", "arch"] {
        assert_eq!(record[name], sent.get(name).unwrap(), "{record}");
    }
    let payload = String::from_utf8(sent.payload.clone()).unwrap();
    assert_eq!(
        (&record["payload"], &record["group"]),
        (&json!(payload), &id)
    );
    let after = group(&collector, &id).await;
    assert_eq!(counts(&after), [2, 2, 2], "{after}");
    assert_eq!(after["state"], "regressed", "700 is newer than 100");
    assert_gone(&collector, aside).await;
    // Sent and released again it is the record that is there.
    let again = put_aside(&collector, &sent).await;
    let path = format!("/v1/records/quarantine/{again}/release");
    assert_eq!(changed(&collector, &path, json!({})).await, answer);
    assert_eq!(group(&collector, &id).await["total"], 2);
    let by_build = collector.json("/v1/records/counts?by=build").await;
    let days = by_build["days"].as_array().unwrap().iter();
    let counted = days.filter_map(|day| day["counts"]["700"].as_u64());
    assert_eq!(counted.sum::<u64>(), 1, "{by_build}");
    collector.remove().await;
}

/// It is not in quarantine any more, whatever is done with it.
async fn assert_gone(collector: &Collector, id: i64) {
    let path = format!("/v1/records/quarantine/{id}");
    let release = format!("{path}/release");
    for (method, path) in [("GET", &path), ("POST", &release), ("DELETE", &path)] {
        let reply = cluster::admin(&collector.program, method, path, "").await;
        assert_eq!(reply.status, 404, "{method} {path}: {}", reply.text());
    }
    assert!(collector.quarantined(id).await.is_null());
}

#[tokio::test]
async fn what_is_released_is_grouped_on_sqlite() {
    released(Store::Sqlite).await;
}

#[tokio::test]
async fn what_is_released_is_grouped_on_postgresql() {
    released(Store::Postgres).await;
}

/// What is no valid record stays where it is until somebody removes it.
async fn removed(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let wrong = || crash(&["inner", "main"]).set("severity", "9");
    let [first, second] = [wrong(), wrong()];
    let first = put_aside(&collector, &first).await;
    let second = put_aside(&collector, &second).await;
    let path = format!("/v1/records/quarantine/{first}");
    let reply = change(&collector, &format!("{path}/release"), &json!({})).await;
    let message = "it is no valid record: severity value is out of range";
    assert_eq!(
        (reply.status, &reply.json()["error"]["message"]),
        (409, &json!(message))
    );
    assert_eq!(collector.json(&path).await["id"], first);
    let url = format!("http://{}{path}", collector.program.main);
    let reply = client::send("DELETE", &url, &[], "").await.unwrap();
    assert!([401, 403].contains(&reply.status), "{}", reply.status);
    let reply = cluster::admin(&collector.program, "DELETE", &path, "").await;
    assert_eq!(
        (reply.status, reply.json()),
        (200, json!({"removed": first}))
    );
    assert_gone(&collector, first).await;
    assert_eq!(collector.quarantined(second).await["id"], second);
    assert_eq!(collector.json("/v1/records").await["records"], json!([]));
    assert!(listed(&collector).await.is_empty());
    collector.remove().await;
}

#[tokio::test]
async fn what_can_be_no_record_is_removed_on_sqlite() {
    removed(Store::Sqlite).await;
}

#[tokio::test]
async fn what_can_be_no_record_is_removed_on_postgresql() {
    removed(Store::Postgres).await;
}
