//! Records per day, and what filters may choose from.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::{Extension, Json};
use base::http::Routes;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::Row as _;

use super::{Answer, Asked, Policies, asked, seen};
use crate::records::Shared;
use crate::records::error::ApiError;
use crate::records::filter::Conditions;
use crate::records::insert::counts;
use crate::records::query;
use crate::records::reader::Reader;
use crate::records::time::{self, DAY_MILLISECONDS};

/// Values of a field in one answer.
const VALUES_MAX: i64 = 100_000;
/// Values to choose from.
const CHOICES_MAX: usize = 1_000;

pub(super) fn routes(shared: &Arc<Shared>, policies: &Policies<'_>) -> Routes {
    let (counting, choosing) = (Arc::clone(shared), Arc::clone(shared));
    let count = move |reader: Extension<Reader>, query: Asked<Window>| async move {
        count(&counting, &reader, query).await
    };
    let choose = move |reader: Extension<Reader>, query: Asked<OfProject>| async move {
        choose(&choosing, &reader, query).await
    };
    Routes::default()
        .get("/v1/records/counts", (policies.read)(), count)
        .get("/v1/records/choices", (policies.read)(), choose)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Window {
    #[serde(default)]
    by: By,
    project: Option<String>,
    classification: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfProject {
    pub(super) project: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum By {
    #[default]
    Classification,
    Severity,
    Build,
    SystemName,
    Source,
    HostType,
}

impl By {
    /// The word, the table, and the column as a text.
    fn parts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Classification => ("classification", "record_counts", "classification"),
            Self::Severity => ("severity", "record_counts", "CAST(severity AS TEXT)"),
            Self::Build => ("build", "record_counts", "build"),
            Self::SystemName => ("system_name", "record_counts", "system_name"),
            Self::Source => (
                "source",
                "record_counts",
                "CASE WHEN external = 0 THEN 'internal' ELSE 'external' END",
            ),
            Self::HostType => ("host_type", "record_host_counts", "host_type"),
        }
    }
}

async fn count(shared: &Shared, reader: &Reader, window: Asked<Window>) -> Answer<Value> {
    let window = asked(window)?;
    let (word, table, column) = window.by.parts();
    let mut conditions = Conditions::default();
    let projects = seen(shared, reader, window.project.as_deref())?;
    conditions.one_of("project", &projects);
    if let Some(pattern) = &window.classification {
        if window.by == By::HostType {
            let text = "platforms are not counted by classification; leave one of the two out";
            return Err(ApiError::Conflict(text.to_owned()));
        }
        query::classification(shared, &mut conditions, pattern).await?;
    }
    for (name, value, operator) in [
        ("since", &window.since, ">="),
        ("until", &window.until, "<="),
    ] {
        if let Some(value) = value {
            let wrong = || format!("{name} is a time such as 2026-11-21T16:50:00Z");
            let time = time::parse(value).ok_or_else(|| ApiError::Invalid(wrong()))?;
            // The end is not part of the window: midnight belongs to the day before.
            let time = time - i64::from(name == "until");
            conditions.number("day", operator, time.div_euclid(DAY_MILLISECONDS));
        }
    }
    let head = format!(
        "SELECT day, {column} AS value, CAST(SUM(records) AS BIGINT) AS records FROM {table}"
    );
    let tail = format!("GROUP BY day, {column} ORDER BY day DESC LIMIT {VALUES_MAX}");
    let mut read = shared.state.read().await?;
    counts::refresh(&shared.state, &mut read).await;
    let mut days: BTreeMap<i64, BTreeMap<String, i64>> = BTreeMap::new();
    for row in conditions.fetch(&mut read, &head, &tail).await? {
        let counts = days.entry(row.try_get(0)?).or_default();
        counts.insert(row.try_get(1)?, row.try_get(2)?);
    }
    let days: Vec<Value> = days
        .into_iter()
        .map(|(day, counts)| json!({"day": time::date(day), "counts": counts}))
        .collect();
    Ok(Json(json!({"by": word, "days": days})))
}

async fn choose(shared: &Shared, reader: &Reader, query: Asked<OfProject>) -> Answer<Value> {
    let wanted = asked(query)?.project;
    let numbers = seen(shared, reader, wanted.as_deref())?;
    let all = shared.choices.get(&shared.state).await?;
    let (mut classifications, mut systems, mut builds) = (Vec::new(), Vec::new(), Vec::new());
    for values in numbers.iter().filter_map(|number| all.get(number)) {
        for classification in values.classifications.iter().take(CHOICES_MAX) {
            push_new(&mut classifications, classification);
        }
        for (system, build) in values.builds.iter().take(CHOICES_MAX) {
            push_new(&mut systems, system);
            builds.push(json!({"system_name": system, "build": build}));
        }
    }
    let names: Vec<&str> = numbers
        .iter()
        .filter_map(|id| shared.projects.name(*id))
        .collect();
    Ok(Json(json!({
        "projects": names,
        "classifications": classifications,
        "builds": builds,
        "system_names": systems,
    })))
}

fn push_new<'a>(all: &mut Vec<&'a str>, value: &'a str) {
    if !all.contains(&value) {
        all.push(value);
    }
}
