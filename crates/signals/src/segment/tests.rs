//! Segments with many series, values and columns.

use super::*;
use crate::block::Effort;
use crate::disk::simulated::SimulatedDisk;
use crate::labels::Labels;
use crate::matcher::{Matcher, Operator};
use crate::objects::Depot;

/// 3,000 series in order, with columns that are shared, cut short, and their own.
fn write(disk: &SimulatedDisk) -> (Segment, Vec<(Labels, SeriesSamples)>) {
    let mut all = Vec::new();
    for number in 0..3_000_i64 {
        let text = format!("{number:05}");
        let parity = (number % 2).to_string();
        let labels =
            Labels::new([("number", text.as_str()), ("parity", &parity), ("all", "é")]).unwrap();
        let mut samples = SeriesSamples::default();
        let (begin, count) = if number % 100 == 7 { (5, 3) } else { (0, 10) };
        for at in begin..begin + count {
            let own = if number % 500 == 3 { number } else { 0 };
            samples
                .floats
                .push(at * 1_000 + own, (at * number) as f64, 0);
        }
        all.push((labels, samples));
    }
    all.sort_by(|left, right| left.0.cmp(&right.0));
    let mut writer = SegmentWriter::create(disk, 3, Effort::Flush).unwrap();
    for (labels, samples) in &all {
        writer.add(labels, samples).unwrap();
    }
    let entry = writer.finish().unwrap().unwrap();
    assert_eq!((entry.series, entry.number), (3_000, 3));
    (Segment::open(disk, &Depot::default(), entry).unwrap(), all)
}

#[test]
fn series_are_found_and_read() {
    let disk = SimulatedDisk::default();
    let (segment, all) = write(&disk);
    segment.verify(&mut |_| {}).unwrap();
    let queries = [
        ("number", Operator::Equal, "00000"),
        ("number", Operator::Equal, "01999"),
        ("number", Operator::Equal, "9"),
        ("number", Operator::Matches, "019.*"),
        ("number", Operator::Matches, "00256|02999|x"),
        ("number", Operator::MatchesNot, "0.*"),
        ("number", Operator::NotEqual, "00001"),
        ("parity", Operator::Equal, "1"),
        ("parity", Operator::Matches, ".+"),
        ("missing", Operator::Equal, ""),
        ("missing", Operator::Equal, "x"),
        ("all", Operator::Matches, "é"),
    ];
    for (name, operator, value) in queries {
        let matchers = [Matcher::new(name, operator, value).unwrap()];
        let expected: Vec<&Labels> = all
            .iter()
            .map(|(labels, _)| labels)
            .filter(|labels| matchers[0].matches(labels.get(name)))
            .collect();
        let found = segment.series(&segment.find(&matchers).unwrap()).unwrap();
        let found: Vec<&Labels> = found.iter().map(|entry| &entry.labels).collect();
        assert_eq!(found, expected, "{name} {operator:?} {value}");
    }
    let mut cache = ReadCache::default();
    let ordinals: Vec<u32> = (0..3_000).collect();
    for (entry, (labels, expected)) in segment.series(&ordinals).unwrap().iter().zip(&all) {
        assert_eq!(entry.labels, *labels);
        let mut samples = SeriesSamples::default();
        for chunk in &entry.chunks {
            segment.read(chunk, &mut cache, &mut samples).unwrap();
        }
        assert_eq!(samples, *expected);
    }
    assert_eq!(
        cache.column_count(),
        7,
        "one for all, and those of their own"
    );
    assert_eq!(
        segment.values("parity").unwrap(),
        [("0".to_owned(), 1_500), ("1".to_owned(), 1_500)]
    );
    assert_eq!(segment.values("number").unwrap().len(), 3_000);
    assert_eq!(
        segment.names().collect::<Vec<_>>(),
        ["all", "number", "parity"]
    );
}
