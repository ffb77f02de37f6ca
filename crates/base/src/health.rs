//! Whether each component works, and the worst of them as the state of the process. It only
//! keeps the states: components report what they see, HTTP and metrics read the snapshot.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::clock;

/// The state of a component or of the process. Ordered by severity, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It works.
    Ok,
    /// It has not worked yet.
    Starting,
    /// It works again, but not for long enough to rely on it.
    Recovering,
    /// It does not work.
    Degraded,
}

impl State {
    /// The HTTP status of a readiness check. 400 for a process that is on its way is what the
    /// checks of those who come from Teleport expect.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::Starting | Self::Recovering => 400,
            Self::Degraded => 503,
        }
    }

    /// The value of the state as a gauge.
    pub const fn gauge(self) -> i64 {
        match self {
            Self::Ok => 0,
            Self::Recovering => 1,
            Self::Degraded => 2,
            Self::Starting => 3,
        }
    }

    /// The name as JSON and logs show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Starting => "starting",
            Self::Recovering => "recovering",
            Self::Degraded => "degraded",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// All components at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// The worst of the components; starting while there are none.
    pub status: State,
    /// The components by name.
    pub components: Vec<ComponentSnapshot>,
}

/// One component at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentSnapshot {
    /// The name.
    pub name: String,
    /// The state.
    pub state: State,
    /// Why it is degraded, or was before it began to recover; of one that works, what people should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it came into this state, in seconds since 1970.
    pub since: u64,
}

/// The components of the process; clones share them.
#[derive(Debug, Clone)]
pub struct Health {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    check_period: Duration,
    components: Mutex<BTreeMap<String, Component>>,
}

impl Health {
    /// No components. A component that recovers is relied on after twice `check_period`.
    pub fn new(check_period: Duration) -> Self {
        Self {
            inner: Arc::new(Inner {
                check_period,
                components: Mutex::default(),
            }),
        }
    }

    /// The component of that name, made as starting if there is none.
    pub fn component(&self, name: impl Into<String>) -> ComponentHandle {
        let name = name.into();
        let now = Moment::now();
        self.lock()
            .entry(name.clone())
            .or_insert_with(|| Component::new(now));
        ComponentHandle {
            health: self.clone(),
            name,
        }
    }

    /// A component that works and has something that people should know; without a text it goes. Not for
    /// one that also has a handle.
    pub fn set_note(&self, name: &str, note: Option<String>) {
        let mut components = self.lock();
        if note.is_none() {
            components.remove(name);
            return;
        }
        let now = Moment::now();
        let component = components
            .entry(name.to_owned())
            .or_insert_with(|| Component::new(now));
        component.state = State::Ok;
        component.reason = note;
    }

    /// The state of the process: the worst of its components, starting while there are none.
    pub fn status(&self) -> State {
        worst(self.lock().values())
    }

    /// Everything, for the readiness page.
    pub fn snapshot(&self) -> Snapshot {
        let components = self.lock();
        let describe = |(name, component): (&String, &Component)| ComponentSnapshot {
            name: name.clone(),
            state: component.state,
            reason: component.reason.clone(),
            since: unix_seconds(component.since.wall),
        };
        Snapshot {
            status: worst(components.values()),
            components: components.iter().map(describe).collect(),
        }
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Component)) {
        let mut components = self.lock();
        let Some(component) = components.get_mut(name) else {
            return;
        };
        let before = component.state;
        change(component);
        let (after, reason) = (
            component.state,
            component.reason.clone().unwrap_or_default(),
        );
        drop(components);
        match (before == after, after) {
            (true, _) => {}
            (false, State::Degraded) => tracing::warn!(component = name, reason, "degraded"),
            (false, state) => tracing::info!(component = name, %state, "health changed"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Component>> {
        self.inner
            .components
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One component's way to report.
#[derive(Debug, Clone)]
pub struct ComponentHandle {
    health: Health,
    name: String,
}

impl ComponentHandle {
    /// A check went well.
    pub fn ok(&self) {
        let (now, period) = (Moment::now(), self.health.inner.check_period);
        self.health
            .change(&self.name, |component| component.report_ok(now, period));
    }

    /// A check failed, or the component is known not to work.
    pub fn degraded(&self, reason: impl Into<String>) {
        let (now, reason) = (Moment::now(), reason.into());
        self.health.change(&self.name, |component| {
            component.report_degraded(now, reason);
        });
    }

    /// The component is no longer part of the process.
    pub fn remove(self) {
        self.health.lock().remove(&self.name);
    }
}

#[derive(Debug, Clone, Copy)]
struct Moment {
    monotonic: Instant,
    wall: SystemTime,
}

impl Moment {
    fn now() -> Self {
        Self {
            monotonic: clock::now(),
            wall: clock::wall(),
        }
    }
}

#[derive(Debug)]
struct Component {
    state: State,
    reason: Option<String>,
    since: Moment,
}

impl Component {
    fn new(now: Moment) -> Self {
        Self {
            state: State::Starting,
            reason: None,
            since: now,
        }
    }

    fn report_ok(&mut self, now: Moment, check_period: Duration) {
        match self.state {
            State::Ok => return,
            State::Starting => self.state = State::Ok,
            State::Degraded => self.state = State::Recovering,
            State::Recovering => {
                let recovered = now
                    .monotonic
                    .saturating_duration_since(self.since.monotonic);
                if recovered <= check_period * 2 {
                    return;
                }
                self.state = State::Ok;
            }
        }
        if self.state == State::Ok {
            self.reason = None;
        }
        self.since = now;
    }

    fn report_degraded(&mut self, now: Moment, reason: String) {
        if self.state != State::Degraded {
            self.state = State::Degraded;
            self.since = now;
        }
        self.reason = Some(reason);
    }
}

fn worst<'a>(components: impl Iterator<Item = &'a Component>) -> State {
    components
        .map(|component| component.state)
        .max()
        .unwrap_or(State::Starting)
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
