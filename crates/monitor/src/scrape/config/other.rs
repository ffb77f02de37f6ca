//! What a `prometheus.yml` says beside scraping: rules and alerts for later, OTLP, and what is not
//! for this program.

use base::config::{Field, Problem, Section, Severity, Value};
use std::path::PathBuf;
use std::time::Duration;

use super::global::Global;
use super::http::HttpOptions;
use super::job::Validation;
use super::relabel;
use super::values::{duration, flag, integer, item, number, size, text};
use super::{Discovery, Reading, discovery};
use crate::scrape::relabel::Rule;

/// `alerting`.
#[derive(Debug, Clone, PartialEq)]
pub struct Alerting {
    /// What becomes of alerts before they are sent.
    pub relabel: Vec<Rule>,
    /// Whom they are sent to.
    pub alertmanagers: Vec<Alertmanager>,
}

/// One entry of `alertmanagers`.
#[derive(Debug, Clone, PartialEq)]
pub struct Alertmanager {
    /// `http` or `https`.
    pub scheme: String,
    /// What stands before the API's paths.
    pub path_prefix: String,
    /// How long sending may take.
    pub timeout: Duration,
    /// How requests go out.
    pub http: HttpOptions,
    /// Where they are.
    pub discovery: Vec<Discovery>,
    /// What becomes of those that were found.
    pub relabel: Vec<Rule>,
    /// What becomes of alerts for them.
    pub alert_relabel: Vec<Rule>,
}

/// `otlp`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Otlp {
    /// Attributes of a resource that become labels.
    pub promote_resource_attributes: Vec<String>,
    /// All of them do.
    pub promote_all_resource_attributes: bool,
    /// Except these.
    pub ignore_resource_attributes: Vec<String>,
    /// How names become names of metrics.
    pub translation: Translation,
    /// Attributes that become `job` and `instance` stay in `target_info`.
    pub keep_identifying_resource_attributes: bool,
    /// Histograms become native ones with their own bounds.
    pub convert_histograms_to_nhcb: bool,
    /// Name, version and attributes of the scope become labels.
    pub promote_scope_metadata: bool,
}

/// How names become names of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Translation {
    /// Letters, digits and underscores, with units and kinds at the end.
    #[default]
    UnderscoresWithSuffixes,
    /// Letters, digits and underscores.
    Underscores,
    /// As they are, with units and kinds at the end.
    Utf8WithSuffixes,
    /// As they are.
    None,
}

/// Paths with `*` in the last part only.
fn has_wildcard_inside(path: &str) -> bool {
    path.find('*')
        .and_then(|at| path.get(at..))
        .is_some_and(|rest| rest.contains('/'))
}

/// `scrape_config_files`, each with the place where a problem of it is told.
pub(super) fn patterns(field: &Field<'_>) -> Option<Vec<(PathBuf, Problem)>> {
    field.list(|item| {
        let path = item.text()?;
        if has_wildcard_inside(&path) {
            item.error("`*` may stand in the last part only", None);
            return None;
        }
        let place = Problem {
            severity: Severity::Error,
            path: item.path.clone(),
            line: item.node.line,
            column: item.node.column,
            span: item.node.span.clone(),
            message: String::new(),
            help: None,
        };
        Some((item.context().resolve(&path), place))
    })
}

/// `rule_files`.
pub(super) fn rule_files(field: &Field<'_>) -> Option<Vec<String>> {
    let files = field.list(|item| {
        let path = item.text()?;
        if has_wildcard_inside(&path) {
            item.error("`*` may stand in the last part only", None);
        }
        Some(path)
    })?;
    if !files.is_empty() {
        let message = "rules are not evaluated by this version";
        field.warning(message, Some("the files are kept for one that does"));
    }
    Some(files)
}

/// `alerting`.
pub(super) fn alerting(field: &Field<'_>, reading: &Reading) -> Option<Alerting> {
    let mut section = field.section()?;
    let relabel = section.optional("alert_relabel_configs");
    let relabel = relabel.and_then(|field| relabel::read(&field, Validation::Utf8));
    let managers = section.optional("alertmanagers");
    let managers = managers.and_then(|field| field.list(|item| alertmanager(&item, reading)));
    section.finish();
    field.warning("alerts are not sent by this version", None);
    Some(Alerting {
        relabel: relabel.unwrap_or_default(),
        alertmanagers: managers.unwrap_or_default(),
    })
}

fn alertmanager(field: &Field<'_>, reading: &Reading) -> Option<Alertmanager> {
    let mut section = item(field, "entry")?;
    let scheme = section.optional("scheme");
    let scheme = scheme.and_then(|field| {
        field.choice(&[("http", "http".to_owned()), ("https", "https".to_owned())])
    });
    let path_prefix = text(&mut section, "path_prefix");
    let timeout = section.optional("timeout");
    let timeout = timeout.and_then(|field| duration(&field));
    if let Some(version) = section.optional("api_version")
        && version.text().is_some_and(|text| text != "v2")
    {
        version.error("only `v2` is supported", None);
    }
    let mut rules = |key| {
        let field = section.optional(key);
        field.and_then(|field| relabel::read(&field, Validation::Utf8))
    };
    let (relabel, alert_relabel) = (rules("relabel_configs"), rules("alert_relabel_configs"));
    let http = HttpOptions::read(&mut section, reading);
    let discovery = discovery::read(&mut section, reading);
    section.finish();
    Some(Alertmanager {
        scheme: scheme.unwrap_or_else(|| "http".to_owned()),
        path_prefix: path_prefix.unwrap_or_default(),
        timeout: timeout.unwrap_or(Duration::from_secs(10)),
        http,
        discovery,
        relabel: relabel.unwrap_or_default(),
        alert_relabel: alert_relabel.unwrap_or_default(),
    })
}

