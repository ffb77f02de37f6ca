//! The listening sockets of the process: taken over from a predecessor or from systemd where role
//! and address match, opened anew otherwise, and kept so that a successor can take them over. It
//! accepts nothing; how descriptors travel between processes is in `handover`.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

/// How many connections the kernel holds for us until we accept them.
pub const BACKLOG: i32 = 1024;

/// Why a role has no listener.
#[derive(Debug, Error)]
pub enum BindError {
    /// Someone else has the address.
    #[error(
        "cannot listen on {address} for {role}: another process listens there; stop it or choose \
         another address with {key}"
    )]
    InUse {
        /// The role.
        role: String,
        /// The address.
        address: SocketAddr,
        /// The key of the configuration that sets the address.
        key: String,
    },
    /// The address is not one of this machine's.
    #[error(
        "cannot listen on {address} for {role}: this machine has no such address; choose one of \
         its own, or an unspecified one such as 0.0.0.0, with {key}"
    )]
    NotOurs {
        /// The role.
        role: String,
        /// The address.
        address: SocketAddr,
        /// The key of the configuration that sets the address.
        key: String,
    },
    /// Ports below 1024 are for the privileged.
    #[error(
        "cannot listen on {address} for {role}: not permitted; grant CAP_NET_BIND_SERVICE, let \
         systemd pass the socket, or choose a port from 1024 on with {key}"
    )]
    NotPermitted {
        /// The role.
        role: String,
        /// The address.
        address: SocketAddr,
        /// The key of the configuration that sets the address.
        key: String,
    },
    /// The process is on its way out.
    #[error("cannot listen on {address} for {role}: the process is stopping")]
    Stopping {
        /// The role.
        role: String,
        /// The address.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address} for {role} ({key})")]
    Other {
        /// The role.
        role: String,
        /// The address.
        address: SocketAddr,
        /// The key of the configuration that sets the address.
        key: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Where an inherited listener comes from, which decides how it is matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The process we replace: role and configured address must both match.
    Predecessor,
    /// systemd: the name it was given must be the role, else its bound address must match.
    Systemd,
}

/// A listener that was open before this process began.
#[derive(Debug)]
pub struct InheritedListener {
    /// The role, or systemd's name for the socket.
    pub name: String,
    /// The address: as configured in the predecessor, or as bound by systemd.
    pub address: SocketAddr,
    /// Where it comes from.
    pub origin: Origin,
    /// The socket.
    pub listener: TcpListener,
}

/// A listener of ours as a successor is told of it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) role: String,
    pub(crate) address: SocketAddr,
    pub(crate) descriptor: OwnedFd,
}

/// The listeners of the process; clones share them.
#[derive(Clone)]
pub struct Listeners {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    is_replacing: AtomicBool,
}

struct State {
    inherited: Vec<InheritedListener>,
    /// Second descriptors of what was given out, by role and configured address.
    open: BTreeMap<(String, SocketAddr), TcpListener>,
    is_stopping: bool,
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listeners")
            .field("open", &self.open())
            .finish_non_exhaustive()
    }
}

