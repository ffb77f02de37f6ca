//! Whatever is put into blocks and chunks comes back bit by bit.

use proptest::prelude::*;

use super::*;
use crate::bytes::Reader;
use crate::chunk::{Columns, OpenChunk};
use crate::number;

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn check_values(values: &[f64]) -> usize {
    let mut length = 0;
    for effort in [Effort::Flush, Effort::Compact] {
        let block = write_values(values, effort);
        let mut back = vec![1.0];
        read_values(&block, values.len(), &mut Scratch::default(), &mut back).expect("reads");
        assert_eq!(bits(&back[1..]), bits(values));
        length = block.len();
    }
    length
}

fn check_times(times: &[i64]) {
    let block = write_times(times, Effort::Compact);
    let mut back = Vec::new();
    read_times(&block, times.len(), &mut back).expect("reads");
    assert_eq!(back, times);
}

fn check_chunk(samples: &[(i64, f64, i64)]) {
    let mut open = OpenChunk::default();
    for (time, value, start) in samples {
        open.push(*time, *value, *start);
    }
    let expected: Vec<_> = samples.iter().map(|s| (s.0, s.1.to_bits(), s.2)).collect();
    let mut chunk = open.close();
    let before = chunk.memory_bytes();
    for _ in 0..2 {
        let mut back = Columns::default();
        chunk.read(&mut back);
        let found: Vec<_> = back.iter().map(|s| (s.0, s.1.to_bits(), s.2)).collect();
        assert_eq!(found, expected);
        chunk.pack();
        assert!(!chunk.is_loose() && chunk.memory_bytes() <= before);
    }
}

/// Doubles of all kinds: any bits, NaN with payloads, infinities, -0.0, decimals, counters.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        Just(f64::from_bits(number::STALE)),
        Just(-0.0),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(f64::NAN),
        (-1_000_000_i32..1_000_000).prop_map(f64::from),
        (-1_000_000_i32..1_000_000).prop_map(|value| f64::from(value) / 100.0),
        (0_u64..1 << 60).prop_map(|value| value as f64),
    ]
}

/// A counter with resets, in hundredths, with a few oddities.
fn counter() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((0_u32..500, 0_u8..100), 1..300).prop_map(|steps| {
        let mut total = 0_u64;
        steps
            .into_iter()
            .map(|(step, odd)| match odd {
                0 => f64::from_bits(number::STALE),
                1 => {
                    total = 0;
                    0.0
                }
                _ => {
                    total += u64::from(step);
                    total as f64 / 100.0
                }
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_doubles(values in prop::collection::vec(value(), 0..300)) {
        check_values(&values);
    }

    #[test]
    fn counters(values in counter()) {
        check_values(&values);
    }

    #[test]
    fn any_times(times in prop::collection::vec(any::<i64>(), 0..200)) {
        check_times(&times);
    }

    #[test]
    fn times_with_jitter(start in any::<i32>(), jitter in prop::collection::vec(0_i64..5, 0..300)) {
        let times: Vec<i64> = (0..).zip(&jitter).map(|(at, j)| i64::from(start) + at * 15_000 + j).collect();
        check_times(&times);
    }

    #[test]
    fn chunks(samples in prop::collection::vec((any::<i64>(), value(), 0_i64..3), 1..250)) {
        check_chunk(&samples);
    }

    #[test]
    fn chunks_with_jitter(jitter in prop::collection::vec((0_i64..9, value()), 1..250)) {
        let samples: Vec<_> = (0..).zip(jitter).map(|(at, (j, value))| (at * 15_000 + j, value, 0)).collect();
        check_chunk(&samples);
    }

    #[test]
    fn single_numbers(value in value()) {
        let mut out = Vec::new();
        number::put(&mut out, value);
        let mut from = Reader::new(&out);
        prop_assert_eq!(number::read(&mut from).map(f64::to_bits), Some(value.to_bits()));
        prop_assert!(from.is_empty());
    }

    #[test]
    fn damaged_blocks_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..100), count in 0_usize..5000) {
        // Blocks of pcodec are behind a checksum: what others make of foreign bytes is tried here.
        if bytes.first().is_none_or(|form| ![PCO, DECIMAL_PCO].contains(form)) {
            let _ = read_values(&bytes, count, &mut Scratch::default(), &mut Vec::new());
            let _ = read_times(&bytes, count, &mut Vec::new());
        }
    }
}

#[test]
fn what_does_not_change_takes_a_few_bytes() {
    assert!(check_values(&vec![1.5; 5_000]) < 8);
    check_times(&(0..5_000).map(|at| at * 15_000).collect::<Vec<_>>());
    let regular: Vec<i64> = (0..5_000).map(|at| at * 15_000).collect();
    assert!(write_times(&regular, Effort::Flush).len() < 8);
}

#[test]
fn one_staleness_marker_does_not_spoil_a_decimal_block() {
    let mut chance = fastrand::Rng::with_seed(1);
    let mut values: Vec<f64> = (0..1_000)
        .map(|_| f64::from(chance.u32(0..10_000)) / 100.0)
        .collect();
    let plain = check_values(&values);
    values[500] = f64::from_bits(number::STALE);
    assert!(check_values(&values) < plain + 16);
}

#[test]
fn a_packed_chunk_of_a_counter_is_half_as_large() {
    let mut open = OpenChunk::default();
    let mut chance = fastrand::Rng::with_seed(1);
    let mut total = 0_u32;
    for at in 0..256 {
        total += chance.u32(0..300);
        open.push(at * 15_000, f64::from(total) / 100.0, 0);
    }
    let mut chunk = open.close();
    let before = chunk.memory_bytes();
    chunk.pack();
    assert!(chunk.memory_bytes() * 2 < before);
}
