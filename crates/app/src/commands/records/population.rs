//! `landline records population`: machines per build by their heartbeats.

use serde_json::Value;

use super::hub::Hub;
use super::output::Output;
use super::query::Query;
use super::table::{self, Column, flexible, whole};
use super::{CommandError, Outcome, PopulationArguments, chart, text};

/// What is shown of a build.
const BUILD: [Column; 6] = [
    flexible("BUILD", 12),
    whole("MACHINES"),
    whole("OURS"),
    whole("OTHERS"),
    whole("CRASHED"),
    whole(""),
];
/// The width of bars.
const BAR_COLUMNS: usize = 24;

/// `landline records population`
pub(super) async fn population(
    hub: &Hub,
    arguments: &PopulationArguments,
    output: &mut Output,
) -> Outcome {
    let query = Query::default().with_some("project", arguments.project.as_ref());
    let answer = hub.get(&query.at("/v1/records/population")).await?;
    if arguments.question.json {
        return output.json(&answer);
    }
    // To the API, 0 days are all that there are.
    let days = arguments.days.parse().unwrap_or(0);
    let rows = rows(&answer, days)?;
    if rows.is_empty() {
        let window = match days {
            0 => "ever".to_owned(),
            1 => "today".to_owned(),
            days => format!("in the last {days} days"),
        };
        eprintln!("landline: no machine has sent a heartbeat {window}");
        return Ok(());
    }
    output.lines(&table::lines(&BUILD, &rows, output.width()))?;
    output.flush()
}

/// The builds of a window, the newest first.
fn rows(answer: &Value, days: u64) -> Outcome<Vec<Vec<String>>> {
    let windows = answer.get("windows").and_then(Value::as_array);
    let is_it = |window: &&Value| window.get("days").and_then(Value::as_u64) == Some(days);
    let window = windows.into_iter().flatten().find(is_it);
    let window = window
        .ok_or_else(|| CommandError::wrong("the hub does not count these days; try others"))?;
    let builds = window.get("builds").and_then(Value::as_array);
    let builds = builds.map(Vec::as_slice).unwrap_or_default();
    let count = |build: &Value, name: &str| build.get(name).and_then(Value::as_u64).unwrap_or(0);
    let machines =
        |build: &Value| count(build, "internal").saturating_add(count(build, "external"));
    let most = builds.iter().map(machines).max().unwrap_or(0);
    let row = |build: &Value| {
        vec![
            text::field(build, "build"),
            text::number(machines(build)),
            text::number(count(build, "internal")),
            text::number(count(build, "external")),
            text::number(count(build, "crashed")),
            chart::bar(machines(build), most, BAR_COLUMNS),
        ]
    };
    Ok(builds.iter().rev().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_newest_build_is_the_first() {
        let build = |build: &str, internal: u64, external: u64, crashed: u64| json!({"build": build, "internal": internal, "external": external, "crashed": crashed});
        let answer = json!({"windows": [
            {"days": 0, "builds": [build("100", 2_000, 0, 7), build("200", 500, 500, 0)]},
            {"days": 7, "builds": []},
        ]});
        let found = rows(&answer, 0).unwrap();
        let bar = "█".repeat(BAR_COLUMNS / 2);
        assert_eq!(found[0], ["200", "1,000", "500", "500", "0", bar.as_str()]);
        assert_eq!(found[1][..5], ["100", "2,000", "2,000", "0", "7"]);
        assert!(rows(&answer, 7).unwrap().is_empty());
        assert!(rows(&answer, 14).is_err());
    }
}
