//! Which nodes have a line here, what they offer, and connections to them.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base::clock;
use base::error::Class;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{sleep, timeout_at};

use super::memory::Memory;
use crate::line::{Lane, Line, LineStream, OpenError, OpenRequest};
use crate::offers::{OfferedApp, OfferedMetrics, Offers};

/// The host in the URL of a page that a node offers: the node serves it itself.
pub const METRICS_HOST: &str = "metrics.node";
/// The longest wait for a connection through a line, over all attempts.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
/// A node whose last line ended less than this ago is probably about to return.
const RETURN_LIMIT: Duration = Duration::from_secs(10);
/// How long a caller waits for it: the rest of `OPEN_LIMIT` is for the connection.
const RETURN_WAIT: Duration = Duration::from_secs(4);
/// The pause before another line is tried.
const AGAIN_PAUSE: Duration = Duration::from_millis(50);
/// Nodes that are remembered after their last line has ended.
const ABSENT_MAX: usize = 10_000;
/// Pages and applications that are remembered of all of them together.
const ABSENT_OFFERS_MAX: usize = 100_000;
/// How long a node that does not return is remembered.
const ABSENT_KEPT: Duration = Duration::from_hours(24);

/// The nodes.
#[derive(Debug)]
pub struct Nodes {
    table: Mutex<Table>,
    version: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Table {
    present: BTreeMap<String, Vec<Held>>,
    /// Nodes whose last line has ended. What they offer stays, so that an outage is seen as one.
    absent: BTreeMap<String, Absent>,
    /// Which node a page of metrics belongs to, as long as that node is known: a name can't be taken
    /// from a node by another one that offers it, too.
    owners: BTreeMap<String, String>,
    /// The same for applications that are asked for without a node.
    app_owners: BTreeMap<String, String>,
}

/// A node without a line.
#[derive(Debug)]
struct Absent {
    /// The node's identifier; empty when it is only remembered from before a restart.
    id: String,
    /// Why the last one ended.
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

#[derive(Debug)]
struct Held {
    line: Line,
    offers: Offers,
}

/// A node as it is listed.
#[derive(Debug, Serialize)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// `online`, `draining` or `offline`.
    pub state: &'static str,
    /// Lines to this proxy.
    pub lines: usize,
    /// The last round trip, in microseconds.
    pub round_trip_us: Option<u64>,
    /// Streams that are open now.
    pub streams: usize,
    /// Bulk connections that wait to be used.
    pub bulk_idle: usize,
    /// Where it comes from.
    pub remote: Option<String>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// What it offers.
    pub offers: Offers,
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
                OpenError::TooMany { .. } => Class::Unavailable,
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
        let mut table = self.table();
        table.forget(clock::now());
        let pages = table.pages();
        let owned = pages.filter(|(name, page)| table.owners.get(&page.name) == Some(name));
        owned
            .map(|(name, page)| (name.clone(), page.clone()))
            .collect()
    }

    /// What is to be known after a restart.
    pub(super) fn memory(&self) -> Memory {
        let mut memory = Memory::default();
        for (name, metrics) in self.metrics() {
            memory.metrics.entry(name).or_default().push(metrics);
        }
        memory
    }

    /// Takes in what was known before a restart.
    pub(super) fn remember(&self, memory: Memory) {
        let mut table = self.table();
        for (name, metrics) in memory.metrics.into_iter().take(ABSENT_MAX) {
            for page in &metrics {
                table.owners.insert(page.name.clone(), name.clone());
            }
            let reason = "this hub has started since, and the node has not come back yet";
            let absent = Absent {
                id: String::new(),
                reason: reason.to_owned(),
                since: clock::now(),
                offers: Offers {
                    metrics,
                    ..Offers::default()
                },
            };
            table.absent.insert(name, absent);
        }
    }

