//! The decisions of an agent: which proxies to dial now, when to look again, which lines are one
//! too many. It is told events with their time and answers with actions; nothing in it waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::announcement::Announcement;
use super::backoff;
use super::tracker::{AVOID_FOR, News, REDRAW_AFTER, Tracked, Tracker, rank};
use crate::line::Welcome;

/// Dials at once: more would only compete, and one that hangs must not stop the others.
pub const DIALS_MAX: usize = 3;
/// Dials that may follow one another without a pause, whatever else would allow them.
pub(crate) const BURST: u32 = 20;
/// Dials in a second beyond that: an agent whose twenty proxies are all gone knocks twice a second
/// and not at each of them as often as the waits allow.
pub(crate) const DIALS_PER_SECOND: u32 = 2;
/// A dial that takes longer does not keep a peering agent from dialling another proxy beside it:
/// with half of the proxies behind a black hole, one after the other would take too long.
const HEDGE_AFTER: Duration = Duration::from_secs(1);
/// A line that lived this long was a success, whatever ended it.
const STEADY_AFTER: Duration = Duration::from_secs(30);
/// The first dial after a line was lost comes within this time, at random; that of who has another line
/// within what the proxies ask for, if that is longer.
const RETURN_SPREAD: Duration = Duration::from_secs(1);
/// The longest spread a proxy may ask for.
const SPREAD_MAX: Duration = Duration::from_mins(1);
/// Lines beyond the wanted number are closed after this long.
const EXCESS_AFTER: Duration = Duration::from_mins(30);

/// How many proxies an agent keeps lines to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// All of them.
    #[default]
    Mesh,
    /// Some; the proxies forward to one another.
    Peering {
        /// How many.
        connections: u32,
    },
}

impl Strategy {
    /// The number of lines, 0 for one to each proxy.
    pub fn connections(self) -> u32 {
        match self {
            Self::Mesh => 0,
            Self::Peering { connections } => connections,
        }
    }

    /// The number of lines when so many proxies are wanted.
    fn lines(self, wanted: usize) -> usize {
        match self {
            Self::Mesh => wanted,
            Self::Peering { connections } => wanted.min(connections as usize),
        }
    }
}

/// What a pool is told at its beginning.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// The agent's identifier: decides which proxies it prefers.
    pub agent: String,
    /// Which proxies, until an announcement says it.
    pub strategy: Strategy,
    /// Addresses of the configuration: a balancer, or proxies.
    pub seeds: Vec<String>,
    /// Dials at once, usually [`DIALS_MAX`].
    pub dials_max: usize,
    /// Seed of the jitter.
    pub random_seed: u64,
}

/// The number of a dial, and of the line that it becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(u64);

/// What a pool is told.
#[derive(Debug, Clone)]
pub enum Event {
    /// An announcement that was checked.
    Announced(Arc<Announcement>),
    /// A dial has become a line.
    Connected {
        /// Which.
        dial: DialId,
        /// The identifier of the proxy at its end.
        proxy: String,
        /// What the proxy said.
        welcome: Welcome,
    },
    /// A dial has failed.
    Failed {
        /// Which.
        dial: DialId,
    },
    /// The proxy of a line is about to leave.
    Draining {
        /// Which.
        line: DialId,
        /// Whether another process serves the same address.
        has_successor: bool,
        /// The time over which agents should return.
        spread: Duration,
    },
    /// A line is gone.
    Ended {
        /// Which.
        line: DialId,
    },
    /// The time that the pool asked for has come.
    Tick,
    /// The agent stops: nothing is dialled any more.
    Stop,
}

/// What a pool wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Dial. `Connected` or `Failed` must follow.
    Dial {
        /// Its number.
        dial: DialId,
        /// Where.
        address: String,
    },
    /// Close a line. `Ended` may follow or not.
    Close {
        /// Which.
        line: DialId,
        /// Why.
        reason: &'static str,
    },
}

