//! What holds for a group: how long its runs are kept, and how much it may hold. It is said for the
//! group itself, or by the configuration for groups of its name, or for all of them, in this order.

use std::time::Duration;

use base::config::{Field, format_bytes, format_duration, parse_bytes, parse_duration};
use serde::{Serialize, Serializer};

use super::config::ArtefactsConfig;

/// Groups of one configuration.
const GROUPS_MAX: usize = 1_000;
const NAME_BYTES_MAX: usize = 1_024;
/// The word for no end of time.
const FOREVER: &str = "forever";
/// The word for no quota.
const NONE: &str = "none";

/// A limit, or that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit<T> {
    /// There is none.
    Endless,
    /// There.
    At(T),
}

/// What is said for a group; nothing where something else decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupSettings {
    /// How long runs are kept after their last change.
    pub retention: Option<Limit<Duration>>,
    /// Bytes, versions and parts included.
    pub quota: Option<Limit<u64>>,
}

/// What the configuration says for groups of a name, or of names that begin so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    /// The name; a star at its end stands for anything.
    pub name: String,
    /// What holds for them.
    pub settings: GroupSettings,
}

/// What holds for a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effective {
    /// For ever without it.
    pub(crate) retention: Option<Duration>,
    pub(crate) quota: Option<u64>,
}

/// Settings as people write them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Written {
    pub(crate) retention: Option<String>,
    pub(crate) quota: Option<String>,
}

impl<T> Limit<T> {
    /// The limit, where there is one.
    pub fn get(self) -> Option<T> {
        match self {
            Self::Endless => None,
            Self::At(limit) => Some(limit),
        }
    }
}

impl GroupSettings {
    /// What is kept as texts; an empty one says nothing.
    pub(crate) fn of(retention: &str, quota: &str) -> Self {
        Self {
            retention: parse_retention(retention).ok(),
            quota: parse_quota(quota).ok(),
        }
    }

    pub(crate) fn written(&self) -> Written {
        Written {
            retention: self.retention.map(write_retention),
            quota: self.quota.map(write_quota),
        }
    }
}

impl Serialize for GroupSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written().serialize(serializer)
    }
}

pub(crate) fn write_retention(limit: Limit<Duration>) -> String {
    let time = limit.get().map(format_duration);
    time.unwrap_or_else(|| FOREVER.to_owned())
}

pub(crate) fn write_quota(limit: Limit<u64>) -> String {
    let bytes = limit.get().map(format_bytes);
    bytes.unwrap_or_else(|| NONE.to_owned())
}

/// Reads a time or `forever`; an error says what is expected.
pub(crate) fn parse_retention(text: &str) -> Result<Limit<Duration>, &'static str> {
    if text == FOREVER {
        return Ok(Limit::Endless);
    }
    let time = parse_duration(text).filter(|time| !time.is_zero());
    let expected = "a retention is a time such as `30d`, or `forever`";
    time.map(Limit::At).ok_or(expected)
}

/// Reads a size or `none`; an error says what is expected.
pub(crate) fn parse_quota(text: &str) -> Result<Limit<u64>, &'static str> {
    if text == NONE {
        return Ok(Limit::Endless);
    }
    let expected = "a quota is a size such as `10GiB`, or `none`";
    parse_bytes(text).map(Limit::At).ok_or(expected)
}

/// Reads a retention of the configuration.
pub(super) fn read_retention(field: &Field<'_>) -> Option<Limit<Duration>> {
    let limit = parse_retention(&field.text()?);
    limit.map_err(|text| field.error(text, None)).ok()
}

