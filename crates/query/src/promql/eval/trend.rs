//! Lines through the samples of a window: `deriv`, `predict_linear`,
//! `double_exponential_smoothing`.

use super::window::Window;
use crate::sum::Sum;

/// Slope per second and value at a time, of the line nearest to the samples.
pub(super) fn line(window: &Window<'_>, at_ms: i64) -> Option<(f64, f64)> {
    let first = *window.values.first()?;
    if window.values.len() < 2 {
        return None;
    }
    // All the same: no arithmetic is more exact.
    #[expect(clippy::float_cmp, reason = "exactly the same is meant")]
    let is_constant = window.values.iter().all(|value| *value == first);
    if is_constant {
        return Some(if first.is_infinite() {
            (f64::NAN, f64::NAN)
        } else {
            (0.0, first)
        });
    }
    let (mut xs, mut ys, mut products, mut squares) = (
        Sum::default(),
        Sum::default(),
        Sum::default(),
        Sum::default(),
    );
    for (timestamp, y) in window.timestamps.iter().zip(window.values) {
        let x = (timestamp - at_ms) as f64 / 1000.0;
        xs.add(x);
        ys.add(*y);
        products.add(x * y);
        squares.add(x * x);
    }
    let count = window.values.len() as f64;
    let (x, y) = (xs.sum + xs.lost, ys.sum + ys.lost);
    let covariance = (products.sum + products.lost) - x * y / count;
    let variance = (squares.sum + squares.lost) - x * x / count;
    let slope = covariance / variance;
    Some((slope, y / count - slope * x / count))
}

/// The last value of a series that is smoothed with a factor for values and one for the trend.
pub(super) fn smoothed(values: &[f64], value_factor: f64, trend_factor: f64) -> Option<f64> {
    let [first, second, ..] = values else {
        return None;
    };
    let mut level = *first;
    let mut trend = second - first;
    for value in values.iter().skip(1) {
        let next = value_factor * value + (1.0 - value_factor) * (level + trend);
        trend = trend_factor * (next - level) + (1.0 - trend_factor) * trend;
        level = next;
    }
    Some(level)
}
