//! Records per day, by what people plot.

use std::collections::HashMap;

use state::{StateError, Write};

use super::Numbered;
use super::rows::Rows;

/// Adds a batch to the counts of its days.
pub(crate) async fn add(write: &mut Write, records: &[Numbered<'_>]) -> Result<(), StateError> {
    add_days(write, records).await?;
    add_hosts(write, records).await
}

async fn add_days(write: &mut Write, records: &[Numbered<'_>]) -> Result<(), StateError> {
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
    for numbered in records {
        let (project, record) = (numbered.new.project, &numbered.new.record);
        let texts = [&record.classification, &record.system_name, &record.build];
        let counted = (record.severity, record.external);
        let key = (project, numbered.day(), texts, counted);
        *counts.entry(key).or_default() += 1;
    }
    let mut table = Rows::into("record_counts", &COLUMNS);
    for ((project, day, [classification, system, build], counted), count) in counts {
        let (severity, external) = counted;
        table
            .number(project)
            .number(day)
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

async fn add_hosts(write: &mut Write, records: &[Numbered<'_>]) -> Result<(), StateError> {
    const COLUMNS: [&str; 4] = ["project", "day", "host_type", "records"];
    let mut counts: HashMap<_, i64> = HashMap::new();
    for numbered in records {
        let host_type = numbered.new.record.host_type.as_str();
        let key = (numbered.new.project, numbered.day(), host_type);
        *counts.entry(key).or_default() += 1;
    }
    let mut table = Rows::into("record_host_counts", &COLUMNS);
    for ((project, day, host_type), count) in counts {
        table
            .number(project)
            .number(day)
            .text(host_type)
            .number(count);
    }
    let conflict = "ON CONFLICT (project, day, host_type) \
         DO UPDATE SET records = record_host_counts.records + excluded.records";
    table.insert(write, conflict).await
}