/// The decisions of one agent.
#[derive(Debug)]
pub struct Pool {
    settings: PoolSettings,
    tracker: Tracker,
    /// Dials under way.
    dials: BTreeMap<DialId, (Way, Instant)>,
    lines: BTreeMap<DialId, Held>,
    redraw: Redraw,
    /// Nobody is dialled before: all whom the same befell would come together.
    rest_until: Option<Instant>,
    budget: Budget,
    excess_since: Option<Instant>,
    is_stopping: bool,
    next: u64,
    random: fastrand::Rng,
}

/// What is dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// An address that a proxy is announced with.
    Direct(String),
    /// A configured address, whoever answers.
    Seed,
}

/// A line.
#[derive(Debug)]
struct Held {
    proxy: String,
    since: Instant,
    is_draining: bool,
}

/// Dials to the configured addresses.
#[derive(Debug, Default)]
struct Redraw {
    under_way: Option<DialId>,
    /// In a row, without a line that was of use.
    failures: u32,
    not_before: Option<Instant>,
}

/// How many dials may begin now.
#[derive(Debug)]
struct Budget {
    dials: f64,
    since: Option<Instant>,
}

impl Budget {
    fn refill(&mut self, now: Instant) {
        let elapsed = self
            .since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let gained = elapsed.as_secs_f64() * f64::from(DIALS_PER_SECOND);
        self.dials = (self.dials + gained).min(f64::from(BURST));
        self.since = Some(now);
    }

    /// When a dial may begin again; nothing if it may now.
    fn next_at(&self) -> Option<Instant> {
        let missing = (1.0 - self.dials).max(0.0) / f64::from(DIALS_PER_SECOND);
        let since = self.since.filter(|_| missing > 0.0)?;
        // A little later, so that rounding does not make it too early.
        Some(since + Duration::from_secs_f64(missing) + Duration::from_millis(1))
    }
}

impl Redraw {
    fn wait_until(&mut self, time: Instant) {
        self.not_before = self.not_before.max(Some(time));
    }
}

impl Pool {
    /// A pool that knows nothing but its seeds.
    pub fn new(settings: PoolSettings) -> Self {
        let random = fastrand::Rng::with_seed(settings.random_seed);
        Self {
            settings,
            tracker: Tracker::default(),
            dials: BTreeMap::new(),
            lines: BTreeMap::new(),
            redraw: Redraw::default(),
            rest_until: None,
            budget: Budget {
                dials: f64::from(BURST),
                since: None,
            },
            excess_since: None,
            is_stopping: false,
            next: 0,
            random,
        }
    }

