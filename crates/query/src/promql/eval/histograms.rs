//! Functions of histograms, native ones and those of classic buckets side by side.

use std::collections::HashMap;

use super::call::argument;
use super::classic::{self, Buckets};
use super::relabel::label_name;
use super::series::{Cell, Series};
use super::{Evaluation, Evaluator, Grid};
use crate::histogram::Histogram;
use crate::labels::{BUCKET_BOUND, Labels, METRIC_NAME};
use crate::number::Short;
use crate::promql::annotations::for_metric;
use crate::promql::ast::Call;

/// A histogram of a vector: a native one, the buckets of a classic one, or by mistake both.
#[derive(Debug)]
struct Family {
    /// Without the bucket's bound.
    labels: Labels,
    /// Series of native histograms.
    native: Vec<Series>,
    /// Series of buckets by their bounds.
    buckets: Vec<(f64, Series)>,
}

/// A histogram at a step.
enum Found<'a> {
    Native(&'a Histogram),
    Classic(Buckets),
}

/// What answers have shown, to be told once per histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noted {
    /// A native histogram and classic buckets are there at one step.
    Mixed,
    /// Counts of classic buckets fell.
    Mended,
    /// Observations are no numbers, and neither is the quantile.
    NanQuantile,
    /// Observations are no numbers, and the quantile is too high.
    SkewedQuantile,
    /// Observations are no numbers, and in no fraction.
    NanFraction,
}

/// What is asked of a histogram.
#[derive(Debug, Clone, Copy)]
enum Question {
    Quantile(f64),
    Fraction(f64, f64),
}

impl Evaluator<'_> {
    /// `histogram_count` and others, of native histograms.
    pub(super) fn histogram_value(&self, call: &Call, grid: Grid) -> Evaluation<Vec<Series>> {
        let function: fn(&Histogram) -> f64 = match call.function.name {
            "histogram_avg" => |histogram| histogram.sum / histogram.count,
            "histogram_count" => |histogram| histogram.count,
            "histogram_sum" => |histogram| histogram.sum,
            "histogram_stddev" => |histogram| histogram.variance().sqrt(),
            _ => Histogram::variance,
        };
        let wants_counts = matches!(
            call.function.name,
            "histogram_avg" | "histogram_count" | "histogram_sum"
        );
        let inner = argument(call, 0)?;
        let vector = self.wanting(wants_counts, || self.eval_vector(inner, grid))?;
        let mut results = Vec::new();
        for series in vector {
            if !series.has_histograms() {
                continue;
            }
            self.work(grid.count)?;
            let mut result = Series::empty(series.labels.clone(), grid.count);
            result.drop_name = true;
            for (step, cell) in series.cells().enumerate() {
                if let Cell::Histogram(histogram) = cell {
                    result.set_float(step, function(histogram));
                }
            }
            results.push(result);
        }
        Ok(results)
    }

    pub(super) fn histogram_quantile(&self, call: &Call, grid: Grid) -> Evaluation<Vec<Series>> {
        let shares = self.eval_scalar(argument(call, 0)?, grid)?;
        self.check_shares(&shares, argument(call, 0)?.span.start);
        let families = self.families(call, 1, grid)?;
        let position = argument(call, 1)?.span.start;
        let mut results = Vec::with_capacity(families.len());
        for family in &families {
            let question = |step| Question::Quantile(share(&shares, step));
            results.push(self.answers(family, (grid, position), question)?);
        }
        Ok(results)
    }

    pub(super) fn histogram_fraction(&self, call: &Call, grid: Grid) -> Evaluation<Vec<Series>> {
        let lower = self.eval_scalar(argument(call, 0)?, grid)?;
        let upper = self.eval_scalar(argument(call, 1)?, grid)?;
        let families = self.families(call, 2, grid)?;
        let position = argument(call, 2)?.span.start;
        let mut results = Vec::with_capacity(families.len());
        for family in &families {
            let question = |step| Question::Fraction(share(&lower, step), share(&upper, step));
            results.push(self.answers(family, (grid, position), question)?);
        }
        Ok(results)
    }

    /// Several quantiles at once, each with its own label.
    pub(super) fn histogram_quantiles(&self, call: &Call, grid: Grid) -> Evaluation<Vec<Series>> {
        let label = label_name(call, 1, "quantile")?;
        let families = self.families(call, 0, grid)?;
        let position = argument(call, 0)?.span.start;
        let mut results = Vec::new();
        for place in 2..call.arguments.len() {
            let shares = self.eval_scalar(argument(call, place)?, grid)?;
            self.check_shares(&shares, argument(call, place)?.span.start);
            for family in &families {
                let question = |step| Question::Quantile(share(&shares, step));
                let answers = self.answers(family, (grid, position), question)?;
                results.extend(by_share(&answers, &label, &shares));
            }
        }
        Ok(results)
    }

    /// Puts series together that belong to one histogram.
    fn families(&self, call: &Call, place: usize, grid: Grid) -> Evaluation<Vec<Family>> {
        let position = argument(call, place)?.span.start;
        let inner = argument(call, place)?;
        let vector = self.wanting(false, || self.eval_vector(inner, grid))?;
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut families: Vec<Family> = Vec::new();
        for series in vector {
            self.work(grid.count)?;
            let bound = series.labels.get(BUCKET_BOUND).to_owned();
            let metric = series.labels.get(METRIC_NAME).to_owned();
            let labels = series.labels.filtered(|name| name != BUCKET_BOUND);
            let next = families.len();
            let at = *places.entry(labels.clone()).or_insert(next);
            if at == next {
                families.push(Family {
                    labels,
                    native: Vec::new(),
                    buckets: Vec::new(),
                });
            }
            let Some(family) = families.get_mut(at) else {
                continue;
            };
            let has_floats = series.cells().any(|cell| matches!(cell, Cell::Float(_)));
            if has_floats {
                match classic::bound(&bound) {
                    Some(bound) => family.buckets.push((bound, series.clone())),
                    None => {
                        let bound = crate::quote::quoted(bound.as_bytes());
                        let metric = for_metric(&metric);
                        let message = format!(
                            "bucket label \"le\" is missing or has a malformed value of {bound}{metric}"
                        );
                        self.warn(position, &message);
                    }
                }
            }
            if series.has_histograms() {
                family.native.push(series);
            }
        }
        Ok(families)
    }

    /// Asks a histogram at each step.
    fn answers(
        &self,
        family: &Family,
        (grid, position): (Grid, usize),
        question: impl Fn(usize) -> Question,
    ) -> Evaluation<Series> {
        let mut answers = Series::empty(family.labels.clone(), grid.count);
        answers.drop_name = true;
        let mut noted = Vec::new();
        self.work(grid.count.saturating_mul(family.buckets.len() + 1))?;
        for step in 0..grid.count {
            let native = family
                .native
                .iter()
                .find_map(|series| match series.cell(step) {
                    Cell::Histogram(histogram) => Some(&**histogram),
                    _ => None,
                });
            let buckets = family.buckets.iter();
            let buckets: Vec<(f64, f64)> = buckets
                .filter_map(|(bound, series)| match series.cell(step) {
                    Cell::Float(count) => Some((*bound, count)),
                    _ => None,
                })
                .collect();
            let found = match native {
                Some(_) if !buckets.is_empty() => {
                    note(&mut noted, Noted::Mixed);
                    continue;
                }
                Some(native) => Found::Native(native),
                None if buckets.is_empty() => continue,
                None => Found::Classic(Buckets::new(buckets)),
            };
            answers.set_float(step, answer(&found, question(step), &mut noted));
        }
        self.tell_noted(&noted, (position, family.labels.get(METRIC_NAME)));
        Ok(answers)
    }

    fn tell_noted(&self, noted: &[Noted], (position, metric): (usize, &str)) {
        let metric = for_metric(metric);
        for note in noted {
            let message = match note {
                Noted::Mixed => {
                    let message =
                        format!("vector contains a mix of classic and native histograms{metric}");
                    self.warn(position, &message);
                    continue;
                }
                Noted::Mended => {
                    "input to histogram_quantile needed to be fixed for monotonicity (buckets were read at different times)"
                }
                Noted::NanQuantile => {
                    "input to histogram_quantile has NaN observations, result is NaN"
                }
                Noted::SkewedQuantile => {
                    "input to histogram_quantile has NaN observations, result is skewed higher"
                }
                Noted::NanFraction => {
                    "input to histogram_fraction has NaN observations, which are excluded from all fractions"
                }
            };
            self.inform(position, &format!("{message}{metric}"));
        }
    }
}

