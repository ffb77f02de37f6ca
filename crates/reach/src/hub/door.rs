//! The door for lines on the main port: their handshakes, and holding each line until it ends.

use std::sync::Arc;
use std::time::Duration;

use base::http::{Peer as Remote, Protocol, Serving, TlsStream};
use base::supervise::{BoxError, ExitKind, Scope};
use identity::peer::{MachineRole, Peer as CertificatePeer, PeerError};
use identity::trust::Trust;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{DRAIN_LIMIT, Hub, RETURN_DIAL, RETURN_SPREAD, RETURN_SPREAD_MAX, RETURNS_PER_SECOND};
use crate::line::{
    Acceptor, AcceptorSettings, Drain, Identify, Lane, Line, Peer, Timing, Welcome, lanes_tls,
    prepare,
};
use crate::offers::Offers;

/// Lines at once.
const LINES_MAX: usize = 20_000;
/// Descriptors that an idle line takes.
const DESCRIPTORS_PER_LINE: u64 = 2;
/// Descriptors that lines leave to everything else.
const DESCRIPTORS_LEFT: u64 = 1_024;
/// The part of the descriptors that bulk connections may take, idle ones included.
const BULK_SHARE: u64 = 8;

impl Hub {
    /// The protocols of lines, for the main listener.
    ///
    /// # Errors
    /// The crypto provider refuses its own defaults.
    pub fn protocols(self: &Arc<Self>) -> Result<Vec<Protocol>, BoxError> {
        let tls = lanes_tls(&self.line_tls()?);
        let protocol = |lane: Lane| {
            let hub = Arc::clone(self);
            let take_over = move |stream: TlsStream, remote: Remote, _: Scope| -> Serving {
                let hub = Arc::clone(&hub);
                Box::pin(async move { hub.admit(stream, remote).await })
            };
            Protocol {
                name: lane.alpn(),
                tls: Arc::clone(&tls),
                take_over: Arc::new(take_over),
                refused: self.refused(),
            }
        };
        let mut protocols: Vec<Protocol> = Lane::ALL.into_iter().map(protocol).collect();
        protocols.push(self.peer_protocol()?);
        Ok(protocols)
    }

    async fn admit(self: Arc<Self>, stream: TlsStream, remote: Remote) {
        // Before the service runs, and after it, there is nobody to hold a line.
        let Some(acceptor) = self.acceptor.get() else {
            return;
        };
        let (io, session) = stream.get_ref();
        if let Some(lane) = session.alpn_protocol().and_then(Lane::of_alpn) {
            prepare(io.get_ref(), lane);
        }
        match acceptor.admit(stream, remote.address).await {
            Ok(Some(line)) => {
                let hub = Arc::clone(&self);
                self.reports.note_direct(&line.peer().id);
                acceptor
                    .scope()
                    .spawn("line to a node", async move { hub.hold(line).await });
            }
            Ok(None) => {}
            Err(error) => self.note_refused_lane(remote.address, &error).await,
        }
    }

    /// Keeps a line among the nodes' until it ends.
    pub(super) async fn hold(&self, line: Line) {
        let node = line.peer().name.clone();
        // A lock may have come between the handshake and now; from here on the service acts.
        if self.dismiss_locked(&line).await {
            return;
        }
        self.tell_trust(&line);
        if let Some(announcement) = self.presence.announcement() {
            line.announce(announcement);
        }
        let offers = match Offers::ask(&line).await {
            Ok(offers) => Some(offers),
            Err(error) => {
                tracing::warn!(node, error, "what the node offers now is not known");
                None
            }
        };
        tracing::info!(
            node,
            apps = offers.as_ref().map(|offers| offers.apps.len()),
            metrics = offers.as_ref().map(|offers| offers.metrics.len()),
            "line to a node"
        );
        self.nodes.add(line.clone(), offers);
        let reason = line.closed().await;
        self.nodes.remove(&line, &reason);
        tracing::info!(node, reason, "line to a node ended");
    }

    pub(super) async fn hold_lines(self: Arc<Self>, scope: Scope) -> Result<(), BoxError> {
        let own = self.view.clone();
        let (heard, notes) = super::certificate::notes();
        scope.spawn(
            "notes of nodes",
            Arc::clone(&self).listen(notes, scope.clone()),
        );
        let settings = AcceptorSettings {
            tls: Arc::new(self.line_tls()?),
            identify: identify(self.identity.trust(), MachineRole::Node),
            heard,
            welcome: Welcome {
                group: own.group,
                generation: own.generation,
                addresses: own.addresses,
            },
            timing: Timing::default(),
            lines_max: room(base::descriptors::limit()),
            bulk_max: bulk_room(base::descriptors::limit()),
        };
        let acceptor = self
            .acceptor
            .get_or_init(|| Acceptor::new(settings, scope.clone()));
        scope.stopping().await;
        acceptor.close("this proxy stops; another one takes over");
        let lines = acceptor.lines();
        let spread = spread(lines.len()).max(RETURN_SPREAD);
        for line in lines {
            let notice = Drain {
                reason: "the proxy stops".to_owned(),
                has_successor: true,
                spread_ms: u64::try_from(spread.as_millis()).unwrap_or(0),
            };
            let (doors, own) = (self.settings.doors, scope.clone());
            scope.spawn("drain of a line", async move {
                line.advise(notice.clone()).await;
                tokio::select! {
                    ((), ()) = async { tokio::join!(returned(spread, &own), closed(doors, &own)) } => {}
                    () = own.closing() => {}
                    _ = line.closed() => {}
                }
                line.drain(notice, DRAIN_LIMIT).await;
            });
        }
        Ok(())
    }
}

