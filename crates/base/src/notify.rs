//! What systemd is told about the process, if it asked (`NOTIFY_SOCKET`). Nothing depends on
//! whether it listens: a failure is logged at debug and that is all.

#[cfg(test)]
mod tests;

use sd_notify::NotifyState;

/// The process serves. Also ends a reload.
pub fn ready() {
    send(&[NotifyState::Ready]);
}

/// The process with this id serves, and is the one to watch from now on.
pub fn ready_as_main(pid: u32) {
    send(&[NotifyState::MainPid(pid), NotifyState::Ready]);
}

/// A reload begins; `ready` or `ready_as_main` ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "cannot read the clock for systemd"),
    }
}

/// The process is on its way out.
pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// One line for `systemctl status`.
pub fn status(text: &str) {
    let line = text.replace(['\n', '\r'], " ");
    send(&[NotifyState::Status(&line)]);
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, ?states, "systemd could not be told");
    }
}
