//! Submissions as they arrive: header names, values in two encodings, and JSON.

use super::super::{
    Field, JSON_KEYS_MAX, JsonProblem, NOT_AVAILABLE, Strictness, Submission, check,
};
use super::{BASE, changed};

#[test]
fn names_are_folded() {
    for (name, expected) in [
        ("machine_id", Some(Field::MachineId)),
        ("Machine-Id", Some(Field::MachineId)),
        ("MACHINE-ID", Some(Field::MachineId)),
        ("machine-id_", None),
        ("machineid", None),
        ("X-Telemetry-TID", Some(Field::Tid)),
        ("x_telemetry_tid", Some(Field::Tid)),
        ("X-CLR-External", Some(Field::External)),
        ("Host", None),
        ("", None),
    ] {
        assert_eq!(Field::of(name), expected, "{name}");
    }
    for field in Field::ALL {
        assert_eq!(Field::of(field.name()), Some(field));
        assert_eq!(Field::of(field.title()), Some(field));
        assert_eq!(field.title().replace('-', "_").to_lowercase(), field.name());
    }
}

#[test]
fn both_spellings_give_the_same() {
    let headers = |is_dashed: bool| {
        BASE.map(|(name, value)| {
            let field = Field::of(name).expect("a field");
            let name = if is_dashed { field.title() } else { name };
            (name, value.as_bytes())
        })
    };
    let underscores = Submission::from_headers(headers(false), b"hello\n\n");
    let dashes = Submission::from_headers(headers(true), b"hello\n\n");
    assert_eq!(underscores, dashes);
    assert_eq!(underscores, changed(&[]));
    assert_eq!(underscores.fields().count(), BASE.len());
    assert_eq!(underscores.payload(), "hello\n\n");
    assert!(check(&underscores, Strictness::Strict).is_ok());
}

#[test]
fn header_values_and_bodies_are_text() {
    let value = |bytes: &[u8]| {
        let submission = Submission::from_headers([("board_name", bytes)], b"");
        submission.get(Field::BoardName).map(str::to_owned)
    };
    for (bytes, expected) in [
        (&b" \t a b \t"[..], "a b"),
        (b"", ""),
        ("Bücher".as_bytes(), "Bücher"),
        (b"B\xfccher", "Bücher"),
        (b"\xa0x", "\u{a0}x"),
    ] {
        assert_eq!(value(bytes).as_deref(), Some(expected), "{bytes:?}");
    }
    for (body, expected) in [
        (&b"\xe9\xff"[..], "\u{e9}\u{ff}"),
        ("é\n".as_bytes(), "é\n"),
        (b"a\0b", "a\0b"),
        (b"", ""),
    ] {
        let submission = Submission::from_headers([], body);
        assert_eq!(submission.payload(), expected, "{body:?}");
    }
    let twice = [("arch", &b"ppc"[..]), ("Host", b"x"), ("Arch", b"i386")];
    let submission = Submission::from_headers(twice, b"");
    let fields: Vec<(Field, &str)> = submission.fields().collect();
    assert_eq!(fields, [(Field::Arch, "i386")], "the last one counts");
}

/// The body of client 2.4.3, whose values end at their first blank.
const CLIENT_243: &str = concat!(
    r#"{"record_format_version":"4","severity":"3","classification":"org.clearlinux\/crash\/clr","#,
    r#""machine_id":"0123456789abcdef0123456789abcdef","creation_timestamp":"1700000000","#,
    r#""arch":"x86_64","host_type":"QEMU|Standard","kernel_version":"6.1.0-13-amd64","#,
    r#""board_name":"Standard","cpu_model":"Intel(R)","bios_version":"1.16.2-debian-1.16.2-1","#,
    r#""event_id":"00112233445566778899aabbccddeeff","build":"\"12\"","system_name":"debian","#,
    r#""payload_format_version":"1","payload":"hello\n"}"#,
);
const TID: Option<&[u8]> = Some(b"6907c830-eed9-4ce9-81ae-76daf8d88f0f");

