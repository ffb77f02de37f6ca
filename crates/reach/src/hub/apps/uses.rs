//! The record of who used which application: each first use in five minutes is an event, and those like
//! it are counted and become one event when the time is over.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base::clock;
use base::supervise::{BoxError, Scope};
use identity::Identity;
use identity::audit::Event;

/// Uses by one user of one application from one address are recorded once in this time.
const USES_INTERVAL: Duration = Duration::from_mins(5);
/// How often it is looked whose time is over.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// Uses that are remembered for that.
const USES_MAX: usize = 10_000;
/// Events of one transaction.
const EVENTS_AT_ONCE: usize = 100;
/// The kind of the audit events.
pub(super) const USED: &str = "app.used";

/// Who, what, from where, how it ended.
pub(super) type Use = (String, String, IpAddr, &'static str);

/// The uses that were recorded lately. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Uses {
    recorded: Arc<Mutex<Recorded>>,
}

#[derive(Debug, Default)]
struct Recorded {
    uses: BTreeMap<Use, Counted>,
}

#[derive(Debug)]
struct Counted {
    since: Instant,
    event: Event,
    /// Uses after the one that was recorded.
    more: u64,
}

impl Uses {
    /// Records a use, or counts it when one like it was recorded lately.
    pub(super) async fn note(&self, identity: &Identity, this: Use, event: impl FnOnce() -> Event) {
        let events = self.recorded().note(this, event, clock::now());
        record(identity, &events).await;
    }

    /// Records what was counted in time, and the rest when the scope stops.
    pub(super) async fn keep(self, identity: Identity, scope: Scope) -> Result<(), BoxError> {
        let mut is_over = false;
        while !is_over {
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                () = scope.stopping() => is_over = true,
            }
            let now = clock::now();
            let counted = self.recorded().take(|one| is_over || !one.is_fresh(now));
            for events in counted.chunks(EVENTS_AT_ONCE) {
                record(&identity, events).await;
            }
        }
        Ok(())
    }

    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorded {
    /// The events that this use makes.
    fn note(&mut self, this: Use, event: impl FnOnce() -> Event, now: Instant) -> Vec<Event> {
        if let Some(counted) = self.uses.get_mut(&this)
            && counted.is_fresh(now)
        {
            counted.more += 1;
            return Vec::new();
        }
        let mut events = Vec::new();
        if let Some(over) = self.uses.remove(&this) {
            events.extend(over.counted());
        } else if self.uses.len() >= USES_MAX {
            // Better an event too many than one too few.
            let oldest = self.uses.iter().min_by_key(|(_, counted)| counted.since);
            let oldest = oldest.map(|(this, _)| this.clone());
            let oldest = oldest.and_then(|oldest| self.uses.remove(&oldest));
            events.extend(oldest.and_then(Counted::counted));
        }
        let event = event();
        let since = now;
        events.push(event.clone());
        let more = 0;
        self.uses.insert(this, Counted { since, event, more });
        events
    }

    /// Takes out those that are chosen; gives the events of what was counted.
    fn take(&mut self, is_chosen: impl Fn(&Counted) -> bool) -> Vec<Event> {
        let chosen = self.uses.extract_if(.., |_, counted| is_chosen(counted));
        chosen
            .filter_map(|(_, counted)| counted.counted())
            .collect()
    }
}

impl Counted {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < USES_INTERVAL
    }

    /// The uses after the first one as an event, if there were any.
    fn counted(self) -> Option<Event> {
        (self.more > 0).then(|| self.event.with("more_uses", self.more))
    }
}

async fn record(identity: &Identity, events: &[Event]) {
    if events.is_empty() {
        return;
    }
    if let Err(error) = identity.audit().record(events).await {
        let error = crate::line::chain(&error);
        let count = events.len();
        tracing::error!(error, count, "uses of applications could not be recorded");
    }
}

#[cfg(test)]
mod tests {
    use identity::audit::Caller;

    use super::*;

    fn this(user: &str, outcome: &'static str) -> Use {
        let address = IpAddr::from([192, 0, 2, 1]);
        let app = "app:api@web-1".to_owned();
        (user.to_owned(), app, address, outcome)
    }

    fn event() -> Event {
        Event::success(USED, &Caller::system(), "app:api@web-1")
    }

    fn more(events: &[Event]) -> Vec<Option<u64>> {
        let more = |event: &Event| event.details["more_uses"].as_u64();
        events.iter().map(more).collect()
    }

    #[test]
    fn one_use_is_recorded_in_five_minutes_and_the_others_are_counted() {
        let mut recorded = Recorded::default();
        let start = clock::now();
        let later = start + USES_INTERVAL;
        let anna = || this("anna", "success");
        assert_eq!(more(&recorded.note(anna(), event, start)), [None]);
        for second in [1, 299] {
            let at = start + Duration::from_secs(second);
            assert!(recorded.note(anna(), event, at).is_empty());
        }
        assert_eq!(
            more(&recorded.note(this("anna", "failed"), event, start)),
            [None]
        );
        assert_eq!(
            more(&recorded.note(this("ben", "success"), event, start)),
            [None]
        );
        // What was counted comes before what begins anew.
        assert_eq!(more(&recorded.note(anna(), event, later)), [Some(2), None]);
        assert!(recorded.note(anna(), event, later).is_empty());
        assert!(recorded.take(|one| !one.is_fresh(later)).is_empty());
        assert_eq!(recorded.uses.len(), 1, "the others' time is over");
        assert_eq!(more(&recorded.take(|_| true)), [Some(1)]);
    }

    #[test]
    fn no_more_uses_are_remembered_than_there_is_room_for() {
        let mut recorded = Recorded::default();
        let start = clock::now();
        let mut events = 0;
        for number in 0..USES_MAX + 10 {
            for _ in 0..2 {
                events += recorded
                    .note(this(&number.to_string(), "success"), event, start)
                    .len();
            }
        }
        assert_eq!(recorded.uses.len(), USES_MAX);
        assert_eq!(
            events,
            USES_MAX + 20,
            "ten were told early, with what was counted"
        );
    }
}
