//! The forms in which whole records are exported.

use std::io::{self, Write};

use serde_json::{Map, Value};

/// The columns of the form for spreadsheets.
const COLUMNS: [&str; 21] = [
    "id",
    "project",
    "received_at",
    "created_at",
    "severity",
    "classification",
    "machine_id",
    "build",
    "system_name",
    "external",
    "group",
    "event_id",
    "arch",
    "kernel_version",
    "host_type",
    "board_name",
    "cpu_model",
    "bios_version",
    "record_format_version",
    "payload_format_version",
    "payload",
];

/// A form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A JSON object a line.
    Lines,
    /// RFC 4180, with a line of heads.
    Csv,
    /// One JSON array.
    Array,
}

impl Form {
    /// Of this name; lines for names that there are not.
    pub(super) fn of(name: &str) -> Self {
        match name {
            "csv" => Self::Csv,
            "json" => Self::Array,
            _ => Self::Lines,
        }
    }

    /// What stands before the first record.
    pub(super) fn begin(self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Lines => Ok(()),
            Self::Csv => write!(out, "{}\r\n", COLUMNS.join(",")),
            Self::Array => write!(out, "["),
        }
    }

    /// A record; `index` counts from 0.
    pub(super) fn record(
        self,
        index: u64,
        record: Map<String, Value>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        match self {
            Self::Lines => writeln!(out, "{}", Value::Object(record)),
            Self::Csv => row(&record, out),
            Self::Array => {
                let before = if index == 0 { "\n" } else { ",\n" };
                write!(out, "{before}{}", Value::Object(record))
            }
        }
    }

    /// What stands behind the last.
    pub(super) fn end(self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Lines | Self::Csv => Ok(()),
            Self::Array => writeln!(out, "\n]"),
        }
    }
}

fn row(record: &Map<String, Value>, out: &mut dyn Write) -> io::Result<()> {
    for (index, name) in COLUMNS.iter().enumerate() {
        let before = if index == 0 { "" } else { "," };
        let value = record.get(*name).unwrap_or(&Value::Null);
        write!(out, "{before}{}", cell(&crate::commands::plain(value)))?;
    }
    write!(out, "\r\n")
}

/// A value; quoted where it has to be.
fn cell(text: &str) -> String {
    if text.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(form: Form, records: &[Value]) -> String {
        let mut out = Vec::new();
        form.begin(&mut out).unwrap();
        for (index, record) in (0..).zip(records) {
            form.record(index, record.as_object().unwrap().clone(), &mut out)
                .unwrap();
        }
        form.end(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_array_is_one_json_value() {
        for count in 0..3 {
            let records = vec![json!({"id": 1, "payload": "a\nb"}); count];
            let found: Value = serde_json::from_str(&written(Form::Array, &records)).unwrap();
            assert_eq!(found, json!(records));
            assert_eq!(written(Form::Lines, &records).lines().count(), count);
        }
    }

    #[test]
    fn spreadsheets_get_what_was_sent() {
        let record = json!({"id": 7, "external": false, "group": null, "payload": "a \"b\",\nc"});
        let found = written(Form::Csv, &[record]);
        let (head, row) = found.split_once("\r\n").unwrap();
        assert_eq!(head.split(',').count(), 21);
        assert_eq!(row, "7,,,,,,,,,false,,,,,,,,,,,\"a \"\"b\"\",\nc\"\r\n");
    }
}
