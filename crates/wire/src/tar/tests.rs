//! Tests of `tar`; that other programs read it is proved by the end-to-end tests.

use super::*;

fn field(head: &[u8], at: usize, length: usize) -> String {
    let bytes: Vec<u8> = head.iter().skip(at).take(length).copied().collect();
    String::from_utf8_lossy(&bytes)
        .trim_end_matches('\0')
        .to_owned()
}

#[test]
fn a_head_is_a_block() {
    let head = head("g/r/f.log", 1000, 1_700_000_000);
    assert_eq!(head.len(), BLOCK_BYTES);
    assert_eq!(field(&head, 0, 100), "g/r/f.log");
    assert_eq!(field(&head, 124, 12), "00000001750");
    assert_eq!(field(&head, 136, 12), "14524770400");
    assert_eq!(field(&head, 257, 6), "ustar");
    let mut blank = head.clone();
    blank[148..156].fill(b' ');
    let sum: u32 = blank.iter().map(|byte| u32::from(*byte)).sum();
    assert_eq!(field(&head, 148, 6), format!("{sum:06o}"));
    assert_eq!(padding(1000), 24);
    assert_eq!(padding(1024), 0);
    assert_eq!(padding(0), 0);
}

#[test]
fn what_is_too_long_stands_before_it() {
    let name = "ü".repeat(60);
    let head = head(&name, 9 << 30, 0);
    assert_eq!(head.len(), 3 * BLOCK_BYTES);
    assert_eq!(field(&head, 156, 1), "x");
    let records = field(&head, BLOCK_BYTES, BLOCK_BYTES);
    assert_eq!(records, format!("130 path={name}\n19 size=9663676416\n"));
    assert_eq!(field(&head, 2 * BLOCK_BYTES + 156, 1), "0");
}
