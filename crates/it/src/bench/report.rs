//! The goals, the verdicts and the table.

use std::fmt::Write;

use serde_json::{Value, json};

/// One goal and whether it was met.
#[derive(Debug)]
pub struct Verdict {
    /// What was promised.
    pub goal: &'static str,
    /// What was measured.
    pub measured: f64,
    /// Whether it is kept; none when it could not be measured.
    pub is_met: Option<bool>,
}

/// Judges a whole report.
pub fn judge(report: &Value) -> Vec<Verdict> {
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64);
    let direct = number("/latency/direct/median_us");
    let added = |way: &str| Some(number(&format!("/latency/{way}/median_us"))? - direct?);
    let ratio = added("landline")
        .zip(added("nginx"))
        .map(|(ours, theirs)| ours / theirs);
    let at_most = |goal, measured: Option<f64>, limit: f64| Verdict {
        goal,
        measured: measured.unwrap_or(f64::NAN),
        is_met: measured.map(|measured| measured <= limit),
    };
    vec![
        at_most("median added, below 1000 us", added("landline"), 1000.0),
        at_most("median added, at most 1.5 times nginx's", ratio, 1.5),
        at_most(
            "1,000 targets every 15 s, below 10 % of one core",
            number("/thousand_targets/cpu_percent_of_one_core"),
            10.0,
        ),
        at_most(
            "a page of 10,000 series, at the peak less than twice in memory",
            number("/large_page/rss_peak_added_in_pages"),
            2.0,
        ),
        at_most(
            "idle, below 20480 KiB resident",
            number("/idle/rss_kib"),
            20_480.0,
        ),
        at_most(
            "from exec to ready, below 50 ms",
            number("/start/median_ms"),
            50.0,
        ),
    ]
}

/// The verdicts for scripts.
pub fn verdicts_json(verdicts: &[Verdict]) -> Value {
    let one = |verdict: &Verdict| {
        let measured = (verdict.measured.is_finite()).then_some(verdict.measured);
        json!({"goal": verdict.goal, "measured": measured, "met": verdict.is_met})
    };
    verdicts.iter().map(one).collect()
}

/// When and on what it was measured.
pub fn heading(area: &str, report: &Value) -> String {
    format!(
        "{area}, {}, load average {} before and {} after{}\n",
        report["date"].as_str().unwrap_or_default(),
        report["load_before"].as_str().unwrap_or_default(),
        report["load_after"].as_str().unwrap_or_default(),
        if report["quick"] == true {
            ", QUICK: not for publication"
        } else {
            ""
        },
    )
}

/// The numbers of the gateway for people.
pub fn table(report: &Value) -> String {
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{line}").unwrap();
    line(format!(
        "{:<10}{:>10}{:>10}{:>10}{:>16}",
        "", "median us", "p95 us", "p99 us", "CPU us/scrape"
    ));
    for way in ["direct", "nginx", "landline"] {
        let row = &report["latency"][way];
        if row.is_object() {
            let cell = |key: &str| row[key].as_f64().unwrap_or(f64::NAN);
            line(format!(
                "{way:<10}{:>10}{:>10}{:>10}{:>16}",
                cell("median_us"),
                cell("p95_us"),
                cell("p99_us"),
                cell("cpu_us_per_scrape")
            ));
        }
    }
    for key in ["thousand_targets", "large_page", "idle", "start"] {
        line(format!("{key}: {}", report[key]));
    }
    text
}

/// A line for each verdict.
pub fn verdict_lines(verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    for verdict in verdicts {
        let word = match verdict.is_met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "NOT MEASURED",
        };
        let (goal, measured) = (verdict.goal, verdict.measured);
        writeln!(text, "{word:<13}{goal} (measured {measured:.2})").unwrap();
    }
    text
}
