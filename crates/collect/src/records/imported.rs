//! What travels when records of another collector come here with their ids and times, and which of its
//! rows are records.

mod judge;
mod whole;

use serde::{Deserialize, Serialize};

pub use self::judge::{Judged, NotARecord, judge};

/// Rows of one batch.
pub const BATCH_MAX: usize = 256;
/// Bytes of the longest payload that becomes a record.
pub const PAYLOAD_BYTES_MAX: usize = 8 << 20;
/// Bytes of a batch as JSON: the longest payload, were it nothing but control characters.
pub const BATCH_BYTES_MAX: usize = 64 << 20;
/// Characters of any other text of a row; more are no record.
pub const TEXT_CHARACTERS_MAX: usize = 4_096;
/// Notes on guilty frames that are sent at once.
pub const NOTES_MAX: usize = 500;
/// The highest id that is kept: what the original's column can have.
pub const ID_MAX: i64 = 2_147_483_647;

/// A row of the table of records of the original collector, in the names of ours. Nothing stands for
/// NULL, and times are decimal texts of Unix seconds, as they are kept there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImportedRecord {
    /// Its number there.
    #[serde(deserialize_with = "whole::number")]
    pub id: i64,
    /// When the collector took it.
    pub received_at: Option<String>,
    /// When the client made it.
    pub created_at: Option<String>,
    /// 1 to 4, if it is a record.
    #[serde(deserialize_with = "whole::optional")]
    pub severity: Option<i64>,
    /// Whether its machine is a stranger's.
    pub external: Option<bool>,
    /// The format.
    #[serde(deserialize_with = "whole::optional")]
    pub record_format_version: Option<i64>,
    /// The payload's format.
    #[serde(deserialize_with = "whole::optional")]
    pub payload_format_version: Option<i64>,
    /// Three parts with `/` between.
    pub classification: Option<String>,
    /// The machine.
    pub machine_id: Option<String>,
    /// The build.
    pub build: Option<String>,
    /// The system.
    pub system_name: Option<String>,
    /// The event.
    pub event_id: Option<String>,
    /// The architecture.
    pub arch: Option<String>,
    /// What it is a machine of.
    pub host_type: Option<String>,
    /// The kernel.
    pub kernel_version: Option<String>,
    /// The board.
    pub board_name: Option<String>,
    /// The processor.
    pub cpu_model: Option<String>,
    /// The firmware.
    pub bios_version: Option<String>,
    /// The payload, or its beginning.
    pub payload: String,
    /// How many bytes the payload has there, when it is cut here.
    #[serde(deserialize_with = "whole::optional")]
    pub payload_bytes: Option<i64>,
    /// Which guilty frame it was found to have there.
    #[serde(deserialize_with = "whole::optional")]
    pub guilty: Option<i64>,
}

/// What a batch is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Up to which id the import has to be before it.
    #[serde(deserialize_with = "whole::number")]
    pub after: i64,
    /// Up to which id it is with it.
    #[serde(deserialize_with = "whole::number")]
    pub through: i64,
    /// The rows between, in the order of their ids.
    pub records: Vec<ImportedRecord>,
}

/// What is to be imported.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// What tells the database from all others.
    pub source: String,
    /// The name of the project that the records come to; it may be left out where there is one.
    pub project: Option<String>,
    /// The lowest id there; 0 when there is no record.
    #[serde(deserialize_with = "whole::number")]
    pub first: i64,
    /// The highest.
    #[serde(deserialize_with = "whole::number")]
    pub last: i64,
    /// How many records there are.
    #[serde(deserialize_with = "whole::number")]
    pub records: i64,
    /// Records get the next numbers here instead of keeping theirs.
    #[serde(default)]
    pub new_ids: bool,
    /// Only says whether it could begin.
    #[serde(default)]
    pub dry_run: bool,
}

/// What somebody noted there about crashes at one frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuiltyNote {
    /// Its number there.
    #[serde(deserialize_with = "whole::number")]
    pub id: i64,
    /// The function.
    pub function: String,
    /// The module.
    pub module: String,
    /// The comment; empty for none.
    pub comment: String,
    /// Whether it is left out of lists.
    pub is_hidden: bool,
}
