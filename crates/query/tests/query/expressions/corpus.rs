//! Reads `corpus.txt`, which says itself how it is written.

/// What is said of an expression; places are line and column of our message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Every Prometheus takes it.
    Accepted,
    /// None does.
    Refused((usize, usize)),
    /// Taken, but not by Prometheus 2.42.
    Younger,
    /// Refused, and taken by Prometheus 2.42.
    Older((usize, usize)),
}

/// An expression, or what is none.
#[derive(Debug, Clone)]
pub(super) struct Case {
    /// The text.
    pub(super) expression: String,
    /// What is said of it.
    pub(super) verdict: Verdict,
}

/// All of them.
pub(super) fn corpus() -> Vec<Case> {
    let lines = include_str!("corpus.txt").lines();
    let cases = lines.filter_map(|line| {
        let (verdict, expression) = line.split_once('\t')?;
        Some(Case {
            expression: expression.replace('⏎', "\n"),
            verdict: read(verdict).unwrap_or_else(|| panic!("{line}")),
        })
    });
    cases.collect()
}

fn read(verdict: &str) -> Option<Verdict> {
    let (word, place) = verdict.split_once(' ').unwrap_or((verdict, "0:0"));
    let (line, column) = place.split_once(':')?;
    let place = (line.parse().ok()?, column.parse().ok()?);
    Some(match word {
        "accept" => Verdict::Accepted,
        "refuse" => Verdict::Refused(place),
        "younger" => Verdict::Younger,
        "older" => Verdict::Older(place),
        _ => return None,
    })
}
