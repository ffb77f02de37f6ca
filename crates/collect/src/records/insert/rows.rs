//! Many rows in few statements, and several statements in one go.

use futures_util::TryStreamExt as _;
use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Either, Executor as _};
use state::{StateError, Write};

/// Rows of one statement at most.
pub(crate) const CHUNK: usize = 64;
/// Statements are prepared once for each number of rows, so there are few such numbers; what is
/// missing to the next one is filled up with rows that count for nothing.
const LENGTHS: [usize; 12] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, CHUNK];

/// A value of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Number(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// One statement with its values, in the order of their marks.
#[derive(Debug)]
pub(crate) struct Statement<'a> {
    sql: String,
    values: Vec<Value<'a>>,
}

impl<'a> Statement<'a> {
    pub(crate) fn new(sql: &str) -> Self {
        Self {
            sql: sql.to_owned(),
            values: Vec::new(),
        }
    }

    pub(crate) fn sql(mut self, sql: &str) -> Self {
        self.sql.push_str(sql);
        self
    }

    /// Adds the marks of these values, with a comma between them.
    pub(crate) fn list(
        mut self,
        write: &Write,
        values: impl IntoIterator<Item = Value<'a>>,
    ) -> Self {
        let first = self.values.len() + 1;
        self.values.extend(values);
        let count = self.values.len() + 1 - first;
        self.sql.push_str(&write.marks(first, count));
        self
    }
}

/// Runs statements of which none needs the answer of another; gives the rows of each list of them.
/// SQLite has them as one text: each of its own would go to the thread of the database and back.
pub(crate) async fn together<const N: usize>(
    write: &mut Write,
    lists: [Vec<Statement<'_>>; N],
) -> Result<[Vec<AnyRow>; N], StateError> {
    let mut rows: [Vec<AnyRow>; N] = std::array::from_fn(|_| Vec::new());
    let places = lists.each_ref().map(Vec::len);
    let places = (0..N).zip(places);
    let mut place_of = places.flat_map(|(place, count)| std::iter::repeat_n(place, count));
    let mut statements: Vec<Statement<'_>> = lists.into_iter().flatten().collect();
    if write.takes_several() && !statements.is_empty() {
        statements = vec![joined(statements)];
    }
    for statement in statements {
        let mut query = sqlx::query::<Any>(AssertSqlSafe(statement.sql));
        for value in statement.values {
            query = match value {
                Value::Number(number) => query.bind(number),
                Value::Text(text) => query.bind(text),
                Value::Bytes(bytes) => query.bind(bytes),
            };
        }
        let mut answers = write.fetch_many(query);
        let mut answer = Vec::new();
        while let Some(step) = answers.try_next().await? {
            match step {
                Either::Right(row) => answer.push(row),
                Either::Left(_) => {
                    let list = place_of.next().and_then(|place| rows.get_mut(place));
                    if let Some(list) = list {
                        list.append(&mut answer);
                    }
                }
            }
        }
    }
    Ok(rows)
}

fn joined(statements: Vec<Statement<'_>>) -> Statement<'_> {
    let mut all = Statement::new("");
    for (place, mut statement) in statements.into_iter().enumerate() {
        if place > 0 {
            all.sql.push_str("; ");
        }
        all.sql.push_str(&statement.sql);
        all.values.append(&mut statement.values);
    }
    all
}

/// Rows for one table, in the order of its columns; to change rows, the first names the row and the
/// others are only counted.
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    table: &'static str,
    columns: &'a [&'static str],
    change: Change,
    values: Vec<Value<'a>>,
}

