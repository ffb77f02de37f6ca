//! `landline records tail`: records as they come. A connection that breaks is made anew, and goes on
//! behind the last record that was printed.

use std::time::Duration;

use base::clock;
use base::retry::Backoff;
use serde_json::Value;
use time::OffsetDateTime;

use super::hub::{Hub, Wanted};
use super::output::Output;
use super::query::Query;
use super::sse::Parser;
use super::table::{Layout, flexible, whole};
use super::{CommandError, Outcome, TailArguments, list, text};

/// The pauses before connecting again.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    ceiling: Duration::from_secs(30),
};
/// How long the hub may be silent: it sends a comment every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// `landline records tail`
pub(super) async fn tail(hub: &Hub, arguments: &TailArguments, output: &mut Output) -> Outcome {
    let mut tail = Tail {
        hub,
        query: arguments.filters.query(),
        is_json: arguments.question.json,
        layout: layout(output.width()),
        output,
        seen: 0,
        failures: 0,
    };
    tokio::select! {
        outcome = tail.run(arguments.last) => outcome,
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}

struct Tail<'a> {
    hub: &'a Hub,
    query: Query,
    is_json: bool,
    layout: Layout,
    output: &'a mut Output,
    /// The last record that was printed, or was there before.
    seen: i64,
    /// Connections in a row that brought nothing.
    failures: u32,
}

impl Tail<'_> {
    async fn run(&mut self, last: u64) -> Outcome {
        self.begin(last).await?;
        loop {
            let why = match self.follow().await {
                Ok(()) => "the hub ended the stream".to_owned(),
                Err(CommandError::Away(why)) => why,
                Err(error) => return Err(error),
            };
            self.failures = self.failures.saturating_add(1);
            let pause = BACKOFF.delay(self.failures, jitter());
            eprintln!(
                "landline: {why}; trying again in {:.1} s, nothing gets lost",
                pause.as_secs_f64()
            );
            tokio::time::sleep(pause).await;
        }
    }

    /// Prints the last records that are there, and remembers up to where.
    async fn begin(&mut self, last: u64) -> Outcome {
        let query = self.query.clone().with("limit", &last.max(1));
        let page = self.hub.get(&query.at("/v1/records")).await?;
        let records = page.get("records").and_then(Value::as_array);
        let records = records.map(Vec::as_slice).unwrap_or_default();
        let newest = records.first().and_then(|record| record.get("id"));
        // Those that were found may be gone by now; the page says where the next one begins all the same.
        let newest = newest.or_else(|| page.get("next"));
        self.seen = newest.and_then(Value::as_i64).unwrap_or(0);
        if last > 0 {
            for record in records.iter().rev() {
                self.print(record)?;
            }
        }
        self.output.flush()
    }

    /// Prints what comes over one connection.
    async fn follow(&mut self) -> Outcome {
        let wanted = Wanted {
            seen: Some(self.seen),
            ..Wanted::of("text/event-stream")
        };
        let path = self.query.at("/v1/records/tail");
        let mut stream = self.hub.open(&path, wanted).await?;
        if self.failures > 0 {
            eprintln!("landline: connected again");
        }
        let mut parser = Parser::default();
        while let Some(bytes) = stream.next(SILENCE_MAX).await? {
            self.failures = 0;
            let events = parser.feed(&bytes);
            let events =
                events.map_err(|_| CommandError::wrong("the hub sends no events of ours"))?;
            for event in events.iter().filter(|event| event.name == "record") {
                let record = serde_json::from_str(&event.data);
                let record: Value = record
                    .map_err(|_| CommandError::wrong("the hub sends a record that is not JSON"))?;
                self.print(&record)?;
                let id = event.id.as_ref().and_then(|id| id.parse().ok());
                self.seen = id.unwrap_or(self.seen);
            }
            self.output.flush()?;
        }
        Ok(())
    }

    fn print(&mut self, record: &Value) -> Outcome {
        if self.is_json {
            self.output.json_line(record)
        } else {
            let line = self.layout.line(&row(record));
            self.output.line(&line)
        }
    }
}

/// Columns as wide as they mostly are: nobody knows what comes.
fn layout(terminal: Option<usize>) -> Layout {
    let columns = [
        whole("TIME"),
        whole("ID"),
        whole("SEV"),
        flexible("CLASSIFICATION", 14),
        flexible("MACHINE", 6),
        flexible("SYSTEM", 10),
        flexible("EXCERPT", 24),
    ];
    let excerpt = ".".repeat(120);
    let usual = [
        "16:50:00",
        "1234567",
        "crit",
        "swupd-client/update",
        "0123abcd…",
        "clear-linux-os 34960",
        excerpt.as_str(),
    ];
    let usual = usual.map(str::to_owned).to_vec();
    Layout::of(&columns, &[usual], terminal)
}

/// A record with the time of day, of UTC, at which it came.
fn row(record: &Value) -> Vec<String> {
    let mut row = list::record_row(record, OffsetDateTime::UNIX_EPOCH);
    let received = text::field(record, "received_at");
    let time = received.split('T').nth(1).unwrap_or_default();
    let time = time.chars().take(8).collect();
    // Instead of its age.
    row.remove(1);
    row.insert(0, time);
    row
}

/// From 0 to 1, so that many watchers of a hub don't come back together.
fn jitter() -> f64 {
    let since = clock::wall().duration_since(std::time::UNIX_EPOCH);
    f64::from(since.unwrap_or_default().subsec_nanos()) / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_is_a_line() {
        let record = json!({
            "id": 12, "received_at": "2026-11-21T16:50:03.123Z", "severity": 4,
            "classification": "org.clearlinux/crash/clr", "machine_id": "web-1", "build": "12",
            "system_name": "debian", "excerpt": "Program: x",
        });
        assert_eq!(
            layout(None).line(&row(&record)),
            "16:50:03  12       crit  crash/clr            web-1      debian 12             Program: x"
        );
        let narrow = layout(Some(80)).line(&row(&record));
        assert_eq!(
            narrow,
            "16:50:03  12       crit  crash/clr       web-1   debian 12   Program: x"
        );
    }
}
