//! Crash groups: which crashes are one, what is counted of them, and what people do with them.

use futures_util::future::join_all;
use it::client::{self, Reply};
use it::telemetrics::{Collector, Form, Record, Store};
use serde_json::{Value, json};

/// A crash with these functions, the innermost first.
fn crash(functions: &[&str]) -> Record {
    let frames = functions.iter().enumerate();
    let frames =
        frames.map(|(n, function)| format!("#{n} {function}() - [/usr/bin/app] - app.c:{n}\n"));
    let frames: String = frames.collect();
    let event = it::telemetrics::event_id();
    let payload = format!(
        "Process: /usr/bin/app\nPID: {}\nSignal: 11\n\nBacktrace (TID 1):\n{frames}\nBacktrace (TID 2):\n#0 poll() - [libc.so.6]\n",
        u128::from_str_radix(&event, 16).unwrap()
    );
    Record::new()
        .set("classification", "org.clearlinux/crash/clr")
        .set("severity", "3")
        .payload(payload)
}

async fn group_of(collector: &Collector, record: &Record) -> Value {
    let id = collector.keep(Form::Headers, record).await;
    collector.json(&format!("/v1/records/{id}")).await["group"].take()
}

async fn groups(collector: &Collector, query: &str) -> Vec<Value> {
    let list = collector.json(&format!("/v1/records/groups?{query}")).await;
    list["groups"].as_array().unwrap().clone()
}

/// Many crashes that come at once, of machines that crash again and of those that crash elsewhere too.
async fn counted_at_once(store: Store) {
    const STACKS: usize = 5;
    const MACHINES: usize = 24;
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    for round in 1..=2 {
        let crashes = (0..STACKS * MACHINES).map(|number| {
            let function = format!("inner{}", number % STACKS);
            crash(&[&function, "main"]).set("machine_id", format!("machine{}", number / STACKS))
        });
        let crashes: Vec<Record> = crashes.collect();
        let kept = crashes
            .iter()
            .map(|record| collector.keep(Form::Headers, record));
        join_all(kept).await;
        let list = groups(&collector, "").await;
        assert_eq!(list.len(), STACKS, "{list:?}");
        for group in list {
            assert_eq!(group["machines"], MACHINES, "{group}");
            assert_eq!(group["total"], round * MACHINES, "{group}");
        }
    }
    collector.remove().await;
}

