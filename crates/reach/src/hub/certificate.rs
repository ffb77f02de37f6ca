//! The hub's own certificate, and what nodes are told of the authorities: a rotation goes on when
//! all of them have said that they know the new one. Nodes renew their certificates here too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::clock;
use base::error::Class;
use base::supervise::{BoxError, Scope};
use identity::Identity;
use identity::authority;
use identity::members::renew::Renewal;
use identity::own_certificate::OwnCertificate;
use identity::peer::{MachineRole, NodePeer};
use identity::rotation::{Phase, Usage};
use tokio::sync::mpsc;

use super::{Hub, HubSettings, unix_milliseconds};
use crate::line::{Acceptor, Heard, Line};
use crate::membership::{self, Renew, ToHub, ToNode};

/// How often it is looked whether our certificate should be renewed, and nodes are told again while
/// a rotation is under way.
const LOOK_INTERVAL: Duration = Duration::from_mins(1);
/// Notes of nodes that wait; who has more says it again later.
const NOTES_MAX: usize = 1024;
/// One node gets a certificate at most this often.
const RENEW_PAUSE: Duration = Duration::from_secs(2);
/// Nodes whose notes are remembered.
const NODES_MAX: usize = 20_000;

/// What nodes have said, so that one that repeats itself costs the state nothing.
#[derive(Debug, Default)]
struct Book {
    renewals: BTreeMap<String, Instant>,
    known: BTreeMap<String, i64>,
}

impl Book {
    /// Whether a node gets a certificate now.
    fn may_renew(&mut self, node: &str, now: Instant) -> bool {
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < RENEW_PAUSE;
        if self.renewals.get(node).is_some_and(is_recent) {
            return false;
        }
        if self.renewals.len() >= NODES_MAX {
            self.renewals.retain(|_, at| is_recent(at));
        }
        self.renewals.insert(node.to_owned(), now);
        true
    }

    /// A node trusts that generation.
    fn know(&mut self, node: &str, generation: i64) {
        if self.known.len() >= NODES_MAX {
            self.known.clear();
        }
        self.known.insert(node.to_owned(), generation);
    }
}

/// Takes a new certificate; says which identifier is in it.
pub(super) async fn enrol(
    identity: &Identity,
    settings: &HubSettings,
    own: &OwnCertificate,
) -> Result<String, BoxError> {
    let name = &settings.name;
    let (key, request) = authority::new_key(name)?;
    let members = identity.members();
    let request = request.as_bytes();
    let answer = members
        .enrol_local(MachineRole::Proxy, name, request, &settings.web_names)
        .await?;
    own.install(&answer.certificate, &key)?;
    Ok(answer.uuid)
}

/// Where the notes of nodes go, and where they come out.
pub(super) fn notes() -> (Heard, mpsc::Receiver<(Line, String)>) {
    let (sender, receiver) = mpsc::channel(NOTES_MAX);
    let heard = move |line: &Line, text: String| {
        if sender.try_send((line.clone(), text)).is_err() {
            tracing::debug!(node = %line.peer().name, "a note of a node was left out");
        }
    };
    (Arc::new(heard), receiver)
}

impl Hub {
    /// Keeps our certificate young and of the authority that signs now, says that we know what is
    /// trusted, and tells the nodes.
    pub(super) async fn keep_certificate(&self, scope: Scope) -> Result<(), BoxError> {
        let trust = self.identity.trust();
        let mut changed = trust.watch();
        let mut told = trust.bundle().generation;
        loop {
            changed.mark_unchanged();
            let bundle = trust.bundle();
            let now = unix_milliseconds();
            let renew_at = self.own.renew_at(fastrand::f64());
            let is_due = renew_at.is_none_or(|at| at <= now);
            if is_due || !self.own.is_of_signer(&bundle, Usage::Server) {
                enrol(&self.identity, &self.settings, &self.own).await?;
                tracing::info!(phase = %bundle.phase, "this proxy has a new certificate");
            }
            let members = self.identity.members();
            members
                .acknowledge_trust(&self.view.uuid, bundle.generation)
                .await?;
            if bundle.generation != told || bundle.phase != Phase::Standby {
                told = bundle.generation;
                let lines = self.acceptor.get().map(Acceptor::lines);
                for line in lines.unwrap_or_default() {
                    self.tell_trust(&line);
                }
            }
            tokio::select! {
                outcome = changed.changed() => outcome?,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                () = scope.stopping() => return Ok(()),
            }
        }
    }