    /// Takes in an event and says what to do.
    pub fn step(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Announced(announcement) => {
                match self.tracker.hear(&announcement, now) {
                    // Every proxy passes it on: all copies but the first say nothing.
                    News::Old => return actions,
                    News::Same => {}
                    // Who has no line at all does not wait for what it hears.
                    News::Changed if self.claims().next().is_none() => {}
                    News::Changed => self.rest(self.tracker.spread(), now),
                }
                // What the configuration of the proxies says counts; older ones say nothing.
                if let Some(strategy) = announcement.strategy {
                    self.settings.strategy = strategy;
                }
            }
            Event::Connected {
                dial,
                proxy,
                welcome,
            } => {
                actions.extend(self.connected(dial, proxy, &welcome, now));
            }
            Event::Failed { dial } => self.failed(dial, now),
            Event::Draining {
                line,
                has_successor,
                spread,
            } => {
                self.draining(line, has_successor, spread, now);
            }
            Event::Ended { line } => self.ended(line, now),
            Event::Tick => {}
            Event::Stop => self.is_stopping = true,
        }
        self.tracker.expire(now);
        if !self.is_stopping {
            actions.extend(self.close_excess(now));
            self.dial_what_is_missing(now, &mut actions);
        }
        actions
    }

    /// When [`Event::Tick`] is due; nothing if only another event can change anything.
    pub fn wake_at(&self, now: Instant) -> Option<Instant> {
        let tracked = self.tracker.proxies.values();
        let times = tracked
            .filter(|tracked| tracked.is_free())
            .flat_map(|tracked| {
                let avoided = tracked.avoided.map(|(_, until)| until);
                [Some(tracked.not_before), Some(tracked.expires), avoided]
            })
            .chain([
                self.redraw.not_before,
                self.rest_until,
                self.budget.next_at(),
                self.dials
                    .values()
                    .map(|(_, since)| *since + HEDGE_AFTER)
                    .filter(|time| *time > now)
                    .min(),
                self.excess_since.map(|since| since + EXCESS_AFTER),
            ]);
        times.flatten().filter(|time| *time > now).min()
    }

    /// The proxies that lines go to and may be given work, in the order of their lines.
    pub fn claims(&self) -> impl Iterator<Item = (DialId, &str)> {
        let usable = self.lines.iter().filter(|(_, held)| !held.is_draining);
        usable.map(|(line, held)| (*line, held.proxy.as_str()))
    }

    /// Dials under way.
    pub fn dials(&self) -> usize {
        self.dials.len()
    }

    /// Changes the wanted number of lines.
    #[cfg(test)]
    pub(crate) fn set_connections(&mut self, connections: u32) {
        self.settings.strategy = Strategy::Peering { connections };
    }

    /// Proxies that are known.
    pub fn known(&self) -> usize {
        self.tracker.proxies.len()
    }

    fn connected(
        &mut self,
        dial: DialId,
        proxy: String,
        welcome: &Welcome,
        now: Instant,
    ) -> Option<Action> {
        let Some(way) = self.release_dial(dial) else {
            return Some(Action::Close {
                line: dial,
                reason: "nobody waits for it",
            });
        };
        let was_redraw = way == Way::Seed;
        if let Way::Direct(other) = way
            && other != proxy
        {
            // Its address belongs to someone else now.
            self.fail_proxy(&other, now);
        }
        if let Some(reason) = self.objection(&proxy, welcome, was_redraw, now) {
            if was_redraw {
                self.delay_redraw(now);
            }
            return Some(Action::Close { line: dial, reason });
        }
        let tracked = self.tracker.meet(&proxy, welcome, now);
        tracked.claim = Some(dial);
        tracked.avoided = None;
        self.lines.insert(
            dial,
            Held {
                proxy,
                since: now,
                is_draining: false,
            },
        );
        if was_redraw {
            self.redraw.failures = 0;
            self.redraw.not_before = None;
        }
        None
    }

    /// Why a new line is of no use.
    fn objection(
        &mut self,
        proxy: &str,
        welcome: &Welcome,
        was_redraw: bool,
        now: Instant,
    ) -> Option<&'static str> {
        let has_enough = self.is_satisfied(now);
        let is_alone = self.claims().next().is_none();
        if self.tracker.meet(proxy, welcome, now).claim.is_some() {
            return Some("there is a line to this proxy already");
        }
        if is_alone || (!was_redraw && !self.has_enough(now)) {
            return None;
        }
        let is_wanted = self
            .tracker
            .wanted(now)
            .iter()
            .any(|wanted| *wanted == proxy);
        (has_enough || !was_redraw || !is_wanted).then_some("there are lines enough")
    }

    fn failed(&mut self, dial: DialId, now: Instant) {
        match self.release_dial(dial) {
            Some(Way::Direct(proxy)) => self.fail_proxy(&proxy, now),
            Some(Way::Seed) => self.delay_redraw(now),
            None => {}
        }
    }

    /// The claim is given up at once, so that its replacement is dialled while the line still
    /// serves what is open.
    fn draining(&mut self, line: DialId, has_successor: bool, spread: Duration, now: Instant) {
        let back = now + spread.min(SPREAD_MAX).mul_f64(self.random.f64());
        let Some(held) = self.lines.get_mut(&line).filter(|held| !held.is_draining) else {
            return;
        };
        held.is_draining = true;
        let proxy = held.proxy.clone();
        // The proxy knows how long it waits for its agents: no rest may be longer.
        self.rest_until_at_most(back, now);
        let Some(tracked) = self.tracker.proxies.get_mut(&proxy) else {
            return;
        };
        tracked.claim = None;
        tracked.failures = 0;
        if has_successor {
            tracked.not_before = back;
            self.redraw.wait_until(back);
        } else {
            tracked.avoided = Some((tracked.generation, now + AVOID_FOR));
        }
    }

    fn ended(&mut self, line: DialId, now: Instant) {
        let jitter = self.random.f64();
        let Some(held) = self.lines.remove(&line) else {
            // It ended before it was told to be a line.
            return self.failed(line, now);
        };
        let Some(tracked) = self.tracker.proxies.get_mut(&held.proxy) else {
            return;
        };
        if tracked.claim != Some(line) {
            return;
        }
        tracked.claim = None;
        if now.saturating_duration_since(held.since) >= STEADY_AFTER {
            tracked.failures = 0;
            tracked.not_before = now + RETURN_SPREAD.mul_f64(jitter);
        } else {
            tracked.fail(now, jitter);
        }
        self.redraw.wait_until(tracked.not_before);
        if self.claims().next().is_some() {
            self.rest(self.tracker.spread().max(RETURN_SPREAD), now);
        } else {
            // Nobody reaches an agent without a line.
            let soon = now + RETURN_SPREAD.mul_f64(self.random.f64());
            self.rest_until_at_most(soon, now);
        }
    }

    /// Makes a rest that has begun shorter, or begins one.
    fn rest_until_at_most(&mut self, most: Instant, now: Instant) {
        let begun = self.rest_until.filter(|until| *until > now);
        self.rest_until = Some(begun.map_or(most, |until| until.min(most)));
    }

    /// Dials nobody for a while, at random within `spread`, because others do the same now. A rest that has
    /// begun is not made longer.
    fn rest(&mut self, spread: Duration, now: Instant) {
        if self.rest_until.is_none_or(|until| until <= now) {
            self.rest_until = Some(now + spread.mul_f64(self.random.f64()));
        }
    }

    fn fail_proxy(&mut self, proxy: &str, now: Instant) {
        let jitter = self.random.f64();
        if let Some(tracked) = self.tracker.proxies.get_mut(proxy) {
            tracked.fail(now, jitter);
        }
    }

    fn delay_redraw(&mut self, now: Instant) {
        self.redraw.failures = self.redraw.failures.saturating_add(1);
        let delay = backoff::delay(self.redraw.failures, self.random.f64());
        self.redraw.not_before = Some(now + delay);
    }

    /// What a dial was for, if it is one of ours.
    fn release_dial(&mut self, dial: DialId) -> Option<Way> {
        let (way, _) = self.dials.remove(&dial)?;
        match &way {
            Way::Direct(proxy) => {
                if let Some(tracked) = self.tracker.proxies.get_mut(proxy) {
                    tracked.dial = None;
                }
            }
            Way::Seed => self.redraw.under_way = None,
        }
        Some(way)
    }

    fn tracked(&self, proxy: &str) -> Option<&Tracked> {
        self.tracker.proxies.get(proxy)
    }

    /// How many wanted proxies still need a line or a dial.
    fn missing(&self, wanted: &[&String], now: Instant) -> usize {
        let is_young = |dial| {
            let since = self.dials.get(&dial).map(|(_, since)| *since);
            since.is_some_and(|since| now < since + HEDGE_AFTER)
        };
        let is_served = |proxy: &&&String| {
            self.tracked(proxy).is_some_and(|tracked| {
                tracked.claim.is_some() || tracked.dial.is_some_and(is_young)
            })
        };
        let served = wanted.iter().filter(is_served).count();
        let goal = self.settings.strategy.lines(wanted.len());
        goal.saturating_sub(served)
    }

    /// Whether a peering agent has as many lines as it wants; a mesh never has.
    fn has_enough(&self, now: Instant) -> bool {
        let Strategy::Peering { connections } = self.settings.strategy else {
            return false;
        };
        let wanted = self.tracker.wanted(now);
        let is_claimed = |proxy: &&&String| self.tracked(proxy).is_some_and(|t| t.claim.is_some());
        wanted.iter().filter(is_claimed).count() >= connections as usize
    }

    fn is_satisfied(&self, now: Instant) -> bool {
        let wanted = self.tracker.wanted(now);
        !wanted.is_empty() && self.claims().next().is_some() && self.missing(&wanted, now) == 0
    }

    fn dial_what_is_missing(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.rest_until.is_some_and(|until| now < until) {
            return;
        }
        self.budget.refill(now);
        while self.dials.len() < self.settings.dials_max && self.budget.dials >= 1.0 {
            let next = self.next_direct(now).or_else(|| self.next_seed(now));
            let Some((way, address)) = next else {
                return;
            };
            self.next += 1;
            self.budget.dials -= 1.0;
            let dial = DialId(self.next);
            match &way {
                Way::Direct(proxy) => {
                    if let Some(tracked) = self.tracker.proxies.get_mut(proxy) {
                        tracked.dial = Some(dial);
                    }
                }
                Way::Seed => self.redraw.under_way = Some(dial),
            }
            self.dials.insert(dial, (way, now));
            actions.push(Action::Dial { dial, address });
        }
    }

    /// The best proxy to dial by an address of its own.
    fn next_direct(&self, now: Instant) -> Option<(Way, String)> {
        let wanted = self.tracker.wanted(now);
        if self.missing(&wanted, now) == 0 {
            return None;
        }
        let free = wanted.into_iter().filter_map(|proxy| {
            let tracked = self.tracked(proxy)?;
            let is_due = tracked.is_free() && tracked.not_before <= now;
            Some((proxy, tracked, tracked.address().filter(|_| is_due)?))
        });
        // Those that do not fail come first, each agent's own favourites first among them.
        let best = free.min_by_key(|(proxy, tracked, _)| {
            (tracked.failures, rank(&self.settings.agent, proxy))
        });
        best.map(|(proxy, _, address)| (Way::Direct(proxy.clone()), address.clone()))
    }

    /// A configured address, when nothing else leads to a proxy that is missing.
    fn next_seed(&self, now: Instant) -> Option<(Way, String)> {
        let is_due = self.redraw.not_before.is_none_or(|time| time <= now);
        if self.redraw.under_way.is_some() || !is_due {
            return None;
        }
        let wanted = self.tracker.wanted(now);
        let is_hidden = |proxy: &&&String| {
            self.tracked(proxy).is_some_and(|tracked| {
                let is_unreachable = tracked.failures >= REDRAW_AFTER;
                tracked.is_free() && (tracked.addresses.is_empty() || is_unreachable)
            })
        };
        // A proxy whose own address may work is waited for: it may have asked for a spread.
        let is_hopeless = wanted.iter().all(|proxy| is_hidden(&proxy));
        let is_alone = self.claims().next().is_none() && self.dials.is_empty() && is_hopeless;
        let is_missing =
            self.missing(&wanted, now) > 0 && wanted.iter().any(|proxy| is_hidden(&proxy));
        let turn = self.redraw.failures as usize % self.settings.seeds.len().max(1);
        self.settings
            .seeds
            .get(turn)
            .filter(|_| is_alone || is_missing)
            .map(|address| (Way::Seed, address.clone()))
    }

    /// Peering agents that have had more lines than wanted for long close the least preferred.
    fn close_excess(&mut self, now: Instant) -> Option<Action> {
        let Strategy::Peering { connections } = self.settings.strategy else {
            return None;
        };
        let wanted = self.tracker.wanted(now);
        let weigh = |(line, proxy): (DialId, &str)| {
            let is_unwanted = !wanted.iter().any(|wanted| *wanted == proxy);
            (line, (is_unwanted, rank(&self.settings.agent, proxy)))
        };
        let claimed: Vec<(DialId, (bool, u64))> = self.claims().map(weigh).collect();
        if claimed.len() <= connections as usize {
            self.excess_since = None;
            return None;
        }
        let since = *self.excess_since.get_or_insert(now);
        if now.saturating_duration_since(since) < EXCESS_AFTER {
            return None;
        }
        self.excess_since = None;
        let (line, _) = claimed.into_iter().max_by_key(|(_, weight)| *weight)?;
        let held = self.lines.remove(&line)?;
        if let Some(tracked) = self.tracker.proxies.get_mut(&held.proxy) {
            tracked.claim = None;
        }
        Some(Action::Close {
            line,
            reason: "there are lines enough",
        })
    }
}
