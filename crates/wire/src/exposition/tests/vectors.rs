//! Pages of other projects, read in place; skipped aloud when they are not there.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{open_metrics, read, summary, text, written};
use crate::exposition::{Format, Kind, Limits, Page, merge};

/// The folder `shared/vectors/exposition` in one of the folders above the crate.
fn folder() -> Option<PathBuf> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above
        .map(|folder| folder.join("shared/vectors/exposition"))
        .find(|found| found.is_dir())
}

#[expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a skip must be seen"
)]
fn skip() {
    let line = "SKIPPED: exposition vectors: no shared/vectors above the crate";
    println!("{line}");
    if let Ok(list) = std::env::var("LANDLINE_TEST_SKIPS") {
        let file = std::fs::File::options()
            .append(true)
            .create(true)
            .open(list);
        file.and_then(|mut file| writeln!(file, "{line}"))
            .expect("the list of skips is writable");
    }
}

/// Name, format and text of every vector.
#[expect(clippy::disallowed_methods, reason = "small files of known size")]
fn vectors() -> Vec<(String, Format, String)> {
    let Some(folder) = folder() else {
        skip();
        return Vec::new();
    };
    let files = std::fs::read_dir(folder).expect("the folder is readable");
    let mut found: Vec<_> = files
        .map(|file| {
            let path = file.expect("the folder is readable").path();
            let name = path
                .file_name()
                .expect("a file")
                .to_string_lossy()
                .into_owned();
            let format = if name.contains(".om.") {
                Format::OpenMetrics
            } else {
                Format::Text
            };
            (
                name,
                format,
                std::fs::read_to_string(&path).expect("the vector is readable"),
            )
        })
        .collect();
    found.sort_by(|(one, ..), (other, ..)| one.cmp(other));
    assert!(!found.is_empty());
    found
}

/// OpenMetrics vectors end without the mark, as the tests they come from add it.
fn ended(body: String, format: Format) -> String {
    if format == Format::OpenMetrics && !body.trim_end().ends_with("# EOF") {
        body + "# EOF\n"
    } else {
        body
    }
}

#[test]
fn real_pages_survive_everything() {
    for (name, format, body) in vectors() {
        let body = ended(body, format);
        let lines = body
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .count();
        let page = read(&body, format);
        assert_eq!(page.series(), lines, "{name}");
        assert_eq!(written(&page, format), body, "{name}");
        assert_eq!(
            (page.duplicate_families(), page.conflicts()),
            (0, 0),
            "{name}"
        );

        let merged = merge(vec![page.clone(), text("other 1\n")]);
        assert_eq!(merged.series(), lines + 1, "{name}");
        for target in [Format::Text, Format::OpenMetrics] {
            let once = written(&merged, target);
            let again = read(&once, target);
            assert_eq!(again.series(), lines + 1, "{name} as {target:?}");
            assert_eq!(
                summary(&again),
                summary(&merged.clone().convert(target)),
                "{name}"
            );
            let doubled = merge(vec![again.clone(), again]);
            assert_eq!(doubled.series(), 2 * lines + 2, "{name}");
            assert_eq!(
                read(&written(&doubled, target), target).series(),
                doubled.series()
            );
        }
    }
}

#[test]
fn real_families_are_found() {
    let find = |start: &str| {
        vectors()
            .into_iter()
            .find(|(name, ..)| name.starts_with(start))
    };
    if let Some((.., body)) = find("alltypes.237mfs.prom") {
        let page = text(&body);
        assert_eq!(page.families().len(), 237);
        let pauses = page.family("go_gc_duration_seconds").expect("present");
        assert_eq!((pauses.kind(), pauses.series()), (Kind::Summary, 7));
    }
    if let Some((_, format, body)) = find("alltypes.5mfs.om") {
        let page = open_metrics(&ended(body, format));
        let errors = page
            .family("promhttp_metric_handler_errors")
            .expect("present");
        assert_eq!((errors.kind(), errors.series()), (Kind::Counter, 4));
    }
}

/// Cuts, repeats and overwrites real pages at places that are the same in every run.
#[test]
fn mutated_pages_never_break_the_reader() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits") % below.max(1)
    };
    let spice = b"\n\n\"\\{},=# \t_0e\0\xff";
    let own = "# HELP a \\\\ \"x\"\n# TYPE a histogram\na_bucket{le=\"1\"} 1 5\na_sum 2\n{\"q.q\",b=\"c\"} NaN\n";
    let mut bodies: Vec<(Format, Vec<u8>)> = vec![
        (Format::Text, own.into()),
        (
            Format::OpenMetrics,
            format!("{own}a_total 1 # {{}} 1 1.5\n# EOF\n").into(),
        ),
    ];
    for (_, format, body) in vectors() {
        let end = body.len().min(4000);
        bodies.push((format, body.as_bytes()[..end].to_vec()));
    }
    for round in 0..600 {
        let (format, body) = &bodies[round % bodies.len()];
        let mut body = body.clone();
        for _ in 0..=next(4) {
            let at = next(body.len());
            match next(4) {
                0 => body.truncate(at),
                1 => body.insert(at.min(body.len()), spice[next(spice.len())]),
                2 => body.extend_from_within(at..(at + next(80)).min(body.len())),
                _ => {
                    if let Some(byte) = body.get_mut(at) {
                        *byte = spice[next(spice.len())];
                    }
                }
            }
        }
        crate::fuzz::exposition(&body);
        drop(Page::parse(Bytes::from(body), *format, Limits::default()));
    }
}
