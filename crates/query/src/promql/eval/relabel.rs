//! `label_replace` and `label_join`.

use super::call::argument;
use super::names::SAME_LABELS;
use super::series::{Series, joined};
use super::{Evaluation, Evaluator, Grid, fail, text_of};
use crate::labels::{Labels, METRIC_NAME};
use crate::promql::ast::Call;
use crate::re2;

/// An argument that is the name of a label.
pub(super) fn label_name(call: &Call, place: usize, role: &str) -> Evaluation<String> {
    let bytes = text_of(argument(call, place)?);
    match std::str::from_utf8(bytes) {
        Ok(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => {
            let name = crate::quote::quoted(bytes);
            let function = call.function.name;
            fail(format!("invalid {role} label name in {function}(): {name}"))
        }
    }
}

fn text(call: &Call, place: usize) -> Evaluation<String> {
    let bytes = text_of(argument(call, place)?);
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

impl Evaluator<'_> {
    pub(super) fn label_replace(&self, call: &Call, grid: Grid) -> Evaluation<Vec<Series>> {
        let target = label_name(call, 1, "destination")?;
        let replacement = text(call, 2)?;
        let source = text(call, 3)?;
        let pattern = text(call, 4)?;
        let regex = match re2::anchored(&pattern) {
            Ok((regex, _)) => regex,
            Err(reason) => {
                let pattern = crate::quote::quoted(pattern.as_bytes());
                return fail(format!(
                    "invalid regular expression in label_replace(): {pattern}: {reason}"
                ));
            }
        };
        let vector = self.eval_vector(argument(call, 0)?, grid)?;
        self.relabelled(vector, &target, |labels| {
            let captures = regex.captures(labels.get(&source))?;
            let mut value = String::new();
            captures.expand(&replacement, &mut value);
            Some(value)
        })
    }

    pub(super) fn label_join(&self, call: &Call, grid: Grid) -> Evaluation<Vec<Series>> {
        let target = label_name(call, 1, "destination")?;
        let separator = text(call, 2)?;
        let mut sources = Vec::new();
        for place in 3..call.arguments.len() {
            sources.push(label_name(call, place, "source")?);
        }
        let vector = self.eval_vector(argument(call, 0)?, grid)?;
        self.relabelled(vector, &target, |labels| {
            let values: Vec<&str> = sources.iter().map(|source| labels.get(source)).collect();
            Some(values.join(&separator))
        })
    }

    /// Sets a label of each series, where there is a value for it. A name that is set holds again.
    fn relabelled(
        &self,
        mut vector: Vec<Series>,
        target: &str,
        value: impl Fn(&Labels) -> Option<String>,
    ) -> Evaluation<Vec<Series>> {
        for series in &mut vector {
            self.work(1)?;
            if let Some(value) = value(&series.labels) {
                series.labels = series.labels.with(target, &value);
                if target == METRIC_NAME {
                    series.drop_name = false;
                }
            }
        }
        match joined(vector) {
            Some(joined) => Ok(joined),
            None => fail(SAME_LABELS),
        }
    }
}
