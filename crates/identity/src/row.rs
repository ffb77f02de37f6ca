//! Reading columns. JSON in a column is ours, so one that can't be read is damage.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::error::IdentityError;

pub(crate) fn text(row: &AnyRow, column: &str) -> Result<String, IdentityError> {
    Ok(row.try_get(column)?)
}

pub(crate) fn number(row: &AnyRow, column: &str) -> Result<i64, IdentityError> {
    Ok(row.try_get(column)?)
}

/// A value kept as JSON; `what` names it in the error.
pub(crate) fn json<T: DeserializeOwned>(
    row: &AnyRow,
    column: &str,
    what: &'static str,
) -> Result<T, IdentityError> {
    serde_json::from_str(&text(row, column)?).map_err(|_| IdentityError::Stored(what))
}

/// The text of a value that is kept as JSON.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
