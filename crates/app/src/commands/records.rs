//! `landline records …`: what the collector has, for people and for scripts.

mod export;
mod form;
mod frames;
mod groups;
mod import;
mod list;
mod pages;
mod population;
mod quarantine;
mod query;
mod retention;
mod show;
mod sse;
mod stats;
mod tail;

use std::path::PathBuf;
use std::process::ExitCode;

use base::secret::Secret;
use clap::Subcommand;

use super::asking::{CommandError, Outcome, chart, hub, output, progress, sink, table, text};
use super::{Question, asking};
use crate::environment::Environment;
use frames::FramesCommand;
use groups::GroupsCommand;
use hub::Hub;
use output::Output;
use quarantine::QuarantineCommand;
use query::{Filters, Search};

/// `landline records …`
#[derive(Debug, Subcommand)]
pub(crate) enum RecordsCommand {
    /// List records, the newest first
    #[command(after_help = "Example: landline records ls --since 7d --classification 'crash/*'")]
    Ls(ListArguments),
    /// Show all of a record, and why it is in its crash group
    #[command(after_help = "Example: landline records show 4711")]
    Show(ShowArguments),
    /// Write whole records to a file or a pipe, the newest first, as many as there are
    #[command(
        after_help = "Example: landline records export --since 30d --format csv --output records.csv"
    )]
    Export(ExportArguments),
    /// Count records by one field, with a bar for each value and a column for each day
    #[command(after_help = "Example: landline records stats --by build --since 14d")]
    Stats(StatsArguments),
    /// Print records as they come, until Ctrl-C
    #[command(after_help = "Example: landline records tail --severity high --last 10")]
    Tail(TailArguments),
    /// Crash groups: records of crashes at the same place
    Groups {
        #[command(subcommand)]
        command: GroupsCommand,
    },
    /// What clients sent that is no valid record, and what becomes of it
    Quarantine {
        #[command(subcommand)]
        command: QuarantineCommand,
    },
    /// Frames of crashes that are never guilty
    Frames {
        #[command(subcommand)]
        command: FramesCommand,
    },
    /// Count machines per build by their heartbeats
    #[command(after_help = "Example: landline records population --days 14")]
    Population(PopulationArguments),
    /// Say what the next look of retention would remove
    #[command(after_help = "Example: landline records retention")]
    Retention(RetentionArguments),
    /// Import all records of the original collector from its PostgreSQL, with their ids
    ///
    /// They go to the running collector, in batches. After an interruption the same command goes on
    /// where it was. Comments, hidden crashes and frames that are never guilty come along. The other
    /// database is only read; stop its collector before.
    #[command(
        after_help = "Example: PGPASSWORD=… landline records import postgres://postgres@db.example.net/telemetry"
    )]
    Import(ImportArguments),
}

/// Which records, and how many.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    search: Search,
    /// Only whose payloads fit this regular expression
    #[arg(long, value_name = "REGEX")]
    payload: Option<String>,
    /// Only whose payloads don't fit this one
    #[arg(long, value_name = "REGEX")]
    not_payload: Option<String>,
    #[command(flatten)]
    amount: Amount,
    #[command(flatten)]
    question: Question,
}

/// How much of a list.
#[derive(Debug, clap::Args)]
pub(crate) struct Amount {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50,
        value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// All that there are
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// Which record.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArguments {
    /// Its number, as `ls` shows it
    #[arg(value_parser = clap::value_parser!(i64).range(1..))]
    id: i64,
    #[command(flatten)]
    question: Question,
}

/// Which records, how, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArguments {
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    search: Search,
    /// Only those that came later than the record of this number: what is new since an export
    #[arg(long, value_name = "ID")]
    after: Option<i64>,
    /// Only those that came earlier than the record of this number: the rest of an export
    #[arg(long, value_name = "ID")]
    before: Option<i64>,
    /// One JSON object a line, lines of comma-separated values, or one JSON array
    #[arg(long, default_value = "ndjson", value_parser = ["ndjson", "csv", "json"])]
    format: String,
    /// With `--format csv`: put a ' before what a spreadsheet would take for a formula
    #[arg(long)]
    safe_cells: bool,
    /// The file; it appears once it is whole [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The hub, `host:port`, with the session of `landline login` [default: the landline that runs on
    /// this machine, or the hub of the last login]
    #[arg(long)]
    proxy: Option<String>,
    /// The configuration file [default: landline.yaml if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What is counted.
