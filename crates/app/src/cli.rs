//! The command line: what may be said, and which function does it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use base::process::exit_code;
use clap::{CommandFactory, Parser, Subcommand};

use crate::commands::artefacts::ArtefactsCommand;
use crate::commands::operations::{
    AuthoritiesCommand, LocksCommand, RemoveArguments, SecondFactorArguments,
};
use crate::commands::query::QueryArguments;
use crate::commands::records::RecordsCommand;
use crate::commands::store::StoreCommand;
use crate::commands::{
    artefacts, cluster, forward, login, operations, people, query, records, store,
};
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
    Status(LocalQuestion),
    /// Sign in at a hub, so that the other commands can ask it
    Login(LoginArguments),
    /// End the session of `landline login`
    Logout(LogoutArguments),
    /// Show as whom the commands ask, and which hub
    Whoami(Question),
    /// Let machines join, and scripts ask
    Tokens {
        #[command(subcommand)]
        command: TokensCommand,
    },
    /// The machines that have lines to this hub
    Nodes {
        #[command(subcommand)]
        command: NodesCommand,
    },
    /// The proxies of the cluster that run
    Proxies {
        #[command(subcommand)]
        command: ListCommand,
    },
    /// The applications that nodes offer
    Apps {
        #[command(subcommand)]
        command: ListCommand,
    },
    /// Reach an application behind a node from a port of this machine
    Forward(ForwardArguments),
    /// The people who may use this hub
    Users {
        #[command(subcommand)]
        command: UsersCommand,
    },
    /// What people may do
    Roles {
        #[command(subcommand)]
        command: RolesCommand,
    },
    /// Who is locked out
    Locks {
        #[command(subcommand)]
        command: LocksCommand,
    },
    /// The authorities of the cluster, and replacing them
    Authorities {
        #[command(subcommand)]
        command: AuthoritiesCommand,
    },
    /// Ask the time series of a monitor, and show the answer as a table or a chart
    #[command(
        after_help = "Example: landline query 'rate(node_network_receive_bytes_total[5m])' --range 1h"
    )]
    Query(QueryArguments),
    /// The samples of a monitor that does not run: look, check, mend, compact, bring in, take out
    Store {
        #[command(subcommand)]
        command: StoreCommand,
    },
    /// The telemetry records that a collector has
    Records {
        #[command(subcommand)]
        command: RecordsCommand,
    },
    /// The files of test runs that a collector has
    Artefacts {
        #[command(subcommand)]
        command: ArtefactsCommand,
    },
    /// Print the audit log of the cluster
    Audit(AuditArguments),
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
    Check(LocalQuestion),
}

#[derive(Debug, Subcommand)]
enum TokensCommand {
    /// Make a token, and print what to do with it
    Add(AddTokenArguments),
    /// List the tokens that can still be used
    Ls(ListTokensArguments),
    /// Remove a token: nobody uses it any more
    Rm(RemoveArguments),
}

#[derive(Debug, Subcommand)]
enum UsersCommand {
    /// Add a user, and print a link with which they set their password
    #[command(visible_alias = "invite")]
    Add(AddUserArguments),
    /// Print a link with which a user sets another password, without their second factor
    Reset(ResetUserArguments),
    /// List them
    Ls(Question),
    /// Remove a user with their sessions and API tokens; the last administrator stays
    Rm(RemoveArguments),
    /// Their second factor
    SecondFactor(SecondFactorArguments),
}

#[derive(Debug, Subcommand)]
enum RolesCommand {
    /// Add a role, or change it
    Add(AddRoleArguments),
    /// List them
    Ls(Question),
    /// Remove a role that nobody has
    Rm(RemoveArguments),
}

#[derive(Debug, Subcommand)]
enum NodesCommand {
    /// List them
    Ls(Question),
    /// Remove a machine from the cluster: it needs a new token to come back
    Rm(RemoveArguments),
}

/// Who is to be let in.
#[derive(Debug, clap::Args)]
pub(crate) struct AddUserArguments {
    /// Their name
    pub(crate) name: String,
    /// What they may do: `admin`, `operator`, `viewer`, or a role that `landline roles add` made
    #[arg(long, required = true)]
    pub(crate) role: Vec<String>,
    /// How long their link can be used
    #[arg(long, default_value = "24h")]
    pub(crate) ttl: String,
    #[command(flatten)]
    pub(crate) question: Question,
}

