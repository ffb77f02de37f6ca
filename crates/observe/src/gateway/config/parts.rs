//! The pages that a target's scrape is made of.

use std::time::Duration;

use base::config::Field;
use serde::Serialize;
use url::Url;

use super::{as_duration, as_url};

/// Parts of one target.
const PARTS_MAX: usize = 32;

/// One page of a target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartConfig {
    /// The value of the label `part`.
    pub name: String,
    /// Where it is.
    #[serde(serialize_with = "as_url")]
    pub url: Url,
    /// The page goes out without it when it fails.
    pub optional: bool,
    /// It is fetched only this often; in between the last one is used.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "as_optional_duration"
    )]
    pub every: Option<Duration>,
    /// After a failure the last good one is used this long.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "as_optional_duration"
    )]
    pub cache_ttl: Option<Duration>,
    /// What it is made of.
    pub convert: Convert,
}

/// How a part's body becomes metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Convert {
    /// It is an exposition page already.
    Passthrough,
    /// JSON maps of metrics, as WhatsApp Business answers without `format=prometheus`.
    JsonMap,
}

/// The health page of a target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HealthConfig {
    /// Where it is.
    #[serde(serialize_with = "as_url")]
    pub url: Url,
    /// What makes it well.
    pub rule: HealthRule,
}

/// What makes a health page well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthRule {
    /// Nodes and their roles, as WhatsApp Business answers.
    Whatsapp,
    /// The status is 200.
    Status,
}

impl PartConfig {
    /// The only part of a target with one page.
    pub fn whole(url: Url) -> Self {
        Self::named("page", url)
    }

    /// A required part, fetched at every scrape.
    pub fn named(name: &str, url: Url) -> Self {
        Self {
            name: name.to_owned(),
            url,
            optional: false,
            every: None,
            cache_ttl: None,
            convert: Convert::Passthrough,
        }
    }
}

/// The list `parts`; their paths are relative to `base`.
pub fn read_parts(field: &Field<'_>, base: &Url) -> Option<Vec<PartConfig>> {
    let mut names = std::collections::HashSet::new();
    let parts = field.list(|field| {
        let part = read_part(&field, base)?;
        if !names.insert(part.name.clone()) {
            field.error(format!("the part `{}` is here twice", part.name), None);
        }
        Some(part)
    })?;
    if parts.is_empty() || parts.len() > PARTS_MAX {
        field.error(format!("from 1 to {PARTS_MAX} parts"), None);
    }
    Some(parts)
}

fn read_part(field: &Field<'_>, base: &Url) -> Option<PartConfig> {
    let mut section = field.section()?;
    let path = section
        .required("path")
        .and_then(|field| read_path(&field, base));
    let name = section.optional("name").and_then(|field| field.text());
    let query = section
        .optional("query")
        .and_then(|field| read_query(&field));
    let optional = section
        .optional("optional")
        .and_then(|field| field.boolean());
    let every = section.optional("every").and_then(|field| field.duration());
    let cache_ttl = section
        .optional("cache_ttl")
        .and_then(|field| field.duration());
    let convert = section.optional("convert").and_then(|field| {
        field.choice(&[
            ("passthrough", Convert::Passthrough),
            ("json_map", Convert::JsonMap),
        ])
    });
    section.finish();
    let mut url = path?;
    for (key, value) in query.unwrap_or_default() {
        url.query_pairs_mut().append_pair(&key, &value);
    }
    Some(PartConfig {
        name: name.unwrap_or_else(|| url.path().trim_matches('/').to_owned()),
        url,
        optional: optional.unwrap_or(false),
        every,
        cache_ttl,
        convert: convert.unwrap_or(Convert::Passthrough),
    })
}

/// A query as a text (`format=prometheus`) or as a mapping.
fn read_query(field: &Field<'_>) -> Option<Vec<(String, String)>> {
    match field.node.text() {
        Some(text) => Some(
            url::form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .collect(),
        ),
        None => field.entries(|_, field| field.text()),
    }
}

/// The section `health`; its path is relative to the target's address.
pub fn read_health(field: &Field<'_>, base: Option<&Url>) -> Option<HealthConfig> {
    let mut section = field.section()?;
    let url = section
        .required("path")
        .zip(base)
        .and_then(|(f, base)| read_path(&f, base));
    let rule = section.optional("rule").and_then(|field| {
        field.choice(&[
            ("whatsapp", HealthRule::Whatsapp),
            ("status", HealthRule::Status),
        ])
    });
    section.finish();
    Some(HealthConfig {
        url: url?,
        rule: rule.unwrap_or(HealthRule::Status),
    })
}

/// A path on the origin of `base`: it can't lead to another host, where credentials don't belong.
fn read_path(field: &Field<'_>, base: &Url) -> Option<Url> {
    let text = field.text()?;
    match base.join(&text) {
        Ok(url) if text.starts_with('/') && url.origin() == base.origin() => Some(url),
        _ => {
            field.error("a path from `/` on is expected here", None);
            None
        }
    }
}

#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
fn as_optional_duration<S: serde::Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => as_duration(duration, serializer),
        None => serializer.serialize_none(),
    }
}
