//! Which nodes have a line here, what they offer, and connections to them.

mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use base::clock;
use base::duplex::BoxDuplex;
use base::error::Class;
use tokio::sync::watch;
use tokio::time::{sleep, timeout_at};

use super::metrics::Openings;
use super::peers::Peers;
use super::registry::ProxyView;
use super::way::{Explained, Reached};
use crate::line::{Early, Lane, Line, LineStream, OpenError, OpenRequest, Target, TargetKind};
use crate::offers::{OfferedApp, OfferedMetrics, Offers};
pub use view::NodeView;
use view::streams_of;

/// The host in the URL of a page that a node offers: the node serves it itself.
pub const METRICS_HOST: &str = "metrics.node";
/// The longest wait for a connection through a line, over all attempts.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
/// A node whose last line ended less than this ago is probably about to return.
const RETURN_LIMIT: Duration = Duration::from_secs(10);
/// How long a caller waits for it: the rest of `OPEN_LIMIT` is for the connection.
const RETURN_WAIT: Duration = Duration::from_secs(4);
/// The same when another proxy asks: half of its time, if it knows of two of us, is two and a half.
const RETURN_WAIT_OF_PEER: Duration = Duration::from_secs(2);
/// The pause before another line is tried.
const AGAIN_PAUSE: Duration = Duration::from_millis(50);
/// Nodes that are remembered after their last line has ended.
const ABSENT_MAX: usize = 10_000;

/// The nodes.
#[derive(Debug)]
pub struct Nodes {
    table: Mutex<Table>,
    version: watch::Sender<u64>,
    /// The way to other proxies.
    peers: OnceLock<Peers>,
    openings: Openings,
}

#[derive(Debug, Default)]
struct Table {
    present: BTreeMap<String, Vec<Held>>,
    /// Nodes whose last line has ended. What they offer stays, so that an outage is seen as one.
    absent: BTreeMap<String, Absent>,
    /// Which node a page of metrics belongs to: a name can't be taken from a node by another one that
    /// offers it, too.
    owners: BTreeMap<String, String>,
    /// The same for applications that are asked for without a node.
    app_owners: BTreeMap<String, String>,
    /// Why applications could not be reached, by node and name, until they are.
    app_errors: BTreeMap<String, BTreeMap<String, String>>,
    /// The other proxies that have lines to a node.
    holders: BTreeMap<String, Vec<Holder>>,
    /// When the ways to a node changed last: a line came, or other proxies got one or lost it.
    changed: BTreeMap<String, Instant>,
    /// The offers in the state as they were read last, so that equal ones are not parsed again.
    texts: BTreeMap<String, (String, String)>,
    /// Nodes about which something is to be written into the state.
    unwritten: BTreeSet<String>,
}

/// Another proxy that has a line to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    /// The process: its successor has another.
    pub(super) instance: String,
    pub(super) uuid: String,
    pub(super) name: String,
    pub(super) addresses: Vec<String>,
}

/// What is to be written about a node.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) node: String,
    /// Its identifier.
    pub(super) id: String,
    /// It has a line here.
    pub(super) is_present: bool,
    /// What it offers, if it has told.
    pub(super) offers: Option<Offers>,
}

/// How many there are.
#[derive(Debug)]
pub(super) struct Counts {
    /// Nodes with a line here.
    pub(super) nodes: usize,
    /// Their lines.
    pub(super) lines: usize,
    /// Streams that are open on them.
    pub(super) streams: usize,
    /// Nodes with lines to other proxies only.
    pub(super) elsewhere: usize,
    /// Nodes that are known and have no line at all.
    pub(super) offline: usize,
}

/// What the state says about the nodes.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Their identifiers, and JSON texts of what they offer.
    pub(super) offers: BTreeMap<String, (String, String)>,
    /// Which node a page belongs to.
    pub(super) owners: BTreeMap<String, String>,
    /// Where else they have lines.
    pub(super) holders: BTreeMap<String, Vec<Holder>>,
}

