//! Reads the log with one thread and applies it with another. Samples are sorted by series on the way:
//! a scrape of thousands of series touches as many places of memory, and a hundred scrapes at once touch
//! them hardly more often.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::Replay;
use crate::damage::ReadError;
use crate::disk::Disk;
use crate::extra::{Exemplar, Metadata};
use crate::head::Head;
use crate::histogram::Histogram;
use crate::labels::Labels;
use crate::log::{self, Recovered};
use crate::matcher::Matcher;
use crate::record::Visitor;

/// Samples that are sorted at once: of twenty thousand series two dozen each.
const GROUP_FLOATS: usize = 1 << 19;
/// Histograms, descriptions of series and what else is said that go on at once.
const GROUP_OTHERS: usize = 1 << 12;
/// Groups that wait to be applied.
const WAITING_MAX: usize = 1;
/// Memory of groups that were applied, for others to come.
const SPARE_MAX: usize = 2;
/// Ids are spread over at most so many times as many numbers as there are samples, or are sorted by
/// comparison.
const SPREAD_MAX: usize = 4;

/// Reads the log into the head. Gives what the log was found to be and how many samples came.
pub(in crate::store) fn replay(
    disk: &dyn Disk,
    first: u32,
    head: &mut Head,
) -> Result<(Recovered, u64), ReadError> {
    let (give, steps) = sync_channel(WAITING_MAX);
    let (give_back, spare) = sync_channel(SPARE_MAX);
    thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut gather = Gather {
                give,
                spare,
                group: Group::default(),
                places: Vec::new(),
            };
            let recovered = log::recover(disk, first, &mut gather);
            gather.pass_on();
            recovered
        });
        let mut replay = Replay::new(head);
        for step in steps {
            match step {
                Step::File => replay.forget_ids(),
                Step::Group(group) => {
                    // When nobody wants it any more, or there is enough, it is freed.
                    drop(give_back.try_send(replay.group(group)));
                }
                Step::Delete(matchers, start, end) => replay.delete(&matchers, start, end),
            }
        }
        let recovered = reading.join();
        let recovered = recovered.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok((recovered, replay.samples))
    })
}

/// What is applied one after the other.
enum Step {
    /// What comes stands in another file, whose ids may mean other series.
    File,
    Group(Group),
    Delete(Vec<Matcher>, i64, i64),
}

/// What may be applied in this order, whatever the order was in which it came: samples belong to one
/// series each, and what is described here is not described otherwise.
#[derive(Default)]
struct Group {
    series: Vec<(u32, Labels)>,
    floats: Vec<Float>,
    histograms: Vec<Measured>,
    exemplars: Vec<Exemplar>,
    metadata: Vec<(String, Metadata)>,
}

#[derive(Clone, Copy)]
pub(super) struct Float {
    pub(super) id: u32,
    pub(super) time: i64,
    pub(super) value: f64,
    pub(super) start: i64,
}

/// What stands where nothing was put yet.
const NOWHERE: Float = Float {
    id: 0,
    time: 0,
    value: 0.0,
    start: 0,
};

struct Measured {
    id: u32,
    time: i64,
    start: i64,
    value: Arc<Histogram>,
}

/// Gathers what is read.
struct Gather {
    give: SyncSender<Step>,
    spare: Receiver<Vec<Float>>,
    group: Group,
    /// For each id where its next sample goes; kept for its memory.
    places: Vec<u32>,
}

impl Gather {
    fn pass_on(&mut self) {
        let mut group = std::mem::take(&mut self.group);
        let mut sorted = self.spare.try_recv().unwrap_or_default();
        by_series(&group.floats, &mut self.places, &mut sorted);
        // The memory is used again.
        self.group.floats = std::mem::replace(&mut group.floats, sorted);
        self.group.floats.clear();
        self.give(Step::Group(group));
    }

    fn give(&self, step: Step) {
        // Fails when whoever applies has panicked, which is told there.
        drop(self.give.send(step));
    }

    fn pass_on_when(&mut self, is_full: bool) {
        if is_full {
            self.pass_on();
        }
    }
}

