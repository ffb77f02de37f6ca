//! What there is: series, names and values of labels, metadata, exemplars.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::Path;
use base::http::{Policy, Routes};
use query::labels::Labels;
use query::matcher::Matcher;
use query::number::Plain;
use query::promql::format;
use query::promql::parser;
use signals::{Exemplar, Metadata, Store};

use super::answer::{Answer, Answered, ApiError, strings};
use super::parameters::Parameters;
use super::selecting::Wanted;
use super::{Shared, with};
use crate::samples::{labels, matchers};

/// How names that are no plain identifiers stand in a path: `U__` and escapes.
const ESCAPED: &str = "U__";

pub(super) fn routes(shared: &Arc<Shared>, read: impl Fn() -> Policy) -> Routes {
    let of_label = Arc::clone(shared);
    let values = move |Path(name): Path<String>, parameters: Parameters| async move {
        values(&of_label, &name, parameters).await
    };
    Routes::default()
        .get("/api/v1/series", read(), with(shared, series))
        .post("/api/v1/series", read(), with(shared, series))
        .get("/api/v1/labels", read(), with(shared, names))
        .post("/api/v1/labels", read(), with(shared, names))
        .get("/api/v1/label/{name}/values", read(), values)
        .get("/api/v1/metadata", read(), with(shared, metadata))
        .get("/api/v1/query_exemplars", read(), with(shared, exemplars))
        .post("/api/v1/query_exemplars", read(), with(shared, exemplars))
}

/// From when to when is looked, for all series when nothing is said.
fn wanted(parameters: Parameters, selectors: Vec<Vec<Matcher>>) -> Result<Wanted, ApiError> {
    let start = parameters.time("start", i64::MIN)?;
    let end = parameters.time("end", i64::MAX)?;
    if end < start {
        return Err(ApiError::bad("end timestamp must not be before start time"));
    }
    Ok(Wanted {
        selectors,
        start,
        end,
        viewer: parameters.viewer,
    })
}

async fn series(shared: Arc<Shared>, parameters: Parameters) -> Answered {
    let limit = parameters.limit("limit")?;
    let most = shared.config.series_max.min(limit);
    let selectors = parameters.needed_selectors()?;
    let wanted = wanted(parameters, selectors)?;
    let find = move |store: &Store, _| {
        let mut found = wanted.series(store, most)?;
        let is_cut = found.len() > most;
        found.truncate(most);
        let mut data = String::from("[");
        for (place, series) in found.iter().enumerate() {
            if place > 0 {
                data.push(',');
            }
            format::labels(&mut data, series);
        }
        data.push(']');
        Ok(Answer::new(&data).cut(is_cut))
    };
    shared.read(shared.config.timeout, find).await?
}

async fn names(shared: Arc<Shared>, parameters: Parameters) -> Answered {
    let limit = parameters.limit("limit")?;
    let selectors = parameters.selectors()?;
    let wanted = wanted(parameters, selectors)?;
    let find = move |store: &Store, _| Ok(listed(wanted.names(store)?.into_iter(), limit));
    shared.read(shared.config.timeout, find).await?
}

async fn values(shared: &Shared, name: &str, parameters: Parameters) -> Answered {
    let limit = parameters.limit("limit")?;
    let selectors = parameters.selectors()?;
    let wanted = wanted(parameters, selectors)?;
    let name =
        unescaped(name).ok_or_else(|| ApiError::bad(format!("invalid label name: {name:?}")))?;
    let find = move |store: &Store, _| {
        let values = wanted.values(store, &name)?;
        Ok(listed(values.into_iter(), limit))
    };
    shared.read(shared.config.timeout, find).await?
}

/// So many texts at most, as an array.
fn listed(texts: impl Iterator<Item = String>, limit: usize) -> Answer {
    let mut texts = texts;
    let some: Vec<String> = texts.by_ref().take(limit).collect();
    let mut data = String::new();
    strings(&mut data, some.iter());
    Answer::new(&data).cut(texts.next().is_some())
}

