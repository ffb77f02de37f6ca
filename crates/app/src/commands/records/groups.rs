//! `landline records groups …`: crash groups, and what people decide about them.

use clap::Subcommand;
use serde_json::{Value, json};

use super::hub::Hub;
use super::output::Output;
use super::query::{self, Query};
use super::table::{self, Column, flexible, whole};
use super::{Outcome, Question, chart, list, show, text};

/// What the list shows of a group.
const GROUP: [Column; 9] = [
    whole("ID"),
    flexible("STATE", 6),
    whole("RECORDS"),
    whole("MACHINES"),
    whole("LAST"),
    flexible("FUNCTION", 14),
    flexible("MODULE", 8),
    flexible("BUILDS", 8),
    flexible("COMMENT", 16),
];
/// The width of bars.
const BAR_COLUMNS: usize = 24;
/// The width of days when there is no terminal.
const DAY_COLUMNS: usize = 60;
/// Builds with bars of their own.
const BUILDS_MAX: usize = 20;

/// What is said when groups have changed.
const FOLLOWS: &str =
    "its records follow in the background, `landline records frames ls` says how far they are";

/// `landline records groups …`
#[derive(Debug, Subcommand)]
pub(crate) enum GroupsCommand {
    /// List them, those with most records in the window first
    #[command(after_help = "Example: landline records groups ls --days 30")]
    Ls(ListGroupsArguments),
    /// Show a group with its builds, days and latest records, and what makes it a group
    #[command(after_help = "Example: landline records groups show 7")]
    Show(GroupArguments),
    /// Write a comment on a group over the one before; an empty one removes it
    #[command(after_help = "Example: landline records groups comment 7 'fixed upstream in 3.2'")]
    Comment(CommentArguments),
    /// Leave a group out of lists
    #[command(after_help = "Example: landline records groups hide 7")]
    Hide(GroupArguments),
    /// List a group again
    #[command(after_help = "Example: landline records groups unhide 7")]
    Unhide(GroupArguments),
    /// Say that a group is over: it regresses when a later build crashes there
    #[command(after_help = "Example: landline records groups resolve 7")]
    Resolve(GroupArguments),
    /// Say that a group is not over
    #[command(after_help = "Example: landline records groups reopen 7")]
    Reopen(GroupArguments),
    /// Make a group a part of another: its records follow in the background
    #[command(after_help = "Example: landline records groups merge 7 --into 3")]
    Merge(MergeArguments),
    /// Make a group that is a part of another one of its own again
    #[command(after_help = "Example: landline records groups split 7")]
    Split(GroupArguments),
}

/// Which groups.
#[derive(Debug, clap::Args)]
pub(crate) struct ListGroupsArguments {
    /// Only of this project
    #[arg(long)]
    project: Option<String>,
    /// The days that are counted, back from today
    #[arg(long, value_name = "N", default_value_t = 7,
        value_parser = clap::value_parser!(u16).range(1..=366))]
    days: u16,
    /// Also those that somebody has hidden
    #[arg(long)]
    hidden: bool,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50,
        value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    question: Question,
}

/// Which group.
#[derive(Debug, clap::Args)]
pub(crate) struct GroupArguments {
    /// Its number, as `ls` shows it
    #[arg(value_parser = clap::value_parser!(i64).range(1..))]
    id: i64,
    #[command(flatten)]
    question: Question,
}

/// What is written on which group.
#[derive(Debug, clap::Args)]
pub(crate) struct CommentArguments {
    /// Its number, as `ls` shows it
    #[arg(value_parser = clap::value_parser!(i64).range(1..))]
    id: i64,
    /// The comment, of at most 80 characters
    text: String,
    #[command(flatten)]
    question: Question,
}

/// Which groups become one.
#[derive(Debug, clap::Args)]
pub(crate) struct MergeArguments {
    /// The number of the one that becomes a part, as `ls` shows it
    #[arg(value_parser = clap::value_parser!(i64).range(1..))]
    id: i64,
    /// The number of the one that stays
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    into: i64,
    #[command(flatten)]
    question: Question,
}

