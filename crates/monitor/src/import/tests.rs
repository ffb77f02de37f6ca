//! What Prometheus' own tools wrote.

use std::process::Command;

use signals::Options;
use signals::disk::RealDisk;
use std::sync::Arc;

use super::*;
use crate::export;

const HOUR_MS: i64 = 3_600_000;
/// 2026-11-20 00:00 UTC.
const BEGIN_MS: i64 = 1_795_132_800_000;

#[expect(
    clippy::disallowed_methods,
    reason = "`cargo xtask test` says here where it is"
)]
fn promtool() -> Option<String> {
    let found = std::env::var("LANDLINE_TEST_PROMTOOL").ok();
    if found.is_none() {
        crate::testing::skip("LANDLINE_TEST_PROMTOOL is not set");
    }
    found
}

fn store(folder: &Path) -> Store {
    let disk = Arc::new(RealDisk::new(folder));
    Store::open(disk, Options::default()).unwrap().0
}

/// Values of all forms that chunks have, over five hours.
fn text() -> String {
    let mut text = String::from("# TYPE load gauge\n# TYPE seen counter\n");
    let mut line = |name: &str, value: f64, time: i64| {
        text.push_str(name);
        export::put(&mut text, value, time);
    };
    for at in 0..1_200_i64 {
        let time = BEGIN_MS + at * 15_000 + at % 7;
        line("load{job=\"a\"}", (at as f64 * 0.37).sin() * 1e3, time);
    }
    for at in (0..1_200_i64).filter(|at| at % 50 < 40) {
        line(
            "load{job=\"b\",path=\"x\\\\y\\\"\"}",
            5.0,
            BEGIN_MS + at * 15_000,
        );
    }
    for at in 0..1_200_i64 {
        line(
            "seen_total{job=\"a\"}",
            at as f64 * 3.0,
            BEGIN_MS + at * 15_000,
        );
    }
    for (at, value) in [
        0.0,
        -0.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        5e-324,
    ]
    .into_iter()
    .enumerate()
    {
        line("odd", value, BEGIN_MS + i64::try_from(at).unwrap());
    }
    text + "# EOF\n"
}

