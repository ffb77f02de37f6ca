//! Whole records, one a line, as many as fit: read while they are sent, so that a million takes as
//! little memory as a few hundred.

use std::sync::Arc;

use axum::Extension;
use axum::response::{IntoResponse, Response};
use base::http::Routes;
use http::header::CONTENT_TYPE;
use state::StateError;

use super::whole::Whole;
use super::{Asked, Policies, asked, seen};
use crate::records::Shared;
use crate::records::error::ApiError;
use crate::records::packed::{Column, Row};
use crate::records::query::Filters;
use crate::records::reader::Reader;
use crate::records::stored::{Order, StoredRecord, WHOLE};
use crate::records::stream::{self, Render, Wanted};

/// Records of one answer: an answer has to end. `before` with the last id gives the others.
const RECORDS_MAX: usize = 10_000_000;
const LINES_TYPE: &str = "application/x-ndjson";

pub(super) fn routes(shared: &Arc<Shared>, policies: &Policies<'_>) -> Routes {
    let shared = Arc::clone(shared);
    let export = move |reader: Extension<Reader>, query: Asked<Filters>| async move {
        match export(&shared, &reader, query).await {
            Ok(response) => response,
            Err(error) => error.into_response(),
        }
    };
    Routes::default().get("/v1/records/export", (policies.read)(), export)
}

async fn export(
    shared: &Arc<Shared>,
    reader: &Reader,
    query: Asked<Filters>,
) -> Result<Response, ApiError> {
    let filters = asked(query)?;
    filters.refuse_cursor()?;
    let limit = match filters.limit {
        None => RECORDS_MAX,
        Some(limit @ 1..=RECORDS_MAX) => limit,
        Some(_) => {
            let text = format!("limit is 1 to {RECORDS_MAX}");
            return Err(ApiError::Invalid(text));
        }
    };
    filters.refuse_expressions("whole records are not chosen")?;
    let mut conditions = filters.conditions(shared).await?;
    let projects = seen(shared, reader, filters.project.as_deref())?;
    conditions.projects(&projects, shared.projects.count());
    let words = filters.words()?;
    let wanted = Wanted {
        conditions,
        words,
        order: Order::NewestFirst,
        limit,
    };
    let lines = Lines(Arc::clone(shared));
    let body = stream::body(shared, wanted, lines).await?;
    Ok(([(CONTENT_TYPE, LINES_TYPE)], body).into_response())
}

/// One record a line.
struct Lines(Arc<Shared>);

impl Render for Lines {
    const COLUMNS: &'static [Column] = WHOLE;

    fn record(&self, _: usize, row: Row<'_>, out: &mut String) -> Result<bool, StateError> {
        let stored = StoredRecord::of(row)?;
        let whole = Whole::of(&stored, &self.0.projects);
        // Texts, numbers and truths are always JSON.
        out.push_str(&serde_json::to_string(&whole).unwrap_or_default());
        out.push('\n');
        Ok(true)
    }
}
