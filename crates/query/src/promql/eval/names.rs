//! The end of evaluation: names that no longer hold go, what is the same then becomes one series.

use std::sync::Arc;

use super::series::{Cell, Series, is_absent, joined};
use super::{Evaluation, Grid, fail};
use crate::promql::value::{MatrixSeries, Sample, VectorSample};

pub(super) const SAME_LABELS: &str = "vector cannot contain metrics with the same labelset";

fn cleaned(series: Vec<Series>) -> Evaluation<Vec<Series>> {
    let mut cleaned: Vec<Series> = series;
    cleaned.retain(|one| !one.is_empty());
    for one in &mut cleaned {
        if one.drop_name {
            one.labels = one.labels.without_metadata();
            one.drop_name = false;
        }
    }
    match joined(cleaned) {
        Some(joined) => Ok(joined),
        None => fail(SAME_LABELS),
    }
}

/// The one step of series, in their order.
pub(super) fn vector(series: Vec<Series>, time_ms: i64) -> Evaluation<Vec<VectorSample>> {
    let mut vector = Vec::with_capacity(series.len());
    for one in cleaned(series)? {
        let sample = match one.cell(0) {
            Cell::Float(value) => Sample::Float(value),
            Cell::Histogram(histogram) => Sample::Histogram(Arc::clone(histogram)),
            Cell::Nothing => continue,
        };
        vector.push(VectorSample {
            labels: one.labels,
            timestamp_ms: time_ms,
            sample,
        });
    }
    Ok(vector)
}

/// All steps of series, by labels.
pub(super) fn matrix(series: Vec<Series>, grid: Grid) -> Evaluation<Vec<MatrixSeries>> {
    let mut matrix = Vec::with_capacity(series.len());
    for one in cleaned(series)? {
        let present = one.values.iter().filter(|value| !is_absent(**value));
        let mut floats = Vec::with_capacity(present.count());
        let mut histograms = Vec::new();
        for (time, cell) in grid.times().zip(one.cells()) {
            match cell {
                Cell::Float(value) => floats.push((time, value)),
                Cell::Histogram(histogram) => histograms.push((time, Arc::clone(histogram))),
                Cell::Nothing => {}
            }
        }
        matrix.push(MatrixSeries {
            labels: one.labels,
            floats,
            histograms,
        });
    }
    matrix.sort_by(|one, other| one.labels.cmp(&other.labels));
    Ok(matrix)
}
