//! `landline artefacts groups`: what groups use and may use, and how long they keep runs.

use std::time::Duration;

use base::config::format_duration;
use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::address::Address;
use super::ls::{number, pinned, taken};
use super::{CommandError, Outcome, Question};
use crate::commands::asking::hub::Hub;
use crate::commands::asking::output::Output;
use crate::commands::asking::query::{self, Query};
use crate::commands::asking::table::{self, Column, whole};
use crate::commands::asking::text;

const GROUPS: &str = "/v1/artefacts/groups";
/// What is asked for at once, the API's most.
const PAGE: u64 = 1_000;
/// Takes back what was set.
const DEFAULT: &str = "default";
/// What is shown of a group.
const GROUP: [Column; 8] = [
    whole("GROUP"),
    whole("RUNS"),
    whole("FILES"),
    whole("SIZE"),
    whole("QUOTA"),
    whole("KEEPS"),
    whole("PINNED"),
    whole("CHANGED"),
];

/// `landline artefacts groups …`
#[derive(Debug, Subcommand)]
pub(crate) enum GroupsCommand {
    /// Say how long a group keeps runs, and how much it may use
    #[command(
        after_help = "Example: landline artefacts groups set nightly --retention 30d --quota 50GiB"
    )]
    Set(SetArguments),
}

/// What is said of a group.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub(crate) struct SetArguments {
    /// The group
    #[arg(value_parser = Address::parse_group)]
    group: Address,
    /// How long runs are kept that are not pinned: 30d, `forever`, or `default` for what the
    /// configuration says
    #[arg(long, value_name = "TIME", group = "what")]
    retention: Option<String>,
    /// What the group may use: 10GiB, `none`, or `default` for what the configuration says
    #[arg(long, value_name = "SIZE", group = "what")]
    quota: Option<String>,
    /// Keep all runs of the group, whatever its retention is
    #[arg(long, group = "what", conflicts_with = "unpin")]
    pin: bool,
    /// Take that back
    #[arg(long, group = "what")]
    unpin: bool,
    #[command(flatten)]
    question: Question,
}

impl GroupsCommand {
    /// Which hub is asked.
    pub(super) fn question(&self) -> &Question {
        match self {
            Self::Set(arguments) => &arguments.question,
        }
    }

    /// Runs it.
    pub(super) async fn run(&self, hub: &Hub, output: &mut Output) -> Outcome {
        match self {
            Self::Set(arguments) => set(hub, arguments, output).await,
        }
    }
}

/// Lists all groups.
pub(super) async fn list(hub: &Hub, question: &Question, output: &mut Output) -> Outcome {
    let mut groups = Vec::new();
    let mut after: Option<String> = None;
    let last = loop {
        let query = Query::default().with("limit", &PAGE);
        let query = query.with_some("after", after.as_ref());
        let mut page = hub.get(&query.at(GROUPS)).await?;
        let found = taken(&mut page, "groups");
        if question.json {
            found.iter().try_for_each(|group| output.json_line(group))?;
        } else {
            groups.extend(found.iter().map(row));
        }
        let next = page.get("next").and_then(Value::as_str).map(str::to_owned);
        match next {
            Some(next) if after.as_ref() != Some(&next) => after = Some(next),
            _ => break page,
        }
    };
    if question.json {
        return output.flush();
    }
    if groups.is_empty() {
        eprintln!("landline: there are no groups");
        return Ok(());
    }
    output.lines(&table::lines(&GROUP, &groups, output.width()))?;
    output.line(&summary(&last))?;
    output.flush()
}

fn row(group: &Value) -> Vec<String> {
    let field = |name: &str| text::field(group, name);
    vec![
        field("name"),
        field("runs"),
        field("files"),
        text::bytes(number(group, "bytes")),
        quota(group),
        retention(group),
        pinned(group),
        text::age(&field("changed_at"), query::now()),
    ]
}

fn quota(group: &Value) -> String {
    let quota = group.get("quota").and_then(Value::as_u64);
    quota.map_or_else(|| "none".to_owned(), text::bytes)
}

fn retention(group: &Value) -> String {
    let seconds = group.get("retention").and_then(Value::as_u64);
    let seconds = seconds.map(|seconds| format_duration(Duration::from_secs(seconds)));
    seconds.unwrap_or_else(|| "forever".to_owned())
}

/// What all groups use together.
fn summary(page: &Value) -> String {
    let total = page.get("total").unwrap_or(&Value::Null);
    let quota = total.get("quota").and_then(Value::as_u64);
    let quota = quota.map_or_else(String::new, |quota| format!(" of {}", text::bytes(quota)));
    let free = page.get("free").and_then(Value::as_u64);
    let free = free.map_or_else(String::new, |free| {
        format!(", {} free on the disk", text::bytes(free))
    });
    format!("{}{quota} used{free}", text::bytes(number(total, "bytes")))
}

async fn set(hub: &Hub, arguments: &SetArguments, output: &mut Output) -> Outcome {
    let mut change = Map::new();
    let said = [
        ("retention", &arguments.retention),
        ("quota", &arguments.quota),
    ];
    for (name, said) in said {
        if let Some(said) = said {
            let value = (said != DEFAULT).then_some(said.as_str());
            change.insert(name.to_owned(), json!(value));
        }
    }
    if arguments.pin || arguments.unpin {
        change.insert("pinned".to_owned(), json!(arguments.pin));
    }
    let path = arguments.group.path_of_group();
    let group = hub.patch(&path, &Value::Object(change)).await;
    let group = group.map_err(|error| match error {
        CommandError::Refused { status: 404, text } => CommandError::Refused {
            status: 404,
            text: format!("{text}: the first upload makes a group"),
        },
        error => error,
    })?;
    if arguments.question.json {
        return output.json(&group);
    }
    let name = text::harmless(&arguments.group.group);
    let pin = match group.get("pinned").and_then(Value::as_bool) {
        Some(true) => ", and is pinned: all of its runs stay",
        _ => "",
    };
    let keeps = match retention(&group).as_str() {
        "forever" => "keeps runs for ever".to_owned(),
        time => format!("keeps runs for {time}"),
    };
    let quota = match quota(&group).as_str() {
        "none" => "without a quota".to_owned(),
        quota => format!("may use {quota}"),
    };
    output.line(&format!("{name} {keeps}, {quota}{pin}"))?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_say_what_they_may_use() {
        let group = json!({"quota": 10_737_418_240_u64, "retention": 2_592_000});
        assert_eq!(quota(&group), "10.0 GiB");
        assert_eq!(retention(&group), "30d");
        let group = json!({"quota": null, "retention": null});
        assert_eq!(
            (quota(&group), retention(&group)),
            ("none".into(), "forever".into())
        );
        let page = json!({"total": {"bytes": 2_048, "quota": 4_096}, "free": 1_024});
        assert_eq!(
            summary(&page),
            "2.0 KiB of 4.0 KiB used, 1.0 KiB free on the disk"
        );
        let page = json!({"total": {"bytes": 2_048, "quota": null}, "free": null});
        assert_eq!(summary(&page), "2.0 KiB used");
    }
}
