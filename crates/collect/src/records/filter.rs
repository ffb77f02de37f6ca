//! Which records somebody wants: conditions and their values, as one statement.

use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe};
use state::{Read, StateError};

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

    /// Of one group. The indexes of groups and sources hold only rows that are in one, which the
    /// database has to see in the text.
    pub(crate) fn group(&mut self, group: i64) {
        self.number("group_id", "=", group);
        self.texts.push("group_id > 0".to_owned());
    }

    /// A text that begins so, by its characters. No index helps here.
    pub(crate) fn begins_with(&mut self, column: &str, prefix: &str) {
        let length = prefix.chars().count();
        self.text(&format!("substr({column}, 1, {length})"), "=", prefix);
    }

    /// Of any group.
    pub(crate) fn is_grouped(&mut self) {
        self.texts.push("group_id > 0".to_owned());
    }

    /// From inside or outside.
    pub(crate) fn external(&mut self, is_external: bool) {
        self.texts
            .push(format!("external = {}", i64::from(is_external)));
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
        let conditions = if self.texts.is_empty() {
            "1 = 1".to_owned()
        } else {
            self.texts.join(" AND ")
        };
        let sql = format!("{head} WHERE {conditions} {tail}");
        let mut query = sqlx::query::<Any>(AssertSqlSafe(sql));
        for value in &self.values {
            query = match value {
                Value::Number(number) => query.bind(*number),
                Value::Text(text) => query.bind(text.clone()),
            };
        }
        Ok(query.fetch_all(&mut *read).await?)
    }
}
