//! How far an import is: one line that changes on a terminal, and a line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use base::clock;

use super::super::{chart, text};

/// How often a terminal's line changes.
const INTERVAL: Duration = Duration::from_millis(250);
/// How often a line is written where there is no terminal.
const INTERVAL_OF_LINES: Duration = Duration::from_secs(10);
/// The width of the bar.
const BAR_COLUMNS: usize = 24;
/// Goes to the beginning of a terminal's line and clears it.
const CLEAR_LINE: &str = "\r\x1b[K";

/// What people see while they wait.
pub(super) struct Progress {
    all: u64,
    /// How many there were at the beginning.
    before: u64,
    started: Instant,
    told: Option<Instant>,
    is_terminal: bool,
    is_line_used: bool,
}

impl Progress {
    /// Of so many records, of which `before` are done.
    pub(super) fn new(all: u64, before: u64) -> Self {
        Self {
            all,
            before,
            started: clock::now(),
            told: None,
            is_terminal: std::io::stderr().is_terminal(),
            is_line_used: false,
        }
    }

    /// So many are done.
    pub(super) fn at(&mut self, done: u64) {
        let now = clock::now();
        let interval = if self.is_terminal {
            INTERVAL
        } else {
            INTERVAL_OF_LINES
        };
        let last = self.told.unwrap_or(self.started);
        if now.saturating_duration_since(last) < interval {
            return;
        }
        self.told = Some(now);
        let passed = now.saturating_duration_since(self.started);
        let line = line(self.all, (self.before, done), passed);
        if self.is_terminal {
            let bar = text::padded(&chart::bar(done, self.all, BAR_COLUMNS), BAR_COLUMNS);
            self.is_line_used = true;
            eprint!("{CLEAR_LINE}{bar} {line}");
        } else {
            eprintln!("landline: {line}");
        }
    }

    /// Leaves the line to others.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.is_line_used) {
            eprint!("{CLEAR_LINE}");
        }
    }

    /// How long it took.
    pub(super) fn seconds(&self) -> f64 {
        let passed = clock::now().saturating_duration_since(self.started);
        passed.as_secs_f64()
    }
}

fn line(all: u64, (before, done): (u64, u64), passed: Duration) -> String {
    // What others removed there may make it fewer than were counted.
    let all = all.max(done);
    let tenths = u128::from(done) * 1_000 / u128::from(all.max(1));
    let rate = u128::from(done.saturating_sub(before)) * 1_000 / passed.as_millis().max(1);
    let left = match rate {
        0 => String::new(),
        rate => {
            let seconds = u128::from(all - done).div_ceil(rate);
            format!(
                ", {} left",
                lasting(u64::try_from(seconds).unwrap_or(u64::MAX))
            )
        }
    };
    format!(
        "{} of {} records, {}.{} %, {}/s{left}",
        text::number(done),
        text::number(all),
        tenths / 10,
        tenths % 10,
        text::number(u64::try_from(rate).unwrap_or(u64::MAX)),
    )
}

/// A time in its two largest units.
fn lasting(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_rate_and_rest() {
        let check = |all, counts, milliseconds, expected: &str| {
            let passed = Duration::from_millis(milliseconds);
            assert_eq!(line(all, counts, passed), expected);
        };
        check(0, (0, 0), 0, "0 of 0 records, 0.0 %, 0/s");
        check(
            1_000_000,
            (0, 12_500),
            5_000,
            "12,500 of 1,000,000 records, 1.2 %, 2,500/s, 6 min 35 s left",
        );
        // What was there before says nothing about the rate.
        check(
            2_000,
            (1_000, 1_500),
            1_000,
            "1,500 of 2,000 records, 75.0 %, 500/s, 1 s left",
        );
        check(
            10,
            (0, 12),
            1_000,
            "12 of 12 records, 100.0 %, 12/s, 0 s left",
        );
        check(
            40_000_000,
            (0, 10_000),
            1_000,
            "10,000 of 40,000,000 records, 0.0 %, 10,000/s, 1 h 6 min left",
        );
    }
}
