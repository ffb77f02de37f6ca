//! Who gets in: join tokens, pins and names, and what the audit log says of those who did not.

use std::time::Duration;

use it::cluster::{self, Token};
use it::program::Program;
use it::wait;
use serde_json::json;

/// The longest until a node has been refused.
const REFUSED: Duration = Duration::from_secs(10);

async fn start_hub() -> Program {
    Program::start(&cluster::hub(json!({}))).await
}

/// Starts a node that must not get in, and gives what it says about it.
async fn refused(hub: &Program, token: &Token, name: &str) -> String {
    let section = json!({"name": name});
    let node = cluster::launch_node(&hub.main.to_string(), token, &section)
        .start()
        .await;
    wait::until("the refusal", REFUSED, async || {
        let log = node.stderr();
        log.contains("service starts again").then_some(())
    })
    .await;
    node.stderr()
}

/// A token lets one machine in, once, in time, and never shows up in a log.
#[tokio::test]
async fn tokens_let_in_once() {
    let hub = start_hub().await;
    let token = cluster::token(&hub, json!({})).await;
    let section = json!({"name": "web-1"});
    let first = cluster::launch_node(&hub.main.to_string(), &token, &section)
        .start()
        .await;
    cluster::online(&hub, "web-1").await;
    let second = refused(&hub, &token, "web-2").await;
    assert!(second.contains("token"), "{second}");
    let short = cluster::token(&hub, json!({"ttl_seconds": 1})).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let expired = refused(&hub, &short, "web-3").await;
    assert!(expired.contains("token"), "{expired}");
    let named = cluster::token(&hub, json!({"name": "db-1"})).await;
    let misnamed = refused(&hub, &named, "web-4").await;
    assert!(misnamed.contains("name"), "{misnamed}");
    let other = cluster::token(&hub, json!({})).await;
    let taken = refused(&hub, &other, "web-1").await;
    assert!(taken.contains("web-1"), "{taken}");
    let events = cluster::audit(&hub, "node.join").await;
    let refusals = events
        .iter()
        .filter(|event| event["outcome"] == "refused")
        .count();
    assert!(refusals >= 4, "{events:?}");
    for token in [&token, &short, &named] {
        for log in [
            hub.stderr(),
            first.stderr(),
            second.clone(),
            expired.clone(),
        ] {
            assert!(!log.contains(&token.text), "a token is in a log");
        }
        assert!(
            !format!("{events:?}").contains(&token.text),
            "a token is in the audit log"
        );
    }
}

/// A node that is led to another hub does not give its token away.
#[tokio::test]
async fn a_wrong_hub_is_recognised_by_its_pin() {
    let hub = start_hub().await;
    let other = start_hub().await;
    let token = cluster::token(&hub, json!({})).await;
    let section = json!({"name": "web-1"});
    let node = cluster::launch_node(&other.main.to_string(), &token, &section)
        .start()
        .await;
    wait::until("the refusal", REFUSED, async || {
        node.stderr().contains("pin").then_some(())
    })
    .await;
    assert!(
        cluster::audit(&other, "node.join")
            .await
            .iter()
            .all(|event| event["outcome"] == "success")
    );
}

/// The paths for operators need the token of the data directory, on loopback too.
#[tokio::test]
async fn operators_prove_who_they_are() {
    let hub = start_hub().await;
    for path in ["/v1/tokens", "/v1/nodes", "/v1/audit"] {
        assert_eq!(hub.main("GET", path).await.status, 401, "{path}");
        assert_eq!(
            cluster::admin(&hub, "GET", path, "").await.status,
            200,
            "{path}"
        );
    }
    assert_eq!(hub.main("POST", "/v1/tokens").await.status, 401);
}
