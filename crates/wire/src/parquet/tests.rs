//! Bytes by hand; pyarrow and `DuckDB` read whole files in the tests of the program.

use super::compact::Compact;
use super::*;

#[test]
fn structs_are_written_by_the_protocol() {
    let mut compact = Compact::default();
    compact.number(1, -2);
    compact.inner(4);
    compact.text(1, "ab");
    compact.yes(3);
    compact.end();
    compact.numbers(5, &[1, 300]);
    compact.list(6, 15);
    let wanted = b"\x15\x03\x3c\x18\x02ab\x21\x00\x19\x25\x02\xd8\x04\x19\xfc\x0f\x00";
    assert_eq!(compact.finish(), wanted);
}

#[test]
fn places_are_runs_of_the_narrowest_width() {
    assert_eq!(indices(1, &[(0, 3)]), [1, 6, 0]);
    assert_eq!(indices(4, &[(3, 100), (0, 1)]), [2, 200, 1, 3, 2, 0]);
    assert_eq!(indices(300, &[(257, 1)]), [9, 2, 1, 1]);
}

#[test]
fn flags_are_bits_from_the_lowest_on() {
    let mut flags = [false; 9];
    (flags[0], flags[3], flags[8]) = (true, true, true);
    assert_eq!(plain(&Values::Flags(&flags)), [0b1001, 1]);
}

#[test]
fn a_file_begins_and_ends_as_it_should() {
    let mut out = Vec::new();
    let columns = [("word", Kind::Text), ("time", Kind::Time)];
    let mut table = Table::new(&columns, &mut out);
    let words = ["a".to_owned(), "b".to_owned()];
    let values = [
        Values::Texts(&words, &[(0, 2), (1, 1)]),
        Values::Times(&[1, 2, 3]),
    ];
    table.group(3, &values, &mut out).unwrap();
    let begin = out.len();
    table.finish("rows", "landline", &mut out).unwrap();
    assert!(out.starts_with(MAGIC) && out.ends_with(MAGIC));
    let length = out.len() - begin - 8;
    let end = out.len() - 8;
    let told = u32::from_le_bytes(out[end..end + 4].try_into().unwrap());
    assert_eq!(told as usize, length);
}
