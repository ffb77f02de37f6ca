//! A reader of Prometheus text for assertions. Deliberately not the product's parser: it is small,
//! strict about what the tests look at, and independent.

use std::collections::{BTreeMap, BTreeSet};

/// One sample line.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Metric name.
    pub name: String,
    /// Labels, unescaped.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// All samples of a page. Panics on a line that it cannot read.
pub fn samples(page: &str) -> Vec<Sample> {
    let lines = page
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(sample).collect()
}

/// The value of the one sample with this name that has at least these labels.
pub fn value(page: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let matches = |sample: &Sample| {
        let has = |(key, value): &(&str, &str)| {
            sample.labels.get(*key).is_some_and(|found| found == value)
        };
        sample.name == name && labels.iter().all(has)
    };
    samples(page)
        .into_iter()
        .find(matches)
        .map(|sample| sample.value)
}

/// The counters (`…_total`) with this prefix that are higher in `after` than in `before`.
pub fn grown(before: &str, after: &str, prefix: &str) -> Vec<String> {
    let key = |sample: &Sample| (sample.name.clone(), sample.labels.clone());
    let old: BTreeMap<_, _> = samples(before).iter().map(|s| (key(s), s.value)).collect();
    let counts = samples(after).into_iter().filter(|sample| {
        let before = old.get(&key(sample)).copied().unwrap_or(0.0);
        sample.name.starts_with(prefix) && sample.name.ends_with("_total") && sample.value > before
    });
    counts
        .map(|sample| format!("{}{:?}", sample.name, sample.labels))
        .collect()
}

/// Fails when a family has two HELP or TYPE lines, or samples in two places.
pub fn assert_families_whole(page: &str) {
    let mut seen = BTreeSet::new();
    for line in page
        .lines()
        .filter(|line| line.starts_with("# HELP") || line.starts_with("# TYPE"))
    {
        let head: Vec<&str> = line.splitn(4, ' ').take(3).collect();
        assert!(
            seen.insert(head.join(" ")),
            "twice in one page: {}\n{page}",
            head.join(" ")
        );
    }
    let mut finished = BTreeSet::new();
    let mut current = String::new();
    for sample in samples(page) {
        if sample.name != current {
            assert!(
                finished.insert(sample.name.clone()),
                "split family {}\n{page}",
                sample.name
            );
            current = sample.name;
        }
    }
}

/// Reads one sample line.
fn sample(line: &str) -> Sample {
    let broken = || -> ! { panic!("not a sample line: {line:?}") };
    let Some(split) = line.find(['{', ' ']) else {
        broken()
    };
    let (name, rest) = line.split_at(split);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => read_labels(rest, line),
        None => (BTreeMap::new(), rest),
    };
    let word = rest.split_whitespace().next().unwrap_or_default();
    let value = match word {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        word => word.parse().unwrap_or_else(|_| broken()),
    };
    Sample {
        name: name.to_owned(),
        labels,
        value,
    }
}

/// Reads `a="b",…}` and gives what follows.
fn read_labels<'a>(text: &'a str, line: &str) -> (BTreeMap<String, String>, &'a str) {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return (labels, after);
        }
        let Some((name, after)) = rest.split_once("=\"") else {
            panic!("bad labels: {line:?}")
        };
        let mut value = String::new();
        let mut characters = after.char_indices();
        rest = loop {
            match characters.next() {
                Some((at, '"')) => break after.get(at + 1..).unwrap_or_default(),
                Some((_, '\\')) => match characters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, other)) => value.push(other),
                    None => panic!("bad escape: {line:?}"),
                },
                Some((_, other)) => value.push(other),
                None => panic!("open quote: {line:?}"),
            }
        };
        assert!(
            labels.insert(name.to_owned(), value).is_none(),
            "label twice: {line:?}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_labels_escapes_and_values() {
        let page = "# HELP a b\n# TYPE a gauge\na{x=\"q\\\"\\\\\\n\",y=\"2\"} 1 5\nb +Inf\n";
        assert_eq!(value(page, "a", &[("x", "q\"\\\n")]), Some(1.0));
        assert_eq!(value(page, "b", &[]), Some(f64::INFINITY));
        assert_families_whole(page);
    }

    #[test]
    fn sees_what_grew() {
        let grown = grown("a_total 1\nb_total 2\n", "a_total 1\nb_total 3\nc 9\n", "");
        assert_eq!(grown, vec!["b_total{}".to_owned()]);
    }
}
