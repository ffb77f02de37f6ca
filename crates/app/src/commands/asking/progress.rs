//! How far something is that takes long: one line that changes on a terminal, and a line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use base::clock;

use super::{chart, text};

/// How often a terminal's line changes.
const INTERVAL: Duration = Duration::from_millis(250);
/// How often a line is written where there is no terminal.
const INTERVAL_OF_LINES: Duration = Duration::from_secs(10);
/// The width of the bar.
const BAR_COLUMNS: usize = 24;
/// Goes to the beginning of a terminal's line and clears it.
const CLEAR_LINE: &str = "\r\x1b[K";

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Unit {
    /// Records.
    Records,
    /// Bytes of files.
    Bytes,
    /// Samples of series.
    Samples,
    /// Stretches of time.
    Stretches,
}

impl Unit {
    fn amount(self, count: u64) -> String {
        match self {
            Self::Records | Self::Samples | Self::Stretches => text::number(count),
            Self::Bytes => text::bytes(count),
        }
    }
}

/// What people see while they wait.
pub(in crate::commands) struct Progress {
    unit: Unit,
    all: u64,
    /// How many there were at the beginning.
    before: u64,
    done: u64,
    started: Instant,
    told: Option<Instant>,
    is_terminal: bool,
    is_line_used: bool,
    is_hidden: bool,
}

impl Progress {
    /// Of so many, of which `before` are done.
    pub(in crate::commands) fn new(unit: Unit, all: u64, before: u64) -> Self {
        Self {
            unit,
            done: before,
            all,
            before,
            started: clock::now(),
            told: None,
            is_terminal: std::io::stderr().is_terminal(),
            is_line_used: false,
            is_hidden: false,
        }
    }

    /// So many more are done.
    pub(in crate::commands) fn add(&mut self, more: u64) {
        self.at(self.done.saturating_add(more));
    }

    /// So many more were done before.
    pub(in crate::commands) fn add_before(&mut self, more: u64) {
        self.before = self.before.saturating_add(more);
        self.add(more);
    }

    /// So many are to be done again.
    pub(in crate::commands) fn take_back(&mut self, count: u64) {
        self.done = self.done.saturating_sub(count);
        self.before = self.before.min(self.done);
    }

    /// Nothing is shown: the terminal is used for something else.
    pub(in crate::commands) fn hide(&mut self) {
        self.is_hidden = true;
    }

    /// So many are done.
    pub(in crate::commands) fn at(&mut self, done: u64) {
        self.done = done;
        if self.is_hidden {
            return;
        }
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
        let line = line(self.unit, self.all, (self.before, done), passed);
        if self.is_terminal {
            let bar = text::padded(&chart::bar(done, self.all, BAR_COLUMNS), BAR_COLUMNS);
            self.is_line_used = true;
            eprint!("{CLEAR_LINE}{bar} {line}");
        } else {
            eprintln!("landline: {line}");
        }
    }

    /// Leaves the line to others.
    pub(in crate::commands) fn clear(&mut self) {
        if std::mem::take(&mut self.is_line_used) {
            eprint!("{CLEAR_LINE}");
        }
    }

    /// How long it took.
    pub(in crate::commands) fn seconds(&self) -> f64 {
        let passed = clock::now().saturating_duration_since(self.started);
        passed.as_secs_f64()
    }
}

fn line(unit: Unit, all: u64, (before, done): (u64, u64), passed: Duration) -> String {
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
        "{} of {}{}, {}.{} %, {}/s{left}",
        unit.amount(done),
        unit.amount(all),
        match unit {
            Unit::Records => " records",
            Unit::Bytes => "",
            Unit::Samples => " samples",
            Unit::Stretches => " stretches of time",
        },
        tenths / 10,
        tenths % 10,
        unit.amount(u64::try_from(rate).unwrap_or(u64::MAX)),
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
            assert_eq!(line(Unit::Records, all, counts, passed), expected);
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
    #[test]
    fn bytes_have_units() {
        let passed = Duration::from_secs(2);
        let line = line(Unit::Bytes, 64 << 20, (0, 16 << 20), passed);
        assert_eq!(line, "16.0 MiB of 64.0 MiB, 25.0 %, 8.0 MiB/s, 6 s left");
    }
}