impl GroupsCommand {
    /// Which hub is asked.
    pub(super) fn question(&self) -> &Question {
        match self {
            Self::Ls(arguments) => &arguments.question,
            Self::Comment(arguments) => &arguments.question,
            Self::Merge(arguments) => &arguments.question,
            Self::Show(arguments)
            | Self::Hide(arguments)
            | Self::Unhide(arguments)
            | Self::Resolve(arguments)
            | Self::Reopen(arguments)
            | Self::Split(arguments) => &arguments.question,
        }
    }
}

/// Runs `landline records groups …`
pub(super) async fn groups(hub: &Hub, command: &GroupsCommand, output: &mut Output) -> Outcome {
    let (id, change) = match command {
        GroupsCommand::Ls(arguments) => return list(hub, arguments, output).await,
        GroupsCommand::Show(arguments) => return show(hub, arguments, output).await,
        GroupsCommand::Merge(arguments) => return merge(hub, arguments, output).await,
        GroupsCommand::Split(arguments) => return split(hub, arguments, output).await,
        GroupsCommand::Comment(arguments) => (arguments.id, json!({"comment": arguments.text})),
        GroupsCommand::Hide(arguments) => (arguments.id, json!({"is_hidden": true})),
        GroupsCommand::Unhide(arguments) => (arguments.id, json!({"is_hidden": false})),
        GroupsCommand::Resolve(arguments) => (arguments.id, json!({"state": "resolved"})),
        GroupsCommand::Reopen(arguments) => (arguments.id, json!({"state": "open"})),
    };
    let group = hub.post(&path(id), Some(&change)).await?;
    if command.question().json {
        return output.json(&group);
    }
    let (name, state) = (name(&group), state(&group));
    let comment = text::field(&group, "comment");
    let comment = match comment.as_str() {
        "" => String::new(),
        comment => format!(": {comment}"),
    };
    output.line(&format!("group {id}, {name}, is {state}{comment}"))?;
    output.flush()
}

fn path(id: i64) -> String {
    format!("/v1/records/groups/{id}")
}

async fn merge(hub: &Hub, arguments: &MergeArguments, output: &mut Output) -> Outcome {
    let (id, into) = (arguments.id, arguments.into);
    let path = format!("{}/merge", path(id));
    let answer = hub.post(&path, Some(&json!({"into": into}))).await?;
    if arguments.question.json {
        return output.json(&answer);
    }
    // Another one than was named, when that is a part itself.
    let target = text::field(&answer, "merged_into");
    output.line(&format!(
        "group {id} is a part of group {target}; {FOLLOWS}"
    ))?;
    output.flush()
}

async fn split(hub: &Hub, arguments: &GroupArguments, output: &mut Output) -> Outcome {
    let id = arguments.id;
    let answer = hub.post(&format!("{}/split", path(id)), None).await?;
    if arguments.question.json {
        return output.json(&answer);
    }
    output.line(&format!("group {id} is one of its own; {FOLLOWS}"))?;
    output.flush()
}