/// Lines for which there is room with so many descriptors. Beyond them agents are refused with a
/// reason, which is better than connections that can't be accepted.
fn room(descriptors: u64) -> usize {
    let bulk = descriptors / BULK_SHARE;
    let most = descriptors.saturating_sub(DESCRIPTORS_LEFT + bulk) / DESCRIPTORS_PER_LINE;
    // With few of them a half is for lines.
    let most = most.max(descriptors / 2 / DESCRIPTORS_PER_LINE);
    let room = usize::try_from(most).unwrap_or(LINES_MAX).min(LINES_MAX);
    if room < LINES_MAX {
        tracing::info!(
            descriptors,
            lines = room,
            "there is room for so many lines; more descriptors (LimitNOFILE, ulimit -n) make more room"
        );
    }
    room
}

/// Bulk connections for which there is room: without one a stream takes the interactive lane.
fn bulk_room(descriptors: u64) -> usize {
    usize::try_from(descriptors / BULK_SHARE).map_or(LINES_MAX, |most| most.min(LINES_MAX))
}

/// The time that so many agents need at least to come all together.
pub(super) fn spread(agents: usize) -> Duration {
    let agents = u32::try_from(agents.min(LINES_MAX)).unwrap_or(u32::MAX);
    (Duration::from_secs(1) * agents / RETURNS_PER_SECOND).min(RETURN_SPREAD_MAX)
}

/// Waits until the agents, which were told to, are back at the successor: until then their nodes have
/// no other line.
async fn returned(spread: Duration, scope: &Scope) {
    if scope.supervisor().exit_kind() == ExitKind::Graceful {
        tokio::time::sleep(spread + RETURN_DIAL).await;
    }
}

/// Waits until nobody can ask for anything new any more: who has a kept connection to this process
/// is answered by it once more, and needs the line for that.
async fn closed(doors: &[&str], scope: &Scope) {
    // Services end in one place for all; which are left is looked at instead of being told.
    const LOOK_EVERY: Duration = Duration::from_millis(200);
    let is_open = || {
        let services = scope.supervisor().services();
        services.iter().any(|name| doors.contains(&name.as_str()))
    };
    while scope.supervisor().exit_kind() == ExitKind::Graceful && is_open() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Which machine of this role a client certificate names.
pub(super) fn identify(trust: Trust, role: MachineRole) -> Identify {
    Arc::new(move |certificates: &[CertificateDer<'static>]| {
        let since = base::clock::wall().duration_since(std::time::UNIX_EPOCH);
        let now = UnixTime::since_unix_epoch(since.unwrap_or_default());
        let peer = trust.client_of(Some(certificates), now);
        let machine = peer.and_then(|peer| peer.machine(&[role]));
        let machine = machine.map_err(|error| explain(&trust, certificates, &error))?;
        Ok(Peer {
            id: machine.uuid,
            name: machine.name,
            role: machine.role.to_string(),
            cluster: machine.cluster,
        })
    })
}

/// Why a peer is refused, with its name when it is known.
fn explain(trust: &Trust, certificates: &[CertificateDer<'_>], error: &PeerError) -> String {
    let PeerError::Locked(reason) = error else {
        return error.to_string();
    };
    let first = certificates.first();
    let peer = first
        .and_then(|first| CertificatePeer::from_certificate(first, &trust.bundle().cluster).ok());
    match peer {
        Some(CertificatePeer::Machine(peer)) => {
            super::locks::locked(peer.role.as_str(), &peer.name, reason)
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_agents_come_back_more_slowly() {
        for (agents, seconds) in [(0, 0), (2_000, 2), (5_000, 5), (20_000, 8), (1_000_000, 8)] {
            assert_eq!(spread(agents), Duration::from_secs(seconds), "{agents}");
        }
    }

    #[test]
    fn lines_leave_descriptors_to_others() {
        for (descriptors, lines) in [
            (1_024, 256),
            (4_096, 1_280),
            (20_000, 8_238),
            (65_536, 20_000),
            (u64::MAX, 20_000),
        ] {
            assert_eq!(room(descriptors), lines, "{descriptors}");
        }
    }
}
