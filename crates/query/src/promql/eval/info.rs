//! `info`: adds to series the labels of info metrics, which have the same job and instance.

use std::collections::HashMap;

use super::call::argument;
use super::select::{Cursor, Held, References};
use super::series::{Series, joined};
use super::{Evaluation, Evaluator, Grid, fail, names};
use crate::labels::{Groups, Labels, METRIC_NAME, Projection};
use crate::matcher::{Comparison, Matcher};
use crate::promql::ast::{Call, Edges, Expression, Moment, Node, Selector};

/// The labels by which series and info metrics find one another.
const IDENTITY: [&str; 2] = ["instance", "job"];
/// The info metric that is meant where none is named.
const INFO_METRIC: &str = "target_info";
/// What info metrics are called where only others are excluded.
const INFO_METRICS: &str = ".+_info";

/// An info series at the steps at which it holds, with the time of its sample.
struct InfoSeries {
    labels: Labels,
    group: usize,
    /// Per step.
    times: Vec<Option<i64>>,
}

/// What is wanted of info metrics.
struct Wanted {
    /// Matchers of the name.
    names: Vec<Matcher>,
    /// Matchers of other labels, which are also those that are added; all if there are none.
    data: Vec<Matcher>,
}

impl Wanted {
    fn of(call: &Call) -> Wanted {
        let selector = call.arguments.get(1).map(|argument| &argument.node);
        let matchers = match selector {
            Some(Node::Vector(selector)) => selector.matchers.clone(),
            _ => Vec::new(),
        };
        let (mut names, data): (Vec<Matcher>, Vec<Matcher>) = matchers
            .into_iter()
            .partition(|matcher| matcher.name == METRIC_NAME);
        if names.is_empty() {
            names.push(Matcher::equal(METRIC_NAME, INFO_METRIC));
        } else if !names.iter().any(is_positive) {
            let info = Matcher::new(METRIC_NAME, Comparison::Matches, INFO_METRICS);
            names.extend(info.ok());
        }
        Wanted { names, data }
    }

    /// Whether a series is an info metric itself.
    fn is_info(&self, labels: &Labels) -> bool {
        self.names
            .iter()
            .all(|matcher| matcher.matches_labels(labels))
    }

    fn wants_label(&self, name: &str) -> bool {
        name != METRIC_NAME
            && (self.data.is_empty() || self.data.iter().any(|matcher| matcher.name == name))
    }

    /// Whether a series without an info metric stays.
    fn allows_none(&self) -> bool {
        self.data.iter().all(|matcher| matcher.matches(""))
    }
}

fn is_positive(matcher: &Matcher) -> bool {
    matches!(matcher.comparison, Comparison::Equal | Comparison::Matches)
}

