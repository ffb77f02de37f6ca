//! Sorted lists of numbers of series, what can be done with them, and their form on disk.

use crate::bytes::{Reader, put_varint};

/// What is in both.
pub(crate) fn intersect(left: &[u32], right: &[u32]) -> Vec<u32> {
    let (short, long) = if left.len() <= right.len() {
        (left, right)
    } else {
        (right, left)
    };
    let mut both = Vec::with_capacity(short.len());
    let mut rest = long;
    for id in short {
        rest = skip_to(rest, *id);
        if rest.first() == Some(id) {
            both.push(*id);
        }
    }
    both
}

/// Whether anything is in both.
pub(crate) fn intersects(left: &[u32], right: &[u32]) -> bool {
    let (short, long) = if left.len() <= right.len() {
        (left, right)
    } else {
        (right, left)
    };
    let mut rest = long;
    short.iter().any(|id| {
        rest = skip_to(rest, *id);
        rest.first() == Some(id)
    })
}

/// What is in `left` and not in `right`.
pub(crate) fn subtract(left: &[u32], right: &[u32]) -> Vec<u32> {
    let mut kept = Vec::with_capacity(left.len());
    let mut rest = right;
    for id in left {
        rest = skip_to(rest, *id);
        if rest.first() != Some(id) {
            kept.push(*id);
        }
    }
    kept
}

/// The rest of a list from the first number that is not below `id`: doubling steps, then halving,
/// so that a short list against a long one costs little.
fn skip_to(list: &[u32], id: u32) -> &[u32] {
    let mut step = 1;
    while list.get(step).is_some_and(|at| *at < id) {
        step *= 2;
    }
    let from = list.get(..list.len().min(step + 1)).unwrap_or(list);
    let below = from.partition_point(|at| *at < id);
    list.get(below..).unwrap_or_default()
}

/// What is in any of them. Lists are sorted, the result is too.
pub(crate) fn union(lists: &[&[u32]]) -> Vec<u32> {
    match lists {
        [] => Vec::new(),
        [one] => one.to_vec(),
        _ => {
            let mut all: Vec<u32> = lists.iter().copied().flatten().copied().collect();
            all.sort_unstable();
            all.dedup();
            all
        }
    }
}

/// Appends the distances of a sorted list, runs of ones as their length.
pub(crate) fn put(out: &mut Vec<u8>, list: &[u32]) {
    put_varint(out, list.len() as u64);
    let mut next = 0;
    let mut rest = list;
    while let Some(first) = rest.first() {
        let run = rest
            .iter()
            .zip(*first..)
            .take_while(|(id, expected)| **id == *expected)
            .count();
        let distance = u64::from(first.saturating_sub(next));
        // A run of one is marked by the lowest bit, longer ones bring their length.
        put_varint(out, distance << 1 | u64::from(run > 1));
        if run > 1 {
            put_varint(out, run as u64);
        }
        let (taken, left) = rest.split_at(run);
        next = taken.last().map_or(next, |last| last.saturating_add(1));
        rest = left;
    }
}

/// Reads what [`put`] wrote; numbers are below `limit`.
pub(crate) fn read(from: &mut Reader<'_>, limit: u32) -> Option<Vec<u32>> {
    let count = from.length()?;
    if count > limit as usize {
        return None;
    }
    let mut list = Vec::with_capacity(count);
    let mut next = 0_u32;
    while list.len() < count {
        let head = from.varint()?;
        let first = next.checked_add(u32::try_from(head >> 1).ok()?)?;
        let run = if head & 1 == 1 { from.small()? } else { 1 };
        next = first.checked_add(run)?;
        if next > limit || run == 0 || list.len() + run as usize > count {
            return None;
        }
        list.extend(first..next);
    }
    Some(list)
}

#[cfg(test)]
mod tests;