fn exported(store: &Store) -> Vec<String> {
    let mut out = Vec::new();
    export::open_metrics(store, (&[], i64::MIN, i64::MAX), &mut out, &mut |_| {}).unwrap();
    let text = String::from_utf8(out).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn blocks_of_prometheus_are_brought_in_and_out() {
    let Some(promtool) = promtool() else { return };
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("made.txt");
    std::fs::write(&made, text()).unwrap();
    let data = folder.path().join("data");
    let run = |arguments: &[&str]| {
        let output = Command::new(&promtool).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let paths = [&made, &data].map(|path| path.to_str().unwrap());
    run(&[
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        paths[0],
        paths[1],
    ]);
    let source = Source::open(&data).unwrap();
    // Five hours in blocks of two.
    assert_eq!(source.blocks.len(), 3);
    assert!(source.blocks.is_sorted_by_key(|block| block.start));
    let store = store(&folder.path().join("signals"));
    let mut told = 0;
    for found in &source.blocks {
        let taken = block(&store, found, &mut |count| told = count).unwrap();
        let segment = taken.segment.unwrap();
        assert_eq!((segment.samples, taken.deleted), (found.samples, 0));
        assert_eq!(told, found.samples);
        assert!(segment.first >= found.start && segment.last < found.end);
    }
    store.verify().unwrap();
    // Without it promtool doesn't look.
    std::fs::create_dir_all(data.join("wal")).unwrap();
    // All that promtool has, and nothing else.
    let theirs = run(&["tsdb", "dump", paths[1]]);
    let mut theirs: Vec<_> = theirs.lines().map(|line| dumped(line).unwrap()).collect();
    let ours = exported(&store);
    let ours = ours.iter().filter(|line| !line.starts_with('#'));
    let mut ours: Vec<_> = ours.map(|line| written(line).unwrap()).collect();
    theirs.sort();
    ours.sort();
    assert_eq!(ours.len(), 3_366);
    assert_eq!(ours, theirs);
    // And back: promtool reads what was written.
    let again = folder.path().join("again");
    let out = folder.path().join("out.txt");
    std::fs::write(&out, exported(&store).join("\n") + "\n").unwrap();
    let paths = [&out, &again].map(|path| path.to_str().unwrap());
    run(&[
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        paths[0],
        paths[1],
    ]);
    std::fs::create_dir_all(again.join("wal")).unwrap();
    let back = run(&["tsdb", "dump", paths[1]]);
    let mut back: Vec<_> = back.lines().map(|line| dumped(line).unwrap()).collect();
    back.sort();
    assert_eq!(back, theirs);
}

/// Labels, time and the bits of the value.
type Line = (String, i64, u64);

/// `{__name__="odd", a="b"} 1.5 1795132800000`
fn dumped(line: &str) -> Option<Line> {
    let (rest, time) = line.rsplit_once(' ')?;
    let (labels, value) = rest.rsplit_once(' ')?;
    let labels = labels.replace("\", ", "\",");
    let value: f64 = value.parse().ok()?;
    Some((labels, time.parse().ok()?, value.to_bits()))
}

/// `odd{a="b"} 1.5 1795132800.000`
fn written(line: &str) -> Option<Line> {
    let (rest, time) = line.rsplit_once(' ')?;
    let (series, value) = rest.rsplit_once(' ')?;
    let labels = match series.split_once('{') {
        Some((name, labels)) => format!("{{__name__=\"{name}\",{labels}"),
        None => format!("{{__name__=\"{series}\"}}"),
    };
    let value: f64 = value.parse().ok()?;
    Some((labels, time.replace('.', "").parse().ok()?, value.to_bits()))
}

#[test]
fn a_flipped_bit_is_found_and_nothing_comes_in() {
    let Some(promtool) = promtool() else { return };
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("made.txt");
    std::fs::write(&made, "up 1 1795132800\nup 2 1795132815\n# EOF\n").unwrap();
    let data = folder.path().join("data");
    let status = Command::new(&promtool)
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&made, &data])
        .output()
        .unwrap();
    assert!(status.status.success(), "{status:?}");
    let source = Source::open(&data).unwrap();
    let store = store(&folder.path().join("signals"));
    for (file, at) in [("index", 15), ("chunks/000001", 12)] {
        let path = source.blocks[0].path.join(file);
        let right = base::files::read_limited(&path, 1 << 20).unwrap();
        let mut wrong = right.clone();
        wrong[at] ^= 4;
        std::fs::write(&path, wrong).unwrap();
        let error = block(&store, &source.blocks[0], &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains(file), "{error}");
        std::fs::write(&path, right).unwrap();
    }
    assert!(store.segment_facts().is_empty());
    assert!(
        block(&store, &source.blocks[0], &mut |_| {})
            .unwrap()
            .segment
            .is_some()
    );
}

#[test]
fn tombstones_and_parents_are_heeded() {
    assert!(matches!(
        Source::open(tempfile::tempdir().unwrap().path()),
        Err(ImportError::Nothing(_))
    ));
    let folder = tempfile::tempdir().unwrap();
    let block = |name: &str, parents: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir(&path).unwrap();
        let meta = format!(
            "{{\"ulid\":\"{name}\",\"minTime\":{HOUR_MS},\"maxTime\":{},\"version\":1,\
             \"compaction\":{{\"parents\":[{parents}]}}}}",
            2 * HOUR_MS
        );
        std::fs::write(path.join("meta.json"), meta).unwrap();
    };
    block("01A", "");
    block("01B", "{\"ulid\":\"01A\"}");
    block("01C.tmp-for-deletion", "");
    let source = Source::open(folder.path()).unwrap();
    let names: Vec<_> = source
        .blocks
        .iter()
        .map(|block| block.name.as_str())
        .collect();
    assert_eq!(names, ["01B"]);
}
