//! Many rows as one value. A row that comes by itself is handed from thread to thread, and each of its
//! values is copied twice and described anew: that takes ten times as long as reading it.
//!
//! A number is its digits and `;`, a text its length in characters, `:` and itself, a payload its length in
//! bytes, `:` and itself. Rows and values stand one behind the other, in their order.

use std::ops::Range;

use sqlx::any::AnyRow;
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

    /// Leaves the rows that are wanted.
    pub(crate) fn retain(
        &mut self,
        is_wanted: impl Fn(Row<'_>) -> Result<bool, StateError>,
    ) -> Result<(), StateError> {
        let mut values = Vec::with_capacity(self.values.len());
        for row in self.rows() {
            if is_wanted(row)? {
                values.extend_from_slice(row.values);
            }
        }
        self.values = values;
        Ok(())
    }

    fn read(bytes: Vec<u8>, columns: &[Column]) -> Result<Self, StateError> {
        let mut values = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            for column in columns {
                let value = match column {
                    Column::Number(_) => until(&bytes, at, b';'),
                    Column::Text(_) => counted(&bytes, at).and_then(|some| text(&bytes, some)),
                    Column::Bytes(_) => counted(&bytes, at),
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

/// What stands behind its length in bytes.
fn counted(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let digits = until(bytes, start, b':')?;
    let start = digits.end + 1;
    let length: usize = std::str::from_utf8(bytes.get(digits)?).ok()?.parse().ok()?;
    let end = start.checked_add(length)?;
    (end <= bytes.len()).then_some(start..end)
}

/// As many characters as these are bytes: mostly they are the same.
fn text(bytes: &[u8], found: Range<usize>) -> Option<Range<usize>> {
    if bytes.get(found.clone())?.is_ascii() {
        return Some(found);
    }
    let mut left = found.len();
    for (length, byte) in bytes.get(found.start..)?.iter().enumerate() {
        // The first byte of a character.
        if byte & 0xc0 != 0x80 {
            if left == 0 {
                return Some(found.start..found.start + length);
            }
            left -= 1;
        }
    }
    (left == 0).then_some(found.start..bytes.len())
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
            Column::Text(name) => terms.push(format!("length({name}) || ':' || {name}")),
            Column::Bytes(name) => {
                terms.push(format!("length({name}) || ':'"));
                behind = format!(" || {name}");
            }
        }
    }
    let head = terms.join(" || ");
    if is_postgres {
        format!(
            "SELECT string_agg(packed, ''::bytea) FROM \
             (SELECT convert_to({head}, 'UTF8'){behind} AS packed {rest}) AS found"
        )
    } else {
        format!(
            "SELECT CAST(group_concat(packed, '') AS BLOB) FROM \
             (SELECT {head}{behind} AS packed {rest}) AS found"
        )
    }
}

/// The rows of a [`statement`]'s answer.
pub(crate) fn unpack(row: &AnyRow, columns: &[Column]) -> Result<Packed, StateError> {
    // NULL when there are none.
    let bytes: Option<Vec<u8>> = row.try_get(0)?;
    Packed::read(bytes.unwrap_or_default(), columns)
}

/// These columns of `rest`, in which all values stand as text: it is prepared for this once only.
pub(crate) async fn fetch_once(
    read: &mut Read,
    columns: &[Column],
    rest: &str,
) -> Result<Packed, StateError> {
    let sql = statement(read, columns, rest);
    let query = sqlx::query::<Any>(AssertSqlSafe(sql)).persistent(false);
    unpack(&query.fetch_one(read).await?, columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [Column::Number("a"), Column::Text("b"), Column::Bytes("c")];

    #[test]
    fn rows_are_as_they_were_packed() {
        let packed = Packed::read(b"-7;3:\xc3\xa9;:3:\x00:;8;0:0:".to_vec(), &COLUMNS).unwrap();
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
    }

    #[test]
    fn texts_are_as_long_as_they_have_characters() {
        for text in ["", "é", "aé", "éa", "日本語", "a😀"] {
            let packed = format!("1;{}:{text}0:2;1:x0:", text.chars().count());
            let packed = Packed::read(packed.into_bytes(), &COLUMNS).unwrap();
            let texts: Vec<_> = packed.rows().map(|row| row.text(1).unwrap()).collect();
            assert_eq!(texts, [text, "x"]);
        }
        // Fewer than it says.
        assert!(Packed::read("1;3:éé".to_owned().into_bytes(), &COLUMNS).is_err());
    }

    #[test]
    fn rows_are_left_out() {
        let mut packed = Packed::read(b"1;0:0:2;0:0:3;0:0:".to_vec(), &COLUMNS).unwrap();
        packed.retain(|row| Ok(row.number(0)? != 2)).unwrap();
        let ids: Vec<_> = packed.rows().map(|row| row.number(0).unwrap()).collect();
        assert_eq!(ids, [1, 3]);
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