impl GroupConfig {
    /// Reads a mapping of names to settings.
    pub(super) fn read_all(field: &Field<'_>) -> Option<Vec<Self>> {
        let entries = field.entries(|name, field| {
            if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains('/') {
                let help = "1 to 1024 bytes without a slash; a star at the end stands for anything";
                field.error("this can't be the name of a group", Some(help));
            }
            let mut section = field.section()?;
            let retention = section
                .optional("retention")
                .and_then(|field| read_retention(&field));
            let quota = section.optional("quota").and_then(|field| {
                let limit = parse_quota(&field.text()?);
                limit.map_err(|text| field.error(text, None)).ok()
            });
            section.finish();
            Some(GroupSettings { retention, quota })
        })?;
        if entries.len() > GROUPS_MAX {
            field.error(format!("at most {GROUPS_MAX} groups"), None);
        }
        let groups = entries.into_iter();
        let groups = groups.map(|(name, settings)| Self { name, settings });
        Some(groups.collect())
    }

    /// How well it fits a name: the exact one better than any beginning, and a longer beginning better
    /// than a shorter one.
    fn fit(&self, group: &str) -> Option<usize> {
        match self.name.strip_suffix('*') {
            Some(begin) => group.starts_with(begin).then_some(begin.len()),
            None => (self.name == group).then_some(usize::MAX),
        }
    }
}

impl ArtefactsConfig {
    /// What holds for a group for which this is said.
    pub(crate) fn effective(&self, group: &str, own: &GroupSettings) -> Effective {
        let mut fitting: Vec<(usize, &GroupSettings)> = Vec::new();
        for config in &self.groups {
            fitting.extend(config.fit(group).map(|fit| (fit, &config.settings)));
        }
        fitting.sort_by_key(|(fit, _)| std::cmp::Reverse(*fit));
        let configured = || fitting.iter().map(|(_, settings)| *settings);
        let retention = own
            .retention
            .or_else(|| configured().find_map(|settings| settings.retention));
        let quota = own
            .quota
            .or_else(|| configured().find_map(|settings| settings.quota));
        Effective {
            retention: retention.map_or(self.retention, Limit::get),
            quota: quota.map_or(self.quota.group, Limit::get),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, retention: &str, quota: &str) -> GroupConfig {
        GroupConfig {
            name: name.to_owned(),
            settings: GroupSettings::of(retention, quota),
        }
    }

    #[test]
    fn what_is_nearest_to_a_group_holds() {
        let mut config = ArtefactsConfig {
            retention: parse_duration("90d"),
            groups: vec![
                group("ci*", "30d", "2B"),
                group("ci-nightly", "forever", ""),
                group("ci-*", "", "none"),
            ],
            ..ArtefactsConfig::default()
        };
        config.quota.group = Some(1);
        let of = |name: &str, own: GroupSettings| {
            let effective = config.effective(name, &own);
            let days = effective.retention.map(|time| time.as_secs() / 86_400);
            (days, effective.quota)
        };
        let nothing = GroupSettings::default();
        assert_eq!(of("other", nothing), (Some(90), Some(1)));
        assert_eq!(of("ci", nothing), (Some(30), Some(2)));
        assert_eq!(of("ci-x", nothing), (Some(30), None));
        assert_eq!(of("ci-nightly", nothing), (None, None));
        let own = GroupSettings::of("1w", "1KiB");
        assert_eq!(of("ci-nightly", own), (Some(7), Some(1024)));
        assert_eq!(
            of("other", GroupSettings::of("forever", "none")),
            (None, None)
        );
    }

    #[test]
    fn settings_are_read_as_they_are_written() {
        for (retention, quota) in [("30d", "10GiB"), ("forever", "none"), ("1d12h", "1B")] {
            let written = GroupSettings::of(retention, quota).written();
            assert_eq!(written.retention.as_deref(), Some(retention));
            assert_eq!(written.quota.as_deref(), Some(quota));
        }
        for wrong in ["0", "0d", "x", "", "30"] {
            assert!(parse_retention(wrong).is_err(), "{wrong}");
        }
        for wrong in ["x", "", "30", "forever"] {
            assert!(parse_quota(wrong).is_err(), "{wrong}");
        }
        assert_eq!(GroupSettings::of("", ""), GroupSettings::default());
    }
}