/// Sets `sorted` to the samples series by series, those of each in the order in which they came: counted,
/// and put where they belong. What was in it does not matter, nor in `places`.
fn by_series(floats: &[Float], places: &mut Vec<u32>, sorted: &mut Vec<Float>) {
    let ids = floats.iter().map(|float| float.id);
    let (Some(lowest), Some(highest)) = (ids.clone().min(), ids.max()) else {
        return sorted.clear();
    };
    let spread = (highest - lowest) as usize + 1;
    if spread > floats.len().saturating_mul(SPREAD_MAX) {
        sorted.clear();
        sorted.extend_from_slice(floats);
        return sorted.sort_by_key(|float| float.id);
    }
    // Each place is written below.
    sorted.resize(floats.len(), NOWHERE);
    places.clear();
    places.resize(spread, 0);
    let at = |float: &Float| (float.id - lowest) as usize;
    for float in floats {
        if let Some(count) = places.get_mut(at(float)) {
            *count += 1;
        }
    }
    let mut next = 0;
    for place in places.iter_mut() {
        next += std::mem::replace(place, next);
    }
    for float in floats {
        let Some(place) = places.get_mut(at(float)) else {
            continue;
        };
        if let Some(slot) = sorted.get_mut(*place as usize) {
            *slot = *float;
        }
        *place += 1;
    }
}

impl Visitor for Gather {
    fn begin_file(&mut self) {
        // It describes its series anew, perhaps by ids that mean others before it.
        self.pass_on();
        self.give(Step::File);
    }

    fn series(&mut self, id: u32, labels: Labels) {
        self.group.series.push((id, labels));
        self.pass_on_when(self.group.series.len() >= GROUP_OTHERS);
    }

    fn float(&mut self, id: u32, time: i64, value: f64, start: i64) {
        self.group.floats.push(Float {
            id,
            time,
            value,
            start,
        });
        self.pass_on_when(self.group.floats.len() >= GROUP_FLOATS);
    }

    fn histogram(&mut self, id: u32, time: i64, start: i64, value: Histogram) {
        self.group.histograms.push(Measured {
            id,
            time,
            start,
            value: Arc::new(value),
        });
        self.pass_on_when(self.group.histograms.len() >= GROUP_OTHERS);
    }

    fn delete(&mut self, matchers: &[Matcher], start: i64, end: i64) {
        self.pass_on();
        self.give(Step::Delete(matchers.to_vec(), start, end));
    }

    fn exemplar(&mut self, exemplar: Exemplar) {
        self.group.exemplars.push(exemplar);
        self.pass_on_when(self.group.exemplars.len() >= GROUP_OTHERS);
    }

    fn metadata(&mut self, metric: &str, metadata: Metadata) {
        self.group.metadata.push((metric.to_owned(), metadata));
        self.pass_on_when(self.group.metadata.len() >= GROUP_OTHERS);
    }

    fn closed(&mut self) {}
}

impl Replay<'_> {
    /// Applies it, and gives back the memory of its samples.
    fn group(&mut self, group: Group) -> Vec<Float> {
        for (id, labels) in group.series {
            self.series(id, labels);
        }
        for floats in group.floats.chunk_by(|left, right| left.id == right.id) {
            self.floats(floats);
        }
        for one in group.histograms {
            self.push_histogram(one.id, (one.time, one.start), &one.value);
        }
        for exemplar in group.exemplars {
            self.exemplar(exemplar);
        }
        for (metric, metadata) in group.metadata {
            self.metadata(&metric, metadata);
        }
        group.floats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_series_stay_in_their_order() {
        for step in [1, 3, 1_000_000] {
            let floats: Vec<Float> = (0..1_000)
                .map(|at| Float {
                    id: 7 + at * 7_919 % 13 * step,
                    time: i64::from(at),
                    value: 0.0,
                    start: 0,
                })
                .collect();
            let mut expected: Vec<(u32, i64)> =
                floats.iter().map(|one| (one.id, one.time)).collect();
            expected.sort_unstable();
            let mut sorted = vec![floats[5]; 2_000];
            by_series(&floats, &mut vec![9; 3], &mut sorted);
            let found: Vec<(u32, i64)> = sorted.iter().map(|one| (one.id, one.time)).collect();
            assert_eq!(found, expected);
        }
        let mut sorted = vec![NOWHERE];
        by_series(&[], &mut Vec::new(), &mut sorted);
        assert!(sorted.is_empty());
    }
}
