//! Pages with classic histograms, and what is made of them.

use std::collections::BTreeMap;

use signals::Histogram;
use wire::exposition::Format;

use super::super::{Batch, PageFormat, Pages};
use super::*;
use crate::scrape::config::JobConfig;
use crate::scrape::tests::job;

/// A page into the cache: all rows by their series, and the batch.
fn take(pages: &mut Pages, job: &JobConfig, body: &str) -> (BTreeMap<String, Value>, Batch) {
    let format = PageFormat::Lines(Format::OpenMetrics);
    let body = format!("{body}# EOF\n");
    let (batch, read) = pages.read((body.as_bytes(), format), (job, &LabelSet::new()), 1);
    read.unwrap_or_else(|error| panic!("{error}\n{body}"));
    let rows = batch.rows.iter().map(|row| {
        let known = pages.cache.get(row.place).expect("known");
        let labels = known.labels.as_ref().expect("labels").to_string();
        (labels, row.value.clone())
    });
    let rows = rows.collect();
    let places = batch.rows.iter().map(|row| (row.place, None));
    pages.cache.commit(places);
    (rows, batch)
}

fn histogram(value: &Value) -> &Histogram {
    match value {
        Value::Histogram(histogram) => histogram,
        Value::Float(value) => panic!("{value} is no histogram"),
    }
}

const PAGE: &str = "# TYPE g gauge\ng 1\n# TYPE h histogram\n\
    h_bucket{l=\"a\",le=\"0.5\"} 2 # {t=\"1\"} 0.25\nh_bucket{l=\"a\",le=\"1\"} 5\n\
    h_bucket{l=\"a\",le=\"+Inf\"} 6\nh_sum{l=\"a\"} 7.5\nh_count{l=\"a\"} 6\nh_created{l=\"a\"} 3\n\
    h_bucket{l=\"b\",le=\"+Inf\"} 1\nh_count{l=\"b\"} 1\nh_sum{l=\"b\"} 2\n\
    # TYPE s summary\ns_count 4\ns_sum 5\n";
const CONVERTS: &str = "convert_classic_histograms_to_nhcb: true";

#[test]
fn lines_become_one_sample() {
    let (mut pages, job) = (Pages::default(), job(CONVERTS));
    for round in 0..3 {
        let (rows, batch) = take(&mut pages, &job, PAGE);
        let names: Vec<&str> = rows.keys().map(String::as_str).collect();
        let expected = [
            "{__name__=\"g\"}",
            "{__name__=\"h\", l=\"a\"}",
            "{__name__=\"h\", l=\"b\"}",
            "{__name__=\"h_created\", l=\"a\"}",
            "{__name__=\"s_count\"}",
            "{__name__=\"s_sum\"}",
        ];
        assert_eq!(names, expected);
        assert_eq!(
            (batch.scraped, batch.added),
            (6, if round == 0 { 6 } else { 0 })
        );
        let found = histogram(&rows["{__name__=\"h\", l=\"a\"}"]);
        assert_eq!(found.schema, -53);
        assert_eq!(found.custom_bounds, [0.5, 1.0]);
        assert_eq!(found.positive, [2.0, 3.0, 1.0]);
        assert_eq!((found.count, found.sum, found.is_float), (6.0, 7.5, false));
        assert_eq!(batch.exemplars.len(), usize::from(round == 0));
        if let Some(exemplar) = batch.exemplars.first() {
            assert_eq!(exemplar.series.get("__name__"), "h");
        }
        assert!(pages.cache.vanished(false).is_empty());
        // From the second page on every line is the one that is expected.
        if round > 0 {
            let mut lines = PAGE.lines().filter(|line| !line.starts_with('#'));
            pages.cache.begin();
            let (_, raw) = pages.cache.expected();
            assert!(
                lines
                    .next()
                    .is_some_and(|line| line.as_bytes().starts_with(raw))
            );
        }
    }
    let (rows, _) = take(&mut pages, &job, "# TYPE h histogram\nh_count{l=\"a\"} 1\n");
    assert_eq!(rows.len(), 1);
    let (_, batch) = take(&mut pages, &job, "");
    assert!(batch.rows.is_empty());
}

#[test]
fn a_histogram_ends_as_any_series_does() {
    let (mut pages, job) = (Pages::default(), job(CONVERTS));
    take(&mut pages, &job, PAGE);
    let format = PageFormat::Lines(Format::OpenMetrics);
    let (_, read) = pages.read((b"# EOF\n", format), (&job, &LabelSet::new()), 2);
    read.expect("a page");
    let ended = pages.cache.vanished(false);
    let ended: Vec<String> = ended.iter().map(|(labels, _)| labels.to_string()).collect();
    assert_eq!(ended.len(), 6, "{ended:?}");
    assert!(ended.contains(&"{__name__=\"h\", l=\"b\"}".to_owned()));
}

#[test]
fn classic_ones_stay_where_they_are_wanted() {
    let both = format!("{CONVERTS}\nalways_scrape_classic_histograms: true");
    let (rows, batch) = take(&mut Pages::default(), &job(&both), PAGE);
    assert_eq!((rows.len(), batch.scraped), (14, 14));
    assert!(rows.contains_key("{__name__=\"h_bucket\", l=\"a\", le=\"0.5\"}"));
    histogram(&rows["{__name__=\"h\", l=\"a\"}"]);
}

#[test]
fn rules_apply_to_what_is_made() {
    let keys = format!(
        "{CONVERTS}\nmetric_relabel_configs: [{{source_labels: [__name__, l], regex: 'h;a', action: drop}}]"
    );
    let (rows, _) = take(&mut Pages::default(), &job(&keys), PAGE);
    assert!(rows.contains_key("{__name__=\"h\", l=\"b\"}"));
    assert!(!rows.contains_key("{__name__=\"h\", l=\"a\"}"));
    let limit = job(&format!("{CONVERTS}\nnative_histogram_bucket_limit: 2"));
    let format = PageFormat::Lines(Format::OpenMetrics);
    let page = format!("{PAGE}# EOF\n");
    let of = (&*limit, &LabelSet::new());
    let (_, read) = Pages::default().read((page.as_bytes(), format), of, 1);
    let error = read.expect_err("three buckets").to_string();
    assert!(error.contains("native_histogram_bucket_limit"), "{error}");
}

#[test]
fn numbers_that_make_no_histogram_give_none() {
    let classic = |buckets: &[(f64, f64)], count: Option<f64>| Classic {
        buckets: buckets.to_vec(),
        count,
        sum: 1.0,
    };
    let inf = f64::INFINITY;
    let cases = [
        (
            classic(&[(1.0, 3.0), (2.0, 2.0), (inf, 4.0)], Some(4.0)),
            None,
        ),
        (classic(&[(1.0, 3.0), (inf, 4.0)], Some(5.0)), None),
        (classic(&[(1.0, -1.0)], Some(1.0)), None),
        (classic(&[(1.0, f64::NAN)], Some(1.0)), None),
        (
            classic(&[(2.0, 4.0), (1.0, 3.0)], None),
            Some(vec![3.0, 1.0, 0.0]),
        ),
        (
            classic(&[(1.0, 3.0), (1.0, 9.0)], Some(4.0)),
            Some(vec![3.0, 1.0]),
        ),
        (classic(&[(1.0, 0.5)], Some(0.75)), Some(vec![0.5, 0.25])),
        (classic(&[], Some(2.0)), Some(vec![2.0])),
    ];
    for (classic, expected) in cases {
        let shown = format!("{classic:?}");
        let native = classic.native();
        assert_eq!(native.map(|native| native.positive), expected, "{shown}");
    }
}