impl Listeners {
    /// Begins with what was inherited.
    pub fn new(inherited: Vec<InheritedListener>) -> Self {
        let state = State {
            inherited,
            open: BTreeMap::new(),
            is_stopping: false,
        };
        let inner = Inner {
            state: Mutex::new(state),
            is_replacing: AtomicBool::new(false),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The listener of a role at its configured address: the one that is open already, else an
    /// inherited one that matches, else a new one. Port 0 as configured matches port 0. `key`
    /// names the configuration key of the address, for the error. The listener does not block.
    pub fn bind(
        &self,
        role: &str,
        address: SocketAddr,
        key: &str,
    ) -> Result<TcpListener, BindError> {
        let mut state = self.lock();
        if state.is_stopping {
            return Err(BindError::Stopping {
                role: role.to_owned(),
                address,
            });
        }
        let fail = |source| bind_error(role, address, key, source);
        let place = (role.to_owned(), address);
        if let Some(open) = state.open.get(&place) {
            return open.try_clone().map_err(fail);
        }
        let listener = match state.take_inherited(role, address) {
            Some(inherited) => {
                inherited.listener.set_nonblocking(true).map_err(fail)?;
                tracing::debug!(role, %address, origin = ?inherited.origin, "listener taken over");
                inherited.listener
            }
            None => listen(address).map_err(fail)?,
        };
        let given = listener.try_clone().map_err(fail)?;
        state.open.insert(place, listener);
        Ok(given)
    }

    /// Forgets a listener that its owner has closed for good, for instance because its role is
    /// no longer configured. Until then the address stays open for a successor.
    pub fn release(&self, role: &str, address: SocketAddr) {
        self.lock().open.remove(&(role.to_owned(), address));
    }

    /// Closes what was inherited and not asked for, and names it.
    pub fn unused(&self) -> Vec<String> {
        let unused = std::mem::take(&mut self.lock().inherited);
        unused
            .iter()
            .map(|one| format!("{} at {}", one.name, one.address))
            .collect()
    }

    /// From now on nothing is opened or handed on: the process is stopping. Our second
    /// descriptors close, so that a port closes once its owner closes it.
    pub fn refuse_new(&self) {
        let mut state = self.lock();
        state.is_stopping = true;
        let closed = (
            std::mem::take(&mut state.inherited),
            std::mem::take(&mut state.open),
        );
        drop(state);
        drop(closed);
    }

    /// The roles and configured addresses that are open.
    pub fn open(&self) -> Vec<(String, SocketAddr)> {
        self.lock().open.keys().cloned().collect()
    }

    /// Descriptors of their own for a successor, independent of what happens here meanwhile.
    pub(crate) fn share(&self) -> io::Result<Vec<Shared>> {
        let state = self.lock();
        let share = |((role, address), listener): (&(String, SocketAddr), &TcpListener)| {
            let descriptor = OwnedFd::from(listener.try_clone()?);
            Ok(Shared {
                role: role.clone(),
                address: *address,
                descriptor,
            })
        };
        state.open.iter().map(share).collect()
    }

    /// The right to replace the process; one at a time has it.
    pub(crate) fn begin_replacement(&self) -> Option<ReplacementTurn> {
        let was_free = !self.inner.is_replacing.swap(true, Ordering::AcqRel);
        was_free.then(|| ReplacementTurn {
            listeners: self.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held while a replacement is under way.
#[derive(Debug)]
pub(crate) struct ReplacementTurn {
    listeners: Listeners,
}

impl Drop for ReplacementTurn {
    fn drop(&mut self) {
        self.listeners
            .inner
            .is_replacing
            .store(false, Ordering::Release);
    }
}

impl State {
    fn take_inherited(&mut self, role: &str, address: SocketAddr) -> Option<InheritedListener> {
        let find =
            |is_it: &dyn Fn(&InheritedListener) -> bool| self.inherited.iter().position(is_it);
        // systemd can give several sockets one name, which only the address tells apart.
        let found = find(&|one| one.name == role && one.address == address)
            .or_else(|| find(&|one| one.origin == Origin::Systemd && one.name == role))
            .or_else(|| find(&|one| one.origin == Origin::Systemd && one.address == address))?;
        Some(self.inherited.swap_remove(found))
    }
}

/// Opens a listener; socket2 sets close-on-exec, and only a successor is ever given one.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Connections of an earlier process in TIME_WAIT must not keep the port from us.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_error(role: &str, address: SocketAddr, key: &str, source: io::Error) -> BindError {
    let (role, key) = (role.to_owned(), key.to_owned());
    match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { role, address, key },
        io::ErrorKind::AddrNotAvailable => BindError::NotOurs { role, address, key },
        io::ErrorKind::PermissionDenied => BindError::NotPermitted { role, address, key },
        _ => BindError::Other {
            role,
            address,
            key,
            source,
        },
    }
}
