//! The filters of the project's own API as conditions.

use serde::Deserialize;

use super::Shared;
use super::choices::VALUES_MAX;
use super::error::ApiError;
use super::expressions::Expressions;
use super::filter::{Conditions, INDEXED_VALUES_MAX};
use super::search::{Field, Words};
use super::time;

/// The query of `/v1/records` and of what shares its filters.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Filters {
    pub(crate) project: Option<String>,
    classification: Option<String>,
    severity: Option<i64>,
    build: Option<String>,
    system_name: Option<String>,
    machine_id: Option<String>,
    event_id: Option<String>,
    group: Option<i64>,
    source: Option<Source>,
    since: Option<String>,
    until: Option<String>,
    text: Option<String>,
    payload: Option<String>,
    not_payload: Option<String>,
    before: Option<i64>,
    after: Option<i64>,
    cursor: Option<String>,
    pub(crate) limit: Option<usize>,
}

/// Where a record came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    Internal,
    External,
}

/// Records of a page.
pub(crate) const LIMIT_MAX: usize = 1_000;
const LIMIT_DEFAULT: usize = 50;

impl Filters {
    /// Of records that are still to come: what a star stands for is not known yet.
    pub(crate) async fn conditions_ahead(&self, shared: &Shared) -> Result<Conditions, ApiError> {
        let Some((prefix, "")) = self
            .classification
            .as_deref()
            .and_then(|pattern| pattern.split_once('*'))
            .filter(|(prefix, _)| prefix.ends_with('/'))
        else {
            return self.conditions(shared).await;
        };
        let prefix = plain("classification", prefix)?;
        let rest = Self {
            classification: None,
            ..self.clone()
        };
        let mut conditions = rest.conditions(shared).await?;
        conditions.begins_with("classification", &prefix);
        Ok(conditions)
    }

    /// All but the project and the limit.
    pub(crate) async fn conditions(&self, shared: &Shared) -> Result<Conditions, ApiError> {
        let mut conditions = Conditions::default();
        let texts = [
            (Field::Build, &self.build),
            (Field::System, &self.system_name),
            (Field::Machine, &self.machine_id),
            (Field::Event, &self.event_id),
        ];
        for (field, value) in texts {
            if let Some(value) = value {
                conditions.field(field, &plain(field.column(), value)?);
            }
        }
        if let Some(pattern) = &self.classification {
            classification(shared, &mut conditions, pattern).await?;
        }
        if let Some(severity) = self.severity {
            if !(1..=4).contains(&severity) {
                return Err(ApiError::Invalid("severity is 1 to 4".to_owned()));
            }
            conditions.field_number(Field::Severity, severity);
        }
        if let Some(group) = self.group {
            if group < 1 {
                return Err(ApiError::Invalid(
                    "group is the id of a crash group".to_owned(),
                ));
            }
            conditions.group(group);
        }
        if let Some(source) = self.source {
            let is_external = source == Source::External;
            conditions.field_number(Field::External, is_external.into());
        }
        if let Some(since) = &self.since {
            conditions.received_since(moment("since", since)?);
        }
        if let Some(until) = &self.until {
            conditions.received_before(moment("until", until)?);
        }
        for (name, id) in [("before", self.before), ("after", self.after)] {
            if id.is_some_and(|id| id < 0) {
                return Err(ApiError::Invalid(format!("{name} is the id of a record")));
            }
        }
        if let Some(before) = self.before {
            conditions.below(before);
        }
        if let Some(after) = self.after {
            conditions.from(after.saturating_add(1));
        }
        Ok(conditions)
    }

    /// The words that payloads have to have.
    pub(crate) fn words(&self) -> Result<Option<Words>, ApiError> {
        self.text.as_deref().map(words).transpose()
    }

    /// What payloads have to fit, and not to fit.
    pub(crate) fn expressions(&self) -> Result<Expressions, ApiError> {
        Expressions::of(self.payload.as_deref(), self.not_payload.as_deref())
    }

