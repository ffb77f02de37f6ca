//! Where a page begins of a list that is not sorted by ids alone: behind the last that the page before
//! showed. It is told as `next` and given back as `cursor`.

use std::fmt;

use crate::records::error::ApiError;

/// The digits of a number in a cursor, which always fits into an `i64`.
const DIGITS_MAX: usize = 18;

/// The two numbers that a list is sorted by, both the greatest first, of the last that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) number: i64,
    pub(super) id: i64,
}

impl Place {
    pub(super) fn of(cursor: &str) -> Result<Self, ApiError> {
        let parts = cursor.split_once('-');
        let parts = parts.and_then(|(number, id)| {
            Some(Self {
                number: positive(number)?,
                id: positive(id)?,
            })
        });
        parts.ok_or_else(wrong)
    }

    /// Whether this comes behind it.
    pub(super) fn is_before(self, (number, id): (i64, i64)) -> bool {
        (number, id) < (self.number, self.id)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number, self.id)
    }
}

/// A number from 1 on as it is written in one way only.
pub(super) fn positive(text: &str) -> Option<i64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = is_plain && text.len() <= DIGITS_MAX && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain)
}

/// What is no cursor of ours.
pub(super) fn wrong() -> ApiError {
    ApiError::Invalid("cursor is `next` of the page before".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_what_was_told() {
        let place = Place {
            number: 12,
            id: 999_999_999_999_999_999,
        };
        assert_eq!(Place::of(&place.to_string()).ok(), Some(place));
        for wrong in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "0-1",
            "01-1",
            "+1-1",
            "1-1-1",
            "1--1",
            "1-x",
            " 1-1",
            "1-1000000000000000000",
        ] {
            assert!(Place::of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_comes_behind_has_less_or_an_older_id() {
        let place = Place { number: 5, id: 7 };
        assert!(place.is_before((4, 9)) && place.is_before((5, 6)));
        assert!(!place.is_before((5, 7)) && !place.is_before((5, 8)) && !place.is_before((6, 1)));
    }
}
