//! `landline-bench gateway|tunnel|agents|records|artefacts [--quick] [--json]`: measures the gateway beside
//! nginx, lines beside other tunnels, a crowd of idle nodes on one hub, the intake of telemetry records and
//! questions to a million of them, or artefacts beside nginx's WebDAV, on this machine, in one run. Ends
//! with 1 when a goal was missed.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for developers: it prints, and ends when something is not as it should be"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use it::bench::{
    self, Size, agents, artefacts, latency, nginx::Nginx, records, report, resources, signals,
    tunnel, upstream::Upstream,
};
use it::proc;
use it::program::{Program, program_path};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const USAGE: &str = "\
usage: landline-bench gateway [--quick] [--json]
       landline-bench tunnel [--quick] [--json] [part of a way's name]…
       landline-bench agents [--quick] [--json]
       landline-bench records [--quick] [--json]
       landline-bench artefacts [--quick] [--json]
       landline-bench signals [--quick] [--json] [writes|many|restart|scrape]…";
/// What one proxy has to carry.
const AGENTS: usize = 5_000;
const AGENTS_QUICK: usize = 500;
/// How many join in a second.
const JOINS: f64 = 60.0;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (flags, words): (Vec<String>, Vec<String>) = arguments
        .into_iter()
        .partition(|word| word.starts_with("--"));
    let has = |word: &str| flags.iter().any(|flag| flag == word);
    let is_known = flags
        .iter()
        .all(|flag| ["--quick", "--json"].contains(&flag.as_str()));
    let (Some(area), true) = (words.first(), is_known) else {
        eprintln!("{USAGE}");
        return ExitCode::from(64);
    };
    let program = program_path();
    if program.components().any(|part| part.as_os_str() == "debug") {
        eprintln!("WARNING: {} is a debug build", program.display());
    }
    bench::raise_descriptor_limit();
    let is_quick = has("--quick");
    let date = OffsetDateTime::now_utc().format(&Rfc3339).unwrap();
    let load_before = proc::load_average();
    let Some(mut report) = measure_area(area, is_quick, &words[1..]) else {
        eprintln!("{USAGE}");
        return ExitCode::from(64);
    };
    report["date"] = json!(date);
    report["load_before"] = json!(load_before);
    report["load_after"] = json!(proc::load_average());
    report["quick"] = json!(is_quick);
    report["program"] = json!(program);
    let verdicts = match area.as_str() {
        "tunnel" => tunnel::report::judge(&report),
        "agents" => agents::judge(&report),
        "records" => records::judge(&report),
        "artefacts" => artefacts::judge(&report),
        "signals" => signals::judge(&report),
        _ => report::judge(&report),
    };
    report["verdicts"] = report::verdicts_json(&verdicts);
    if has("--json") {
        println!("{report}");
    } else {
        print!("{}", report::heading(area, &report));
        print!(
            "{}",
            match area.as_str() {
                "tunnel" => tunnel::report::table(&report),
                "agents" => agents::table(&report),
                "records" => records::table(&report),
                "artefacts" => artefacts::table(&report),
                "signals" => signals::table(&report),
                _ => report::table(&report),
            }
        );
        print!("{}", report::verdict_lines(&verdicts));
    }
    let is_missed = verdicts.iter().any(|verdict| verdict.is_met == Some(false));
    ExitCode::from(u8::from(is_missed))
}

/// Measures one area; nothing when there is none of this name.
fn measure_area(area: &str, is_quick: bool, words: &[String]) -> Option<Value> {
    let report = match area {
        "gateway" => measure(if is_quick { Size::QUICK } else { Size::FULL }),
        "tunnel" => {
            let size = if is_quick {
                tunnel::QUICK
            } else {
                tunnel::FULL
            };
            runtime().block_on(tunnel::measure(&ends(), size, words))
        }
        "agents" => {
            let count = if is_quick { AGENTS_QUICK } else { AGENTS };
            runtime().block_on(agents::measure(&ends(), count, JOINS))
        }
        "records" => {
            let size = if is_quick {
                records::Size::QUICK
            } else {
                records::Size::FULL
            };
            runtime().block_on(records::measure(size))
        }
        "artefacts" => {
            let size = if is_quick {
                artefacts::Size::QUICK
            } else {
                artefacts::Size::FULL
            };
            let nginx = std::env::var("LANDLINE_TEST_NGINX").ok();
            runtime().block_on(artefacts::measure(size, nginx.as_deref()))
        }
        "signals" => {
            let size = if is_quick {
                signals::Size::QUICK
            } else {
                signals::Size::FULL
            };
            runtime().block_on(signals::measure(size, &signals::Peers::named(), words))
        }
        _ => return None,
    };
    Some(report)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

/// The program whose processes are the ends of lines.
fn ends() -> PathBuf {
    match std::env::var_os("LANDLINE_TEST_LINE_ENDS") {
        Some(path) => PathBuf::from(path),
        None => panic!("LANDLINE_TEST_LINE_ENDS is not set: run this by `cargo xtask bench`"),
    }
}

/// Measures everything.
fn measure(size: Size) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let start = |text: &str| runtime.block_on(Program::start(text));
    let upstream = Upstream::start();
    let one = bench::configuration(&upstream, &["/metrics"]);

    let idle = resources::idle(&start(&one));
    let start_times = resources::time_to_ready(&one, size.starts);
    let latency = {
        let nginx = std::env::var("LANDLINE_TEST_NGINX").ok();
        if nginx.is_none() {
            eprintln!("SKIPPED: comparison with nginx: LANDLINE_TEST_NGINX is not set");
        }
        let nginx = nginx.map(|program| Nginx::start(&program, &upstream));
        latency::measure(size, &upstream, nginx.as_ref(), &start(&one))
    };
    let large_page = {
        let program = start(&bench::configuration(&upstream, &["/large", "/metrics"]));
        resources::large_page(&program, &upstream)
    };
    let thousand_targets = {
        let program = start(&bench::configuration(&upstream, &["/metrics"; 1000]));
        resources::thousand_targets(&program, size.load_seconds)
    };
    json!({
        "latency": latency,
        "large_page": large_page,
        "thousand_targets": thousand_targets,
        "idle": idle,
        "start": start_times,
    })
}
