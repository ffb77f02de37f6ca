//! Telemetry of runs: the body as it came, and the fields that are searched.

use state::StateError;
use wire::s3::key::Key;

use super::recovery::put_scenarios;
use super::{Catalogue, NewVersion, Scenario, ensure_run, insert_object, insert_version, time};

/// A field of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    /// In thousandths, when it is a number.
    pub(crate) number: i64,
}

/// What telemetry says of its run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) fields: Vec<Field>,
    pub(crate) scenarios: Vec<Scenario>,
}

impl Catalogue {
    /// Keeps the telemetry of a run: an object, the body that was sent, and fields and scenarios
    /// instead of those that there were.
    pub(crate) async fn record_telemetry(
        &self,
        (key, new, object): (&Key, &NewVersion<'_>, &str),
        body: &[u8],
        facts: &Facts,
    ) -> Result<(), StateError> {
        let mut write = self.state.write().await?;
        let version = insert_version(&mut write, key, new).await?;
        insert_object(&mut write, object, (version, "", 1), new).await?;
        let sql = "INSERT INTO artefact_telemetry (version, body) VALUES ($1, $2)";
        let query = sqlx::query(sql).bind(version).bind(body.to_vec());
        query.execute(&mut write).await?;
        let run = ensure_run(&mut write, key).await?.run;
        let sql = "UPDATE artefact_runs SET telemetry_at = $2, scenarios_at = $2, state = 1 WHERE id = $1";
        let query = sqlx::query(sql).bind(run).bind(time::now());
        query.execute(&mut write).await?;
        let sql = "DELETE FROM artefact_fields WHERE run_id = $1";
        sqlx::query(sql).bind(run).execute(&mut write).await?;
        for field in &facts.fields {
            let sql = "INSERT INTO artefact_fields (run_id, name, value, number) \
                 VALUES ($1, $2, $3, $4)";
            sqlx::query(sql)
                .bind(run)
                .bind(field.name)
                .bind(field.value.clone())
                .bind(field.number)
                .execute(&mut write)
                .await?;
        }
        put_scenarios(&mut write, run, &facts.scenarios).await?;
        write.commit().await
    }
}
