//! All of a record, as the API gives it.

use serde::Serialize;

use crate::records::project::Projects;
use crate::records::stored::StoredRecord;
use crate::records::time;

/// All that is kept of a record.
#[derive(Debug, Serialize)]
pub(super) struct Whole<'a> {
    id: i64,
    project: Option<&'a str>,
    received_at: Option<String>,
    /// Nothing when it is beyond the year 9999.
    created_at: Option<String>,
    severity: u8,
    classification: &'a str,
    machine_id: &'a str,
    build: &'a str,
    system_name: &'a str,
    external: bool,
    group: Option<i64>,
    event_id: &'a str,
    arch: &'a str,
    is_unusual_arch: bool,
    kernel_version: &'a str,
    host_type: &'a str,
    board_name: &'a str,
    cpu_model: &'a str,
    bios_version: &'a str,
    record_format_version: u8,
    payload_format_version: i64,
    payload: &'a str,
}

impl<'a> Whole<'a> {
    pub(super) fn of(stored: &'a StoredRecord, projects: &'a Projects) -> Self {
        let record = &stored.record;
        Self {
            id: stored.id,
            project: projects.name(stored.project),
            received_at: time::rfc3339(stored.received_at),
            created_at: record.created.checked_mul(1000).and_then(time::rfc3339),
            severity: record.severity,
            classification: &record.classification,
            machine_id: &record.machine_id,
            build: &record.build,
            system_name: &record.system_name,
            external: record.external,
            group: stored.group,
            event_id: &record.event_id,
            arch: &record.arch,
            is_unusual_arch: record.is_unusual_arch,
            kernel_version: &record.kernel_version,
            host_type: &record.host_type,
            board_name: &record.board_name,
            cpu_model: &record.cpu_model,
            bios_version: &record.bios_version,
            record_format_version: record.record_format_version,
            payload_format_version: record.payload_format_version,
            payload: &record.payload,
        }
    }
}
