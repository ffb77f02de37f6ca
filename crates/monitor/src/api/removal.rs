//! Removing samples: `admin/tsdb/delete_series` and `clean_tombstones`.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use base::http::{Policy, Routes};
use http::StatusCode;

use super::Shared;
use super::answer::ApiError;
use super::parameters::Parameters;
use crate::samples::matchers;

pub(super) fn routes(shared: &Arc<Shared>, delete: impl Fn() -> Policy) -> Routes {
    const SERIES: &str = "/api/v1/admin/tsdb/delete_series";
    const TOMBSTONES: &str = "/api/v1/admin/tsdb/clean_tombstones";
    let own = Arc::clone(shared);
    let series = move |parameters: Parameters| {
        let own = Arc::clone(&own);
        async move { delete_series(&own, parameters).await }
    };
    let own = Arc::clone(shared);
    let tombstones = move |_: Parameters| {
        let own = Arc::clone(&own);
        async move { clean(&own).await }
    };
    Routes::default()
        .post(SERIES, delete(), series.clone())
        .put(SERIES, delete(), series)
        .post(TOMBSTONES, delete(), tombstones.clone())
        .put(TOMBSTONES, delete(), tombstones)
}

async fn delete_series(shared: &Shared, parameters: Parameters) -> Result<Response, ApiError> {
    if !parameters.viewer.sees_everything() {
        let text = "only who may delete all series deletes some";
        return Err(ApiError::bad(text));
    }
    let selectors = parameters.needed_selectors()?;
    let start = parameters.time("start", i64::MIN)?;
    let end = parameters.time("end", i64::MAX)?;
    if end < start {
        return Err(ApiError::bad("end timestamp must not be before start time"));
    }
    let removal = move |store: &signals::Store, _| -> Result<(), ApiError> {
        for selector in &selectors {
            let matchers = matchers(selector).map_err(ApiError::bad)?;
            store.delete(&matchers, start, end)?;
        }
        Ok(())
    };
    shared.samples.run(removal).await??;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn clean(shared: &Shared) -> Result<Response, ApiError> {
    shared
        .samples
        .run(|store, _| store.compact_here())
        .await??;
    Ok(StatusCode::NO_CONTENT.into_response())
}
