//! Who was refused in a handshake is recorded: a certificate of another authority, one that has ended,
//! or none where one is needed, and a TLS that is too old.

use std::net::SocketAddr;
use std::sync::Arc;

use base::http::{Peer, Refused, Serving, refused_client};
use identity::IdentityError;
use identity::audit::{Caller, Event};

use super::Hub;
use super::certificate::node_peer;
use crate::line::{AcceptError, Line, RefusalCode};
use crate::membership::Disbelieved;

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
    pub(super) async fn note_disbelieved(&self, line: &Line, refused: &Disbelieved) {
        let node = &line.peer().name;
        let (proxy, reason) = (short(&refused.proxy), short(&refused.reason));
        tracing::warn!(node, proxy, reason, "a node refused an announcement");
        let caller = Caller::machine(&node_peer(line), Some(line.state().remote.ip()));
        let event = Event::success("line.announcement", &caller, format!("proxy:{proxy}"))
            .with("node", node)
            .with("reason", reason);
        tell_failure(self.identity.audit().record_refusal(event)).await;
    }

    /// Records that a node's handshakes come without the names of our protocols: something on the way
    /// takes them out, or ends TLS. Nothing but HTTP is spoken there, and the line is inside that.
    pub(super) async fn note_downgraded(&self, line: &Line) {
        let node = &line.peer().name;
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

/// What a node says, short enough for the audit log.
fn short(text: &str) -> &str {
    const BYTES_MAX: usize = 300;
    text.get(..text.floor_char_boundary(BYTES_MAX))
        .unwrap_or_default()
}

async fn tell_failure(recording: impl Future<Output = Result<(), IdentityError>>) {
    if let Err(error) = recording.await {
        let error = crate::line::chain(&error);
        tracing::error!(error, "a refusal could not be recorded in the audit log");
    }
}
