//! What an agent knows of the proxies: where they are, how dialling them went, which are claimed.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::announcement::Announcement;
use super::backoff;
use super::pool::DialId;
use crate::line::Welcome;

/// How long a proxy that was met and never announced is remembered.
pub(crate) const MET_TTL: Duration = Duration::from_mins(3);
/// How long a proxy that leaves without a successor is not dialled, unless a higher generation of
/// it is announced: announcements that still list it may be under way.
pub(crate) const AVOID_FOR: Duration = Duration::from_mins(1);
/// After this many failures of its own addresses a proxy may be looked for behind the balancer.
pub(crate) const REDRAW_AFTER: u32 = 2;

/// One proxy.
#[derive(Debug, Clone)]
pub(crate) struct Tracked {
    pub(crate) addresses: Vec<String>,
    pub(crate) group: String,
    pub(crate) generation: u64,
    /// Whether the last announcement had it, or there was none since it was met.
    pub(crate) is_listed: bool,
    /// When it is forgotten unless claimed.
    pub(crate) expires: Instant,
    /// The line that goes to it.
    pub(crate) claim: Option<DialId>,
    /// The dial under way to one of its own addresses.
    pub(crate) dial: Option<DialId>,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// Not dialled before.
    pub(crate) not_before: Instant,
    /// The generation that leaves, and until when that counts.
    pub(crate) avoided: Option<(u64, Instant)>,
}

impl Tracked {
    fn new(group: String, generation: u64, now: Instant) -> Self {
        Self {
            addresses: Vec::new(),
            group,
            generation,
            is_listed: true,
            expires: now + MET_TTL,
            claim: None,
            dial: None,
            failures: 0,
            not_before: now,
            avoided: None,
        }
    }

    pub(crate) fn is_free(&self) -> bool {
        self.claim.is_none() && self.dial.is_none()
    }

    /// The address whose turn it is.
    pub(crate) fn address(&self) -> Option<&String> {
        let count = self.addresses.len().max(1);
        self.addresses.get(self.failures as usize % count)
    }

    /// One more failure.
    pub(crate) fn fail(&mut self, now: Instant, jitter: f64) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + backoff::delay(self.failures, jitter);
    }

    fn is_avoided(&self, now: Instant) -> bool {
        self.avoided
            .is_some_and(|(generation, until)| self.generation <= generation && now < until)
    }
}

/// What an announcement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// It is not newer than the last.
    Old,
    /// The same as the last.
    Same,
    /// Something else than the last.
    Changed,
}

/// All proxies that are known, by identifier.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    pub(crate) proxies: BTreeMap<String, Tracked>,
    /// What was announced last.
    last: Option<Arc<Announcement>>,
}

impl Tracker {
    /// The time over which the proxies would have agents come.
    pub(crate) fn spread(&self) -> Duration {
        let last = self.last.as_ref();
        last.map_or(Duration::ZERO, |last| last.spread())
    }

    /// Takes in a full list.
    pub(crate) fn hear(&mut self, announcement: &Arc<Announcement>, now: Instant) -> News {
        let last = self.last.as_ref();
        if last.is_some_and(|last| announcement.issued_ms <= last.issued_ms) {
            return News::Old;
        }
        let is_same = last.is_some_and(|last| {
            (&last.proxies, last.strategy) == (&announcement.proxies, announcement.strategy)
        });
        self.last = Some(Arc::clone(announcement));
        for tracked in self.proxies.values_mut() {
            tracked.is_listed = false;
        }
        for proxy in &announcement.proxies {
            let tracked = self
                .proxies
                .entry(proxy.id.clone())
                .or_insert_with(|| Tracked::new(proxy.group.clone(), proxy.generation, now));
            tracked.is_listed = true;
            tracked.expires = now + announcement.ttl();
            tracked.group.clone_from(&proxy.group);
            if tracked.addresses != proxy.addresses || tracked.generation < proxy.generation {
                // Something is new: what failed before may work.
                tracked.failures = 0;
                tracked.not_before = tracked.not_before.min(now);
                tracked.addresses.clone_from(&proxy.addresses);
            }
            tracked.generation = proxy.generation;
        }
        self.proxies
            .retain(|_, tracked| tracked.is_listed || !tracked.is_free());
        if is_same { News::Same } else { News::Changed }
    }

    /// Takes in a proxy that was met.
    pub(crate) fn meet(&mut self, id: &str, welcome: &Welcome, now: Instant) -> &mut Tracked {
        let tracked = self
            .proxies
            .entry(id.to_owned())
            .or_insert_with(|| Tracked::new(welcome.group.clone(), welcome.generation, now));
        tracked.generation = tracked.generation.max(welcome.generation);
        if tracked.addresses.is_empty() {
            let addresses = welcome
                .addresses
                .iter()
                .take(super::announcement::ADDRESSES_MAX);
            tracked.addresses = addresses.cloned().collect();
        }
        tracked
    }

    /// Forgets what has run out and is not in use.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.proxies.retain(|_, tracked| {
            !tracked.is_free() || (tracked.is_listed && tracked.expires > now)
        });
    }

    /// Identifiers of the proxies that lines should go to: those of the highest generation in each
    /// group. Those of older ones keep the lines they have and get none.
    pub(crate) fn wanted(&self, now: Instant) -> Vec<&String> {
        let mut highest: BTreeMap<&str, u64> = BTreeMap::new();
        let eligible = |tracked: &Tracked| tracked.is_listed && !tracked.is_avoided(now);
        for tracked in self.proxies.values().filter(|tracked| eligible(tracked)) {
            let generation = highest.entry(&tracked.group).or_default();
            *generation = tracked.generation.max(*generation);
        }
        let is_wanted = |tracked: &Tracked| {
            let is_highest = highest.get(tracked.group.as_str()) == Some(&tracked.generation);
            eligible(tracked) && is_highest
        };
        self.proxies
            .iter()
            .filter(|(_, tracked)| is_wanted(tracked))
            .map(|(id, _)| id)
            .collect()
    }
}

/// Where a proxy stands in an agent's own order: agents spread evenly over proxies, and when a
/// proxy comes or goes only those whose choice it was move (rendezvous hashing).
pub(crate) fn rank(agent: &str, proxy: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (agent, proxy).hash(&mut hasher);
    hasher.finish()
}
