//! Several statements of a transaction in one go: each of its own would go to the database and back, and
//! whoever waits for a commit waits for all of these ways.

use futures_util::TryStreamExt as _;
use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Either, Executor as _, Row as _};

use crate::StateError;
use crate::session::Write;

/// A value of a statement.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// A `BIGINT`.
    Number(i64),
    /// A `TEXT`.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// A statement with its values, in the order of their marks. A mark is `?` on both databases; no other
/// question mark may be in the text.
#[derive(Debug, Clone, Default)]
pub struct Statement<'a> {
    sql: String,
    values: Vec<Value<'a>>,
}

impl<'a> Statement<'a> {
    /// A text without marks.
    pub fn new(sql: &str) -> Self {
        Self {
            sql: sql.to_owned(),
            values: Vec::new(),
        }
    }

    /// Adds text without marks.
    #[must_use]
    pub fn sql(mut self, sql: &str) -> Self {
        self.sql.push_str(sql);
        self
    }

    /// Adds a mark with its value.
    #[must_use]
    pub fn value(mut self, value: Value<'a>) -> Self {
        self.sql.push('?');
        self.values.push(value);
        self
    }

    /// Adds marks with their values, with a comma between them.
    #[must_use]
    pub fn list(mut self, values: impl IntoIterator<Item = Value<'a>>) -> Self {
        for (place, value) in values.into_iter().enumerate() {
            self.sql.push_str(if place == 0 { "?" } else { ", ?" });
            self.values.push(value);
        }
        self
    }

    /// Adds another one, with its values.
    #[must_use]
    pub fn then(mut self, other: Self) -> Self {
        self.sql.push_str(&other.sql);
        self.values.extend(other.values);
        self
    }

    /// With the marks that PostgreSQL knows.
    fn numbered(self) -> Self {
        let mut sql = String::with_capacity(self.sql.len() + 2 * self.values.len());
        for (number, part) in self.sql.split('?').enumerate() {
            if number > 0 {
                sql.push('$');
                sql.push_str(&number.to_string());
            }
            sql.push_str(part);
        }
        Self { sql, ..self }
    }
}

impl Write {
    /// Asks several things of which none needs the answer of another; gives the rows of each. On
    /// PostgreSQL each sees what others have committed when its turn comes.
    pub async fn ask<const N: usize>(
        &mut self,
        statements: [Statement<'_>; N],
    ) -> Result<[Vec<AnyRow>; N], StateError> {
        let mut all: [Vec<AnyRow>; N] = std::array::from_fn(|_| Vec::new());
        if self.is_sqlite() {
            self.run(joined(statements), &mut all).await?;
            return Ok(all);
        }
        for (statement, rows) in statements.into_iter().zip(&mut all) {
            let rows = std::slice::from_mut(rows);
            self.run(statement.numbered(), rows).await?;
        }
        Ok(all)
    }

    /// Runs statements that change rows and give none, with what tells of the topics that were touched.
    /// On PostgreSQL they are one statement: none sees what another changes, so no row may be changed by
    /// two of them. On SQLite one comes after the other. After an error nothing else can be done with the
    /// transaction: some of them may have happened in it.
    pub async fn change(&mut self, statements: Vec<Statement<'_>>) -> Result<(), StateError> {
        let topics = self.untold();
        let news = topics.iter().map(|topic| self.announcement(topic));
        if self.is_sqlite() {
            let count = statements.len();
            let all = joined(statements.into_iter().chain(news));
            let mut answers: Vec<Vec<AnyRow>> = vec![Vec::new(); count + topics.len()];
            self.run(all, &mut answers).await?;
            for (topic, rows) in topics.into_iter().zip(answers.into_iter().skip(count)) {
                let version = rows.first().map(|row| row.try_get(0)).transpose()?;
                self.told(topic, version);
            }
            return Ok(());
        }
        let mut all = Statement::default();
        for (place, statement) in statements.into_iter().enumerate() {
            let before = if place == 0 { "WITH" } else { "," };
            let before = Statement::new(&format!("{before} change_{place} AS ("));
            all = all.then(before).then(statement).sql(") ");
        }
        all = all.sql("SELECT 1");
        for news in news {
            // Each a column of the same row.
            all = all.sql(", ").then(news);
        }
        self.run(all.numbered(), &mut []).await?;
        for topic in topics {
            self.told(topic, None);
        }
        Ok(())
    }

    /// Puts the rows of each statement of a text into the next of `answers`, as far as there are some.
    async fn run(
        &mut self,
        statement: Statement<'_>,
        answers: &mut [Vec<AnyRow>],
    ) -> Result<(), StateError> {
        // SQLite takes a value that is missing for NULL.
        let marks = if self.is_sqlite() { '?' } else { '$' };
        debug_assert_eq!(
            statement.sql.matches(marks).count(),
            statement.values.len(),
            "each mark has a value: {}",
            statement.sql
        );
        let mut query = sqlx::query::<Any>(AssertSqlSafe(statement.sql));
        for value in statement.values {
            query = match value {
                Value::Number(number) => query.bind(number),
                Value::Text(text) => query.bind(text),
                Value::Bytes(bytes) => query.bind(bytes),
            };
        }
        let mut answers = answers.iter_mut();
        let mut steps = self.fetch_many(query);
        let mut rows = Vec::new();
        while let Some(step) = steps.try_next().await? {
            match step {
                Either::Right(row) => rows.push(row),
                Either::Left(_) => {
                    let rows = std::mem::take(&mut rows);
                    if let Some(answer) = answers.next() {
                        *answer = rows;
                    }
                }
            }
        }
        Ok(())
    }
}

fn joined<'a>(statements: impl IntoIterator<Item = Statement<'a>>) -> Statement<'a> {
    let add = |all: Statement<'a>, next: Statement<'a>| {
        if all.sql.is_empty() {
            return next;
        }
        all.sql("; ").then(next)
    };
    statements.into_iter().fold(Statement::default(), add)
}
