//! Small pieces of HTTP authentication: basic credentials, keyed digests, `Retry-After` and dates.
//! Digest access authentication and AWS signatures are modules of their own.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

#[cfg(test)]
mod tests;

/// The longest pause that [`retry_after`] answers: one day.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// The value of an `Authorization` header with basic credentials (RFC 7617): one line, whatever the
/// length. A user name with a colon cannot be told from the password by the other side.
pub fn basic(username: &str, password: &str) -> String {
    format!(
        "Basic {}",
        STANDARD.encode(format!("{username}:{password}"))
    )
}

/// User name and password of such a value; nothing when it is of another scheme or broken.
pub fn parse_basic(value: &str) -> Option<(String, String)> {
    let (scheme, credentials) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((username.to_owned(), password.to_owned()))
}

/// Hash function of [`hmac`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HmacAlgorithm {
    /// HMAC-SHA-1, 20 bytes, for old interfaces only.
    Sha1,
    /// HMAC-SHA-256, 32 bytes.
    Sha256,
    /// HMAC-SHA-384, 48 bytes.
    Sha384,
    /// HMAC-SHA-512, 64 bytes.
    Sha512,
}

/// The keyed digest of the data (RFC 2104).
pub fn hmac(algorithm: HmacAlgorithm, key: &[u8], data: &[u8]) -> Vec<u8> {
    let algorithm = match algorithm {
        HmacAlgorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        HmacAlgorithm::Sha256 => hmac::HMAC_SHA256,
        HmacAlgorithm::Sha384 => hmac::HMAC_SHA384,
        HmacAlgorithm::Sha512 => hmac::HMAC_SHA512,
    };
    hmac::sign(&hmac::Key::new(algorithm, key), data)
        .as_ref()
        .to_vec()
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// The pause a `Retry-After` header asks for (RFC 9110 section 10.2.3): seconds, or a date in one
/// of the three forms of section 5.6.7. Zero for a date that has passed, at most
/// [`RETRY_AFTER_MAX`]; none for anything else.
pub fn retry_after(value: &str, now_unix_seconds: i64) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Only a number too large for 64 bits fails to parse.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let at = parse_http_date(value, now_unix_seconds)?;
    let seconds = u64::try_from(at.saturating_sub(now_unix_seconds)).unwrap_or(0);
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A date as HTTP headers have it (RFC 9110 section 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`. Times
/// outside the years 0 to 9999 are taken as the nearest one inside.
pub fn http_date(unix_seconds: i64) -> String {
    let time = Civil::from_unix(unix_seconds);
    let name = |names: &[&'static str], at: u32| {
        usize::try_from(at)
            .ok()
            .and_then(|at| names.get(at).copied())
            .unwrap_or_default()
    };
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
        name(&DAYS, time.weekday),
        time.day,
        name(&MONTHS, time.month - 1),
        time.year,
        time.hour,
        time.minute,
        time.second
    )
}

/// The Unix time of a date in one of the three forms of RFC 9110 section 5.6.7. The year of the
/// oldest form has two digits; it is the one less than 50 years ahead of now.
pub fn parse_http_date(value: &str, now_unix_seconds: i64) -> Option<i64> {
    // Sun, 06 Nov 1994 08:49:37 GMT | Sunday, 06-Nov-94 08:49:37 GMT | Sun Nov  6 08:49:37 1994
    let words: Vec<&str> = value
        .split([' ', '-'])
        .filter(|word| !word.is_empty())
        .take(7)
        .collect();
    let (day, month, year, clock) = match words.as_slice() {
        [weekday, day, month, year, clock, "GMT"] if weekday.ends_with(',') => {
            (day, month, year, clock)
        }
        [_, month, day, clock, year] => (day, month, year, clock),
        _ => return None,
    };
    let month = MONTHS.iter().position(|name| name == month)?;
    let mut year: i64 = digits(year)?;
    if (0..100).contains(&year) && value.contains('-') {
        let this = i64::from(Civil::from_unix(now_unix_seconds).year);
        year += this - this.rem_euclid(100);
        if year >= this + 50 {
            year -= 100;
        }
    }
    let mut clock = clock.split(':').map(digits);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let day = digits(day)?;
    let is_valid = clock.next().is_none()
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60
        && year <= 9999;
    let days = days_from_civil(year, i64::try_from(month).ok()? + 1, day);
    is_valid.then(|| days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// One to four digits.
fn digits(text: &str) -> Option<i64> {
    let is_number = (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// A time in UTC, in the parts a calendar and a clock show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: u32,
    /// 1 to 12.
    pub(crate) month: u32,
    pub(crate) day: u32,
    /// 0 is Sunday.
    pub(crate) weekday: u32,
    pub(crate) hour: u32,
    pub(crate) minute: u32,
    pub(crate) second: u32,
}

/// The first second of the year 0 and the last of the year 9999.
const UNIX_SECONDS: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

impl Civil {
    /// Proleptic Gregorian calendar; clamped to the years 0 to 9999. The year is counted from
    /// March, so that the leap day ends it.
    pub(crate) fn from_unix(unix_seconds: i64) -> Self {
        let seconds = unix_seconds.clamp(*UNIX_SECONDS.start(), *UNIX_SECONDS.end());
        let days = seconds.div_euclid(86_400);
        let second_of_day = seconds.rem_euclid(86_400);
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        let part = |value: i64| u32::try_from(value).unwrap_or(0);
        Self {
            year: part(year_of_era + era * 400 + i64::from(month <= 2)),
            month: part(month),
            day: part(day_of_year - (153 * march_month + 2) / 5 + 1),
            weekday: part((days + 4).rem_euclid(7)),
            hour: part(second_of_day / 3600),
            minute: part(second_of_day / 60 % 60),
            second: part(second_of_day % 60),
        }
    }
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar.
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}
