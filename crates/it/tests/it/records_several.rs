//! Collectors that share one PostgreSQL, and one whose connections to it are cut in the middle of
//! everything: each record is there once, under an id of its own, and who follows the ids misses none.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use it::gate::Gate;
use it::need::need;
use it::postgres::Database;
use it::program::{Launch, Program};
use it::telemetrics::{self, Form, Record, exchange};
use it::{client, wait};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::records_fleet::{Fleet, assert_kept};

/// The longest until records are acknowledged.
const ACKNOWLEDGED: Duration = Duration::from_secs(30);

async fn collector(database: &str) -> Program {
    let state = json!({"state": database});
    let launch = Launch::new(&telemetrics::configuration(&state, json!({})));
    launch.start().await
}

/// Two with one key, as two that share a state have to be.
async fn two(database: &Database) -> [Program; 2] {
    let first = collector(&database.url).await;
    let state = json!({"state": database.url});
    let launch = Launch::new(&telemetrics::configuration(&state, json!({})));
    std::fs::create_dir(launch.path("data")).unwrap();
    let key = "data/identity.key";
    std::fs::copy(first.path(key), launch.path(key)).unwrap();
    [first, launch.start().await]
}

/// Follows the ids at one of them until it has seen so many.
async fn follow(program: &Program, count: usize) -> BTreeSet<i64> {
    let mut seen = BTreeSet::new();
    let mut last = 0;
    wait::until(
        "the follower sees everything",
        ACKNOWLEDGED * 2,
        async || {
            let url = format!(
                "http://{}/api/records?limit=100&after_id={last}",
                program.main
            );
            let page = client::get(&url, &[]).await.ok()?.json();
            for record in page["records"].as_array()? {
                last = record["id"].as_i64()?;
                assert!(seen.insert(last), "{last} came twice");
            }
            (seen.len() >= count).then_some(())
        },
    )
    .await;
    seen
}

/// Under load on both, while one of them is killed now and then, somebody follows.
#[tokio::test]
async fn two_collectors_share_a_database() {
    let Some(admin) = need("POSTGRES_URL") else {
        return;
    };
    let database = Database::create(&admin).await;
    let [first, mut second] = two(&database).await;
    let fleets = [Fleet::start(first.main), Fleet::start(second.main)];
    let total = || fleets[0].count() + fleets[1].count();
    let work = async {
        for round in 1..=5 {
            wait::until("records are acknowledged", ACKNOWLEDGED, async || {
                (total() >= round * 200).then_some(())
            })
            .await;
            second.signal(Signal::KILL);
            second.wait_exit(wait::SOON).await;
            second.restart();
            second.ready().await;
            fleets[1].redirect(second.main);
        }
    };
    let (seen, ()) = futures_util::future::join(follow(&first, 800), work).await;
    assert!(seen.len() >= 800);
    let mut acknowledged = Vec::new();
    for fleet in fleets {
        acknowledged.extend(fleet.finish().await);
    }
    for program in [&first, &second] {
        assert_kept(program.main, &acknowledged).await;
    }
    let records = acknowledged.iter().filter(|one| !one.is_quarantined);
    let records: BTreeSet<i64> = records.map(|one| one.id).collect();
    let until = *seen.last().unwrap();
    let expected: BTreeSet<i64> = records.range(..=until).copied().collect();
    assert_eq!(seen, expected, "who follows misses none");
    drop((first, second));
    database.remove().await;
}

/// The same record at both at the same moment is one record.
#[tokio::test]
async fn two_collectors_know_of_one_another() {
    let Some(admin) = need("POSTGRES_URL") else {
        return;
    };
    let database = Database::create(&admin).await;
    let programs = two(&database).await;
    let crash = "Process: x\n\n#0 inner() - [x]\n#1 main() - [x]\n";
    for _ in 0..20 {
        let record = Record::new().set("classification", "org.clearlinux/crash/clr");
        let record = record.payload(format!("{crash}\n{}\n", telemetrics::event_id()));
        let request = record.request(Form::Headers);
        let posts = programs
            .iter()
            .cycle()
            .take(8)
            .map(|program| exchange(program.main, &request));
        let replies = join_all(posts).await;
        let ids: BTreeSet<i64> = replies
            .iter()
            .map(|reply| reply.json()["id"].as_i64().unwrap())
            .collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
    }
    let get = async |path: &str| -> Value { programs[1].main("GET", path).await.json() };
    let list = get("/v1/records?limit=1000").await;
    assert_eq!(list["records"].as_array().map(Vec::len), Some(20));
    let groups = get("/v1/records/groups").await;
    assert_eq!(
        (&groups["groups"][0]["total"], &groups["groups"][1]),
        (&json!(20), &Value::Null)
    );
    drop(programs);
    database.remove().await;
}

/// Connections are cut in the middle of transactions, also between a commit and its answer.
#[tokio::test]
async fn cut_connections_lose_nothing() {
    let Some(admin) = need("POSTGRES_URL") else {
        return;
    };
    let database = Database::create(&admin).await;
    let mut url = url::Url::parse(&database.url).unwrap();
    let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let gate = Gate::start(server.parse().unwrap()).await;
    url.set_port(Some(gate.address.port())).unwrap();
    let program = collector(url.as_str()).await;
    let fleet = Fleet::start(program.main);
    for cut in 0..60 {
        let wanted = fleet.count() + 1 + cut * 7 % 20;
        wait::until("records are acknowledged", ACKNOWLEDGED, async || {
            (fleet.count() >= wanted).then_some(())
        })
        .await;
        gate.set_open(false);
        if cut % 10 == 0 {
            wait::until("somebody is told", ACKNOWLEDGED, async || {
                fleet
                    .answers()
                    .last()
                    .is_some_and(|answer| answer.status == 503)
                    .then_some(())
            })
            .await;
        } else {
            tokio::task::yield_now().await;
        }
        gate.set_open(true);
    }
    let answers = fleet.answers();
    let acknowledged = fleet.finish().await;
    assert_kept(program.main, &acknowledged).await;
    let other = answers
        .iter()
        .find(|answer| ![201, 503].contains(&answer.status));
    assert!(other.is_none(), "{other:?}");
    drop(program);
    database.remove().await;
}
