//! One entry of `scrape_configs`.

use std::collections::BTreeMap;
use std::time::Duration;

use base::config::{Field, Section};

use super::discovery::Discovery;
use super::global::Global;
use super::http::HttpOptions;
use super::values::{flag, integer, interval, item, number, size, text, texts};
use super::{Reading, discovery, relabel};
use crate::scrape::relabel::Rule;

/// One entry of `scrape_configs`.
#[derive(Debug, Clone, PartialEq)]
pub struct JobConfig {
    /// `job_name`.
    pub name: String,
    /// How often its targets are scraped.
    pub scrape_interval: Duration,
    /// How long a scrape may take.
    pub scrape_timeout: Duration,
    /// Formats to ask for, the preferred ones first.
    pub protocols: Vec<Protocol>,
    /// The format of a page whose type is unknown.
    pub fallback: Option<Protocol>,
    /// `metrics_path`.
    pub metrics_path: String,
    /// `http` or `https`.
    pub scheme: String,
    /// Parameters of the URL.
    pub params: BTreeMap<String, Vec<String>>,
    /// A page's labels win over the target's.
    pub honor_labels: bool,
    /// A page's time stamps are kept.
    pub honor_timestamps: bool,
    /// Series with time stamps of their own end as others do.
    pub track_timestamps_staleness: bool,
    /// Whether pages may come packed.
    pub enable_compression: bool,
    /// How requests go out.
    pub http: HttpOptions,
    /// Where targets come from.
    pub discovery: Vec<Discovery>,
    /// What becomes of targets.
    pub relabel: Vec<Rule>,
    /// What becomes of series.
    pub metric_relabel: Vec<Rule>,
    /// Bounds.
    pub limits: Limits,
    /// Which names are allowed.
    pub validation: Validation,
    /// How other names are asked to be written.
    pub escaping: Escaping,
    /// What becomes of histograms.
    pub histograms: Histograms,
    /// Whether a scrape has three more series about itself.
    pub extra_metrics: bool,
}

impl JobConfig {
    /// A job with no key but its name.
    pub(crate) fn plain(name: &str, global: &Global) -> Self {
        Self {
            name: name.to_owned(),
            scrape_interval: global.scrape_interval,
            scrape_timeout: global.scrape_timeout,
            protocols: default_protocols(&global.histograms),
            fallback: None,
            metrics_path: "/metrics".to_owned(),
            scheme: "http".to_owned(),
            params: BTreeMap::new(),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            enable_compression: true,
            http: HttpOptions::default(),
            discovery: Vec::new(),
            relabel: Vec::new(),
            metric_relabel: Vec::new(),
            limits: global.limits,
            validation: global.validation,
            escaping: inherited(global, global.validation),
            histograms: global.histograms,
            extra_metrics: global.extra_metrics,
        }
    }
}

/// A format to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Protocol buffers.
    Proto,
    /// OpenMetrics 0.0.1.
    OpenMetrics001,
    /// OpenMetrics 1.0.0.
    OpenMetrics100,
    /// Prometheus' text 0.0.4.
    Text004,
    /// Prometheus' text 1.0.0.
    Text100,
}

/// Formats as the configuration names them.
const PROTOCOLS: [(&str, Protocol); 5] = [
    ("PrometheusProto", Protocol::Proto),
    ("OpenMetricsText0.0.1", Protocol::OpenMetrics001),
    ("OpenMetricsText1.0.0", Protocol::OpenMetrics100),
    ("PrometheusText0.0.4", Protocol::Text004),
    ("PrometheusText1.0.0", Protocol::Text100),
];

/// What is asked for when the configuration says nothing.
const DEFAULT_PROTOCOLS: [Protocol; 4] = [
    Protocol::OpenMetrics100,
    Protocol::OpenMetrics001,
    Protocol::Text100,
    Protocol::Text004,
];

/// Which names of metrics and labels are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Validation {
    /// Any text.
    #[default]
    Utf8,
    /// Letters, digits, underscores, in metrics colons.
    Legacy,
}

impl Validation {
    /// Whether this is the name of a label.
    pub fn allows_label(self, name: &str) -> bool {
        match self {
            Self::Utf8 => !name.is_empty(),
            Self::Legacy => is_name(name, false),
        }
    }

