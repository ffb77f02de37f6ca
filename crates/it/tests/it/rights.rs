//! Who may use the paths of operators: by roles and scopes, never by an address, and nobody gives away
//! more than they have.

use it::client::{self, Reply};
use it::cluster;
use it::program::Program;
use serde_json::{Value, json};

async fn start() -> Program {
    Program::start(&cluster::hub(json!({}))).await
}

fn user(hub: &Program, name: &str, role: &str) {
    let output = hub.command(&["users", "add", name, "--role", role]);
    assert!(output.status.success(), "{output:?}");
}

fn token(hub: &Program, name: &str, scopes: &[&str]) -> String {
    let mut words = vec!["tokens", "add", "--role", "api", "--user", name, "--json"];
    words.extend(scopes.iter().flat_map(|scope| ["--scope", *scope]));
    let output = hub.command(&words);
    let issued: Value = serde_json::from_slice(&output.stdout).unwrap();
    issued["token"].as_str().unwrap().to_owned()
}

async fn ask(hub: &Program, token: &str, method: &str, path: &str, body: &Value) -> Reply {
    let bearer = format!("Bearer {token}");
    let url = format!("http://{}{path}", hub.main);
    let headers = [("authorization", bearer.as_str())];
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    client::send(method, &url, &headers, &body).await.unwrap()
}

async fn get(hub: &Program, token: &str, path: &str) -> u16 {
    ask(hub, token, "GET", path, &Value::Null).await.status
}

/// The built-in roles, on every path; and each refusal is in the audit log with who it was.
#[tokio::test]
async fn roles_decide_about_every_path() {
    let hub = start().await;
    let everywhere = [
        ("/v1/nodes", [200, 200, 200]),
        ("/v1/apps", [200, 200, 200]),
        ("/v1/tokens", [200, 200, 403]),
        ("/v1/api-tokens", [200, 200, 403]),
        ("/v1/audit", [200, 200, 403]),
        ("/v1/proxies", [200, 200, 403]),
        ("/v1/roles", [200, 200, 403]),
        ("/v1/users", [200, 403, 403]),
        ("/v1/me", [200, 200, 200]),
    ];
    for (number, role) in ["admin", "operator", "viewer"].into_iter().enumerate() {
        user(&hub, role, role);
        let token = token(&hub, role, &[]);
        for (path, expected) in everywhere {
            let status = get(&hub, &token, path).await;
            assert_eq!(status, expected[number], "{role} {path}");
        }
    }
    for path in everywhere.map(|(path, _)| path) {
        assert_eq!(hub.main("GET", path).await.status, 401, "{path}");
        let forged = format!("landline_api_{}", "x".repeat(47));
        assert_eq!(get(&hub, &forged, path).await, 401, "{path}");
    }
    let events = cluster::audit(&hub, "request.refused").await;
    let is = |actor: &str, path: &str| {
        events.iter().any(|event| {
            event["actor"] == actor && event["target"] == path && event["outcome"] == "refused"
        })
    };
    assert!(is("user:viewer", "path:/v1/tokens"), "{events:?}");
    assert!(is("user:operator", "path:/v1/users"), "{events:?}");
    assert!(is("anonymous", "path:/v1/nodes"), "{events:?}");
}

/// What is done is written down with the user who did it.
#[tokio::test]
async fn the_audit_log_names_the_user() {
    let hub = start().await;
    user(&hub, "ada", "admin");
    let token = token(&hub, "ada", &[]);
    let wanted = json!({"name": "ben", "roles": ["viewer"]});
    let added = ask(&hub, &token, "POST", "/v1/users", &wanted).await;
    assert_eq!(added.status, 200, "{}", added.text());
    let link = added.json()["link"].as_str().unwrap().to_owned();
    assert!(link.starts_with(&format!("http://{}/welcome/landline_invite_", hub.main)));
    let events = cluster::audit(&hub, "user.created").await;
    assert_eq!(events[0]["actor"], "user:local-admin");
    assert_eq!(events[1]["actor"], "user:ada");
    assert_eq!(events[1]["target"], "user:ben");
}

