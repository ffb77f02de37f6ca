//! Which machines sent the newest records of a kind, and what their machine checks say. Neither is
//! counted at intake, so a bounded number of records is looked at, as the list finds them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::{Extension, Json};
use base::http::Routes;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::Row as _;
use wire::telemetrics::machine_check;

use super::{Answer, Asked, Policies, asked, page, seen};
use crate::records::Shared;
use crate::records::error::ApiError;
use crate::records::filter::Conditions;
use crate::records::query::{Filters, LIMIT_MAX};
use crate::records::reader::Reader;
use crate::records::stored::Summary;

/// Machines in one answer: those with most records.
const MACHINES_MAX: usize = 200;
/// Bytes of a payload in which the status of a machine check is looked for.
const STATUS_WITHIN: usize = 2_048;

pub(super) fn routes(shared: &Arc<Shared>, policies: &Policies<'_>) -> Routes {
    let (counted, read) = (Arc::clone(shared), Arc::clone(shared));
    let machines = move |reader: Extension<Reader>, query: Asked<Filters>| async move {
        machines(&counted, &reader, query).await
    };
    let checks = move |reader: Extension<Reader>, query: Asked<Filters>| async move {
        checks(&read, &reader, query).await
    };
    Routes::default()
        .get("/v1/records/machines", (policies.read)(), machines)
        .get("/v1/records/machine-checks", (policies.read)(), checks)
}

/// The newest records that fit, and whether there are more.
struct Newest {
    records: Vec<Summary>,
    has_more: bool,
}

impl Newest {
    async fn of(shared: &Shared, reader: &Reader, query: Asked<Filters>) -> Result<Self, ApiError> {
        let filters = asked(query)?;
        if filters.words()?.is_some() {
            let text = "machines are not counted by words of payloads; leave `text` out";
            return Err(ApiError::Invalid(text.to_owned()));
        }
        filters.refuse_expressions("machines are not counted")?;
        let limit = match filters.limit {
            Some(_) => filters.limit()?,
            None => LIMIT_MAX,
        };
        let mut conditions = filters.conditions(shared).await?;
        let projects = seen(shared, reader, filters.project.as_deref())?;
        conditions.projects(&projects, shared.projects.count());
        let (records, next) = page(shared, &conditions, limit).await?;
        let has_more = next.is_some();
        Ok(Self { records, has_more })
    }

    /// What an answer says about them.
    fn told(&self) -> Value {
        json!({
            "looked_at": self.records.len(),
            "has_more": self.has_more,
            "since": self.records.last().map(|record| &record.received_at),
        })
    }
}

/// A machine and its records.
#[derive(Debug, Default, Serialize)]
struct Machine {
    #[serde(rename = "machine_id")]
    id: String,
    records: i64,
    builds: BTreeMap<String, i64>,
}

async fn machines(shared: &Shared, reader: &Reader, query: Asked<Filters>) -> Answer<Value> {
    let newest = Newest::of(shared, reader, query).await?;
    let mut machines: HashMap<&str, Machine> = HashMap::new();
    for record in &newest.records {
        let machine = machines.entry(&record.machine_id).or_default();
        machine.records += 1;
        *machine.builds.entry(record.build.clone()).or_default() += 1;
    }
    let count = machines.len();
    let named = machines.into_iter().map(|(id, machine)| Machine {
        id: id.to_owned(),
        ..machine
    });
    let mut machines: Vec<Machine> = named.collect();
    machines.sort_by(|one, two| {
        let by_records = two.records.cmp(&one.records);
        by_records.then_with(|| one.id.cmp(&two.id))
    });
    machines.truncate(MACHINES_MAX);
    let mut told = newest.told();
    told["count"] = count.into();
    told["machines"] = json!(machines);
    Ok(Json(told))
}

/// How often the newest records that fit have which code.
async fn checks(shared: &Shared, reader: &Reader, query: Asked<Filters>) -> Answer<Value> {
    let newest = Newest::of(shared, reader, query).await?;
    let ids: Vec<i64> = newest.records.iter().map(|record| record.id).collect();
    let mut conditions = Conditions::default();
    conditions.one_of("id", &ids);
    let head = format!("SELECT substr(body, 1, {STATUS_WITHIN}) FROM record_payloads");
    let mut read = shared.state.read().await?;
    let mut codes: BTreeMap<String, i64> = BTreeMap::new();
    let mut without = 0_i64;
    for row in conditions.fetch(&mut read, &head, "").await? {
        let payload: Option<Vec<u8>> = row.try_get(0)?;
        let payload = payload.unwrap_or_default();
        match machine_check::code(&String::from_utf8_lossy(&payload)) {
            Some(code) => *codes.entry(code.to_ascii_lowercase()).or_default() += 1,
            None => without += 1,
        }
    }
    let mut told = newest.told();
    told["codes"] = json!(codes);
    told["without_code"] = without.into();
    Ok(Json(told))
}
