//! Reads what was left open for us: our own text from a predecessor, and systemd's protocol. The
//! texts are arguments; nothing here reads the environment.

use std::io;
use std::net::TcpListener;
use std::os::fd::{OwnedFd, RawFd};

use rustix::fs::{FileType, fstat};
use rustix::net::sockopt::socket_acceptconn;
use thiserror::Error;

use super::{Entry, FIRST_PASSED, adopt};
use crate::listeners::{InheritedListener, Origin};

/// How many descriptors a process may be handed.
pub const INHERITED_MAX: usize = 1024;

/// The texts of the variables, each as it stands in the environment.
#[derive(Debug, Clone, Default)]
pub struct HandoverTexts {
    /// `LANDLINE_LISTENERS`.
    pub listeners: Option<String>,
    /// `LANDLINE_READY_FD`.
    pub ready_fd: Option<String>,
    /// `LISTEN_FDS`.
    pub systemd_fds: Option<String>,
    /// `LISTEN_PID`.
    pub systemd_pid: Option<String>,
    /// `LISTEN_FDNAMES`.
    pub systemd_names: Option<String>,
}

/// What was left open for us.
#[derive(Debug, Default)]
pub struct Inherited {
    /// The listeners.
    pub listeners: Vec<InheritedListener>,
    /// The pipe on which the predecessor waits for word that we are ready.
    pub ready: Option<OwnedFd>,
}

impl Inherited {
    /// Whether another process waits for us to replace it.
    pub fn is_replacement(&self) -> bool {
        self.ready.is_some()
    }
}

/// Why what was left open cannot be used.
#[derive(Debug, Error)]
pub enum InheritError {
    /// The text of the predecessor is not the JSON it should be.
    #[error("cannot read LANDLINE_LISTENERS")]
    ListenersText(#[source] serde_json::Error),
    /// A number is not one.
    #[error("{variable} is {text:?}, which is not a number")]
    Number {
        /// The variable.
        variable: &'static str,
        /// Its text.
        text: String,
    },
    /// More than [`INHERITED_MAX`].
    #[error("{0} descriptors were passed, more than {INHERITED_MAX}")]
    TooMany(usize),
    /// A descriptor cannot be taken over.
    #[error("cannot take over descriptor {fd} ({name})")]
    Descriptor {
        /// The role, or systemd's name.
        name: String,
        /// Its number.
        fd: RawFd,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The descriptor of `LANDLINE_READY_FD` is something else.
    #[error("descriptor {fd} (LANDLINE_READY_FD) is not a pipe")]
    NotAPipe {
        /// Its number.
        fd: RawFd,
    },
    /// A descriptor is not a listening TCP socket.
    #[error("descriptor {fd} ({name}) is not a listening TCP socket")]
    NotListening {
        /// The role, or systemd's name.
        name: String,
        /// Its number.
        fd: RawFd,
    },
}

/// Takes over what the texts name. To be called once, before the runtime or anything else that
/// keeps descriptors is made: a number left over from elsewhere must not become one of theirs.
pub fn inherit(texts: &HandoverTexts) -> Result<Inherited, InheritError> {
    let mut inherited = Inherited::default();
    if let Some(text) = &texts.ready_fd {
        let fd = number("LANDLINE_READY_FD", text)?;
        let name = "ready pipe".to_owned();
        let adopted = adopt(fd).map_err(|source| InheritError::Descriptor { name, fd, source });
        let ready = adopted?;
        // The variable can be left over from a parent that has nothing to do with us.
        if !fstat(&ready).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_fifo()) {
            return Err(InheritError::NotAPipe { fd });
        }
        inherited.ready = Some(ready);
    }
    if let Some(text) = &texts.listeners {
        let entries: Vec<Entry> =
            serde_json::from_str(text).map_err(InheritError::ListenersText)?;
        check_count(entries.len())?;
        for Entry { role, address, fd } in entries {
            let listener = adopt_listener(&role, fd)?;
            let origin = Origin::Predecessor;
            inherited.listeners.push(InheritedListener {
                name: role,
                address,
                origin,
                listener,
            });
        }
    }
    inherited.listeners.extend(inherit_systemd(texts)?);
    Ok(inherited)
}

/// systemd passes descriptors from 3 on. They are meant for us only if the process id is ours:
/// the variables stay in the environment of children.
fn inherit_systemd(texts: &HandoverTexts) -> Result<Vec<InheritedListener>, InheritError> {
    let (Some(count), Some(pid)) = (&texts.systemd_fds, &texts.systemd_pid) else {
        return Ok(Vec::new());
    };
    if number::<u32>("LISTEN_PID", pid)? != std::process::id() {
        return Ok(Vec::new());
    }
    let count: usize = number("LISTEN_FDS", count)?;
    check_count(count)?;
    let mut names = texts
        .systemd_names
        .as_deref()
        .unwrap_or_default()
        .split(':');
    let mut found = Vec::new();
    for fd in (FIRST_PASSED..).take(count) {
        let name = names.next().unwrap_or_default().to_owned();
        let listener = adopt_listener(&name, fd)?;
        // A local address that is no IP address belongs to a Unix socket, which no role serves.
        let Ok(address) = listener.local_addr() else {
            tracing::warn!(
                name,
                fd,
                "systemd passed a socket that is not TCP; it is closed"
            );
            continue;
        };
        found.push(InheritedListener {
            name,
            address,
            origin: Origin::Systemd,
            listener,
        });
    }
    Ok(found)
}

fn adopt_listener(name: &str, fd: RawFd) -> Result<TcpListener, InheritError> {
    let name = name.to_owned();
    let descriptor = match adopt(fd) {
        Ok(descriptor) => descriptor,
        Err(source) => return Err(InheritError::Descriptor { name, fd, source }),
    };
    if !socket_acceptconn(&descriptor).unwrap_or(false) {
        return Err(InheritError::NotListening { name, fd });
    }
    Ok(TcpListener::from(descriptor))
}

fn number<T: std::str::FromStr>(variable: &'static str, text: &str) -> Result<T, InheritError> {
    text.trim().parse().map_err(|_| InheritError::Number {
        variable,
        text: text.to_owned(),
    })
}

fn check_count(count: usize) -> Result<(), InheritError> {
    if count > INHERITED_MAX {
        Err(InheritError::TooMany(count))
    } else {
        Ok(())
    }
}
