//! `landline query`: asks the time series of a monitor with PromQL, and shows the answer as a table or
//! draws it.

mod answer;
mod axis;
mod canvas;
mod chart;
mod place;
mod values;

use std::process::ExitCode;
use std::time::Duration;

use base::config::{format_duration, parse_duration};
use http::Method;
use serde_json::Value;
use time::OffsetDateTime;

use super::asking::hub::{Call, Hub};
use super::asking::output::Output;
use super::asking::query::{self, Query};
use super::asking::{CommandError, Outcome, text};
use super::{Question, asking};
use crate::environment::Environment;
use answer::{Answer, Data};
use chart::{Chart, Look};

/// The width without a terminal.
const COLUMNS: usize = 100;
/// Points of a series when the terminal is narrow.
const POINTS_MIN: usize = 120;
/// Points that Prometheus gives of a series.
const POINTS_MAX: u128 = 11_000;
/// Steps that are chosen, in seconds.
const STEPS: [u64; 23] = [
    1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1_200, 1_800, 3_600, 7_200, 10_800,
    21_600, 43_200, 86_400, 172_800, 604_800,
];

/// What is asked, and how it is shown.
#[derive(Debug, clap::Args)]
pub(crate) struct QueryArguments {
    /// The query, in PromQL
    #[arg(value_name = "PROMQL")]
    query: String,
    /// Draw the last so much time, such as 1h or 7d; without this the answer is that of one moment
    #[arg(long, value_name = "DURATION")]
    range: Option<String>,
    /// With `--range`: the time from one point to the next [default: what the width shows]
    #[arg(long, value_name = "DURATION", requires = "range")]
    step: Option<String>,
    /// The moment that is asked about, or the end of the range: so long ago (90s, 12h, 7d), a day, or
    /// a time [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// How long the query may take there
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// Lines of the chart
    #[arg(long, value_name = "N", default_value_t = 16,
        value_parser = clap::value_parser!(u16).range(4..=200))]
    height: u16,
    /// Draw with plain characters
    #[arg(long)]
    ascii: bool,
    #[command(flatten)]
    question: Question,
}

/// Runs `landline query`
pub(crate) fn run(arguments: &QueryArguments, environment: &Environment) -> ExitCode {
    asking::run(answer(arguments, environment))
}

async fn answer(arguments: &QueryArguments, environment: &Environment) -> Outcome {
    let output = &mut Output::new();
    let width = output.width().unwrap_or(COLUMNS);
    let path = path(arguments, query::now(), width)?;
    let hub = Hub::find(&arguments.question, environment, "samples")?;
    let call = Call::new(Method::GET, &path);
    let answer = match hub.call(&call).await {
        Ok(answer) => hub.bytes(answer).await?,
        Err(CommandError::Refused { status, text }) => {
            let text = place::shown(&arguments.query, &text);
            return Err(CommandError::Refused { status, text });
        }
        Err(error) => return Err(error),
    };
    let unreadable = |what: &str| CommandError::wrong(format!("{}: {what}", hub.name()));
    if arguments.question.json {
        let answer: Value =
            serde_json::from_slice(&answer).map_err(|_| unreadable("the answer is not JSON"))?;
        return output.json(&answer);
    }
    let answer = Answer::parse(&answer)
        .map_err(|error| unreadable(&format!("the answer is none of the API: {error}")))?;
    for (kind, notes) in [("warning", &answer.warnings), ("info", &answer.infos)] {
        for note in notes {
            eprintln!("landline: {kind}: {}", text::harmless(note));
        }
    }
    let look = Look::of(output, environment, arguments.ascii);
    show(
        output,
        &answer.data,
        (width, usize::from(arguments.height)),
        look,
    )
}

fn show(output: &mut Output, data: &Data, (width, height): (usize, usize), look: Look) -> Outcome {
    match data {
        Data::Scalar(value) => output.line(&text::harmless(value))?,
        Data::Text(lines) => output.lines(&text::harmless_lines(lines))?,
        Data::Vector(rows) if rows.is_empty() => eprintln!("landline: no series has a value then"),
        Data::Vector(rows) => output.lines(&values::table(rows, output.width()))?,
        Data::Matrix(series) if series.is_empty() => {
            eprintln!("landline: no series has a value in this time");
        }
        Data::Matrix(series) => {
            let chart = Chart::new(series, (width, height), look);
            output.lines(&chart.lines())?;
            for note in chart.notes() {
                eprintln!("landline: {note}");
            }
        }
    }
    output.flush()
}

/// What is asked of the API.
fn path(arguments: &QueryArguments, now: OffsetDateTime, width: usize) -> Outcome<String> {
    let at = match &arguments.at {
        Some(text) => query::moment("at", text, now)?,
        None => now,
    };
    let asked = Query::default().with("query", &arguments.query);
    let timeout = match &arguments.timeout {
        Some(text) => Some(seconds(duration("timeout", text)?)),
        None => None,
    };
    let asked = asked.with_some("timeout", timeout.as_ref());
    let Some(range) = &arguments.range else {
        return Ok(asked.with("time", &stamp(at)).at("/api/v1/query"));
    };
    let range = duration("range", range)?;
    let step = match &arguments.step {
        Some(text) => duration("step", text)?,
        None => step(range, width),
    };
    if range.as_nanos() / step.as_nanos().max(1) >= POINTS_MAX {
        return Err(CommandError::wrong(format!(
            "--step {} of --range {} are more than {POINTS_MAX} points; take a longer step",
            format_duration(step),
            format_duration(range),
        )));
    }
    let start = time::Duration::try_from(range)
        .ok()
        .and_then(|range| at.checked_sub(range));
    let start = start.ok_or_else(|| CommandError::wrong("--range reaches back too far"))?;
    let asked = asked
        .with("start", &stamp(start))
        .with("end", &stamp(at))
        .with("step", &seconds(step));
    Ok(asked.at("/api/v1/query_range"))
}

fn duration(name: &str, text: &str) -> Outcome<Duration> {
    let duration = parse_duration(text).filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| {
        CommandError::wrong(format!(
            "--{name} {text}: a duration is 90s, 5m, 1h30m or 7d"
        ))
    })
}

fn stamp(time: OffsetDateTime) -> String {
    let milliseconds = time.unix_timestamp_nanos() / 1_000_000;
    format!(
        "{}.{:03}",
        milliseconds.div_euclid(1_000),
        milliseconds.rem_euclid(1_000)
    )
}

fn seconds(duration: Duration) -> String {
    duration.as_secs_f64().to_string()
}

/// As many points as the chart has columns of dots, at times that people choose.
fn step(range: Duration, width: usize) -> Duration {
    let points = u64::try_from((width * 2).max(POINTS_MIN)).unwrap_or(u64::MAX);
    let least = range.as_secs() / points;
    let found = STEPS.into_iter().find(|step| *step >= least);
    Duration::from_secs(found.unwrap_or(least))
}

#[cfg(test)]
mod tests;