#[test]
fn json_of_the_client_is_a_record() {
    let submission = Submission::from_json(CLIENT_243.as_bytes(), TID, None).expect("readable");
    assert_eq!(submission.fields().count(), 16);
    assert_eq!(submission.get(Field::Build), Some("\"12\""));
    let record = check(&submission, Strictness::Strict).expect("valid");
    assert_eq!(record.build, "12");
    assert_eq!(record.cpu_model, "Intel(R)");
    assert_eq!(record.severity, 3);
    assert_eq!(record.classification, "org.clearlinux/crash/clr");
    assert_eq!(record.payload, "hello\n");
    assert!(!record.external);

    let without_tid = Submission::from_json(CLIENT_243.as_bytes(), None, Some(b" true "));
    let problem = check(&without_tid.expect("readable"), Strictness::Strict).expect_err("no id");
    assert_eq!(
        problem.to_string(),
        "Record-Format-Version headers are invalid, X-Telemetry-Tid missing"
    );
}

#[test]
fn json_takes_numbers_and_passes_over_the_unknown() {
    let body = r#"{"record_format_version":1,"severity":2,"classification":"a/b/c","machine_id":null,
        "creation_timestamp":1700000000,"arch":"ppc","host_type":null,"kernel_version":"6.1.0",
        "build":12.5,"payload":true,"more":{"deep":[1]},"x_clr_external":"true","Machine-Id":"x",
        "x_telemetry_tid":"body"}"#;
    let submission = Submission::from_json(body.as_bytes(), TID, Some(b"true")).expect("readable");
    let tid = submission.get(Field::Tid).map(str::as_bytes);
    assert_eq!(tid, TID, "the id is taken from the header");
    assert_eq!(submission.get(Field::MachineId), Some(""));
    assert_eq!(submission.get(Field::BoardName), None);
    let record = check(&submission, Strictness::Strict).expect("valid");
    assert_eq!(record.created, 1_700_000_000);
    assert_eq!(record.build, "12.5");
    assert_eq!(record.payload, "true");
    assert_eq!(record.system_name, NOT_AVAILABLE);
    assert!(record.external);

    let from_body = Submission::from_json(body.as_bytes(), TID, None).expect("readable");
    assert_eq!(from_body.get(Field::External), None);
    let latin = Submission::from_json(
        b"{\"board_name\":\"\xe9\",\"payload\":\"\\u0000\"}",
        None,
        None,
    );
    let latin = latin.expect("readable");
    assert_eq!(latin.get(Field::BoardName), Some("é"));
    assert_eq!(latin.payload(), "\0");
}

#[test]
fn json_problems_are_named() {
    let many = |count: usize| {
        let keys: Vec<String> = (1..count).map(|key| format!("\"{key}\":0")).collect();
        format!("{{\"payload\":\"\",{}}}", keys.join(","))
    };
    let deep = "[".repeat(100_000);
    for (body, reason, message) in [
        ("", "not_json", "the body is not JSON"),
        ("payload=1", "not_json", "the body is not JSON"),
        (deep.as_str(), "not_json", "the body is not JSON"),
        ("[]", "not_object", "the body is not a JSON object"),
        ("\"payload\"", "not_object", "the body is not a JSON object"),
        ("{}", "no_payload", "the body has no key `payload`"),
        (
            r#"{"payload":"","severity":[1]}"#,
            "nested_value",
            "the value of `severity` is not a text or a number",
        ),
        (
            r#"{"payload":{}}"#,
            "nested_value",
            "the value of `payload` is not a text or a number",
        ),
        (
            &many(JSON_KEYS_MAX + 1),
            "too_many_keys",
            "the body has more than 256 keys",
        ),
    ] {
        let problem: JsonProblem =
            Submission::from_json(body.as_bytes(), TID, None).expect_err(reason);
        assert_eq!(problem.reason(), reason);
        assert_eq!(problem.to_string(), message);
    }
    assert!(Submission::from_json(many(JSON_KEYS_MAX).as_bytes(), TID, None).is_ok());
}
