//! Exemplars are few, the newest ones, and not repeated.

use super::*;

fn exemplar(series: &str, timestamp: i64) -> Exemplar {
    Exemplar {
        series: Labels::new([("s", series)]).unwrap(),
        labels: Labels::new([("trace_id", "x")]).unwrap(),
        value: 1.0,
        timestamp,
    }
}

#[test]
fn the_oldest_exemplar_goes_and_the_same_does_not_come_twice() {
    let mut extras = Extras::default();
    assert!(extras.add_exemplar(exemplar("a", 0)));
    assert!(!extras.add_exemplar(exemplar("a", 0)));
    let others = i64::try_from(EXEMPLARS_MAX).unwrap();
    for time in 1..others {
        assert!(extras.add_exemplar(exemplar("b", time)));
    }
    assert!(!extras.add_exemplar(exemplar("a", 0)), "it is still there");
    assert!(extras.add_exemplar(exemplar("b", others)));
    assert_eq!(extras.exemplars().count(), EXEMPLARS_MAX);
    assert!(extras.add_exemplar(exemplar("a", 0)), "it was gone");
    assert!(!extras.add_exemplar(exemplar("b", others)));
    assert_eq!(extras.last.len(), 2);
}

#[test]
fn metadata_is_bounded_and_told_only_when_it_is_new() {
    let mut extras = Extras::default();
    for number in 0..METADATA_MAX {
        let kept = extras.set_metadata(&number.to_string(), Metadata::default());
        assert!(kept.is_some());
    }
    assert_eq!(extras.set_metadata("more", Metadata::default()), None);
    assert_eq!(extras.set_metadata("1", Metadata::default()), None);
    let gauge = Metadata {
        kind: "gauge".to_owned(),
        ..Metadata::default()
    };
    assert_eq!(extras.set_metadata("1", gauge.clone()), Some(&gauge));
}
