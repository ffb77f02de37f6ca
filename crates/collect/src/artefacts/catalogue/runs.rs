//! Single runs, and in which state they are.

use state::StateError;

use super::search::{RUNS, run_of};
use super::{Catalogue, Run, folder_name};

/// Runs that are closed in one transaction.
const CLOSE_MAX: i64 = 500;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunState {
    /// Something may still come.
    Open,
    /// Its telemetry came, which krkn sends at the end.
    TelemetryReceived,
    /// Nothing has come for long.
    Closed,
}

/// Which groups are looked at, by their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Seen {
    #[default]
    All,
    Only(Vec<i64>),
    AllBut(Vec<i64>),
}

impl RunState {
    /// As the tables keep it.
    pub(super) fn number(self) -> i64 {
        match self {
            Self::Open => 0,
            Self::TelemetryReceived => 1,
            Self::Closed => 2,
        }
    }

    pub(super) fn of(number: i64) -> Self {
        match number {
            0 => Self::Open,
            1 => Self::TelemetryReceived,
            _ => Self::Closed,
        }
    }

    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::TelemetryReceived => "telemetry_received",
            Self::Closed => "closed",
        }
    }

    /// The one of this word.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let all = [Self::Open, Self::TelemetryReceived, Self::Closed];
        all.into_iter().find(|state| state.as_str() == text)
    }
}

impl Catalogue {
    /// A run of a group, without its fields.
    pub(super) async fn bare_run(&self, group: &str, run: &str) -> Result<Option<Run>, StateError> {
        let sql = format!("{RUNS} WHERE g.name = $1 AND r.name = $2");
        let mut read = self.read().await?;
        let row = sqlx::query::<sqlx::Any>(sqlx::AssertSqlSafe(sql))
            .bind(folder_name(group))
            .bind(folder_name(run));
        let row = row.fetch_optional(&mut read).await?;
        Ok(row.map(|row| run_of(&row)).transpose()?)
    }

    /// A run of a group.
    pub(crate) async fn run(&self, group: &str, run: &str) -> Result<Option<Run>, StateError> {
        let Some(run) = self.bare_run(group, run).await? else {
            return Ok(None);
        };
        let mut runs = vec![run];
        let mut read = self.read().await?;
        super::search::add_fields(&mut read, &mut runs).await?;
        Ok(runs.pop())
    }

    /// Pins a run or no longer; whether it is there.
    pub(crate) async fn pin_run(&self, id: i64, is_pinned: bool) -> Result<bool, StateError> {
        let sql = "UPDATE artefact_runs SET pinned = $2 WHERE id = $1";
        let mut write = self.state.write().await?;
        let query = sqlx::query(sql).bind(id).bind(i64::from(is_pinned));
        let done = query.execute(&mut write).await?;
        write.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Closes some runs to which nothing has come since a time; how many.
    pub(crate) async fn close_runs(&self, changed_before: i64) -> Result<u64, StateError> {
        let sql = "SELECT 1 FROM artefact_runs WHERE state < 2 AND changed_at < $1 LIMIT 1";
        let mut read = self.read().await?;
        let row = sqlx::query(sql).bind(changed_before);
        if row.fetch_optional(&mut read).await?.is_none() {
            return Ok(0);
        }
        drop(read);
        let mut write = self.state.write().await?;
        // Two processes that took several rows in another order would wait for one another.
        write.lock("artefacts.close").await?;
        let sql = "UPDATE artefact_runs SET state = 2 WHERE state < 2 AND changed_at < $1 \
             AND id IN (SELECT id FROM artefact_runs WHERE state < 2 AND changed_at < $1 \
             ORDER BY id LIMIT $2)";
        let query = sqlx::query(sql).bind(changed_before).bind(CLOSE_MAX);
        let done = query.execute(&mut write).await?;
        write.commit().await?;
        Ok(done.rows_affected())
    }

    /// Whether a file is there.
    pub(crate) async fn has_file(&self, key: &str) -> Result<bool, StateError> {
        let mut read = self.read().await?;
        let row = sqlx::query("SELECT 1 FROM artefact_files WHERE key = $1");
        let row = row.bind(key.as_bytes().to_vec());
        let row = row.fetch_optional(&mut read).await?;
        Ok(row.is_some())
    }
}