/// What the rows are for.
#[derive(Debug)]
enum Change {
    /// What follows the values, such as `ON CONFLICT …`.
    Insert { conflict: &'static str },
    /// What is set; it calls the values `given.column2` and so on.
    Update { set: &'static str },
    /// What stands before and behind the values, which are called in the same way.
    Other {
        before: &'static str,
        behind: &'static str,
    },
}

impl<'a> Rows<'a> {
    /// Rows to insert; the first column is a number that is not negative.
    pub(crate) fn into(table: &'static str, columns: &'a [&'static str]) -> Self {
        Self {
            table,
            columns,
            change: Change::Insert { conflict: "" },
            values: Vec::new(),
        }
    }

    /// With what follows the values.
    pub(crate) fn on_conflict(mut self, conflict: &'static str) -> Self {
        self.change = Change::Insert { conflict };
        self
    }

    /// Rows to change, which the first column names: a number that is not negative. `set` calls the
    /// values `given.column2` and so on.
    pub(crate) fn changing(
        table: &'static str,
        columns: &'a [&'static str],
        set: &'static str,
    ) -> Self {
        Self {
            change: Change::Update { set },
            ..Self::into(table, columns)
        }
    }

    /// Rows for a statement of its own: what stands before and behind them, where they are called `given`.
    /// It passes over those whose first column is negative.
    pub(crate) fn between(
        columns: &'a [&'static str],
        (before, behind): (&'static str, &'static str),
    ) -> Self {
        Self {
            change: Change::Other { before, behind },
            ..Self::into("", columns)
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

    /// Writes all of them.
    pub(crate) async fn write(self, write: &mut Write) -> Result<(), StateError> {
        write_together(write, &[self]).await
    }

    /// The values of a statement, of which each table has several when it has many rows.
    fn chunk(&self, number: usize) -> &[Value<'a>] {
        let mut chunks = self.values.chunks(CHUNK * self.columns.len());
        chunks.nth(number).unwrap_or_default()
    }

    /// Of so many rows; those that are missing are of the same types and count for nothing.
    fn statement(&self, write: &Write, values: &[Value<'a>], rows: usize) -> Statement<'a> {
        let (table, width) = (self.table, self.columns.len());
        let tuples: Vec<String> = (0..rows)
            .map(|row| format!("({})", write.marks(row * width + 1, width)))
            .collect();
        let tuples = tuples.join(", ");
        let sql = match self.change {
            Change::Insert { conflict } => format!(
                "INSERT INTO {table} ({}) SELECT * FROM (VALUES {tuples}) AS given \
                 WHERE column1 >= 0 {conflict}",
                self.columns.join(", ")
            ),
            Change::Update { set } => format!(
                "UPDATE {table} SET {set} FROM (VALUES {tuples}) AS given \
                 WHERE {table}.{} = given.column1",
                self.columns.first().copied().unwrap_or_default()
            ),
            Change::Other { before, behind } => {
                format!("{before} (VALUES {tuples}) AS given {behind}")
            }
        };
        let like = values.iter().take(width).cycle();
        let missing = like.take((rows * width).saturating_sub(values.len()));
        let nothing = missing.map(|value| match value {
            Value::Number(_) => Value::Number(-1),
            Value::Text(_) => Value::Text(""),
            Value::Bytes(_) => Value::Bytes(b""),
        });
        let values = values.iter().copied().chain(nothing).collect();
        Statement { sql, values }
    }
}

/// Writes the rows of several tables, in their order.
pub(crate) async fn write_together(
    write: &mut Write,
    tables: &[Rows<'_>],
) -> Result<(), StateError> {
    for number in 0.. {
        let chunks: Vec<_> = tables
            .iter()
            .map(|table| (table, table.chunk(number)))
            .filter(|(_, values)| !values.is_empty())
            .collect();
        let rows = chunks
            .iter()
            .map(|(table, values)| values.len() / table.columns.len());
        // All of one length, so that there are few texts.
        let Some(rows) = rows.max().map(length_of) else {
            break;
        };
        let statements = chunks
            .iter()
            .map(|(table, values)| table.statement(write, values, rows))
            .collect();
        together(write, [statements]).await?;
    }
    Ok(())
}

/// The length of the statement for so many rows, [`CHUNK`] at most.
pub(crate) fn length_of(rows: usize) -> usize {
    let lengths = LENGTHS.iter().copied();
    lengths
        .filter(|length| *length >= rows)
        .min()
        .unwrap_or(CHUNK)
}

/// Values for questions, [`CHUNK`] at most for each, which are repeated up to `length`: the answer does
/// not change by it.
pub(crate) fn chunks_of<T: Copy>(values: &[T], length: usize) -> impl Iterator<Item = Vec<T>> {
    values.chunks(CHUNK).map(move |chunk| {
        let missing = length.saturating_sub(chunk.len());
        let again = chunk.last().into_iter().cycle().take(missing);
        chunk.iter().chain(again).copied().collect()
    })
}

/// `$3, $4, $5` for three from 3 on.
pub(crate) fn placeholders(first: usize, count: usize) -> String {
    let marks: Vec<String> = (first..first + count).map(|n| format!("${n}")).collect();
    marks.join(", ")
}
