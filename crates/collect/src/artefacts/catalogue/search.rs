//! Runs by what is known of them: group, name, fields of their telemetry. Newest first, by pages.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Row as _};
use state::{Read, StateError};

use super::{Catalogue, RunState, Seen, folder_name, size, text};
use crate::artefacts::settings::GroupSettings;

/// Fields of the runs of one page.
const FIELDS_MAX: i64 = 20_000;
/// What is read of runs, by [`run_of`].
pub(super) const RUNS: &str = "SELECT r.id, g.name, r.name, r.created_at, r.changed_at, r.state, \
     r.files, r.bytes, r.pinned, g.pinned, g.retention FROM artefact_runs r \
     JOIN artefact_groups g ON g.id = r.group_id";

/// Which runs. All that is said has to fit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Search {
    /// The group.
    pub(crate) group: Option<String>,
    /// A part of the name, or of the value of a field, in any case.
    pub(crate) text: Option<String>,
    /// Groups whose names have that part: all of their runs fit it.
    pub(crate) named: Vec<i64>,
    /// Fields with their values.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) state: Option<RunState>,
    pub(crate) is_pinned: Option<bool>,
    /// Begun at this time or later, in Unix milliseconds.
    pub(crate) since: Option<i64>,
    /// Begun before.
    pub(crate) until: Option<i64>,
    /// Of which groups.
    pub(crate) seen: Seen,
    /// Runs that are older than the one of this number.
    pub(crate) before: Option<i64>,
    pub(crate) limit: usize,
}

/// A run as it is shown.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) id: i64,
    pub(crate) group: String,
    pub(crate) name: String,
    pub(crate) created_at: i64,
    pub(crate) changed_at: i64,
    pub(crate) state: RunState,
    pub(crate) is_pinned: bool,
    /// Whether its group is.
    pub(crate) is_group_pinned: bool,
    /// What is set for its group.
    pub(crate) settings: GroupSettings,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) fields: BTreeMap<String, Vec<String>>,
}

/// A value of a statement.
enum Value {
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Search {
    /// The statement and its values.
    fn statement(&self) -> (String, Vec<Value>) {
        let mut values = vec![
            Value::Number(self.before.unwrap_or(i64::MAX)),
            Value::Bytes(Vec::new()),
        ];
        let mut conditions: Vec<String> = Vec::new();
        let mut mark = |value| {
            values.push(value);
            values.len()
        };
        if let Some(group) = &self.group {
            let at = mark(Value::Bytes(folder_name(group)));
            conditions.push(format!(
                " AND r.group_id = (SELECT id FROM artefact_groups WHERE name = ${at})"
            ));
        }
        let numbers = [
            (" AND r.state =", self.state.map(RunState::number)),
            (" AND r.pinned =", self.is_pinned.map(i64::from)),
            (" AND r.created_at >=", self.since),
            (" AND r.created_at <", self.until),
        ];
        for (condition, number) in numbers {
            if let Some(number) = number {
                let at = mark(Value::Number(number));
                conditions.push(format!("{condition} ${at}"));
            }
        }
        conditions.push(self.seen.condition());
        for (name, value) in &self.fields {
            let name = mark(Value::Text(name.clone()));
            let value = mark(Value::Text(value.clone()));
            conditions.push(format!(
                " AND EXISTS (SELECT 1 FROM artefact_fields f WHERE f.name = ${name} \
                 AND f.value = ${value} AND f.run_id = r.id)"
            ));
        }
        if let Some(text) = &self.text {
            let at = mark(Value::Text(pattern(text)));
            conditions.push(format!(
                " AND (r.title LIKE ${at} ESCAPE '!' OR EXISTS (SELECT 1 FROM artefact_fields f \
                 WHERE f.run_id = r.id AND lower(f.value) LIKE ${at} ESCAPE '!')"
            ));
            if !self.named.is_empty() {
                let ids = listed(&self.named);
                conditions.push(format!(" OR r.group_id IN ({ids})"));
            }
            conditions.push(")".to_owned());
        }
        let conditions = conditions.concat();
        let limit = mark(Value::Number(i64::try_from(self.limit).unwrap_or(1)));
        let sql = format!(
            "{RUNS} WHERE r.id < $1 AND r.name > $2{conditions} ORDER BY r.id DESC LIMIT ${limit}"
        );
        (sql, values)
    }
}

impl Seen {
    /// As a condition. Numbers are ours and stand as they are: there may be more than a statement has
    /// places.
    fn condition(&self) -> String {
        let (is, ids) = match self {
            Self::All => return String::new(),
            Self::Only(ids) if ids.is_empty() => return " AND 1 = 0".to_owned(),
            Self::Only(ids) => ("IN", ids),
            Self::AllBut(ids) => ("NOT IN", ids),
        };
        format!(" AND r.group_id {is} ({})", listed(ids))
    }
}

fn listed(ids: &[i64]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ids.join(", ")
}

/// A part of a text, for LIKE.
fn pattern(text: &str) -> String {
    let mut out = "%".to_owned();
    for c in text.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '!') {
            out.push('!');
        }
        out.push(c);
    }
    out.push('%');
    out
}

