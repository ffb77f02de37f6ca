//! Machines per build, by their heartbeats.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::{Extension, Json};
use base::http::Routes;
use serde_json::{Value, json};
use sqlx::Row as _;

use super::counts::OfProject;
use super::{Answer, Asked, Policies, asked};
use crate::records::filter::Conditions;
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
    conditions.one_of(
        "project",
        &reader.projects(&shared.projects, wanted.as_deref()),
    );
    let head =
        "SELECT last_day, build, external, CAST(SUM(machines) AS BIGINT) FROM record_population";
    let mut read = shared.state.read().await?;
    let rows = conditions
        .fetch(&mut read, head, "GROUP BY last_day, build, external")
        .await?;
    let mut windows = Vec::new();
    for days in WINDOWS {
        let mut builds: BTreeMap<String, [i64; 2]> = BTreeMap::new();
        for row in &rows {
            let last_day: i64 = row.try_get(0)?;
            if days > 0 && last_day <= today - days {
                continue;
            }
            let external: i64 = row.try_get(2)?;
            let counts = builds.entry(row.try_get(1)?).or_default();
            let [internal, outside] = counts;
            let count = if external == 0 { internal } else { outside };
            *count += row.try_get::<i64, _>(3)?;
        }
        let mut builds: Vec<(String, [i64; 2])> = builds.into_iter().collect();
        builds.retain(|(_, [internal, external])| internal + external > 0);
        builds.sort_by(|(one, _), (two, _)| build::compare(one, two));
        let builds: Vec<Value> = builds
            .iter()
            .map(|(build, [internal, external])| {
                json!({"build": build, "internal": internal, "external": external})
            })
            .collect();
        windows.push(json!({"days": days, "builds": builds}));
    }
    Ok(Json(json!({"windows": windows})))
}
