//! Random operations on the store and on a map, with the same answers.

use super::*;
use crate::matcher::Operator;
use crate::number::STALE;

struct Both {
    disk: SimulatedDisk,
    store: Store,
    model: Content,
    chance: fastrand::Rng,
    now: i64,
    newest: Option<i64>,
}

impl Both {
    fn new(seed: u64) -> Self {
        let disk = SimulatedDisk::default();
        let (store, _) = open(&disk).unwrap();
        Self {
            disk,
            store,
            model: Content::new(),
            chance: fastrand::Rng::with_seed(seed),
            now: 1_000 * HOUR,
            newest: None,
        }
    }

    fn value(&mut self) -> f64 {
        match self.chance.u8(0..20) {
            0 => f64::from_bits(STALE),
            1 => f64::NAN,
            2 => -0.0,
            3 => f64::INFINITY,
            4..8 => self.chance.f64(),
            8..14 => f64::from(self.chance.u32(0..3)),
            _ => f64::from(self.chance.i32(-10_000..10_000)) / 100.0,
        }
    }

    fn append(&mut self) {
        self.now += self.chance.i64(0..20) * MINUTE;
        let count = self.chance.i64(1..300);
        let mut samples = Vec::new();
        for at in 0..count {
            let metric = ["a", "b"][self.chance.usize(0..2)];
            let series = labels(metric, self.chance.usize(0..12));
            let late = if self.chance.u8(0..4) == 0 {
                self.chance.i64(0..90) * MINUTE
            } else {
                0
            };
            let time = self.now - late + at * 100;
            samples.push((series, time, self.value()));
        }
        let entries: Vec<Entry<'_>> = samples.iter().map(|(l, t, v)| entry(l, *t, *v)).collect();
        let appended = self.store.append(&entries, self.now + HOUR).unwrap();
        let refusals: BTreeMap<usize, Refusal> = appended.refusals.iter().copied().collect();
        assert_eq!(refusals.len(), appended.refused.min(100));
        for (at, (labels, time, value)) in samples.into_iter().enumerate() {
            let refusal = refusals.get(&at).copied();
            if refusal.is_none()
                && appended.refused > 100
                && appended.refusals.last().is_some_and(|last| at > last.0)
            {
                // Not told one by one any more: what the store has is taken over below.
                let there = read(
                    &self.store,
                    &[
                        Matcher::equal("number", labels.get("number")),
                        Matcher::equal(METRIC_NAME, labels.get(METRIC_NAME)),
                    ],
                    time,
                    time,
                )
                .unwrap();
                self.model.extend(there);
                continue;
            }
            let have = self.model.get(&(labels.clone(), time)).copied();
            match refusal {
                Some(Refusal::Duplicate) => {
                    assert!(have.is_some_and(|have| have != value.to_bits()));
                }
                Some(Refusal::TooOld) => assert!(self.newest.is_some_and(|newest| time < newest)),
                Some(other) => panic!("{other}"),
                None => {
                    self.newest = self.newest.max(Some(time));
                    self.model.insert((labels, time), value.to_bits());
                }
            }
        }
    }

    fn delete(&mut self) {
        let matcher = Matcher::new(
            "number",
            Operator::Matches,
            ["1|2", "1.*", ".*"][self.chance.usize(0..3)],
        )
        .unwrap();
        let start = self.now - self.chance.i64(0..600) * MINUTE;
        let end = start + self.chance.i64(0..120) * MINUTE;
        self.store
            .delete(std::slice::from_ref(&matcher), start, end)
            .unwrap();
        self.model.retain(|(labels, time), _| {
            !((start..=end).contains(time) && matcher.matches(labels.get("number")))
        });
    }

    fn reopen(&mut self) {
        let other = SimulatedDisk::default();
        let (empty, _) = open(&other).unwrap();
        drop(std::mem::replace(&mut self.store, empty));
        self.store = open(&self.disk).unwrap().0;
    }

    fn check(&mut self) {
        let matchers = [
            vec![],
            vec![Matcher::equal(METRIC_NAME, "a")],
            vec![Matcher::new("number", Operator::MatchesNot, "1|2|3").unwrap()],
            vec![
                Matcher::new("number", Operator::Matches, "1.*").unwrap(),
                Matcher::new("none", Operator::Equal, "").unwrap(),
            ],
        ];
        let matchers = &matchers[self.chance.usize(0..4)];
        let start = self.now - self.chance.i64(0..3_000) * MINUTE;
        let end = start + self.chance.i64(0..3_000) * MINUTE;
        let expected: Content = self
            .model
            .iter()
            .filter(|((labels, time), _)| {
                (start..=end).contains(time)
                    && matchers.iter().all(|m| m.matches(labels.get(m.name())))
            })
            .map(|(key, bits)| (key.clone(), *bits))
            .collect();
        assert_eq!(read(&self.store, matchers, start, end).unwrap(), expected);
    }

    fn step(&mut self) {
        match self.chance.u8(0..40) {
            0..24 => self.append(),
            24..28 => {
                self.store.maintain(self.now).unwrap();
            }
            28..30 => self.delete(),
            30 => {
                self.store.flush_all().unwrap();
            }
            31 => self.store.compact().unwrap(),
            32..34 => self.reopen(),
            _ => self.check(),
        }
    }
}

#[test]
fn random_operations_give_what_a_map_gives() {
    for seed in 0..4 {
        let mut both = Both::new(seed);
        for _ in 0..120 {
            both.step();
        }
        both.store.verify().unwrap();
        assert_eq!(read_all(&both.store), both.model, "seed {seed}");
        both.store.compact().unwrap();
        assert_eq!(read_all(&both.store), both.model, "seed {seed}");
        both.reopen();
        assert_eq!(read_all(&both.store), both.model, "seed {seed}");
        assert!(
            both.store.statistics().segments < 6,
            "{:?}",
            both.store.statistics()
        );
    }
}
