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
    ask("POST", "/v1/roles", &json!({"name": user, "allow": [rule]}))?;
    let users = ask("GET", "/v1/users", &Value::Null)?;
    let mut users = users
        .get("users")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    if !users.any(|one| one.get("name").is_some_and(|name| *name == user)) {
        ask("POST", "/v1/users", &json!({"name": user, "roles": [user]}))?;
    }
    let wanted = json!({"user": user, "ttl_seconds": ttl_seconds, "scopes": [SCOPE],
        "purpose": "pushprox-client"});
    ask("POST", "/v1/api-tokens", &wanted)
}
