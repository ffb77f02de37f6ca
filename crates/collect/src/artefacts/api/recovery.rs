//! How long it took to recover, over the runs of a group.

use axum::Json;
use axum::extract::Request;
use axum::response::IntoResponse;
use serde::Serialize;
use wire::s3::xml::timestamp;

use super::query::Query;
use super::{Answer, ApiError, enter, group_of};
use crate::artefacts::Shared;
use crate::artefacts::catalogue::{Recovered, RecoverySearch, Scenario};
use crate::artefacts::visitor::Act;

/// Runs of a page: usually, and at most.
const LIMITS: (usize, usize) = (200, 1_000);

#[derive(Serialize)]
struct Recovery {
    runs: Vec<ShownRun>,
    /// Names of all scenarios of the group.
    scenarios: Vec<String>,
    /// To be asked for as `before`.
    next: Option<i64>,
}

#[derive(Serialize)]
struct ShownRun {
    id: i64,
    run: String,
    at: String,
    status: Option<String>,
    scenarios: Vec<ShownScenario>,
}

/// Times in seconds, the longest of the scenario.
#[derive(Serialize)]
struct ShownScenario {
    scenario: String,
    status: Option<&'static str>,
    pods: u64,
    unrecovered: u64,
    recovery: Option<f64>,
    readiness: Option<f64>,
    rescheduling: Option<f64>,
}

fn shown(run: Recovered) -> ShownRun {
    let scenarios = run.scenarios.into_iter().map(shown_scenario);
    ShownRun {
        id: run.id,
        run: run.run,
        at: timestamp(run.created_at),
        status: run.status,
        scenarios: scenarios.collect(),
    }
}

fn shown_scenario(scenario: Scenario) -> ShownScenario {
    let seconds = |time: u64| std::time::Duration::from_millis(time).as_secs_f64();
    ShownScenario {
        status: scenario.word(),
        scenario: scenario.name,
        pods: scenario.pods,
        unrecovered: scenario.unrecovered,
        recovery: scenario.recovery.map(seconds),
        readiness: scenario.readiness.map(seconds),
        rescheduling: scenario.rescheduling.map(seconds),
    }
}

pub(super) async fn list(shared: &Shared, request: Request) -> Answer {
    let (head, _) = request.into_parts();
    let group = group_of(&head)?;
    enter(&head, &group, Act::Read)?;
    let mut query = Query::of(&head)?;
    let search = RecoverySearch {
        scenario: query.text("scenario")?,
        since: query.time("since")?,
        until: query.time("until")?,
        before: query.number("before")?,
        limit: query.limit(LIMITS)?,
    };
    query.finish()?;
    let runs = shared.catalogue.recovery(&group, &search).await?;
    if runs.is_empty() && shared.catalogue.group(&group).await?.is_none() {
        return Err(ApiError::NotFound("group"));
    }
    let last = runs.last().map(|run| run.id);
    let next = last.filter(|_| runs.len() == search.limit);
    Ok(Json(Recovery {
        runs: runs.into_iter().map(shown).collect(),
        scenarios: shared.catalogue.scenario_names(&group).await?,
        next,
    })
    .into_response())
}
