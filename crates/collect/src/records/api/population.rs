//! Machines per build by their heartbeats, and on how many of them something crashed.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::{Extension, Json};
use base::http::Routes;
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

pub(super) fn routes(shared: &Arc<Shared>, policies: &Policies<'_>) -> Routes {
    let shared = Arc::clone(shared);
    let count = move |reader: Extension<Reader>, query: Asked<OfProject>| async move {
        count(&shared, &reader, query).await
    };
    Routes::default().get("/v1/records/population", (policies.read)(), count)
}

async fn count(shared: &Shared, reader: &Reader, query: Asked<OfProject>) -> Answer<Value> {
    let wanted = asked(query)?.project;
    let today = time::now().div_euclid(DAY_MILLISECONDS);
    let mut conditions = Conditions::default();
    let projects = seen(shared, reader, wanted.as_deref())?;
    conditions.one_of("project", &projects);
    let head = "SELECT kind, last_day, build, external, CAST(SUM(machines) AS BIGINT) \
         FROM record_population";
    let mut read = shared.state.read().await?;
    let rows = conditions
        .fetch(&mut read, head, "GROUP BY kind, last_day, build, external")
        .await?;
    let mut windows = Vec::new();
    for days in WINDOWS {
        let first_day = if days > 0 { today - days + 1 } else { 0 };
        let builds = builds_since(&rows, first_day)?;
        windows.push(json!({"days": days, "builds": builds}));
    }
    Ok(Json(json!({"windows": windows})))
}

/// Machines of a build.
#[derive(Debug, Default)]
struct Machines {
    internal: i64,
    external: i64,
    /// On which something crashed, of both kinds, also of those that send no heartbeat.
    crashed: i64,
}

/// The builds of machines that were seen on a day or later, in their order.
fn builds_since(rows: &[AnyRow], first_day: i64) -> Result<Vec<Value>, ApiError> {
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
