//! `landline records retention`: what the next look of retention would remove.

use serde_json::Value;

use super::hub::Hub;
use super::output::Output;
use super::table::{self, Column, flexible, whole};
use super::{Outcome, RetentionArguments, text};

/// What is shown of a classification.
const CLASS: [Column; 2] = [flexible("CLASSIFICATION", 14), whole("RECORDS")];

/// `landline records retention`
pub(super) async fn retention(
    hub: &Hub,
    arguments: &RetentionArguments,
    output: &mut Output,
) -> Outcome {
    let answer = hub.get("/v1/records/retention").await?;
    if arguments.question.json {
        return output.json(&answer);
    }
    let rows = rows(&answer);
    if !rows.is_empty() {
        output.lines(&table::lines(&CLASS, &rows, output.width()))?;
        output.line("")?;
    }
    let number = |name: &str| text::number(answer.get(name).and_then(Value::as_u64).unwrap_or(0));
    output.line(&format!(
        "the next look removes {} records; of {} the age is looked at",
        number("records"),
        number("looked_at"),
    ))?;
    output.flush()
}

/// Classifications and their records, those with most first.
fn rows(answer: &Value) -> Vec<Vec<String>> {
    let found = answer.get("classifications").and_then(Value::as_object);
    let mut found: Vec<(String, u64)> = found
        .into_iter()
        .flatten()
        .map(|(class, count)| (text::harmless(class), count.as_u64().unwrap_or(0)))
        .collect();
    found.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let row =
        |(class, count): (String, u64)| vec![text::classification(&class), text::number(count)];
    found.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn most_is_first() {
        let answer = json!({"classifications": {"org.clearlinux/a/b": 2, "x/y/z": 1_000}});
        assert_eq!(rows(&answer), [["x/y/z", "1,000"], ["a/b", "2"]]);
    }
}