#[derive(Debug, clap::Args)]
pub(crate) struct StatsArguments {
    /// The field
    #[arg(long, default_value = "classification", value_parser =
        ["classification", "severity", "build", "system_name", "source", "host_type"])]
    by: String,
    /// Only of this project
    #[arg(long)]
    project: Option<String>,
    /// From this day on: 7d, or 2026-11-21; days are those of UTC, and count as a whole
    #[arg(long, value_name = "TIME", default_value = "30d")]
    since: String,
    /// Up to this day, which is left out if it is said as a date
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Values that are shown one by one
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    question: Question,
}

/// Which records are waited for.
#[derive(Debug, clap::Args)]
pub(crate) struct TailArguments {
    #[command(flatten)]
    filters: Filters,
    /// First print so many that are there already
    #[arg(long, value_name = "N", default_value_t = 0,
        value_parser = clap::value_parser!(u64).range(..=1000))]
    last: u64,
    #[command(flatten)]
    question: Question,
}

/// From where, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArguments {
    /// The database, `postgres://user@host:port/database`; the variable PGPASSWORD may have the password
    #[arg(value_name = "URL", required_unless_present_any = ["list", "abandon"])]
    url: Option<Secret>,
    /// The project that the records come to [default: the only one]
    #[arg(long)]
    project: Option<String>,
    /// Give records the next numbers here; without this they keep theirs, which have to be free
    #[arg(long)]
    new_ids: bool,
    /// Only say what would come where
    #[arg(long)]
    dry_run: bool,
    /// List the imports that there were, and how far they are
    #[arg(long, conflicts_with_all = ["url", "project", "new_ids", "dry_run", "abandon"])]
    list: bool,
    /// Give the import of this number up; what came in stays
    #[arg(long, value_name = "ID", conflicts_with_all = ["url", "project", "new_ids", "dry_run"],
        value_parser = clap::value_parser!(i64).range(1..))]
    abandon: Option<i64>,
    #[command(flatten)]
    question: Question,
}

/// Which machines are counted.
#[derive(Debug, clap::Args)]
pub(crate) struct PopulationArguments {
    /// Only of this project
    #[arg(long)]
    project: Option<String>,
    /// Machines that sent a heartbeat on one of the last so many days
    #[arg(long, value_name = "N", default_value = "7", value_parser = ["1", "3", "7", "14", "all"])]
    days: String,
    #[command(flatten)]
    question: Question,
}

/// Where it is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct RetentionArguments {
    #[command(flatten)]
    question: Question,
}

/// Runs `landline records …`
pub(crate) fn run(command: &RecordsCommand, environment: &Environment) -> ExitCode {
    asking::run(answer(command, environment))
}

async fn answer(command: &RecordsCommand, environment: &Environment) -> Outcome {
    let hub = |question: &Question| Hub::find(question, environment, "records");
    let output = &mut Output::new();
    match command {
        RecordsCommand::Ls(arguments) => {
            list::list(&hub(&arguments.question)?, arguments, output).await
        }
        RecordsCommand::Show(arguments) => {
            show::show(&hub(&arguments.question)?, arguments, output).await
        }
        RecordsCommand::Export(arguments) => {
            let question = Question {
                proxy: arguments.proxy.clone(),
                config: arguments.config.clone(),
                json: false,
            };
            export::export(&hub(&question)?, arguments, environment).await
        }
        RecordsCommand::Stats(arguments) => {
            stats::stats(&hub(&arguments.question)?, arguments, output).await
        }
        RecordsCommand::Tail(arguments) => {
            tail::tail(&hub(&arguments.question)?, arguments, output).await
        }
        RecordsCommand::Groups { command } => {
            groups::groups(&hub(command.question())?, command, output).await
        }
        RecordsCommand::Quarantine { command } => {
            quarantine::quarantine(&hub(command.question())?, command, output).await
        }
        RecordsCommand::Frames { command } => {
            frames::frames(&hub(command.question())?, command, output).await
        }
        RecordsCommand::Population(arguments) => {
            population::population(&hub(&arguments.question)?, arguments, output).await
        }
        RecordsCommand::Retention(arguments) => {
            retention::retention(&hub(&arguments.question)?, arguments, output).await
        }
        RecordsCommand::Import(arguments) => {
            import::import(&hub(&arguments.question)?, arguments, output).await
        }
    }
}
