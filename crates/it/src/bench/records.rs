//! Telemetry records: what one costs at intake with SQLite and with PostgreSQL, how long clients wait,
//! and how long questions take once a million are kept. Everything is durable: the database is started
//! with its defaults, on the same disk.

mod corpus;
mod index;
mod poster;
pub mod postgres;
mod questions;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::postgres::Server;
use super::report::Verdict;
use crate::proc;
use crate::program::Program;
use crate::prometheus;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Seconds of the load that is measured.
    pub seconds: u64,
    /// Records that are kept when the questions are asked.
    pub records: u64,
}

impl Size {
    /// What the published numbers are made with.
    pub const FULL: Self = Self {
        seconds: 20,
        records: 1_000_000,
    };
    /// A quick look, not for publication.
    pub const QUICK: Self = Self {
        seconds: 5,
        records: 50_000,
    };
}

/// Connections that post at once.
const CONNECTIONS: usize = 32;
/// How often each posts where the machine is to have room: a thousand a second together.
const PACE: Duration = Duration::from_millis(32);
/// Seconds before anything is measured.
const WARM_UP: Duration = Duration::from_secs(2);

/// Measures with SQLite, and with PostgreSQL when it is there.
pub async fn measure(size: Size) -> Value {
    let sqlite = measure_one(size, None).await;
    let server = std::env::var("LANDLINE_TEST_POSTGRES").ok();
    let initdb = std::env::var("LANDLINE_TEST_INITDB").ok();
    let postgres = match server.zip(initdb) {
        Some((server, initdb)) => {
            let server = Server::start(&server, &initdb);
            measure_one(size, Some(&server)).await
        }
        None => {
            eprintln!(
                "SKIPPED: records on PostgreSQL: LANDLINE_TEST_POSTGRES or _INITDB is not set"
            );
            Value::Null
        }
    };
    json!({"sqlite": sqlite, "postgres": postgres})
}

async fn measure_one(size: Size, server: Option<&Server>) -> Value {
    let name = server.map_or("sqlite", |_| "postgres");
    let address = SocketAddr::from(([127, 0, 0, 1], prometheus::free_port()));
    let mut configuration = json!({
        "roles": ["collector"],
        "listen": "127.0.0.1:0",
        "data_dir": "./data",
        "collector": {"listen": address.to_string()},
    });
    if let Some(server) = server {
        configuration["state"] = json!(server.url);
    }
    let program = Program::start(&configuration.to_string()).await;
    let cpu = || {
        let own = proc::cpu_seconds(program.pid()).unwrap_or(0.0);
        (own, server.map_or(0.0, Server::cpu_seconds))
    };
    let mut intake = intake(address, size, &cpu);
    intake["rss_kib"] = json!(program.rss_kib());
    eprintln!("{name}: {intake}");
    let seconds = poster::Until::Passed(Duration::from_secs(size.seconds));
    let paced = poster::run_paced(address, CONNECTIONS, seconds, PACE);
    let paced = json!({
        "records": paced.times.len(),
        "failed": paced.failed,
        "p50_ms": paced.quantile(0.5),
        "p99_ms": paced.quantile(0.99),
        "max_ms": paced.quantile(1.0),
    });
    eprintln!("{name}, a thousand a second: {paced}");
    let alone = poster::run(address, 1, poster::Until::Passed(Duration::from_secs(3)));
    let alone = json!({"p50_ms": alone.quantile(0.5), "p99_ms": alone.quantile(0.99)});
    let left = size.records.saturating_sub(kept(address));
    let filling = Instant::now();
    poster::run(address, CONNECTIONS, poster::Until::Sent(left));
    eprintln!(
        "{name}: {left} more records in {:.0} s",
        filling.elapsed().as_secs_f64()
    );
    let mut later = self::intake(address, size, &cpu);
    later["rss_kib"] = json!(program.rss_kib());
    eprintln!("{name}, with {} kept: {later}", kept(address));
    let file = program.path("data/state.db");
    let both = || {
        let (own, database) = cpu();
        own + database
    };
    let index = index::measure(&file, server.map(|server| server.url.as_str()), both).await;
    eprintln!("{name}, the index alone: {index}");
    let questions = questions::ask_all(address, program.pid());
    json!({
        "intake": intake,
        "intake_later": later,
        "a_thousand_a_second": paced,
        "one_connection": alone,
        "index": index,
        "kept": kept(address),
        "questions": questions,
        "rss_kib": program.rss_kib(),
    })
}

