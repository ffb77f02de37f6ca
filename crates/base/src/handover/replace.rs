//! Starts a successor from the program on disk, hands it our listeners and waits for its word.
//! Whether we then stop is decided in `process`.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use thiserror::Error;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{Entry, HANDOVER_VARIABLES, LISTENERS_VARIABLE, READY_VARIABLE, keep_open};
use crate::events::Topic;
use crate::listeners::Listeners;
use crate::supervise::Supervisor;

/// How long a successor has until it must be ready.
pub const REPLACEMENT_LIMIT: Duration = Duration::from_mins(2);
/// A successor that had become ready has ended; carries its process id.
pub static REPLACEMENT_ENDED: Topic<u32> = Topic::new("replacement-ended");
/// How long a successor that closed its pipe may take to end by itself.
const END_LIMIT: Duration = Duration::from_secs(5);

/// How to start the successor. It runs in our directory, environment and standard streams.
#[derive(Debug, Clone)]
pub struct Replacement {
    /// The program as this process was called (`argv[0]`): a bare name is looked up in `PATH`
    /// anew, a relative path in `directory`, so that an upgraded program is found.
    pub program: OsString,
    /// The arguments after the program.
    pub args: Vec<OsString>,
    /// The directory in which this process was started.
    pub directory: PathBuf,
    /// Variables to add to the environment.
    pub environment: Vec<(OsString, OsString)>,
    /// When it is killed: somewhat later than its own limit, so that it can say what is missing.
    pub timeout: Duration,
}

/// Why there is no successor. This process goes on.
#[derive(Debug, Error)]
pub enum ReplacementError {
    /// Only one at a time.
    #[error("another replacement is under way")]
    UnderWay,
    /// The pipe or the copies of the listeners could not be made.
    #[error("cannot prepare the descriptors for the replacement")]
    Descriptors(#[source] io::Error),
    /// The program could not be started.
    #[error("cannot start {program}")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It closed its pipe without a word.
    #[error("the replacement (process {pid}) ended before it was ready: {status}")]
    Ended {
        /// Its process id.
        pid: u32,
        /// How it ended.
        status: String,
    },
    /// It took too long and was killed.
    #[error("the replacement (process {pid}) was not ready within {limit:?} and was killed")]
    Late {
        /// Its process id.
        pid: u32,
        /// The limit.
        limit: Duration,
    },
    /// Its pipe could not be read.
    #[error("cannot read the word of the replacement (process {pid})")]
    Pipe {
        /// Its process id.
        pid: u32,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Starts the successor and waits until it is ready; gives its process id. From then on a
/// background task of the supervisor waits for its end, so that it never stays a zombie. If this
/// future is dropped before, the successor is killed.
pub async fn spawn_replacement(
    supervisor: &Supervisor,
    listeners: &Listeners,
    replacement: &Replacement,
) -> Result<u32, ReplacementError> {
    let turn = listeners
        .begin_replacement()
        .ok_or(ReplacementError::UnderWay)?;
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)
        .map_err(|error| ReplacementError::Descriptors(error.into()))?;
    let reader = Receiver::from_owned_fd(reader).map_err(ReplacementError::Descriptors)?;
    let mut child = start(listeners, replacement, writer)?;
    let pid = child.pid;
    tracing::info!(pid, "replacement started");
    let outcome = timeout(replacement.timeout, hear(reader)).await;
    let failure = match outcome {
        Ok(Ok(true)) => {
            watch(supervisor, child);
            drop(turn);
            return Ok(pid);
        }
        Ok(Ok(false)) => ReplacementError::Ended {
            pid,
            status: child.end().await,
        },
        Ok(Err(source)) => ReplacementError::Pipe { pid, source },
        Err(_) => ReplacementError::Late {
            pid,
            limit: replacement.timeout,
        },
    };
    child.kill().await;
    drop(turn);
    Err(failure)
}

fn start(
    listeners: &Listeners,
    replacement: &Replacement,
    writer: OwnedFd,
) -> Result<Successor, ReplacementError> {
    let mut entries = Vec::new();
    let mut descriptors = Vec::new();
    let mut command = Command::new(resolve(replacement));
    for shared in listeners.share().map_err(ReplacementError::Descriptors)? {
        let fd = shared.descriptor.as_raw_fd();
        entries.push(Entry {
            role: shared.role,
            address: shared.address,
            fd,
        });
        descriptors.push(shared.descriptor);
    }
    let text = serde_json::to_string(&entries)
        .map_err(|error| ReplacementError::Descriptors(error.into()))?;
    for variable in HANDOVER_VARIABLES {
        command.env_remove(variable);
    }
    command.arg0(&replacement.program).args(&replacement.args);
    command.envs(replacement.environment.iter().cloned());
    command
        .env(LISTENERS_VARIABLE, text)
        .env(READY_VARIABLE, writer.as_raw_fd().to_string());
    descriptors.push(writer);
    keep_open(&mut command, descriptors);
    let started = command.spawn();
    // With the command go our copies of the descriptors, above all the writing end of the pipe:
    // only the successor may hold it, or its death would not be seen.
    drop(command);
    let failed = |source| {
        let program = replacement.program.to_string_lossy().into_owned();
        ReplacementError::Start { program, source }
    };
    let child = started.map_err(failed)?;
    let pid = child
        .id()
        .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    Ok(Successor {
        pid,
        child: Some(child),
    })
}

/// A path is taken from the directory of our own start; a bare name is left to the search path.
fn resolve(replacement: &Replacement) -> PathBuf {
    let program = PathBuf::from(&replacement.program);
    if program.is_absolute() || program.components().count() == 1 && !has_slash(replacement) {
        return program;
    }
    replacement.directory.join(program)
}

fn has_slash(replacement: &Replacement) -> bool {
    replacement.program.as_encoded_bytes().contains(&b'/')
}

/// Whether a word came before the end of the pipe.
async fn hear(mut reader: Receiver) -> io::Result<bool> {
    let mut word = [0_u8; 64];
    Ok(reader.read(&mut word).await? > 0)
}

fn watch(supervisor: &Supervisor, mut successor: Successor) {
    let Some(mut child) = successor.child.take() else {
        return;
    };
    let pid = successor.pid;
    let bus = supervisor.bus().clone();
    supervisor.spawn_background("replacement-watch", async move {
        match child.wait().await {
            Ok(status) => tracing::warn!(pid, %status, "the replacement has ended"),
            Err(error) => tracing::warn!(pid, %error, "cannot wait for the replacement"),
        }
        bus.publish(&REPLACEMENT_ENDED, pid);
    });
}

/// A child that is not ready yet: killed when dropped. tokio reaps what is dropped unwaited.
struct Successor {
    pid: u32,
    child: Option<Child>,
}

impl Successor {
    /// How it ended, given a moment to end; killed otherwise.
    async fn end(&mut self) -> String {
        let Some(child) = &mut self.child else {
            return String::new();
        };
        match timeout(END_LIMIT, child.wait()).await {
            Ok(Ok(status)) => describe(status),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it closed its pipe and was killed".to_owned(),
        }
    }

    async fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            if let Err(error) = child.kill().await {
                tracing::debug!(pid = self.pid, %error, "cannot kill the replacement");
            }
            self.child = None;
        }
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child
            && let Err(error) = child.start_kill()
        {
            tracing::debug!(pid = self.pid, %error, "cannot kill the replacement");
        }
    }
}

fn describe(status: ExitStatus) -> String {
    status.to_string()
}