    /// Whether this is the name of a metric.
    pub fn allows_metric(self, name: &str) -> bool {
        match self {
            Self::Utf8 => !name.is_empty(),
            Self::Legacy => is_name(name, true),
        }
    }
}

fn is_name(name: &str, with_colon: bool) -> bool {
    let is_letter =
        |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || (with_colon && byte == b':');
    let mut bytes = name.bytes();
    bytes.next().is_some_and(is_letter)
        && bytes.all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

/// How names that are not allowed are asked to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escaping {
    /// As they are.
    AllowUtf8,
    /// With underscores.
    Underscores,
    /// With `_dot_`.
    Dots,
    /// With the numbers of letters.
    Values,
}

impl Escaping {
    /// Its word in a header.
    pub fn word(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }
}

/// Bounds of a scrape; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes of a page.
    pub body_bytes: u64,
    /// Samples of a page, after relabelling.
    pub samples: u64,
    /// Labels of a series.
    pub labels: u64,
    /// Bytes of a label's name.
    pub label_name_bytes: u64,
    /// Bytes of a label's value.
    pub label_value_bytes: u64,
    /// Targets of a job.
    pub targets: u64,
    /// Dropped targets that are kept to be shown; 0 is all.
    pub keep_dropped_targets: u64,
}

/// What becomes of histograms.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Histograms {
    /// Native ones are taken.
    pub scrape_native: bool,
    /// Classic ones become native ones with the same bounds.
    pub convert_classic: bool,
    /// Classic ones are kept beside native ones.
    pub always_classic: bool,
    /// Buckets of a native one; 0 is no limit.
    pub bucket_limit: u64,
    /// The smallest growth from bucket to bucket; 0 is no limit.
    pub min_bucket_factor: f64,
}

impl Limits {
    pub(super) fn read(section: &mut Section<'_>, default: Self) -> Self {
        let body = section.optional("body_size_limit");
        let body = body.and_then(|field| size(&field));
        let mut limit = |key, default| integer(section, key).unwrap_or(default);
        Self {
            body_bytes: body.unwrap_or(default.body_bytes),
            samples: limit("sample_limit", default.samples),
            labels: limit("label_limit", default.labels),
            label_name_bytes: limit("label_name_length_limit", default.label_name_bytes),
            label_value_bytes: limit("label_value_length_limit", default.label_value_bytes),
            targets: limit("target_limit", default.targets),
            keep_dropped_targets: limit("keep_dropped_targets", default.keep_dropped_targets),
        }
    }
}

impl Histograms {
    pub(super) fn read(section: &mut Section<'_>, default: Self) -> Self {
        let factor = section.optional("native_histogram_min_bucket_factor");
        let factor = factor.and_then(|field| number(&field));
        let limit = integer(section, "native_histogram_bucket_limit");
        Self {
            scrape_native: flag(section, "scrape_native_histograms", default.scrape_native),
            convert_classic: flag(
                section,
                "convert_classic_histograms_to_nhcb",
                default.convert_classic,
            ),
            always_classic: flag(
                section,
                "always_scrape_classic_histograms",
                default.always_classic,
            ),
            bucket_limit: limit.unwrap_or(default.bucket_limit),
            min_bucket_factor: factor.unwrap_or(default.min_bucket_factor),
        }
    }
}

/// `metric_name_validation_scheme`, when it is given.
pub(super) fn validation(section: &mut Section<'_>) -> Option<Validation> {
    let field = section.optional("metric_name_validation_scheme")?;
    field.choice(&[("utf8", Validation::Utf8), ("legacy", Validation::Legacy)])
}

/// `metric_name_escaping_scheme`, when it is given.
pub(super) fn escaping(section: &mut Section<'_>, validation: Validation) -> Option<Escaping> {
    let field = section.optional("metric_name_escaping_scheme")?;
    let escaping = field.choice(&[
        ("allow-utf-8", Escaping::AllowUtf8),
        ("underscores", Escaping::Underscores),
        ("dots", Escaping::Dots),
        ("values", Escaping::Values),
    ])?;
    if validation == Validation::Legacy && escaping == Escaping::AllowUtf8 {
        let message = "names in UTF-8 are asked for, and `legacy` names only are allowed";
        field.error(message, None);
    }
    Some(escaping)
}

