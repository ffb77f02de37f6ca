//! Records per day, by what people plot.

use std::collections::HashMap;

use state::{StateError, Write};

use super::rows::Rows;
use super::{Moment, Numbered};

/// Adds a batch to the counts of its day.
pub(crate) async fn add(
    write: &mut Write,
    records: &[Numbered<'_>],
    moment: Moment,
) -> Result<(), StateError> {
    add_days(write, records, moment).await?;
    add_hosts(write, records, moment).await
}

async fn add_days(
    write: &mut Write,
    records: &[Numbered<'_>],
    moment: Moment,
) -> Result<(), StateError> {
    const COLUMNS: [&str; 8] = [
        "project",
        "day",
        "classification",
        "severity",
        "system_name",
        "build",
        "external",
        "records",
    ];
    let mut counts: HashMap<_, i64> = HashMap::new();
    for Numbered { new, .. } in records {
        let record = &new.record;
        let texts = [&record.classification, &record.system_name, &record.build];
        let key = (new.project, texts, record.severity, record.external);
        *counts.entry(key).or_default() += 1;
    }
    let mut table = Rows::into("record_counts", &COLUMNS);
    for ((project, [classification, system, build], severity, external), count) in counts {
        table
            .number(project)
            .number(moment.day)
            .text(classification)
            .number(severity.into())
            .text(system)
            .text(build)
            .number(external.into())
            .number(count);
    }
    let conflict = "ON CONFLICT (project, day, classification, severity, system_name, build, external) \
         DO UPDATE SET records = record_counts.records + excluded.records";
    table.insert(write, conflict).await
}

async fn add_hosts(
    write: &mut Write,
    records: &[Numbered<'_>],
    moment: Moment,
) -> Result<(), StateError> {
    const COLUMNS: [&str; 4] = ["project", "day", "host_type", "records"];
    let mut counts: HashMap<_, i64> = HashMap::new();
    for Numbered { new, .. } in records {
        let key = (new.project, new.record.host_type.as_str());
        *counts.entry(key).or_default() += 1;
    }
    let mut table = Rows::into("record_host_counts", &COLUMNS);
    for ((project, host_type), count) in counts {
        table
            .number(project)
            .number(moment.day)
            .text(host_type)
            .number(count);
    }
    let conflict = "ON CONFLICT (project, day, host_type) \
         DO UPDATE SET records = record_host_counts.records + excluded.records";
    table.insert(write, conflict).await
}
