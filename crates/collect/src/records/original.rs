//! A record as the original collector shows it: in the answer to a client and at `/api/records`.

use serde::Serialize;
use wire::telemetrics::Record;

use super::time;

/// The original's keys, in its order, and three that it leaves out: `payload_version`,
/// `record_format_version` (what its documentation calls `record_version`) and `system_name`.
#[derive(Debug, Serialize)]
pub(crate) struct OriginalRecord<'a> {
    pub(crate) arch: &'a str,
    pub(crate) bios_version: &'a str,
    pub(crate) board_name: &'a str,
    pub(crate) build: &'a str,
    pub(crate) classification: &'a str,
    pub(crate) cpu_model: &'a str,
    pub(crate) event_id: &'a str,
    pub(crate) external: bool,
    /// Nothing when the record was answered only.
    pub(crate) id: Option<i64>,
    pub(crate) kernel_version: &'a str,
    pub(crate) machine_id: &'a str,
    pub(crate) machine_type: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) payload_version: i64,
    pub(crate) record_format_version: i64,
    pub(crate) record_version: i64,
    pub(crate) severity: i64,
    pub(crate) system_name: &'a str,
    pub(crate) ts_capture: String,
    pub(crate) ts_reception: String,
}

impl<'a> OriginalRecord<'a> {
    pub(crate) fn new(record: &'a Record, id: Option<i64>, received_at: i64) -> Self {
        Self {
            arch: &record.arch,
            bios_version: &record.bios_version,
            board_name: &record.board_name,
            build: &record.build,
            classification: &record.classification,
            cpu_model: &record.cpu_model,
            event_id: &record.event_id,
            external: record.external,
            id,
            kernel_version: &record.kernel_version,
            machine_id: &record.machine_id,
            machine_type: &record.host_type,
            payload: &record.payload,
            payload_version: record.payload_format_version,
            record_format_version: record.record_format_version.into(),
            record_version: record.record_format_version.into(),
            severity: record.severity.into(),
            system_name: &record.system_name,
            ts_capture: time::original(record.created),
            ts_reception: time::original(received_at.div_euclid(1000)),
        }
    }

    pub(crate) fn into_json(self) -> String {
        serde_json::to_string(&self).unwrap_or_default()
    }
}
