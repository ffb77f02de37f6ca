//! From what discovery found to a target: labels that the job adds, its rules, and the URL.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use url::Url;

use super::config::JobConfig;
use super::config::values::{format_duration, parse_duration};
use super::relabel::{LabelSet, apply};

/// The address of a target.
pub(crate) const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const METRICS_PATH: &str = "__metrics_path__";
const SCRAPE_INTERVAL: &str = "__scrape_interval__";
const SCRAPE_TIMEOUT: &str = "__scrape_timeout__";
const PARAMETER_PREFIX: &str = "__param_";
const META_PREFIX: &str = "__meta_";
/// Labels with this prefix don't reach series.
const HIDDEN_PREFIX: &str = "__";
const JOB: &str = "job";
const INSTANCE: &str = "instance";

/// Something to scrape. Two are the same when their series and their URL are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    /// Labels of its series.
    pub(crate) labels: LabelSet,
    /// Where its page is.
    pub(crate) url: String,
    /// How often it is scraped.
    pub(crate) interval: Duration,
    /// How long a scrape may take.
    pub(crate) timeout: Duration,
}

/// What became of what was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// A target.
    Target(Target),
    /// The rules drop it; with the labels before them.
    Dropped,
}

/// The labels of what was found before the rules: what the job says where discovery says nothing.
pub(crate) fn with_defaults(mut found: LabelSet, job: &JobConfig) -> LabelSet {
    let defaults = [
        (JOB, job.name.clone()),
        (SCRAPE_INTERVAL, format_duration(job.scrape_interval)),
        (SCRAPE_TIMEOUT, format_duration(job.scrape_timeout)),
        (METRICS_PATH, job.metrics_path.clone()),
        (SCHEME, job.scheme.clone()),
    ];
    let parameters = job.params.iter().filter_map(|(name, values)| {
        let value = values.first()?;
        Some((format!("{PARAMETER_PREFIX}{name}"), value.clone()))
    });
    let defaults = defaults.map(|(name, value)| (name.to_owned(), value));
    for (name, value) in defaults.into_iter().chain(parameters) {
        let known = found.entry(name).or_default();
        if known.is_empty() {
            *known = value;
        }
    }
    found.retain(|_, value| !value.is_empty());
    found
}

/// Makes a target of what [`with_defaults`] gave.
///
/// # Errors
/// Why it can be none, as a sentence.
pub(crate) fn make(found: &LabelSet, job: &JobConfig) -> Result<Made, String> {
    let mut labels = found.clone();
    if !apply(&job.relabel, &mut labels) {
        return Ok(Made::Dropped);
    }
    let address = labels.get(ADDRESS).cloned().unwrap_or_default();
    if address.is_empty() {
        return Err("no address: the rules left `__address__` empty".to_owned());
    }
    if address.contains(['/', '@']) {
        let shown = address.escape_debug();
        return Err(format!("`{shown}` is no address: write host:port"));
    }
    let (interval, timeout) = times(&labels)?;
    let url = url(&labels, &address, job)?;
    labels.retain(|name, _| !name.starts_with(META_PREFIX));
    labels.entry(INSTANCE.to_owned()).or_insert(address);
    labels.retain(|name, _| !name.starts_with(HIDDEN_PREFIX));
    Ok(Made::Target(Target {
        labels,
        url,
        interval,
        timeout,
    }))
}

fn times(labels: &LabelSet) -> Result<(Duration, Duration), String> {
    let read = |name: &str| {
        let text = labels.get(name).map_or("", String::as_str);
        let found = parse_duration(text).filter(|duration| !duration.is_zero());
        found.ok_or_else(|| format!("`{name}` is no duration above 0: `{}`", text.escape_debug()))
    };
    let (interval, timeout) = (read(SCRAPE_INTERVAL)?, read(SCRAPE_TIMEOUT)?);
    if timeout > interval {
        return Err(format!(
            "the timeout of {} is longer than the interval of {}",
            format_duration(timeout),
            format_duration(interval)
        ));
    }
    Ok((interval, timeout))
}

