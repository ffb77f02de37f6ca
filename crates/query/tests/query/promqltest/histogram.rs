//! Native histograms as the acceptance files write them: `{{schema:0 sum:1 buckets:[1 2]}}`.

use query::histogram::{Bucket, Histogram, ResetHint};

/// A histogram that is written down.
#[derive(Debug, Clone, Default)]
pub(crate) struct Literal {
    pub(crate) histogram: Histogram,
    /// Whether it says something of resets, so that this is expected, too.
    pub(crate) has_hint: bool,
}

/// The histogram at the begin of a text.
pub(crate) fn take(text: &str) -> Option<(Literal, &str)> {
    let inside = text.strip_prefix("{{")?;
    let (inside, rest) = inside.split_once("}}")?;
    let mut literal = Literal::default();
    let mut offsets = (0, 0);
    let (mut positive, mut negative) = (Vec::new(), Vec::new());
    let mut left = inside.trim();
    while !left.is_empty() {
        let (key, after) = left.split_once(':')?;
        let (value, after) = match after.strip_prefix('[') {
            Some(list) => list.split_once(']')?,
            None => after.split_once(' ').unwrap_or((after, "")),
        };
        left = after.trim();
        let histogram = &mut literal.histogram;
        match key {
            "schema" => histogram.schema = value.parse().ok()?,
            "sum" => histogram.sum = query::number::parse(value)?,
            "count" => histogram.count = query::number::parse(value)?,
            "z_bucket" => histogram.zero_count = query::number::parse(value)?,
            "z_bucket_w" => histogram.zero_threshold = query::number::parse(value)?,
            "offset" => offsets.0 = value.parse().ok()?,
            "n_offset" => offsets.1 = value.parse().ok()?,
            "buckets" => positive = numbers(value)?,
            "n_buckets" => negative = numbers(value)?,
            "custom_values" => histogram.custom_values = numbers(value)?.into(),
            "counter_reset_hint" => {
                literal.has_hint = true;
                histogram.reset_hint = match value {
                    "gauge" => ResetHint::Gauge,
                    "reset" => ResetHint::Reset,
                    "not_reset" => ResetHint::NotReset,
                    "unknown" => ResetHint::Unknown,
                    _ => return None,
                };
            }
            _ => return None,
        }
    }
    literal.histogram.positive = buckets(&positive, offsets.0);
    literal.histogram.negative = buckets(&negative, offsets.1);
    Some((literal, rest))
}

fn numbers(text: &str) -> Option<Vec<f64>> {
    text.split_whitespace().map(query::number::parse).collect()
}

fn buckets(counts: &[f64], offset: i32) -> Vec<Bucket> {
    let numbered = counts.iter().zip(offset..);
    let filled = numbered.filter(|(count, _)| **count != 0.0);
    filled
        .map(|(count, index)| Bucket {
            index,
            count: *count,
        })
        .collect()
}