impl Catalogue {
    /// A page of runs.
    pub(crate) async fn search(&self, search: &Search) -> Result<Vec<Run>, StateError> {
        let (sql, values) = search.statement();
        let is_usual = search.seen == Seen::All;
        let mut query = sqlx::query::<Any>(AssertSqlSafe(sql)).persistent(is_usual);
        for value in values {
            query = match value {
                Value::Number(number) => query.bind(number),
                Value::Text(text) => query.bind(text),
                Value::Bytes(bytes) => query.bind(bytes),
            };
        }
        let mut read = self.read().await?;
        let rows = query.fetch_all(&mut read).await?;
        let runs = rows.iter().map(run_of);
        let mut runs: Vec<Run> = runs.collect::<Result<_, _>>()?;
        add_fields(&mut read, &mut runs).await?;
        Ok(runs)
    }
}

/// Reads the fields of runs.
pub(super) async fn add_fields(read: &mut Read, runs: &mut [Run]) -> Result<(), StateError> {
    if runs.is_empty() {
        return Ok(());
    }
    let marks: Vec<String> = (2..=runs.len() + 1).map(|n| format!("${n}")).collect();
    let marks = marks.join(", ");
    let sql = format!(
        "SELECT run_id, name, value FROM artefact_fields WHERE run_id IN ({marks}) \
         ORDER BY run_id, name, value LIMIT $1"
    );
    let mut query = sqlx::query::<Any>(AssertSqlSafe(sql)).bind(FIELDS_MAX);
    for run in runs.iter() {
        query = query.bind(run.id);
    }
    for row in query.fetch_all(read).await? {
        let (id, name): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
        if let Some(run) = runs.iter_mut().find(|run| run.id == id) {
            run.fields.entry(name).or_default().push(row.try_get(2)?);
        }
    }
    Ok(())
}

pub(super) fn run_of(row: &AnyRow) -> Result<Run, sqlx::Error> {
    Ok(Run {
        id: row.try_get(0)?,
        group: name_of(row, 1)?,
        name: name_of(row, 2)?,
        created_at: row.try_get(3)?,
        changed_at: row.try_get(4)?,
        state: RunState::of(row.try_get(5)?),
        files: size(row, 6)?,
        bytes: size(row, 7)?,
        is_pinned: row.try_get::<i64, _>(8)? != 0,
        is_group_pinned: row.try_get::<i64, _>(9)? != 0,
        settings: GroupSettings::of(&row.try_get::<String, _>(10)?, ""),
        fields: BTreeMap::new(),
    })
}

/// The name of a group or run, without its slash.
pub(super) fn name_of(row: &AnyRow, column: usize) -> Result<String, sqlx::Error> {
    let name = text(row, column)?;
    Ok(name.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_like_understands_is_a_letter() {
        assert_eq!(pattern("50%_Ü!"), "%50!%!_ü!!%");
    }
}
