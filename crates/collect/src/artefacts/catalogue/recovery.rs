//! How long what a scenario hit took to recover, in each run of a group.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Row as _};
use state::{Read, StateError, Write};

use super::search::name_of;
use super::{Catalogue, folder_name, size};

/// Scenarios of the runs of one page.
const SCENARIOS_MAX: i64 = 50_000;
/// Names of scenarios of a group.
const NAMES_MAX: i64 = 1_000;
/// The word for what ended well.
const PASSED: &str = "passed";
const FAILED: &str = "failed";

/// A scenario of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    /// Whether it ended well, if its telemetry says so.
    pub(crate) has_passed: Option<bool>,
    /// What was hit, and what of that did not recover.
    pub(crate) pods: u64,
    pub(crate) unrecovered: u64,
    /// The longest times, in milliseconds, where there are any.
    pub(crate) recovery: Option<u64>,
    pub(crate) readiness: Option<u64>,
    pub(crate) rescheduling: Option<u64>,
}

/// A run with its scenarios.
#[derive(Debug, Clone)]
pub(crate) struct Recovered {
    pub(crate) id: i64,
    pub(crate) run: String,
    pub(crate) created_at: i64,
    /// `passed`, `failed` or nothing.
    pub(crate) status: Option<String>,
    pub(crate) scenarios: Vec<Scenario>,
}

/// Which runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct RecoverySearch {
    /// Only those of this name.
    pub(crate) scenario: Option<String>,
    /// Begun at this time or later, in Unix milliseconds.
    pub(crate) since: Option<i64>,
    /// Begun before.
    pub(crate) until: Option<i64>,
    /// Runs that are older than the one of this number.
    pub(crate) before: Option<i64>,
    pub(crate) limit: usize,
}

/// Keeps the scenarios of a run instead of those that there were.
pub(super) async fn put_scenarios(
    write: &mut Write,
    run: i64,
    scenarios: &[Scenario],
) -> Result<(), StateError> {
    let sql = "DELETE FROM artefact_scenarios WHERE run_id = $1";
    sqlx::query(sql).bind(run).execute(&mut *write).await?;
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    for (position, scenario) in (0_i64..).zip(scenarios) {
        let sql = "INSERT INTO artefact_scenarios (run_id, position, scenario, status, pods, \
             unrecovered, recovery, readiness, rescheduling) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let status = scenario.word();
        sqlx::query(sql)
            .bind(run)
            .bind(position)
            .bind(scenario.name.clone())
            .bind(status.unwrap_or_default())
            .bind(number(scenario.pods))
            .bind(number(scenario.unrecovered))
            .bind(scenario.recovery.map_or(-1, number))
            .bind(scenario.readiness.map_or(-1, number))
            .bind(scenario.rescheduling.map_or(-1, number))
            .execute(&mut *write)
            .await?;
    }
    Ok(())
}

/// Whether a run ended so. By both words an index leads to the run; by the first alone it would lead to
/// all runs.
fn has_ended(status: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM artefact_fields f WHERE f.name = 'status' AND f.value = '{status}' \
         AND f.run_id = r.id)"
    )
}

impl Scenario {
    /// The word for how it ended.
    pub(crate) fn word(&self) -> Option<&'static str> {
        self.has_passed
            .map(|has_passed| if has_passed { PASSED } else { FAILED })
    }
}

impl Catalogue {
    /// The runs of a group that have scenarios, newest first.
    pub(crate) async fn recovery(
        &self,
        group: &str,
        search: &RecoverySearch,
    ) -> Result<Vec<Recovered>, StateError> {
        let of_name = if search.scenario.is_some() {
            " AND s.scenario = $6"
        } else {
            ""
        };
        let sql = format!(
            "SELECT r.id, r.name, r.created_at, \
             CASE WHEN {} THEN '{PASSED}' WHEN {} THEN '{FAILED}' ELSE '' END FROM artefact_runs r \
             WHERE r.group_id = (SELECT id FROM artefact_groups WHERE name = $1) AND r.id < $2 \
             AND r.created_at >= $3 AND r.created_at < $4 AND EXISTS \
             (SELECT 1 FROM artefact_scenarios s WHERE s.run_id = r.id{of_name}) \
             ORDER BY r.id DESC LIMIT $5",
            has_ended(PASSED),
            has_ended(FAILED)
        );
        let query = sqlx::query::<Any>(AssertSqlSafe(sql))
            .bind(folder_name(group))
            .bind(search.before.unwrap_or(i64::MAX))
            .bind(search.since.unwrap_or(i64::MIN))
            .bind(search.until.unwrap_or(i64::MAX))
            .bind(i64::try_from(search.limit).unwrap_or(1));
        let query = match &search.scenario {
            Some(scenario) => query.bind(scenario.clone()),
            None => query,
        };
        let mut read = self.read().await?;
        let rows = query.fetch_all(&mut read).await?;
        let runs = rows.iter().map(|row| {
            Ok(Recovered {
                id: row.try_get(0)?,
                run: name_of(row, 1)?,
                created_at: row.try_get(2)?,
                status: Some(row.try_get(3)?).filter(|text: &String| !text.is_empty()),
                scenarios: Vec::new(),
            })
        });
        let mut runs = runs.collect::<Result<Vec<_>, sqlx::Error>>()?;
        add_scenarios(&mut read, &mut runs, search.scenario.as_deref()).await?;
        Ok(runs)
    }

