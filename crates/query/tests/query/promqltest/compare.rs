//! Whether a result is what a file expects: floats almost, all else exactly.

use std::sync::Arc;

use query::histogram::{Bucket, Histogram};
use query::promql::annotations::Annotations;
use query::promql::engine::{Outcome, QueryError};
use query::promql::value::{MatrixSeries, Sample, Value as Found, VectorSample};

use super::histogram::Literal;
use super::notation::Value;
use super::script::{Eval, Message};

/// The schema of a histogram that was told by its buckets' bounds, as the HTTP API tells all: the bounds
/// stand in pairs in `custom_values`, and `index` numbers the pairs.
pub(crate) const TOLD: i32 = i32::MIN;

/// By which share two floats may differ.
const EPSILON: f64 = 1e-6;

fn is_almost(one: f64, other: f64) -> bool {
    if one.total_cmp(&other).is_eq() || one.is_nan() && other.is_nan() {
        return true;
    }
    if one.is_nan() || other.is_nan() || one.is_infinite() || other.is_infinite() {
        return false;
    }
    let sum = one.abs() + other.abs();
    let distance = (one - other).abs();
    if one == 0.0 || other == 0.0 || sum < f64::MIN_POSITIVE {
        return distance < EPSILON * f64::MIN_POSITIVE;
    }
    distance / sum.min(f64::MAX) < EPSILON
}

/// What a query gave, if it was not expected to fail.
pub(crate) fn failure(
    eval: &Eval,
    outcome: Result<Outcome, QueryError>,
) -> Result<Option<Outcome>, String> {
    match (outcome, &eval.expected.fails) {
        (Ok(outcome), None) => Ok(Some(outcome)),
        (Ok(outcome), Some(_)) => Err(format!("did not fail: {:?}", outcome.value)),
        (Err(error), None) => Err(format!("failed: {error}")),
        (Err(error), Some(message)) if message.fits(&error.to_string()) => Ok(None),
        (Err(error), Some(message)) => Err(format!("failed with {error}, not {message:?}")),
    }
}

pub(crate) fn annotations(eval: &Eval, found: &Annotations) -> Result<(), String> {
    let expected = &eval.expected;
    let kinds = [
        (&found.warnings, &expected.warnings, expected.has_no_warning),
        (&found.infos, &expected.infos, expected.has_no_info),
    ];
    for (found, expected, has_none) in kinds {
        if has_none && !found.is_empty() {
            return Err(format!("unexpected annotations: {found:?}"));
        }
        let fits = |message: &Message| found.iter().any(|own| message.fits(own));
        if let Some(missing) = expected.iter().find(|message| !fits(message)) {
            return Err(format!("no annotation {missing:?} in {found:?}"));
        }
        let is_expected = |own: &&String| expected.iter().any(|message| message.fits(own));
        if let Some(more) = found
            .iter()
            .find(|own| !expected.is_empty() && !is_expected(own))
        {
            return Err(format!("unexpected annotation: {more}"));
        }
    }
    Ok(())
}

/// The value of an instant query.
pub(crate) fn instant(eval: &Eval, found: &Found) -> Result<(), String> {
    let expected = &eval.expected;
    match found {
        Found::Scalar(_, number) => match expected.scalar {
            Some(wanted) if is_almost(wanted, *number) => Ok(()),
            wanted => Err(format!("expected {wanted:?}, got {number}")),
        },
        Found::Text(_, text) => match &expected.text {
            Some(wanted) if wanted == text => Ok(()),
            wanted => Err(format!("expected {wanted:?}, got {text:?}")),
        },
        Found::Vector(vector) => self::vector(eval, vector),
        Found::Matrix(matrix) => match expected.range_vector {
            Some(times) => self::matrix(eval, matrix, times),
            None => Err("a range vector was not expected".to_owned()),
        },
    }
}

fn vector(eval: &Eval, found: &[VectorSample]) -> Result<(), String> {
    let expected = &eval.expected.series;
    if eval.expected.scalar.is_some() || eval.expected.text.is_some() {
        return Err("a vector was not expected".to_owned());
    }
    for (place, sample) in found.iter().enumerate() {
        let labels = &sample.labels;
        let wanted = expected.iter().position(|(own, _)| own == labels);
        let Some(wanted) = wanted else {
            return Err(format!("unexpected series {labels} {:?}", sample.sample));
        };
        if eval.expected.is_ordered && wanted != place {
            return Err(format!("{labels} stands at {place} instead of {wanted}"));
        }
        let (_, values) = &expected[wanted];
        let [Some(value)] = values.as_slice() else {
            return Err(format!("{labels} is expected with {} values", values.len()));
        };
        if !is_same(value, &sample.sample) {
            return Err(format!(
                "{labels}: expected {value:?}, got {:?}",
                sample.sample
            ));
        }
    }
    for (labels, _) in expected {
        if !found.iter().any(|sample| sample.labels == *labels) {
            return Err(format!("missing series {labels}"));
        }
    }
    Ok(())
}

