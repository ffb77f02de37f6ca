//! What is no record: the original's messages word for word, and the order of its checks.

use super::super::{Strictness, check};
use super::{BASE, changed, record};

fn refused(changes: &[(&str, Option<&str>)], message: &str, reason: &str) {
    for strictness in [Strictness::Strict, Strictness::Lenient] {
        let problem = check(&changed(changes), strictness).expect_err(message);
        assert_eq!(problem.to_string(), message, "{changes:?}");
        assert_eq!(problem.reason(), reason, "{changes:?}");
    }
}

/// Each row: a field, the message, and the values that it answers.
fn all_refused(tables: &[(&str, &str, &[&str])]) {
    for (name, message, values) in tables {
        for value in *values {
            refused(&[(*name, Some(*value))], message, name);
        }
    }
}

#[test]
fn what_every_format_has_is_refused_in_the_words_of_the_original() {
    let long = "x".repeat(250);
    all_refused(&[
        (
            "record_format_version",
            "Record-Format-Version is invalid",
            &["0", "5", "abc", "", "04", "+4", "4.0", "44"],
        ),
        (
            "severity",
            "severity value is out of range",
            &["0", "5", "-1", "+1", "1.0", "x", "", "256", "²"],
        ),
        (
            "classification",
            "Classification value is invalid",
            &["a/b", "a/b/c/d", "", "//"],
        ),
        (
            "machine_id",
            "Machine id value is invalid",
            &["0123456789abcdef0123456789abcdef0"],
        ),
        (
            "creation_timestamp",
            "timestamp is invalid",
            &[
                "-1",
                "+1",
                "abc",
                "1.5",
                "",
                "17000000000000000000",
                "9223372036854775808",
            ],
        ),
        ("arch", "architecture is invalid", &["", "x86 64"]),
        ("host_type", "host type is invalid", &[&long]),
        (
            "kernel_version",
            "kernel version is invalid",
            &["6.1", "6.x.0", "v6.1.0", "unknown", "", ".1.0", "6..0"],
        ),
        (
            "build",
            "Clear Linux OS build version has invalid characters",
            &["34960.1", "abc", "", "\"\""],
        ),
    ]);
    for build in ["a b", "1+2", "", "''", "ü"] {
        let changes = [("build", Some(build)), ("system_name", Some("debian"))];
        refused(&changes, "Build version has invalid characters", "build");
    }
}

#[test]
fn what_later_formats_have_is_refused_in_the_words_of_the_original() {
    let board = "x".repeat(200);
    let range = "Payload format version outside of range supported";
    all_refused(&[
        ("board_name", "board name is invalid", &[&board, "é", "a\0"]),
        ("cpu_model", "cpu model is invalid", &[&board, "é"]),
        ("bios_version", "BIOS version is invalid", &[&board, "é"]),
        (
            "event_id",
            "Event id is invalid",
            &[
                "00112233445566778899AABBCCDDEEFF",
                "0011",
                "g0112233445566778899aabbccddeeff",
                "",
            ],
        ),
        (
            "payload_format_version",
            range,
            &["2147483647", "99999999999999999999", "-2147483649"],
        ),
    ]);
    for (value, quoted) in [
        ("x", "'x'"),
        ("", "''"),
        ("1.0", "'1.0'"),
        ("- 1", "'- 1'"),
        ("it's", "\"it's\""),
        ("'\"\\\n", "'\\'\"\\\\\\n'"),
        (&board, &format!("'{}'", "x".repeat(80))),
    ] {
        let begin = "Error parsing payload_format_version, invalid literal for int() with base 10:";
        let changes = [("payload_format_version", Some(value))];
        refused(
            &changes,
            &format!("{begin} {quoted}"),
            "payload_format_version",
        );
    }
}

#[test]
fn missing_fields_are_named() {
    let formats = [
        (
            "1",
            "Arch Build Creation-Timestamp Classification Host-Type Kernel-Version Machine-Id Severity",
        ),
        ("2", "Payload-Format-Version System-Name X-Telemetry-Tid"),
        ("3", "Board-Name Bios-Version Cpu-Model"),
        ("4", "Event-Id"),
    ];
    for format in ["1", "2", "3", "4"] {
        for (since, titles) in formats {
            for title in titles.split(' ') {
                let changes = [("record_format_version", Some(format)), (title, None)];
                let message = format!("Record-Format-Version headers are invalid, {title} missing");
                if format < since {
                    record(title, &changes);
                } else {
                    refused(&changes, &message, "missing_field");
                }
            }
        }
    }
    let invalid = "Record-Format-Version is invalid";
    refused(
        &[("record_format_version", None)],
        invalid,
        "record_format_version",
    );
    // All at once: the first of the original's list.
    let all: Vec<(&str, Option<&str>)> =
        BASE.iter().skip(1).map(|(name, _)| (*name, None)).collect();
    let message = "Record-Format-Version headers are invalid, Arch missing";
    refused(&all, message, "missing_field");
}

#[test]
fn the_first_fault_in_the_order_of_the_original_answers() {
    let order = [
        (
            "record_format_version",
            "5",
            "Record-Format-Version is invalid",
        ),
        ("severity", "5", "severity value is out of range"),
        ("classification", "a", "Classification value is invalid"),
        (
            "machine_id",
            "0123456789abcdef0123456789abcdef0",
            "Machine id value is invalid",
        ),
        ("creation_timestamp", "x", "timestamp is invalid"),
        ("arch", "a b", "architecture is invalid"),
        ("host_type", &"x".repeat(250), "host type is invalid"),
        ("kernel_version", "6", "kernel version is invalid"),
        ("board_name", "é", "board name is invalid"),
        ("cpu_model", "é", "cpu model is invalid"),
        ("bios_version", "é", "BIOS version is invalid"),
        ("event_id", "x", "Event id is invalid"),
        (
            "build",
            "x",
            "Clear Linux OS build version has invalid characters",
        ),
        (
            "payload_format_version",
            "2147483647",
            "Payload format version outside of range supported",
        ),
    ];
    for (place, (name, value, message)) in order.iter().enumerate() {
        for (other, other_value, _) in order.iter().skip(place + 1) {
            let changes = [(*other, Some(*other_value)), (*name, Some(*value))];
            refused(&changes, message, name);
        }
        let missing = [(*name, Some(*value)), ("event_id", None)];
        if place > 0 && *name != "event_id" {
            let message = "Record-Format-Version headers are invalid, Event-Id missing";
            refused(&missing, message, "missing_field");
        }
    }
}