async fn list(hub: &Hub, arguments: &ListGroupsArguments, output: &mut Output) -> Outcome {
    let query = Query::default()
        .with_some("project", arguments.project.as_ref())
        .with("days", &arguments.days)
        .with("hidden", &arguments.hidden)
        .with("limit", &arguments.limit);
    let answer = hub.get(&query.at("/v1/records/groups")).await?;
    if arguments.question.json {
        return output.json(&answer);
    }
    let groups = answer.get("groups").and_then(Value::as_array);
    let groups = groups.map(Vec::as_slice).unwrap_or_default();
    if groups.is_empty() {
        let days = arguments.days;
        eprintln!("landline: no crash group has records of the last {days} days");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = groups.iter().map(row).collect();
    output.lines(&table::lines(&GROUP, &rows, output.width()))?;
    output.flush()
}

fn row(group: &Value) -> Vec<String> {
    let field = |name: &str| text::field(group, name);
    let builds = builds_of(group).into_iter().map(|(build, _)| build);
    let builds = builds.collect::<Vec<_>>().join(",");
    vec![
        field("id"),
        state(group),
        field("count"),
        field("machines"),
        text::age(&field("last_seen"), query::now()),
        field("function"),
        show::base_name(&field("module")),
        builds,
        field("comment"),
    ]
}

fn name(group: &Value) -> String {
    let field = |name: &str| text::field(group, name);
    match field("module").as_str() {
        "" => field("function"),
        module => format!("{} in {module}", field("function")),
    }
}

fn state(group: &Value) -> String {
    let state = text::field(group, "state");
    match group.get("is_hidden").and_then(Value::as_bool) {
        Some(true) => format!("{state}, hidden"),
        _ => state,
    }
}

async fn show(hub: &Hub, arguments: &GroupArguments, output: &mut Output) -> Outcome {
    let group = hub.get(&path(arguments.id)).await?;
    if arguments.question.json {
        return output.json(&group);
    }
    let now = query::now();
    let field = |name: &str| text::field(&group, name);
    let seen = |name: &str| format!("{} ({} ago)", field(name), text::age(&field(name), now));
    output.line(&show::named("id", &field("id")))?;
    output.line(&show::named("crash", &name(&group)))?;
    output.line(&show::named("state", &state(&group)))?;
    output.line(&show::named("comment", &field("comment")))?;
    for name in ["project", "classification"] {
        output.line(&show::named(name, &field(name)))?;
    }
    output.line(&show::named("first_seen", &seen("first_seen")))?;
    output.line(&show::named("last_seen", &seen("last_seen")))?;
    let records = format!("{}, from {} machines", field("total"), field("machines"));
    output.line(&show::named("records", &records))?;
    output.lines(&builds(&group))?;
    output.lines(&days(&group, output.width()))?;
    if let Some(why) = group.get("why_grouped").filter(|why| !why.is_null()) {
        output.line("\nWHAT MAKES IT A GROUP, by its latest record")?;
        output.lines(&show::why_grouped(why, output.width()))?;
    }
    let latest = group.get("latest").and_then(Value::as_array);
    let latest = latest.into_iter().flatten();
    let latest: Vec<Vec<String>> = latest.map(|one| list::record_row(one, now)).collect();
    if !latest.is_empty() {
        output.line("\nLATEST RECORDS")?;
        output.lines(&table::lines(&list::RECORD, &latest, output.width()))?;
    }
    output.flush()
}

/// Builds and their records, those with most first.
fn builds_of(group: &Value) -> Vec<(String, u64)> {
    let builds = group.get("builds").and_then(Value::as_object);
    let mut builds: Vec<(String, u64)> = builds
        .into_iter()
        .flatten()
        .map(|(build, count)| (text::harmless(build), count.as_u64().unwrap_or(0)))
        .collect();
    builds.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| other.0.cmp(&one.0)));
    builds
}

/// Records per build, with bars.
fn builds(group: &Value) -> Vec<String> {
    let mut builds = builds_of(group);
    let most = builds.first().map_or(0, |(_, count)| *count);
    let hidden = builds.len().saturating_sub(BUILDS_MAX);
    builds.truncate(BUILDS_MAX);
    let rows: Vec<Vec<String>> = builds
        .into_iter()
        .map(|(build, count)| {
            let bar = chart::bar(count, most, BAR_COLUMNS);
            vec![build, text::number(count), bar]
        })
        .collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let columns = [flexible("BUILD", 20), whole("RECORDS"), whole("")];
    let mut lines = vec![String::new()];
    lines.extend(table::lines(&columns, &rows, None));
    if hidden > 0 {
        lines.push(format!("and {hidden} more builds"));
    }
    lines
}

/// Records per day as columns, up to today.
fn days(group: &Value, terminal: Option<usize>) -> Vec<String> {
    let days = group.get("days").and_then(Value::as_array);
    let days: Vec<(i32, u64)> = days
        .into_iter()
        .flatten()
        .filter_map(|day| {
            let date = chart::day_number(day.get("day")?.as_str()?)?;
            Some((date, day.get("count")?.as_u64()?))
        })
        .collect();
    let Some(first) = days.first().map(|(first, _)| *first) else {
        return Vec::new();
    };
    let last = query::now().to_julian_day();
    let values = chart::days(first, last, days);
    let columns = terminal.unwrap_or(DAY_COLUMNS).min(DAY_COLUMNS);
    let (values, each) = chart::condensed(&values, columns);
    vec![
        format!("\n{}", chart::caption(first, last, each)),
        chart::sparkline(&values),
    ]
}
