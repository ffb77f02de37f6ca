//! How many refusals of one kind are recorded: strangers must not fill the disk with them, and one
//! noisy kind must not silence the others.

use std::collections::BTreeMap;

/// Refusals of one kind that are recorded in one minute.
pub(super) const REFUSALS_PER_MINUTE: u64 = 120;
const MINUTE_MS: i64 = 60_000;

/// Counts refusals by kind. Kinds are words of the program, so there are few.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    kinds: BTreeMap<&'static str, Window>,
}

#[derive(Debug, Default)]
struct Window {
    began_at: i64,
    recorded: u64,
    left_out: u64,
}

impl Budget {
    /// Whether one more may be recorded at `now` (Unix milliseconds), and how many were left out
    /// since the last one.
    pub(crate) fn admit(&mut self, kind: &'static str, now: i64) -> Option<u64> {
        let window = self.kinds.entry(kind).or_default();
        // A clock that was set back must not close the log until it has caught up.
        if now >= window.began_at.saturating_add(MINUTE_MS) || now < window.began_at {
            window.began_at = now;
            window.recorded = 0;
        }
        if window.recorded >= REFUSALS_PER_MINUTE {
            window.left_out += 1;
            return None;
        }
        window.recorded += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted_for_its_kind_only() {
        let mut budget = Budget::default();
        let admitted = (0..200).filter(|_| budget.admit("a", 5).is_some()).count();
        assert_eq!(admitted as u64, REFUSALS_PER_MINUTE);
        assert_eq!(budget.admit("b", 5), Some(0));
        assert_eq!(budget.admit("a", 5 + MINUTE_MS), Some(80));
        assert_eq!(budget.admit("a", 5 + MINUTE_MS), Some(0));
        let _ = (0..200)
            .filter(|_| budget.admit("a", 100_000).is_some())
            .count();
        assert_eq!(budget.admit("a", 4), Some(80 + 2), "the clock was set back");
    }
}
