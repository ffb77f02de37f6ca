//! The names under which a record's metadata travels, and how a header or a key finds its own.

/// One piece of metadata. The order is that in which client 2.3.5 sends them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// Which of the fields below a record has: `1` to `4`.
    RecordFormatVersion,
    /// How bad it is: `1` to `4`.
    Severity,
    /// What it is about: `vendor/domain/probe`.
    Classification,
    /// The machine, by an id that usually changes every three days.
    MachineId,
    /// When the record was made: Unix seconds.
    CreationTimestamp,
    /// The machine's architecture, by `uname`.
    Arch,
    /// Vendor, product and version of the machine.
    HostType,
    /// The kernel's release, by `uname`.
    KernelVersion,
    /// The main board; from format 3 on.
    BoardName,
    /// The processor; from format 3 on.
    CpuModel,
    /// The firmware; from format 3 on.
    BiosVersion,
    /// What binds records of one event together; from format 4 on.
    EventId,
    /// The version of the operating system.
    Build,
    /// The name of the operating system; from format 2 on.
    SystemName,
    /// The version of the payload's form, chosen by the probe; from format 2 on.
    PayloadFormatVersion,
    /// The telemetry id, which says to whom the record goes. Always a header.
    Tid,
    /// Whether a proxy says that the machine is a stranger's. Always a header.
    External,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::RecordFormatVersion,
        Self::Severity,
        Self::Classification,
        Self::MachineId,
        Self::CreationTimestamp,
        Self::Arch,
        Self::HostType,
        Self::KernelVersion,
        Self::BoardName,
        Self::CpuModel,
        Self::BiosVersion,
        Self::EventId,
        Self::Build,
        Self::SystemName,
        Self::PayloadFormatVersion,
        Self::Tid,
        Self::External,
    ];

    /// The name as client 2.3.5 writes its headers and client 2.4.0 its keys, such as `machine_id`;
    /// of the two that are always headers the same form, `x_telemetry_tid` and `x_clr_external`.
    pub fn name(self) -> &'static str {
        match self {
            Self::RecordFormatVersion => "record_format_version",
            Self::Severity => "severity",
            Self::Classification => "classification",
            Self::MachineId => "machine_id",
            Self::CreationTimestamp => "creation_timestamp",
            Self::Arch => "arch",
            Self::HostType => "host_type",
            Self::KernelVersion => "kernel_version",
            Self::BoardName => "board_name",
            Self::CpuModel => "cpu_model",
            Self::BiosVersion => "bios_version",
            Self::EventId => "event_id",
            Self::Build => "build",
            Self::SystemName => "system_name",
            Self::PayloadFormatVersion => "payload_format_version",
            Self::Tid => "x_telemetry_tid",
            Self::External => "x_clr_external",
        }
    }

    /// The name as the original's messages write it, such as `Machine-Id`.
    pub fn title(self) -> &'static str {
        match self {
            Self::RecordFormatVersion => "Record-Format-Version",
            Self::Severity => "Severity",
            Self::Classification => "Classification",
            Self::MachineId => "Machine-Id",
            Self::CreationTimestamp => "Creation-Timestamp",
            Self::Arch => "Arch",
            Self::HostType => "Host-Type",
            Self::KernelVersion => "Kernel-Version",
            Self::BoardName => "Board-Name",
            Self::CpuModel => "Cpu-Model",
            Self::BiosVersion => "Bios-Version",
            Self::EventId => "Event-Id",
            Self::Build => "Build",
            Self::SystemName => "System-Name",
            Self::PayloadFormatVersion => "Payload-Format-Version",
            Self::Tid => "X-Telemetry-Tid",
            Self::External => "X-Clr-External",
        }
    }

    /// The field of a header. `-` and `_` are the same and case does not matter, since the original
    /// gets its headers through CGI, which folds both.
    pub fn of(header_name: &str) -> Option<Self> {
        let is_it = |field: &Self| is_folded_equal(header_name, field.name());
        Self::ALL.into_iter().find(is_it)
    }

    /// Whether it is a header even where the rest of the metadata is JSON.
    pub fn is_always_header(self) -> bool {
        matches!(self, Self::Tid | Self::External)
    }
}

fn is_folded_equal(header_name: &str, name: &str) -> bool {
    let fold = |byte: u8| match byte {
        b'-' => b'_',
        other => other.to_ascii_lowercase(),
    };
    header_name.len() == name.len() && header_name.bytes().map(fold).eq(name.bytes())
}