/// Who needs another password.
#[derive(Debug, clap::Args)]
pub(crate) struct ResetUserArguments {
    /// Their name
    pub(crate) name: String,
    /// How long their link can be used
    #[arg(long, default_value = "24h")]
    pub(crate) ttl: String,
    #[command(flatten)]
    pub(crate) question: Question,
}

/// Where to sign in, and as whom.
#[derive(Debug, clap::Args)]
pub(crate) struct LoginArguments {
    /// The pin of the hub's authority; without it the system must trust the hub's certificate
    #[arg(long, requires = "proxy")]
    pub(crate) ca_pin: Option<String>,
    /// The name [default: that of the last login]
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// A file with the password, for scripts; otherwise it is asked for
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Only show who is signed in
    #[arg(long)]
    pub(crate) status: bool,
    #[command(flatten)]
    pub(crate) question: Question,
}

/// Where to sign out.
#[derive(Debug, clap::Args)]
pub(crate) struct LogoutArguments {
    /// The hub [default: that of the last login]
    #[arg(long)]
    pub(crate) proxy: Option<String>,
}

/// What a role is.
#[derive(Debug, clap::Args)]
pub(crate) struct AddRoleArguments {
    /// A JSON file with `name`, `allow` and `deny`
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) question: Question,
}

/// From where to where.
#[derive(Debug, clap::Args)]
pub(crate) struct ForwardArguments {
    /// The application: `db`, or `db@web-1` for that of one node
    pub(crate) app: String,
    /// Where connections come in, such as 127.0.0.1:5432
    pub(crate) address: String,
    /// The hub, `host:port` [default: the landline that runs on this machine, or the hub of the last
    /// login]
    #[arg(long)]
    pub(crate) proxy: Option<String>,
    /// The pin of the hub's authority; without it the system must trust the hub's certificate
    #[arg(long, requires = "proxy")]
    pub(crate) ca_pin: Option<String>,
    /// The file of an API token [default: the variable LANDLINE_TOKEN, or the session of
    /// `landline login`]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The configuration file [default: landline.yaml if it exists]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum ListCommand {
    /// List them
    Ls(Question),
}

/// What a new token allows.
#[derive(Debug, clap::Args)]
pub(crate) struct AddTokenArguments {
    /// As what the machine joins; `api` for a token that scripts of a user send; `pushprox` for one
    /// that a pushprox-client sends
    #[arg(long, required = true, value_parser = ["node", "api", "pushprox"])]
    pub(crate) role: Vec<String>,
    /// Whose token it is; with `--role api` only
    #[arg(long, required_if_eq("role", "api"))]
    pub(crate) user: Option<String>,
    /// What it is limited to, such as `apps:use`; with `--role api` only [default: *:*]
    #[arg(long)]
    pub(crate) scope: Vec<String>,
    /// How long it can be used
    #[arg(long, default_value = "1h")]
    pub(crate) ttl: String,
    /// How many machines may join with it
    #[arg(long, default_value_t = 1)]
    pub(crate) uses: i64,
    /// The only name that a machine may join under; with `--role pushprox` the name of the client,
    /// or several with commas
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A label that the machine gets and can't change, NAME=VALUE
    #[arg(long)]
    pub(crate) label: Vec<String>,
    #[command(flatten)]
    pub(crate) question: Question,
}

/// Which tokens.
#[derive(Debug, clap::Args)]
pub(crate) struct ListTokensArguments {
    /// Those of machines that join, or those of scripts
    #[arg(long, default_value = "node", value_parser = ["node", "api"])]
    pub(crate) role: String,
    #[command(flatten)]
    pub(crate) question: Question,
}

