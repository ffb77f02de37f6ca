//! The forms in which whole records are exported. The hub gives them as lines of JSON.

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
    Csv {
        /// Nothing in it is a formula to a spreadsheet.
        is_safe: bool,
    },
    /// One JSON array.
    Array,
}

impl Form {
    /// Of this name; lines for names that there are not.
    pub(super) fn of(name: &str, is_safe: bool) -> Self {
        match name {
            "csv" => Self::Csv { is_safe },
            "json" => Self::Array,
            _ => Self::Lines,
        }
    }

    /// What stands before the first record.
    pub(super) fn begin(self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Lines => Ok(()),
            Self::Csv { .. } => write!(out, "{}\r\n", COLUMNS.join(",")),
            Self::Array => write!(out, "["),
        }
    }

    /// A record, which is a JSON object on one line; `index` counts from 0.
    pub(super) fn record(self, index: u64, line: &[u8], out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Lines => {
                out.write_all(line)?;
                out.write_all(b"\n")
            }
            Self::Csv { is_safe } => row(&serde_json::from_slice(line)?, is_safe, out),
            Self::Array => {
                let before: &[u8] = if index == 0 { b"\n" } else { b",\n" };
                out.write_all(before)?;
                out.write_all(line)
            }
        }
    }

    /// What stands behind the last.
    pub(super) fn end(self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Lines | Self::Csv { .. } => Ok(()),
            Self::Array => writeln!(out, "\n]"),
        }
    }
}

fn row(record: &Map<String, Value>, is_safe: bool, out: &mut dyn Write) -> io::Result<()> {
    for (index, name) in COLUMNS.iter().enumerate() {
        let before = if index == 0 { "" } else { "," };
        let value = record.get(*name).unwrap_or(&Value::Null);
        let text = crate::commands::plain(value);
        // Numbers of ours are none of anybody's formulas.
        let guard = if is_safe && value.is_string() && is_formula(&text) {
            "'"
        } else {
            ""
        };
        write!(out, "{before}{}", cell(&format!("{guard}{text}")))?;
    }
    write!(out, "\r\n")
}

/// Whether spreadsheets would compute what begins so.
fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r'])
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
            form.record(index, record.to_string().as_bytes(), &mut out)
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
        let found = written(Form::of("csv", false), &[record]);
        let (head, row) = found.split_once("\r\n").unwrap();
        assert_eq!(head.split(',').count(), 21);
        assert_eq!(row, "7,,,,,,,,,false,,,,,,,,,,,\"a \"\"b\"\",\nc\"\r\n");
    }

    #[test]
    fn spreadsheets_need_not_compute() {
        let cells = |is_safe: bool, payload: &str| {
            let record = json!({"id": -7, "payload": payload});
            let found = written(Form::of("csv", is_safe), &[record]);
            let row = found.split("\r\n").nth(1).unwrap().to_owned();
            row.replace(&",".repeat(20), " ")
        };
        assert_eq!(cells(false, "=1+1"), "-7 =1+1");
        for (payload, expected) in [
            ("=1+1", "-7 '=1+1"),
            ("@x", "-7 '@x"),
            ("-x, y", "-7 \"'-x, y\""),
            ("a=1", "-7 a=1"),
            ("", "-7 "),
        ] {
            assert_eq!(cells(true, payload), expected, "{payload}");
        }
    }
}
