//! The command line: what may be said, and which function does it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use base::process::exit_code;
use clap::{CommandFactory, Parser, Subcommand};

use crate::environment::Environment;
use crate::{boot, commands};

/// A landline to every machine you run.
#[derive(Debug, Parser)]
#[command(name = "landline", version, about, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the roles that the configuration names; without one, all of them
    Start(ConfigFile),
    /// Work with the configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Show how a running landline is
    Status(Question),
    /// Make a running landline read its configuration again
    Reload(ConfigFile),
    /// Show the version
    Version {
        /// For scripts
        #[arg(long)]
        json: bool,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Manual,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Show the effective configuration, or everything that is wrong with it
    Check(Question),
}

/// Which configuration.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigFile {
    /// The configuration file [default: landline.yaml if it exists]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Which configuration, and for whom the answer is.
#[derive(Debug, clap::Args)]
pub(crate) struct Question {
    /// The configuration file [default: landline.yaml if it exists]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// For scripts
    #[arg(long)]
    pub(crate) json: bool,
}

/// Reads the command line and does what it says.
#[expect(clippy::print_stderr, reason = "the log is not there yet")]
pub(crate) fn run() -> ExitCode {
    let environment = match Environment::read() {
        Ok(environment) => environment,
        Err(error) => {
            eprintln!("landline: the working directory can't be read: {error}");
            return ExitCode::from(exit_code::USAGE);
        }
    };
    let words: Vec<OsString> = std::iter::once(environment.program.clone())
        .chain(environment.arguments.iter().cloned())
        .collect();
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() {
                exit_code::USAGE
            } else {
                exit_code::CLEAN
            };
            // A closed pipe is the reader's choice.
            let _ok = error.print();
            return ExitCode::from(code);
        }
    };
    match cli.command {
        Command::Start(file) => boot::start(file.config.as_deref(), &environment),
        Command::Config {
            command: ConfigCommand::Check(question),
        } => commands::check(&question, &environment),
        Command::Status(question) => commands::status(&question, &environment),
        Command::Reload(file) => commands::reload(&file, &environment),
        Command::Version { json } => commands::version(json),
        Command::Completions { shell } => commands::completions(shell, &mut Cli::command()),
        Command::Manual => commands::manual(Cli::command()),
    }
}
