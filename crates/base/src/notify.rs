//! What systemd is told about the process, if it asked (`NOTIFY_SOCKET`). Nothing depends on
//! whether it listens: a failure is logged at debug and that is all.

#[cfg(test)]
mod tests;

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::clock;

/// How long one message may hold up the loop of the process while systemd takes nothing.
const SEND_LIMIT: Duration = Duration::from_secs(1);

/// The way to systemd, if there is one.
#[derive(Debug, Clone, Default)]
pub struct Notifier {
    address: Option<SocketAddr>,
}

impl Notifier {
    /// `text` is that of `NOTIFY_SOCKET`: a path, or `@` and the name of an abstract socket.
    pub fn new(text: Option<&str>) -> Self {
        let address = text.map(|text| match text.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(text),
        });
        if let Some(Err(error)) = &address {
            tracing::debug!(%error, text, "systemd can't be told anything");
        }
        Self {
            address: address.and_then(Result::ok),
        }
    }

    /// The process serves. Also ends a reload.
    pub fn ready(&self) {
        self.send("READY=1\n");
    }

    /// The process with this id serves, and is the one to watch from now on.
    pub fn ready_as_main(&self, pid: u32) {
        self.send(&format!("MAINPID={pid}\nREADY=1\n"));
    }

    /// A reload begins; `ready` or `ready_as_main` ends it. systemd wants the time in the same
    /// message (sd_notify(3), `RELOADING=1`).
    pub fn reloading(&self) {
        let now = clock::monotonic_usec();
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now}\n"));
    }

    /// The process is on its way out.
    pub fn stopping(&self) {
        self.send("STOPPING=1\n");
    }

    fn send(&self, text: &str) {
        let Some(address) = &self.address else { return };
        let sent = UnixDatagram::unbound().and_then(|socket| {
            socket.set_write_timeout(Some(SEND_LIMIT))?;
            socket.send_to_addr(text.as_bytes(), address)
        });
        if let Err(error) = sent {
            tracing::debug!(%error, text, "systemd could not be told");
        }
    }
}
