//! Commands about the cluster. They ask a hub, that of this machine first.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use base::config::format_duration;
use serde_json::{Value, json};

use super::asking::Outcome;
use super::asking::query::{Query, moment, now, rfc3339};
use super::asking::text;
use super::hub::Way;
use super::{NO, Question, people, plain, pushprox};
use crate::cli::{AddTokenArguments, AuditArguments};
use crate::environment::Environment;

/// Events of the audit log that are asked for at once.
const AUDIT_PAGE: usize = 500;

/// `landline tokens add`
pub(crate) fn add_token(arguments: &AddTokenArguments, environment: &Environment) -> ExitCode {
    if arguments.role.iter().any(|role| role == "api") {
        return people::add_token(arguments, environment);
    }
    if arguments.role.iter().any(|role| role == "pushprox") {
        return pushprox::add_token(arguments, environment);
    }
    if arguments.user.is_some() || !arguments.scope.is_empty() {
        return fail("--user and --scope go with --role api");
    }
    let labels: Result<Vec<_>, String> = arguments
        .label
        .iter()
        .map(|label| read_label(label))
        .collect();
    let life = base::config::parse_duration(&arguments.ttl);
    let (labels, life) = match (labels, life) {
        (Ok(labels), Some(life)) => (labels, life),
        (Err(error), _) => return fail(&error),
        (_, None) => return fail("--ttl is a time such as 30m, 1h or 7d"),
    };
    let labels: serde_json::Map<_, _> = labels.into_iter().collect();
    let request = json!({
        "roles": arguments.role,
        "ttl_seconds": life.as_secs(),
        "uses": arguments.uses,
        "name": arguments.name.clone().unwrap_or_default(),
        "labels": labels,
    });
    let answer = call(
        &arguments.question,
        environment,
        "POST",
        "/v1/tokens",
        &request.to_string(),
    );
    match answer {
        Ok(issued) if arguments.question.json => print_json(&issued),
        Ok(issued) => print_token(arguments, &issued, life),
        Err(error) => fail(&error),
    }
}

/// `landline tokens ls`
pub(crate) fn list_tokens(question: &Question, environment: &Environment) -> ExitCode {
    let columns = [
        "id",
        "roles",
        "name",
        "uses_left",
        "expires_at",
        "created_by",
    ];
    list(question, environment, "/v1/tokens", "tokens", &columns)
}

/// `landline nodes ls`
pub(crate) fn list_nodes(question: &Question, environment: &Environment) -> ExitCode {
    let columns = [
        "name",
        "state",
        "lines",
        "streams",
        "bulk_busy",
        "bulk_idle",
        "round_trip_us",
        "remote",
        "elsewhere",
        "last_error",
    ];
    list(question, environment, "/v1/nodes", "nodes", &columns)
}

/// `landline proxies ls`
pub(crate) fn list_proxies(question: &Question, environment: &Environment) -> ExitCode {
    let columns = [
        "name",
        "state",
        "lines",
        "round_trip_us",
        "addresses",
        "group",
        "generation",
        "started_at",
        "last_error",
    ];
    list(question, environment, "/v1/proxies", "proxies", &columns)
}

/// `landline apps ls`
pub(crate) fn list_apps(question: &Question, environment: &Environment) -> ExitCode {
    let columns = [
        "name",
        "node",
        "kind",
        "lane",
        "state",
        "lines",
        "round_trip_us",
        "last_error",
    ];
    list(question, environment, "/v1/apps", "apps", &columns)
}

/// `landline audit`
pub(crate) fn audit(arguments: &AuditArguments, environment: &Environment) -> ExitCode {
    let query = match audit_query(arguments) {
        Ok(query) => query,
        Err(error) => return fail(&error.to_string()),
    };
    let mut left = arguments.limit.unwrap_or(usize::MAX);
    let mut cursor: Option<i64> = None;
    while left > 0 {
        let query = query.clone().with_some("cursor", cursor.as_ref());
        let query = query.with("limit", &left.min(AUDIT_PAGE));
        let path = query.at("/v1/audit");
        let page = match call(&arguments.question, environment, "GET", &path, "") {
            Ok(page) => page,
            Err(error) => return fail(&error),
        };
        let events = page.get("events").and_then(Value::as_array);
        let events = events.map(Vec::as_slice).unwrap_or_default();
        if events.is_empty() {
            break;
        }
        for event in events {
            if arguments.question.json {
                println!("{event}");
            } else {
                println!("{}", audit_line(event));
            }
        }
        left = left.saturating_sub(events.len());
        cursor = page.get("next").and_then(Value::as_i64);
    }
    ExitCode::SUCCESS
}

/// What is asked of the audit log, without the page.
fn audit_query(arguments: &AuditArguments) -> Outcome<Query> {
    let mut query = Query::default()
        .with_some("kind", arguments.kind.as_ref())
        .with_some("actor", arguments.actor.as_ref())
        .with_some("target", arguments.target.as_ref())
        .with_some("outcome", arguments.outcome.as_ref());
    for (name, text) in [("since", &arguments.since), ("until", &arguments.until)] {
        if let Some(text) = text {
            query = query.with(name, &rfc3339(moment(name, text, now())?)?);
        }
    }
    if arguments.newest_first {
        query = query.with("newest_first", "true");
    }
    Ok(query)
}

