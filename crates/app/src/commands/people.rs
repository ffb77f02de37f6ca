//! Commands about people and their scripts: users, roles, API tokens.

use std::process::ExitCode;
use std::time::Duration;

use base::config::format_duration;
use base::files;
use serde_json::{Value, json};

use super::cluster::{call, fail, list, print_json};
use super::{Question, plain};
use crate::cli::{AddRoleArguments, AddTokenArguments, AddUserArguments, ResetUserArguments};
use crate::environment::Environment;

const TTL: &str = "--ttl is a time such as 30m, 1h or 7d";
/// The largest file with a role.
const ROLE_BYTES_MAX: u64 = 64 << 10;

/// `landline users add`
pub(crate) fn add_user(arguments: &AddUserArguments, environment: &Environment) -> ExitCode {
    let Some(life) = base::config::parse_duration(&arguments.ttl) else {
        return fail(TTL);
    };
    let request = json!({
        "name": arguments.name,
        "roles": arguments.role,
        "ttl_seconds": life.as_secs(),
    });
    let question = &arguments.question;
    match call(
        question,
        environment,
        "POST",
        "/v1/users",
        &request.to_string(),
    ) {
        Ok(added) if question.json => print_json(&added),
        Ok(added) => {
            let (name, roles) = (&arguments.name, arguments.role.join(", "));
            println!("{name} is here now, with {roles}. With this link they choose a password:\n");
            print_link(&added, life);
            let word = |key: &str| added.get(key).map(plain).unwrap_or_default();
            let (proxy, pin) = (word("proxy"), word("ca_pin"));
            println!("\nThen their command line can ask this hub, and scripts with a token:\n");
            println!("  landline login --proxy {proxy} --ca-pin {pin} --user {name}");
            println!("  landline tokens add --role api --user {name} --ttl 30d");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

/// `landline users reset`
pub(crate) fn reset_user(arguments: &ResetUserArguments, environment: &Environment) -> ExitCode {
    let Some(life) = base::config::parse_duration(&arguments.ttl) else {
        return fail(TTL);
    };
    let path = format!("/v1/users/{}/invitation", path_part(&arguments.name));
    let request = json!({"ttl_seconds": life.as_secs()}).to_string();
    match call(&arguments.question, environment, "POST", &path, &request) {
        Ok(reset) if arguments.question.json => print_json(&reset),
        Ok(reset) => {
            let name = &arguments.name;
            println!(
                "With this link {name} chooses another password. The second factor goes, and sessions end:\n"
            );
            print_link(&reset, life);
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

fn print_link(answer: &Value, life: Duration) {
    let link = answer.get("link").map(plain).unwrap_or_default();
    println!("  {link}\n");
    println!(
        "It works once, within {}. It is not shown again.",
        format_duration(life)
    );
}

/// A name as a part of a path. Names hold nothing that would have to be escaped; others are refused.
fn path_part(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect()
}

/// `landline users ls`
pub(crate) fn list_users(question: &Question, environment: &Environment) -> ExitCode {
    let columns = ["name", "roles", "signed_in_at", "created_at", "created_by"];
    list(question, environment, "/v1/users", "users", &columns)
}

/// `landline roles add`
pub(crate) fn add_role(arguments: &AddRoleArguments, environment: &Environment) -> ExitCode {
    let file = environment.folder.join(&arguments.file);
    let document = match files::read_text_limited(&file, ROLE_BYTES_MAX) {
        Ok(document) => document,
        Err(error) => return fail(&format!("{}: {error}", file.display())),
    };
    match call(
        &arguments.question,
        environment,
        "POST",
        "/v1/roles",
        &document,
    ) {
        Ok(role) if arguments.question.json => print_json(&role),
        Ok(role) => {
            println!("{}", role.get("name").map(plain).unwrap_or_default());
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

/// `landline roles ls`
pub(crate) fn list_roles(question: &Question, environment: &Environment) -> ExitCode {
    let columns = ["name", "allow", "deny"];
    list(question, environment, "/v1/roles", "roles", &columns)
}

/// `landline tokens ls --role api`
pub(crate) fn list_tokens(question: &Question, environment: &Environment) -> ExitCode {
    let columns = [
        "id",
        "user",
        "scopes",
        "used_at",
        "expires_at",
        "created_by",
    ];
    list(question, environment, "/v1/api-tokens", "tokens", &columns)
}

/// `landline tokens add --role api`
pub(super) fn add_token(arguments: &AddTokenArguments, environment: &Environment) -> ExitCode {
    if arguments.role.len() > 1 {
        return fail("--role api stands alone: machines join with a token of their own");
    }
    if arguments.name.is_some() || !arguments.label.is_empty() || arguments.uses != 1 {
        return fail("--name, --label and --uses are for machines that join");
    }
    let Some(life) = base::config::parse_duration(&arguments.ttl) else {
        return fail(TTL);
    };
    let user = arguments.user.clone().unwrap_or_default();
    let scopes = if arguments.scope.is_empty() {
        vec!["*:*".to_owned()]
    } else {
        arguments.scope.clone()
    };
    let request = json!({"user": user, "ttl_seconds": life.as_secs(), "scopes": scopes});
    let request = request.to_string();
    let path = "/v1/api-tokens";
    match call(&arguments.question, environment, "POST", path, &request) {
        Ok(issued) if arguments.question.json => print_json(&issued),
        Ok(issued) => {
            println!(
                "token   {}",
                issued
                    .get("token")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            );
            println!(
                "\nScripts of {user} send it as `Authorization: Bearer …` for {}. It is not shown again.",
                format_duration(life)
            );
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}
