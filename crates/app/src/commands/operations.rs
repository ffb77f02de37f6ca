//! Commands that keep the cluster's identity in order: locks, authorities, removing.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::cluster::{call, fail, list, print_json};
use super::{Question, plain};
use crate::environment::Environment;

/// `landline locks …`
#[derive(Debug, Subcommand)]
pub(crate) enum LocksCommand {
    /// Lock somebody out, at once: open lines and connections end, new ones are refused
    Add(AddLockArguments),
    /// List the locks that hold
    Ls(Question),
    /// Remove a lock
    Rm(RemoveArguments),
}

/// `landline authorities …`
#[derive(Debug, Subcommand)]
pub(crate) enum AuthoritiesCommand {
    /// List them, with the phase of their rotation and whom it waits for
    Ls(Question),
    /// Replace one, step by step: without --to the next phase
    Rotate(RotateArguments),
}

/// Whom, and why.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("whom").required(true))]
pub(crate) struct AddLockArguments {
    /// A user: their sessions, API tokens, connections to applications
    #[arg(long, group = "whom")]
    user: Option<String>,
    /// A machine: its lines and the renewal of its certificate
    #[arg(long, group = "whom")]
    node: Option<String>,
    /// A proxy: its lines, and what other proxies do with it
    #[arg(long, group = "whom")]
    proxy_name: Option<String>,
    /// A join token or an API token, by its identifier
    #[arg(long, group = "whom")]
    token: Option<String>,
    /// All users, or machines, with a role
    #[arg(long, group = "whom")]
    role: Option<String>,
    /// Why: those hear it who are locked out
    #[arg(long)]
    reason: String,
    /// How long [default: until it is removed]
    #[arg(long)]
    ttl: Option<String>,
    #[command(flatten)]
    question: Question,
}

/// What is to go.
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArguments {
    /// Its name, or the identifier that `ls` shows
    name: String,
    #[command(flatten)]
    question: Question,
}

/// Whose second factor.
#[derive(Debug, clap::Args)]
pub(crate) struct SecondFactorArguments {
    /// The user
    name: String,
    /// Take the authenticator app away, for instance after it was lost
    #[arg(long, required = true)]
    remove: bool,
    #[command(flatten)]
    question: Question,
}

/// Which authority, and how far.
#[derive(Debug, clap::Args)]
pub(crate) struct RotateArguments {
    /// Which one
    #[arg(default_value = "x509", value_parser = ["x509", "ssh_user", "ssh_host", "jwt"])]
    kind: String,
    /// To this phase
    #[arg(long, value_name = "PHASE",
        value_parser = ["init", "update_clients", "update_servers", "standby", "rollback"])]
    to: Option<String>,
    /// Back: the authority that was there first signs everything again
    #[arg(long, conflicts_with = "to")]
    rollback: bool,
    /// All further phases follow by themselves, each when nobody is cut off by it
    #[arg(long)]
    auto: bool,
    /// Go on, whoever is cut off by it
    #[arg(long, conflicts_with = "auto")]
    force: bool,
    #[command(flatten)]
    question: Question,
}

/// Runs `landline locks …`
pub(crate) fn locks(command: &LocksCommand, environment: &Environment) -> ExitCode {
    match command {
        LocksCommand::Add(arguments) => add_lock(arguments, environment),
        LocksCommand::Ls(question) => {
            let columns = [
                "id",
                "kind",
                "name",
                "reason",
                "expires_at",
                "created_at",
                "created_by",
            ];
            list(question, environment, "/v1/locks", "locks", &columns)
        }
        LocksCommand::Rm(arguments) => remove(arguments, "/v1/locks", environment),
    }
}

/// Runs `landline authorities …`
pub(crate) fn authorities(command: &AuthoritiesCommand, environment: &Environment) -> ExitCode {
    match command {
        AuthoritiesCommand::Ls(question) => {
            match call(question, environment, "GET", "/v1/authorities", "") {
                Ok(answer) => show(question, &answer),
                Err(error) => fail(&error),
            }
        }
        AuthoritiesCommand::Rotate(arguments) => rotate(arguments, environment),
    }
}

fn add_lock(arguments: &AddLockArguments, environment: &Environment) -> ExitCode {
    let whom = [
        ("user", &arguments.user),
        ("node", &arguments.node),
        ("proxy", &arguments.proxy_name),
        ("token", &arguments.token),
        ("role", &arguments.role),
    ];
    let whom = whom
        .into_iter()
        .find_map(|(kind, name)| Some((kind, name.as_ref()?)));
    let Some((kind, name)) = whom else {
        return fail("say whom: --user, --node, --proxy-name, --token or --role");
    };
    let life = match &arguments.ttl {
        None => None,
        Some(text) => match base::config::parse_duration(text) {
            Some(life) => Some(life.as_secs()),
            None => return fail("--ttl is a time such as 30m, 1h or 7d"),
        },
    };
    let request = json!({
        "kind": kind,
        "name": name,
        "reason": arguments.reason,
        "ttl_seconds": life,
    });
    let question = &arguments.question;
    match call(
        question,
        environment,
        "POST",
        "/v1/locks",
        &request.to_string(),
    ) {
        Ok(added) if question.json => print_json(&added),
        Ok(added) => {
            println!("{}", added.get("id").map(plain).unwrap_or_default());
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

fn rotate(arguments: &RotateArguments, environment: &Environment) -> ExitCode {
    let to = match (&arguments.to, arguments.rollback) {
        (_, true) => Some("rollback"),
        (to, false) => to.as_deref(),
    };
    let request = json!({"to": to, "auto": arguments.auto, "force": arguments.force});
    let path = format!("/v1/authorities/{}/rotate", arguments.kind);
    let question = &arguments.question;
    match call(question, environment, "POST", &path, &request.to_string()) {
        Ok(answer) => show(question, &answer),
        Err(error) => fail(&error),
    }
}

fn show(question: &Question, answer: &Value) -> ExitCode {
    if question.json {
        return print_json(answer);
    }
    let rows = answer.get("authorities").and_then(Value::as_array);
    for row in rows.into_iter().flatten() {
        let word = |key: &str| row.get(key).map(plain).unwrap_or_default();
        let texts = |key: &str| -> Vec<String> {
            let all = row.get(key).and_then(Value::as_array);
            all.into_iter().flatten().map(plain).collect()
        };
        let is_automatic = row.get("automatic").and_then(Value::as_bool);
        let pace = if is_automatic == Some(true) {
            "  goes on by itself"
        } else {
            ""
        };
        println!("{:<9} {}{pace}", word("kind"), word("phase"));
        for public in texts("public") {
            println!("          {public}");
        }
        for obstacle in texts("waits_for") {
            println!("          waits: {obstacle}");
        }
    }
    ExitCode::SUCCESS
}

/// `landline users rm`, and the like.
pub(crate) fn remove(
    arguments: &RemoveArguments,
    path: &str,
    environment: &Environment,
) -> ExitCode {
    let path = format!("{path}/{}", segment(&arguments.name));
    delete(&arguments.question, &path, environment)
}

/// `landline users second-factor NAME --remove`
pub(crate) fn second_factor(
    arguments: &SecondFactorArguments,
    environment: &Environment,
) -> ExitCode {
    let path = format!("/v1/users/{}/second-factor", segment(&arguments.name));
    delete(&arguments.question, &path, environment)
}

fn delete(question: &Question, path: &str, environment: &Environment) -> ExitCode {
    match call(question, environment, "DELETE", path, "") {
        Ok(answer) if question.json => print_json(&answer),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// A name as one segment of a path.
fn segment(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect()
}
