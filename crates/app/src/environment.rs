//! The only place that reads the environment and the arguments of the process.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use base::handover::HandoverTexts;

/// What the process was started with.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    /// Variables that are text.
    pub(crate) variables: BTreeMap<String, String>,
    /// The program as it was called.
    pub(crate) program: OsString,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
    /// The folder it was started in.
    pub(crate) folder: PathBuf,
}

impl Environment {
    /// Reads everything once.
    #[expect(clippy::disallowed_methods, reason = "the home of the environment")]
    pub(crate) fn read() -> std::io::Result<Self> {
        let mut arguments = std::env::args_os();
        let texts = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Ok(Self {
            variables: texts.collect(),
            program: arguments.next().unwrap_or_else(|| "landline".into()),
            arguments: arguments.collect(),
            folder: std::env::current_dir()?,
        })
    }

    /// What a predecessor or systemd left for us.
    pub(crate) fn handover(&self) -> HandoverTexts {
        let text = |name: &str| self.variables.get(name).cloned();
        HandoverTexts {
            listeners: text("LANDLINE_LISTENERS"),
            ready_fd: text("LANDLINE_READY_FD"),
            systemd_fds: text("LISTEN_FDS"),
            systemd_pid: text("LISTEN_PID"),
            systemd_names: text("LISTEN_FDNAMES"),
        }
    }
}
