//! `landline artefacts …`: files of test runs that a collector keeps, put and got from the terminal.

mod address;
mod check;
mod get;
mod groups;
mod ls;
mod put;
mod remove;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use self::address::Address;
use self::groups::GroupsCommand;
use self::store::Store;
use super::asking::hub::Hub;
use super::asking::output::Output;
use super::asking::{CommandError, Outcome};
use super::{Question, asking};
use crate::environment::Environment;

/// `landline artefacts …`
#[derive(Debug, Subcommand)]
pub(crate) enum ArtefactsCommand {
    /// List groups, the runs of a group, the newest first, or the files of a run
    #[command(
        disable_version_flag = true,
        after_help = "Examples:\n  landline artefacts ls\n  landline artefacts ls nightly --status failed --since 7d\n  landline artefacts ls nightly/build-17/logs/"
    )]
    Ls(ListArguments),
    /// Get a file, or all of a run; what broke off goes on where it was
    #[command(
        after_help = "Examples:\n  landline artefacts get nightly/build-17/prometheus.tar\n  landline artefacts get nightly/build-17 -o build-17\n  landline artefacts get nightly/build-17 --tar - | tar t"
    )]
    Get(GetArguments),
    /// Put files into a run; what broke off goes on where it was
    ///
    /// Large files go in parts. When one broke off, the same command sends the parts that are missing.
    #[command(
        after_help = "Examples:\n  landline artefacts put results.tar nightly/build-17\n  landline artefacts put *.log nightly/build-17/logs/"
    )]
    Put(PutArguments),
    /// Remove a file with all its versions, or a run
    #[command(after_help = "Example: landline artefacts rm nightly/build-17")]
    Rm(RemoveArguments),
    /// Keep a run, whatever the retention of its group is
    #[command(after_help = "Example: landline artefacts pin nightly/build-17")]
    Pin(PinArguments),
    /// Let the retention of its group hold for a run again
    #[command(after_help = "Example: landline artefacts unpin nightly/build-17")]
    Unpin(PinArguments),
    /// Show what groups use, their quotas, and how long they keep runs
    #[command(args_conflicts_with_subcommands = true)]
    Groups {
        #[command(subcommand)]
        command: Option<GroupsCommand>,
        #[command(flatten)]
        question: Question,
    },
}

/// What is listed.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArguments {
    /// A group, `group/run`, or `group/run/folder/` [default: all groups]
    #[arg(value_name = "GROUP[/RUN[/FOLDER/]]", value_parser = Address::parse)]
    of: Option<Address>,
    #[command(flatten)]
    filters: RunFilters,
    /// Of a run: all files, also those in folders
    #[arg(long, short)]
    recursive: bool,
    #[command(flatten)]
    question: Question,
}

/// Which runs of a group.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct RunFilters {
    /// Only runs that ended so
    #[arg(long, value_parser = ["passed", "failed"])]
    status: Option<String>,
    /// Only runs with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only runs on a cluster of this version
    #[arg(long)]
    version: Option<String>,
    /// Only runs with this scenario
    #[arg(long)]
    scenario: Option<String>,
    /// Only runs whose telemetry has this value; may be said several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    field: Vec<String>,
    /// Only runs whose name or telemetry has this text
    #[arg(long)]
    text: Option<String>,
    /// Only runs in this state
    #[arg(long, value_parser = ["open", "telemetry_received", "closed"])]
    state: Option<String>,
    /// Only runs that are pinned
    #[arg(long)]
    pinned: bool,
    /// Only runs since: 90s, 12h, 7d, or 2026-11-21, or 2026-11-21T16:50:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only runs before, said in the same ways
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// What is got.
#[derive(Debug, clap::Args)]
pub(crate) struct GetArguments {
    /// A file `group/run/name`, a folder `group/run/folder/`, or all of `group/run`
    #[arg(value_name = "GROUP/RUN[/NAME]", value_parser = Address::parse_in_run)]
    from: Address,
    /// The file or folder, `-` for standard output [default: the name of the file or run, here]
    #[arg(long, short, value_name = "FILE", conflicts_with = "tar")]
    output: Option<PathBuf>,
    /// The whole run as one archive, `-` for standard output; this one can't go on when it broke off
    #[arg(long, value_name = "FILE")]
    tar: Option<PathBuf>,
    #[command(flatten)]
    question: Question,
}

