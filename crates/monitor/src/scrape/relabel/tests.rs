//! What each action makes of labels.

use proptest::prelude::*;

use super::*;
use crate::scrape::tests::job;

fn set(text: &str) -> LabelSet {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').expect("a pair");
        (name.to_owned(), value.to_owned())
    };
    text.split(' ')
        .filter(|text| !text.is_empty())
        .map(pair)
        .collect()
}

/// The labels after these rules; nothing when they are dropped.
fn relabelled(rules: &str, labels: &str) -> Option<LabelSet> {
    let job = job(&format!("relabel_configs: [{rules}]"));
    let mut labels = set(labels);
    apply(&job.relabel, &mut labels).then_some(labels)
}

#[test]
fn each_action_does_its_own() {
    let before = "a=foo b=bar c=baz";
    let cases = [
        (
            "{source_labels: [a], regex: 'f(.*)', target_label: d, replacement: 'ch${1}-ch${1}'}",
            "a=foo b=bar c=baz d=choo-choo",
        ),
        (
            "{source_labels: [a, b], regex: 'f(.*);(.*)r', target_label: a, replacement: 'b${1}${2}m'}",
            "a=boobam b=bar c=baz",
        ),
        ("{source_labels: [a], regex: 'o', target_label: d}", before),
        (
            "{source_labels: [a], target_label: b, replacement: ''}",
            "a=foo c=baz",
        ),
        ("{target_label: d, replacement: x}", "a=foo b=bar c=baz d=x"),
        (
            "{source_labels: [a, b], separator: '-', target_label: d}",
            "a=foo b=bar c=baz d=foo-bar",
        ),
        (
            "{source_labels: [a, b], separator: '', target_label: d}",
            "a=foo b=bar c=baz d=foobar",
        ),
        (
            "{source_labels: [a], regex: '(f)(.*)', target_label: 'x_${1}', replacement: '$2'}",
            "a=foo b=bar c=baz x_f=oo",
        ),
        (
            "{source_labels: [a], regex: 'f(?P<rest>.*)', target_label: d, replacement: '$rest$$'}",
            "a=foo b=bar c=baz d=oo$",
        ),
        (
            "{source_labels: [a], regex: 'no', target_label: d, replacement: x}",
            before,
        ),
        (
            "{source_labels: [a], target_label: d, replacement: '$7x'}",
            before,
        ),
        ("{regex: '(b|c)', action: labeldrop}", "a=foo"),
        ("{regex: '(b|c)', action: labelkeep}", "b=bar c=baz"),
        (
            "{regex: '(b|c)', replacement: 'my_$1', action: labelmap}",
            "a=foo b=bar c=baz my_b=bar my_c=baz",
        ),
        (
            "{source_labels: [a], target_label: d, action: uppercase}",
            "a=foo b=bar c=baz d=FOO",
        ),
        (
            "{source_labels: [a, b], target_label: a, action: Lowercase}",
            "a=foo;bar b=bar c=baz",
        ),
        (
            "{source_labels: [c], target_label: d, modulus: 1000, action: hashmod}",
            "a=foo b=bar c=baz d=976",
        ),
        (
            "{source_labels: [c], target_label: d, modulus: 1000, action: hashmod}, {source_labels: [d], regex: '976', target_label: d, replacement: seen}",
            "a=foo b=bar c=baz d=seen",
        ),
    ];
    for (rules, expected) in cases {
        assert_eq!(relabelled(rules, before), Some(set(expected)), "{rules}");
    }
}

#[test]
fn some_actions_drop() {
    let cases = [
        ("{source_labels: [a], regex: 'f.*', action: keep}", true),
        ("{source_labels: [a], regex: 'o', action: keep}", false),
        ("{source_labels: [a], regex: 'f.*', action: drop}", false),
        ("{source_labels: [a], regex: 'o', action: drop}", true),
        ("{source_labels: [none], regex: '', action: drop}", false),
        ("{source_labels: [a], action: drop}", false),
        (
            "{source_labels: [a], target_label: b, action: keepequal}",
            false,
        ),
        (
            "{source_labels: [a], target_label: c, action: keepequal}",
            true,
        ),
        (
            "{source_labels: [a], target_label: c, action: dropequal}",
            false,
        ),
        (
            "{source_labels: [a], target_label: b, action: dropequal}",
            true,
        ),
    ];
    for (rules, is_kept) in cases {
        let kept = relabelled(rules, "a=foo b=bar c=foo");
        assert_eq!(kept.is_some(), is_kept, "{rules}");
    }
}

#[test]
fn names_that_are_not_allowed_are_not_written() {
    let rule = "{source_labels: [a], target_label: '${1}', replacement: x}";
    let job = job(&format!(
        "metric_name_validation_scheme: legacy\nrelabel_configs: [{rule}]"
    ));
    let mut labels = set("a=b.c");
    assert!(apply(&job.relabel, &mut labels));
    assert_eq!(labels, set("a=b.c"));
    assert_eq!(relabelled(rule, "a=b.c"), Some(set("a=b.c b.c=x")));
}

proptest! {
    /// The default pattern, which is not run, gives what its spelled-out twin gives.
    #[test]
    fn the_default_pattern_is_like_any_other(value in "[a-z\n$]{0,5}", template in "(\\$1|\\$\\{1\\}|x|\\$2){1,3}") {
        let rule = |pattern| Rule {
            source_labels: vec!["a".to_owned()],
            separator: DEFAULT_SEPARATOR.to_owned(),
            pattern,
            modulus: 0,
            target_label: "b".to_owned(),
            replacement: template.clone(),
            action: Action::Replace,
            validation: Validation::Utf8,
        };
        let twin = Pattern::new("((?s).*)").expect("a pattern");
        let mut results = [Pattern::default(), twin].map(|pattern| {
            let mut labels = LabelSet::from([("a".to_owned(), value.clone())]);
            apply(&[rule(pattern)], &mut labels);
            labels
        });
        let last = std::mem::take(&mut results[1]);
        prop_assert_eq!(&results[0], &last);
    }
}
