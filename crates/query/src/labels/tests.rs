//! Sets of labels: order, doubles, hashes, projections.

use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::new(pairs.iter().copied())
}

#[test]
fn sorts_keeps_the_last_and_drops_the_empty() {
    let made = labels(&[("b", "1"), ("a", "x"), ("b", "2"), ("c", "")]);
    assert_eq!(made.to_string(), r#"{a="x", b="2"}"#);
    assert_eq!(made.get("b"), "2");
    assert_eq!(made.get("c"), "");
    assert_eq!(made.len(), 2);
}

#[test]
fn equal_labels_have_equal_hashes_and_others_do_not() {
    let one = labels(&[("a", "bc")]);
    assert_eq!(one, labels(&[("a", "bc")]));
    assert_eq!(one.stable_hash(), labels(&[("a", "bc")]).stable_hash());
    let other = labels(&[("ab", "c")]);
    assert_ne!(one, other);
    assert_ne!(one.stable_hash(), other.stable_hash());
}

#[test]
fn sets_and_removes_one() {
    let made = labels(&[("b", "1")]).with("a", "2").with("c", "3");
    assert_eq!(made.to_string(), r#"{a="2", b="1", c="3"}"#);
    assert_eq!(made.with("b", "").to_string(), r#"{a="2", c="3"}"#);
}

#[test]
fn groups_by_what_a_projection_leaves() {
    let by = Projection::on(&["a".to_owned()]);
    let mut groups = Groups::new(&by);
    assert_eq!(groups.number(&labels(&[("a", "1"), ("b", "1")])), (0, true));
    assert_eq!(
        groups.number(&labels(&[("a", "1"), ("b", "2")])),
        (0, false)
    );
    assert_eq!(groups.number(&labels(&[("b", "2")])), (1, true));
    let without = Projection::without(&["b".to_owned()]);
    let left = without.apply(&labels(&[("__name__", "x"), ("a", "1"), ("b", "2")]));
    assert_eq!(left.to_string(), r#"{a="1"}"#);
}

#[test]
fn a_name_that_is_no_identifier_is_quoted() {
    assert_eq!(labels(&[("a.b", "\n")]).to_string(), r#"{"a.b"="\n"}"#);
}
