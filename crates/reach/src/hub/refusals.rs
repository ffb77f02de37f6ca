//! Who was refused in a handshake is recorded: a certificate of another authority, one that has ended,
//! or none where one is needed, and a TLS that is too old.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base::clock;
use base::http::{Peer, Refused, Serving, refused_client};
use identity::IdentityError;
use identity::audit::{Caller, Event};

use super::Hub;
use super::certificate::node_peer;
use crate::line::{AcceptError, Line, RefusalCode};
use crate::membership::Disbelieved;

/// One node's reports are taken at most this often.
const REPORT_PAUSE: Duration = Duration::from_mins(1);
/// Nodes that are remembered for that.
const NODES_MAX: usize = 20_000;

impl Hub {
    /// Records those whom the handshake of a protocol refuses.
    pub(super) fn refused(self: &Arc<Self>) -> Arc<Refused> {
        let hub = Arc::clone(self);
        Arc::new(move |peer: Peer, error: &rustls::Error| -> Serving {
            let (hub, error) = (Arc::clone(&hub), error.clone());
            Box::pin(async move { hub.note_refused_client(peer.address, &error).await })
        })
    }

    /// Writes into log and audit log that a client is not who it has to be.
    pub(super) async fn note_refused_client(&self, address: SocketAddr, error: &rustls::Error) {
        tracing::warn!(peer = %address, %error, "a handshake was refused");
        let audit = self.identity.audit();
        tell_failure(audit.record_refused_handshake(Some(address.ip()), error)).await;
    }

    /// The same of who asked for a lane. What only broke is not a refusal.
    pub(super) async fn note_refused_lane(&self, address: SocketAddr, error: &AcceptError) {
        match error {
            AcceptError::Tls(inner) if let Some(error) = refused_client(inner) => {
                self.note_refused_client(address, error).await;
            }
            AcceptError::Refused(refusal) if refusal.code == RefusalCode::Forbidden => {
                self.note_refused(address, "line", &refusal.text).await;
            }
            other => {
                let error = crate::line::chain(other);
                tracing::warn!(peer = %address, error, "a lane was refused");
            }
        }
    }

    /// The same of a proxy that a node does not believe: its announcement was forged, or is an old one.
    /// What the node says is no more than that: it may be in the wrong hands.
    pub(super) async fn note_disbelieved(&self, line: &Line, told: &Disbelieved) {
        if !self.reports.admit(&line.peer().id, clock::now()) {
            return;
        }
        let node = &line.peer().name;
        let (proxy, reason) = (short(&told.proxy), short(&told.reason));
        tracing::warn!(node, proxy, reason, "a node refused an announcement");
        let caller = Caller::machine(&node_peer(line), Some(line.state().remote.ip()));
        let event = Event::success("line.announcement", &caller, format!("node:{node}"))
            .with("node", node)
            .with("proxy", proxy)
            .with("reason", reason);
        tell_failure(self.identity.audit().record_refusal(event)).await;
    }

    /// Records that a node's handshakes come without the names of our protocols: something on the way
    /// takes them out, or ends TLS. Nothing but HTTP is spoken there, and the line is inside that. Once,
    /// until the node comes straight again.
    pub(super) async fn note_downgraded(&self, line: &Line) {
        let node = &line.peer().name;
        if !self.reports.is_newly_downgraded(&line.peer().id) {
            return;
        }
        let caller = Caller::machine(&node_peer(line), Some(line.state().remote.ip()));
        let event = Event::success("line.downgraded", &caller, format!("node:{node}")).with(
            "reason",
            "TLS's protocol names (ALPN) do not get through; its line is a WebSocket with TLS inside",
        );
        tell_failure(self.identity.audit().record_refusal(event)).await;
    }

    /// The same of one who is known, but may not do this.
    pub(super) async fn note_refused(&self, address: SocketAddr, what: &'static str, reason: &str) {
        tracing::warn!(peer = %address, reason, "{what} was refused");
        let caller = Caller::anonymous(Some(address.ip()));
        let event = Event::success("line.refused", &caller, what).with("reason", reason);
        tell_failure(self.identity.audit().record_refusal(event)).await;
    }
}

/// What nodes have reported, so that one of them fills neither the log nor the audit log.
#[derive(Debug, Default)]
pub(super) struct Reports {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// When each node has reported last.
    reported: BTreeMap<String, Instant>,
    /// Nodes whose last line is a WebSocket.
    downgraded: BTreeSet<String>,
}

impl Reports {
    /// Whether a report of this node is taken now.
    fn admit(&self, node: &str, now: Instant) -> bool {
        let mut known = self.known();
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < REPORT_PAUSE;
        if known.reported.get(node).is_some_and(is_recent) {
            return false;
        }
        if known.reported.len() >= NODES_MAX {
            known.reported.retain(|_, at| is_recent(at));
        }
        known.reported.insert(node.to_owned(), now);
        true
    }

    /// Whether this node came straight before.
    fn is_newly_downgraded(&self, node: &str) -> bool {
        let mut known = self.known();
        if known.downgraded.len() >= NODES_MAX {
            known.downgraded.clear();
        }
        known.downgraded.insert(node.to_owned())
    }

    /// This node comes straight.
    pub(super) fn note_direct(&self, node: &str) {
        self.known().downgraded.remove(node);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a node says: short enough for the audit log, and nothing that a terminal would obey.
fn short(text: &str) -> String {
    const CHARACTERS_MAX: usize = 300;
    // Marks of direction, with which a line can be made to look like another.
    let is_mark = |c: char| matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let fit = text.chars().filter(|c| !c.is_control() && !is_mark(*c));
    fit.take(CHARACTERS_MAX).collect()
}

async fn tell_failure(recording: impl Future<Output = Result<(), IdentityError>>) {
    if let Err(error) = recording.await {
        let error = crate::line::chain(&error);
        tracing::error!(error, "a refusal could not be recorded in the audit log");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_node_reports_once_a_minute() {
        let (reports, begin) = (Reports::default(), clock::now());
        assert!(reports.admit("a", begin));
        assert!(!reports.admit("a", begin + Duration::from_secs(59)));
        assert!(reports.admit("b", begin));
        assert!(reports.admit("a", begin + REPORT_PAUSE));
        for number in 0..3 * NODES_MAX {
            let later = begin + REPORT_PAUSE * u32::try_from(number / NODES_MAX + 2).unwrap();
            reports.admit(&number.to_string(), later);
            reports.is_newly_downgraded(&number.to_string());
        }
        assert!(reports.known().reported.len() <= 2 * NODES_MAX);
        assert!(reports.known().downgraded.len() <= NODES_MAX);
    }

    #[test]
    fn a_longer_way_is_told_once_until_the_node_comes_straight() {
        let reports = Reports::default();
        assert!(reports.is_newly_downgraded("a"));
        assert!(!reports.is_newly_downgraded("a"));
        reports.note_direct("a");
        assert!(reports.is_newly_downgraded("a"));
    }

    #[test]
    fn what_a_node_says_obeys_no_terminal() {
        assert_eq!(short("a\u{1b}[2J\nb\u{202e}c\0"), "a[2Jbc");
        assert_eq!(short(&"ä".repeat(301)).chars().count(), 300);
    }
}
