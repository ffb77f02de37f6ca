//! Questions and answers, byte for byte, and that nothing foreign harms.

use proptest::prelude::*;

use super::*;

/// An answer to a question, with records of a name that points back, a kind and data.
fn message(asked: &[u8], flags: u16, records: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = asked[..2].to_vec();
    let count = u16::try_from(records.len()).expect("few");
    for number in [flags, 1, count, 0, 0] {
        bytes.extend(number.to_be_bytes());
    }
    let end = asked.len() - 11;
    bytes.extend(&asked[12..end]);
    for (kind, data) in records {
        bytes.extend([0xc0, 12]);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 60]);
        bytes.extend(u16::try_from(data.len()).expect("short").to_be_bytes());
        bytes.extend(*data);
    }
    bytes
}

#[test]
fn a_question_is_as_the_standard_has_it() {
    let bytes = question(0x1234, "a.example.", Kind::Srv).expect("a question");
    let expected = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\
        \x01a\x07example\x00\x00\x21\x00\x01\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
    assert_eq!(bytes, expected);
    for name in ["", ".", "a..b", &"a".repeat(64), &"a.".repeat(128)] {
        assert_eq!(question(1, name, Kind::A), Err(DnsError::Name), "{name}");
    }
}

#[test]
fn records_of_the_kind_are_read() {
    let asked = question(7, "s.example", Kind::Srv).expect("a question");
    // `h` before the name of the question, and one that is written whole.
    let near = b"\x00\x01\x00\x02\x1f\x90\x01h\xc0\x0e";
    let far = b"\x00\x01\x00\x02\x00\x50\x01x\x03org\x00";
    let bytes = message(&asked, 0x8180, &[(33, near), (5, b"\x01z\x00"), (33, far)]);
    let found = answer(&bytes, &asked, Kind::Srv).expect("an answer");
    let service = |target: &str, port| Record::Srv {
        target: target.to_owned(),
        port,
    };
    let expected = [service("h.example", 8080), service("x.org", 80)];
    assert_eq!(found.records, expected);
    assert_eq!(found.outcome, Outcome::Found);
    let asked = question(7, "a", Kind::A).expect("a question");
    let bytes = message(&asked, 0x8180, &[(1, &[192, 0, 2, 1]), (28, &[0; 16])]);
    let found = answer(&bytes, &asked, Kind::A).expect("an answer");
    assert_eq!(found.records, [Record::A(Ipv4Addr::new(192, 0, 2, 1))]);
}

#[test]
fn refusals_are_told_apart() {
    let asked = question(7, "a", Kind::A).expect("a question");
    for (flags, outcome, is_truncated) in [
        (0x8183, Outcome::NoName, false),
        (0x8182, Outcome::Failed(2), false),
        (0x8380, Outcome::Found, true),
    ] {
        let found = answer(&message(&asked, flags, &[]), &asked, Kind::A).expect("an answer");
        assert_eq!((found.outcome, found.is_truncated), (outcome, is_truncated));
    }
    let other = question(7, "b", Kind::A).expect("a question");
    let bytes = message(&other, 0x8180, &[]);
    assert_eq!(answer(&bytes, &asked, Kind::A), Err(DnsError::Other));
    let own = message(&asked, 0x0180, &[]);
    assert_eq!(answer(&own, &asked, Kind::A), Err(DnsError::Other));
    let short = message(&asked, 0x8180, &[(1, &[1, 2, 3])]);
    assert!(answer(&short, &asked, Kind::A).is_err());
}

#[test]
fn names_that_lead_in_a_circle_end() {
    let asked = question(7, "a", Kind::Ns).expect("a question");
    let mut bytes = message(&asked, 0x8180, &[(2, &[0xc0, 0])]);
    let at = bytes.len() - 2;
    let pointer = u16::try_from(at).expect("short") | 0xc000;
    bytes[at..].copy_from_slice(&pointer.to_be_bytes());
    assert_eq!(answer(&bytes, &asked, Kind::Ns), Err(DnsError::Message));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let asked = question(7, "a.b", Kind::Mx).expect("a question");
        answer(&bytes, &asked, Kind::Mx).ok();
        let mut begun = message(&asked, 0x8180, &[]);
        begun[7] = 3;
        begun.extend(&bytes);
        for kind in [Kind::A, Kind::Srv, Kind::Mx] {
            answer(&begun, &asked, kind).ok();
        }
    }
}
