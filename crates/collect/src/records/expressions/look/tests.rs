//! Pages with each of their bounds: together they give every record that fits, once.

use base::supervise::Supervisor;
use state::Location;
use wire::telemetrics::Record;

use super::*;
use crate::records::entry::{self, Entry, NewRecord};
use crate::records::insert::{self, Noted};
use crate::records::migrations::MIGRATIONS;

/// More than are found at a time.
const RECORDS: i64 = 1_300;
const NO_TIME: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_mins(10);

fn entry(number: i64) -> Entry {
    // Some are larger than all that is read at a time.
    let more = if number % 400 == 0 { 600_000 } else { 9 };
    let record = Record {
        event_id: number.to_string(),
        payload: format!("number {number} ") + &"x".repeat(more),
        ..entry::plain_record()
    };
    Entry::Record(Box::new(NewRecord {
        project: 1,
        digest: entry::record_digest(1, &record),
        record,
        crash: None,
    }))
}

/// A state with records 1 to [`RECORDS`], whose payloads have their numbers.
async fn filled(folder: &std::path::Path) -> State {
    let location = Location::Sqlite(folder.join("state.db"));
    let state = State::open(&location, &[MIGRATIONS], &Supervisor::new()).await;
    let state = state.unwrap();
    let entries: Vec<Entry> = (1..=RECORDS).map(entry).collect();
    let write = state.write().await.unwrap();
    insert::write(write, &entries, &mut Noted::default())
        .await
        .unwrap();
    state
}

fn wanted(text: &str, payload: &str, below: Option<i64>) -> Wanted {
    let mut conditions = Conditions::default();
    if let Some(below) = below {
        conditions.below(below);
    }
    Wanted {
        conditions,
        words: Words::of(text),
        expressions: Expressions::of(Some(payload), None).unwrap(),
    }
}

/// All pages, one behind the other.
async fn pages(
    state: &State,
    (text, payload): (&str, &str),
    (limit, bounds): (usize, Bounds),
) -> Vec<Looked> {
    let turns = Aside::default();
    let mut pages: Vec<Looked> = Vec::new();
    loop {
        let below = pages.last().and_then(|page| page.next);
        let wanted = wanted(text, payload, below);
        let page = look((state, &turns), wanted, (limit, bounds)).await;
        let page = page.unwrap();
        assert!(
            page.next
                .is_none_or(|next| below.is_none_or(|below| next < below))
        );
        let is_last = page.next.is_none();
        pages.push(page);
        if is_last {
            return pages;
        }
    }
}

fn numbers(fit: impl Fn(i64) -> bool) -> Vec<i64> {
    (1..=RECORDS).rev().filter(|number| fit(*number)).collect()
}

#[tokio::test]
async fn pages_have_every_record_once() {
    let folder = tempfile::tempdir().unwrap();
    let state = filled(folder.path()).await;
    let sevens = numbers(|number| number % 10 == 7);
    for (limit, records, time) in [
        (50, 10_000, LONG),
        (1_000, 10_000, LONG),
        (50, 100, LONG),
        (7, 512, LONG),
        (1, 1_000, LONG),
        (50, 513, LONG),
        (50, RECORDS.try_into().unwrap(), LONG),
        (50, 10_000, NO_TIME),
    ] {
        let bounds = Bounds { records, time };
        // One record a page with a search for each would take long.
        let texts = if time == LONG {
            &["", "number"][..]
        } else {
            &[""]
        };
        for text in texts {
            let found = pages(&state, (text, "number [0-9]*7 "), (limit, bounds)).await;
            let ids: Vec<i64> = found.iter().flat_map(|page| page.ids.clone()).collect();
            assert_eq!(ids, sevens, "{limit} {bounds:?} {text}");
            for page in &found {
                let is_full = page.ids.len() == limit;
                assert!(page.ids.len() <= limit);
                assert_eq!(page.is_partial, page.next.is_some() && !is_full);
            }
        }
    }
}

/// What bounds a page, and from where the next goes on.
#[tokio::test]
async fn a_page_ends_where_it_was_looked() {
    let folder = tempfile::tempdir().unwrap();
    let state = filled(folder.path()).await;
    let turns = Aside::default();
    let check = async |payload: &str, limit, bounds, expected: (&[i64], Option<i64>, bool)| {
        let wanted = wanted("", payload, None);
        let page = look((&state, &turns), wanted, (limit, bounds))
            .await
            .unwrap();
        let (ids, next, is_partial) = expected;
        let expected = Looked {
            ids: ids.to_vec(),
            next,
            is_partial,
        };
        assert_eq!(page, expected, "{payload} {limit} {bounds:?}");
    };
    let of = |records, time| Bounds { records, time };
    let all = usize::try_from(RECORDS).unwrap();
    // Full: it goes on below the last that was looked at.
    check(
        "number",
        2,
        of(all, LONG),
        (&[1_300, 1_299], Some(1_299), false),
    )
    .await;
    check("number [12] ", 2, of(all + 1, LONG), (&[2, 1], None, false)).await;
    check("number 1 ", 1, of(all + 1, LONG), (&[1], None, false)).await;
    // So many were looked at.
    check("nothing", 50, of(300, LONG), (&[], Some(1_001), true)).await;
    check("nothing", 50, of(all - 1, LONG), (&[], Some(2), true)).await;
    check("nothing", 50, of(all, LONG), (&[], Some(1), true)).await;
    check("nothing", 50, of(all + 1, LONG), (&[], None, false)).await;
    // So long: one is looked at all the same.
    check("nothing", 50, of(all, NO_TIME), (&[], Some(1_300), true)).await;
    check(
        "number",
        50,
        of(all, NO_TIME),
        (&[1_300], Some(1_300), true),
    )
    .await;
}

#[tokio::test]
async fn those_who_look_are_few() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(folder.path().join("state.db"));
    let state = State::open(&location, &[MIGRATIONS], &Supervisor::new()).await;
    let (state, turns) = (state.unwrap(), Aside::default());
    let mut held = Vec::new();
    tokio::time::pause();
    while let Ok(turn) = turns.turn().await {
        held.push(turn);
    }
    let busy = look((&state, &turns), wanted("", "x", None), (1, BOUNDS)).await;
    assert!(matches!(busy, Err(ApiError::Busy)), "{busy:?}");
    tokio::time::resume();
    drop(held);
    let looked = look((&state, &turns), wanted("", "x", None), (1, BOUNDS)).await;
    assert!(looked.is_ok(), "{looked:?}");
}
