//! Many rows in few statements.

use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe};
use state::{StateError, Write};

/// Rows of one statement at most. Statements are prepared once for each number of rows, so there are
/// few such numbers: this one and the powers of two below it.
pub(crate) const CHUNK: usize = 64;

/// A value of a row.
#[derive(Debug)]
enum Value<'a> {
    Number(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// Rows for one table, in the order of its columns.
pub(crate) struct Rows<'a> {
    table: &'static str,
    columns: &'a [&'static str],
    values: Vec<Value<'a>>,
}

impl<'a> Rows<'a> {
    pub(crate) fn into(table: &'static str, columns: &'a [&'static str]) -> Self {
        Self {
            table,
            columns,
            values: Vec::new(),
        }
    }

    pub(crate) fn number(&mut self, number: i64) -> &mut Self {
        self.values.push(Value::Number(number));
        self
    }

    pub(crate) fn text(&mut self, text: &'a str) -> &mut Self {
        self.values.push(Value::Text(text));
        self
    }

    pub(crate) fn bytes(&mut self, bytes: &'a [u8]) -> &mut Self {
        self.values.push(Value::Bytes(bytes));
        self
    }

    /// Inserts all of them; `conflict` is what follows the values, such as `ON CONFLICT …`.
    pub(crate) async fn insert(&self, write: &mut Write, conflict: &str) -> Result<(), StateError> {
        let width = self.columns.len();
        let mut rest = self.values.as_slice();
        while !rest.is_empty() {
            let rows = chunk_of(rest.len() / width);
            let (now, later) = rest.split_at_checked(rows * width).unwrap_or((rest, &[]));
            let names = self.columns.join(", ");
            let tuples: Vec<String> = (0..rows)
                .map(|row| format!("({})", placeholders(row * width + 1, width)))
                .collect();
            let (table, tuples) = (self.table, tuples.join(", "));
            let sql = format!("INSERT INTO {table} ({names}) VALUES {tuples} {conflict}");
            let mut query = sqlx::query::<Any>(AssertSqlSafe(sql));
            for value in now {
                query = match value {
                    Value::Number(number) => query.bind(*number),
                    Value::Text(text) => query.bind(*text),
                    Value::Bytes(bytes) => query.bind(*bytes),
                };
            }
            query.execute(&mut *write).await?;
            rest = later;
        }
        Ok(())
    }
}

/// The largest power of two that is at most `rows`, and at most [`CHUNK`].
fn chunk_of(rows: usize) -> usize {
    let power = rows.checked_ilog2().map_or(1, |power| 1 << power);
    power.min(CHUNK)
}

/// `$3, $4, $5` for three from 3 on.
pub(crate) fn placeholders(first: usize, count: usize) -> String {
    let marks: Vec<String> = (first..first + count).map(|n| format!("${n}")).collect();
    marks.join(", ")
}

/// The rows of a statement with these numbers.
pub(crate) async fn fetch(
    write: &mut Write,
    sql: String,
    numbers: &[i64],
) -> Result<Vec<AnyRow>, StateError> {
    let mut query = sqlx::query::<Any>(AssertSqlSafe(sql));
    for number in numbers {
        query = query.bind(*number);
    }
    Ok(query.fetch_all(&mut *write).await?)
}