/// An operator can't make an administrator of themselves: not by a user, a link, a token, a role or
/// a machine that is part of the hub.
#[tokio::test]
async fn nobody_gives_away_more_than_they_have() {
    let hub = start().await;
    user(&hub, "ada", "admin");
    user(&hub, "oscar", "operator");
    let role = json!({
        "name": "reception",
        "allow": [{"kinds": ["users", "tokens"], "verbs": ["*"]}],
    });
    assert_eq!(
        cluster::admin(&hub, "POST", "/v1/roles", &role.to_string())
            .await
            .status,
        200
    );
    user(&hub, "rita", "reception");
    let (oscar, rita) = (
        token(&hub, "oscar", &[]),
        token(&hub, "rita", &["users:*", "tokens:*"]),
    );
    let of = |user: &str, scope: &str| json!({"user": user, "ttl_seconds": 60, "scopes": [scope]});
    let node = |role: &str| json!({"roles": [role], "ttl_seconds": 60, "uses": 1});
    let add = |role: &str| json!({"name": "new", "roles": [role]});
    let checks = [
        (&oscar, "/v1/tokens", node("node"), 200),
        (&oscar, "/v1/tokens", node("proxy"), 403),
        (&oscar, "/v1/api-tokens", of("oscar", "*:*"), 200),
        (&oscar, "/v1/api-tokens", of("ada", "*:*"), 403),
        (&oscar, "/v1/roles", role.clone(), 403),
        (&oscar, "/v1/users", add("operator"), 403),
        (&rita, "/v1/users", add("admin"), 403),
        (&rita, "/v1/users/ada/invitation", json!({}), 403),
        (&rita, "/v1/api-tokens", of("ada", "*:*"), 403),
        (&rita, "/v1/api-tokens", of("rita", "*:*"), 403),
        (&rita, "/v1/api-tokens", of("rita", "tokens:create"), 200),
    ];
    for (token, path, body, expected) in checks {
        let reply = ask(&hub, token, "POST", path, &body).await;
        assert_eq!(reply.status, expected, "{path} {body}: {}", reply.text());
    }
}

/// Tokens of scripts: limited to their scopes, listed without their secret, removed at once.
#[tokio::test]
async fn tokens_of_scripts_are_listed_and_removed() {
    let hub = start().await;
    user(&hub, "ada", "admin");
    let narrow = token(&hub, "ada", &["nodes:read"]);
    assert_eq!(get(&hub, &narrow, "/v1/nodes").await, 200);
    assert_eq!(get(&hub, &narrow, "/v1/users").await, 403);
    let listed = hub.command(&["tokens", "ls", "--role", "api", "--json"]);
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(!text.contains(&narrow), "a token is shown again");
    let listed: Value = serde_json::from_str(&text).unwrap();
    let id = listed["tokens"][0]["id"].as_str().unwrap();
    assert_eq!(listed["tokens"][0]["user"], "ada");
    assert!(hub.command(&["tokens", "rm", id]).status.success());
    assert_eq!(get(&hub, &narrow, "/v1/nodes").await, 401);
    let again = hub.command(&["tokens", "rm", id]);
    let text = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && text.contains(id), "{text}");
}