/// As many as are answered, with the CPU seconds of program and database by `cpu`.
fn intake(address: SocketAddr, size: Size, cpu: &impl Fn() -> (f64, f64)) -> Value {
    poster::run(address, CONNECTIONS, poster::Until::Passed(WARM_UP));
    let (begun, before) = (Instant::now(), cpu());
    let until = poster::Until::Passed(Duration::from_secs(size.seconds));
    let posted = poster::run(address, CONNECTIONS, until);
    let (elapsed, after) = (begun.elapsed().as_secs_f64(), cpu());
    let count = posted.times.len();
    let each = |seconds: f64| (seconds / count as f64 * 1e7).round() / 1e4;
    json!({
        "records": count,
        "failed": posted.failed,
        "per_second": (count as f64 / elapsed).round(),
        "p50_ms": posted.quantile(0.5),
        "p99_ms": posted.quantile(0.99),
        "max_ms": posted.quantile(1.0),
        "cpu_ms": each(after.0 - before.0 + after.1 - before.1),
        "cpu_ms_program": each(after.0 - before.0),
        "cpu_ms_database": each(after.1 - before.1),
    })
}

/// How many records there are, by the newest id.
fn kept(address: SocketAddr) -> u64 {
    let answer = questions::get(address, "/v1/records?limit=1");
    let answer: Value = serde_json::from_slice(&answer.1).unwrap_or_default();
    answer
        .pointer("/records/0/id")
        .and_then(Value::as_u64)
        .unwrap_or(0)
}

/// What was promised of intake, and where it stands in the report.
const INTAKE: [(&str, &str, f64); 6] = [
    (
        "SQLite: CPU for a record, at most 0.15 ms",
        "/sqlite/intake/cpu_ms",
        0.15,
    ),
    (
        "SQLite: p99 at 32 connections, at most 10 ms",
        "/sqlite/intake/p99_ms",
        10.0,
    ),
    (
        "SQLite: the same with a million kept, at most 10 ms",
        "/sqlite/intake_later/p99_ms",
        10.0,
    ),
    (
        "PostgreSQL: CPU for a record with the database's, at most 0.25 ms",
        "/postgres/intake/cpu_ms",
        0.25,
    ),
    (
        "PostgreSQL: p99 at 32 connections, at most 10 ms",
        "/postgres/intake/p99_ms",
        10.0,
    ),
    (
        "PostgreSQL: the same with a million kept, at most 10 ms",
        "/postgres/intake_later/p99_ms",
        10.0,
    ),
];

/// Compares with what was promised.
pub fn judge(report: &Value) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let mut at_most = |goal, pointer: &str, limit: f64| {
        let measured = report.pointer(pointer).and_then(Value::as_f64);
        verdicts.push(Verdict {
            goal,
            measured: measured.unwrap_or(f64::NAN),
            is_met: measured.map(|measured| measured <= limit),
        });
    };
    for (goal, pointer, limit) in INTAKE {
        at_most(goal, pointer, limit);
    }
    for (database, goals) in [
        (
            "sqlite",
            [
                "SQLite: slowest list or plot, at most 20 ms",
                "SQLite: CSV of 100,000, at most 1,000 ms",
                "SQLite: peak of memory, at most 102,400 KiB",
                "SQLite: payload search, at most 300 ms",
            ],
        ),
        (
            "postgres",
            [
                "PostgreSQL: slowest list or plot, at most 20 ms",
                "PostgreSQL: CSV of 100,000, at most 1,000 ms",
                "PostgreSQL: peak of memory, at most 102,400 KiB",
                "PostgreSQL: payload search, at most 300 ms",
            ],
        ),
    ] {
        let [lists, csv, memory, search] = goals;
        at_most(lists, &format!("/{database}/questions/slowest_ms"), 20.0);
        at_most(csv, &format!("/{database}/questions/csv/ms"), 1000.0);
        at_most(
            memory,
            &format!("/{database}/questions/peak_rss_kib"),
            102_400.0,
        );
        at_most(search, &format!("/{database}/questions/search_ms"), 300.0);
    }
    verdicts
}

/// For people.
pub fn table(report: &Value) -> String {
    let mut text = String::new();
    for database in ["sqlite", "postgres"] {
        let part = serde_json::to_string_pretty(&report[database]).unwrap_or_default();
        writeln!(text, "{database}: {part}").unwrap();
    }
    text
}
