//! The head by itself: late samples, forgetting, and what it counts.

use super::*;
use crate::chunk::CHUNK_SAMPLES_MAX;

fn labels(number: usize) -> Labels {
    Labels::new([("n", number.to_string().as_str()), ("job", "x")]).unwrap()
}

fn samples(head: &Head, id: u32) -> Vec<(i64, u64)> {
    let mut out = SeriesSamples::default();
    head.get(id)
        .unwrap()
        .freeze_between(i64::MIN, i64::MAX)
        .read(&mut out);
    out.floats
        .iter()
        .map(|(time, value, _)| (time, value.to_bits()))
        .collect()
}

#[test]
fn samples_in_any_order_come_back_sorted() {
    let mut head = Head::default();
    let id = head.add(&labels(1)).unwrap();
    let mut chance = fastrand::Rng::with_seed(3);
    let mut expected: Vec<(i64, u64)> = (0..2_000_i64)
        .map(|at| (at * 1_000, (at as f64).to_bits()))
        .collect();
    let mut order = expected.clone();
    chance.shuffle(&mut order);
    for (time, bits) in &order {
        assert_eq!(
            head.push(id, *time, f64::from_bits(*bits), 0),
            Verdict::Taken
        );
    }
    for (time, bits) in &order {
        assert_eq!(
            head.push(id, *time, f64::from_bits(*bits), 0),
            Verdict::Repeated
        );
        assert_eq!(head.push(id, *time, -1.0, 0), Verdict::Duplicate);
    }
    assert_eq!(samples(&head, id), expected);
    head.delete(&[id], 500_000, 600_000);
    expected.retain(|(time, _)| !(500_000..=600_000).contains(time));
    assert_eq!(samples(&head, id), expected);
    head.forget(&[id], 700_500);
    expected.retain(|(time, _)| *time >= 700_500);
    assert_eq!(samples(&head, id), expected);
}

#[test]
fn what_is_forgotten_takes_no_memory() {
    let mut head = Head::default();
    let empty = head.memory_bytes();
    let all: Vec<u32> = (0..5_000)
        .map(|number| head.add(&labels(number)).unwrap())
        .collect();
    for time in 0..i64::from(CHUNK_SAMPLES_MAX) * 2 {
        for id in all.iter().take(50) {
            head.push(*id, time * 15_000, time as f64, 0);
        }
    }
    assert!(head.memory_bytes() > 5_000 * 100);
    // Those of the second stretch stay.
    head.forget(&all, STRETCH_MS);
    assert_eq!(head.series_count(), 50);
    assert_eq!(samples(&head, 0)[0].0, STRETCH_MS);
    head.forget(&all, i64::MAX);
    assert_eq!(head.series_count(), 0);
    assert_eq!(head.find(&labels(1)), None);
    let table = head.table.capacity() * size_of::<(u64, u32)>();
    assert_eq!(head.memory_bytes() - table, empty);
    let id = head.add(&labels(1)).unwrap();
    assert_eq!(id, 5_000, "no id is used twice");
}
