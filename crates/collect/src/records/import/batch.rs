//! One batch of an import: what its rows become, how far the import is with it, and what the index of
//! words has to look at again, in one transaction.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sqlx::Row as _;
use state::{StateError, Write};
use wire::telemetrics::Field;

use super::forget_older;
use super::table::{Import, find_in};
use crate::records::entry::{self, NewRecord, NewSubmission};
use crate::records::error::ApiError;
use crate::records::imported::{Batch, ImportedRecord, NotARecord, judge};
use crate::records::insert::rows::Rows;
use crate::records::insert::{self, Fleet, Noted, Numbered, counts};
use crate::records::intake;
use crate::records::project::Project;
use crate::records::scrub;
use crate::records::search::index::{ROW_IDS, STATE};
use crate::records::skipped::Skipped;
use crate::records::{Shared, time};

/// A row as it is kept, with its place in the batch.
struct Kept<'a> {
    row: &'a ImportedRecord,
    received_at: i64,
    new: NewRecord,
}

/// What the rows of a batch become.
#[derive(Default)]
struct Sorted<'a> {
    records: Vec<Kept<'a>>,
    submissions: Vec<(&'a ImportedRecord, NewSubmission)>,
}

/// Keeps a batch, once, however often it comes.
pub(crate) async fn keep(
    shared: &Shared,
    project: &Project,
    (id, batch): (i64, &Batch),
) -> Result<Import, ApiError> {
    let mut write = shared.state.write().await?;
    insert::lock(&mut write).await?;
    let sql = "UPDATE record_imports SET reached = $3, changed_at = $4 \
         WHERE id = $1 AND reached = $2 AND state = 'running' AND last_id >= $3";
    let moved = sqlx::query(sql)
        .bind(id)
        .bind(batch.after)
        .bind(batch.through)
        .bind(time::now())
        .execute(&mut write)
        .await?;
    let import = find_in(&mut write, id).await?;
    if moved.rows_affected() == 0 {
        return repeated(import, batch);
    }
    // As it is in this transaction: a change after it has all records grouped anew.
    let skipped = shared.skipped.read_in(&mut write).await?;
    let sorted = sort(project, &batch.records, &skipped);
    let new_ids = if import.has_new_ids {
        Some(next_ids(&mut write, batch.records.len()).await?)
    } else {
        None
    };
    write_all(&mut write, &import, &sorted, new_ids).await?;
    if let Some(first) = batch.records.first().filter(|_| new_ids.is_none()) {
        index_again(&mut write, first.id).await?;
    }
    let import = find_in(&mut write, id).await?;
    write.commit().await.map_err(|error| match error {
        error if error.is_unique_violation() => taken(),
        error => error.into(),
    })?;
    for kept in &sorted.records {
        shared.choices.saw(&kept.new.record.classification);
        shared.metrics.count(&project.config.name, "imported");
    }
    for _ in &sorted.submissions {
        shared.metrics.count(&project.config.name, "quarantined");
    }
    Ok(import)
}

/// A batch that does not go on where the import is: fine, when it is there already.
fn repeated(import: Import, batch: &Batch) -> Result<Import, ApiError> {
    if batch.through <= import.reached {
        return Ok(import);
    }
    let text = if import.is_running() {
        let reached = import.reached;
        format!("the import is at id {reached}: another one runs beside this one, or went on")
    } else {
        "the import does not run: begin it again".to_owned()
    };
    Err(ApiError::Conflict(text))
}

fn taken() -> ApiError {
    ApiError::Conflict("an id of the batch is taken here".to_owned())
}

/// The first of so many ids of ours.
async fn next_ids(write: &mut Write, count: usize) -> Result<i64, StateError> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let sql = "UPDATE record_sequence SET next = next + $1 WHERE id = 1 RETURNING next";
    let row = sqlx::query(sql).bind(count).fetch_one(write).await?;
    Ok(row.try_get::<i64, _>(0)? - count)
}

fn sort<'a>(project: &Project, rows: &'a [ImportedRecord], skipped: &Skipped) -> Sorted<'a> {
    let mut sorted = Sorted::default();
    for row in rows {
        match judge(row) {
            Ok(judged) => {
                let (received_at, mut record) = (judged.received_at, judged.record);
                intake::scrub(project, &mut record);
                // What its client sends once more is known by it; what is there twice stays so.
                let digest = entry::record_digest(project.id, &record);
                let new = intake::new_record(project.id, record, digest, skipped);
                sorted.records.push(Kept {
                    row,
                    received_at,
                    new,
                });
            }
            Err(why) => sorted
                .submissions
                .push((row, submission(project, row, &why))),
        }
    }
    sorted
}

