//! `landline-relay --listen A --to B[,C] [--mode M]`: a TCP relay that behaves as badly as it is told,
//! to see what a program does on a bad network. What it does is changed by lines on standard input.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for developers: it reads its arguments and input, and prints"
)]

use std::net::SocketAddr;
use std::process::ExitCode;

use it::relay::{Mode, Relay, WORDS};
use tokio::runtime::Runtime;

const USAGE: &str = "\
cargo xtask relay --listen ADDRESS --to HOST:PORT[,HOST:PORT…] [--mode MODE]

Passes TCP connections on, to several upstreams in turn, as the mode says:";

const LINES: &str = "
A line on standard input changes it while it runs:
  MODE                from now on, for open connections, too
  cut                 RST for open connections only
  to HOST:PORT,…      other upstreams, for new connections
  status              the mode, connections accepted and open
  quit                the end";

/// What was asked for.
struct Request {
    listen: SocketAddr,
    to: Vec<String>,
    mode: Mode,
}

fn main() -> ExitCode {
    let request = match read_arguments(std::env::args().skip(1)) {
        Ok(Some(request)) => request,
        Ok(None) => {
            println!("{USAGE}\n{WORDS}\n{LINES}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("{problem}; --help says more");
            return ExitCode::from(64);
        }
    };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let _entered = runtime.enter();
    let relay = match Relay::listen(request.listen) {
        Ok(relay) => relay,
        Err(error) => {
            eprintln!("listen on {}: {error}", request.listen);
            return ExitCode::FAILURE;
        }
    };
    relay.set_upstreams(request.to);
    relay.set(request.mode);
    println!("{} {}", relay.address, relay.mode());
    for line in std::io::stdin().lines().map_while(Result::ok) {
        if line.trim() == "quit" {
            return ExitCode::SUCCESS;
        }
        match obey(&relay, line.trim()) {
            Ok(answer) => println!("{answer}"),
            Err(problem) => eprintln!("{problem}"),
        }
    }
    // Without an input it goes on until it is ended by a signal.
    loop {
        std::thread::park();
    }
}

fn obey(relay: &Relay, line: &str) -> Result<String, String> {
    if let Some(upstreams) = line.strip_prefix("to ") {
        relay.set_upstreams(read_upstreams(upstreams)?);
    } else if line == "cut" {
        relay.reset();
    } else if line != "status" {
        relay.set(line.parse()?);
    }
    let (accepted, open) = (relay.accepted(), relay.open());
    Ok(format!(
        "{}: {accepted} accepted, {open} open",
        relay.mode()
    ))
}

/// Reads the command line; nothing when help is wanted.
fn read_arguments(mut words: impl Iterator<Item = String>) -> Result<Option<Request>, String> {
    let (mut listen, mut to, mut mode) = (None, None, Mode::Pass);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--listen" => {
                let address = value()?;
                let parsed = address.parse();
                listen = Some(parsed.map_err(|_| format!("{address:?} is not address:port"))?);
            }
            "--to" => to = Some(read_upstreams(&value()?)?),
            "--mode" => mode = value()?.parse()?,
            "--help" | "-h" => return Ok(None),
            _ => return Err(format!("unknown argument {word:?}")),
        }
    }
    Ok(Some(Request {
        listen: listen.ok_or("--listen is missing")?,
        to: to.ok_or("--to is missing")?,
        mode,
    }))
}

fn read_upstreams(text: &str) -> Result<Vec<String>, String> {
    let upstreams: Vec<String> = text.split(',').map(|one| one.trim().to_owned()).collect();
    match upstreams.iter().find(|one| !one.contains(':')) {
        Some(wrong) => Err(format!("{wrong:?} is not host:port")),
        None => Ok(upstreams),
    }
}
