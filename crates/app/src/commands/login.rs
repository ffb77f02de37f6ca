//! `landline login`, `logout` and `whoami`: a person's session at a hub, for the other commands.

use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;

use base::files;
use base::secret::Secret;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
use serde_json::{Value, json};

use super::cluster::{fail, print_json, time_text};
use super::hub::Way;
use super::logins::{Login, Logins};
use super::{Question, plain, with_running};
use crate::cli::{LoginArguments, LogoutArguments};
use crate::environment::Environment;

/// The largest file with a password, and the longest line that is typed.
const PASSWORD_BYTES_MAX: u64 = 4 << 10;
/// The longest line that is typed.
const LINE_BYTES_MAX: usize = 4 << 10;
const CTRL_C: u8 = 3;

/// `landline login`
pub(crate) fn login(arguments: &LoginArguments, environment: &Environment) -> ExitCode {
    if arguments.status {
        return who(&arguments.question, environment);
    }
    match sign_in(arguments, environment) {
        Ok(answer) if arguments.question.json => print_json(&answer),
        Ok(answer) => {
            let word = |key: &str| answer.get(key).map(plain).unwrap_or_default();
            let until = answer.get("expires_at").and_then(Value::as_i64);
            println!(
                "{} is signed in at {} until {}, or 12 hours after the last use",
                word("user"),
                word("proxy"),
                time_text(until.unwrap_or_default())
            );
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

/// `landline logout`
pub(crate) fn logout(arguments: &LogoutArguments, environment: &Environment) -> ExitCode {
    let ended = end(arguments.proxy.as_deref(), environment);
    match ended {
        Ok(proxy) => {
            println!("signed out at {proxy}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

/// `landline whoami`
pub(crate) fn who(question: &Question, environment: &Environment) -> ExitCode {
    let asked = Way::find(question, environment)
        .and_then(|way| Ok((way.call("GET", "/v1/me", "")?, way.name)));
    match asked {
        Ok((mut who, proxy)) => {
            if question.json {
                if let Some(who) = who.as_object_mut() {
                    who.insert("proxy".to_owned(), json!(proxy));
                }
                return print_json(&who);
            }
            let roles = who.get("roles").and_then(Value::as_array);
            let roles: Vec<String> = roles.into_iter().flatten().map(plain).collect();
            let user = who.get("user").map(plain).unwrap_or_default();
            println!("{user} ({}) at {proxy}", roles.join(", "));
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

fn sign_in(arguments: &LoginArguments, environment: &Environment) -> Result<Value, String> {
    let mut logins = Logins::read(environment)?;
    let proxy = arguments.question.proxy.as_deref();
    let before = logins
        .find(proxy)
        .map(|(name, login)| (name.to_owned(), login.clone()));
    let (way, ca_pins, is_local) = hub(arguments, environment, before.as_ref())?;
    let name = match (&arguments.user, &before) {
        (Some(name), _) => name.clone(),
        (None, Some((_, login))) => login.user.clone(),
        (None, None) => ask_line("Name: ")?,
    };
    let password = password(arguments, environment, &name)?;
    let mut request = json!({"name": name, "password": password.expose()});
    let mut answered = way.ask("POST", "/v1/login", &request.to_string())?;
    let code = answered.body.pointer("/error/code").and_then(Value::as_str);
    if code == Some("second_factor_needed") {
        let code = ask_line("Code of your authenticator app: ")?;
        if let Some(request) = request.as_object_mut() {
            request.insert("code".to_owned(), json!(code));
        }
        answered = way.ask("POST", "/v1/login", &request.to_string())?;
    }
    if answered.status != 200 {
        let message = answered
            .body
            .pointer("/error/message")
            .and_then(Value::as_str);
        return Err(match message {
            Some(message) => format!("{}: {message}", way.name),
            None => format!(
                "{} answered {}: is it a landline hub?",
                way.name, answered.status
            ),
        });
    }
    let word = |key: &str| answered.body.get(key).map(plain).unwrap_or_default();
    let expires_at = answered.body.get("expires_at").and_then(Value::as_i64);
    let login = Login {
        user: word("user"),
        token: word("token"),
        ca_pins,
        is_local,
        expires_at: expires_at.unwrap_or_default(),
    };
    let shown = json!({"user": login.user, "proxy": way.name, "expires_at": login.expires_at});
    logins.put(&way.name, login)?;
    logins.write(environment)?;
    Ok(shown)
}

/// The hub, its pins, and whether it is this machine: what was said, the hub of the last login, or
/// the process of this machine.
fn hub(
    arguments: &LoginArguments,
    environment: &Environment,
    before: Option<&(String, Login)>,
) -> Result<(Way, Vec<String>, bool), String> {
    let pins = arguments.ca_pin.iter().flat_map(|pins| pins.split(','));
    let pins: Vec<String> = pins.map(|pin| pin.trim().to_owned()).collect();
    match (arguments.question.proxy.as_deref(), before) {
        (Some(proxy), before) => {
            let kept = before.map(|(_, login)| login.ca_pins.clone());
            let pins = if pins.is_empty() {
                kept.unwrap_or_default()
            } else {
                pins
            };
            let way = Way::of_proxy(proxy, pins.clone(), environment)?;
            Ok((way, pins, false))
        }
        (None, Some((name, login))) if !login.is_local => {
            let way = Way::of_proxy(name, login.ca_pins.clone(), environment)?;
            Ok((way, login.ca_pins.clone(), false))
        }
        (None, _) => {
            let config = arguments.question.config.as_deref();
            let way = with_running(config, environment, |address, _| Ok(Way::of_local(address)));
            let way = way.map_err(|error| {
                format!("{error}; for a hub elsewhere use `landline login --proxy <host:port>`")
            })?;
            Ok((way, Vec::new(), true))
        }
    }
}

fn end(proxy: Option<&str>, environment: &Environment) -> Result<String, String> {
    let mut logins = Logins::read(environment)?;
    let Some((name, _)) = logins.find(proxy) else {
        return Err("nobody is signed in".to_owned());
    };
    let name = name.to_owned();
    // Only a session of this file is ended, whatever the environment says.
    let mut without = environment.clone();
    without.variables.remove(super::hub::TOKEN_VARIABLE);
    let ended = Way::remote(Some(&name), &without)
        .and_then(|way| Ok(way.ask("POST", "/v1/logout", "")?.status));
    logins.remove(&name);
    logins.write(environment)?;
    match ended {
        // One that had ended is what was wanted.
        Ok(200 | 401) => Ok(name),
        Ok(status) => Err(format!(
            "{name} answered {status}; the session is forgotten here"
        )),
        Err(error) => Err(format!(
            "{error}; the session is forgotten here, and ends by itself"
        )),
    }
}

fn password(
    arguments: &LoginArguments,
    environment: &Environment,
    name: &str,
) -> Result<Secret, String> {
    if let Some(file) = &arguments.password_file {
        let file = environment.folder.join(file);
        let text = files::read_text_limited(&file, PASSWORD_BYTES_MAX);
        let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
        return Ok(Secret::new(text.trim_end_matches(['\r', '\n'])));
    }
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err("a password is typed at a terminal: use --password-file here".to_owned());
    }
    let before = tcgetattr(&input).map_err(|error| format!("the terminal: {error}"))?;
    let mut silent = before.clone();
    // Ctrl-C comes as a character that ends the line: its signal would leave the terminal silent.
    silent
        .local_modes
        .remove(LocalModes::ECHO | LocalModes::ISIG);
    silent.local_modes.insert(LocalModes::ECHONL);
    silent.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
    let set = tcsetattr(&input, OptionalActions::Flush, &silent);
    set.map_err(|error| format!("the terminal: {error}"))?;
    let line = ask_line(&format!("Password of {name}: "));
    let set = tcsetattr(&input, OptionalActions::Now, &before);
    set.map_err(|error| format!("the terminal: {error}"))?;
    line.map(Secret::new)
}

/// Asks for a line on the terminal, or takes it from what is piped in.
fn ask_line(question: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("the answer can't be read: {error}");
    let mut output = std::io::stderr();
    output.write_all(question.as_bytes()).map_err(failed)?;
    output.flush().map_err(failed)?;
    let mut line = Vec::new();
    for byte in std::io::stdin().lock().bytes().take(LINE_BYTES_MAX) {
        match byte.map_err(failed)? {
            b'\n' => break,
            CTRL_C => return Err("cancelled".to_owned()),
            byte => line.push(byte),
        }
    }
    let line = String::from_utf8(line).map_err(|_| "what was entered is not UTF-8".to_owned())?;
    let line = line.trim_end_matches('\r');
    if line.is_empty() {
        return Err("nothing was entered".to_owned());
    }
    Ok(line.to_owned())
}
