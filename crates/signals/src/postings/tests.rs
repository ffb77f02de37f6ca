//! Sets as lists against sets of the standard library, and matchers against every value.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::index::Index;
use crate::labels::Labels;
use crate::matcher::{Matcher, Operator};

fn list() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::btree_set(0_u32..400, 0..120).prop_map(|set| set.into_iter().collect())
}

proptest! {
    #[test]
    fn sets(left in list(), right in list()) {
        let (a, b): (BTreeSet<u32>, BTreeSet<u32>) = (left.iter().copied().collect(), right.iter().copied().collect());
        prop_assert_eq!(intersect(&left, &right), (&a & &b).into_iter().collect::<Vec<_>>());
        prop_assert_eq!(intersects(&left, &right), !a.is_disjoint(&b));
        prop_assert_eq!(subtract(&left, &right), (&a - &b).into_iter().collect::<Vec<_>>());
        prop_assert_eq!(union(&[&left, &right]), (&a | &b).into_iter().collect::<Vec<_>>());
        let mut out = Vec::new();
        put(&mut out, &left);
        prop_assert_eq!(read(&mut Reader::new(&out), 400), Some(left));
    }

    #[test]
    fn foreign_bytes(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Some(list) = read(&mut Reader::new(&bytes), 1_000) {
            prop_assert!(list.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn labels_come_back_sorted(pairs in prop::collection::btree_map("[a-zé]{1,5}", "[a-z0-9é]{0,200}", 0..8)) {
        let made = Labels::new(pairs.iter().rev().map(|(name, value)| (name.as_str(), value.as_str())));
        let full: Vec<_> = pairs.iter().filter(|(_, value)| !value.is_empty()).collect();
        match made {
            Err(_) => prop_assert!(full.is_empty()),
            Ok(labels) => {
                let back: Vec<_> = labels.iter().collect();
                let expected: Vec<_> = full.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                prop_assert_eq!(back, expected);
                prop_assert_eq!(Labels::from_bytes(labels.as_bytes()), Some(labels));
            }
        }
    }
}

#[test]
fn an_index_finds_what_the_matchers_say_of_each_series() {
    let values = ["", "a", "ab", "b", "abc", "x\ny", "1"];
    let mut index = Index::default();
    let mut series = Vec::new();
    for (at, one) in values.iter().enumerate() {
        for two in values {
            let labels = Labels::new([("one", *one), ("two", two), ("all", "1")]).unwrap();
            let id = u32::try_from(series.len() + at).unwrap();
            index.insert(id, &labels);
            series.push((id, labels));
        }
    }
    let check = |index: &Index, series: &[(u32, Labels)]| {
        let patterns = [
            "", "a", "a|ab", "a.*", "ab?", ".*", ".+", "x.y", "[ab]", "|a", "(?i)AB", "^a$", "a|^",
            "none",
        ];
        for name in ["one", "missing"] {
            for pattern in patterns {
                for operator in [
                    Operator::Equal,
                    Operator::NotEqual,
                    Operator::Matches,
                    Operator::MatchesNot,
                ] {
                    let matchers = [
                        Matcher::new(name, operator, pattern).unwrap(),
                        Matcher::new("two", Operator::NotEqual, "b").unwrap(),
                    ];
                    let expected: Vec<u32> = series
                        .iter()
                        .filter(|(_, labels)| {
                            matchers.iter().all(|m| m.matches(labels.get(m.name())))
                        })
                        .map(|(id, _)| *id)
                        .collect();
                    assert_eq!(
                        index.find(&matchers),
                        expected,
                        "{name} {operator:?} {pattern:?}"
                    );
                }
            }
        }
    };
    check(&index, &series);
    let dead: Vec<_> = series.extract_if(.., |(id, _)| *id % 3 == 0).collect();
    index.remove(&dead);
    check(&index, &series);
    index.remove(&series);
    assert_eq!(index.names().count(), 0);
}

#[test]
fn a_pattern_is_anchored_and_its_shortcuts_change_nothing() {
    let texts = [
        "", "a", "b", "ab", "ba", "foo-1", "foo-", "foo", "A", "a\nb", "aaa", "xa",
    ];
    for pattern in [
        "a",
        "a|b",
        "foo-.*",
        "foo-[12]?",
        "a{1,3}",
        "(a|b)?",
        "(?i:a)",
        ".",
        "a.b",
        r"\ba",
        "a$|b",
        "x?a",
    ] {
        let matcher = Matcher::new("l", Operator::Matches, pattern).unwrap();
        let plain = regex::Regex::new(&format!("^(?s:{pattern})$")).unwrap();
        for text in texts {
            assert_eq!(
                matcher.matches(text),
                plain.is_match(text),
                "{pattern:?} {text:?}"
            );
        }
    }
    Matcher::new("l", Operator::Matches, "a)(b").unwrap_err();
    Matcher::new("l", Operator::Matches, "(").unwrap_err();
}

#[test]
fn labels_that_make_no_sense_are_refused() {
    use crate::labels::{LABEL_BYTES_MAX, LABELS_MAX, LabelsError};
    let names: Vec<String> = (0..=LABELS_MAX).map(|number| number.to_string()).collect();
    let many = Labels::new(names.iter().map(|name| (name.as_str(), "x")));
    assert_eq!(many, Err(LabelsError::Many(LABELS_MAX + 1)));
    let long = "x".repeat(LABEL_BYTES_MAX);
    let error = Labels::new([("a", long.as_str())]).unwrap_err();
    assert!(matches!(error, LabelsError::Long(_)), "{error}");
    assert_eq!(Labels::new([("", "x")]), Err(LabelsError::EmptyName));
    let twice = Labels::new([("a", "x"), ("b", ""), ("a", "y")]);
    assert_eq!(twice, Err(LabelsError::Twice("a".to_owned())));
    assert_eq!(Labels::new([("a", "")]), Err(LabelsError::None));
    let labels = Labels::new([("b", "2"), ("a", "1\"")]).unwrap();
    assert_eq!(labels.to_string(), r#"{a="1\"", b="2"}"#);
    // Order is by names and values, not by lengths.
    assert!(Labels::new([("a", "10")]).unwrap() < Labels::new([("a", "9")]).unwrap());
}
