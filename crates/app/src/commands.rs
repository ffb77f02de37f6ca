//! The commands that answer and end: they start nothing and change nothing here.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "answers go to the terminal"
)]

pub(crate) mod artefacts;
mod asking;
pub(crate) mod cluster;
pub(crate) mod forward;
mod hub;
pub(crate) mod login;
mod logins;
pub(crate) mod operations;
pub(crate) mod people;
mod pushprox;
pub(crate) mod query;
pub(crate) mod records;
pub(crate) mod store;

use std::io::{IsTerminal, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use base::files;
use base::process::exit_code;
use serde_json::{Value, json};

use crate::cli::{ConfigFile, LocalQuestion, Question};
use crate::config::{self, Loaded};
use crate::environment::Environment;
use crate::report;
use crate::roles::ROLES;

/// The longest wait for a running process.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// The exit code of a command whose question has no good answer.
const NO: u8 = 1;

/// `landline config check`
pub(crate) fn check(question: &LocalQuestion, environment: &Environment) -> ExitCode {
    let loaded = config::load(
        question.config.as_deref(),
        &environment.folder,
        &environment.variables,
    );
    let Some(config) = &loaded.config else {
        return refuse(&loaded, question.json);
    };
    if question.json {
        let problems = serde_json::to_value(&loaded.problems).unwrap_or_default();
        println!("{:#}", json!({"config": config, "problems": problems}));
        return ExitCode::SUCCESS;
    }
    eprint!(
        "{}",
        report::render(
            &loaded.file(),
            &loaded.problems,
            std::io::stderr().is_terminal()
        )
    );
    match serde_saphyr::to_string(config) {
        Ok(yaml) => {
            print!("{yaml}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("landline: the configuration can't be shown: {error}");
            ExitCode::from(exit_code::FAILED)
        }
    }
}

/// Shows what is wrong and gives the exit code for it.
pub(crate) fn refuse(loaded: &Loaded, is_json: bool) -> ExitCode {
    if is_json {
        println!("{:#}", report::to_json(&loaded.file(), &loaded.problems));
    } else {
        let is_coloured = std::io::stderr().is_terminal();
        eprint!(
            "{}",
            report::render(&loaded.file(), &loaded.problems, is_coloured)
        );
    }
    ExitCode::from(exit_code::CONFIGURATION)
}

/// `landline status`
pub(crate) fn status(question: &LocalQuestion, environment: &Environment) -> ExitCode {
    let answer = with_running(question.config.as_deref(), environment, |address, _| {
        ask(address, "GET", "/readyz")
    });
    let answer = answer.and_then(|(_, body)| {
        serde_json::from_str::<Value>(&body).map_err(|_| "the answer is not JSON".to_owned())
    });
    let status = match answer {
        Ok(status) => status,
        Err(error) if question.json => {
            println!("{:#}", json!({"status": "not running", "error": error}));
            return ExitCode::from(NO);
        }
        Err(error) => {
            eprintln!("landline: {error}");
            return ExitCode::from(NO);
        }
    };
    if question.json {
        println!("{status:#}");
    } else {
        let word = |value: &Value, key: &str| value.get(key).map(plain).unwrap_or_default();
        println!("{}  pid {}", word(&status, "status"), word(&status, "pid"));
        let components = status.get("components").and_then(Value::as_array);
        for component in components.into_iter().flatten() {
            let (name, state) = (word(component, "name"), word(component, "state"));
            println!("  {name:<24} {state:<10} {}", word(component, "reason"));
        }
    }
    let is_ok = status.get("status").and_then(Value::as_str) == Some("ok");
    if is_ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NO)
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// `landline reload`
pub(crate) fn reload(file: &ConfigFile, environment: &Environment) -> ExitCode {
    let answer = with_running(file.config.as_deref(), environment, |address, _| {
        ask(address, "POST", "/-/reload")
    });
    match answer {
        Ok((200, body)) => {
            print!("{body}");
            ExitCode::SUCCESS
        }
        Ok((_, body)) => {
            eprint!("{body}");
            ExitCode::from(NO)
        }
        Err(error) => {
            eprintln!("landline: {error}");
            ExitCode::from(NO)
        }
    }
}

/// `landline version`
pub(crate) fn version(is_json: bool) -> ExitCode {
    let version = env!("CARGO_PKG_VERSION");
    if is_json {
        let roles: Vec<_> = ROLES
            .iter()
            .map(|row| json!({"name": row.name, "about": row.about}))
            .collect();
        println!("{:#}", json!({"version": version, "roles": roles}));
    } else {
        println!("landline {version}");
    }
    ExitCode::SUCCESS
}

/// `landline completions`
pub(crate) fn completions(shell: clap_complete::Shell, command: &mut clap::Command) -> ExitCode {
    clap_complete::generate(shell, command, "landline", &mut std::io::stdout());
    ExitCode::SUCCESS
}

/// `landline manual`
pub(crate) fn manual(command: clap::Command) -> ExitCode {
    match clap_mangen::Man::new(command).render(&mut std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(exit_code::FAILED),
    }
}

/// Finds the process that runs with a configuration by what it wrote into its data directory.
fn with_running<T>(
    file: Option<&Path>,
    environment: &Environment,
    question: impl FnOnce(SocketAddr, &Path) -> Result<T, String>,
) -> Result<T, String> {
    let loaded = config::load(file, &environment.folder, &environment.variables);
    // A configuration that is wrong now may still tell where the process is that must refuse it.
    let (data_dir, how) = loaded.place();
    let path = data_dir.join(crate::boot::LISTENERS_FILE);
    let text = files::read_text_limited(&path, 64 << 10).map_err(|error| {
        let place = data_dir.display();
        format!(
            "no running landline found in {place} ({how}): {}: {error}",
            crate::boot::LISTENERS_FILE
        )
    })?;
    let address = serde_json::from_str::<Value>(&text)
        .ok()
        .and_then(|json| json.get("main")?.as_str()?.parse::<SocketAddr>().ok())
        .ok_or_else(|| format!("{} names no main listener", path.display()))?;
    question(address, &data_dir)
}

/// One request over plain HTTP on loopback.
fn ask(mut address: SocketAddr, method: &str, path: &str) -> Result<(u16, String), String> {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let failed = |error: std::io::Error| format!("no answer from {address}: {error}");
    let mut stream = TcpStream::connect_timeout(&address, ASK_TIMEOUT).map_err(failed)?;
    stream.set_read_timeout(Some(ASK_TIMEOUT)).map_err(failed)?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_string(&mut answer)
        .map_err(failed)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or("the answer is not HTTP")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.ok_or("the answer is not HTTP")?, body.to_owned()))
}