/// The same stack is the same group; another one is another; what has none has no group.
async fn grouped(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let stack = ["inner", "outer", "main"];
    let first = group_of(&collector, &crash(&stack)).await;
    assert!(first.is_i64(), "{first}");
    let elsewhere = crash(&stack)
        .set("machine_id", "other")
        .set("build", "34970");
    assert_eq!(group_of(&collector, &elsewhere).await, first);
    let aborted = ["raise", "abort", "inner", "outer", "main"];
    assert_eq!(
        group_of(&collector, &crash(&aborted)).await,
        first,
        "abort says nothing"
    );
    let other = group_of(&collector, &crash(&["other", "main"])).await;
    assert!(other.is_i64() && other != first, "{other}");
    for none in [
        crash(&stack).set("classification", "org.clearlinux/crash/unknown"),
        crash(&stack).payload("Process: /usr/bin/app\nno backtrace\n"),
        Record::new(),
    ] {
        assert_eq!(group_of(&collector, &none).await, Value::Null);
    }
    let list = groups(&collector, "").await;
    assert_eq!(list.len(), 2, "{list:?}");
    let group = &list[0];
    let expected = json!({
        "id": first, "project": "clear-linux", "module": "/usr/bin/app",
        "classification": "org.clearlinux/crash/clr", "first_build": "34960", "last_build": "34960",
        "total": 3, "count": 3, "machines": 2, "builds": {"34960": 2, "34970": 1},
        "state": "new", "is_hidden": false, "comment": "",
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&group[key], value, "{key} of {group}");
    }
    assert_eq!(group["function"], "inner()", "{group}");
    let whole = collector.json(&format!("/v1/records/groups/{first}")).await;
    for (key, value) in group.as_object().unwrap() {
        assert_eq!(&whole[key], value, "{key}");
    }
    assert_eq!(whole["days"].as_array().map(Vec::len), Some(1));
    assert_eq!(whole["days"][0]["count"], 3);
    assert_eq!(whole["latest"].as_array().map(Vec::len), Some(3));
    assert_eq!(whole["why_grouped"]["signal"], "11");
    let used = |why: &Value| {
        let frames = why["frames"].as_array().unwrap().iter();
        let used = frames.filter(|frame| frame["is_used"] == true);
        used.map(|frame| frame["normalised"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(used(&whole["why_grouped"]), stack);
    for (query, count) in [("limit=1", 1), ("project=nobody", 0), ("days=366", 2)] {
        assert_eq!(groups(&collector, query).await.len(), count, "{query}");
    }
    for query in ["days=0", "days=367", "limit=0", "unknown=1"] {
        let status = collector
            .get(&format!("/v1/records/groups?{query}"))
            .await
            .status;
        assert_eq!(status, 400, "{query}");
    }
    assert_eq!(collector.get("/v1/records/groups/999").await.status, 404);
    collector.remove().await;
}

#[tokio::test]
async fn crashes_of_one_stack_are_one_group_on_sqlite() {
    grouped(Store::Sqlite).await;
}

#[tokio::test]
async fn crashes_of_one_stack_are_one_group_on_postgresql() {
    grouped(Store::Postgres).await;
}

#[tokio::test]
async fn crashes_that_come_at_once_are_counted_on_sqlite() {
    counted_at_once(Store::Sqlite).await;
}

#[tokio::test]
async fn crashes_that_come_at_once_are_counted_on_postgresql() {
    counted_at_once(Store::Postgres).await;
}

/// Whom the original blames is the name of the group.
async fn named_by_the_guilty_frame(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let unknown = "Process: x\n\n#0 ??? - [a]\n#1 ??? - [b]\n";
    let kernel = "BUG: unable to handle\n#0 ? unsure - [kernel]\n#1 do_exit - [kernel]\n";
    for (class, payload, function, module) in [
        ("org.clearlinux/crash/clr", unknown, "???", "a"),
        ("org.clearlinux/kernel/bug", kernel, "do_exit", "kernel"),
        ("crash/kernel/bug", kernel, "do_exit", "kernel"),
    ] {
        let record = Record::new().set("classification", class).payload(payload);
        let group = group_of(&collector, &record).await;
        let found = collector.json(&format!("/v1/records/groups/{group}")).await;
        assert_eq!(
            (&found["function"], &found["module"]),
            (&json!(function), &json!(module)),
            "{class}"
        );
    }
    assert_eq!(groups(&collector, "").await.len(), 3, "classes are apart");
    collector.remove().await;
}

#[tokio::test]
async fn the_guilty_frame_names_the_group_on_sqlite() {
    named_by_the_guilty_frame(Store::Sqlite).await;
}

#[tokio::test]
async fn the_guilty_frame_names_the_group_on_postgresql() {
    named_by_the_guilty_frame(Store::Postgres).await;
}

/// A collector that lets people in, with one of each role.
struct People {
    collector: Collector,
    operator: String,
    viewer: String,
}

impl People {
    async fn start(store: Store) -> Option<Self> {
        let more = json!({"roles": ["auth", "proxy", "collector"]});
        let collector = Collector::start_with(store, more, json!({})).await?;
        let program = &collector.program;
        let token = |role: &str| {
            let added = program.command(&["users", "add", role, "--role", role]);
            assert!(added.status.success(), "{added:?}");
            let words = ["tokens", "add", "--role", "api", "--user", role, "--json"];
            let issued: Value = serde_json::from_slice(&program.command(&words).stdout).unwrap();
            issued["token"].as_str().unwrap().to_owned()
        };
        let (operator, viewer) = (token("operator"), token("viewer"));
        Some(Self {
            collector,
            operator,
            viewer,
        })
    }

    async fn change(&self, token: &str, id: &Value, change: &Value) -> Reply {
        let url = format!(
            "http://{}/v1/records/groups/{id}",
            self.collector.program.main
        );
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let headers = if token.is_empty() { &[] } else { &headers[..] };
        client::send("POST", &url, headers, &change.to_string())
            .await
            .unwrap()
    }

    /// Makes a change that is allowed.
    async fn set(&self, id: &Value, change: Value) -> Value {
        let reply = self.change(&self.operator, id, &change).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    async fn post(&self, build: &str) -> Value {
        let record = crash(&["inner", "main"]).set("build", build);
        group_of(&self.collector, &record).await
    }

    async fn group(&self, id: &Value) -> Value {
        let path = format!("/v1/records/groups/{id}");
        self.collector.json(&path).await
    }
}

/// Who may, comments, hides and resolves; the others read.
async fn changed_by_who_may(store: Store) {
    let Some(people) = People::start(store).await else {
        return;
    };
    let id = people.post("100").await;
    let resolved = json!({"state": "resolved"});
    assert_eq!(people.change("", &id, &resolved).await.status, 401);
    assert_eq!(
        people.change(&people.viewer, &id, &resolved).await.status,
        403
    );
    assert_eq!(people.group(&id).await["state"], "new");
    let comment = "€".repeat(80);
    let changed = people
        .set(&id, json!({"comment": comment, "is_hidden": true}))
        .await;
    assert_eq!(
        (
            &changed["comment"],
            &changed["is_hidden"],
            &changed["state"]
        ),
        (&json!(comment), &json!(true), &json!("new"))
    );
    let list = async |query: &str| {
        let path = format!("/v1/records/groups?{query}");
        let list = people.collector.json(&path).await;
        list["groups"].as_array().unwrap().len()
    };
    assert_eq!((list("").await, list("hidden=true").await), (0, 1));
    let changed = people.set(&id, json!({"is_hidden": false})).await;
    assert_eq!(
        (&changed["comment"], &changed["is_hidden"]),
        (&json!(comment), &json!(false))
    );
    assert_eq!(people.set(&id, json!({"comment": ""})).await["comment"], "");
    for wrong in [
        json!({}),
        json!({"comment": "x".repeat(81)}),
        json!({"comment": "\u{0}"}),
        json!({"state": "new"}),
        json!({"state": "regressed"}),
        json!({"unknown": 1}),
        json!([]),
    ] {
        let reply = people.change(&people.operator, &id, &wrong).await;
        assert_eq!(reply.status, 400, "{wrong}: {}", reply.text());
    }
    let reply = people
        .change(&people.operator, &json!(999), &resolved)
        .await;
    assert_eq!(reply.status, 404);
    people.collector.remove().await;
}

#[tokio::test]
async fn groups_are_changed_by_who_may_on_sqlite() {
    changed_by_who_may(Store::Sqlite).await;
}

#[tokio::test]
async fn groups_are_changed_by_who_may_on_postgresql() {
    changed_by_who_may(Store::Postgres).await;
}

/// What was resolved regresses when a newer build has it, and not by those that had it before.
async fn regressed(store: Store) {
    let Some(people) = People::start(store).await else {
        return;
    };
    let id = people.post("900").await;
    assert_eq!(
        people.set(&id, json!({"state": "resolved"})).await["state"],
        "resolved"
    );
    for old in ["900", "80", "0900"] {
        assert_eq!(people.post(old).await, id);
        assert_eq!(people.group(&id).await["state"], "resolved", "build {old}");
    }
    assert_eq!(people.post("1000").await, id);
    let group = people.group(&id).await;
    assert_eq!(
        (&group["state"], &group["first_build"], &group["last_build"]),
        (&json!("regressed"), &json!("900"), &json!("1000"))
    );
    assert_eq!(group["total"], 5);
    assert_eq!(group["regressed_in"], "1000");
    // That it is there in a later one as well is no news.
    people.post("1002").await;
    assert_eq!(people.group(&id).await["regressed_in"], "1000");
    let opened = people.set(&id, json!({"state": "open"})).await;
    assert_eq!(
        (&opened["state"], &opened["regressed_in"]),
        (&json!("open"), &Value::Null)
    );
    people.post("1001").await;
    assert_eq!(people.group(&id).await["state"], "open");
    people.collector.remove().await;
}

#[tokio::test]
async fn a_newer_build_regresses_on_sqlite() {
    regressed(Store::Sqlite).await;
}

#[tokio::test]
async fn a_newer_build_regresses_on_postgresql() {
    regressed(Store::Postgres).await;
}

/// It is resolved in the newest build that had it, whichever was heard of last.
async fn not_regressed(store: Store) {
    let Some(people) = People::start(store).await else {
        return;
    };
    let id = people.post("900").await;
    // A machine that was never updated is the last to report.
    people.post("800").await;
    people.set(&id, json!({"state": "resolved"})).await;
    people.post("900").await;
    assert_eq!(
        people.group(&id).await["state"],
        "resolved",
        "900 had it before"
    );
    people.collector.remove().await;
}

#[tokio::test]
async fn an_old_machine_does_not_bring_a_regression_on_sqlite() {
    not_regressed(Store::Sqlite).await;
}

#[tokio::test]
async fn an_old_machine_does_not_bring_a_regression_on_postgresql() {
    not_regressed(Store::Postgres).await;
}
