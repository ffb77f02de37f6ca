//! What people say of the records they want, as a query of the API.

use time::OffsetDateTime;

use super::Outcome;
pub(super) use super::asking::query::{Query, moment, now, rfc3339};
use super::text::DOMAIN;

/// Which records.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Filters {
    /// Only of this project
    #[arg(long)]
    pub(super) project: Option<String>,
    /// Only this one, or all below with a star: `org.clearlinux/crash/*`; `org.clearlinux/` can be
    /// left out
    #[arg(long)]
    classification: Option<String>,
    /// Only this one: 1 to 4, or low, medium, high, critical
    #[arg(long, value_parser = severity)]
    severity: Option<u8>,
    /// Only of this build
    #[arg(long)]
    build: Option<String>,
    /// Only of this system, such as `clear-linux-os`
    #[arg(long)]
    system_name: Option<String>,
    /// Only of this machine, by its whole identifier
    #[arg(long, value_name = "ID")]
    machine_id: Option<String>,
    /// Only of this event
    #[arg(long, value_name = "ID")]
    event_id: Option<String>,
    /// Only of the crash group of this number
    #[arg(long, value_name = "ID")]
    group: Option<i64>,
    /// Only from machines of ours, or of others
    #[arg(long, value_parser = ["internal", "external"])]
    source: Option<String>,
}

/// By what else stored records are chosen.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Search {
    /// Only whose payloads have all of these words
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,
    #[command(flatten)]
    times: Times,
}

/// When it was received.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Times {
    /// Received since: 90s, 12h, 7d, or 2026-11-21, or 2026-11-21T16:50:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Received before, said in the same ways
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl Filters {
    /// As `/v1/records` takes them.
    pub(super) fn query(&self) -> Query {
        Query::default()
            .with_some("project", self.project.as_ref())
            .with_some("classification", self.whole_classification().as_ref())
            .with_some("severity", self.severity.as_ref())
            .with_some("build", self.build.as_ref())
            .with_some("system_name", self.system_name.as_ref())
            .with_some("machine_id", self.machine_id.as_ref())
            .with_some("event_id", self.event_id.as_ref())
            .with_some("group", self.group.as_ref())
            .with_some("source", self.source.as_ref())
    }

    /// With the domain that lists leave out. Domains have a dot, what follows them hardly ever.
    fn whole_classification(&self) -> Option<String> {
        let text = self.classification.clone()?;
        let has_domain = text
            .split('/')
            .next()
            .is_none_or(|first| first.contains('.'));
        let is_short = text.matches('/').count() == 1;
        if is_short && !has_domain {
            return Some(format!("{DOMAIN}{text}"));
        }
        Some(text)
    }
}

impl Search {
    /// With its words and times in it.
    pub(super) fn add_to(&self, query: Query, now: OffsetDateTime) -> Outcome<Query> {
        let query = query.with_some("text", self.text.as_ref());
        self.times.add_to(query, now)
    }
}

impl Times {
    /// With them in it.
    pub(super) fn add_to(&self, mut query: Query, now: OffsetDateTime) -> Outcome<Query> {
        for (name, value) in [("since", &self.since), ("until", &self.until)] {
            if let Some(text) = value {
                query = query.with(name, &rfc3339(moment(name, text, now)?)?);
            }
        }
        Ok(query)
    }
}

/// A number, or the word that lists show.
fn severity(text: &str) -> Result<u8, String> {
    match text {
        "1" | "low" => Ok(1),
        "2" | "med" | "medium" => Ok(2),
        "3" | "high" => Ok(3),
        "4" | "crit" | "critical" => Ok(4),
        _ => Err("a severity is 1 to 4, or low, medium, high, critical".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_domain_can_be_left_out() {
        let check = |text: &str, expected: &str| {
            let filters = Filters {
                classification: Some(text.to_owned()),
                ..Filters::default()
            };
            assert_eq!(filters.whole_classification().as_deref(), Some(expected));
        };
        check("crash/clr", "org.clearlinux/crash/clr");
        check("crash/*", "org.clearlinux/crash/*");
        check("org.clearlinux/crash/*", "org.clearlinux/crash/*");
        check("org.clearlinux/*", "org.clearlinux/*");
        check("com.example/a/b", "com.example/a/b");
        check("a/b/c", "a/b/c");
        check("crash", "crash");
    }

    #[test]
    fn severities_are_numbers_or_words() {
        for (text, expected) in [
            ("1", Some(1)),
            ("critical", Some(4)),
            ("5", None),
            ("", None),
        ] {
            assert_eq!(severity(text).ok(), expected, "{text}");
        }
    }
}
