//! Times as the tables keep them, and as clients read them.

use std::time::UNIX_EPOCH;

use base::clock;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// A day in milliseconds.
pub(crate) const DAY_MILLISECONDS: i64 = 24 * 60 * 60 * 1000;

/// Now, in Unix milliseconds.
pub(crate) fn now() -> i64 {
    let since = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// `2026-11-21T16:50:00.123Z`; nothing for times that no calendar of ours knows.
pub(crate) fn rfc3339(milliseconds: i64) -> Option<String> {
    let nanoseconds = i128::from(milliseconds).checked_mul(1_000_000)?;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok()?;
    time.format(&Rfc3339).ok()
}

/// Unix milliseconds of a time as [`rfc3339`] writes it.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

/// `2026-11-21 16:50:00 UTC`, as the original writes it. What lies outside of its calendar is shown at
/// its end.
pub(crate) fn original(seconds: i64) -> String {
    let shape = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    // 9999-12-31 23:59:59: one record from the far future must not break a list.
    let seconds = seconds.clamp(-62_135_596_800, 253_402_300_799);
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok();
    let text = time.and_then(|time| time.format(&shape).ok());
    text.unwrap_or_default()
}

/// `2026-11-21` for a number of days since 1970.
pub(crate) fn date(day: i64) -> String {
    let shape = format_description!("[year]-[month]-[day]");
    let seconds = day.checked_mul(24 * 60 * 60);
    let time = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let text = time.and_then(|time| time.date().format(&shape).ok());
    text.unwrap_or_default()
}
