//! What a row of another collector is here: a record with its own times, or no record and why. The
//! checks are fewer than those of intake: what that collector kept and showed is a record here, as
//! long as it can be told, counted and shown.

use wire::telemetrics::{Field, Record};

use super::{ImportedRecord, TEXT_CHARACTERS_MAX};
use crate::records::intake::{TEXT_BYTES_MAX, TOO_LONG, too_long, without_nul};

/// The last second of the year 9999.
const SECONDS_MAX: i64 = 253_402_300_799;

/// A row that is a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The record.
    pub record: Record,
    /// When the other collector took it, Unix milliseconds.
    pub received_at: i64,
}

/// Why a row is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotARecord {
    /// One stable word.
    pub reason: &'static str,
    /// What is wrong.
    pub message: String,
}

impl NotARecord {
    fn of(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// Looks at a row. Where it has nothing, a text is empty and a number 0; a record without a time of its
/// client has that of the collector. Fractions of a second are cut, behind the thousandth where the
/// collector took it.
///
/// # Errors
/// Why it can't be a record.
pub fn judge(row: &ImportedRecord) -> Result<Judged, NotARecord> {
    if let Some(bytes) = row.payload_bytes {
        let text = format!("the payload has {bytes} bytes, of which the beginning is kept here");
        return Err(NotARecord::of("payload_too_large", text));
    }
    let received = row.received_at.as_deref().and_then(decimal);
    let received = received.filter(|(seconds, _)| (0..=SECONDS_MAX).contains(seconds));
    let (seconds, milliseconds) = received.ok_or_else(|| {
        NotARecord::of("server_timestamp", "the time of the collector is invalid")
    })?;
    let created = match row.created_at.as_deref() {
        None => Some(seconds),
        Some(text) => decimal(text).map(|(seconds, _)| seconds),
    };
    let created = created
        .filter(|seconds| *seconds >= 0)
        .ok_or_else(|| wrong(Field::CreationTimestamp, "timestamp is invalid"))?;
    let severity = number(row.severity, Field::Severity)?;
    if !(1..=4).contains(&severity) {
        return Err(wrong(Field::Severity, "severity value is out of range"));
    }
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut record = Record {
        record_format_version: number(row.record_format_version, Field::RecordFormatVersion)?,
        severity,
        classification: text(&row.classification),
        machine_id: text(&row.machine_id),
        created,
        arch: text(&row.arch),
        is_unusual_arch: false,
        host_type: text(&row.host_type),
        kernel_version: text(&row.kernel_version),
        board_name: text(&row.board_name),
        cpu_model: text(&row.cpu_model),
        bios_version: text(&row.bios_version),
        event_id: text(&row.event_id),
        build: text(&row.build),
        system_name: text(&row.system_name),
        payload_format_version: row.payload_format_version.unwrap_or(0),
        external: row.external.unwrap_or(false),
        payload: row.payload.clone(),
    };
    if record.classification.matches('/').count() != 2 || record.classification == "//" {
        return Err(wrong(
            Field::Classification,
            "Classification value is invalid",
        ));
    }
    without_nul(&mut record);
    check_lengths(&record)?;
    Ok(Judged {
        record,
        received_at: seconds * 1_000 + milliseconds,
    })
}

fn check_lengths(record: &Record) -> Result<(), NotARecord> {
    let indexed = [
        (Field::MachineId, &record.machine_id),
        (Field::EventId, &record.event_id),
        (Field::Arch, &record.arch),
    ];
    let mut indexed = indexed.into_iter();
    let long = indexed.find(|(_, text)| text.len() > TEXT_BYTES_MAX);
    if let Some(field) = too_long(record).or(long.map(|(field, _)| field)) {
        let text = format!("{} has more than {TEXT_BYTES_MAX} bytes", field.name());
        return Err(NotARecord::of(TOO_LONG, text));
    }
    let others = [
        (Field::BoardName, &record.board_name),
        (Field::CpuModel, &record.cpu_model),
        (Field::BiosVersion, &record.bios_version),
    ];
    for (field, text) in others {
        if text.chars().count() > TEXT_CHARACTERS_MAX {
            let name = field.name();
            let text = format!("{name} has more than {TEXT_CHARACTERS_MAX} characters");
            return Err(NotARecord::of(TOO_LONG, text));
        }
    }
    Ok(())
}

fn wrong(field: Field, message: &str) -> NotARecord {
    NotARecord::of(field.name(), message)
}

/// A small number, 0 where there is none.
fn number(value: Option<i64>, field: Field) -> Result<u8, NotARecord> {
    let number = u8::try_from(value.unwrap_or(0));
    number.map_err(|_| wrong(field, &format!("{} is out of range", field.name())))
}

/// Seconds and thousandths of a decimal number; nothing for what is none or does not fit, and for a
/// negative one with a fraction.
fn decimal(text: &str) -> Option<(i64, i64)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(fraction) || (whole.starts_with('-') && !fraction.is_empty()) {
        return None;
    }
    let seconds = whole.parse().ok()?;
    let thousandths: String = fraction.chars().chain("000".chars()).take(3).collect();
    Some((seconds, thousandths.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> ImportedRecord {
        ImportedRecord {
            id: 7,
            received_at: Some("1584012345.678901".to_owned()),
            severity: Some(2),
            classification: Some("a/b/c".to_owned()),
            payload: "text\n".to_owned(),
            ..ImportedRecord::default()
        }
    }

    #[test]
    fn what_is_null_is_empty() {
        let found = judge(&row()).unwrap();
        assert_eq!(found.received_at, 1_584_012_345_678);
        let record = found.record;
        assert_eq!(record.created, 1_584_012_345);
        assert_eq!((record.build.as_str(), record.event_id.as_str()), ("", ""));
        assert_eq!(record.record_format_version, 0);
        assert!(!record.external);
    }

    #[test]
    fn what_the_original_kept_is_a_record() {
        let odd = ImportedRecord {
            kernel_version: Some("unknown".to_owned()),
            arch: Some("riscv64".to_owned()),
            board_name: Some("Plus™".to_owned()),
            event_id: Some("N/A".to_owned()),
            build: Some("a b".to_owned()),
            created_at: Some("253402300800".to_owned()),
            machine_id: Some("m\0".to_owned()),
            ..row()
        };
        let record = judge(&odd).unwrap().record;
        assert_eq!(record.created, 253_402_300_800);
        assert_eq!(record.machine_id, "m\u{fffd}");
        assert_eq!(record.board_name, "Plus™");
    }

    #[test]
    fn times_are_decimal() {
        for (text, expected) in [
            ("0", Some((0, 0))),
            ("12.5", Some((12, 500))),
            ("12.0004", Some((12, 0))),
            ("-1", Some((-1, 0))),
            ("-1.5", None),
            ("", None),
            ("NaN", None),
            ("Infinity", None),
            ("1.x", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(decimal(text), expected, "{text}");
        }
    }

    #[test]
    fn what_can_not_be_shown_is_no_record() {
        let check = |change: fn(&mut ImportedRecord), expected: &str| {
            let mut row = row();
            change(&mut row);
            assert_eq!(judge(&row).unwrap_err().reason, expected);
        };
        check(|row| row.severity = None, "severity");
        check(|row| row.severity = Some(256), "severity");
        check(|row| row.classification = None, "classification");
        check(
            |row| row.classification = Some("//".to_owned()),
            "classification",
        );
        check(
            |row| row.record_format_version = Some(-1),
            "record_format_version",
        );
        check(|row| row.received_at = None, "server_timestamp");
        check(
            |row| row.received_at = Some("253402300800".to_owned()),
            "server_timestamp",
        );
        check(
            |row| row.created_at = Some("9".repeat(20)),
            "creation_timestamp",
        );
        check(
            |row| row.created_at = Some("-1".to_owned()),
            "creation_timestamp",
        );
        check(|row| row.build = Some("1".repeat(513)), "too_long");
        check(|row| row.machine_id = Some("1".repeat(513)), "too_long");
        check(|row| row.cpu_model = Some("1".repeat(4_097)), "too_long");
        check(
            |row| row.payload_bytes = Some(9_000_000),
            "payload_too_large",
        );
    }
}
