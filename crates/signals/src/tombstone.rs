//! Deletions that segments do not know yet: which series, which stretch of time.

use crate::bytes::{Reader, put_bytes, put_varint};
use crate::labels::Labels;
use crate::matcher::{Matcher, Operator};

/// Matchers of one deletion.
const MATCHERS_MAX: usize = 1_000;

/// Samples of matching series from `start` to `end` are gone from segments below `before`.
#[derive(Debug, Clone)]
pub(crate) struct Tombstone {
    /// The first segment number that it does not hold for.
    pub(crate) before: u32,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) matchers: Vec<Matcher>,
}

impl Tombstone {
    /// Whether it holds for a series.
    pub(crate) fn covers(&self, labels: &Labels) -> bool {
        self.matchers
            .iter()
            .all(|matcher| matcher.matches(labels.get(matcher.name())))
    }
}

/// Appends matchers.
pub(crate) fn put_matchers(out: &mut Vec<u8>, matchers: &[Matcher]) {
    put_varint(out, matchers.len() as u64);
    for matcher in matchers {
        out.push(match matcher.operator() {
            Operator::Equal => 0,
            Operator::NotEqual => 1,
            Operator::Matches => 2,
            Operator::MatchesNot => 3,
        });
        put_bytes(out, matcher.name().as_bytes());
        put_bytes(out, matcher.value().as_bytes());
    }
}

/// Reads what [`put_matchers`] wrote.
pub(crate) fn read_matchers(from: &mut Reader<'_>) -> Option<Vec<Matcher>> {
    let count = from.count()?;
    if count > MATCHERS_MAX {
        return None;
    }
    let one = |from: &mut Reader<'_>| {
        let operator = match from.byte()? {
            0 => Operator::Equal,
            1 => Operator::NotEqual,
            2 => Operator::Matches,
            3 => Operator::MatchesNot,
            _ => return None,
        };
        let name = from.text()?;
        Matcher::new(name, operator, from.text()?).ok()
    };
    (0..count).map(|_| one(from)).collect()
}
