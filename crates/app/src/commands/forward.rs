//! `landline forward`: a port of this machine that leads to an application behind a node.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use base::clock;
use base::events::Topic;
use base::files;
use base::listeners::Listeners;
use base::process::{self, Hooks, READY, exit_code};
use base::secret::Secret;
use base::supervise::Supervisor;
use base::telemetry::{self, LogFormat};
use base::unix_signals::Signals;
use reach::forward::{Forward, HubDoor};
use reach::hub::AppName;

use super::hub::{TOKEN_VARIABLE, Way};
use crate::cli::{ForwardArguments, Question};
use crate::environment::Environment;

/// Connections are taken.
static FORWARDS: Topic<()> = Topic::new("forward");
/// The largest file with a token.
const TOKEN_BYTES_MAX: u64 = 1 << 10;

/// `landline forward`
pub(crate) fn forward(arguments: &ForwardArguments, environment: &Environment) -> ExitCode {
    match prepare(arguments, environment) {
        Ok((forward, listeners)) => run(forward, listeners),
        Err(error) => super::cluster::fail(&error),
    }
}

/// Everything that can be wrong before the first connection.
fn prepare(
    arguments: &ForwardArguments,
    environment: &Environment,
) -> Result<(Forward, Listeners), String> {
    let app = AppName::parse(&arguments.app)
        .filter(|_| {
            !arguments
                .app
                .contains(|c: char| c == '/' || !c.is_ascii_graphic())
        })
        .ok_or_else(|| format!("{}: an application is `db` or `db@web-1`", arguments.app))?;
    let address = local_address(&arguments.address)?;
    let (hub, token) = way(arguments, environment)?;
    let listeners = Listeners::new(Vec::new());
    let listener = listeners.bind("forward", address, "the second argument");
    let listener = listener.map_err(|error| base::client::chain(&error))?;
    let bound = listener.local_addr().map_err(|error| error.to_string())?;
    if !bound.ip().is_loopback() {
        eprintln!("landline: whoever reaches {bound} uses {app} in your name");
    }
    println!("{bound} leads to {app}");
    let forward = Forward {
        app: app.to_string(),
        hub,
        token,
        listener,
        ready: &FORWARDS,
    };
    Ok((forward, listeners))
}

/// The hub, and what we show it.
fn way(
    arguments: &ForwardArguments,
    environment: &Environment,
) -> Result<(HubDoor, Secret), String> {
    let given = match &arguments.token_file {
        Some(file) => {
            let file = environment.folder.join(file);
            let text = files::read_text_limited(&file, TOKEN_BYTES_MAX);
            let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
            Some(Secret::new(text.trim()))
        }
        None => {
            let given = environment.variables.get(TOKEN_VARIABLE);
            given.map(|text| Secret::new(text.trim()))
        }
    };
    if let Some(proxy) = &arguments.proxy
        && let Some(token) = given.clone()
    {
        let pins = arguments.ca_pin.iter().flat_map(|pins| pins.split(','));
        let pins = pins.map(|pin| pin.trim().to_owned()).collect();
        return Ok((Way::of_proxy(proxy, pins, environment)?.door, token));
    }
    let question = Question {
        proxy: arguments.proxy.clone(),
        config: arguments.config.clone(),
        json: false,
    };
    let way = Way::find(&question, environment)?;
    let token = given.or(way.token);
    let token = token.ok_or_else(|| format!("{}: nobody is signed in", way.name))?;
    Ok((way.door, token))
}

/// An address to listen on; a port alone is on loopback.
fn local_address(text: &str) -> Result<SocketAddr, String> {
    let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let port = text.strip_prefix("localhost:").unwrap_or(text);
    if let Ok(port) = port.trim_start_matches(':').parse::<u16>() {
        return Ok(loopback(port));
    }
    text.parse()
        .map_err(|_| format!("{text}: an address such as 127.0.0.1:5432 is expected here"))
}

fn run(forward: Forward, listeners: Listeners) -> ExitCode {
    let started = clock::now();
    if let Err(error) = telemetry::start_log(LogFormat::Text, "info") {
        eprintln!("landline: {error}");
        return ExitCode::from(exit_code::FAILED);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return super::cluster::fail(&format!("the runtime can't start: {error}")),
    };
    let outcome = runtime.block_on(async {
        let signals = Signals::install()?;
        let supervisor = Supervisor::new();
        supervisor.register(forward.service());
        supervisor.bus().map(&[FORWARDS.name()], &READY);
        Ok::<_, std::io::Error>(
            process::run(supervisor, signals, Hooks::new(started, listeners)).await,
        )
    });
    runtime.shutdown_background();
    match outcome {
        Ok(outcome) => ExitCode::from(outcome.code),
        Err(error) => super::cluster::fail(&format!("signals can't be taken: {error}")),
    }
}