fn audit_line(event: &Value) -> String {
    let word = |key: &str| text::field(event, key);
    let at = event.get("at").and_then(Value::as_i64).unwrap_or(0);
    format!(
        "{}  {:<9} {:<20} {:<24} {}  {}",
        time_text(at),
        word("outcome"),
        word("kind"),
        word("actor"),
        word("target"),
        word("details")
    )
}

pub(super) fn list(
    question: &Question,
    environment: &Environment,
    path: &str,
    key: &str,
    columns: &[&str],
) -> ExitCode {
    match call(question, environment, "GET", path, "") {
        Ok(answer) if question.json => print_json(&answer),
        Ok(answer) => {
            let rows = answer
                .get(key)
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default();
            print_table(columns, &rows);
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

/// One request to the hub that the question is for.
pub(super) fn call(
    question: &Question,
    environment: &Environment,
    method: &str,
    path: &str,
    body: &str,
) -> Result<Value, String> {
    Way::find(question, environment)?.call(method, path, body)
}

fn read_label(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), json!(value))),
        _ => Err(format!("--label {text}: a label is NAME=VALUE")),
    }
}

fn print_token(arguments: &AddTokenArguments, issued: &Value, life: Duration) -> ExitCode {
    let word = |key: &str| issued.get(key).map(plain).unwrap_or_default();
    let roles = arguments.role.join(", ");
    println!("token   {}", word("token"));
    println!("ca_pin  {}", word("ca_pin"));
    println!(
        "\nIt lets {} machine(s) join as {roles} within {}. It is not shown again.",
        arguments.uses,
        format_duration(life)
    );
    println!("\nOn the other machine:\n");
    println!("  (umask 077; echo '{}' > join.token)", word("token"));
    println!("  cat > landline.yaml <<'END'");
    println!("  roles: [{roles}]");
    println!(
        "  join: {{proxy: \"{}\", token: {{file: join.token}}, ca_pin: \"{}\"}}",
        word("proxy"),
        word("ca_pin")
    );
    println!("  END\n  landline start");
    if is_this_machine(&word("proxy")) {
        println!(
            "\n{} is this machine only. For others set `listen` and `public_addr` of this hub first.",
            word("proxy")
        );
    }
    ExitCode::SUCCESS
}

/// Whether `host:port` leads nowhere from another machine.
fn is_this_machine(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_matches(['[', ']']);
    let is_loopback = |address: IpAddr| address.is_loopback() || address.is_unspecified();
    host == "localhost" || host.parse().is_ok_and(is_loopback)
}

pub(super) fn print_json(value: &Value) -> ExitCode {
    println!("{value:#}");
    ExitCode::SUCCESS
}

/// Columns as wide as what stands in them.
fn print_table(columns: &[&str], rows: &[Value]) {
    let cell = |row: &Value, column: &str| match row.get(column) {
        Some(Value::Array(all)) => all.iter().map(plain).collect::<Vec<_>>().join(","),
        Some(value) if column.ends_with("_at") => {
            value.as_i64().map_or_else(|| plain(value), time_text)
        }
        Some(value) => plain(value),
        None => String::new(),
    };
    // Nodes say some of it, and a node may be in the wrong hands.
    let cell = |row: &Value, column: &str| text::harmless(&cell(row, column));
    let head: Vec<String> = columns.iter().map(|column| column.to_uppercase()).collect();
    let body = rows
        .iter()
        .map(|row| columns.iter().map(|column| cell(row, column)).collect());
    let all: Vec<Vec<String>> = std::iter::once(head).chain(body).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| {
            all.iter()
                .filter_map(|row| row.get(at))
                .map(|text| text.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    for row in all {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(text, width)| format!("{text:<width$}"))
            .collect();
        let line = cells.join("  ");
        println!("{}", line.trim_end());
    }
}

/// Unix milliseconds as RFC 3339 in UTC.
pub(super) fn time_text(milliseconds: i64) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp(milliseconds / 1000);
    time.ok()
        .and_then(|time| {
            time.format(&time::format_description::well_known::Rfc3339)
                .ok()
        })
        .unwrap_or_else(|| milliseconds.to_string())
}

pub(super) fn fail(error: &str) -> ExitCode {
    eprintln!("landline: {error}");
    ExitCode::from(NO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_leads_nowhere_from_elsewhere_is_known() {
        for (address, expected) in [
            ("127.0.0.1:3080", true),
            ("[::1]:3080", true),
            ("0.0.0.0:3080", true),
            ("localhost:3080", true),
            ("192.0.2.7:3080", false),
            ("[2001:db8::7]:3080", false),
            ("hub.example.net:3080", false),
        ] {
            assert_eq!(is_this_machine(address), expected, "{address}");
        }
    }
}
