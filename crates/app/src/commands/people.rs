//! Commands about people and their scripts: users, roles, API tokens.

use std::process::ExitCode;

use base::config::format_duration;
use base::files;
use serde_json::{Value, json};

use super::cluster::{call, fail, list, print_json};
use super::{Question, plain};
use crate::cli::{AddRoleArguments, AddTokenArguments, AddUserArguments};
use crate::environment::Environment;

/// The largest file with a role.
const ROLE_BYTES_MAX: u64 = 64 << 10;

/// `landline users add`
pub(crate) fn add_user(arguments: &AddUserArguments, environment: &Environment) -> ExitCode {
    let request = json!({"name": arguments.name, "roles": arguments.role}).to_string();
    match call(
        &arguments.question,
        environment,
        "POST",
        "/v1/users",
        &request,
    ) {
        Ok(added) if arguments.question.json => print_json(&added),
        Ok(_) => {
            let (name, roles) = (&arguments.name, arguments.role.join(", "));
            println!("{name} is here now, with {roles}. A token for their scripts:\n");
            println!("  landline tokens add --role api --user {name} --ttl 30d");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

/// `landline users ls`
pub(crate) fn list_users(question: &Question, environment: &Environment) -> ExitCode {
    let columns = ["name", "roles", "created_at", "created_by"];
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

/// `landline tokens add --role api`
pub(super) fn add_token(arguments: &AddTokenArguments, environment: &Environment) -> ExitCode {
    if arguments.role.len() > 1 {
        return fail("--role api stands alone: machines join with a token of their own");
    }
    if arguments.name.is_some() || !arguments.label.is_empty() || arguments.uses != 1 {
        return fail("--name, --label and --uses are for machines that join");
    }
    let Some(life) = base::config::parse_duration(&arguments.ttl) else {
        return fail("--ttl is a time such as 30m, 1h or 7d");
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