/// A row that is no record, as quarantine keeps it: with its id and its times there.
fn submission(project: &Project, row: &ImportedRecord, why: &NotARecord) -> NewSubmission {
    let config = &project.config;
    let mut fields = Map::new();
    let mut add = |name: &str, text: Option<String>| {
        if let Some(text) = text {
            let plain = text.replace('\0', "\u{fffd}");
            fields.insert(name.to_owned(), Value::String(plain));
        }
    };
    add("imported_id", Some(row.id.to_string()));
    add("received_at", row.received_at.clone());
    add(Field::Tid.name(), Some(config.tid.clone()));
    add(Field::CreationTimestamp.name(), row.created_at.clone());
    let numbers = [
        (Field::Severity, row.severity),
        (Field::RecordFormatVersion, row.record_format_version),
        (Field::PayloadFormatVersion, row.payload_format_version),
    ];
    for (field, number) in numbers {
        add(field.name(), number.map(|number| number.to_string()));
    }
    add(
        Field::External.name(),
        row.external.map(|is_external| is_external.to_string()),
    );
    let texts = [
        (Field::Classification, &row.classification),
        (Field::MachineId, &row.machine_id),
        (Field::Build, &row.build),
        (Field::SystemName, &row.system_name),
        (Field::EventId, &row.event_id),
        (Field::Arch, &row.arch),
        (Field::HostType, &row.host_type),
        (Field::KernelVersion, &row.kernel_version),
        (Field::BoardName, &row.board_name),
        (Field::CpuModel, &row.cpu_model),
        (Field::BiosVersion, &row.bios_version),
    ];
    for (field, text) in texts {
        let is_hidden = field == Field::MachineId && config.hide_machines;
        let shown = |text: &String| {
            if is_hidden {
                scrub::hidden_machine(&config.tid, text)
            } else {
                text.clone()
            }
        };
        add(field.name(), text.as_ref().map(shown));
    }
    NewSubmission {
        project: project.id,
        reason: why.reason,
        message: format!("imported record {}: {why}", row.id),
        fields: Value::Object(fields).to_string(),
        payload: scrub::scrubbed(&config.scrub, &row.payload).into_owned(),
        digest: entry::random_digest(),
    }
}

async fn write_all(
    write: &mut Write,
    import: &Import,
    sorted: &Sorted<'_>,
    new_ids: Option<i64>,
) -> Result<(), ApiError> {
    let count = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
    let id_of = |place: usize, row: &ImportedRecord| match new_ids {
        Some(first) => first + count(place),
        None => row.id,
    };
    let records = sorted.records.iter().enumerate();
    let records: Vec<Numbered<'_>> = records
        .map(|(place, kept)| Numbered {
            id: id_of(place, kept.row),
            received_at: kept.received_at,
            new: &kept.new,
        })
        .collect();
    let submissions = sorted.submissions.iter().zip(sorted.records.len()..);
    let submissions: Vec<(i64, &NewSubmission)> = submissions
        .map(|((row, new), place)| (id_of(place, row), new))
        .collect();
    counts::catch_up_in(write).await?;
    let fleet = Fleet::ask(write, &records).await?;
    let kept = insert::keep(write, &records, &fleet, &Noted::default()).await;
    let (groups, _) = kept.map_err(|error| match error {
        error if error.is_unique_violation() => taken(),
        error => error.into(),
    })?;
    counts::add(write, &records).await?;
    // Whoever looks at quarantine has the usual time for it.
    let now = time::now();
    insert::insert_submissions(write, &submissions, now).await?;
    count_guilty(write, import, (sorted, &groups)).await?;
    count_reasons(write, import, sorted).await?;
    let sql = "UPDATE record_imports SET kept = kept + $2, quarantined = quarantined + $3 \
         WHERE id = $1";
    sqlx::query(sql)
        .bind(import.id)
        .bind(count(records.len()))
        .bind(count(submissions.len()))
        .execute(write)
        .await?;
    Ok(())
}

/// Which guilty frame the records of a group had there.
async fn count_guilty(
    write: &mut Write,
    import: &Import,
    (sorted, groups): (&Sorted<'_>, &[i64]),
) -> Result<(), StateError> {
    let mut counts: BTreeMap<(i64, i64), i64> = BTreeMap::new();
    for (kept, group) in sorted.records.iter().zip(groups) {
        if let Some(guilty) = kept.row.guilty.filter(|_| *group > 0) {
            *counts.entry((*group, guilty)).or_default() += 1;
        }
    }
    let columns = ["import_id", "group_id", "guilty", "records"];
    let add = "ON CONFLICT (import_id, group_id, guilty) \
         DO UPDATE SET records = record_import_groups.records + excluded.records";
    let mut table = Rows::into("record_import_groups", &columns).on_conflict(add);
    for ((group, guilty), count) in counts {
        table.number(import.id).number(group);
        table.number(guilty).number(count);
    }
    table.write(write).await
}

async fn count_reasons(
    write: &mut Write,
    import: &Import,
    sorted: &Sorted<'_>,
) -> Result<(), StateError> {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for (_, submission) in &sorted.submissions {
        *counts.entry(submission.reason).or_default() += 1;
    }
    let columns = ["import_id", "reason", "records"];
    let add = "ON CONFLICT (import_id, reason) \
         DO UPDATE SET records = record_import_reasons.records + excluded.records";
    let mut table = Rows::into("record_import_reasons", &columns).on_conflict(add);
    for (reason, count) in counts {
        table.number(import.id).text(reason).number(count);
    }
    table.write(write).await
}

/// Has the index of words made again from the row of an id on. Nothing changes where it is not there
/// yet, so that an import does not keep it from following.
async fn index_again(write: &mut Write, id: i64) -> Result<(), StateError> {
    let sql = "UPDATE record_index_state SET changes = changes + 1, rows_done = $1 \
         WHERE id = $2 AND rows_done >= $1";
    let query = sqlx::query(sql).bind(id / ROW_IDS).bind(STATE);
    query.execute(&mut *write).await?;
    forget_older(write).await
}
