//! Locks act on what is open: lines of a node that is locked end at once, and all lines when this
//! proxy itself is locked. New ones are refused by the door, which asks the same question.

use std::sync::Arc;

use base::supervise::{BoxError, Scope};
use identity::locks::LockTarget;
use identity::peer::MachineRole;
use identity::trust::Trust;

use super::{Hub, unix_milliseconds};
use crate::line::{Acceptor, Line, Peer};

impl Hub {
    /// Ends the lines of those who get locked, until the scope stops.
    pub(super) async fn keep_locked_out(self: Arc<Self>, scope: Scope) -> Result<(), BoxError> {
        let mut changed = self.identity.trust().watch();
        loop {
            changed.mark_unchanged();
            let lines = self.acceptor.get().map(Acceptor::lines);
            for line in lines.unwrap_or_default() {
                if let Some(reason) = self.lock_on(line.peer()) {
                    scope.spawn("dismissal of a line", async move {
                        line.dismiss(reason).await;
                    });
                }
            }
            tokio::select! {
                outcome = changed.changed() => outcome?,
                () = scope.stopping() => return Ok(()),
            }
        }
    }

    /// Why this peer may have no line.
    pub(super) fn lock_on(&self, peer: &Peer) -> Option<String> {
        let trust = self.identity.trust();
        let now = unix_milliseconds();
        let node = [
            LockTarget::Node(peer.id.clone()),
            LockTarget::Role(peer.role.clone()),
        ];
        if let Some(lock) = trust.lock_on(&node, now) {
            return Some(locked(&peer.role, &peer.name, &lock.reason));
        }
        let own = lock_on_proxy(&trust, &self.view.uuid, now)?;
        Some(locked("proxy", &self.view.name, &own))
    }

    /// Ends a line that came although its node is locked; says whether it did.
    pub(super) async fn dismiss_locked(&self, line: &Line) -> bool {
        match self.lock_on(line.peer()) {
            Some(reason) => {
                line.dismiss(reason).await;
                true
            }
            None => false,
        }
    }
}

/// Why the proxy of that identifier is locked.
pub(super) fn lock_on_proxy(trust: &Trust, uuid: &str, now: i64) -> Option<String> {
    let proxy = [
        LockTarget::Node(uuid.to_owned()),
        LockTarget::Role(MachineRole::Proxy.to_string()),
    ];
    trust.lock_on(&proxy, now).map(|lock| lock.reason)
}

/// Until the proxy of that identifier is locked; says why.
pub(super) async fn proxy_locked(trust: Trust, uuid: String) -> String {
    let mut changed = trust.watch();
    loop {
        changed.mark_unchanged();
        if let Some(reason) = lock_on_proxy(&trust, &uuid, unix_milliseconds()) {
            return reason;
        }
        if changed.changed().await.is_err() {
            // Nothing can change any more: the process is on its way out.
            std::future::pending::<()>().await;
        }
    }
}

/// What those hear who are locked out.
pub(super) fn locked(role: &str, name: &str, reason: &str) -> String {
    format!("{role} {name} is locked by an operator: {reason}; see `landline locks ls` on the hub")
}
