//! Machines per build by their heartbeats, and on how many of them something crashed.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::{Extension, Json};
use base::http::Routes;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::counts::OfProject;
use super::{Answer, Asked, Policies, asked, seen};
use crate::records::error::ApiError;
use crate::records::filter::Conditions;
use crate::records::insert::population::ALIVE;
use crate::records::reader::Reader;
use crate::records::time::{self, DAY_MILLISECONDS};
use crate::records::{Shared, build};

/// How far the windows go back, in days with today; 0 is everything.
const WINDOWS: [i64; 5] = [0, 14, 7, 3, 1];
/// The window of crash-free machines, in days with today.
const DAYS_DEFAULT: i64 = 7;
const DAYS_MAX: i64 = 366;

pub(super) fn routes(shared: &Arc<Shared>, policies: &Policies<'_>) -> Routes {
    let (shared, other) = (Arc::clone(shared), Arc::clone(shared));
    let share = move |reader: Extension<Reader>, query: Asked<Window>| async move {
        crash_free(&other, &reader, query).await
    };
    let count = move |reader: Extension<Reader>, query: Asked<OfProject>| async move {
        count(&shared, &reader, query).await
    };
    Routes::default()
        .get("/v1/records/population", (policies.read)(), count)
        .get("/v1/records/crash-free", (policies.read)(), share)
}

/// The machines of which the share is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Window {
    project: Option<String>,
    days: Option<i64>,
}

/// On which share of the machines of each build nothing crashed.
async fn crash_free(shared: &Shared, reader: &Reader, query: Asked<Window>) -> Answer<Value> {
    let window = asked(query)?;
    let days = window.days.unwrap_or(DAYS_DEFAULT);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(ApiError::Invalid(format!("days is 1 to {DAYS_MAX}")));
    }
    let today = time::now().div_euclid(DAY_MILLISECONDS);
    let rows = rows_of(shared, reader, window.project.as_deref()).await?;
    let mut builds = machines_since(&rows, today - days + 1)?;
    let mut conditions = Conditions::default();
    conditions.one_of("project", &seen(shared, reader, window.project.as_deref())?);
    conditions.number("last_day", ">=", today - days + 1);
    let head = "SELECT build, CAST(SUM(machines) AS BIGINT) FROM record_seen";
    let mut read = shared.state.read().await?;
    for row in conditions.fetch(&mut read, head, "GROUP BY build").await? {
        builds.entry(row.try_get(0)?).or_default().noted = row.try_get(1)?;
    }
    drop(read);
    let shown = |(build, machines): (String, Machines)| {
        let seen = machines.seen();
        #[expect(clippy::cast_precision_loss, reason = "there are fewer machines")]
        let share = (seen - machines.crashed) as f64 / seen as f64;
        json!({
            "build": build,
            "machines": seen,
            "crashed": machines.crashed,
            "crash_free": share,
        })
    };
    let mut builds: Vec<_> = builds.into_iter().collect();
    builds.retain(|(_, machines)| machines.seen() > 0);
    builds.sort_by(|(one, _), (two, _)| build::compare(one, two));
    let builds: Vec<Value> = builds.into_iter().map(shown).collect();
    Ok(Json(json!({"days": days, "builds": builds})))
}

async fn count(shared: &Shared, reader: &Reader, query: Asked<OfProject>) -> Answer<Value> {
    let wanted = asked(query)?.project;
    let today = time::now().div_euclid(DAY_MILLISECONDS);
    let rows = rows_of(shared, reader, wanted.as_deref()).await?;
    let mut windows = Vec::new();
    for days in WINDOWS {
        let first_day = if days > 0 { today - days + 1 } else { 0 };
        let builds = builds_since(&rows, first_day)?;
        windows.push(json!({"days": days, "builds": builds}));
    }
    Ok(Json(json!({"windows": windows})))
}

/// How many machines of which kind were last seen on which day.
async fn rows_of(
    shared: &Shared,
    reader: &Reader,
    project: Option<&str>,
) -> Result<Vec<AnyRow>, ApiError> {
    let mut conditions = Conditions::default();
    let projects = seen(shared, reader, project)?;
    conditions.one_of("project", &projects);
    let head = "SELECT kind, last_day, build, external, CAST(SUM(machines) AS BIGINT) \
         FROM record_population";
    let mut read = shared.state.read().await?;
    let tail = "GROUP BY kind, last_day, build, external";
    Ok(conditions.fetch(&mut read, head, tail).await?)
}

/// Machines of a build.
#[derive(Debug, Default)]
struct Machines {
    internal: i64,
    external: i64,
    /// On which something crashed, of both sources, also of those that send no heartbeat.
    crashed: i64,
    /// With a heartbeat or a crash, of both sources, as counted.
    noted: i64,
}

impl Machines {
    /// Machines with a heartbeat or a crash. Of days before these were counted together there are at
    /// least as many as of either.
    fn seen(&self) -> i64 {
        let alive = self.internal + self.external;
        self.noted.max(alive).max(self.crashed)
    }
}

/// The builds of machines that were seen on a day or later, in their order.
fn builds_since(rows: &[AnyRow], first_day: i64) -> Result<Vec<Value>, ApiError> {
    let builds = machines_since(rows, first_day)?;
    let mut builds: Vec<(String, Machines)> = builds.into_iter().collect();
    builds.retain(|(_, machines)| machines.internal + machines.external > 0);
    builds.sort_by(|(one, _), (two, _)| build::compare(one, two));
    let shown = |(build, machines): &(String, Machines)| {
        json!({
            "build": build,
            "internal": machines.internal,
            "external": machines.external,
            "crashed": machines.crashed,
        })
    };
    Ok(builds.iter().map(shown).collect())
}

/// The machines of each build that were seen on a day or later.
fn machines_since(rows: &[AnyRow], first_day: i64) -> Result<BTreeMap<String, Machines>, ApiError> {
    let mut builds: BTreeMap<String, Machines> = BTreeMap::new();
    for row in rows {
        let last_day: i64 = row.try_get(1)?;
        if last_day < first_day {
            continue;
        }
        let (kind, external): (&str, i64) = (row.try_get(0)?, row.try_get(3)?);
        let machines = builds.entry(row.try_get(2)?).or_default();
        let count = match (kind, external) {
            (ALIVE, 0) => &mut machines.internal,
            (ALIVE, _) => &mut machines.external,
            _ => &mut machines.crashed,
        };
        *count += row.try_get::<i64, _>(4)?;
    }
    Ok(builds)
}
