//! Functions of one float at a time.

use super::call::argument;
use super::series::{ABSENT, Series, is_absent};
use super::{Evaluation, Evaluator, Grid};
use crate::promql::ast::Call;

/// The function of a float with this name.
pub(super) fn function(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "acos" => f64::acos,
        "acosh" => f64::acosh,
        "asin" => f64::asin,
        "asinh" => f64::asinh,
        "atan" => f64::atan,
        "atanh" => f64::atanh,
        "ceil" => f64::ceil,
        "cos" => f64::cos,
        "cosh" => f64::cosh,
        "deg" => |value| value * 180.0 / std::f64::consts::PI,
        "exp" => f64::exp,
        "floor" => f64::floor,
        "ln" => f64::ln,
        "log10" => f64::log10,
        "log2" => f64::log2,
        "rad" => |value| value * std::f64::consts::PI / 180.0,
        "sgn" => |value| {
            if value < 0.0 {
                -1.0
            } else if value > 0.0 {
                1.0
            } else {
                value
            }
        },
        "sin" => f64::sin,
        "sinh" => f64::sinh,
        "sqrt" => f64::sqrt,
        "tan" => f64::tan,
        "tanh" => f64::tanh,
        _ => return None,
    })
}

impl Evaluator<'_> {
    /// Applies a function to all floats; histograms go.
    pub(super) fn map(
        &self,
        series: &mut Vec<Series>,
        function: impl Fn(f64) -> f64,
    ) -> Evaluation<()> {
        for one in series.iter_mut() {
            self.work(one.len())?;
            one.drop_histograms();
            one.drop_name = true;
            one.map_floats(&function);
        }
        series.retain(|one| !one.is_empty());
        Ok(())
    }

    /// `round` and `clamp…`, whose bounds may change with the steps.
    pub(super) fn bounded(&self, call: &Call, grid: Grid) -> Evaluation<Vec<Series>> {
        let mut series = self.eval_vector(argument(call, 0)?, grid)?;
        let mut bounds = Vec::new();
        for place in 1..call.arguments.len() {
            bounds.push(self.eval_scalar(argument(call, place)?, grid)?);
        }
        let bound = |place: usize, step: usize, otherwise: f64| {
            let values = bounds.get(place).and_then(|values| values.get(step));
            values.copied().unwrap_or(otherwise)
        };
        let name = call.function.name;
        let change = |step: usize, value: f64| match name {
            "round" => round(value, bound(0, step, 1.0)),
            "clamp_min" => clamp(value, bound(0, step, f64::NAN), f64::INFINITY),
            "clamp_max" => clamp(value, f64::NEG_INFINITY, bound(0, step, f64::NAN)),
            _ => {
                let (least, most) = (bound(0, step, f64::NAN), bound(1, step, f64::NAN));
                if most < least {
                    ABSENT
                } else {
                    clamp(value, least, most)
                }
            }
        };
        for one in &mut series {
            self.work(one.len())?;
            one.drop_histograms();
            one.drop_name = true;
            for (step, value) in one.values.iter_mut().enumerate() {
                if !is_absent(*value) {
                    *value = change(step, *value);
                }
            }
        }
        series.retain(|one| !one.is_empty());
        Ok(series)
    }
}

/// A value between two bounds; NaN if any of the three is.
fn clamp(value: f64, least: f64, most: f64) -> f64 {
    if value.is_nan() || least.is_nan() || most.is_nan() {
        f64::NAN
    } else {
        value.min(most).max(least)
    }
}

/// The nearest multiple; halves go up. The inverse is multiplied with, which is more exact for
/// decimal fractions.
fn round(value: f64, nearest: f64) -> f64 {
    let inverse = 1.0 / nearest;
    (value * inverse + 0.5).floor() / inverse
}