/// What is put.
#[derive(Debug, clap::Args)]
pub(crate) struct PutArguments {
    /// The files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The run, a folder in it, or another name for one file
    #[arg(value_name = "GROUP/RUN[/FOLDER/]", value_parser = Address::parse_in_run)]
    to: Address,
    /// Send all of it, also what the collector has from an attempt that broke off
    #[arg(long)]
    no_resume: bool,
    #[command(flatten)]
    question: Question,
}

/// What is removed.
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArguments {
    /// A file `group/run/name`, or all of `group/run`
    #[arg(value_name = "GROUP/RUN[/NAME]", value_parser = Address::parse_in_run)]
    what: Address,
    /// Remove a run without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    question: Question,
}

/// Which run.
#[derive(Debug, clap::Args)]
pub(crate) struct PinArguments {
    /// The run
    #[arg(value_name = "GROUP/RUN", value_parser = Address::parse_run)]
    run: Address,
    #[command(flatten)]
    question: Question,
}

fn pair(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() => Ok(text.to_owned()),
        _ => Err("say NAME=VALUE".to_owned()),
    }
}

/// Runs `landline artefacts …`
pub(crate) fn run(command: &ArtefactsCommand, environment: &Environment) -> ExitCode {
    asking::run(answer(command, environment))
}

async fn answer(command: &ArtefactsCommand, environment: &Environment) -> Outcome {
    let hub = |question: &Question| Hub::find(question, environment, "artefacts");
    let output = &mut Output::new();
    match command {
        ArtefactsCommand::Ls(arguments) => {
            ls::ls(&hub(&arguments.question)?, arguments, output).await
        }
        ArtefactsCommand::Get(arguments) => {
            let store = Store::open(hub(&arguments.question)?).await?;
            get::get(&store, arguments, (environment, output)).await
        }
        ArtefactsCommand::Put(arguments) => {
            let store = Store::open(hub(&arguments.question)?).await?;
            put::put(&store, arguments, (environment, output)).await
        }
        ArtefactsCommand::Rm(arguments) => {
            let store = Store::open(hub(&arguments.question)?).await?;
            remove::remove(&store, arguments, output).await
        }
        ArtefactsCommand::Pin(arguments) => {
            remove::pin(&hub(&arguments.question)?, arguments, true, output).await
        }
        ArtefactsCommand::Unpin(arguments) => {
            remove::pin(&hub(&arguments.question)?, arguments, false, output).await
        }
        ArtefactsCommand::Groups { command, question } => match command {
            Some(command) => command.run(&hub(command.question())?, output).await,
            None => groups::list(&hub(question)?, question, output).await,
        },
    }
}

/// Waits for Ctrl-C.
async fn interrupted() -> CommandError {
    match tokio::signal::ctrl_c().await {
        Ok(()) => CommandError::Stopped,
        Err(error) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Words {
        #[command(subcommand)]
        command: ArtefactsCommand,
    }

    /// The arguments of `landline artefacts put FILE… TO`.
    pub(super) fn parsed_put(files: &[&str], to: &str) -> PutArguments {
        let words = ["artefacts", "put"].iter().chain(files).chain([&to]);
        match Words::parse_from(words).command {
            ArtefactsCommand::Put(arguments) => arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn commands_take_what_they_are_about() {
        let is_taken =
            |words: &[&str]| Words::try_parse_from([&["artefacts"], words].concat()).is_ok();
        for words in [
            &["ls"][..],
            &["ls", "ci", "--status", "failed", "--field", "a=b=c"],
            &["ls", "ci/7/logs/", "-r"],
            &["get", "ci/7", "--tar", "-"],
            &["get", "ci/7/a", "-o", "-"],
            &["put", "a", "b", "ci/7/"],
            &["rm", "ci/7", "--yes"],
            &["pin", "ci/7"],
            &["groups", "--json"],
            &["groups", "set", "ci", "--retention", "30d", "--pin"],
        ] {
            assert!(is_taken(words), "{words:?}");
        }
        for words in [
            &["ls", "ci", "--status", "odd"][..],
            &["ls", "ci", "--field", "a"],
            &["get", "ci"],
            &["get", "ci/7/../8"],
            &["get", "ci/7", "--tar", "-", "-o", "x"],
            &["put", "a"],
            &["put", "a", "ci"],
            &["pin", "ci/7/a"],
            &["groups", "set", "ci"],
            &["groups", "set", "ci", "--pin", "--unpin"],
        ] {
            assert!(!is_taken(words), "{words:?}");
        }
    }
}
