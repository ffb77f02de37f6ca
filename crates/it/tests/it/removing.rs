//! Removing: machines, users, roles, tokens; what they opened is shut, and the last administrator
//! stays.

use std::time::Duration;

use it::cluster::{self, refused, run};
use it::program::Program;
use it::stubs::page;
use it::stubs::pages::Pages;
use it::wait::{self, SOON};
use serde_json::{Value, json};

/// The longest until a machine that was removed is out.
const OUT: Duration = Duration::from_secs(5);

/// A machine that was removed is out at once and forgotten; its name is free for another one.
#[tokio::test]
async fn a_machine_that_was_removed_leaves_nothing() {
    let stub = Pages::start(&[("/metrics", &page(5))]).await;
    let hub = Program::start(&cluster::hub(json!({}))).await;
    let section = json!({"metrics": [{"name": "app", "url": stub.server.url("/metrics")}]});
    let node = cluster::join(&hub, "web-1", section.clone()).await;
    wait::until("the page", SOON, async || {
        (hub.scrape("app").await.status == 200).then_some(())
    })
    .await;
    run(&hub, &["nodes", "rm", "web-1"]);
    wait::until("it is forgotten", OUT, async || {
        cluster::node_view(&hub, "web-1")
            .await
            .is_none()
            .then_some(())
    })
    .await;
    wait::until("its target is gone", OUT, async || {
        (hub.scrape("app").await.status == 404).then_some(())
    })
    .await;
    wait::until("it says why", SOON, async || {
        node.stderr()
            .contains("removed from the cluster")
            .then_some(())
    })
    .await;
    // It comes back neither by itself nor with its old key.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(cluster::node_view(&hub, "web-1").await.is_none());
    assert!(refused(&hub, &["nodes", "rm", "web-1"]).contains("web-1"));
    let removed = cluster::audit(&hub, "node.removed").await;
    assert_eq!(removed.len(), 1, "{removed:?}");
    let other = cluster::join(&hub, "web-1", section).await;
    wait::until("the page of the other", SOON, async || {
        (hub.scrape("app").await.status == 200).then_some(())
    })
    .await;
    drop((node, other));
}

/// Users, roles and tokens go, and what they allowed goes with them.
#[tokio::test]
async fn users_roles_and_tokens_are_removed() {
    let hub = Program::start(&cluster::hub(json!({}))).await;
    let role = json!({"name": "apps", "allow": [{"kinds": ["apps"], "verbs": ["use"]}]});
    hub.write("role.json", &role.to_string());
    run(&hub, &["roles", "add", "role.json"]);
    run(&hub, &["users", "add", "anna", "--role", "apps"]);
    let words = ["tokens", "add", "--role", "api", "--user", "anna", "--json"];
    let api: Value = serde_json::from_str(&run(&hub, &words)).unwrap();
    let join: Value =
        serde_json::from_str(&run(&hub, &["tokens", "add", "--role", "node", "--json"])).unwrap();
    let text = |value: &Value, key: &str| value[key].as_str().unwrap().to_owned();
    let status = async |token: &str| {
        let bearer = format!("Bearer {token}");
        let url = format!("http://{}/apps/none/", hub.main);
        let headers = [("authorization", bearer.as_str())];
        it::client::get(&url, &headers).await.unwrap().status
    };
    assert_eq!(status(&text(&api, "token")).await, 404);
    assert!(refused(&hub, &["roles", "rm", "apps"]).contains("anna"));
    assert!(refused(&hub, &["roles", "rm", "admin"]).contains("admin"));
    run(&hub, &["tokens", "rm", &text(&join, "id")]);
    assert!(!run(&hub, &["tokens", "ls"]).contains(&text(&join, "id")));
    run(&hub, &["tokens", "rm", &text(&api, "id")]);
    assert_eq!(status(&text(&api, "token")).await, 401);
    assert!(refused(&hub, &["tokens", "rm", &text(&api, "id")]).contains("token"));
    let none = ["users", "second-factor", "anna", "--remove"];
    assert!(refused(&hub, &none).contains("anna"));
    let api: Value = serde_json::from_str(&run(&hub, &words)).unwrap();
    run(&hub, &["users", "rm", "anna"]);
    assert_eq!(status(&text(&api, "token")).await, 401);
    assert!(refused(&hub, &["users", "rm", "anna"]).contains("anna"));
    run(&hub, &["roles", "rm", "apps"]);
    for kind in [
        "user.removed",
        "role.removed",
        "token.removed",
        "api_token.removed",
    ] {
        let events = cluster::audit(&hub, kind).await;
        assert_eq!(events.len(), 1, "{kind}: {events:?}");
    }
}
