//! Codes of machine checks.

use proptest::prelude::*;

use crate::telemetrics::machine_check::code;

#[test]
fn the_code_is_the_end_of_the_status() {
    for (payload, expected) in [
        (
            "MCE 0\nCPU 0 BANK 8\nSTATUS 8c00004000010091 MCGSTATUS 0\nMCGCAP 1c09\n",
            Some("00010091"),
        ),
        ("STATUS bd MCGSTATUS 5", Some("bd")),
        ("STATUS x MCGSTATUS 0\nSTATUS 12 MCGSTATUS 0", Some("12")),
        ("STATUS 8c00004000010091\nMCGSTATUS 0", None),
        ("MCGSTATUS 0 STATUS ", None),
        ("STATUS 18c00004000010091 MCGSTATUS 0", None),
        ("", None),
    ] {
        assert_eq!(code(payload), expected, "{payload:?}");
    }
}

proptest! {
    /// Whatever comes, a code is a few hexadecimal digits of it.
    #[test]
    fn a_code_is_a_part_of_the_payload(text in "(STATUS |MCGSTATUS|[0-9a-fé\n ]{0,20}){0,8}") {
        if let Some(found) = code(&text) {
            prop_assert!(text.contains(found) && (1..=8).contains(&found.len()));
            prop_assert!(found.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
    }
}
