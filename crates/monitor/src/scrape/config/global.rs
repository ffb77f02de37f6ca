//! `global`: what all jobs begin with.

use std::collections::BTreeMap;
use std::time::Duration;

use base::config::{Context, Field, Section};

use super::job::{self, Escaping, Histograms, Limits, Protocol, Validation};
use super::values::{flag, interval, text};

/// `global`.
#[derive(Debug, Clone, PartialEq)]
pub struct Global {
    /// How often targets are scraped.
    pub scrape_interval: Duration,
    /// How long a scrape may take.
    pub scrape_timeout: Duration,
    /// How often rules are evaluated.
    pub evaluation_interval: Duration,
    /// How far back rules look.
    pub rule_query_offset: Duration,
    /// Labels that are put on what leaves this process, with variables filled in.
    pub external_labels: BTreeMap<String, String>,
    /// Formats to ask for, the preferred ones first; nothing when it was not said.
    pub protocols: Option<Vec<Protocol>>,
    /// The file that queries are logged to.
    pub query_log_file: Option<String>,
    /// Bounds of a scrape.
    pub limits: Limits,
    /// Which names are allowed.
    pub validation: Validation,
    /// How names that are not allowed are asked to be written, if that was said.
    pub escaping: Option<Escaping>,
    /// What becomes of histograms.
    pub histograms: Histograms,
    /// Whether a scrape has three more series about itself.
    pub extra_metrics: bool,
}

impl Default for Global {
    fn default() -> Self {
        Self {
            scrape_interval: Duration::from_mins(1),
            scrape_timeout: Duration::from_secs(10),
            evaluation_interval: Duration::from_mins(1),
            rule_query_offset: Duration::ZERO,
            external_labels: BTreeMap::new(),
            protocols: None,
            query_log_file: None,
            limits: Limits::default(),
            validation: Validation::Utf8,
            escaping: None,
            histograms: Histograms::default(),
            extra_metrics: false,
        }
    }
}

/// Reads the section.
pub(super) fn read(field: &Field<'_>) -> Option<Global> {
    let mut section = field.section()?;
    let default = Global::default();
    let every = |section: &mut Section<'_>, key| {
        let field = section.optional(key);
        field.and_then(|field| interval(&field))
    };
    let scrape_interval = every(&mut section, "scrape_interval").unwrap_or(default.scrape_interval);
    let timeout = section.optional("scrape_timeout");
    let scrape_timeout = timeout.as_ref().and_then(interval);
    if let (Some(field), Some(scrape_timeout)) = (&timeout, scrape_timeout)
        && scrape_timeout > scrape_interval
    {
        field.error("the timeout is longer than the interval", None);
    }
    let evaluation = every(&mut section, "evaluation_interval");
    let offset = section.optional("rule_query_offset");
    let offset = offset.and_then(|field| super::values::duration(&field));
    let labels = section.optional("external_labels");
    let validation = job::validation(&mut section).unwrap_or_default();
    let labels = labels.and_then(|field| external_labels(&field, validation));
    let protocols = section.optional("scrape_protocols");
    let protocols = protocols.and_then(|field| job::protocols(&field));
    let query_log_file = text(&mut section, "query_log_file");
    let escaping = job::escaping(&mut section, validation);
    let global = Global {
        // As in the original, a short interval shortens the default timeout.
        scrape_timeout: scrape_timeout.unwrap_or(default.scrape_timeout.min(scrape_interval)),
        scrape_interval,
        evaluation_interval: evaluation.unwrap_or(default.evaluation_interval),
        rule_query_offset: offset.unwrap_or_default(),
        external_labels: labels.unwrap_or_default(),
        protocols,
        query_log_file,
        limits: Limits::read(&mut section, Limits::default()),
        validation,
        escaping,
        histograms: Histograms::read(&mut section, Histograms::default()),
        extra_metrics: flag(&mut section, "extra_scrape_metrics", false),
    };
    for key in ["scrape_failure_log_file", "query_log_file"] {
        if let Some(field) = section.optional(key) {
            field.warning("it is not used by this program", Some("see its own log"));
        }
    }
    section.finish();
    Some(global)
}

fn external_labels(field: &Field<'_>, validation: Validation) -> Option<BTreeMap<String, String>> {
    let entries = field.entries(|name, value| {
        if !validation.allows_label(name) {
            value.error("this is no name of a label", None);
        }
        Some(filled_in(&value.text()?, &value))
    })?;
    Some(entries.into_iter().collect())
}

/// Replaces `$NAME` and `${NAME}` by the environment; `$$` is a dollar.
fn filled_in(text: &str, field: &Field<'_>) -> String {
    let context: &Context = field.context();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(behind) = after.strip_prefix('$') {
            out.push('$');
            rest = behind;
            continue;
        }
        let (name, behind) = match after.strip_prefix('{').and_then(|in_| in_.split_once('}')) {
            Some(found) => found,
            None => {
                let is_other = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
                let end = after.find(is_other).unwrap_or(after.len());
                after.split_at_checked(end).unwrap_or((after, ""))
            }
        };
        match context.environment.get(name) {
            Some(value) => out.push_str(value),
            None => field.warning(
                format!("the environment has no `{}`", name.escape_debug()),
                Some("it is taken for an empty text"),
            ),
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}
