//! Whole numbers, however JSON writes them: `7.0` and `7e0` are 7, too.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// Whole numbers beyond this one are not told apart once they have a fraction.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A number.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Whole::deserialize(deserializer).map(|whole| whole.0)
}

/// A number, or `null`.
pub(super) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<i64>, D::Error> {
    let whole = Option::<Whole>::deserialize(deserializer)?;
    Ok(whole.map(|whole| whole.0))
}

struct Whole(i64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(Digits).map(Self)
    }
}

struct Digits;

impl Visitor<'_> for Digits {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of 64 bits")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<i64, E> {
        Ok(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<i64, E> {
        let wrong = || E::invalid_value(Unexpected::Unsigned(value), &self);
        i64::try_from(value).map_err(|_| wrong())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<i64, E> {
        #[expect(clippy::cast_possible_truncation, reason = "it is compared afterwards")]
        let whole = value as i64;
        // Minus zero is zero.
        let is_same = value.abs() <= EXACT_MAX && (whole as f64 - value).abs() == 0.0;
        let wrong = || E::invalid_type(Unexpected::Float(value), &self);
        is_same.then_some(whole).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Batch, ImportedRecord};

    #[test]
    fn whole_numbers_have_many_forms() {
        for (text, expected) in [
            ("7", Some(7)),
            ("7.0", Some(7)),
            ("70e-1", Some(7)),
            ("-0.0", Some(0)),
            ("-7", Some(-7)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("1e300", None),
            ("7.5", None),
            ("\"7\"", None),
            ("null", None),
        ] {
            let json = format!(r#"{{"after": {text}, "through": 9, "records": []}}"#);
            let batch = serde_json::from_str::<Batch>(&json);
            assert_eq!(batch.ok().map(|batch| batch.after), expected, "{text}");
        }
    }

    #[test]
    fn what_is_left_out_is_nothing() {
        let json = r#"{"id": 1.0, "severity": null, "guilty": 3e0, "payload": "p"}"#;
        let record: ImportedRecord = serde_json::from_str(json).unwrap();
        assert_eq!(
            (record.id, record.severity, record.guilty),
            (1, None, Some(3))
        );
        assert_eq!(record.payload_bytes, None);
        for wrong in [r#"{"id": 1, "what": 2}"#, r#"{"id": 1, "id": 2}"#] {
            assert!(serde_json::from_str::<ImportedRecord>(wrong).is_err());
        }
        let no_end = r#"{"after": 1, "records": []}"#;
        assert!(serde_json::from_str::<Batch>(no_end).is_err());
    }
}
