//! Which records somebody wants: conditions and their values, as one statement.

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe};
use state::{Read, StateError};

use super::packed::{self, Column, Packed};
use super::search::{Bits, Field, Hints};

/// Values of one field that the index is asked for; more of them help little.
pub(crate) const INDEXED_VALUES_MAX: usize = 64;

/// A value of a condition.
#[derive(Debug, Clone)]
enum Value {
    Number(i64),
    Text(String),
}

/// Conditions on records, all of which hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conditions {
    texts: Vec<String>,
    values: Vec<Value>,
    hints: Hints,
    /// An index of the database finds them, and the other one need not be asked.
    is_grouped: bool,
}

impl Conditions {
    /// `column operator value`, such as `id < 5`.
    pub(crate) fn number(&mut self, column: &str, operator: &str, value: i64) {
        self.values.push(Value::Number(value));
        let mark = self.values.len();
        self.texts.push(format!("{column} {operator} ${mark}"));
    }

    /// The same with a text.
    pub(crate) fn text(&mut self, column: &str, operator: &str, value: &str) {
        self.values.push(Value::Text(value.to_owned()));
        let mark = self.values.len();
        self.texts.push(format!("{column} {operator} ${mark}"));
    }

    /// A text as it stands.
    pub(crate) fn plain(&mut self, text: &str) {
        self.texts.push(text.to_owned());
    }

    /// Adds a number that a text names by what this gives.
    pub(crate) fn value(&mut self, value: i64) -> String {
        self.values.push(Value::Number(value));
        format!("${}", self.values.len())
    }

    /// Records with this text in a field.
    pub(crate) fn field(&mut self, field: Field, value: &str) {
        self.text(field.column(), "=", value);
        self.hints.clauses.push(vec![field.text(value)]);
    }

    /// Records with one of these texts in a field; nothing fits when there are none.
    pub(crate) fn field_in(&mut self, field: Field, values: Vec<String>) {
        let bits = values.iter().map(|value| field.text(value)).collect();
        self.clause(bits);
        self.one_of_texts(field.column(), values);
    }

    /// Records with this number in a field.
    pub(crate) fn field_number(&mut self, field: Field, value: i64) {
        self.number(field.column(), "=", value);
        self.hints.clauses.push(vec![field.number(value)]);
    }

    /// Records of these projects, of so many that there are: all of them need no index.
    pub(crate) fn projects(&mut self, projects: &[i64], count: usize) {
        if projects.len() < count {
            let bits = projects
                .iter()
                .map(|project| Field::Project.number(*project));
            self.clause(bits.collect());
        }
        self.one_of(Field::Project.column(), projects);
    }

    fn clause(&mut self, bits: Vec<Bits>) {
        if bits.len() <= INDEXED_VALUES_MAX {
            self.hints.clauses.push(bits);
        }
    }

    /// Records with ids below this one.
    pub(crate) fn below(&mut self, id: i64) {
        self.number("id", "<", id);
        self.hints.ids.end = self.hints.ids.end.min(id);
    }

    /// Records with ids from this one on.
    pub(crate) fn from(&mut self, id: i64) {
        self.number("id", ">=", id);
        self.hints.ids.start = self.hints.ids.start.max(id);
    }

    /// Records that were received at this time or later, in Unix milliseconds.
    pub(crate) fn received_since(&mut self, time: i64) {
        self.number("received_at", ">=", time);
        self.hints.received.start = self.hints.received.start.max(time);
    }

    /// Records that were received before this time, in Unix milliseconds.
    pub(crate) fn received_before(&mut self, time: i64) {
        self.number("received_at", "<", time);
        self.hints.received.end = self.hints.received.end.min(time);
    }

    /// Of one group. The index of groups holds only records that are in one, which the database has to
    /// see in the text.
    pub(crate) fn group(&mut self, group: i64) {
        self.number("group_id", "=", group);
        self.is_grouped();
    }

    /// Of any group.
    pub(crate) fn is_grouped(&mut self) {
        self.plain("group_id > 0");
        self.is_grouped = true;
    }

    /// A text that begins so, by its characters. No index helps here.
    pub(crate) fn begins_with(&mut self, column: &str, prefix: &str) {
        let length = prefix.chars().count();
        self.text(&format!("substr({column}, 1, {length})"), "=", prefix);
    }

    /// What the index can tell of them.
    pub(crate) fn hints(&self) -> &Hints {
        &self.hints
    }

    /// Whether the index finds them sooner than the database does.
    pub(crate) fn are_helped(&self) -> bool {
        !self.is_grouped && self.hints.narrow()
    }

    /// One of these numbers; nothing fits when there are none.
    pub(crate) fn one_of(&mut self, column: &str, numbers: &[i64]) {
        let values = numbers.iter().copied().map(Value::Number).collect();
        self.is_in(column, values);
    }

    /// One of these texts; nothing fits when there are none.
    pub(crate) fn one_of_texts(&mut self, column: &str, texts: Vec<String>) {
        let values = texts.into_iter().map(Value::Text).collect();
        self.is_in(column, values);
    }

    fn is_in(&mut self, column: &str, values: Vec<Value>) {
        let first = self.values.len() + 1;
        self.values.extend(values);
        let marks: Vec<String> = (first..=self.values.len())
            .map(|n| format!("${n}"))
            .collect();
        self.texts.push(if marks.is_empty() {
            "1 = 0".to_owned()
        } else {
            format!("{column} IN ({})", marks.join(", "))
        });
    }

    /// The rows of `head WHERE conditions tail`.
    pub(crate) async fn fetch(
        &self,
        read: &mut Read,
        head: &str,
        tail: &str,
    ) -> Result<Vec<AnyRow>, StateError> {
        let sql = format!("{head} {} {tail}", self.where_clause());
        Ok(self.query(sql).fetch_all(read).await?)
    }

    /// These columns of `from WHERE conditions tail`, for where many rows are expected.
    pub(crate) async fn fetch_packed(
        &self,
        read: &mut Read,
        columns: &[Column],
        (from, tail): (&str, &str),
    ) -> Result<Packed, StateError> {
        let rest = format!("{from} {} {tail}", self.where_clause());
        let sql = packed::statement(read, columns, &rest);
        packed::fetch(read, columns, self.query(sql)).await
    }

    fn where_clause(&self) -> String {
        if self.texts.is_empty() {
            "WHERE 1 = 1".to_owned()
        } else {
            format!("WHERE {}", self.texts.join(" AND "))
        }
    }

    fn query(&self, sql: String) -> Query<'_, Any, AnyArguments> {
        let mut query = sqlx::query::<Any>(AssertSqlSafe(sql));
        for value in &self.values {
            query = match value {
                Value::Number(number) => query.bind(*number),
                Value::Text(text) => query.bind(text.clone()),
            };
        }
        query
    }
}
