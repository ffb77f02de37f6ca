//! The hub's own certificate, and what nodes are told of the authorities: a rotation goes on when
//! all of them have said that they know the new one. Nodes renew their certificates here too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base::clock;
use base::error::Class;
use base::supervise::{BoxError, Scope};
use identity::Identity;
use identity::authority;
use identity::members::renew::Renewal;
use identity::own_certificate::OwnCertificate;
use identity::peer::{MachineRole, NodePeer};
use identity::rotation::Usage;
use tokio::sync::mpsc;

use super::{Hub, HubSettings, unix_milliseconds};
use crate::line::{Acceptor, Heard, Line};
use crate::membership::{self, Renew, ToHub, ToNode};

/// How often it is looked whether our certificate should be renewed, and nodes are told again that
/// have not said what they know.
const LOOK_INTERVAL: Duration = Duration::from_mins(1);
/// Notes of nodes that wait; who has more says it again later.
const NOTES_MAX: usize = 1024;
/// The longest note: a request for a certificate, with the labels of the node.
const NOTE_BYTES_MAX: usize = 32 << 10;
/// One node gets a certificate at most this often.
const RENEW_PAUSE: Duration = Duration::from_secs(2);
/// Nodes whose notes are remembered.
const NODES_MAX: usize = 20_000;

/// The generation of the authorities that each node has said it knows: one that repeats itself costs
/// the state nothing, and one that has not said it is told again.
#[derive(Debug, Default)]
pub(super) struct Known {
    generations: Mutex<BTreeMap<String, i64>>,
}

impl Known {
    fn has(&self, node: &str, generation: i64) -> bool {
        self.generations()
            .get(node)
            .is_some_and(|known| *known >= generation)
    }

    fn note(&self, node: &str, generation: i64) {
        let mut generations = self.generations();
        if generations.len() >= NODES_MAX {
            generations.clear();
        }
        generations.insert(node.to_owned(), generation);
    }

    fn generations(&self) -> MutexGuard<'_, BTreeMap<String, i64>> {
        self.generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who got a certificate lately.
#[derive(Debug, Default)]
struct Renewals {
    given: BTreeMap<String, Instant>,
}

impl Renewals {
    /// Whether a node gets a certificate now.
    fn may_renew(&mut self, node: &str, now: Instant) -> bool {
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < RENEW_PAUSE;
        if self.given.get(node).is_some_and(is_recent) {
            return false;
        }
        if self.given.len() >= NODES_MAX {
            self.given.retain(|_, at| is_recent(at));
        }
        self.given.insert(node.to_owned(), now);
        true
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
        if text.len() > NOTE_BYTES_MAX || sender.try_send((line.clone(), text)).is_err() {
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
            let lines = self.acceptor.get().map(Acceptor::lines);
            for line in lines.unwrap_or_default() {
                if !self.known.has(&line.peer().id, bundle.generation) {
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
        let mut renewals = Renewals::default();
        loop {
            let (line, text) = tokio::select! {
                Some(note) = notes.recv() => note,
                // Nodes are told to come back to the successor, which answers.
                () = scope.stopping() => return,
            };
            match serde_json::from_str(&text) {
                Ok(ToHub::Knows(generation)) => {
                    self.note_known(&line, generation).await;
                }
                Ok(ToHub::Renew(renew)) => {
                    let answer = if renewals.may_renew(&line.peer().id, clock::now()) {
                        self.renew_over_line(&line, &renew).await
                    } else {
                        let text = "a certificate was given a moment ago: try again later";
                        ToNode::Refused(text.to_owned())
                    };
                    if let Some(text) = membership::text(&answer) {
                        line.tell(text);
                    }
                }
                Ok(ToHub::Disbelieved(refused)) => self.note_disbelieved(&line, &refused).await,
                Err(error) => tracing::debug!(%error, "a note of a node is not understood"),
            }
        }
    }

    async fn note_known(&self, line: &Line, generation: i64) {
        let peer = line.peer();
        let generation = generation.min(self.identity.trust().bundle().generation);
        if self.known.has(&peer.id, generation) {
            return;
        }
        let members = self.identity.members();
        match members.acknowledge_trust(&peer.id, generation).await {
            Ok(()) => self.known.note(&peer.id, generation),
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
        let peer = node_peer(line);
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

/// The node at the other end of a line, which keeps who it is of, not its certificate: its end is not
/// known.
pub(super) fn node_peer(line: &Line) -> NodePeer {
    let peer = line.peer();
    NodePeer {
        cluster: peer.cluster.clone(),
        role: MachineRole::Node,
        uuid: peer.id.clone(),
        name: peer.name.clone(),
        expires_at: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_gets_one_certificate_in_two_seconds() {
        let (mut renewals, known) = (Renewals::default(), Known::default());
        let begin = clock::now();
        assert!(renewals.may_renew("a", begin));
        assert!(!renewals.may_renew("a", begin + Duration::from_millis(1_999)));
        assert!(renewals.may_renew("b", begin));
        assert!(renewals.may_renew("a", begin + RENEW_PAUSE));
        for number in 0..3 * NODES_MAX {
            let later = begin + RENEW_PAUSE * u32::try_from(number / NODES_MAX + 2).unwrap();
            renewals.may_renew(&number.to_string(), later);
            known.note(&number.to_string(), 1);
        }
        assert!(renewals.given.len() <= 2 * NODES_MAX);
        assert!(known.generations().len() <= NODES_MAX);
        let last = (3 * NODES_MAX - 1).to_string();
        assert!(known.has(&last, 1) && !known.has(&last, 2) && !known.has("0", 1));
    }
}
