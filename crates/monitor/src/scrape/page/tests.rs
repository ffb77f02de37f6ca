//! Pages against the cache: what is found again, what ends, and what it is called.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::scrape::tests::job;

const TEXT: PageFormat = PageFormat::Lines(Format::Text);

fn target() -> LabelSet {
    [("job", "j"), ("instance", "i")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// A page into the cache, as a commit does it: the series on it, those that ended and the number of
/// new ones.
fn take(
    pages: &mut Pages,
    job: &JobConfig,
    body: &str,
) -> (BTreeSet<String>, BTreeSet<String>, usize) {
    let (batch, read) = pages.read((body.as_bytes(), TEXT), (job, &target()), 1);
    read.unwrap_or_else(|error| panic!("{error}\n{body}"));
    let place = |row: &Row| {
        pages
            .cache
            .get(row.place)?
            .labels
            .as_ref()
            .map(ToString::to_string)
    };
    let seen = batch.rows.iter().filter_map(place).collect();
    let ended = pages.cache.vanished(false);
    let ended = ended.iter().map(|(labels, _)| labels.to_string()).collect();
    let places = batch.rows.iter().map(|row| (row.place, None));
    pages.cache.commit(places);
    (seen, ended, batch.added)
}

fn named(names: &[&str]) -> BTreeSet<String> {
    let name = |name: &&str| format!("{{__name__={name:?}, instance=\"i\", job=\"j\"}}");
    names.iter().map(name).collect()
}

#[test]
fn series_come_go_and_come_back() {
    let (mut pages, job) = (Pages::default(), job(""));
    let mut next = |body| take(&mut pages, &job, body);
    assert_eq!(next("a 1\nb 1\n"), (named(&["a", "b"]), named(&[]), 2));
    assert_eq!(next("b 1\na 1\n"), (named(&["a", "b"]), named(&[]), 0));
    assert_eq!(next("b 1\nc 1\n"), (named(&["b", "c"]), named(&["a"]), 1));
    assert_eq!(next("c 1\na 1\n"), (named(&["a", "c"]), named(&["b"]), 1));
    assert_eq!(next(""), (named(&[]), named(&["a", "c"]), 0));
    assert_eq!(next(""), (named(&[]), named(&[]), 0));
}

#[test]
fn series_with_times_of_their_own_end_by_them_unless_it_is_asked_for() {
    let tracked = job("track_timestamps_staleness: true");
    let ignored = job("honor_timestamps: false");
    for (job, ended) in [(job(""), 0), (tracked, 1), (ignored, 1)] {
        let mut pages = Pages::default();
        take(&mut pages, &job, "a 1 1000\n");
        assert_eq!(take(&mut pages, &job, "b 1\n").1.len(), ended);
    }
}

#[test]
fn two_spellings_of_a_series_are_one() {
    let (mut pages, job) = (Pages::default(), job(""));
    take(&mut pages, &job, "a 1\n");
    let (_, ended, _) = take(&mut pages, &job, "a{} 1\n");
    assert_eq!(ended, named(&[]));
    let (_, ended, _) = take(&mut pages, &job, "b 1\n");
    assert_eq!(ended, named(&["a"]));
}

#[test]
fn a_page_that_is_given_up_ends_what_was_there() {
    let (mut pages, job) = (Pages::default(), job(""));
    take(&mut pages, &job, "a 1\nb 1\n");
    let (_, read) = pages.read((b"a 1\nc 1\n{", TEXT), (&job, &target()), 2);
    assert!(read.is_err());
    let ended = pages.cache.vanished(true);
    let ended: BTreeSet<String> = ended.iter().map(|(labels, _)| labels.to_string()).collect();
    // `c` is new on it and never was in the store.
    assert_eq!(ended, named(&["a", "b"]).into_iter().collect());
    pages.cache.give_up();
    assert!(pages.cache.vanished(true).is_empty());
    assert_eq!(take(&mut pages, &job, "b 1\n").1, named(&[]));
}

#[test]
fn the_cache_forgets_what_is_long_gone() {
    let (mut pages, job) = (Pages::default(), job(""));
    for round in 0..20 {
        let lines = (0..500).map(|at| format!("a_{round}_{at} 1\n"));
        let body: String = std::iter::once("stays 1\n".to_owned())
            .chain(lines)
            .collect();
        let (seen, ended, _) = take(&mut pages, &job, &body);
        assert_eq!(
            (seen.len(), ended.len()),
            (501, if round == 0 { 0 } else { 500 })
        );
        assert!(pages.cache.len() <= 501 * 2 + 1_000);
    }
}

#[test]
fn bounds_and_quantiles_have_one_spelling() {
    let (mut pages, job) = (Pages::default(), job(""));
    let body = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1e6\"} 1\n\
                h_bucket{le=\"+Inf\"} 1\nh_bucket{le=\"x\"} 1\n\
                # TYPE s summary\ns{quantile=\"0.50\"} 1\n# TYPE g gauge\ng{le=\"1\"} 1\n";
    let (seen, _, _) = take(&mut pages, &job, body);
    let value = |labels: &String| {
        let value = labels.split("le=\"").nth(1)?.split('"').next()?;
        Some(value.to_owned())
    };
    let values: BTreeSet<String> = seen.iter().filter_map(value).collect();
    let expected = ["+Inf", "0.5", "1", "1.0", "1e+06", "x"];
    assert_eq!(values, expected.map(str::to_owned).into());
}

#[test]
fn labels_of_page_and_target_meet() {
    let pairs = |text: &str| -> LabelSet {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').expect("a pair");
            (name.to_owned(), value.to_owned())
        };
        text.split(' ').map(pair).collect()
    };
    let cases = [
        ("a=1", "b=2", false, "a=1 b=2"),
        ("a=1", "a=2", false, "a=2 exported_a=1"),
        ("a=1", "a=2", true, "a=1"),
        ("a=", "a=2", true, "b=3"),
        (
            "a=1 exported_a=3",
            "a=2",
            false,
            "a=2 exported_a=3 exported_exported_a=1",
        ),
        (
            "a=1 exported_a=3",
            "a=2 exported_a=4",
            false,
            "a=2 exported_a=4 exported_exported_a=1 exported_exported_exported_a=3",
        ),
    ];
    for (own, target, honor, expected) in cases {
        let mut found = merged(pairs(own), &pairs(target), honor);
        if own == "a=" {
            found.insert("b".to_owned(), "3".to_owned());
        }
        assert_eq!(found, pairs(expected), "{own} {target} {honor}");
    }
}

#[test]
fn rules_drop_and_rename_series() {
    let (mut pages, job) = (
        Pages::default(),
        job("metric_relabel_configs:
  - {source_labels: [__name__], regex: 'go_.*', action: drop}
  - {source_labels: [__name__], regex: 'old_(.*)', target_label: __name__, replacement: 'new_$1'}
  - {regex: 'job|instance', action: labeldrop}"),
    );
    for _ in 0..2 {
        let (seen, ended, _) = take(&mut pages, &job, "go_a 1\nold_b 2\nc{x=\"y\"} 3\n");
        let expected = ["{__name__=\"c\", x=\"y\"}", "{__name__=\"new_b\"}"];
        assert_eq!(seen, expected.map(str::to_owned).into());
        assert!(ended.is_empty());
    }
}

proptest! {
    /// Whatever pages come one after the other, series begin and end as a plain comparison says.
    #[test]
    fn ends_are_those_of_a_plain_comparison(
        pages_of in prop::collection::vec(prop::collection::vec((0..6_u8, any::<bool>()), 0..8), 1..12)
    ) {
        let (mut pages, job) = (Pages::default(), job(""));
        let mut before: BTreeMap<String, bool> = BTreeMap::new();
        for lines in pages_of {
            let now: BTreeMap<String, bool> = lines
                .iter()
                .map(|(at, spelled)| (format!("m{at}"), *spelled))
                .collect();
            let mut body = String::new();
            for (name, spelled) in &now {
                body.extend([name.as_str(), if *spelled { "{}" } else { "" }, " 1\n"]);
            }
            let (seen, ended, _) = take(&mut pages, &job, &body);
            let names = |all: &BTreeMap<String, bool>| {
                let all: Vec<&str> = all.keys().map(String::as_str).collect();
                named(&all)
            };
            prop_assert_eq!(&seen, &names(&now));
            let expected: BTreeSet<String> = names(&before).difference(&names(&now)).cloned().collect();
            prop_assert_eq!(ended, expected);
            before = now;
        }
    }
}