/// A role with labels shows the nodes and applications with these labels and no others.
#[tokio::test]
async fn lists_show_what_one_may_see() {
    let hub = start().await;
    let app = |name: &str| json!([{"name": name, "url": "http://127.0.0.1:1"}]);
    let prod = json!({"labels": {"env": "prod"}, "apps": app("shop")});
    let test = json!({"labels": {"env": "test"}, "apps": app("trial")});
    let _prod = cluster::join(&hub, "web-1", prod).await;
    let _test = cluster::join(&hub, "web-2", test).await;
    for (name, kind, verb) in [("looks", "nodes", "read"), ("uses", "apps", "use")] {
        let rule = json!({"kinds": [kind], "verbs": [verb], "labels": {"env": "prod"}});
        let role = json!({"name": name, "allow": [rule]});
        let put = cluster::admin(&hub, "POST", "/v1/roles", &role.to_string()).await;
        assert_eq!(put.status, 200, "{}", put.text());
        user(&hub, name, name);
    }
    user(&hub, "vera", "viewer");
    let names = |reply: Reply, key: &str| -> Vec<String> {
        let all = reply.json()[key].as_array().cloned().unwrap();
        all.iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let (looks, uses) = (token(&hub, "looks", &[]), token(&hub, "uses", &[]));
    let vera = token(&hub, "vera", &[]);
    let list = async |token: &str, key: &str| {
        let reply = ask(&hub, token, "GET", &format!("/v1/{key}"), &Value::Null).await;
        names(reply, key)
    };
    assert_eq!(list(&looks, "nodes").await, ["web-1"]);
    assert_eq!(get(&hub, &looks, "/v1/apps").await, 403);
    assert_eq!(list(&uses, "apps").await, ["shop"]);
    assert_eq!(get(&hub, &uses, "/v1/nodes").await, 403);
    assert_eq!(list(&vera, "nodes").await, ["web-1", "web-2"]);
    assert_eq!(list(&vera, "apps").await, ["shop", "trial"]);
    let seen = ask(&hub, &looks, "GET", "/v1/nodes", &Value::Null)
        .await
        .json();
    assert_eq!(seen["nodes"][0]["offers"]["apps"], json!([]));
}

/// Who is denied to read something can't read it by being allowed to use it; and nobody is called as
/// the administrator of this machine is.
#[tokio::test]
async fn a_denial_holds_and_a_name_is_not_free() {
    let hub = start().await;
    let role = json!({
        "name": "no-audit",
        "allow": [{"kinds": ["audit", "users"], "verbs": ["*"]}],
        "deny": [{"kinds": ["audit"], "verbs": ["read"]}],
    });
    let added = cluster::admin(&hub, "POST", "/v1/roles", &role.to_string()).await;
    assert_eq!(added.status, 200, "{}", added.text());
    user(&hub, "dora", "no-audit");
    let dora = token(&hub, "dora", &[]);
    assert_eq!(get(&hub, &dora, "/v1/audit").await, 403);
    assert_eq!(get(&hub, &dora, "/v1/users").await, 200);
    let wanted = json!({"name": "local-admin", "roles": ["viewer"]}).to_string();
    let refused = cluster::admin(&hub, "POST", "/v1/users", &wanted).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("not free"), "{}", refused.text());
}

/// The audit log is told from either end, and between two times.
#[tokio::test]
async fn the_audit_log_is_asked_by_time() {
    let hub = Program::start(&cluster::hub(json!({}))).await;
    for _ in 0..3 {
        cluster::token(&hub, json!({"roles": ["node"]})).await;
    }
    let told = |words: &[&str]| -> Vec<i64> {
        let all = cluster::run(&hub, &[&["audit", "--json"], words].concat());
        let events = all
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.map(|event| event["seq"].as_i64().unwrap()).collect()
    };
    let all = told(&["--kind", "token."]);
    assert!(all.len() >= 3 && all.is_sorted(), "{all:?}");
    let mut newest = told(&["--kind", "token.", "--newest-first", "--limit", "2"]);
    newest.reverse();
    assert_eq!(newest, all[all.len() - 2..]);
    assert_eq!(told(&["--kind", "token.", "--since", "1h"]), all);
    assert_eq!(told(&["--kind", "token.", "--until", "1h"]), [0_i64; 0]);
    let output = hub.command(&["audit", "--since", "yesterday"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("7d ago"),
        "{said}"
    );
    let reply = cluster::admin(&hub, "GET", "/v1/audit?until=noon", "").await;
    assert!(
        reply.status == 400 && reply.text().contains("noon"),
        "{}",
        reply.text()
    );
}
