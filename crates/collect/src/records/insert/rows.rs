//! Many rows in few statements.

use state::{StateError, Statement, Value, Write};

/// Rows of one statement at most.
pub(crate) const CHUNK: usize = 64;
/// A statement is prepared once for each number of rows, and drivers keep a hundred of them: so there are
/// few such numbers. What is missing to the next one is filled up with rows that count for nothing.
const LENGTHS: [usize; 9] = [1, 2, 4, 8, 16, 24, 32, 48, CHUNK];
/// The same for rows that go along with others: each number goes with each of those.
const LENGTHS_BESIDE: [usize; 4] = [1, 4, 16, CHUNK];

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
        write_together(write, &[self], &[]).await
    }

    /// The values of a statement, of which each table has several when it has many rows.
    fn chunk(&self, number: usize) -> &[Value<'a>] {
        let mut chunks = self.values.chunks(CHUNK * self.columns.len());
        chunks.nth(number).unwrap_or_default()
    }

    /// Of so many rows; those that are missing are of the same types and count for nothing.
    fn statement(&self, values: &[Value<'a>], rows: usize) -> Statement<'a> {
        let table = self.table;
        let given = given(values, (rows, self.columns.len()));
        let (before, behind) = match self.change {
            Change::Insert { conflict } => (
                format!(
                    "INSERT INTO {table} ({}) SELECT * FROM",
                    self.columns.join(", ")
                ),
                format!("WHERE column1 >= 0 {conflict}"),
            ),
            Change::Update { set } => (
                format!("UPDATE {table} SET {set} FROM"),
                format!(
                    "WHERE {table}.{} = given.column1",
                    self.columns.first().copied().unwrap_or_default()
                ),
            ),
            Change::Other { before, behind } => (before.to_owned(), behind.to_owned()),
        };
        let before = Statement::new(&before);
        before
            .sql(" (VALUES ")
            .then(given)
            .sql(") AS given ")
            .sql(&behind)
    }
}

/// The tuples of a statement: these values and what is missing to so many rows of so many columns.
fn given<'a>(values: &[Value<'a>], (rows, columns): (usize, usize)) -> Statement<'a> {
    let nothing: Vec<Value<'a>> = values.iter().take(columns).map(nothing_like).collect();
    let mut given = Statement::default();
    for row in 0..rows {
        let at = row * columns;
        let tuple = values.get(at..at + columns).unwrap_or(&nothing);
        given = given.sql(if row == 0 { "(" } else { ", (" });
        given = given.list(tuple.iter().copied()).sql(")");
    }
    given
}

fn nothing_like<'a>(value: &Value<'a>) -> Value<'a> {
    match value {
        Value::Number(_) => Value::Number(-1),
        Value::Text(_) => Value::Text(""),
        Value::Bytes(_) => Value::Bytes(b""),
    }
}

/// Writes the rows of tables that have about as many, and those of others `beside` them, in one go when
/// none has more than [`CHUNK`]: see [`Write::change`] for what may be together.
pub(crate) async fn write_together(
    write: &mut Write,
    tables: &[Rows<'_>],
    beside: &[Rows<'_>],
) -> Result<(), StateError> {
    for number in 0.. {
        let mut statements = statements_of(beside, number, &LENGTHS_BESIDE);
        statements.extend(statements_of(tables, number, &LENGTHS));
        if statements.is_empty() {
            break;
        }
        write.change(statements).await?;
    }
    Ok(())
}

/// The statements for one chunk of each table, all of one length.
fn statements_of<'a>(tables: &[Rows<'a>], number: usize, lengths: &[usize]) -> Vec<Statement<'a>> {
    let chunks: Vec<_> = tables
        .iter()
        .map(|table| (table, table.chunk(number)))
        .filter(|(_, values)| !values.is_empty())
        .collect();
    let rows = chunks
        .iter()
        .map(|(table, values)| values.len() / table.columns.len());
    let length = rows.max().map_or(0, |rows| length_in(lengths, rows));
    let statements = chunks
        .iter()
        .map(|(table, values)| table.statement(values, length));
    statements.collect()
}

/// The length of a question for so many, [`CHUNK`] at most.
pub(crate) fn length_of(count: usize) -> usize {
    length_in(&LENGTHS, count)
}

fn length_in(lengths: &[usize], count: usize) -> usize {
    let lengths = lengths.iter().copied();
    let enough = lengths.filter(|length| *length >= count);
    enough.min().unwrap_or(CHUNK)
}

/// Values for a question, of which the last is repeated up to `length`: the answer does not change by it.
/// Nothing for none.
pub(crate) fn filled<T: Copy>(mut values: Vec<T>, length: usize) -> Option<Vec<T>> {
    let last = *values.last()?;
    let length = length.max(values.len());
    values.resize(length, last);
    Some(values)
}

/// `$3, $4, $5` for three from 3 on.
pub(crate) fn placeholders(first: usize, count: usize) -> String {
    let marks: Vec<String> = (first..first + count).map(|n| format!("${n}")).collect();
    marks.join(", ")
}