fn url(labels: &LabelSet, address: &str, job: &JobConfig) -> Result<String, String> {
    let value = |name: &str| labels.get(name).map_or("", String::as_str);
    let scheme = value(SCHEME);
    if !matches!(scheme, "http" | "https") {
        return Err(format!("`{}` is no scheme", scheme.escape_debug()));
    }
    let wrong = |_| format!("`{}` is no address", address.escape_debug());
    let mut url = Url::parse(&format!("{scheme}://{address}")).map_err(wrong)?;
    url.set_path(value(METRICS_PATH));
    let mut parameters = job.params.clone();
    for (name, value) in labels {
        if let Some(name) = name.strip_prefix(PARAMETER_PREFIX) {
            let values = parameters.entry(name.to_owned()).or_default();
            match values.first_mut() {
                Some(first) => first.clone_from(value),
                None => values.push(value.clone()),
            }
        }
    }
    if !parameters.is_empty() {
        let mut query = url.query_pairs_mut();
        for (name, values) in &parameters {
            for value in values {
                query.append_pair(name, value);
            }
        }
    }
    Ok(url.into())
}

impl Target {
    /// When its scrapes begin within the interval: always the same for the same target, and spread
    /// over all of them.
    pub(crate) fn offset(&self) -> Duration {
        let mut hasher = DefaultHasher::new();
        (&self.labels, &self.url).hash(&mut hasher);
        let interval = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(hasher.finish() % interval.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrape::tests::job;

    fn set(pairs: &[(&str, &str)]) -> LabelSet {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(pair).collect()
    }

    fn made(job: &JobConfig, pairs: &[(&str, &str)]) -> Result<Made, String> {
        make(&with_defaults(set(pairs), job), job)
    }

    #[test]
    fn the_probe_idiom_makes_the_url_of_the_exporter() {
        let job = job("metrics_path: /probe
params: {module: [http_2xx, x], target: ['']}
relabel_configs:
  - {source_labels: [__address__], target_label: __param_target}
  - {source_labels: [__param_target], target_label: instance}
  - {target_label: __address__, replacement: '127.0.0.1:9115'}");
        let Ok(Made::Target(target)) = made(&job, &[(ADDRESS, "a b.example"), ("__meta_x", "y")])
        else {
            panic!("a target");
        };
        assert_eq!(
            target.url,
            "http://127.0.0.1:9115/probe?module=http_2xx&module=x&target=a+b.example"
        );
        let expected = set(&[("instance", "a b.example"), ("job", "job")]);
        assert_eq!(target.labels, expected);
    }

    #[test]
    fn rules_drop_and_change_times() {
        let job = job("relabel_configs:
  - {source_labels: [gone], regex: 'yes', action: drop}
  - {source_labels: [every], regex: '(.+)', target_label: __scrape_interval__}");
        assert_eq!(
            made(&job, &[(ADDRESS, "a"), ("gone", "yes")]),
            Ok(Made::Dropped)
        );
        let Ok(Made::Target(target)) = made(&job, &[(ADDRESS, "a:1"), ("every", "20s")]) else {
            panic!("a target");
        };
        assert_eq!(target.interval, Duration::from_secs(20));
        assert!(target.offset() < target.interval);
        for pairs in [
            [(ADDRESS, "a"), ("every", "1s")],
            [(ADDRESS, "a"), ("every", "x")],
            [(ADDRESS, "http://a/"), ("x", "")],
            [(ADDRESS, ""), ("x", "")],
            [(ADDRESS, "a b:x:"), ("x", "")],
            [(ADDRESS, "a"), ("__scheme__", "ftp")],
        ] {
            assert!(made(&job, &pairs).is_err(), "{pairs:?}");
        }
    }
}