    /// All nodes that are or were here.
    pub fn list(&self) -> Vec<NodeView> {
        let table = self.table();
        let present = table.present.iter().map(|(name, held)| view(name, held));
        let absent = table.absent.iter().map(|(name, absent)| NodeView {
            name: name.clone(),
            state: "offline",
            lines: 0,
            round_trip_us: None,
            streams: 0,
            bulk_idle: 0,
            remote: None,
            last_error: Some(absent.reason.clone()),
            offers: absent.offers.clone(),
        });
        present.chain(absent).collect()
    }

    /// Opens a connection to something that the node offers.
    ///
    /// # Errors
    /// What is wrong, and what to check.
    pub async fn open(
        &self,
        node: &str,
        request: &OpenRequest,
        lane: Lane,
    ) -> Result<LineStream, String> {
        let opened = self.open_on(node, request, lane).await;
        opened.map(|(_, stream)| stream).map_err(|error| error.text)
    }

    /// As [`Self::open`], with the line that was used. A line that ends before it has answered is
    /// replaced by the next one: nothing has been asked of the target yet.
    pub(super) async fn open_on(
        &self,
        node: &str,
        request: &OpenRequest,
        lane: Lane,
    ) -> Result<(Line, LineStream), ReachError> {
        let deadline = clock::now() + OPEN_LIMIT;
        loop {
            let line = self.usable_line(node).await.map_err(|text| ReachError {
                class: Class::Unavailable,
                text,
            })?;
            let left = deadline.saturating_duration_since(clock::now());
            let error = match line.open(request, lane, left).await {
                Ok(stream) => return Ok((line, stream)),
                Err(error) => error,
            };
            let is_leaving = matches!(error, OpenError::Gone { .. } | OpenError::Draining { .. });
            if !is_leaving || clock::now() + AGAIN_PAUSE >= deadline {
                return Err(ReachError::of(&error));
            }
            // Until the line is known to be of no use, it would be chosen again at once.
            sleep(AGAIN_PAUSE).await;
        }
    }

    /// The newest line of a node that takes something new. A node that has been here a moment ago
    /// is waited for: agents return within seconds from a cut or to a hub that was replaced.
    async fn usable_line(&self, node: &str) -> Result<Line, String> {
        let mut changed = self.watch();
        let patience = clock::now() + RETURN_WAIT;
        loop {
            changed.mark_unchanged();
            let missing = match self.table().line(node) {
                Ok(line) => return Ok(line),
                Err(missing) => missing,
            };
            let until = missing.until.map(|until| until.min(patience));
            let Some(until) = until.filter(|until| *until > clock::now()) else {
                return Err(missing.text);
            };
            // Whether in time or not: the next look decides.
            drop(timeout_at(until.into(), changed.changed()).await);
        }
    }

    /// The same, with who is to blame for the failure: `BadPeer` when the node is there and what it
    /// offers is not.
    ///
    /// # Errors
    /// What is wrong, and what to check.
    pub async fn reach(
        &self,
        node: &str,
        request: &OpenRequest,
        lane: Lane,
    ) -> Result<LineStream, ReachError> {
        let opened = self.open_on(node, request, lane).await;
        opened.map(|(_, stream)| stream)
    }

    /// Has the lines of a node prove that they live, because an answer is late.
    pub fn check(&self, node: &str) {
        let table = self.table();
        for held in table.present.get(node).into_iter().flatten() {
            held.line.check();
        }
    }

