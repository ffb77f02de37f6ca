//! What holds for every text: it is read or refused with a place, and what is written is read again.

use proptest::prelude::*;
use query::labels::Labels;
use query::matcher::{Comparison, Matcher};
use query::number::{Plain, Short, parse as parse_number};
use query::promql::parser::{metric, parse};

/// Pieces of which expressions are made, so that generated texts come near to some.
const PIECES: [&str; 30] = [
    "metric",
    "{",
    "}",
    "(",
    ")",
    "[5m]",
    "[5m:1m]",
    "a=\"b\"",
    "rate",
    "sum",
    " by ",
    " on ",
    "+",
    "-",
    "*",
    "^",
    " and ",
    " offset 5m",
    " @ 10",
    "1",
    "Inf",
    "\"text\"",
    ",",
    " bool ",
    "==",
    "</",
    " fill(1) ",
    " group_left ",
    " smoothed",
    "é",
];

proptest! {
    #[test]
    fn every_text_is_read_or_refused_with_a_place(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..24)
    ) {
        let text = pieces.concat();
        match parse(&text) {
            Ok(parsed) => prop_assert!(parsed.span.end <= text.len()),
            Err(error) => prop_assert!(error.position <= text.len(), "{error:?}"),
        }
    }

    #[test]
    fn labels_that_are_written_are_read_again(
        pairs in prop::collection::btree_map(".{1,8}", ".{0,8}", 0..6)
    ) {
        let labels = Labels::new(pairs);
        let written = labels.to_string();
        prop_assert_eq!(metric(&written), Ok((labels, written.len())));
    }

    #[test]
    fn numbers_that_are_written_are_read_again(bits in any::<u64>()) {
        let number = f64::from_bits(bits);
        for written in [Plain(number).to_string(), Short(number).to_string()] {
            let read = parse_number(&written).expect("a number");
            prop_assert!(read.to_bits() == bits || read.is_nan() && number.is_nan(), "{}", written);
        }
    }

    #[test]
    fn what_one_matcher_wants_its_opposite_does_not(
        pattern in "[a-c.*|()\\[\\]\\\\d{}2,]{0,8}", value in "[a-c2]{0,4}"
    ) {
        for (one, other) in [
            (Comparison::Equal, Comparison::NotEqual),
            (Comparison::Matches, Comparison::NotMatches),
        ] {
            let one = Matcher::new("x", one, &pattern);
            let other = Matcher::new("x", other, &pattern);
            if let (Ok(one), Ok(other)) = (one, other) {
                prop_assert_ne!(one.matches(&value), other.matches(&value));
            }
        }
    }
}