/// The times of the selector in an expression, through subqueries: info metrics are looked up then.
fn moment_of(
    evaluator: &Evaluator<'_>,
    expression: &Expression,
) -> Evaluation<Option<(Option<i64>, i64)>> {
    let first = |parts: &[&Expression]| {
        for part in parts {
            if let Some(found) = moment_of(evaluator, part)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    };
    match &expression.node {
        Node::Number(_) | Node::Text(_) => Ok(None),
        Node::Vector(selector) | Node::Matrix(selector, _) => {
            evaluator.moment(&selector.moment).map(Some)
        }
        Node::Subquery(subquery) => {
            let Some((at, offset)) = moment_of(evaluator, &subquery.inner)? else {
                return Ok(None);
            };
            if at.is_some() {
                return Ok(Some((at, offset)));
            }
            let (outer, outer_offset) = evaluator.moment(&subquery.moment)?;
            Ok(Some((outer, outer_offset.saturating_add(offset))))
        }
        Node::Unary { inner, .. } | Node::Parenthesized(inner) => moment_of(evaluator, inner),
        Node::Binary(binary) => first(&[&binary.left, &binary.right]),
        Node::Call(call) => first(&call.arguments.iter().collect::<Vec<_>>()),
        Node::Aggregate(aggregate) => moment_of(evaluator, &aggregate.inner),
    }
}

impl Evaluator<'_> {
    pub(super) fn info(&self, call: &Call, grid: Grid) -> Evaluation<Vec<Series>> {
        let wanted = Wanted::of(call);
        let inner = argument(call, 0)?;
        let base = self.eval_vector(inner, grid)?;
        let moment = moment_of(self, inner)?.unwrap_or((None, 0));
        let projection = Projection::on(&IDENTITY.map(str::to_owned));
        let mut groups = Groups::new(&projection);
        let infos = self.load_infos(&wanted, References::new(grid, moment), &mut groups)?;
        let mut by_group: HashMap<usize, Vec<&InfoSeries>> = HashMap::new();
        for info in &infos {
            by_group.entry(info.group).or_default().push(info);
        }
        let mut results = Vec::with_capacity(base.len());
        for series in base {
            self.work(grid.count)?;
            if wanted.is_info(&series.labels) {
                results.push(series);
                continue;
            }
            let has_identity = IDENTITY
                .iter()
                .any(|name| !series.labels.get(name).is_empty());
            let (group, _) = groups.number(&series.labels);
            let infos = by_group.get(&group).filter(|_| has_identity);
            let infos = infos.map_or(&[][..], Vec::as_slice);
            results.extend(enriched(&series, infos, &wanted)?);
        }
        match joined(results) {
            Some(joined) => Ok(joined),
            None => fail(names::SAME_LABELS),
        }
    }

    fn load_infos(
        &self,
        wanted: &Wanted,
        references: References,
        groups: &mut Groups<'_>,
    ) -> Evaluation<Vec<InfoSeries>> {
        let mut matchers = wanted.names.clone();
        matchers.extend(wanted.data.iter().cloned());
        let selector = Selector {
            matchers,
            name: None,
            moment: Moment::default(),
            edges: Edges::Plain,
        };
        let lookback = self.context.options.lookback_ms;
        let after = references.first().saturating_sub(lookback);
        let loaded = self.load(&selector, after, references.last())?;
        let mut infos = Vec::with_capacity(loaded.len());
        for data in loaded {
            self.work(references.grid().count)?;
            let mut cursor = Cursor::new(&data);
            let mut times = Vec::with_capacity(references.grid().count);
            for step in 0..references.grid().count {
                let until = references.time(step);
                let newest = cursor.newest(until.saturating_sub(lookback), until);
                if newest.is_some_and(|newest| matches!(newest.value, Held::Histogram(_))) {
                    let labels = &data.labels;
                    return fail(format!(
                        "this should be an info metric, with float samples: {labels}"
                    ));
                }
                times.push(newest.map(|newest| newest.timestamp));
            }
            let (group, _) = groups.number(&data.labels);
            infos.push(InfoSeries {
                labels: data.labels,
                group,
                times,
            });
        }
        Ok(infos)
    }
}

/// A series with the labels of the info metrics that hold at each step.
fn enriched(base: &Series, infos: &[&InfoSeries], wanted: &Wanted) -> Evaluation<Vec<Series>> {
    let mut results: Vec<Series> = Vec::new();
    for (step, cell) in base.cells().enumerate() {
        if !cell.is_some() {
            continue;
        }
        let current = current(infos, step)?;
        if current.is_empty() && !wanted.allows_none() {
            continue;
        }
        let labels = with_labels(&base.labels, &current, wanted)?;
        if !results.iter().any(|result| result.labels == labels) {
            let mut series = Series::empty(labels.clone(), base.len());
            series.drop_name = base.drop_name;
            results.push(series);
        }
        let result = results.iter_mut().find(|result| result.labels == labels);
        if let Some(result) = result {
            result.copy(step, cell);
        }
    }
    Ok(results)
}

/// The info series that hold at a step: of each metric the one with the newest sample.
fn current<'i>(infos: &[&'i InfoSeries], step: usize) -> Evaluation<Vec<&'i InfoSeries>> {
    let mut current: Vec<(&'i InfoSeries, i64)> = Vec::new();
    for info in infos {
        let Some(Some(time)) = info.times.get(step).copied() else {
            continue;
        };
        let name = info.labels.get(METRIC_NAME);
        let same = current
            .iter_mut()
            .find(|(other, _)| other.labels.get(METRIC_NAME) == name);
        match same {
            None => current.push((info, time)),
            Some((_, held)) if *held > time => {}
            Some((other, held)) if *held == time => {
                let (one, two) = (&other.labels, &info.labels);
                return fail(format!(
                    "found duplicate series for info metric: existing {one} @ {held}, new {two} @ {time}"
                ));
            }
            Some(other) => *other = (info, time),
        }
    }
    Ok(current.into_iter().map(|(info, _)| info).collect())
}

fn with_labels(base: &Labels, infos: &[&InfoSeries], wanted: &Wanted) -> Evaluation<Labels> {
    let mut added: Vec<(&str, &str)> = Vec::new();
    for info in infos {
        for (name, value) in info.labels.iter() {
            if !wanted.wants_label(name) || !base.get(name).is_empty() {
                continue;
            }
            match added.iter().find(|(own, _)| *own == name) {
                Some((_, own)) if *own != value => {
                    return fail(format!("conflicting label: {name}"));
                }
                Some(_) => {}
                None => added.push((name, value)),
            }
        }
    }
    if added.is_empty() {
        return Ok(base.clone());
    }
    Ok(Labels::new(base.iter().chain(added)))
}
