//! The log of queries: one JSON object a line, in a file of its own.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::queries::When;

/// Bytes of a query that are logged.
const QUERY_BYTES_MAX: usize = 4 << 10;

/// The open file.
#[derive(Debug)]
pub(super) struct QueryLog {
    path: PathBuf,
    file: Mutex<File>,
}

/// A query that has ended.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) query: &'a str,
    pub(super) when: When,
    pub(super) seconds: f64,
    pub(super) error: Option<&'a str>,
}

impl QueryLog {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self {
            path: path.to_owned(),
            file: Mutex::new(file),
        })
    }

    /// Adds a line. One that cannot be written is told of in the program's log.
    pub(super) fn write(&self, entry: &Entry<'_>) {
        let end = entry.query.floor_char_boundary(QUERY_BYTES_MAX);
        let query = entry.query.get(..end).unwrap_or_default();
        let parameters = match entry.when {
            When::At(time) => {
                json!({"query": query, "start": iso(time), "end": iso(time), "step": 0})
            }
            When::Each(start, end, step) => {
                json!({"query": query, "start": iso(start), "end": iso(end), "step": step as f64 / 1000.0})
            }
        };
        let mut line = json!({
            "ts": iso(crate::samples::now_ms()),
            "params": parameters,
            "stats": {"timings": {"execTotalTime": entry.seconds}},
        });
        if let Some(error) = entry.error {
            line["error"] = error.into();
        }
        let line = format!("{line}\n");
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(line.as_bytes()) {
            let path = self.path.display();
            tracing::warn!(%path, %error, "a query could not be logged");
        }
    }
}

/// A time in milliseconds since 1970 as RFC 3339.
fn iso(ms: i64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()?;
    time.format(&Rfc3339).ok()
}