#[derive(Debug)]
struct Held {
    line: Line,
    offers: Offers,
}

#[derive(Debug)]
struct Absent {
    /// The node's identifier.
    id: String,
    /// Why the last line ended.
    reason: String,
    since: Instant,
    offers: Offers,
}

/// Why there is no line to a node.
struct NoLine {
    text: String,
    /// Until when it is worth waiting for one.
    until: Option<Instant>,
}

/// Whether the target may have what the client said first.
fn is_sent(early: &Option<&mut Early<'_>>) -> bool {
    early.as_ref().is_some_and(|early| early.is_sent())
}

/// An application that a node offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundApp {
    /// What the node says of it.
    pub offered: OfferedApp,
    /// The name of the node.
    pub node: String,
    /// Its identifier.
    pub node_id: String,
}

/// Why there is no connection to something that a node offers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ReachError {
    /// Who is to blame.
    pub class: Class,
    /// What is wrong, and what to check.
    pub text: String,
}

impl ReachError {
    fn of(error: &OpenError) -> Self {
        Self {
            class: match error {
                OpenError::Refused { .. } | OpenError::Request(_) => Class::BadPeer,
                OpenError::TooMany { .. } | OpenError::Stuck { .. } => Class::Unavailable,
                other => other.class(),
            },
            text: crate::line::chain(error),
        }
    }
}

impl Default for Nodes {
    fn default() -> Self {
        Self {
            table: Mutex::default(),
            version: watch::Sender::new(0),
            peers: OnceLock::new(),
            openings: Openings::default(),
        }
    }
}

impl Nodes {
    /// Tells when nodes come, go or offer something else.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// The pages of metrics that nodes offer, each with the node it belongs to.
    pub fn metrics(&self) -> Vec<(String, OfferedMetrics)> {
        let table = self.table();
        let present = table.present.iter();
        let present = present.filter_map(|(name, held)| Some((name, &held.last()?.offers)));
        let absent = table
            .absent
            .iter()
            .map(|(name, absent)| (name, &absent.offers));
        let all = present.chain(absent).flat_map(|(name, offers)| {
            let own = |metrics: &&OfferedMetrics| table.owners.get(&metrics.name) == Some(name);
            let own = offers.metrics.iter().filter(own);
            own.map(|metrics| (name.clone(), metrics.clone()))
        });
        all.collect()
    }

    /// Opens a connection through a line of ours, or of another proxy when we have none.
    ///
    /// # Errors
    /// What is wrong, and what to check.
    pub async fn dial(&self, node: &str, request: &OpenRequest) -> Result<BoxDuplex, String> {
        match self.reach(node, request).await {
            Ok(reached) => Ok(Box::new(reached)),
            Err(error) => Err(error.text),
        }
    }

    /// The same, with who is to blame for the failure: `BadPeer` when the node is there and what it
    /// offers is not.
    pub(super) async fn reach(
        &self,
        node: &str,
        request: &OpenRequest,
    ) -> Result<Reached, ReachError> {
        self.reach_early(node, request, None).await
    }

    /// The same; what the client says before there is an answer goes along. Why an application could not
    /// be reached is remembered until somebody reaches it.
    pub(super) async fn reach_early(
        &self,
        node: &str,
        request: &OpenRequest,
        early: Option<&mut Early<'_>>,
    ) -> Result<Reached, ReachError> {
        let begun = clock::now();
        let reached = self.reach_any(node, request, early).await;
        let way = reached.as_ref().ok().map(Reached::way);
        let took = clock::now().saturating_duration_since(begun);
        self.openings.note(way, took);
        if request.target.kind == TargetKind::App {
            let error = reached.as_ref().err();
            self.table()
                .note_app_error((node, &request.target.name), error);
        }
        reached
    }

