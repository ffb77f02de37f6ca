//! Commands that ask a hub in detail: how it is found and asked, and how answers are shown to people and
//! scripts.

pub(super) mod chart;
pub(super) mod hub;
pub(super) mod incoming;
pub(super) mod output;
pub(super) mod progress;
pub(super) mod query;
pub(super) mod sink;
pub(super) mod table;
pub(super) mod text;

use std::process::ExitCode;

use base::process::exit_code;

use super::{NO, Question};

/// Why a command ends without a good answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// Asking again doesn't help.
    #[error("{text}")]
    Refused { status: u16, text: String },
    /// Asking again may help.
    #[error("{0}")]
    Away(String),
    /// Standard output or a file.
    #[error("the answer can't be written: {0}")]
    Write(#[from] std::io::Error),
    /// Ctrl-C before the end.
    #[error("stopped")]
    Stopped,
}

impl CommandError {
    /// What was asked for is wrong.
    pub(super) fn wrong(text: impl Into<String>) -> Self {
        Self::Refused {
            status: 400,
            text: text.into(),
        }
    }
}

pub(super) type Outcome<T = ()> = Result<T, CommandError>;

/// Waits for the answer of a command, and says what went wrong.
pub(super) fn run(answer: impl Future<Output = Outcome>) -> ExitCode {
    end(wait(answer))
}

/// Waits for the answer of a command.
pub(super) fn wait(answer: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(answer)
}

/// Says what went wrong, if anything did.
pub(super) fn end(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // A closed pipe is the reader's choice.
        Err(CommandError::Write(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("landline: {error}");
            match error {
                CommandError::Write(_) => ExitCode::from(exit_code::FAILED),
                _ => ExitCode::from(NO),
            }
        }
    }
}