    /// The name of the node with that identifier, while it has a line.
    pub fn name_of(&self, id: &str) -> Option<String> {
        let table = self.table();
        let is_it = |held: &Vec<Held>| held.iter().any(|held| held.line.peer().id == id);
        let mut names = table.present.iter();
        names
            .find(|(_, held)| is_it(held))
            .map(|(name, _)| name.clone())
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

    pub(super) fn add(&self, line: Line, offers: Offers) {
        let mut table = self.table();
        let name = line.peer().name.clone();
        table.absent.remove(&name);
        table.own(&name, &offers);
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
        let mut last = None;
        if let Some(held) = table.present.get_mut(name) {
            let at = held.iter().position(|held| held.line.id() == line.id());
            last = at.map(|at| held.remove(at)).filter(|_| held.is_empty());
        }
        if let Some(last) = last {
            table.present.remove(name);
            let id = line.peer().id.clone();
            table.miss(name, id, reason, last.offers);
        }
        drop(table);
        self.version.send_modify(|version| *version += 1);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// All pages that are or were offered.
    fn pages(&self) -> impl Iterator<Item = (&String, &OfferedMetrics)> {
        let present = self.present.iter().flat_map(|(name, held)| {
            let offered = held.last().map(|held| &held.offers.metrics);
            offered.into_iter().flatten().map(move |page| (name, page))
        });
        let absent = self.absent.iter().flat_map(|(name, absent)| {
            let offered = absent.offers.metrics.iter();
            offered.map(move |page| (name, page))
        });
        present.chain(absent)
    }

    /// Gives a node the names of its pages and applications, as far as no other node has them.
    fn own(&mut self, node: &str, offers: &Offers) {
        for page in &offers.metrics {
            let owner = self.owners.entry(page.name.clone());
            let owner = owner.or_insert_with(|| node.to_owned());
            if owner != node {
                tracing::warn!(
                    metrics = page.name,
                    node,
                    owner,
                    "a page that another node offers already; it is not taken"
                );
            }
        }
        let is_offered = |app: &str| offers.apps.iter().any(|offered| offered.name == app);
        self.app_owners
            .retain(|app, owner| owner != node || is_offered(app));
        for app in &offers.apps {
            let owner = self.app_owners.entry(app.name.clone());
            owner.or_insert_with(|| node.to_owned());
        }
    }

    /// Remembers a node whose last line has ended.
    fn miss(&mut self, node: &str, id: String, reason: &str, mut offers: Offers) {
        let known = self.absent.values().map(|absent| &absent.offers);
        let entries: usize = known.map(entries).sum();
        if entries + self::entries(&offers) > ABSENT_OFFERS_MAX {
            offers = Offers::default();
        }
        if self.absent.len() < ABSENT_MAX {
            let absent = Absent {
                id,
                reason: reason.to_owned(),
                since: clock::now(),
                offers,
            };
            self.absent.insert(node.to_owned(), absent);
        } else {
            self.owners.retain(|_, owner| owner != node);
            self.app_owners.retain(|_, owner| owner != node);
        }
    }

    /// Forgets nodes that do not return, and names that nobody has any more.
    fn forget(&mut self, now: Instant) {
        self.absent
            .retain(|_, absent| now.saturating_duration_since(absent.since) < ABSENT_KEPT);
        let known: HashSet<(String, String)> = self
            .pages()
            .map(|(node, page)| (page.name.clone(), node.clone()))
            .collect();
        self.owners
            .retain(|page, node| known.contains(&(page.clone(), node.clone())));
        let (present, absent) = (&self.present, &self.absent);
        self.app_owners
            .retain(|_, node| present.contains_key(node) || absent.contains_key(node));
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

fn entries(offers: &Offers) -> usize {
    offers.metrics.len() + offers.apps.len()
}

fn view(name: &str, held: &[Held]) -> NodeView {
    let states: Vec<_> = held.iter().map(|held| held.line.state()).collect();
    let last = states.last();
    let is_draining = states.iter().all(|state| state.is_draining);
    let round_trip = last.and_then(|state| state.round_trip);
    NodeView {
        name: name.to_owned(),
        state: if is_draining { "draining" } else { "online" },
        lines: held.len(),
        round_trip_us: round_trip.and_then(|trip| u64::try_from(trip.as_micros()).ok()),
        streams: states
            .iter()
            .map(|state| state.control_streams + state.interactive_streams + state.bulk_busy)
            .sum(),
        bulk_idle: states.iter().map(|state| state.bulk_idle).sum(),
        remote: last.map(|state| state.remote.to_string()),
        last_error: last.and_then(|state| state.last_error.clone()),
        offers: held
            .last()
            .map(|held| held.offers.clone())
            .unwrap_or_default(),
    }
}