    async fn reach_any(
        &self,
        node: &str,
        request: &OpenRequest,
        mut early: Option<&mut Early<'_>>,
    ) -> Result<Reached, ReachError> {
        let holders = self.table().holders.get(node).cloned().unwrap_or_default();
        let peers = self.peers.get().filter(|_| !holders.is_empty());
        let Some(peers) = peers else {
            let (line, stream) = self.open_on(node, request, RETURN_WAIT, early).await?;
            return Ok(Reached::Line(Explained::new(stream, line)));
        };
        // Others have lines to it: nobody waits for one of ours to come back.
        if self.table().line(node).is_ok() {
            let opened = self.open_on(node, request, RETURN_WAIT, early.as_deref_mut());
            match opened.await {
                Ok((line, stream)) => return Ok(Reached::Line(Explained::new(stream, line))),
                Err(error) if is_sent(&early) || self.table().line(node).is_ok() => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
        let said = early.map(|early| early.taken()).unwrap_or_default();
        peers.forward(&holders, node, request, &said).await
    }

    /// The times until connections were there.
    pub(super) fn openings(&self) -> Openings {
        self.openings.clone()
    }

    /// Whether the node has a line to this proxy or another one.
    pub(super) fn is_online(&self, node: &str) -> bool {
        let table = self.table();
        let has_own = table.line(node).is_ok();
        has_own || table.holders.get(node).is_some_and(|all| !all.is_empty())
    }

    /// How many nodes and lines there are.
    pub(super) fn counts(&self) -> Counts {
        let table = self.table();
        let is_held = |node: &String| table.holders.get(node).is_some_and(|all| !all.is_empty());
        let lines = table.present.values().flatten();
        let away = table.absent.keys().filter(|node| !is_held(node)).count();
        Counts {
            nodes: table.present.len(),
            lines: lines.clone().count(),
            streams: lines.map(|held| streams_of(&held.line.state())).sum(),
            elsewhere: table.absent.len() - away,
            offline: away,
        }
    }

    /// What went wrong last on the way to another proxy.
    pub(super) fn peer_error(&self, uuid: &str) -> Option<String> {
        self.peers.get()?.last_error(uuid)
    }

    /// How long a question to another proxy and its answer take.
    pub(super) async fn probe_peer(&self, proxy: &ProxyView) -> Result<Duration, String> {
        let peers = self.peers.get().ok_or("this proxy dials no others")?;
        peers.probe(&proxy.uuid, &proxy.addresses).await
    }

    pub(super) fn set_peers(&self, peers: Peers) {
        // Once for each hub.
        self.peers.get_or_init(|| peers);
    }

    /// Takes in what the state says. What a line of ours says counts more.
    pub(super) fn learn(&self, known: Known) {
        let mut table = self.table();
        let mut is_changed = table.owners != known.owners;
        is_changed |= table.forget_unknown(&known);
        table.owners.extend(known.owners);
        table.set_holders(known.holders);
        for (node, told) in &known.offers {
            if table.texts.get(node) == Some(told) {
                continue;
            }
            let (id, text) = told;
            let Ok(offers) = serde_json::from_str::<Offers>(text) else {
                tracing::warn!(node, "what the state says that a node offers can't be read");
                continue;
            };
            is_changed = true;
            if table.present.contains_key(node) {
                continue;
            }
            let absent = table.absent.entry(node.clone()).or_insert_with(|| Absent {
                id: String::new(),
                reason: "it has not come since this proxy started".to_owned(),
                since: clock::now(),
                offers: Offers::default(),
            });
            absent.id.clone_from(id);
            absent.offers = offers.clone();
            for app in offers.apps {
                let owner = table.app_owners.entry(app.name);
                owner.or_insert_with(|| node.clone());
            }
        }
        table.texts = known.offers;
        drop(table);
        if is_changed {
            self.version.send_modify(|version| *version += 1);
        }
    }

    /// Some of what is to be written into the state.
    pub(super) fn take_changes(&self, count: usize) -> Vec<Change> {
        let mut table = self.table();
        let mut changes = Vec::new();
        while changes.len() < count
            && let Some(node) = table.unwritten.pop_first()
        {
            let held = table.present.get(&node).and_then(|held| held.last());
            let absent = table.absent.get(&node);
            let (id, offers) = match (held, absent) {
                (Some(held), _) => (held.line.peer().id.clone(), Some(held.offers.clone())),
                (None, Some(absent)) => (absent.id.clone(), Some(absent.offers.clone())),
                (None, None) => (String::new(), None),
            };
            let is_present = held.is_some();
            changes.push(Change {
                node,
                id,
                is_present,
                offers,
            });
        }
        changes
    }

    /// They could not be written.
    pub(super) fn give_back(&self, changes: Vec<Change>) {
        let nodes = changes.into_iter().map(|change| change.node);
        self.table().unwritten.extend(nodes);
    }

    /// The state has forgotten our lines.
    pub(super) fn write_all_again(&self) {
        let mut table = self.table();
        let present: Vec<String> = table.present.keys().cloned().collect();
        table.unwritten.extend(present);
    }

    /// Opens a connection through a line of ours for another proxy, which may have others to ask and so
    /// has less time.
    ///
    /// # Errors
    /// What is wrong, and what to check.
    pub(super) async fn open_for_peer(
        &self,
        node: &str,
        request: &OpenRequest,
    ) -> Result<LineStream, ReachError> {
        let wait = RETURN_WAIT_OF_PEER;
        let opened = self.open_on(node, request, wait, None).await;
        opened.map(|(_, stream)| stream)
    }

    /// Opens a connection through a line of ours, and says which was used. A line that ends before it
    /// has answered is replaced by the next one, unless the target may have heard the client already.
    async fn open_on(
        &self,
        node: &str,
        request: &OpenRequest,
        return_wait: Duration,
        mut early: Option<&mut Early<'_>>,
    ) -> Result<(Line, LineStream), ReachError> {
        let deadline = clock::now() + OPEN_LIMIT;
        loop {
            // A line that ended while it was asked has taken its part of the time.
            let left = deadline.saturating_duration_since(clock::now());
            let line = self.usable_line(node, return_wait.min(left)).await?;
            let left = deadline.saturating_duration_since(clock::now());
            let lane = self.table().lane(node, &request.target);
            let opened = line.open_early(request, lane, left, early.as_deref_mut());
            let error = match opened.await {
                Ok(stream) => return Ok((line, stream)),
                Err(error) => error,
            };
            if let (Some(early), false) = (early.as_deref_mut(), error.may_have_dialled()) {
                early.take_back();
            }
            let is_leaving = matches!(error, OpenError::Gone { .. } | OpenError::Draining { .. });
            if !is_leaving || is_sent(&early) || clock::now() + AGAIN_PAUSE >= deadline {
                return Err(ReachError::of(&error));
            }
            // Until the line is known to be of no use, it would be chosen again at once.
            sleep(AGAIN_PAUSE).await;
        }
    }

    /// The newest line of a node that takes something new. A node that has been here a moment ago
    /// is waited for: agents return within seconds from a cut or to a hub that was replaced.
    async fn usable_line(&self, node: &str, return_wait: Duration) -> Result<Line, ReachError> {
        let mut changed = self.watch();
        let patience = clock::now() + return_wait;
        loop {
            changed.mark_unchanged();
            let missing = match self.table().line(node) {
                Ok(line) => return Ok(line),
                Err(missing) => missing,
            };
            let until = missing.until.map(|until| until.min(patience));
            let Some(until) = until.filter(|until| *until > clock::now()) else {
                return Err(ReachError {
                    class: Class::Unavailable,
                    text: missing.text,
                });
            };
            // Whether in time or not: the next look decides.
            drop(timeout_at(until.into(), changed.changed()).await);
        }
    }

    /// Has the lines of a node prove that they live, because an answer is late.
    pub fn check(&self, node: &str) {
        let table = self.table();
        for held in table.present.get(node).into_iter().flatten() {
            held.line.check();
        }
    }

    /// The name of the node with that identifier, also while it is away.
    pub fn name_of(&self, id: &str) -> Option<String> {
        let table = self.table();
        let is_it = |held: &Vec<Held>| held.iter().any(|held| held.line.peer().id == id);
        let mut present = table.present.iter();
        let mut absent = table.absent.iter();
        let found = present.find(|(_, held)| is_it(held)).map(|(name, _)| name);
        let found = found.or_else(|| {
            let found = absent.find(|(_, absent)| absent.id == id);
            found.map(|(name, _)| name)
        });
        found.cloned()
    }

    /// The application of that name: on that node, or on the one that offered it first. One whose
    /// node is away is found as well; it can't be reached then.
    pub fn find_app(&self, app: &str, node: Option<&str>) -> Option<FoundApp> {
        let table = self.table();
        let owner = || table.app_owners.get(app).map(String::as_str);
        match node.or_else(owner) {
            Some(node) => table.app_of(node, app),
            // Its owner came back without it.
            None => {
                let mut names = table.present.keys();
                names.find_map(|name| table.app_of(name, app))
            }
        }
    }

    /// An application has answered, also on a connection that was kept.
    pub(super) fn note_app_answer(&self, node: &str, app: &str) {
        self.table().note_app_error((node, app), None);
    }

    /// Why nobody has reached an application since somebody tried last.
    pub fn app_error(&self, node: &str, app: &str) -> Option<String> {
        self.table().app_errors.get(node)?.get(app).cloned()
    }

    /// Whether a connection to a node that was dialled at that time may be kept for more. Not when the
    /// ways to it have changed: a process that is replaced, or another proxy, may wait for its end.
    pub(super) fn keeps(&self, node: &str, since: Instant) -> bool {
        let table = self.table();
        table
            .changed
            .get(node)
            .is_none_or(|changed| *changed < since)
    }

    /// Takes in a line; without `offers` the node offers what it did before.
    pub(super) fn add(&self, line: Line, offers: Option<Offers>) {
        let mut table = self.table();
        let name = line.peer().name.clone();
        let absent = table.absent.remove(&name);
        let before = table.present.get(&name).and_then(|held| held.last());
        let before = before.map(|held| held.offers.clone());
        let offers = offers
            .or(before)
            .or(absent.map(|absent| absent.offers))
            .unwrap_or_default();
        table.unwritten.insert(name.clone());
        table.changed.insert(name.clone(), clock::now());
        for metrics in &offers.metrics {
            let owner = table
                .owners
                .entry(metrics.name.clone())
                .or_insert_with(|| name.clone());
            if *owner != name {
                tracing::warn!(
                    metrics = metrics.name,
                    node = name,
                    owner = *owner,
                    "a page that another node offers already; it is not taken"
                );
            }
        }
        if offers.apps.iter().any(|app| app.is_bulk) {
            line.want_bulk();
        }
        let is_offered = |app: &str| offers.apps.iter().any(|offered| offered.name == app);
        table
            .app_owners
            .retain(|app, owner| *owner != name || is_offered(app));
        if let Some(errors) = table.app_errors.get_mut(&name) {
            errors.retain(|app, _| is_offered(app));
        }
        for app in &offers.apps {
            let owner = table.app_owners.entry(app.name.clone());
            owner.or_insert_with(|| name.clone());
        }
        table
            .present
            .entry(name)
            .or_default()
            .push(Held { line, offers });
        drop(table);
        self.version.send_modify(|version| *version += 1);
    }

    pub(super) fn remove(&self, line: &Line, reason: &str) {
        let mut table = self.table();
        let name = &line.peer().name;
        let Some(held) = table.present.get_mut(name) else {
            return;
        };
        let offers = held.last().map(|held| held.offers.clone());
        held.retain(|held| held.line.id() != line.id());
        if held.is_empty() {
            table.present.remove(name);
            table.unwritten.insert(name.clone());
            let absent = Absent {
                id: line.peer().id.clone(),
                reason: reason.to_owned(),
                since: clock::now(),
                offers: offers.unwrap_or_default(),
            };
            if table.absent.len() < ABSENT_MAX {
                table.absent.insert(name.clone(), absent);
            } else {
                table.owners.retain(|_, owner| owner != name);
                table.app_owners.retain(|_, owner| owner != name);
            }
        }
        drop(table);
        self.version.send_modify(|version| *version += 1);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn set_holders(&mut self, holders: BTreeMap<String, Vec<Holder>>) {
        let before = std::mem::replace(&mut self.holders, holders);
        let now = clock::now();
        for (node, held) in &self.holders {
            if before.get(node) != Some(held) {
                self.changed.insert(node.clone(), now);
            }
        }
        for node in before.keys() {
            if !self.holders.contains_key(node) {
                self.changed.insert(node.clone(), now);
            }
        }
    }

    /// Only of what the node offers, so that there are no more than offers.
    fn note_app_error(&mut self, (node, app): (&str, &str), error: Option<&ReachError>) {
        if let Some(error) = error {
            if self.app_of(node, app).is_some() {
                let errors = self.app_errors.entry(node.to_owned()).or_default();
                errors.insert(app.to_owned(), error.text.clone());
            }
        } else if let Some(errors) = self.app_errors.get_mut(node) {
            errors.remove(app);
            if errors.is_empty() {
                self.app_errors.remove(node);
            }
        }
    }

    /// Drops the nodes that the state has forgotten; what was not written yet stays. Says whether
    /// there were any.
    fn forget_unknown(&mut self, known: &Known) -> bool {
        let unwritten = &self.unwritten;
        let is_kept = |node: &String| known.offers.contains_key(node) || unwritten.contains(node);
        let before = self.absent.len();
        self.absent.retain(|node, _| is_kept(node));
        let (present, absent) = (&self.present, &self.absent);
        let is_here = |node: &String| present.contains_key(node) || absent.contains_key(node);
        self.owners.retain(|_, node| is_here(node));
        self.app_errors.retain(|node, _| is_here(node));
        self.changed.retain(|node, _| is_here(node));
        self.app_owners.retain(|_, node| is_here(node));
        self.absent.len() != before
    }

    /// The newest line of a node that takes something new.
    fn line(&self, node: &str) -> Result<Line, NoLine> {
        let no_line = |text: String, since: Option<Instant>| NoLine {
            text,
            until: since.map(|since| since + RETURN_LIMIT),
        };
        if let Some(held) = self.present.get(node) {
            let mut newest_first = held.iter().rev().map(|held| &held.line);
            let fit = newest_first.find(|line| !line.is_closed() && !line.state().is_draining);
            let text = format!("node {node} is leaving and has not come back yet");
            return fit
                .cloned()
                .ok_or_else(|| no_line(text, Some(clock::now())));
        }
        let Some(absent) = self.absent.get(node) else {
            let text = format!(
                "node {node} is offline: it has no line to this proxy; is landline running there, and did it join?"
            );
            return Err(no_line(text, None));
        };
        let ago = clock::now().saturating_duration_since(absent.since);
        let text = format!(
            "node {node} is offline for {} s: its last line ended: {}; check that machine's power and \
             network, and that landline runs there",
            ago.as_secs(),
            absent.reason
        );
        Err(no_line(text, Some(absent.since)))
    }

    /// On which lane connections to something on a node travel.
    fn lane(&self, node: &str, target: &Target) -> Lane {
        let is_app = target.kind == TargetKind::App;
        let app = is_app.then(|| self.app_of(node, &target.name)).flatten();
        app.map_or(Lane::Interactive, |app| app.offered.lane())
    }

    fn app_of(&self, node: &str, app: &str) -> Option<FoundApp> {
        let held = self.present.get(node).and_then(|held| held.last());
        let (id, offers) = match held {
            Some(held) => (&held.line.peer().id, &held.offers),
            None => {
                let absent = self.absent.get(node)?;
                (&absent.id, &absent.offers)
            }
        };
        let offered = offers.apps.iter().find(|offered| offered.name == app)?;
        Some(FoundApp {
            offered: offered.clone(),
            node: node.to_owned(),
            node_id: id.clone(),
        })
    }
}
