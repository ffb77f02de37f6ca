//! Many rows as one value. A row that comes by itself is handed from thread to thread, and each of its
//! values is copied twice and described anew: that takes ten times as long as reading it. PostgreSQL sends
//! rows with payloads one by one after all, each as one value.
//!
//! A number is its digits and `;`, a text or payload its length in bytes, `:` and the bytes. Rows and
//! values stand one behind the other, in their order.

use std::ops::Range;

use futures_util::TryStreamExt as _;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, Row as _};
use state::{Read, StateError};

/// A column of a statement. Nothing is ever NULL.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column {
    Number(&'static str),
    Text(&'static str),
    /// Bytes; only as the last one.
    Bytes(&'static str),
}

/// Rows with their values.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    bytes: Vec<u8>,
    /// Of all rows, one behind the other.
    values: Vec<Range<usize>>,
    /// Values of a row.
    width: usize,
}

/// A row of some.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    bytes: &'a [u8],
    values: &'a [Range<usize>],
}

impl Packed {
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let bytes = &self.bytes;
        let rows = self.values.chunks_exact(self.width.max(1));
        rows.map(move |values| Row { bytes, values })
    }

    /// Turns their order round.
    pub(crate) fn reverse(&mut self) {
        let rows = self.values.chunks_exact(self.width.max(1));
        self.values = rows.rev().flatten().cloned().collect();
    }

    pub(crate) fn first(&self) -> Option<Row<'_>> {
        self.rows().next()
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// How many bytes they take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn read(bytes: Vec<u8>, columns: &[Column]) -> Result<Self, StateError> {
        let mut values = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            for column in columns {
                let value = match column {
                    Column::Number(_) => until(&bytes, at, b';'),
                    Column::Text(_) | Column::Bytes(_) => counted(&bytes, at),
                };
                let value = value.ok_or_else(odd)?;
                // A number has its `;` behind it.
                at = value.end + usize::from(matches!(column, Column::Number(_)));
                values.push(value);
            }
        }
        let width = columns.len();
        Ok(Self {
            bytes,
            values,
            width,
        })
    }
}

impl<'a> Row<'a> {
    pub(crate) fn number(&self, column: usize) -> Result<i64, StateError> {
        let number = self.text(column)?.parse();
        number.map_err(|_| odd())
    }

    pub(crate) fn text(&self, column: usize) -> Result<&'a str, StateError> {
        std::str::from_utf8(self.bytes(column)?).map_err(|_| odd())
    }

    pub(crate) fn bytes(&self, column: usize) -> Result<&'a [u8], StateError> {
        let value = self.values.get(column).cloned();
        let bytes = value.and_then(|value| self.bytes.get(value));
        bytes.ok_or_else(odd)
    }
}

/// Up to the next such byte.
fn until(bytes: &[u8], start: usize, end: u8) -> Option<Range<usize>> {
    let length = bytes.get(start..)?.iter().position(|byte| *byte == end)?;
    Some(start..start + length)
}

/// What stands behind its length.
fn counted(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let digits = until(bytes, start, b':')?;
    let start = digits.end + 1;
    let length: usize = std::str::from_utf8(bytes.get(digits)?).ok()?.parse().ok()?;
    let end = start.checked_add(length)?;
    (end <= bytes.len()).then_some(start..end)
}

/// The database answers otherwise than it was asked.
fn odd() -> StateError {
    sqlx::Error::Decode("a packed row can't be read".into()).into()
}