    /// Tells a node what is trusted now. One that does not read its messages is told again.
    pub(super) fn tell_trust(&self, line: &Line) {
        let trust = ToNode::Trust(self.identity.trust().bundle());
        if let Some(text) = membership::text(&trust) {
            line.tell(text);
        }
    }

    /// Answers what nodes say over their lines.
    pub(super) async fn listen(
        self: Arc<Self>,
        mut notes: mpsc::Receiver<(Line, String)>,
        scope: Scope,
    ) {
        let mut heard = Book::default();
        loop {
            let (line, text) = tokio::select! {
                Some(note) = notes.recv() => note,
                // Nodes are told to come back to the successor, which answers.
                () = scope.stopping() => return,
            };
            match serde_json::from_str(&text) {
                Ok(ToHub::Knows(generation)) => {
                    self.note_known(&line, generation, &mut heard).await;
                }
                Ok(ToHub::Renew(renew)) => {
                    let answer = if heard.may_renew(&line.peer().id, clock::now()) {
                        self.renew_over_line(&line, &renew).await
                    } else {
                        let text = "a certificate was given a moment ago: try again later";
                        ToNode::Refused(text.to_owned())
                    };
                    if let Some(text) = membership::text(&answer) {
                        line.tell(text);
                    }
                }
                Err(error) => tracing::debug!(%error, "a note of a node is not understood"),
            }
        }
    }

    async fn note_known(&self, line: &Line, generation: i64, heard: &mut Book) {
        let peer = line.peer();
        let generation = generation.min(self.identity.trust().bundle().generation);
        if heard.known.get(&peer.id) == Some(&generation) {
            return;
        }
        let members = self.identity.members();
        match members.acknowledge_trust(&peer.id, generation).await {
            Ok(()) => heard.know(&peer.id, generation),
            Err(error) => {
                let error = crate::line::chain(&error);
                tracing::warn!(
                    node = peer.name,
                    error,
                    "what a node trusts could not be noted"
                );
            }
        }
    }

    /// A new certificate for the node at the other end of a line, which has proved who it is.
    async fn renew_over_line(&self, line: &Line, renew: &Renew) -> ToNode {
        let peer = line.peer();
        let peer = NodePeer {
            cluster: peer.cluster.clone(),
            role: MachineRole::Node,
            uuid: peer.id.clone(),
            name: peer.name.clone(),
            // The line keeps who it is of, not its certificate; renewing does not ask for its end.
            expires_at: 0,
        };
        let renewal = Renewal {
            request: renew.request.as_bytes(),
            labels: Some(&renew.labels),
            web_names: &[],
            address: Some(line.state().remote.ip()),
        };
        match self.identity.members().renew(&peer, &renewal).await {
            Ok(answer) => ToNode::Renewed(answer),
            Err(error) if error.class() == Class::Internal => {
                let error = crate::line::chain(&error);
                tracing::error!(
                    node = peer.name,
                    error,
                    "a certificate could not be renewed"
                );
                let text = "the hub has a problem of its own; its log says which";
                ToNode::Refused(text.to_owned())
            }
            Err(error) => ToNode::Refused(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_gets_one_certificate_in_two_seconds() {
        let mut book = Book::default();
        let begin = clock::now();
        assert!(book.may_renew("a", begin));
        assert!(!book.may_renew("a", begin + Duration::from_millis(1_999)));
        assert!(book.may_renew("b", begin));
        assert!(book.may_renew("a", begin + RENEW_PAUSE));
        for number in 0..3 * NODES_MAX {
            let later = begin + RENEW_PAUSE * u32::try_from(number / NODES_MAX + 2).unwrap();
            book.may_renew(&number.to_string(), later);
            book.know(&number.to_string(), 1);
        }
        assert!(book.renewals.len() <= 2 * NODES_MAX && book.known.len() <= NODES_MAX);
    }
}
