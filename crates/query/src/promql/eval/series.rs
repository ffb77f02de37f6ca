//! A series over the steps of a grid: a column of floats and, where there are any, one of
//! histograms.

use std::sync::Arc;

use crate::histogram::Histogram;
use crate::labels::Labels;
use crate::promql::value::Sample;
use crate::source::{STALE, is_stale};

/// A step without a float. The marker of staleness never comes out of arithmetic and is never the
/// value of a sample, so that a column needs no second one that says what is there.
pub(super) const ABSENT: f64 = STALE;

/// Whether there is no float at a step.
pub(super) fn is_absent(value: f64) -> bool {
    is_stale(value)
}

/// A series over the steps of a grid.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) labels: Labels,
    /// Whether the metric's name, type and unit no longer hold; they are removed at the end.
    pub(super) drop_name: bool,
    /// A float per step, or [`ABSENT`].
    pub(super) values: Vec<f64>,
    /// Histograms per step, if there is one at all.
    histograms: Option<Vec<Option<Arc<Histogram>>>>,
}

/// What a series has at a step.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell<'a> {
    Nothing,
    Float(f64),
    Histogram(&'a Arc<Histogram>),
}

impl Cell<'_> {
    pub(super) fn is_some(&self) -> bool {
        !matches!(self, Cell::Nothing)
    }
}

impl Series {
    /// A series of floats.
    pub(super) fn floats(labels: Labels, values: Vec<f64>) -> Series {
        Series {
            labels,
            drop_name: false,
            values,
            histograms: None,
        }
    }

    /// A series with nothing at so many steps.
    pub(super) fn empty(labels: Labels, steps: usize) -> Series {
        Series::floats(labels, vec![ABSENT; steps])
    }

    /// How many steps there are.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn has_histograms(&self) -> bool {
        self.histograms.is_some()
    }

    pub(super) fn cell(&self, step: usize) -> Cell<'_> {
        let value = self.values.get(step).copied().unwrap_or(ABSENT);
        if !is_absent(value) {
            return Cell::Float(value);
        }
        let Some(histograms) = &self.histograms else {
            return Cell::Nothing;
        };
        match histograms.get(step) {
            Some(Some(histogram)) => Cell::Histogram(histogram),
            _ => Cell::Nothing,
        }
    }

    pub(super) fn cells(&self) -> impl Iterator<Item = Cell<'_>> {
        (0..self.len()).map(|step| self.cell(step))
    }

    /// Whether there is nothing at any step.
    pub(super) fn is_empty(&self) -> bool {
        self.values.iter().all(|value| is_absent(*value))
            && self
                .histograms
                .iter()
                .flatten()
                .all(std::option::Option::is_none)
    }

    pub(super) fn set_float(&mut self, step: usize, value: f64) {
        if let Some(slot) = self.values.get_mut(step) {
            *slot = value;
        }
    }

    pub(super) fn set_histogram(&mut self, step: usize, histogram: Arc<Histogram>) {
        let steps = self.values.len();
        let histograms = self.histograms.get_or_insert_with(|| vec![None; steps]);
        if let Some(slot) = histograms.get_mut(step) {
            *slot = Some(histogram);
        }
    }

    pub(super) fn set(&mut self, step: usize, sample: Sample) {
        match sample {
            Sample::Float(value) => self.set_float(step, value),
            Sample::Histogram(histogram) => self.set_histogram(step, histogram),
        }
    }

    /// Copies what another series has at a step.
    pub(super) fn copy(&mut self, step: usize, cell: Cell<'_>) {
        match cell {
            Cell::Nothing => {}
            Cell::Float(value) => self.set_float(step, value),
            Cell::Histogram(histogram) => self.set_histogram(step, Arc::clone(histogram)),
        }
    }

    pub(super) fn clear(&mut self, step: usize) {
        self.set_float(step, ABSENT);
        let slot = self.histograms.as_mut().and_then(|all| all.get_mut(step));
        if let Some(slot) = slot {
            *slot = None;
        }
    }

    pub(super) fn map_floats(&mut self, change: impl Fn(f64) -> f64) {
        for value in &mut self.values {
            if !is_absent(*value) {
                *value = change(*value);
            }
        }
    }

    pub(super) fn map_histograms(&mut self, change: impl Fn(&mut Histogram)) {
        for slot in self.histograms.iter_mut().flatten().flatten() {
            change(Arc::make_mut(slot));
        }
    }

    pub(super) fn drop_histograms(&mut self) {
        self.histograms = None;
    }

    /// The first step, so many times.
    pub(super) fn repeated(&self, steps: usize) -> Series {
        let mut repeated = Series::empty(self.labels.clone(), steps);
        repeated.drop_name = self.drop_name;
        match self.cell(0) {
            Cell::Float(value) => repeated.values.fill(value),
            Cell::Histogram(histogram) => {
                repeated.histograms = Some(vec![Some(Arc::clone(histogram)); steps]);
            }
            Cell::Nothing => {}
        }
        repeated
    }

    /// Takes what another series has; false when both have something at one step.
    pub(super) fn absorb(&mut self, other: &Series) -> bool {
        for step in 0..self.len() {
            let cell = other.cell(step);
            if !cell.is_some() {
                continue;
            }
            if self.cell(step).is_some() {
                return false;
            }
            self.copy(step, cell);
        }
        self.drop_name |= other.drop_name;
        true
    }
}

/// Joins series with the same labels; none when two of them have something at one step.
pub(super) fn joined(series: Vec<Series>) -> Option<Vec<Series>> {
    let mut places = std::collections::HashMap::with_capacity(series.len());
    let mut joined: Vec<Series> = Vec::with_capacity(series.len());
    for one in series {
        match places.get(&one.labels).copied() {
            Some(place) => {
                let same: &mut Series = joined.get_mut(place)?;
                if !same.absorb(&one) {
                    return None;
                }
            }
            None => {
                places.insert(one.labels.clone(), joined.len());
                joined.push(one);
            }
        }
    }
    Some(joined)
}
