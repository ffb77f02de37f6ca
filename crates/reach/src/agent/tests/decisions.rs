//! The pool's decisions one by one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::line::Welcome;

/// A pool with its clock.
struct Table {
    pool: Pool,
    now: Instant,
}

impl Table {
    fn new(strategy: Strategy) -> Self {
        Self::with_seed(strategy, 1)
    }

    fn with_seed(strategy: Strategy, random_seed: u64) -> Self {
        let settings = PoolSettings {
            agent: "a1".to_owned(),
            strategy,
            seeds: vec!["lb:1".to_owned()],
            dials_max: 3,
            random_seed,
        };
        Self {
            pool: Pool::new(settings),
            now: base::clock::now(),
        }
    }

    fn step(&mut self, event: Event) -> Vec<Action> {
        self.pool.step(event, self.now)
    }

    /// Lets time pass and ticks.
    fn after(&mut self, seconds: u64) -> Vec<Action> {
        self.now += Duration::from_secs(seconds);
        self.step(Event::Tick)
    }

    fn connected(&mut self, dial: DialId, proxy: &str) -> Vec<Action> {
        self.connected_with(dial, proxy, 1)
    }

    fn connected_with(&mut self, dial: DialId, proxy: &str, generation: u64) -> Vec<Action> {
        let addresses = vec![format!("{proxy}:1")];
        let welcome = Welcome {
            group: "all".to_owned(),
            generation,
            addresses,
        };
        self.step(Event::Connected {
            dial,
            proxy: proxy.to_owned(),
            welcome,
        })
    }

    fn announced(&mut self, issued_ms: u64, ids: &[&str]) -> Vec<Action> {
        let proxies = ids.iter().map(|id| super::announced(id)).collect();
        self.step(Event::Announced(Arc::new(announcement(issued_ms, proxies))))
    }

    fn claims(&self) -> Vec<String> {
        let mut claims: Vec<String> = self.pool.claims().map(|(_, id)| id.to_owned()).collect();
        claims.sort();
        claims
    }

    /// Connects whatever is dialled directly, until nothing is.
    fn settle(&mut self, actions: Vec<Action>) {
        let mut left = actions;
        while let Some(action) = left.pop() {
            if let Action::Dial { dial, address } = action {
                let proxy = address.trim_end_matches(":1").to_owned();
                left.extend(self.connected(dial, &proxy));
            }
        }
    }
}

fn addresses(actions: &[Action]) -> Vec<&str> {
    let dials = actions.iter().filter_map(|action| match action {
        Action::Dial { address, .. } => Some(address.as_str()),
        Action::Close { .. } => None,
    });
    let mut dials: Vec<&str> = dials.collect();
    dials.sort_unstable();
    dials
}

fn dial_of(actions: &[Action]) -> DialId {
    let dial = actions.iter().find_map(|action| match action {
        Action::Dial { dial, .. } => Some(*dial),
        Action::Close { .. } => None,
    });
    dial.unwrap()
}

#[test]
fn a_fresh_agent_dials_its_seed_and_then_all_proxies_directly() {
    let mut table = Table::new(Strategy::Mesh);
    let first = table.step(Event::Tick);
    assert_eq!(addresses(&first), ["lb:1"]);
    assert!(
        table.step(Event::Tick).is_empty(),
        "one dial at a time leads to a seed"
    );
    assert!(table.connected(dial_of(&first), "p1").is_empty());
    let next = table.announced(1, &["p1", "p2", "p3"]);
    assert_eq!(addresses(&next), ["p2:1", "p3:1"]);
    table.settle(next);
    assert_eq!(table.claims(), ["p1", "p2", "p3"]);
    assert!(table.after(100).is_empty());
}

