//! Descriptors across process boundaries: what a predecessor or systemd left open for us, and
//! what a successor takes over. There is `unsafe` here, since descriptors travel as numbers;
//! which listener serves which role is decided in `listeners`.

mod inherit;
mod replace;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

pub use self::inherit::{HandoverTexts, INHERITED_MAX, InheritError, Inherited, inherit};
pub use self::replace::{
    REPLACEMENT_ENDED, REPLACEMENT_LIMIT, Replacement, ReplacementError, spawn_replacement,
};

/// The variable that names the descriptors of listeners to a successor, as JSON.
pub const LISTENERS_VARIABLE: &str = "LANDLINE_LISTENERS";
/// The variable that names the descriptor on which a successor says that it is ready.
pub const READY_VARIABLE: &str = "LANDLINE_READY_FD";
/// Every variable that concerns descriptors.
const HANDOVER_VARIABLES: [&str; 5] = [
    LISTENERS_VARIABLE,
    READY_VARIABLE,
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
];

/// The variables that other children than a successor must not see: those of the handover, and
/// those by which a child could speak to systemd in our name.
pub fn private_variables() -> impl Iterator<Item = &'static str> {
    let systemd = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];
    HANDOVER_VARIABLES.into_iter().chain(systemd)
}

/// One listener in the text of [`LISTENERS_VARIABLE`].
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    role: String,
    address: SocketAddr,
    fd: RawFd,
}

/// Tells the predecessor that this process is ready, by one line on its pipe, and closes it.
pub fn announce_ready(pipe: OwnedFd) -> io::Result<()> {
    let mut pipe = File::from(pipe);
    pipe.write_all(format!("process {} is ready\n", std::process::id()).as_bytes())
}

/// The first descriptor that is not standard input, output or error.
const FIRST_PASSED: RawFd = 3;

/// Takes ownership of a descriptor that was passed to this process by number, and sets it to
/// close on exec, so that no other child sees it.
#[expect(
    unsafe_code,
    reason = "a passed descriptor is known only by its number"
)]
fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    static TAKEN: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());

    if number < FIRST_PASSED {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a standard stream",
        ));
    }
    // SAFETY: the borrow serves only the two calls below, which report a number that is not open
    // as an error and do nothing else with it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = fcntl_getfd(borrowed)?;
    if !TAKEN
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(number)
    {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "taken before"));
    }
    fcntl_setfd(borrowed, flags | FdFlags::CLOEXEC)?;
    // SAFETY: the descriptor is open, whoever started us names it as ours, and TAKEN makes sure
    // that it gets one owner only. `inherit` is called once, before the runtime exists: whatever
    // opened descriptors until then has closed them again.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Keeps the descriptors open in the child under their numbers. In this process they stay
/// close-on-exec, so that no child started at the same time inherits them.
#[expect(
    unsafe_code,
    reason = "close-on-exec can be cleared for one child only between fork and exec"
)]
fn keep_open(command: &mut Command, descriptors: Vec<OwnedFd>) {
    let clear = move || {
        for descriptor in &descriptors {
            fcntl_setfd(descriptor, FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: the closure runs in the child between fork and exec. It makes system calls only: it
    // neither allocates nor locks, and the descriptors it borrows live as long as the command.
    unsafe {
        command.pre_exec(clear);
    }
}
