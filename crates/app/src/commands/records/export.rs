//! `landline records export`: whole records, as many as there are, of which one is held at a time.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use base::clock;
use base::retry::Backoff;
use serde::Deserialize;

use super::form::Form;
use super::hub::{Hub, Wanted};
use super::query::{self, Query};
use super::sink::Sink;
use super::{CommandError, ExportArguments, Outcome, text};
use crate::environment::Environment;

/// One record a line.
const LINES_TYPE: &str = "application/x-ndjson";
/// Records that are asked for at once: rights are judged at the beginning of each answer.
const ANSWER_RECORDS: u64 = 1_000_000;
/// Failures in a row without a record in between, after which the export ends.
const FAILURES_MAX: u32 = 6;
/// The pauses between them.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(500),
    ceiling: Duration::from_secs(10),
};
/// How often the progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// Between two looks at the clock.
const PROGRESS_RECORDS: u64 = 32;
/// Goes to the beginning of a terminal's line and clears it.
const CLEAR_LINE: &str = "\r\x1b[K";

/// `landline records export`
pub(super) async fn export(
    hub: &Hub,
    arguments: &ExportArguments,
    environment: &Environment,
) -> Outcome {
    if arguments.safe_cells && arguments.format != "csv" {
        return Err(CommandError::wrong("--safe-cells is for --format csv"));
    }
    let query = arguments.filters.query();
    let query = query.with_some("after", arguments.after.as_ref());
    let query = arguments.search.add_to(query, query::now())?;
    let sink = match &arguments.output {
        Some(path) if path.as_os_str() != "-" => {
            let path = environment.folder.join(path);
            let wrong = |error| CommandError::wrong(format!("{}: {error}", path.display()));
            Sink::file(&path).map_err(wrong)?
        }
        _ => Sink::standard(),
    };
    // On one terminal with the records it would be in their way.
    let has_own_line = sink.is_pending() || !std::io::stdout().is_terminal();
    let is_shown = has_own_line && std::io::stderr().is_terminal();
    let mut export = Export {
        hub,
        query,
        form: Form::of(&arguments.format, arguments.safe_cells),
        sink,
        before: arguments.before,
        progress: Progress::new(is_shown),
    };
    let outcome = tokio::select! {
        outcome = export.run() => outcome,
        interrupted = tokio::signal::ctrl_c() => match interrupted {
            Ok(()) => Err(CommandError::Stopped),
            Err(error) => Err(error.into()),
        },
    };
    if let Err(error) = outcome {
        export.progress.clear();
        return Err(export.explain(error));
    }
    export.sink.finish()?;
    export.progress.end();
    Ok(())
}

struct Export<'a> {
    hub: &'a Hub,
    query: Query,
    form: Form,
    sink: Sink,
    /// What is left is before this record.
    before: Option<i64>,
    progress: Progress,
}

impl Export<'_> {
    async fn run(&mut self) -> Outcome {
        self.form.begin(&mut self.sink)?;
        let mut failures = 0;
        loop {
            let written = self.progress.count;
            let why = match self.write_all().await {
                Ok(()) => break,
                Err(CommandError::Away(why)) => why,
                Err(error) => return Err(error),
            };
            // Only what brought nothing counts as one more.
            failures = if self.progress.count > written {
                1
            } else {
                failures + 1
            };
            if failures > FAILURES_MAX {
                return Err(CommandError::Away(why));
            }
            self.progress.clear();
            eprintln!("landline: {why}; trying again");
            tokio::time::sleep(BACKOFF.delay(failures, 0.0)).await;
        }
        self.form.end(&mut self.sink)?;
        Ok(self.sink.flush()?)
    }

    /// Writes what is left, from the newest on.
    async fn write_all(&mut self) -> Outcome {
        loop {
            let query = self.query.clone().with("limit", &ANSWER_RECORDS);
            let query = query.with_some("before", self.before.as_ref());
            let path = query.at("/v1/records/export");
            let answer = self.hub.open(&path, Wanted::of(LINES_TYPE)).await?;
            let mut lines = answer.lines();
            let mut count = 0;
            while let Some(line) = lines.next().await? {
                let record: Numbered = serde_json::from_slice(&line)
                    .map_err(|_| CommandError::wrong("the hub sends a line that is no record"))?;
                self.form
                    .record(self.progress.count, &line, &mut self.sink)?;
                self.progress.add();
                self.before = Some(record.id);
                count += 1;
            }
            if count < ANSWER_RECORDS {
                return Ok(());
            }
        }
    }

    /// An error, and how to go on after it.
    fn explain(mut self, error: CommandError) -> CommandError {
        let why = match error {
            CommandError::Away(why) => why,
            CommandError::Stopped => "stopped".to_owned(),
            error => return error,
        };
        let count = text::number(self.progress.count);
        if self.sink.is_pending() {
            return CommandError::Away(format!("{why}, after {count} records: no file is written"));
        }
        if let Err(error) = self.sink.flush() {
            return error.into();
        }
        CommandError::Away(match self.before {
            Some(id) => format!("{why}, after {count} records: `--before {id}` gives the others"),
            None => why,
        })
    }
}

/// What has to be known of a record to go on behind it.
#[derive(Deserialize)]
struct Numbered {
    id: i64,
}

/// What people see while they wait.
struct Progress {
    count: u64,
    started: Instant,
    told: Option<Instant>,
    is_shown: bool,
}

impl Progress {
    fn new(is_shown: bool) -> Self {
        Self {
            count: 0,
            started: clock::now(),
            told: None,
            is_shown,
        }
    }

    /// One more record.
    fn add(&mut self) {
        self.count += 1;
        if !self.is_shown || !self.count.is_multiple_of(PROGRESS_RECORDS) {
            return;
        }
        let now = clock::now();
        let last = self.told.unwrap_or(self.started);
        if now.saturating_duration_since(last) >= PROGRESS_INTERVAL {
            self.told = Some(now);
            eprint!("{CLEAR_LINE}{}", told(self.count, now - self.started));
        }
    }

    /// Leaves the line to others.
    fn clear(&mut self) {
        if self.told.take().is_some() {
            eprint!("{CLEAR_LINE}");
        }
    }

    /// Says what became of it.
    fn end(&mut self) {
        self.clear();
        if self.is_shown {
            let time = clock::now().saturating_duration_since(self.started);
            eprintln!("{}", told(self.count, time));
        }
    }
}

/// How many in which time.
fn told(count: u64, time: Duration) -> String {
    let milliseconds = time.as_millis().max(1);
    let rate = u128::from(count) * 1000 / milliseconds;
    let rate = text::number(u64::try_from(rate).unwrap_or(u64::MAX));
    let seconds = time.as_secs_f64();
    format!(
        "{} records in {seconds:.1} s, {rate}/s",
        text::number(count)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_has_a_rate() {
        let check = |count: u64, time: Duration, expected: &str| {
            assert_eq!(told(count, time), expected);
        };
        check(0, Duration::ZERO, "0 records in 0.0 s, 0/s");
        check(
            12_000,
            Duration::from_millis(1_500),
            "12,000 records in 1.5 s, 8,000/s",
        );
    }
}