#[test]
fn no_more_dials_at_once_than_allowed() {
    let mut table = Table::new(Strategy::Mesh);
    let first = table.step(Event::Tick);
    table.connected(dial_of(&first), "p0");
    let ids: Vec<String> = (0..10).map(|index| format!("p{index}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let dials = table.announced(1, &ids);
    assert_eq!(dials.len(), 3);
    assert_eq!(table.pool.dials(), 3);
    assert_eq!(
        table
            .step(Event::Failed {
                dial: dial_of(&dials)
            })
            .len(),
        1,
        "the slot is used"
    );
}

#[test]
fn a_replayed_announcement_changes_nothing() {
    let mut table = Table::new(Strategy::Mesh);
    let dials = table.announced(10, &["p1", "p2"]);
    table.settle(dials);
    assert!(table.announced(10, &["p3"]).is_empty());
    assert!(table.announced(9, &["p3"]).is_empty());
    assert_eq!(table.pool.known(), 2);
    assert_eq!(addresses(&table.announced(11, &["p3"])), ["p3:1"]);
}

#[test]
fn waits_grow_and_the_balancer_is_asked_when_the_address_fails() {
    let mut table = Table::new(Strategy::Mesh);
    let dials = table.announced(1, &["p1", "p2"]);
    let (gone, good): (Vec<Action>, Vec<Action>) = dials
        .into_iter()
        .partition(|action| matches!(action, Action::Dial { address, .. } if address == "p2:1"));
    table.settle(good);
    let mut dialled = Vec::new();
    let mut dial = Some(dial_of(&gone));
    for second in 0..30 {
        let mut actions = match dial.take() {
            Some(dial) => table.step(Event::Failed { dial }),
            None => Vec::new(),
        };
        actions.extend(table.after(1));
        for action in actions {
            if let Action::Dial { dial: id, address } = action {
                dialled.push((second, address));
                dial = Some(id);
            }
        }
    }
    let direct = dialled
        .iter()
        .filter(|(_, address)| address == "p2:1")
        .count();
    let balanced = dialled
        .iter()
        .filter(|(_, address)| address == "lb:1")
        .count();
    assert!((4..=12).contains(&direct), "{dialled:?}");
    assert!((3..=12).contains(&balanced), "{dialled:?}");
    let second_failure = dialled
        .iter()
        .position(|(_, address)| address == "lb:1")
        .unwrap();
    assert!(
        second_failure >= 1,
        "the first failure is not a reason: {dialled:?}"
    );
}

#[test]
fn a_second_line_to_the_same_proxy_is_closed() {
    let mut table = Table::new(Strategy::Mesh);
    let first = dial_of(&table.step(Event::Tick));
    table.connected(first, "p1");
    let mut nowhere = super::announced("p2");
    nowhere.addresses.clear();
    let both = vec![super::announced("p1"), nowhere];
    let dials = table.step(Event::Announced(Arc::new(announcement(1, both))));
    assert_eq!(addresses(&dials), ["lb:1"], "only the balancer leads to p2");
    let again = dial_of(&dials);
    let reason = "there is a line to this proxy already";
    assert_eq!(
        table.connected(again, "p1"),
        [Action::Close {
            line: again,
            reason
        }]
    );
    let dials = table.after(2);
    table.connected(dial_of(&dials), "p2");
    assert_eq!(table.claims(), ["p1", "p2"]);
}

#[test]
fn a_draining_proxy_is_replaced_at_once_by_its_successor() {
    let mut table = Table::new(Strategy::Mesh);
    let dials = table.announced(1, &["p1"]);
    let line = dial_of(&dials);
    table.settle(dials);
    let spread = Duration::from_secs(5);
    table.step(Event::Draining {
        line,
        has_successor: true,
        spread,
    });
    assert!(table.claims().is_empty(), "it is no longer claimed");
    let mut dials = Vec::new();
    for _ in 0..5 {
        dials.extend(table.after(1));
    }
    assert_eq!(addresses(&dials), ["p1:1"], "once, and not by the balancer");
    table.settle(dials);
    assert!(
        table.step(Event::Ended { line }).is_empty(),
        "the old line's end changes nothing"
    );
    assert_eq!(table.claims(), ["p1"]);
}

#[test]
fn a_leaving_proxy_is_not_dialled_until_it_is_announced_anew() {
    let mut table = Table::new(Strategy::Mesh);
    let dials = table.announced(1, &["p1", "p2"]);
    let line = dials
        .iter()
        .find_map(|action| match action {
            Action::Dial { dial, address } if address == "p1:1" => Some(*dial),
            _ => None,
        })
        .unwrap();
    table.settle(dials);
    table.step(Event::Draining {
        line,
        has_successor: false,
        spread: Duration::ZERO,
    });
    table.step(Event::Ended { line });
    assert!(
        table.announced(2, &["p1", "p2"]).is_empty(),
        "a list from before it left"
    );
    assert!(table.after(10).is_empty());
    let mut newer = super::announced("p1");
    newer.generation = 2;
    let list = vec![newer, super::announced("p2")];
    let dials = table.step(Event::Announced(Arc::new(announcement(3, list))));
    assert_eq!(addresses(&dials), ["p1:1"]);
}

#[test]
fn agents_move_to_the_highest_generation_and_keep_what_they_have() {
    let mut table = Table::new(Strategy::Mesh);
    let dials = table.announced(1, &["p1"]);
    let old = dial_of(&dials);
    table.settle(dials);
    let mut newer = super::announced("p2");
    newer.generation = 2;
    let list = vec![super::announced("p1"), newer];
    let dials = table.step(Event::Announced(Arc::new(announcement(2, list))));
    assert_eq!(addresses(&dials), ["p2:1"]);
    table.connected_with(dial_of(&dials), "p2", 2);
    assert_eq!(table.claims(), ["p1", "p2"]);
    table.step(Event::Ended { line: old });
    assert!(
        table.after(60).is_empty(),
        "the old generation is not dialled again"
    );
}

#[test]
fn peering_keeps_as_many_lines_as_wanted_and_closes_what_is_too_many() {
    let mut table = Table::new(Strategy::Peering { connections: 2 });
    let dials = table.announced(1, &["p1", "p2", "p3", "p4"]);
    assert_eq!(dials.len(), 2);
    table.settle(dials);
    assert_eq!(table.claims().len(), 2);
    let line = table.pool.claims().next().unwrap().0;
    assert!(table.step(Event::Ended { line }).is_empty());
    let dials = table.after(1);
    assert_eq!(dials.len(), 1, "another one");
    table.settle(dials);
    assert_eq!(table.claims().len(), 2);
    table.pool.set_connections(1);
    assert!(table.after(1).is_empty());
    assert!(matches!(
        table.after(1801).first(),
        Some(Action::Close { .. })
    ));
    assert_eq!(table.claims().len(), 1);
    assert!(table.after(1).is_empty(), "and does not dial it again");
}

#[test]
fn what_is_not_announced_any_more_is_forgotten() {
    let mut table = Table::new(Strategy::Mesh);
    let dials = table.announced(1, &["p1", "p2"]);
    table.settle(dials);
    table.announced(2, &["p1"]);
    assert_eq!(table.pool.known(), 2, "a line still goes there");
    let lines: Vec<DialId> = table
        .pool
        .claims()
        .filter(|(_, id)| *id == "p2")
        .map(|(line, _)| line)
        .collect();
    assert!(
        table.step(Event::Ended { line: lines[0] }).is_empty(),
        "and is not dialled again"
    );
    assert_eq!(table.pool.known(), 1);
    table.step(Event::Stop);
    assert!(
        table.announced(3, &["p7"]).is_empty(),
        "an agent that stops dials nobody"
    );
}

/// All agents hear of a new proxy at the same moment, and lose one at the same moment: they dial over the
/// time that the proxies ask for. Who has no line at all does not wait for what it hears.
#[test]
fn what_all_agents_learn_at_once_is_not_dialled_at_once() {
    const SPREAD_MS: u64 = 8_000;
    let list = |issued_ms, ids: &[&str]| {
        let proxies = ids.iter().map(|id| super::announced(id)).collect();
        let announcement = Announcement {
            spread_ms: SPREAD_MS,
            ..announcement(issued_ms, proxies)
        };
        Event::Announced(Arc::new(announcement))
    };
    let waits = |strategy: Strategy, happens: &dyn Fn(&mut Table) -> Vec<Action>| {
        let waits = (0..100).map(|random_seed| {
            let mut table = Table::with_seed(strategy, random_seed);
            let dials = table.step(list(1, &["p1", "p2", "p3"]));
            assert!(!dials.is_empty(), "without a line");
            table.settle(dials);
            assert!(happens(&mut table).is_empty(), "at once");
            let begun = table.now;
            loop {
                table.now = table.pool.wake_at(table.now).unwrap();
                let dials = table.step(Event::Tick);
                if !dials.is_empty() {
                    assert_eq!(dials.len(), 1);
                    break table.now.saturating_duration_since(begun).as_secs_f64();
                }
            }
        });
        let waits: Vec<f64> = waits.collect();
        let mean = waits.iter().sum::<f64>() / 100.0;
        assert!((2.5..5.5).contains(&mean), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait < 8.0), "{waits:?}");
    };
    waits(Strategy::Mesh, &|table| {
        table.step(list(2, &["p1", "p2", "p3", "p4"]))
    });
    waits(Strategy::Peering { connections: 2 }, &|table| {
        let line = table.pool.claims().next().unwrap().0;
        table.step(Event::Ended { line })
    });
}

/// Nobody reaches an agent without a line: the rest that it began when it still had one ends sooner.
#[test]
fn who_has_lost_all_lines_is_back_within_a_second() {
    for random_seed in 0..100 {
        let mut table = Table::with_seed(Strategy::Mesh, random_seed);
        let list = Announcement {
            spread_ms: 8_000,
            ..announcement(1, vec![super::announced("p1"), super::announced("p2")])
        };
        let dials = table.step(Event::Announced(Arc::new(list)));
        table.settle(dials);
        assert!(table.after(60).is_empty());
        let lines: Vec<DialId> = table.pool.claims().map(|(line, _)| line).collect();
        for line in lines {
            assert!(table.step(Event::Ended { line }).is_empty());
        }
        assert!(!table.after(1).is_empty(), "seed {random_seed}");
    }
}

#[test]
fn a_stale_dial_is_closed() {
    let mut table = Table::new(Strategy::Mesh);
    let dial = dial_of(&table.step(Event::Tick));
    table.step(Event::Failed { dial });
    let reason = "nobody waits for it";
    assert_eq!(
        table.connected(dial, "p1").first(),
        Some(&Action::Close { line: dial, reason })
    );
}