    /// The names of all scenarios of a group's runs.
    pub(crate) async fn scenario_names(&self, group: &str) -> Result<Vec<String>, StateError> {
        let sql = "SELECT DISTINCT s.scenario FROM artefact_runs r \
             JOIN artefact_scenarios s ON s.run_id = r.id WHERE r.group_id = \
             (SELECT id FROM artefact_groups WHERE name = $1) ORDER BY s.scenario LIMIT $2";
        let mut read = self.read().await?;
        let rows = sqlx::query(sql).bind(folder_name(group)).bind(NAMES_MAX);
        let rows = rows.fetch_all(&mut read).await?;
        let names = rows.iter().map(|row| row.try_get(0));
        Ok(names.collect::<Result<_, _>>()?)
    }

    /// Runs whose telemetry came before scenarios were kept, behind a number: number, group, name.
    pub(crate) async fn runs_without_scenarios(
        &self,
        after: i64,
        limit: i64,
    ) -> Result<Vec<(i64, String, String)>, StateError> {
        let sql = "SELECT r.id, g.name, r.name FROM artefact_runs r \
             JOIN artefact_groups g ON g.id = r.group_id \
             WHERE r.id > $1 AND r.telemetry_at > 0 AND r.scenarios_at = 0 \
             ORDER BY r.id LIMIT $2";
        let mut read = self.read().await?;
        let rows = sqlx::query(sql).bind(after).bind(limit);
        let rows = rows.fetch_all(&mut read).await?;
        let runs = rows
            .iter()
            .map(|row| Ok((row.try_get(0)?, name_of(row, 1)?, name_of(row, 2)?)));
        Ok(runs.collect::<Result<_, sqlx::Error>>()?)
    }

    /// Keeps the scenarios of a run whose telemetry came before, unless some came meanwhile.
    pub(crate) async fn add_scenarios(
        &self,
        run: i64,
        scenarios: &[Scenario],
    ) -> Result<(), StateError> {
        let mut write = self.state.write().await?;
        let sql = "UPDATE artefact_runs SET scenarios_at = $2 WHERE id = $1 AND scenarios_at = 0";
        let query = sqlx::query(sql).bind(run).bind(super::time::now());
        if query.execute(&mut write).await?.rows_affected() == 0 {
            return Ok(());
        }
        put_scenarios(&mut write, run, scenarios).await?;
        write.commit().await
    }
}

async fn add_scenarios(
    read: &mut Read,
    runs: &mut [Recovered],
    only: Option<&str>,
) -> Result<(), StateError> {
    if runs.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = runs.iter().map(|run| run.id.to_string()).collect();
    let sql = format!(
        "SELECT run_id, scenario, status, pods, unrecovered, recovery, readiness, rescheduling \
         FROM artefact_scenarios WHERE run_id IN ({}) ORDER BY run_id, position LIMIT $1",
        ids.join(", ")
    );
    // Each page has other numbers.
    let query = sqlx::query::<Any>(AssertSqlSafe(sql)).persistent(false);
    let rows = query.bind(SCENARIOS_MAX).fetch_all(read).await?;
    let mut found: BTreeMap<i64, Vec<Scenario>> = BTreeMap::new();
    for row in &rows {
        let scenario = scenario_of(row)?;
        if only.is_none_or(|only| only == scenario.name) {
            found.entry(row.try_get(0)?).or_default().push(scenario);
        }
    }
    for run in runs {
        run.scenarios = found.remove(&run.id).unwrap_or_default();
    }
    Ok(())
}

fn scenario_of(row: &AnyRow) -> Result<Scenario, sqlx::Error> {
    let time = |column| {
        let value: i64 = row.try_get(column)?;
        Ok::<_, sqlx::Error>(u64::try_from(value).ok())
    };
    let status: String = row.try_get(2)?;
    Ok(Scenario {
        name: row.try_get(1)?,
        has_passed: match status.as_str() {
            "" => None,
            status => Some(status == PASSED),
        },
        pods: size(row, 3)?,
        unrecovered: size(row, 4)?,
        recovery: time(5)?,
        readiness: time(6)?,
        rescheduling: time(7)?,
    })
}