/// `otlp`.
pub(super) fn otlp(field: &Field<'_>, global: &Global) -> Option<Otlp> {
    let mut section = field.section()?;
    let promoted = section.optional("promote_resource_attributes");
    let promoted = promoted
        .and_then(|field| attributes(&field))
        .unwrap_or_default();
    let promote_all = flag(&mut section, "promote_all_resource_attributes", false);
    let ignored_field = section.optional("ignore_resource_attributes");
    let ignored = ignored_field.as_ref().and_then(attributes);
    if promote_all && !promoted.is_empty() {
        field.error(
            "all attributes are promoted already: take out the list",
            None,
        );
    }
    if let (Some(ignored), false) = (&ignored_field, promote_all) {
        ignored.error("it needs `promote_all_resource_attributes`", None);
    }
    let strategy = section.optional("translation_strategy");
    let translation = strategy.as_ref().and_then(|field| {
        field.choice(&[
            (
                "UnderscoreEscapingWithSuffixes",
                Translation::UnderscoresWithSuffixes,
            ),
            (
                "UnderscoreEscapingWithoutSuffixes",
                Translation::Underscores,
            ),
            ("NoUTF8EscapingWithSuffixes", Translation::Utf8WithSuffixes),
            ("NoTranslation", Translation::None),
        ])
    });
    let is_utf8 = matches!(
        translation,
        Some(Translation::Utf8WithSuffixes | Translation::None)
    );
    if let (Some(strategy), true, Validation::Legacy) = (&strategy, is_utf8, global.validation) {
        strategy.error("`legacy` names only are allowed", None);
    }
    let otlp = Otlp {
        promote_resource_attributes: promoted,
        promote_all_resource_attributes: promote_all,
        ignore_resource_attributes: ignored.unwrap_or_default(),
        translation: translation.unwrap_or_default(),
        keep_identifying_resource_attributes: flag(
            &mut section,
            "keep_identifying_resource_attributes",
            false,
        ),
        convert_histograms_to_nhcb: flag(&mut section, "convert_histograms_to_nhcb", false),
        promote_scope_metadata: flag(&mut section, "promote_scope_metadata", false),
    };
    for (key, default) in [
        ("label_name_underscore_sanitization", true),
        ("label_name_preserve_multiple_underscores", true),
    ] {
        flag(&mut section, key, default);
    }
    section.finish();
    Some(otlp)
}

fn attributes(field: &Field<'_>) -> Option<Vec<String>> {
    let mut seen: Vec<String> = Vec::new();
    field.list(|item| {
        let name = item.text()?.trim().to_owned();
        if name.is_empty() {
            item.error("an attribute needs a name", None);
        } else if seen.contains(&name) {
            item.error("this attribute is here twice", None);
        }
        seen.push(name);
        Some(())
    })?;
    Some(seen)
}

/// What is understood and means nothing here.
pub(super) fn ignored(section: &mut Section<'_>) {
    if let Some(field) = section.optional("storage") {
        storage(&field);
        let help = Some("the store is set up under `monitor`");
        field.warning("it is not used by this program", help);
    }
    if let Some(field) = section.optional("runtime") {
        if let Some(mut section) = field.section() {
            section.allow(&["gogc"]);
            section.finish();
        }
        field.warning("it is about another program's memory and not used", None);
    }
}

fn storage(field: &Field<'_>) {
    let Some(mut section) = field.section() else {
        return;
    };
    let exemplars = section.optional("exemplars");
    if let Some(mut exemplars) = exemplars.and_then(|field| field.section()) {
        integer(&mut exemplars, "max_exemplars");
        exemplars.finish();
    }
    if let Some(field) = section.optional("tsdb") {
        tsdb(&field);
    }
    section.finish();
}

fn tsdb(field: &Field<'_>) {
    let Some(mut section) = field.section() else {
        return;
    };
    let window = section.optional("out_of_order_time_window");
    window.and_then(|field| duration(&field));
    let threshold = section.optional("stale_series_compaction_threshold");
    threshold.and_then(|field| number(&field));
    let encoding = section.optional("chunk_encoding");
    if let Some(mut encoding) = encoding.and_then(|field| field.section()) {
        let floats = encoding.optional("floats");
        floats.and_then(|field| field.choice(&[("xor", ()), ("xor2", ())]));
        encoding.finish();
    }
    let retention = section.optional("retention");
    if let Some(mut retention) = retention.and_then(|field| field.section()) {
        let time = retention.optional("time");
        time.and_then(|field| duration(&field));
        let bytes = retention.optional("size");
        bytes.and_then(|field| size(&field));
        let share = retention.optional("percentage");
        if let Some(field) = share
            && number(&field).is_some_and(|share| !(0.0..=100.0).contains(&share))
        {
            field.error("a share is from 0 to 100", None);
        }
        retention.finish();
    }
    section.finish();
}

/// What is known and not supported.
pub(super) fn refused(section: &mut Section<'_>) {
    let parts = [
        (
            "remote_write",
            "take it out: `signals.remote` in landline.yaml says where samples are sent on to",
        ),
        (
            "remote_read",
            "take it out: `signals.remote` in landline.yaml says what is read beside the own store",
        ),
        ("tracing", "take it out: this program sends no traces"),
    ];
    for (key, help) in parts {
        let Some(field) = section.optional(key) else {
            continue;
        };
        if matches!(&field.node.value, Value::Sequence(items) if items.is_empty()) {
            continue;
        }
        field.error(format!("`{key}` is not supported"), Some(help));
    }
}
