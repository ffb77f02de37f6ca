//! What can be wrong with a submission, in the words of the original collector: its clients' logs and
//! whoever watched for them know these. Hence the capitals, which our own errors do not have.

use super::Field;

/// What the original answers when the telemetry id is missing or another one. Callers compare it,
/// case-sensitively, before they check a submission.
pub const TID_MISMATCH: &str = "Telemetry ID mismatch";

/// The first thing that is wrong with a submission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The format is missing, or not `1` to `4`.
    #[error("Record-Format-Version is invalid")]
    RecordFormatVersion,
    /// A field that the record's format has was not sent.
    #[error("Record-Format-Version headers are invalid, {} missing", .0.title())]
    Missing(Field),
    /// No number from 1 to 4.
    #[error("severity value is out of range")]
    Severity,
    /// Not of three parts, or all three empty.
    #[error("Classification value is invalid")]
    Classification,
    /// Longer than 32 characters.
    #[error("Machine id value is invalid")]
    MachineId,
    /// Not digits alone, or beyond 64 bits.
    #[error("timestamp is invalid")]
    CreationTimestamp,
    /// Not one of those that are accepted.
    #[error("architecture is invalid")]
    Arch,
    /// 250 characters or longer.
    #[error("host type is invalid")]
    HostType,
    /// Not of the form `6.1.0`.
    #[error("kernel version is invalid")]
    KernelVersion,
    /// 200 characters or longer, or not printable ASCII.
    #[error("board name is invalid")]
    BoardName,
    /// 200 characters or longer, or not printable ASCII.
    #[error("cpu model is invalid")]
    CpuModel,
    /// 200 characters or longer, or not printable ASCII.
    #[error("BIOS version is invalid")]
    BiosVersion,
    /// Not 32 lower-case hexadecimal digits.
    #[error("Event id is invalid")]
    EventId,
    /// A build of Clear Linux that is not digits alone.
    #[error("Clear Linux OS build version has invalid characters")]
    ClearLinuxBuild,
    /// A build with something other than letters, digits, `-`, `_` and `.`, or without any.
    #[error("Build version has invalid characters")]
    Build,
    /// No integer; with it the beginning of what it is, as Python would quote it.
    #[error(
        "Error parsing payload_format_version, invalid literal for int() with base 10: {quoted}"
    )]
    PayloadFormatVersion {
        /// The text, in quotes, at most 80 characters of it.
        quoted: String,
    },
    /// An integer from 2,147,483,647 on or below -2,147,483,648.
    #[error("Payload format version outside of range supported")]
    PayloadFormatVersionRange,
}

impl Invalid {
    /// One stable word for metrics: the name of the field, or `missing_field`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::RecordFormatVersion => Field::RecordFormatVersion.name(),
            Self::Missing(_) => "missing_field",
            Self::Severity => Field::Severity.name(),
            Self::Classification => Field::Classification.name(),
            Self::MachineId => Field::MachineId.name(),
            Self::CreationTimestamp => Field::CreationTimestamp.name(),
            Self::Arch => Field::Arch.name(),
            Self::HostType => Field::HostType.name(),
            Self::KernelVersion => Field::KernelVersion.name(),
            Self::BoardName => Field::BoardName.name(),
            Self::CpuModel => Field::CpuModel.name(),
            Self::BiosVersion => Field::BiosVersion.name(),
            Self::EventId => Field::EventId.name(),
            Self::ClearLinuxBuild | Self::Build => Field::Build.name(),
            Self::PayloadFormatVersion { .. } | Self::PayloadFormatVersionRange => {
                Field::PayloadFormatVersion.name()
            }
        }
    }
}
