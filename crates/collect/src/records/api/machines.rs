//! Which machines sent the newest records of a kind, and what their machine checks say. Neither is
//! counted at intake, so a bounded number of records is looked at, as the list finds them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use axum::{Extension, Json};
use base::http::Routes;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::Row as _;
use wire::telemetrics::machine_check;

use super::cursor::{positive, wrong};
use super::{Answer, Asked, Policies, asked, page, seen};
use crate::records::Shared;
use crate::records::error::ApiError;
use crate::records::filter::Conditions;
use crate::records::query::{Filters, LIMIT_MAX};
use crate::records::reader::Reader;
use crate::records::stored::Summary;

/// Machines in one answer: those with most records.
const MACHINES_MAX: usize = 200;
/// Characters of a cursor; the ids of machines have 512 at most.
const CURSOR_CHARACTERS_MAX: usize = 600;
/// Digits of how many records a machine has, of [`LIMIT_MAX`].
const RECORDS_DIGITS_MAX: usize = 4;
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

/// The newest records that fit, and below which id there are more.
struct Newest {
    records: Vec<Summary>,
    rest: Option<i64>,
}

/// Where a page of machines begins.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// The first page looked at records below this id, and so do the others: what came since does not
    /// move the machines.
    below: i64,
    /// The last machine that was shown, and its records.
    records: i64,
    machine: String,
}

impl Place {
    fn of(cursor: &str) -> Result<Self, ApiError> {
        let is_plain = !cursor.contains('\0') && cursor.chars().count() <= CURSOR_CHARACTERS_MAX;
        let mut parts = cursor.splitn(3, '-').filter(|_| is_plain);
        let mut part = || parts.next().ok_or_else(wrong);
        let (below, records, machine) = (part()?, part()?, part()?);
        let records = Some(records).filter(|digits| digits.len() <= RECORDS_DIGITS_MAX);
        Ok(Self {
            below: positive(below).ok_or_else(wrong)?,
            records: records.and_then(positive).ok_or_else(wrong)?,
            machine: machine.to_owned(),
        })
    }

    /// Whether this machine comes behind it.
    fn is_before(&self, machine: &Machine) -> bool {
        let by_records = self.records.cmp(&machine.records);
        by_records
            .then_with(|| machine.id.cmp(&self.machine))
            .is_gt()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.below, self.records, self.machine)
    }
}

impl Newest {
    /// Those below this id, if one is given.
    async fn of(
        shared: &Shared,
        reader: &Reader,
        (filters, below): (&Filters, Option<i64>),
    ) -> Result<Self, ApiError> {
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
        if let Some(below) = below {
            conditions.below(below);
        }
        let (records, rest) = page(shared, &conditions, limit).await?;
        Ok(Self { records, rest })
    }

    /// What an answer says about them.
    fn told(&self) -> Value {
        json!({
            "looked_at": self.records.len(),
            "has_more": self.rest.is_some(),
            "before": self.rest,
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
    let filters = asked(query)?;
    let place = filters.cursor().map(Place::of).transpose()?;
    let below = place.as_ref().map(|place| place.below);
    let newest = Newest::of(shared, reader, (&filters, below)).await?;
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
    machines.retain(|machine| place.as_ref().is_none_or(|place| place.is_before(machine)));
    let has_next = machines.len() > MACHINES_MAX;
    machines.truncate(MACHINES_MAX);
    // The newest of the first page is below this, and those that came since are not.
    let first = newest.records.first().map_or(0, |record| record.id);
    let below = below.unwrap_or_else(|| first.saturating_add(1));
    let last = machines.last().filter(|_| has_next);
    let next = last.map(|last| Place {
        below,
        records: last.records,
        machine: last.id.clone(),
    });
    let mut told = newest.told();
    told["count"] = count.into();
    told["next"] = json!(next.map(|next| next.to_string()));
    told["machines"] = json!(machines);
    Ok(Json(told))
}

/// How often the newest records that fit have which code.
async fn checks(shared: &Shared, reader: &Reader, query: Asked<Filters>) -> Answer<Value> {
    let filters = asked(query)?;
    filters.refuse_cursor()?;
    let newest = Newest::of(shared, reader, (&filters, None)).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_what_was_told() {
        for machine in ["", "m", "a-b-1", "é\n", &"x".repeat(512)] {
            let place = Place {
                below: 999_999_999_999_999_999,
                records: 1_000,
                machine: machine.to_owned(),
            };
            assert_eq!(Place::of(&place.to_string()).ok(), Some(place));
        }
        let long = format!("1-1-{}", "x".repeat(CURSOR_CHARACTERS_MAX));
        for wrong in [
            "",
            "1",
            "1-1",
            "0-1-m",
            "1-0-m",
            "1-x-m",
            "1-10000-m",
            "1-1-\0",
            &long,
        ] {
            assert!(Place::of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn machines_with_fewer_records_or_later_ids_come_behind() {
        let place = Place {
            below: 1,
            records: 5,
            machine: "m".to_owned(),
        };
        for (records, id, expected) in [
            (6, "z", false),
            (5, "a", false),
            (5, "m", false),
            (5, "n", true),
            (4, "a", true),
        ] {
            let machine = Machine {
                id: id.to_owned(),
                records,
                builds: BTreeMap::new(),
            };
            assert_eq!(place.is_before(&machine), expected, "{records} {id}");
        }
    }
}
