//! The connections that nobody uses at the moment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};
use std::time::Instant;

use foldhash::fast::RandomState;
use http::Uri;
use http::uri::Authority;
use tokio::sync::watch;

use super::connection::Connection;
use super::{Dial, IDLE_PER_HOST_MAX, IDLE_TIMEOUT, SWEEP_INTERVAL};
use crate::clock;
use crate::supervise::{Phase, Supervisor};

/// Where a connection leads, and whether TLS is on it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    is_tls: bool,
    authority: Authority,
}

impl Origin {
    /// Of an absolute URI; nothing for another.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        Some(Self {
            is_tls: uri.scheme_str()? == "https",
            authority: uri.authority()?.clone(),
        })
    }
}

/// Idle connections by origin, the longest idle first.
pub(super) struct Pool {
    supervisor: Supervisor,
    dial: Option<Arc<dyn Dial>>,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    connections: HashMap<Origin, Vec<(Instant, Box<Connection>)>, RandomState>,
    is_swept: bool,
}

impl Pool {
    pub(super) fn new(supervisor: Supervisor, dial: Option<Arc<dyn Dial>>) -> Arc<Self> {
        Arc::new(Self {
            supervisor,
            dial,
            idle: Mutex::default(),
        })
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection to `origin` that was used last and can be used still.
    pub(super) fn take(
        &self,
        origin: &Origin,
        context: &mut Context<'_>,
    ) -> Option<Box<Connection>> {
        loop {
            let (_, mut connection) = self.idle().connections.get_mut(origin)?.pop()?;
            if self.is_lasting(&connection) && connection.is_free(context) {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection for the next request, unless there are enough, or the process ends: one to
    /// ourselves would be waited for.
    pub(super) fn keep(self: &Arc<Self>, origin: Origin, connection: Box<Connection>) {
        let mut idle = self.idle();
        // Looked at under the lock under which `close` empties the pool: either sees the other.
        if self.supervisor.is_exiting() || !self.is_lasting(&connection) {
            return;
        }
        let connections = idle.connections.entry(origin).or_default();
        if connections.len() >= IDLE_PER_HOST_MAX {
            return;
        }
        connections.push((clock::now(), connection));
        if !std::mem::replace(&mut idle.is_swept, true) {
            drop(idle);
            let sweeping = sweep(Arc::downgrade(self), self.supervisor.phase());
            self.supervisor
                .spawn_background("client connections", sweeping);
        }
    }

    /// Whether its way is still as it was.
    fn is_lasting(&self, connection: &Connection) -> bool {
        let dial = self.dial.as_ref();
        dial.is_none_or(|dial| dial.keeps(connection.dialled()))
    }

    /// Closes everything.
    fn close(&self) {
        let closed = std::mem::take(&mut self.idle().connections);
        drop(closed);
    }

    /// Closes what is too old or was closed by the peer; says whether anything is left.
    pub(super) fn clean(&self, now: Instant) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let mut idle = self.idle();
        idle.connections.retain(|_, connections| {
            connections.retain_mut(|(since, connection)| {
                now.saturating_duration_since(*since) < IDLE_TIMEOUT
                    && self.is_lasting(connection)
                    && connection.is_free(&mut context)
            });
            !connections.is_empty()
        });
        idle.is_swept = !idle.connections.is_empty();
        idle.is_swept
    }
}

/// Nobody drives an idle connection, so somebody has to look now and then whether it is still one.
async fn sweep(pool: Weak<Pool>, mut phase: watch::Receiver<Option<Phase>>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(SWEEP_INTERVAL) => {}
            _ = phase.wait_for(Option::is_some) => {
                if let Some(pool) = pool.upgrade() {
                    pool.close();
                }
                return;
            }
        }
        if !pool.upgrade().is_some_and(|pool| pool.clean(clock::now())) {
            return;
        }
    }
}
