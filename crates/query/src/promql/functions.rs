//! The functions of PromQL: their names, what they take and give.

use super::ast::Type;
use super::ast::Type::{Matrix, Scalar, Text, Vector};

/// Any number of arguments.
const MANY: usize = usize::MAX;

/// What a function takes and gives.
#[derive(Debug, PartialEq, Eq)]
pub struct Signature {
    /// Its name.
    pub name: &'static str,
    /// Types of its arguments; further ones have the type of the last.
    pub arguments: &'static [Type],
    /// At least so many arguments.
    pub least: usize,
    /// At most so many arguments.
    pub most: usize,
    /// What it gives.
    pub returns: Type,
}

impl Signature {
    const fn new(name: &'static str, arguments: &'static [Type], returns: Type) -> Signature {
        Signature {
            name,
            arguments,
            least: arguments.len(),
            most: arguments.len(),
            returns,
        }
    }

    const fn between(mut self, least: usize, most: usize) -> Signature {
        self.least = least;
        self.most = most;
        self
    }

    /// The type of an argument, by its place.
    pub fn argument(&self, place: usize) -> Option<Type> {
        self.arguments.get(place).or(self.arguments.last()).copied()
    }
}

const fn vector(name: &'static str) -> Signature {
    Signature::new(name, &[Vector], Vector)
}

const fn date(name: &'static str) -> Signature {
    vector(name).between(0, 1)
}

const fn matrix(name: &'static str) -> Signature {
    Signature::new(name, &[Matrix], Vector)
}

const fn constant(name: &'static str) -> Signature {
    Signature::new(name, &[], Scalar)
}

/// All functions, by name.
pub static FUNCTIONS: &[Signature] = &[
    vector("abs"),
    vector("absent"),
    matrix("absent_over_time"),
    vector("acos"),
    vector("acosh"),
    vector("asin"),
    vector("asinh"),
    vector("atan"),
    vector("atanh"),
    matrix("avg_over_time"),
    vector("ceil"),
    matrix("changes"),
    Signature::new("clamp", &[Vector, Scalar, Scalar], Vector),
    Signature::new("clamp_max", &[Vector, Scalar], Vector),
    Signature::new("clamp_min", &[Vector, Scalar], Vector),
    vector("cos"),
    vector("cosh"),
    matrix("count_over_time"),
    date("day_of_month"),
    date("day_of_week"),
    date("day_of_year"),
    date("days_in_month"),
    vector("deg"),
    matrix("delta"),
    matrix("deriv"),
    Signature::new(
        "double_exponential_smoothing",
        &[Matrix, Scalar, Scalar],
        Vector,
    ),
    constant("end"),
    vector("exp"),
    matrix("first_over_time"),
    vector("floor"),
    vector("histogram_avg"),
    vector("histogram_count"),
    Signature::new("histogram_fraction", &[Scalar, Scalar, Vector], Vector),
    Signature::new("histogram_quantile", &[Scalar, Vector], Vector),
    Signature::new(
        "histogram_quantiles",
        &[Vector, Text, Scalar, Scalar],
        Vector,
    )
    .between(3, 12),
    vector("histogram_stddev"),
    vector("histogram_stdvar"),
    vector("histogram_sum"),
    date("hour"),
    matrix("idelta"),
    matrix("increase"),
    Signature::new("info", &[Vector, Vector], Vector).between(1, 2),
    matrix("irate"),
    Signature::new("label_join", &[Vector, Text, Text, Text], Vector).between(3, MANY),
    Signature::new("label_replace", &[Vector, Text, Text, Text, Text], Vector),
    matrix("last_over_time"),
    vector("ln"),
    vector("log10"),
    vector("log2"),
    matrix("mad_over_time"),
    Signature::new("max_of", &[Scalar, Scalar], Scalar),
    matrix("max_over_time"),
    Signature::new("min_of", &[Scalar, Scalar], Scalar),
    matrix("min_over_time"),
    date("minute"),
    date("month"),
    constant("pi"),
    Signature::new("predict_linear", &[Matrix, Scalar], Vector),
    matrix("present_over_time"),
    Signature::new("quantile_over_time", &[Scalar, Matrix], Vector),
    vector("rad"),
    constant("range"),
    matrix("rate"),
    matrix("resets"),
    Signature::new("round", &[Vector, Scalar], Vector).between(1, 2),
    Signature::new("scalar", &[Vector], Scalar),
    vector("sgn"),
    vector("sin"),
    vector("sinh"),
    vector("sort"),
    Signature::new("sort_by_label", &[Vector, Text], Vector).between(1, MANY),
    Signature::new("sort_by_label_desc", &[Vector, Text], Vector).between(1, MANY),
    vector("sort_desc"),
    vector("sqrt"),
    constant("start"),
    vector("start_timestamp"),
    matrix("stddev_over_time"),
    matrix("stdvar_over_time"),
    constant("step"),
    matrix("sum_over_time"),
    vector("tan"),
    vector("tanh"),
    constant("time"),
    vector("timestamp"),
    matrix("ts_of_first_over_time"),
    matrix("ts_of_last_over_time"),
    matrix("ts_of_max_over_time"),
    matrix("ts_of_min_over_time"),
    Signature::new("vector", &[Scalar], Vector),
    date("year"),
];

/// The function of this name.
pub fn named(name: &str) -> Option<&'static Signature> {
    let at = FUNCTIONS.binary_search_by(|function| function.name.cmp(name));
    FUNCTIONS.get(at.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_found_by_its_name() {
        for function in FUNCTIONS {
            assert_eq!(named(function.name), Some(function), "{}", function.name);
        }
        assert_eq!(FUNCTIONS.len(), 90);
        assert_eq!(named("nonsense"), None);
    }
}
