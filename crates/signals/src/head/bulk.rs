//! Numbers of many series at once, by two threads: what the log says at a start.

use std::thread;

use super::{Head, PAGE_SERIES, Page, Verdict};

/// Numbers for which a second thread is worth its start.
const SHARED_MIN: usize = 1 << 14;

/// A sample with the id of its series.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number {
    pub(crate) id: u32,
    pub(crate) time: i64,
    pub(crate) value: f64,
    pub(crate) start: i64,
}

/// The id of a series of the head, and numbers of it in the order in which they came.
pub(crate) type Run<'a> = (u32, &'a [Number]);

/// What became of numbers.
#[derive(Debug, Default)]
struct Pushed {
    taken: u64,
    grown: isize,
    newest: Option<i64>,
}

impl Head {
    /// Adds numbers that are not in segments yet, and says how many were taken. Runs are sorted by id.
    pub(crate) fn push_runs(&mut self, runs: &[Run<'_>]) -> u64 {
        let from = self.flushed_until.unwrap_or(i64::MIN);
        // Each thread has pages of its own.
        let page = middle_page(runs);
        let (left, right) = runs.split_at(runs.partition_point(|run| page_of(run.0) < page));
        let page = page.min(self.pages.len());
        let (low, high) = self.pages.split_at_mut(page);
        let parts = if left.is_empty() {
            [Pushed::default(), push(high, page, right, from)]
        } else {
            thread::scope(|scope| {
                let beside = scope.spawn(|| push(low, 0, left, from));
                let here = push(high, page, right, from);
                let beside = beside.join();
                let beside = beside.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                [beside, here]
            })
        };
        let mut taken = 0;
        for part in parts {
            taken += part.taken;
            self.sample_bytes = self.sample_bytes.saturating_add_signed(part.grown);
            self.newest = self.newest.max(part.newest);
        }
        taken
    }
}

fn page_of(id: u32) -> usize {
    id as usize / PAGE_SERIES
}

/// The page before which there are about half of the numbers; the first one when they are few.
fn middle_page(runs: &[Run<'_>]) -> usize {
    let first = runs.first().map_or(0, |run| page_of(run.0));
    let all: usize = runs.iter().map(|run| run.1.len()).sum();
    if all < SHARED_MIN {
        return first;
    }
    let mut before = 0;
    let middle = runs.iter().find(|run| {
        before += run.1.len();
        before > all / 2
    });
    middle.map_or(first, |run| page_of(run.0))
}

/// Adds numbers to series of these pages, the first of which has this number.
fn push(pages: &mut [Option<Box<Page>>], first: usize, runs: &[Run<'_>], from: i64) -> Pushed {
    let mut pushed = Pushed::default();
    for (id, numbers) in runs {
        let page = pages.get_mut(page_of(*id) - first);
        let slots = page.and_then(Option::as_mut).map(|page| &mut page.slots);
        let series = slots.and_then(|slots| slots.get_mut(*id as usize % PAGE_SERIES)?.as_mut());
        let Some(series) = series else {
            continue;
        };
        pushed.grown += series.expect(numbers.len());
        for number in numbers.iter().filter(|number| number.time >= from) {
            let (verdict, grown) = series.push(number.time, number.value, number.start);
            pushed.grown += grown;
            if verdict == Verdict::Taken {
                pushed.taken += 1;
                pushed.newest = pushed.newest.max(Some(number.time));
            }
        }
    }
    pushed
}
