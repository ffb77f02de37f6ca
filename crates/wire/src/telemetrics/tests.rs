//! Tests of `telemetrics`: what they share stands here.

mod accepting;
mod backtraces;
mod fingerprints;
mod machine_checks;
mod properties;
mod refusing;
mod submitting;

use super::{Field, Record, Strictness, Submission, check};

/// The 15 headers of a record of format 4, as client 2.3.5 sends them, and the telemetry id.
const BASE: [(&str, &str); 16] = [
    ("record_format_version", "4"),
    ("severity", "1"),
    ("classification", "org.clearlinux/hello/world"),
    ("machine_id", "0123456789abcdef0123456789abcdef"),
    ("creation_timestamp", "1700000000"),
    ("arch", "x86_64"),
    (
        "host_type",
        "QEMU|Standard PC (Q35 + ICH9, 2009)|pc-q35-7.2",
    ),
    ("kernel_version", "6.1.0-13-amd64"),
    ("board_name", "no_board_file"),
    ("cpu_model", "Intel(R) Xeon(R) Processor"),
    ("bios_version", "1.16.2-debian-1.16.2-1"),
    ("event_id", "00112233445566778899aabbccddeeff"),
    ("build", "34960"),
    ("system_name", "clear-linux-os"),
    ("payload_format_version", "1"),
    ("X-Telemetry-TID", "6907c830-eed9-4ce9-81ae-76daf8d88f0f"),
];

/// The base with other values; `None` leaves a header out.
fn changed(changes: &[(&str, Option<&str>)]) -> Submission {
    let mut headers: Vec<(&str, &str)> = BASE.to_vec();
    for (name, value) in changes {
        headers.retain(|(kept, _)| Field::of(kept) != Field::of(name));
        headers.extend(value.map(|value| (*name, value)));
    }
    let headers = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()));
    Submission::from_headers(headers, b"hello\n\n")
}

/// The changed base, which is a record even for the strict.
fn record(name: &str, changes: &[(&str, Option<&str>)]) -> Record {
    check(&changed(changes), Strictness::Strict)
        .unwrap_or_else(|problem| panic!("{name}: {problem}"))
}

/// The fields that came first with a later format.
fn without_later_than(format: &'static str) -> Vec<(&'static str, Option<&'static str>)> {
    let mut changes = vec![("record_format_version", Some(format))];
    let later: [(&str, &[&str]); 3] = [
        ("4", &["event_id"]),
        ("3", &["board_name", "cpu_model", "bios_version"]),
        ("2", &["system_name", "payload_format_version"]),
    ];
    for (since, names) in later {
        if format < since {
            changes.extend(names.iter().map(|name| (*name, None)));
        }
    }
    changes
}
