//! What is a record: the acceptance vectors V4 to V21, and what is stored of them.

use super::super::{Invalid, NOT_AVAILABLE, Record, Strictness, check};
use super::{changed, record, without_later_than};

#[test]
fn the_base_is_stored_as_it_is() {
    let expected = Record {
        record_format_version: 4,
        severity: 1,
        classification: "org.clearlinux/hello/world".to_owned(),
        machine_id: "0123456789abcdef0123456789abcdef".to_owned(),
        created: 1_700_000_000,
        arch: "x86_64".to_owned(),
        is_unusual_arch: false,
        host_type: "QEMU|Standard PC (Q35 + ICH9, 2009)|pc-q35-7.2".to_owned(),
        kernel_version: "6.1.0-13-amd64".to_owned(),
        board_name: "no_board_file".to_owned(),
        cpu_model: "Intel(R) Xeon(R) Processor".to_owned(),
        bios_version: "1.16.2-debian-1.16.2-1".to_owned(),
        event_id: "00112233445566778899aabbccddeeff".to_owned(),
        build: "34960".to_owned(),
        system_name: "clear-linux-os".to_owned(),
        payload_format_version: 1,
        external: false,
        payload: "hello\n\n".to_owned(),
    };
    assert_eq!(record("base", &[]), expected);
}

#[test]
fn lower_formats_lack_fields() {
    let stored = |record: &Record| {
        [
            record.event_id.clone(),
            record.board_name.clone(),
            record.cpu_model.clone(),
            record.bios_version.clone(),
            record.system_name.clone(),
        ]
    };
    for (format, available, version) in [("3", 4, 1), ("2", 1, 1), ("1", 0, 0)] {
        let record = record(format, &without_later_than(format));
        let stored = stored(&record);
        let found = stored.iter().filter(|text| *text != NOT_AVAILABLE).count();
        assert_eq!(found, available, "{format}");
        assert_eq!(record.payload_format_version, version, "{format}");
    }
    // Even what was sent is not looked at.
    let sent = [
        ("record_format_version", Some("2")),
        ("event_id", Some("no id")),
        ("board_name", Some("é")),
    ];
    let [event_id, board_name, cpu_model, ..] = stored(&record("sent", &sent));
    assert_eq!([event_id, board_name, cpu_model], [NOT_AVAILABLE; 3]);
    // But the original uses these two wherever they come from.
    let record = record("format 1", &[("record_format_version", Some("1"))]);
    assert_eq!(record.system_name, "clear-linux-os");
    assert_eq!(record.payload_format_version, 1);
}

/// The value of a field as a record has it.
fn stored(record: &Record, name: &str) -> String {
    match name {
        "severity" => record.severity.to_string(),
        "classification" => record.classification.clone(),
        "machine_id" => record.machine_id.clone(),
        "creation_timestamp" => record.created.to_string(),
        "host_type" => record.host_type.clone(),
        "kernel_version" => record.kernel_version.clone(),
        "board_name" => record.board_name.clone(),
        "cpu_model" => record.cpu_model.clone(),
        "bios_version" => record.bios_version.clone(),
        "payload_format_version" => record.payload_format_version.to_string(),
        "X-CLR-External" => record.external.to_string(),
        other => panic!("{other}"),
    }
}

#[test]
fn valid_values_are_stored() {
    let letters = |count: usize| "b".repeat(count);
    let hardware: &[&str] = &["", "a\tb", &letters(199)];
    let tables: [(&str, &[&str]); 11] = [
        ("severity", &["1", "2", "3", "4"]),
        ("classification", &["a/b/c", "a//", "//c", "/b/"]),
        (
            "machine_id",
            &["ab12", "a-b-c", "", &letters(32), &"ü".repeat(32)],
        ),
        (
            "creation_timestamp",
            &["0", "1699136000", "253402300800", "9223372036854775807"],
        ),
        ("host_type", &["", &letters(249), &"ü".repeat(249)]),
        (
            "kernel_version",
            &["6.1.0-13-amd64", "6.1.0", "6.1.", "6.1.0.0"],
        ),
        ("board_name", hardware),
        ("cpu_model", hardware),
        ("bios_version", hardware),
        (
            "payload_format_version",
            &["0", "2147483646", "-1", "-2147483648"],
        ),
        ("X-CLR-External", &["true"]),
    ];
    for (name, values) in tables {
        for value in values {
            let record = record(name, &[(name, Some(value))]);
            assert_eq!(stored(&record, name), *value, "{name}");
        }
    }
    for external in ["True", "1", ""] {
        assert!(!record(external, &[("X-CLR-External", Some(external))]).external);
    }
}

#[test]
fn quotes_are_removed() {
    for (build, system, expected) in [
        ("\"12\"", "debian", "12"),
        ("'12'", "debian", "12"),
        ("34960", "clear-linux-os", "34960"),
        ("34960", "\"clear-linux-os\"", "34960"),
        ("rolling", "arch", "rolling"),
        ("22.04", "ubuntu", "22.04"),
        ("22.04", "", "22.04"),
        ("-_.aZ9", "x", "-_.aZ9"),
    ] {
        let changes = [("build", Some(build)), ("system_name", Some(system))];
        let record = record(build, &changes);
        assert_eq!(record.build, expected);
        assert_eq!(record.system_name, system.replace('"', ""));
    }
    let changes = [("build", Some("12")), ("system_name", Some("\"de'bian\""))];
    assert_eq!(record("quotes", &changes).system_name, "debian");
}

#[test]
fn architectures_depend_on_the_strictness() {
    let known = "armv7l armv6l aarch64 amd64 sparc64 ppc64 i686 i386 x86_64 ppc";
    for arch in known.split(' ') {
        let submission = changed(&[("arch", Some(arch))]);
        for strictness in [Strictness::Strict, Strictness::Lenient] {
            let record = check(&submission, strictness).expect(arch);
            assert_eq!(
                (record.arch.as_str(), record.is_unusual_arch),
                (arch, false)
            );
        }
    }
    let long = "a".repeat(64);
    for arch in [
        "riscv64",
        "s390x",
        "loongarch64",
        "ppc64le",
        "unknown",
        "X86_64",
        &long,
    ] {
        let submission = changed(&[("arch", Some(arch))]);
        assert_eq!(
            check(&submission, Strictness::Strict),
            Err(Invalid::Arch),
            "{arch}"
        );
        let record = check(&submission, Strictness::Lenient).expect(arch);
        assert_eq!((record.arch.as_str(), record.is_unusual_arch), (arch, true));
    }
    for arch in ["", "a b", "a\tb", "é", "a\u{7f}", &"a".repeat(65)] {
        let submission = changed(&[("arch", Some(arch))]);
        assert_eq!(
            check(&submission, Strictness::Lenient),
            Err(Invalid::Arch),
            "{arch}"
        );
    }
}