/// The statement for these columns of `rest`, which begins with FROM.
pub(crate) fn statement(read: &Read, columns: &[Column], rest: &str) -> String {
    let is_postgres = read.is_postgres();
    let (mut terms, mut behind) = (Vec::new(), String::new());
    for column in columns {
        match column {
            Column::Number(name) => terms.push(format!("{name} || ';'")),
            Column::Text(name) if is_postgres => {
                // In the bytes that are sent, whatever the database keeps texts in.
                let bytes = format!("convert_to({name}, 'UTF8')");
                terms.push(format!("octet_length({bytes}) || ':' || {name}"));
            }
            // SQLite counts the characters of a text.
            Column::Text(name) => {
                terms.push(format!("length(CAST({name} AS BLOB)) || ':' || {name}"));
            }
            Column::Bytes(name) => {
                terms.push(format!("length({name}) || ':'"));
                behind = format!(" || {name}");
            }
        }
    }
    let head = terms.join(" || ");
    let packed = format!("SELECT convert_to({head}, 'UTF8'){behind} AS packed {rest}");
    match (is_postgres, behind.is_empty()) {
        (true, true) => format!("SELECT string_agg(packed, ''::bytea) FROM ({packed}) AS found"),
        // It hands over rows from small memory that it has; all payloads as one value it copies three
        // times to where nothing was before, which takes as long as all else.
        (true, false) => packed,
        (false, _) => format!(
            "SELECT CAST(group_concat(packed, '') AS BLOB) FROM \
             (SELECT {head}{behind} AS packed {rest}) AS found"
        ),
    }
}

/// What a [`statement`] answers.
pub(crate) async fn fetch(
    read: &mut Read,
    columns: &[Column],
    query: Query<'_, Any, AnyArguments>,
) -> Result<Packed, StateError> {
    let mut rows = query.fetch(read);
    let mut all = Vec::new();
    while let Some(row) = rows.try_next().await? {
        // NULL when there are none.
        let bytes: Option<&[u8]> = row.try_get(0)?;
        all.extend_from_slice(bytes.unwrap_or_default());
    }
    Packed::read(all, columns)
}

/// These columns of `rest`, in which all values stand as text: it is prepared for this once only.
pub(crate) async fn fetch_once(
    read: &mut Read,
    columns: &[Column],
    rest: &str,
) -> Result<Packed, StateError> {
    let sql = statement(read, columns, rest);
    let query = sqlx::query::<Any>(AssertSqlSafe(sql)).persistent(false);
    fetch(read, columns, query).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [Column::Number("a"), Column::Text("b"), Column::Bytes("c")];

    #[test]
    fn rows_are_as_they_were_packed() {
        let packed = Packed::read(b"-7;4:\xc3\xa9;:3:\x00:;8;0:0:".to_vec(), &COLUMNS).unwrap();
        assert_eq!(packed.len(), 2);
        let rows: Vec<_> = packed.rows().collect();
        assert_eq!(rows[0].number(0).unwrap(), -7);
        assert_eq!(rows[0].text(1).unwrap(), "é;:");
        assert_eq!(rows[0].bytes(2).unwrap(), b"\0:;");
        assert_eq!(rows[1].number(0).unwrap(), 8);
        assert_eq!(
            (rows[1].text(1).unwrap(), rows[1].bytes(2).unwrap()),
            ("", &b""[..])
        );
        assert!(rows[1].bytes(3).is_err());

        let mut packed = packed;
        packed.reverse();
        let numbers = packed.rows().map(|row| row.number(0).unwrap());
        assert_eq!(numbers.collect::<Vec<_>>(), [8, -7]);
        let second = packed.rows().nth(1).unwrap();
        assert_eq!(second.text(1).unwrap(), "é;:");
        packed.reverse();
        assert_eq!(packed.first().unwrap().number(0).unwrap(), -7);
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let whole = b"1;2:ab1:x";
        assert_eq!(Packed::read(whole.to_vec(), &COLUMNS).unwrap().len(), 1);
        for end in 1..whole.len() {
            let part = whole[..end].to_vec();
            assert!(Packed::read(part, &COLUMNS).is_err(), "{end}");
        }
        assert!(Packed::read(Vec::new(), &COLUMNS).unwrap().is_empty());
        let huge = b"1;18446744073709551615:".to_vec();
        assert!(Packed::read(huge, &COLUMNS).is_err());
    }
}
