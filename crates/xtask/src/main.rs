//! `cargo xtask <command>`: everything that a developer or a CI machine runs, in the standard
//! library only. It knows how to build, check and try the workspace; it holds no product code.

mod bench;
mod ci;
mod dist;
mod failure;
mod files;
mod fuzz;
mod guardian;
mod machine;
mod relay;
mod rust;
mod test;
mod tidy;
mod web;

use std::process::ExitCode;

use failure::{Failure, Outcome};

/// One line of `cargo xtask help` and the function behind it.
struct Command {
    name: &'static str,
    arguments: &'static str,
    summary: &'static str,
    run: fn(&[String]) -> Result<Outcome, Failure>,
}

/// The closed list of commands, in the order in which help shows them.
const COMMANDS: [Command; 11] = [
    Command {
        name: "ci",
        arguments: "",
        summary: "everything that must be green: fmt, tidy, web, lint, test, a short fuzz, cargo-deny",
        run: ci::run,
    },
    Command {
        name: "test",
        arguments: "[filters]",
        summary: "find or install what the tests need, start it privately, run the tests",
        run: test::run,
    },
    Command {
        name: "tidy",
        arguments: "",
        summary: "the rules of STYLE.md that the compiler does not know",
        run: tidy::run,
    },
    Command {
        name: "fmt",
        arguments: "[--check]",
        summary: "format every crate, or only say what would change",
        run: rust::format,
    },
    Command {
        name: "lint",
        arguments: "",
        summary: "clippy on every target with warnings denied",
        run: rust::lint,
    },
    Command {
        name: "fuzz",
        arguments: "[--seconds N] [target]",
        summary: "feed the parsers hostile bytes for N seconds per target (10)",
        run: fuzz::run,
    },
    Command {
        name: "bench",
        arguments: "gateway|tunnel|agents|records [--quick]",
        summary: "measure the release build beside its peers in one run",
        run: bench::run,
    },
    Command {
        name: "web",
        arguments: "",
        summary: "check, test and build the pages into web/dist, with npm",
        run: web::run,
    },
    Command {
        name: "relay",
        arguments: "--listen A --to B [--mode M]",
        summary: "a TCP relay that behaves as badly as it is told (--help lists how)",
        run: relay::run,
    },
    Command {
        name: "dist",
        arguments: "",
        summary: "the stripped program, its completions and its manual page in dist/",
        run: dist::run,
    },
    Command {
        name: "help",
        arguments: "",
        summary: "this list",
        run: help,
    },
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "help".to_owned());
    let rest: Vec<String> = arguments.collect();
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        machine::say(&format!(
            "there is no command {name:?}; `cargo xtask help` lists them"
        ));
        return ExitCode::from(64);
    };
    match (command.run)(&rest) {
        Ok(_) => ExitCode::SUCCESS,
        Err(failure) => {
            machine::say(&format!("{name}: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// Lists the commands, one line each.
#[expect(clippy::unnecessary_wraps, reason = "every command has this shape")]
fn help(_arguments: &[String]) -> Result<Outcome, Failure> {
    machine::say("cargo xtask <command>\n");
    for command in &COMMANDS {
        let usage = format!("{} {}", command.name, command.arguments);
        machine::say(&format!("  {usage:<34} {}", command.summary));
    }
    Ok(Outcome::done(""))
}