fn note(noted: &mut Vec<Noted>, what: Noted) {
    if !noted.contains(&what) {
        noted.push(what);
    }
}

fn answer(found: &Found<'_>, question: Question, noted: &mut Vec<Noted>) -> f64 {
    match (found, question) {
        (Found::Native(histogram), Question::Quantile(share)) => {
            let value = histogram.quantile(share);
            let is_asked = (0.0..=1.0).contains(&share) && histogram.count != 0.0;
            if histogram.sum.is_nan() && is_asked {
                let what = if value.is_nan() {
                    Noted::NanQuantile
                } else {
                    Noted::SkewedQuantile
                };
                note(noted, what);
            }
            value
        }
        (Found::Native(histogram), Question::Fraction(lower, upper)) => {
            if histogram.sum.is_nan() && histogram.count != 0.0 {
                note(noted, Noted::NanFraction);
            }
            histogram.fraction(lower, upper)
        }
        (Found::Classic(buckets), Question::Quantile(share)) => {
            let (value, was_mended) = buckets.quantile(share);
            if was_mended {
                note(noted, Noted::Mended);
            }
            value
        }
        (Found::Classic(buckets), Question::Fraction(lower, upper)) => {
            buckets.fraction(lower, upper)
        }
    }
}

fn share(shares: &[f64], step: usize) -> f64 {
    shares.get(step).copied().unwrap_or(f64::NAN)
}

/// Splits answers by the quantile that was asked for, which may change with the steps.
fn by_share(answers: &Series, label: &str, shares: &[f64]) -> Vec<Series> {
    let mut split: Vec<(String, Series)> = Vec::new();
    for (step, share) in shares.iter().enumerate() {
        let text = share_text(*share);
        if !split.iter().any(|(own, _)| *own == text) {
            let mut series = Series::empty(answers.labels.with(label, &text), answers.len());
            series.drop_name = answers.drop_name;
            split.push((text.clone(), series));
        }
        let own = split.iter_mut().find(|(own, _)| *own == text);
        if let Some((_, series)) = own {
            series.copy(step, answers.cell(step));
        }
    }
    split.into_iter().map(|(_, series)| series).collect()
}

/// A quantile as a label: never without a point or exponent, as OpenMetrics wants it.
fn share_text(share: f64) -> String {
    let mut text = Short(share).to_string();
    if share.is_finite() && !text.contains(['.', 'e']) {
        text.push_str(".0");
    }
    text
}
