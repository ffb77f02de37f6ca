//! Requests by their schema, and answers that survive.

use proptest::prelude::*;

use super::{Answer, Comparison, MATCHERS_MAX, Malformed, Matcher, Query, Request, results};
use crate::remote_write::{Item, Points, Sample};

#[test]
fn remote_read_is_read_by_its_schema() {
    // From 1 to 2, a=~"b", hints that nobody reads; both kinds of answers, not packed.
    let message = b"\x0a\x10\x08\x01\x10\x02\x1a\x08\x08\x02\x12\x01a\x1a\x01b\x22\0\x10\x01\x10\0";
    let expected = Request {
        queries: vec![Query {
            start: 1,
            end: 2,
            matchers: vec![Matcher {
                comparison: Comparison::Matches,
                name: "a",
                value: "b",
            }],
        }],
        takes_samples: true,
    };
    assert_eq!(Request::read(message), Ok(expected));
    let takes = |message| Request::read(message).map(|request| request.takes_samples);
    assert_eq!(takes(b""), Ok(true), "the first clients say nothing");
    assert_eq!(takes(b"\x12\x01\x01"), Ok(false));
    assert_eq!(takes(b"\x12\x02\x01\0"), Ok(true));
    let unknown = Request::read(b"\x0a\x04\x1a\x02\x08\x04");
    assert!(matches!(unknown, Err(Malformed::Meaning(_))));
    let many = [0x1a, 0].repeat(MATCHERS_MAX + 1);
    let mut message = vec![0x0a, 0xca, 0x01];
    message.extend(&many);
    assert_eq!(many.len(), 0xca);
    assert_eq!(
        Request::read(&message),
        Err(Malformed::Many(3, MATCHERS_MAX))
    );
}

#[test]
fn remote_read_answers_have_a_result_for_each_query() {
    let mut answer = Answer::default();
    let mut encoder = Answer::encoder();
    let sample = Sample {
        value: 2.5,
        timestamp: 7,
        start: 0,
    };
    let points = Points {
        samples: &[sample],
        ..Points::default()
    };
    encoder.series([(&b"a"[..], &b"b"[..])], &points);
    answer.result(encoder);
    answer.result(Answer::encoder());
    let message = answer.finish();
    let results = results(&message).unwrap();
    assert_eq!(results.len(), 2);
    assert_eq!(results[1].series().count(), 0);
    let series = results[0].series().next().unwrap().unwrap();
    let items: Vec<_> = series.items().map(Result::unwrap).collect();
    assert_eq!(items, [Item::Sample(sample)]);
}

proptest! {
    #[test]
    fn remote_read_requests_survive(start: i64, end: i64, name: String, value: String, is_not: bool) {
        let comparison = if is_not { Comparison::NotMatches } else { Comparison::NotEqual };
        let matchers = vec![Matcher { comparison, name: &name, value: &value }];
        let request = Request {
            queries: vec![Query { start, end, matchers }],
            takes_samples: true,
        };
        let written = request.write();
        prop_assert_eq!(Request::read(&written), Ok(request));
    }

    #[test]
    fn remote_read_reading_ends(message: Vec<u8>) {
        crate::fuzz::remote_read(&message);
    }
}