/// `scrape_protocols`.
pub(super) fn protocols(field: &Field<'_>) -> Option<Vec<Protocol>> {
    let mut seen = Vec::new();
    let read = field.list(|item| {
        let protocol = item.choice(&PROTOCOLS);
        if protocol.is_some_and(|protocol| seen.contains(&protocol)) {
            item.error("this format is here twice", None);
        }
        seen.extend(protocol);
        Some(())
    })?;
    if read.is_empty() {
        field.error("at least one format is needed", None);
    }
    Some(seen)
}

/// Reads an entry.
pub(super) fn read(field: &Field<'_>, global: &Global, reading: &Reading) -> Option<JobConfig> {
    let mut section = item(field, "job")?;
    let name = section.required("job_name").and_then(|field| field.text());
    let name = name.unwrap_or_default();
    let (scrape_interval, scrape_timeout) = times(&mut section, global);
    let validation = validation(&mut section).unwrap_or(global.validation);
    let escaping = escaping(&mut section, validation);
    let histograms = Histograms::read(&mut section, global.histograms);
    let own = section.optional("scrape_protocols");
    let own = own.and_then(|field| protocols(&field));
    let fallback = section.optional("fallback_scrape_protocol");
    let fallback = fallback.and_then(|field| field.choice(&PROTOCOLS));
    let metrics_path = text(&mut section, "metrics_path");
    let scheme = section.optional("scheme");
    let scheme = scheme.and_then(|field| {
        field.choice(&[("http", "http".to_owned()), ("https", "https".to_owned())])
    });
    let params = section.optional("params");
    let params = params.and_then(|field| field.entries(|_, values| texts(&values)));
    let mut rules = |key| {
        let field = section.optional(key);
        field.and_then(|field| relabel::read(&field, validation))
    };
    let (targets, series) = (rules("relabel_configs"), rules("metric_relabel_configs"));
    let honor_timestamps = flag(&mut section, "honor_timestamps", true);
    let job = JobConfig {
        scrape_interval,
        scrape_timeout,
        protocols: own
            .or_else(|| global.protocols.clone())
            .unwrap_or_else(|| default_protocols(&histograms)),
        fallback,
        metrics_path: metrics_path.unwrap_or_else(|| "/metrics".to_owned()),
        scheme: scheme.unwrap_or_else(|| "http".to_owned()),
        params: params.unwrap_or_default().into_iter().collect(),
        honor_labels: flag(&mut section, "honor_labels", false),
        honor_timestamps,
        track_timestamps_staleness: flag(&mut section, "track_timestamps_staleness", false),
        enable_compression: flag(&mut section, "enable_compression", true),
        http: HttpOptions::read(&mut section, reading),
        discovery: discovery::read(&mut section, reading),
        relabel: targets.unwrap_or_default(),
        metric_relabel: series.unwrap_or_default(),
        limits: Limits::read(&mut section, global.limits),
        validation,
        escaping: escaping.unwrap_or_else(|| inherited(global, validation)),
        histograms,
        extra_metrics: flag(&mut section, "extra_scrape_metrics", global.extra_metrics),
        name,
    };
    if let Some(field) = section.optional("scrape_failure_log_file") {
        field.warning("it is not used by this program", Some("see its own log"));
    }
    section.finish();
    Some(job)
}

/// Native histograms come in protocol buffers only, so these are asked for first.
fn default_protocols(histograms: &Histograms) -> Vec<Protocol> {
    let native = histograms.scrape_native.then_some(Protocol::Proto);
    native.into_iter().chain(DEFAULT_PROTOCOLS).collect()
}

fn inherited(global: &Global, validation: Validation) -> Escaping {
    match (global.escaping, validation) {
        (Some(Escaping::AllowUtf8) | None, Validation::Legacy) => Escaping::Underscores,
        (Some(escaping), _) => escaping,
        (None, Validation::Utf8) => Escaping::AllowUtf8,
    }
}

fn times(section: &mut Section<'_>, global: &Global) -> (Duration, Duration) {
    let own = section.optional("scrape_interval");
    let own = own.and_then(|field| interval(&field));
    let scrape_interval = own.unwrap_or(global.scrape_interval);
    let field = section.optional("scrape_timeout");
    match field.and_then(|field| interval(&field).map(|timeout| (field, timeout))) {
        Some((field, timeout)) => {
            if timeout > scrape_interval {
                field.error("the timeout is longer than the interval", None);
            }
            (scrape_interval, timeout)
        }
        None => (scrape_interval, global.scrape_timeout.min(scrape_interval)),
    }
}
