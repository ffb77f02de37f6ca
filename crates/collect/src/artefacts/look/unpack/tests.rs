//! Tests of `unpack`: what ends at its bounds.

use std::io::Write as _;

use axum::response::IntoResponse as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use wire::tar;

use super::super::{Look, Looks, UNPACKED_AT_ONCE_MAX};
use super::*;

const MIB: u64 = 1 << 20;
const SMALL: Limits = Limits {
    bytes: MIB,
    time: Duration::from_mins(1),
};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn asked(query: &str) -> Asked {
    let query = format!("name=file{query}");
    Asked::read("/v1/artefacts/runs/g/r/look", &query).unwrap()
}

fn look(packed: &[u8], query: &str, limits: Limits) -> Result<Look, LookError> {
    let bytes = u64::try_from(packed.len()).unwrap();
    look_at(packed, bytes, &asked(query), limits)
}

#[test]
fn what_grows_without_end_is_left() {
    let bomb = gzip("a line\n".repeat(1 << 20).as_bytes());
    assert!(bomb.len() < 1 << 16, "it is a bomb: {}", bomb.len());
    // Its beginning costs nothing.
    let first = look(&bomb, "&limit=100", SMALL).unwrap();
    assert!(matches!(first, Look::Text(text) if text.next == Some(98)));
    let far = look(&bomb, "&offset=2000000", SMALL);
    assert!(matches!(far, Err(LookError::Large(MIB))), "{far:?}");
    let never = Limits {
        time: Duration::ZERO,
        ..SMALL
    };
    let slow = look(&bomb, "", never);
    assert!(matches!(slow, Err(LookError::Slow)), "{slow:?}");
}

#[test]
fn an_archive_is_listed_up_to_the_bound() {
    let large = 4 * MIB;
    let mut archive = tar::head("first", 0, 0);
    archive.extend(tar::head("large", large, 0));
    archive.resize(archive.len() + usize::try_from(large).unwrap(), b'x');
    archive.extend(tar::head("behind", 0, 0));
    let packed = gzip(&archive);
    let Ok(Look::Archive(page)) = look(&packed, "", SMALL) else {
        panic!("an archive");
    };
    let names: Vec<_> = page.members.iter().map(|m| m.name.as_str()).collect();
    assert_eq!((names, page.next), (vec!["first", "large"], None));
    assert!(
        page.problem
            .unwrap()
            .contains("the first 1MiB are unpacked")
    );
    let behind = look(&packed, "&member=behind", SMALL);
    assert!(matches!(behind, Err(LookError::Large(MIB))), "{behind:?}");
}

/// What is unpacked within what is unpacked counts as well.
#[test]
fn bombs_in_bombs_have_one_bound() {
    let inner = gzip(&vec![b'a'; 900 << 10]);
    let mut archive = tar::head("inner.gz", u64::try_from(inner.len()).unwrap(), 0);
    archive.extend(&inner);
    let mut padded = archive.clone();
    padded.resize(archive.len().next_multiple_of(512), 0);
    padded.extend(tar::head("zeros", 400 << 10, 0));
    padded.resize(padded.len() + (400 << 10), 0);
    let mut last = tar::head("last.gz", u64::try_from(inner.len()).unwrap(), 0);
    last.extend(&inner);
    padded.extend(last);
    let packed = gzip(&padded);
    let near = look(&packed, "&member=inner.gz&offset=800000", SMALL);
    assert!(matches!(near, Ok(Look::Text(_))), "{near:?}");
    let far = look(&packed, "&member=last.gz&offset=800000", SMALL);
    assert!(matches!(far, Err(LookError::Large(MIB))), "{far:?}");
    let twice = look(&gzip(&inner), "", SMALL);
    assert!(matches!(twice, Ok(Look::Binary { .. })), "{twice:?}");
}

#[test]
fn only_some_unpack_at_once() {
    let looks = Looks::default();
    let turns: Vec<_> = (0..UNPACKED_AT_ONCE_MAX)
        .map(|_| looks.unpack().unwrap())
        .collect();
    let refused = looks.unpack().unwrap_err().into_response();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "5");
    drop(turns);
    assert!(looks.unpack().is_ok());
}
