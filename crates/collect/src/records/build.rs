//! Which of two builds is newer: runs of digits compare as numbers, everything else as text.

use std::cmp::Ordering;

/// Whether `build` comes after `other`. Nothing comes after an unknown one.
pub(crate) fn is_newer(build: &str, other: &str) -> bool {
    !other.is_empty() && compare(build, other) == Ordering::Greater
}

/// The order of builds.
pub(crate) fn compare(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left, right);
    loop {
        match (left.is_empty(), right.is_empty()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        let (one, left_rest) = part(left);
        let (two, right_rest) = part(right);
        let order = match (number(one), number(two)) {
            (Some(one), Some(two)) => one.cmp(&two),
            _ => one.cmp(two),
        };
        if order != Ordering::Equal {
            return order;
        }
        (left, right) = (left_rest, right_rest);
    }
}

/// The first run of digits, or of anything else, and what follows.
fn part(text: &str) -> (&str, &str) {
    let is_digit = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text
        .find(|c: char| c.is_ascii_digit() != is_digit)
        .unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Digits without leading zeros, compared by their length first: a number of any size.
fn number(text: &str) -> Option<Digits<'_>> {
    let digits = text.trim_start_matches('0');
    let is_number = text.starts_with(|c: char| c.is_ascii_digit());
    is_number.then_some(Digits(digits.len(), digits))
}

/// Their number and themselves.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Digits<'a>(usize, &'a str);

#[cfg(test)]
mod tests {
    use super::{compare, is_newer};
    use std::cmp::Ordering;

    #[test]
    fn numbers_count_as_numbers() {
        assert_eq!(compare("9", "34960"), Ordering::Less);
        assert_eq!(compare("22.04", "22.10"), Ordering::Less);
        assert_eq!(compare("1.2-rc9", "1.2-rc10"), Ordering::Less);
        assert_eq!(compare("007", "7"), Ordering::Equal);
        assert_eq!(compare("12", "rolling"), Ordering::Less);
        assert!(is_newer("34970", "34960"));
        assert!(!is_newer("34960", "34960"));
        assert!(!is_newer("1", ""));
    }
}