    /// Refuses expressions where payloads are not looked at; `what` says what it is about.
    pub(crate) fn refuse_expressions(&self, what: &str) -> Result<(), ApiError> {
        if self.expressions()?.are_none() {
            return Ok(());
        }
        let text = format!("{what} by expressions; leave `payload` and `not_payload` out");
        Err(ApiError::Invalid(text))
    }

    /// Where a page of a list begins that is not one of records.
    pub(crate) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Refuses a cursor where the id of a record says where a page begins, or where there are no pages.
    pub(crate) fn refuse_cursor(&self) -> Result<(), ApiError> {
        let text = "there is no `cursor` here; `before` is `next` of the page before";
        match self.cursor {
            None => Ok(()),
            Some(_) => Err(ApiError::Invalid(text.to_owned())),
        }
    }

    /// After which record.
    pub(crate) fn after(&self) -> Option<i64> {
        self.after
    }

    /// How many are wanted.
    pub(crate) fn limit(&self) -> Result<usize, ApiError> {
        match self.limit {
            None => Ok(LIMIT_DEFAULT),
            Some(limit @ 1..=LIMIT_MAX) => Ok(limit),
            Some(_) => Err(ApiError::Invalid(format!("limit is 1 to {LIMIT_MAX}"))),
        }
    }
}

/// The words of a question.
pub(crate) fn words(text: &str) -> Result<Words, ApiError> {
    let words = Words::of(&plain("text", text)?);
    let text = "text has 1 to 16 words of at least two letters or digits";
    words.ok_or_else(|| ApiError::Invalid(text.to_owned()))
}

/// One classification, or with `/*` at its end all below. Those that there are, are known, and the
/// index finds whole values only.
pub(crate) async fn classification(
    shared: &Shared,
    conditions: &mut Conditions,
    pattern: &str,
) -> Result<(), ApiError> {
    let pattern = plain("classification", pattern)?;
    match pattern.strip_suffix('*') {
        Some(prefix) if prefix.ends_with('/') && !prefix.contains('*') => {
            match classifications(shared, prefix).await? {
                Some(known) if known.len() <= INDEXED_VALUES_MAX => {
                    conditions.field_in(Field::Classification, known);
                }
                // There are more than are known, or than the index is asked for.
                _ => conditions.begins_with("classification", prefix),
            }
            Ok(())
        }
        None if !pattern.contains('*') => {
            conditions.field(Field::Classification, &pattern);
            Ok(())
        }
        _ => {
            let text = "a star stands at the end of a classification, after a slash";
            Err(ApiError::Invalid(text.to_owned()))
        }
    }
}

/// All classifications below this one that records have had, of all projects; nothing when there are more
/// than are known.
async fn classifications(shared: &Shared, prefix: &str) -> Result<Option<Vec<String>>, ApiError> {
    let values = shared.choices.get(&shared.state).await?;
    let all = || values.values().flat_map(|values| &values.classifications);
    if i64::try_from(all().count()).unwrap_or(i64::MAX) >= VALUES_MAX {
        return Ok(None);
    }
    let below = all().filter(|value| value.starts_with(prefix));
    let mut below: Vec<String> = below.cloned().collect();
    below.sort_unstable();
    below.dedup();
    Ok(Some(below))
}

/// A time of a question, in Unix milliseconds.
pub(crate) fn moment(name: &str, text: &str) -> Result<i64, ApiError> {
    let wrong = || ApiError::Invalid(format!("{name} is a time such as 2026-11-21T16:50:00Z"));
    time::parse(text).ok_or_else(wrong)
}

/// PostgreSQL takes no NUL in a text; no record has one there.
pub(crate) fn plain(name: &str, text: &str) -> Result<String, ApiError> {
    if text.contains('\0') || text.chars().count() > 256 {
        let text = format!("{name} has at most 256 characters, and no NUL");
        return Err(ApiError::Invalid(text));
    }
    Ok(text.to_owned())
}
