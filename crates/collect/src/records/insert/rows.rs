//! Many rows in few statements.

use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe};
use state::{StateError, Write};

/// Rows of one statement at most.
pub(crate) const CHUNK: usize = 64;
/// Statements are prepared once for each number of rows, so there are few such numbers; what is
/// missing to the next one is filled up with rows that count for nothing.
const LENGTHS: [usize; 12] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, CHUNK];

/// A value of a row.
#[derive(Debug)]
enum Value<'a> {
    Number(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// Rows for one table, in the order of its columns; to change rows, the first names the row and the
/// others are only counted.
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

    /// Inserts all of them; the first column is a number that is not negative. `conflict` is what
    /// follows the values, such as `ON CONFLICT …`.
    pub(crate) async fn insert(&self, write: &mut Write, conflict: &str) -> Result<(), StateError> {
        let (table, names) = (self.table, self.columns.join(", "));
        let statement = |tuples: &str| {
            format!(
                "INSERT INTO {table} ({names}) SELECT * FROM (VALUES {tuples}) AS given \
                 WHERE column1 >= 0 {conflict}"
            )
        };
        self.execute(write, statement).await
    }

    /// Changes the row of each, which its first column names: a number that is not negative. `set` calls
    /// the values `given.column2` and so on.
    pub(crate) async fn update(&self, write: &mut Write, set: &str) -> Result<(), StateError> {
        let table = self.table;
        let name = self.columns.first().copied().unwrap_or_default();
        let statement = |tuples: &str| {
            format!(
                "UPDATE {table} SET {set} FROM (VALUES {tuples}) AS given \
                 WHERE {table}.{name} = given.column1"
            )
        };
        self.execute(write, statement).await
    }

    async fn execute(
        &self,
        write: &mut Write,
        statement: impl Fn(&str) -> String,
    ) -> Result<(), StateError> {
        let width = self.columns.len();
        for values in self.values.chunks(CHUNK * width) {
            let rows = length_of(values.len() / width);
            let tuples: Vec<String> = (0..rows)
                .map(|row| format!("({})", write.marks(row * width + 1, width)))
                .collect();
            let sql = statement(&tuples.join(", "));
            let mut query = sqlx::query::<Any>(AssertSqlSafe(sql));
            for value in values {
                query = match value {
                    Value::Number(number) => query.bind(*number),
                    Value::Text(text) => query.bind(*text),
                    Value::Bytes(bytes) => query.bind(*bytes),
                };
            }
            // Rows that count for nothing, of the same types.
            let like = values.iter().take(width).cycle();
            for value in like.take((rows * width) - values.len()) {
                query = match value {
                    Value::Number(_) => query.bind(-1_i64),
                    Value::Text(_) => query.bind(""),
                    Value::Bytes(_) => query.bind(b"".as_slice()),
                };
            }
            query.execute(&mut *write).await?;
        }
        Ok(())
    }
}

/// The length of the statement for so many rows, [`CHUNK`] at most.
fn length_of(rows: usize) -> usize {
    let lengths = LENGTHS.iter().copied();
    lengths
        .filter(|length| *length >= rows)
        .min()
        .unwrap_or(CHUNK)
}

/// Some values, repeated to a length for which there is a statement: for questions that don't change
/// by it.
pub(crate) fn filled_up<T: Clone>(values: &[T]) -> Vec<T> {
    let more = length_of(values.len()).saturating_sub(values.len());
    let last = values.last().into_iter().cycle().take(more);
    values.iter().chain(last).cloned().collect()
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