/// A name as it stands in a path: `U__` marks that `_2e_` stands for a dot, and so on.
fn unescaped(name: &str) -> Option<String> {
    let Some(mut rest) = name.strip_prefix(ESCAPED) else {
        return (!name.is_empty()).then(|| name.to_owned());
    };
    let mut plain = String::new();
    while let Some((before, after)) = rest.split_once('_') {
        plain.push_str(before);
        if let Some(after) = after.strip_prefix('_') {
            plain.push('_');
            rest = after;
            continue;
        }
        let (code, after) = after.split_once('_')?;
        let letter = u32::from_str_radix(code, 16).ok()?;
        plain.push(char::from_u32(letter)?);
        rest = after;
    }
    plain.push_str(rest);
    Some(plain)
}

async fn metadata(shared: Arc<Shared>, parameters: Parameters) -> Answered {
    let limit = parameters.limit("limit")?;
    let metric = parameters.get("metric").map(str::to_owned);
    let viewer = parameters.viewer;
    let find = move |store: &Store, _| -> Answered {
        let mut known = store.metadata();
        if let Some(metric) = &metric {
            known.retain(|name, _| name == metric);
        }
        if !viewer.sees_everything() {
            let wanted = Wanted {
                selectors: Vec::new(),
                start: i64::MIN,
                end: i64::MAX,
                viewer,
            };
            let seen = wanted.values(store, query::labels::METRIC_NAME)?;
            let seen: BTreeSet<String> = seen.into_iter().collect();
            known.retain(|name, _| seen.contains(name));
        }
        let is_cut = known.len() > limit;
        Ok(Answer::new(&described(&known, limit)).cut(is_cut))
    };
    shared.read(shared.config.timeout, find).await?
}

fn described(known: &BTreeMap<String, Metadata>, limit: usize) -> String {
    let mut data = String::from("{");
    for (place, (name, metadata)) in known.iter().take(limit).enumerate() {
        if place > 0 {
            data.push(',');
        }
        format::string(&mut data, name);
        data.push_str(":[{\"type\":");
        let kind = Some(metadata.kind.as_str()).filter(|kind| !kind.is_empty());
        format::string(&mut data, kind.unwrap_or("unknown"));
        data.push_str(",\"help\":");
        format::string(&mut data, &metadata.help);
        data.push_str(",\"unit\":");
        format::string(&mut data, &metadata.unit);
        data.push_str("}]");
    }
    data.push('}');
    data
}

async fn exemplars(shared: Arc<Shared>, parameters: Parameters) -> Answered {
    let start = parameters.time("start", i64::MIN)?;
    let end = parameters.time("end", i64::MAX)?;
    if end < start {
        return Err(ApiError::bad("end timestamp must not be before start time"));
    }
    let text = parameters.get("query").unwrap_or_default();
    let expression = parser::parse(text).map_err(|error| ApiError::parameter("query", error))?;
    let selectors = expression.selectors();
    let viewer = parameters.viewer;
    let find = move |store: &Store, _| -> Answered {
        let mut found: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
        for selector in &selectors {
            let matchers = matchers(selector).map_err(ApiError::bad)?;
            for exemplar in store.exemplars(&matchers, start, end) {
                let series = labels(&exemplar.series);
                if viewer.sees(&series) {
                    let own = found.entry(series).or_default();
                    if !own.contains(&exemplar) {
                        own.push(exemplar);
                    }
                }
            }
        }
        Ok(Answer::new(&exemplars_json(found)))
    };
    shared.read(shared.config.timeout, find).await?
}

fn exemplars_json(found: BTreeMap<Labels, Vec<Exemplar>>) -> String {
    let mut data = String::from("[");
    for (place, (series, mut exemplars)) in found.into_iter().enumerate() {
        if place > 0 {
            data.push(',');
        }
        data.push_str("{\"seriesLabels\":");
        format::labels(&mut data, &series);
        data.push_str(",\"exemplars\":[");
        exemplars.sort_by_key(|exemplar| exemplar.timestamp);
        for (place, exemplar) in exemplars.iter().enumerate() {
            if place > 0 {
                data.push(',');
            }
            data.push_str("{\"labels\":");
            format::labels(&mut data, &labels(&exemplar.labels));
            let seconds = exemplar.timestamp as f64 / 1000.0;
            let value = Plain(exemplar.value);
            write!(data, r#","value":"{value}","timestamp":{seconds}}}"#).unwrap_or_default();
        }
        data.push_str("]}");
    }
    data.push(']');
    data
}
