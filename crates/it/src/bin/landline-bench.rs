//! `landline-bench gateway [--quick] [--json]`: measures the gateway beside nginx and beside no
//! proxy at all, on this machine, in one run. Ends with 1 when a goal was missed.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for developers: it prints, and ends when something is not as it should be"
)]

use std::process::ExitCode;

use it::bench::{self, Size, latency, nginx::Nginx, report, resources, upstream::Upstream};
use it::proc;
use it::program::{Program, program_path};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    let known = ["gateway", "--quick", "--json"];
    if !has("gateway")
        || !arguments
            .iter()
            .all(|argument| known.contains(&argument.as_str()))
    {
        eprintln!("usage: landline-bench gateway [--quick] [--json]");
        return ExitCode::from(64);
    }
    let program = program_path();
    if program.components().any(|part| part.as_os_str() == "debug") {
        eprintln!("WARNING: {} is a debug build", program.display());
    }
    let mut report = measure(if has("--quick") {
        Size::QUICK
    } else {
        Size::FULL
    });
    report["quick"] = json!(has("--quick"));
    report["program"] = json!(program);
    let verdicts = report::judge(&report);
    report["verdicts"] = report::verdicts_json(&verdicts);
    if has("--json") {
        println!("{report}");
    } else {
        print!("{}", report::table(&report, &verdicts));
    }
    let is_missed = verdicts.iter().any(|verdict| verdict.is_met == Some(false));
    ExitCode::from(u8::from(is_missed))
}

/// Measures everything.
fn measure(size: Size) -> Value {
    bench::raise_descriptor_limit();
    let date = OffsetDateTime::now_utc().format(&Rfc3339).unwrap();
    let load_before = proc::load_average();
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
        "date": date,
        "load_before": load_before,
        "load_after": proc::load_average(),
        "latency": latency,
        "large_page": large_page,
        "thousand_targets": thousand_targets,
        "idle": idle,
        "start": start_times,
    })
}
