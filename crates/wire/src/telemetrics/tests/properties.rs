//! Nothing that comes in ends the process, and what is accepted is what `Record` says.

use proptest::prelude::*;

use super::super::backtrace::{FRAMES_MAX, frames, guilty, signal};
use super::super::fingerprint::{NAME_CHARS_MAX, USED_FRAMES_MAX, explain, module_base, normalise};
use super::super::{Field, NOT_AVAILABLE, Record, Strictness, Submission, check};
use super::BASE;

fn assert_ranges(record: &Record, strictness: Strictness) {
    let is_hardware = |text: &str| {
        text.len() <= 199
            && text
                .chars()
                .all(|letter| letter.is_ascii_graphic() || " \t\n\r\u{b}\u{c}".contains(letter))
    };
    assert!((1..=4).contains(&record.record_format_version));
    assert!((1..=4).contains(&record.severity));
    assert_eq!(record.classification.split('/').count(), 3);
    assert!(record.classification.len() > 2);
    assert!(record.machine_id.chars().count() <= 32);
    assert!(record.created >= 0);
    assert!((1..=64).contains(&record.arch.len()));
    assert!(record.arch.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(!record.is_unusual_arch || strictness == Strictness::Lenient);
    assert!(record.host_type.chars().count() <= 249);
    assert!(record.kernel_version.split('.').count() >= 3);
    assert!(is_hardware(&record.board_name));
    assert!(is_hardware(&record.cpu_model));
    assert!(is_hardware(&record.bios_version));
    assert!(record.event_id.len() == 32 || record.event_id == NOT_AVAILABLE);
    assert!(!record.build.is_empty() && record.build.is_ascii());
    assert!(!record.build.contains(['"', '\'', ' ']));
    assert!(!record.system_name.contains(['"', '\'']));
    let versions = i64::from(i32::MIN)..i64::from(i32::MAX);
    assert!(versions.contains(&record.payload_format_version));
}

fn assert_harmless(payload: &str) {
    let found = frames(payload);
    assert!(found.len() <= FRAMES_MAX);
    assert_eq!(guilty(&found, |_, _| false).is_some(), !found.is_empty());
    assert_eq!(guilty(&found, |_, _| true).is_some(), !found.is_empty());
    assert!(signal(payload).is_none_or(|signal| signal.len() <= 3));
    let explained = explain("a/b/c", payload, |function, _| {
        function.len().is_multiple_of(2)
    });
    assert_eq!(explained.is_some(), !found.is_empty());
    if let Some(explained) = explained {
        let used = explained
            .frames
            .iter()
            .filter(|frame| frame.is_used)
            .count();
        assert!((1..=USED_FRAMES_MAX).contains(&used));
        assert_eq!(explained.frames.len(), found.len());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_harmless(
        value in proptest::collection::vec(any::<u8>(), 0..60),
        body in proptest::collection::vec(any::<u8>(), 0..200),
        name in "[-_A-Za-z]{0,20}",
    ) {
        for field in Field::ALL {
            let base = BASE.iter().map(|(name, value)| (*name, value.as_bytes()));
            let headers = base.chain([(field.name(), value.as_slice()), (name.as_str(), &value)]);
            let submission = Submission::from_headers(headers, &body);
            for strictness in [Strictness::Strict, Strictness::Lenient] {
                if let Ok(record) = check(&submission, strictness) {
                    assert_ranges(&record, strictness);
                }
            }
            assert_harmless(submission.payload());
        }
        let read = Submission::from_json(&body, Some(&value), Some(&value));
        let is_object = body.contains(&b'{');
        prop_assert!(read.is_err() || is_object);
    }

    #[test]
    fn nearly_valid_values_stay_in_range(
        field in proptest::sample::select(Field::ALL.to_vec()),
        format in "[1-4]",
        value in "[-+0-9a-z/. \"'_Aü²\t\n]{0,36}",
    ) {
        let document: serde_json::Map<String, serde_json::Value> = BASE
            .iter()
            .map(|(name, value)| (*name, *value))
            .chain([("record_format_version", format.as_str())])
            .chain([(field.name(), value.as_str()), ("payload", &value)])
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        let body = serde_json::Value::Object(document).to_string();
        let submission = Submission::from_json(body.as_bytes(), Some(b"tid"), None);
        let submission = submission.expect("a flat object");
        let is_header = matches!(field, Field::Tid | Field::External);
        if !is_header {
            prop_assert_eq!(submission.get(field), Some(value.as_str()));
        }
        for strictness in [Strictness::Strict, Strictness::Lenient] {
            if let Ok(record) = check(&submission, strictness) {
                assert_ranges(&record, strictness);
                prop_assert_eq!(&record.payload, &value);
            }
        }
        assert_harmless(submission.payload());
    }

    #[test]
    fn names_are_never_empty_and_never_long(
        function in "([()<>?@.+: a-c0-9x-]|operator|::|\\.cold|\\.part\\.1|0x|\\[<|>\\]|ü|in |17h){0,40}",
    ) {
        for name in [normalise(&function), module_base(&function)] {
            prop_assert_eq!(name.is_empty(), function.is_empty());
            prop_assert!(name.chars().count() <= NAME_CHARS_MAX);
        }
        assert_harmless(&format!("Process: x\n#0 {function} - [{function}]\n#1 f - [a]\n"));
    }

    #[test]
    fn lines_like_frames_are_harmless(
        payload in "((#[0-9] |Signal: |\\? |\\?\\?\\?| - \\[|\\]|\r|\n|\\(no symbols\\)|[a-z/.0-9]){0,3}\n?){0,40}",
    ) {
        assert_harmless(&payload);
    }
}
