//! A log by hand: checkpoint, segments, late samples, deletions. What a real Prometheus leaves is read
//! by the tests of the whole program.

use std::path::Path;
use std::sync::Arc;

use signals::Options;
use signals::disk::RealDisk;

use super::*;
use crate::import::Source;

/// A whole record with its header.
fn record(data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(data).to_be_bytes());
    bytes.extend_from_slice(data);
    bytes
}

fn series(reference: u64, name: &str) -> Vec<u8> {
    let mut data = vec![1];
    data.extend_from_slice(&reference.to_be_bytes());
    data.extend_from_slice(b"\x01\x08__name__");
    data.push(u8::try_from(name.len()).unwrap());
    data.extend_from_slice(name.as_bytes());
    record(&data)
}

/// One sample of each series.
fn samples(all: &[(u64, u64, f64)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (reference, time, value) in all {
        let mut data = vec![2];
        data.extend_from_slice(&reference.to_be_bytes());
        data.extend_from_slice(&time.to_be_bytes());
        data.extend_from_slice(&[0, 0]);
        data.extend_from_slice(&value.to_bits().to_be_bytes());
        bytes.extend(record(&data));
    }
    bytes
}

/// From 11 to 12.
fn deleted(reference: u64) -> Vec<u8> {
    let data = [&[3][..], &reference.to_be_bytes(), &[22, 24]].concat();
    record(&data)
}

fn made(folder: &Path) {
    let write = |name: &str, parts: &[Vec<u8>]| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, parts.concat()).unwrap();
    };
    // What an older checkpoint and older segments say is told again.
    write(
        "wal/checkpoint.00000001/00000000",
        &[b"not looked at".to_vec()],
    );
    write(
        "wal/checkpoint.00000003.tmp/00000000",
        &[b"nor this".to_vec()],
    );
    write("wal/00000002", &[b"nor this".to_vec()]);
    let checkpoint = [series(7, "b"), samples(&[(7, 9, 0.5)]), series(3, "a")];
    write("wal/checkpoint.00000002/00000000", &checkpoint);
    let three = [
        samples(&[(7, 10, 1.0), (3, 10, 2.0), (3, 11, 3.0)]),
        deleted(3),
    ];
    write("wal/00000003", &three);
    // The same series has another number after a start; what comes twice is as it came first.
    let four = [
        series(12, "b"),
        samples(&[(12, 12, 4.0), (12, 12, 5.0), (3, 13, 6.0), (99, 13, 1.0)]),
        record(&[77]),
        // The last write is not whole.
        samples(&[(3, 14, 7.0)])[..20].to_vec(),
    ];
    write("wal/00000004", &four);
    write("wbl/00000000", &[samples(&[(7, 5, -1.0)])]);
}

fn look(folder: &Path, from: i64) -> Head {
    let source = Source::open(folder).unwrap();
    assert_eq!(source.log_begins(), i64::MIN);
    Head::look(&source.log.unwrap(), from, &mut |_| {}).unwrap()
}

fn found(store: &Store) -> Vec<(String, Vec<(i64, f64)>)> {
    let mut selection = store.select(&[], i64::MIN, i64::MAX).unwrap();
    let names: Vec<String> = selection
        .labels()
        .map(|labels| labels.get(METRIC_NAME).to_owned())
        .collect();
    let mut samples = SeriesSamples::default();
    let mut series = Vec::new();
    for (at, name) in names.into_iter().enumerate() {
        selection.read(at, &mut samples).unwrap();
        let points = samples.floats.iter().map(|(time, value, _)| (time, value));
        series.push((name, points.collect()));
    }
    series
}

#[test]
fn a_log_is_read_as_its_prometheus_would() {
    let folder = tempfile::tempdir().unwrap();
    made(folder.path());
    let head = look(folder.path(), i64::MIN);
    assert_eq!((head.samples, head.series()), (8, 2));
    assert_eq!((head.orphans, head.unknown), (1, 1));
    assert_eq!(head.span, Some((5, 13)));
    assert_eq!(head.cuts.len(), 1);
    assert!(head.cuts[0].path.ends_with("wal/00000004"));
    assert!(!head.cuts[0].is_inside);
    let name = head.name.clone();
    // The same from series to series as all at once.
    for (number, held) in [1, HELD_BYTES].into_iter().enumerate() {
        let disk = RealDisk::new(&folder.path().join(format!("store{number}")));
        let store = Store::open(Arc::new(disk), Options::default()).unwrap().0;
        let mut told = 0;
        let taken = look(folder.path(), i64::MIN)
            .bring_holding(&store, held, &mut |count| told = count)
            .unwrap();
        assert_eq!((taken.deleted, taken.segment.unwrap().samples), (1, 6));
        assert_eq!(told, 6);
        let a = ("a".to_owned(), vec![(10, 2.0), (13, 6.0)]);
        let b = vec![(5, -1.0), (9, 0.5), (10, 1.0), (12, 4.0)];
        assert_eq!(found(&store), [a, ("b".to_owned(), b)]);
    }
    // What blocks have is left out, but for late samples.
    let head = look(folder.path(), 11);
    assert_eq!((head.samples, head.span), (5, Some((5, 13))));
    assert_eq!(head.name, name);
}

#[test]
fn what_is_behind_damage_stays_out() {
    let folder = tempfile::tempdir().unwrap();
    made(folder.path());
    let path = folder.path().join("wal/00000003");
    let mut bytes = base::files::read_limited(&path, 1 << 20).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let head = look(folder.path(), i64::MIN);
    // One from the checkpoint, and the late one.
    assert_eq!(head.samples, 2);
    assert!(head.cuts[0].is_inside && head.cuts[0].path == path);
    std::fs::remove_file(path).unwrap();
    std::fs::remove_dir_all(folder.path().join("wal/checkpoint.00000002")).unwrap();
    std::fs::remove_file(folder.path().join("wal/00000002")).unwrap();
    std::fs::write(folder.path().join("wal/00000002"), samples(&[])).unwrap();
    let error = Source::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("00000004"), "{error}");
}