/// Which events.
#[derive(Debug, clap::Args)]
pub(crate) struct AuditArguments {
    /// Only this kind, such as `node.join`; `node.` for all that begin with it
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Only what this one did, such as `user:ada`
    #[arg(long)]
    pub(crate) actor: Option<String>,
    /// Only what was done to this, such as `node:<uuid>`
    #[arg(long)]
    pub(crate) target: Option<String>,
    /// Only `success`, `refused` or `failed`
    #[arg(long)]
    pub(crate) outcome: Option<String>,
    /// Not before this time: 12h or 7d ago, 2026-11-21, or 2026-11-21T16:50:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// The newest first
    #[arg(long)]
    pub(crate) newest_first: bool,
    /// No more than this many [default: all]
    #[arg(long, value_name = "COUNT")]
    pub(crate) limit: Option<usize>,
    #[command(flatten)]
    pub(crate) question: Question,
}

/// Which configuration.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigFile {
    /// The configuration file [default: landline.yaml if it exists]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Which hub is asked, and for whom the answer is.
#[derive(Debug, clap::Args)]
pub(crate) struct Question {
    /// The hub, `host:port`, with the session of `landline login` [default: the landline that runs on
    /// this machine, or the hub of the last login]
    #[arg(long)]
    pub(crate) proxy: Option<String>,
    /// The configuration file [default: landline.yaml if it exists]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// For scripts
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which configuration, and for whom the answer is.
#[derive(Debug, clap::Args)]
pub(crate) struct LocalQuestion {
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
    dispatch(cli.command, &environment)
}

fn dispatch(command: Command, environment: &Environment) -> ExitCode {
    match command {
        Command::Start(file) => boot::start(file.config.as_deref(), environment),
        Command::Config {
            command: ConfigCommand::Check(question),
        } => commands::check(&question, environment),
        Command::Status(question) => commands::status(&question, environment),
        Command::Login(arguments) => login::login(&arguments, environment),
        Command::Logout(arguments) => login::logout(&arguments, environment),
        Command::Whoami(question) => login::who(&question, environment),
        Command::Tokens { command } => match command {
            TokensCommand::Add(arguments) => cluster::add_token(&arguments, environment),
            TokensCommand::Ls(arguments) if arguments.role == "api" => {
                people::list_tokens(&arguments.question, environment)
            }
            TokensCommand::Ls(arguments) => cluster::list_tokens(&arguments.question, environment),
            TokensCommand::Rm(name) => operations::remove(&name, "/v1/tokens", environment),
        },
        Command::Nodes { command } => match command {
            NodesCommand::Ls(question) => cluster::list_nodes(&question, environment),
            NodesCommand::Rm(name) => operations::remove(&name, "/v1/nodes", environment),
        },
        Command::Proxies {
            command: ListCommand::Ls(question),
        } => cluster::list_proxies(&question, environment),
        Command::Apps {
            command: ListCommand::Ls(question),
        } => cluster::list_apps(&question, environment),
        Command::Forward(arguments) => forward::forward(&arguments, environment),
        Command::Users { command } => match command {
            UsersCommand::Add(arguments) => people::add_user(&arguments, environment),
            UsersCommand::Reset(arguments) => people::reset_user(&arguments, environment),
            UsersCommand::Ls(question) => people::list_users(&question, environment),
            UsersCommand::Rm(name) => operations::remove(&name, "/v1/users", environment),
            UsersCommand::SecondFactor(whose) => operations::second_factor(&whose, environment),
        },
        Command::Roles { command } => match command {
            RolesCommand::Add(arguments) => people::add_role(&arguments, environment),
            RolesCommand::Ls(question) => people::list_roles(&question, environment),
            RolesCommand::Rm(name) => operations::remove(&name, "/v1/roles", environment),
        },
        Command::Locks { command } => operations::locks(&command, environment),
        Command::Authorities { command } => operations::authorities(&command, environment),
        Command::Query(arguments) => query::run(&arguments, environment),
        Command::Store { command } => store::run(&command, environment),
        Command::Records { command } => records::run(&command, environment),
        Command::Artefacts { command } => artefacts::run(&command, environment),
        Command::Audit(arguments) => cluster::audit(&arguments, environment),
        Command::Reload(file) => commands::reload(&file, environment),
        Command::Version { json } => commands::version(json),
        Command::Completions { shell } => commands::completions(shell, &mut Cli::command()),
        Command::Manual => commands::manual(Cli::command()),
    }
}
