//! `landline tokens add --role pushprox`: a user with a role for the names of a client, and a token of
//! that user, in one step.

use std::process::ExitCode;

use base::config::format_duration;
use serde_json::{Value, json};

use super::cluster::{call, fail, print_json};
use super::plain;
use crate::cli::AddTokenArguments;
use crate::environment::Environment;

/// What the token may do.
const SCOPE: &str = "metrics:create";

/// Makes what is missing, and the token.
pub(super) fn add_token(arguments: &AddTokenArguments, environment: &Environment) -> ExitCode {
    if arguments.role.len() > 1 {
        return fail("--role pushprox stands alone");
    }
    let takes_more = arguments.user.is_some() || !arguments.scope.is_empty();
    if takes_more || !arguments.label.is_empty() || arguments.uses != 1 {
        return fail("--role pushprox goes with --name and --ttl only");
    }
    let names = arguments.name.as_deref().unwrap_or_default();
    let names: Vec<&str> = names.split(',').map(str::trim).collect();
    if names.iter().any(|name| name.is_empty()) {
        let text = "--name is what the client polls as: its --fqdn, or the name of its machine";
        return fail(text);
    }
    let Some(life) = base::config::parse_duration(&arguments.ttl) else {
        return fail("--ttl is a time such as 30m, 1h or 365d");
    };
    match make(arguments, environment, &names, life.as_secs()) {
        Ok(issued) if arguments.question.json => print_json(&issued),
        Ok(issued) => {
            let word = |key: &str| issued.get(key).map(plain).unwrap_or_default();
            let (token, user) = (word("token"), word("user"));
            println!("token   {token}");
            println!(
                "\nA pushprox-client answers with it as {} for {}. It is not shown again.\n",
                names.join(" or "),
                format_duration(life)
            );
            println!(
                "  pushprox-client --fqdn={} --tls.cacert=ca.pem \\",
                names.first().unwrap_or(&"")
            );
            println!("    --proxy-url=https://{user}:{token}@<public_addr>/");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

/// The one of that name in a list of the hub.
fn named<'a>(answer: &'a Value, list: &str, name: &str) -> Option<&'a Value> {
    let mut all = answer.get(list).and_then(Value::as_array)?.iter();
    all.find(|one| one.get("name").is_some_and(|found| found == name))
}

/// Whether a role lets clients of all these names in.
fn lets_in(role: &Value, names: &[&str]) -> bool {
    let rules = role.get("allow").and_then(Value::as_array);
    let clients = rules.into_iter().flatten().filter_map(|rule| {
        let client = rule.pointer("/labels/client")?;
        Some(
            client
                .as_array()
                .map_or_else(|| vec![client.clone()], Clone::clone),
        )
    });
    let clients: Vec<Value> = clients.flatten().collect();
    names
        .iter()
        .all(|name| clients.iter().any(|client| client == name))
}

fn make(
    arguments: &AddTokenArguments,
    environment: &Environment,
    names: &[&str],
    ttl_seconds: u64,
) -> Result<Value, String> {
    let ask = |method: &str, path: &str, body: &Value| {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        call(&arguments.question, environment, method, path, &body)
    };
    let user = format!("pushprox-{}", names.first().unwrap_or(&""));
    let rule = json!({"kinds": ["metrics"], "verbs": ["create"], "labels": {"client": names}});
    let roles = ask("GET", "/v1/roles", &Value::Null)?;
    match named(&roles, "roles", &user) {
        None => drop(ask(
            "POST",
            "/v1/roles",
            &json!({"name": user, "allow": [rule]}),
        )?),
        Some(role) if lets_in(role, names) => {}
        // Tokens that are in use count on the role as it is.
        Some(_) => {
            return Err(format!(
                "the role {user} is there and does not let all of these names in: change it with \
                 `landline roles add`, or begin with another name"
            ));
        }
    }
    let users = ask("GET", "/v1/users", &Value::Null)?;
    if named(&users, "users", &user).is_none() {
        ask("POST", "/v1/users", &json!({"name": user, "roles": [user]}))?;
    }
    let wanted = json!({"user": user, "ttl_seconds": ttl_seconds, "scopes": [SCOPE],
        "purpose": "pushprox-client"});
    ask("POST", "/v1/api-tokens", &wanted)
}
