//! Queries of the API, and the times in them as people say them.

use base::clock;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, Time};

use super::{CommandError, Outcome};

/// A query, pair by pair.
#[derive(Debug, Clone, Default)]
pub(in crate::commands) struct Query(Vec<(&'static str, String)>);

impl Query {
    /// With one more.
    pub(in crate::commands) fn with(
        mut self,
        name: &'static str,
        value: &(impl ToString + ?Sized),
    ) -> Self {
        self.0.push((name, value.to_string()));
        self
    }

    /// With one more, if it is there.
    pub(in crate::commands) fn with_some(
        self,
        name: &'static str,
        value: Option<&impl ToString>,
    ) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// This path with the query.
    pub(in crate::commands) fn at(&self, path: &str) -> String {
        if self.0.is_empty() {
            return path.to_owned();
        }
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.0);
        format!("{path}?{}", query.finish())
    }
}

/// The time that ages and windows are about.
pub(in crate::commands) fn now() -> OffsetDateTime {
    clock::wall().into()
}

/// A point in time: so long ago, a day, or a time.
pub(in crate::commands) fn moment(
    name: &str,
    text: &str,
    now: OffsetDateTime,
) -> Outcome<OffsetDateTime> {
    let ago = base::config::parse_duration(text);
    let ago = ago.and_then(|ago| now.checked_sub(ago.try_into().ok()?));
    let day = || Date::parse(text, format_description!("[year]-[month]-[day]")).ok();
    let day = || Some(day()?.with_time(Time::MIDNIGHT).assume_utc());
    let time = || OffsetDateTime::parse(text, &Rfc3339).ok();
    ago.or_else(day).or_else(time).ok_or_else(|| {
        CommandError::wrong(format!(
            "--{name} {text}: a time is 90s, 12h or 7d ago, 2026-11-21, or 2026-11-21T16:50:00Z"
        ))
    })
}

/// As the API takes it.
pub(in crate::commands) fn rfc3339(time: OffsetDateTime) -> Outcome<String> {
    let time = time.to_offset(time::UtcOffset::UTC);
    let text = time.format(&Rfc3339);
    text.map_err(|_| CommandError::wrong("a time beyond the year 9999"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-21 16:50:00 UTC);

    #[test]
    fn times_are_ago_or_days_or_times() {
        let check = |text: &str, expected: Option<&str>| {
            let found = moment("since", text, NOW)
                .ok()
                .map(|at| rfc3339(at).unwrap());
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("7d", Some("2026-11-14T16:50:00Z"));
        check("1h30m", Some("2026-11-21T15:20:00Z"));
        check("0", Some("2026-11-21T16:50:00Z"));
        check("2026-11-01", Some("2026-11-01T00:00:00Z"));
        check("2026-11-01T10:00:00+02:00", Some("2026-11-01T08:00:00Z"));
        for wrong in ["", "7", "yesterday", "2026-13-01", "-7d", "999999999999w"] {
            check(wrong, None);
        }
    }
}