/// The value of a range query.
pub(crate) fn range(eval: &Eval, found: &Found, times: (i64, i64)) -> Result<(), String> {
    let Found::Matrix(found) = found else {
        return Err("no matrix".to_owned());
    };
    matrix(eval, found, times)
}

fn matrix(eval: &Eval, found: &[MatrixSeries], (start, step): (i64, i64)) -> Result<(), String> {
    let is_sorted = found.is_sorted_by(|one, other| one.labels < other.labels);
    if !is_sorted {
        return Err("series are not sorted".to_owned());
    }
    for (labels, values) in &eval.expected.series {
        let times = (0..).map(|place: i64| start + place * step);
        let wanted: Vec<(i64, &Value)> = times
            .zip(values)
            .filter_map(|(time, value)| Some((time, value.as_ref()?)))
            .collect();
        let own = found.iter().find(|series| series.labels == *labels);
        let Some(own) = own else {
            return Err(format!("missing series {labels}"));
        };
        let points = points(own);
        let is_equal = points.len() == wanted.len()
            && points
                .iter()
                .zip(&wanted)
                .all(|(own, wanted)| own.0 == wanted.0 && is_same(wanted.1, &own.1));
        if !is_equal {
            return Err(format!("{labels}: expected {wanted:?}\n    got {points:?}"));
        }
    }
    for series in found {
        let labels = &series.labels;
        if !eval.expected.series.iter().any(|(own, _)| own == labels) {
            return Err(format!("unexpected series {labels}: {:?}", points(series)));
        }
    }
    Ok(())
}

/// Whether two results say the same, to the bit for floats.
pub(crate) fn are_same(one: &[VectorSample], other: &[VectorSample]) -> bool {
    let is_same = |(one, other): (&VectorSample, &VectorSample)| {
        one.labels == other.labels
            && match (&one.sample, &other.sample) {
                (Sample::Float(one), Sample::Float(other)) => {
                    one.to_bits() == other.to_bits() || one.is_nan() && other.is_nan()
                }
                (Sample::Histogram(one), Sample::Histogram(other)) => {
                    one == other || one.sum.is_nan() && other.sum.is_nan()
                }
                _ => false,
            }
    };
    one.len() == other.len() && one.iter().zip(other).all(is_same)
}

fn points(series: &MatrixSeries) -> Vec<(i64, Sample)> {
    let floats = series.floats.iter();
    let floats = floats.map(|(time, value)| (*time, Sample::Float(*value)));
    let histograms = series.histograms.iter();
    let histograms = histograms.map(|(time, value)| (*time, Sample::Histogram(Arc::clone(value))));
    let mut points: Vec<(i64, Sample)> = floats.chain(histograms).collect();
    points.sort_by_key(|(time, _)| *time);
    points
}

fn is_same(wanted: &Value, found: &Sample) -> bool {
    match (wanted, found) {
        (Value::Float(wanted), Sample::Float(found)) => is_almost(*wanted, *found),
        (Value::Histogram(wanted), Sample::Histogram(found)) => is_same_histogram(wanted, found),
        _ => false,
    }
}

fn is_same_histogram(literal: &Literal, found: &Histogram) -> bool {
    let wanted = &literal.histogram;
    if found.schema == TOLD {
        return is_told(wanted, found);
    }
    let bounds = wanted.custom_values.iter().zip(found.custom_values.iter());
    wanted.schema == found.schema
        && is_almost(wanted.count, found.count)
        && is_almost(wanted.sum, found.sum)
        && is_almost(wanted.zero_count, found.zero_count)
        && is_almost(wanted.zero_threshold, found.zero_threshold)
        && wanted.custom_values.len() == found.custom_values.len()
        && bounds
            .into_iter()
            .all(|(one, other)| is_almost(*one, *other))
        && have_same_buckets(&wanted.positive, &found.positive)
        && have_same_buckets(&wanted.negative, &found.negative)
        && (!literal.has_hint || wanted.reset_hint == found.reset_hint)
}

/// Whether that is what the API tells of a histogram.
fn is_told(wanted: &Histogram, found: &Histogram) -> bool {
    let spans = wanted.spans();
    let told = found.positive.iter().zip(found.custom_values.chunks(2));
    is_almost(wanted.count, found.count)
        && is_almost(wanted.sum, found.sum)
        && spans.len() == found.positive.len()
        && spans.iter().zip(told).all(|(span, (bucket, bounds))| {
            is_almost(span.lower, bounds[0])
                && is_almost(span.upper, bounds[1])
                && is_almost(span.count, bucket.count)
        })
}

fn have_same_buckets(wanted: &[Bucket], found: &[Bucket]) -> bool {
    let filled = |buckets: &[Bucket]| -> Vec<Bucket> {
        let filled = buckets.iter().filter(|bucket| bucket.count != 0.0);
        filled.copied().collect()
    };
    let (wanted, found) = (filled(wanted), filled(found));
    wanted.len() == found.len()
        && wanted
            .iter()
            .zip(&found)
            .all(|(one, other)| one.index == other.index && is_almost(one.count, other.count))
}
