//! `landline store import`: the data directory of a Prometheus, or what it gives by remote read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base::files;
use monitor::import::{Block, Head, ImportError, Log, Source, Taken};
use signals::Store;

use super::{CommandError, Found, Outcome, Output, Progress, Unit, failed, shown, text};
use crate::commands::asking::query;

/// The file that says which blocks have come in.
const DONE: &str = "IMPORTED";
/// Bytes of it: a million blocks.
const DONE_BYTES_MAX: u64 = 32 << 20;
const FILE_MODE: u32 = 0o600;

/// What has come in before, by name.
pub(super) struct Done {
    path: PathBuf,
    names: BTreeSet<String>,
}

/// `landline store import FOLDER`
pub(super) fn import(
    found: &Found,
    (folder, is_dry): (&Path, bool),
    output: &mut Output,
) -> Outcome {
    let source = Source::open(folder).map_err(|error| wrong(&error))?;
    let mut done = Done::of(found)?;
    let (known, blocks): (Vec<Block>, Vec<Block>) = source
        .blocks
        .iter()
        .cloned()
        .partition(|block| done.has(&block.name));
    if !known.is_empty() {
        eprintln!("landline: {} blocks came in before", known.len());
    }
    warn(found, &blocks);
    let head = match &source.log {
        Some(log) => Some(look(log, source.log_begins())?),
        None => None,
    };
    let head = head.filter(|head| !done.has(&head.name));
    if is_dry {
        output.lines(&blocks.iter().map(line).collect::<Vec<_>>())?;
        if let Some(head) = &head {
            output.line(&head_line(head))?;
        }
        return output.flush();
    }
    let store = found.open(found.new_disk())?;
    let failures = bring_blocks(&store, &blocks, &mut done, output)?;
    let is_cut = match head {
        Some(head) => bring_head(&store, head, &mut done, output)?,
        None => false,
    };
    store.close().map_err(|error| failed(&error))?;
    if failures > 0 {
        return Err(CommandError::wrong(format!(
            "{failures} of {} blocks stay out; the same command tries them again",
            blocks.len()
        )));
    }
    if is_cut {
        return Err(CommandError::wrong(
            "what the log has behind the damaged place stays out",
        ));
    }
    if !blocks.is_empty() || source.log.is_some() {
        output.line("All is in; `landline store compact` makes it smaller.")?;
    }
    output.flush()
}

/// Brings blocks in, and gives how many stay out.
fn bring_blocks(
    store: &Store,
    blocks: &[Block],
    done: &mut Done,
    output: &mut Output,
) -> Outcome<usize> {
    let all = blocks.iter().map(|block| block.samples).sum();
    let mut progress = Progress::new(Unit::Samples, all, 0);
    let mut before = 0;
    let mut failures = 0;
    for block in blocks {
        let taken = monitor::import::block(store, block, &mut |count| progress.at(before + count));
        progress.clear();
        match taken {
            Ok(taken) => {
                before += block.samples;
                done.note(&block.name)?;
                output.line(&came(line(block), &taken))?;
                output.flush()?;
            }
            // Without room for one there is none for the others.
            Err(ImportError::Store(error)) => return Err(failed(&error)),
            Err(error) => {
                failures += 1;
                eprintln!("landline: block {} stays out: {error}", block.name);
            }
        }
    }
    Ok(failures)
}

/// Reads the log once, and says where that ends.
fn look(log: &Log, from: i64) -> Outcome<Head> {
    let mut progress = Progress::new(Unit::Bytes, log.bytes(), 0);
    let head = Head::look(log, from, &mut |read| progress.at(read));
    progress.clear();
    let head = head.map_err(|error| wrong(&error))?;
    for cut in &head.cuts {
        let path = cut.path.display();
        let reason = &cut.reason;
        if cut.is_inside {
            eprintln!(
                "landline: DAMAGED {path}: {reason}; nothing behind it is read, as Prometheus does it"
            );
        } else {
            eprintln!("landline: the log ends in a write that was cut off: {path}: {reason}");
        }
    }
    for (count, what) in [
        (
            head.orphans,
            "samples of series that the log does not describe",
        ),
        (head.unknown, "records of kinds that are not known here"),
        (
            head.deletions,
            "deletions of series with more than 100,000 of them, whose samples come in,",
        ),
    ] {
        if count > 0 {
            eprintln!("landline: {} {what} stay out", text::number(count));
        }
    }
    Ok(head)
}

/// Brings the log in, and gives whether something behind damage stays out.
fn bring_head(store: &Store, head: Head, done: &mut Done, output: &mut Output) -> Outcome<bool> {
    let (name, line) = (head.name.clone(), head_line(&head));
    let is_cut = head.cuts.iter().any(|cut| cut.is_inside);
    let mut progress = Progress::new(Unit::Samples, head.samples, 0);
    let taken = head.bring(store, &mut |count| progress.at(count));
    progress.clear();
    let taken = taken.map_err(|error| match error {
        ImportError::Store(error) => failed(&error),
        error => wrong(&error),
    })?;
    done.note(&name)?;
    output.line(&came(line, &taken))?;
    output.flush()?;
    Ok(is_cut)
}

/// What the operator should know before.
fn warn(found: &Found, blocks: &[Block]) {
    let Some(oldest) = oldest_kept(found) else {
        return;
    };
    let old = blocks.iter().filter(|block| block.end < oldest).count();
    if old > 0 {
        eprintln!(
            "landline: {old} blocks are older than what `monitor.retention` keeps: they will be removed \
             once the monitor runs, unless it is raised before"
        );
    }
}

/// The time before which samples go as soon as the monitor runs, in milliseconds since 1970.
pub(super) fn oldest_kept(found: &Found) -> Option<i64> {
    let retention = found.options.retention_ms?;
    let now = query::now().unix_timestamp_nanos() / 1_000_000;
    Some(i64::try_from(now).ok()?.saturating_sub(retention))
}

fn head_line(head: &Head) -> String {
    let (first, last) = head.span.unwrap_or_default();
    format!(
        "the log  {} to {}  {} samples of {} series",
        shown(first),
        shown(last),
        text::number(head.samples),
        text::number(head.series() as u64)
    )
}

fn line(block: &Block) -> String {
    format!(
        "{}  {} to {}  {} samples",
        text::harmless(&block.name),
        shown(block.start),
        shown(block.end),
        text::number(block.samples)
    )
}

pub(super) fn came(line: String, taken: &Taken) -> String {
    let mut parts = vec![line];
    if let Some(segment) = &taken.segment {
        parts.push(text::bytes(segment.bytes));
    }
    if taken.deleted > 0 {
        let deleted = text::number(taken.deleted);
        parts.push(format!("{deleted} were deleted there"));
    }
    if let Some((count, reason)) = &taken.refused {
        let count = text::number(*count);
        parts.push(format!("{count} series stay out: {reason}"));
    }
    parts.join(", ")
}

impl Done {
    pub(super) fn of(found: &Found) -> Outcome<Self> {
        let path = found.folder.join(DONE);
        let names = match files::read_text_limited(&path, DONE_BYTES_MAX) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => {
                let path = path.display();
                return Err(CommandError::wrong(format!("can't read {path}: {error}")));
            }
        };
        Ok(Self { path, names })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// It is in the store already: if this does not come to be, it comes in twice, which changes
    /// nothing.
    pub(super) fn note(&mut self, name: &str) -> Outcome {
        self.names.insert(name.to_owned());
        let mut text = String::new();
        for name in &self.names {
            text.push_str(name);
            text.push('\n');
        }
        Ok(files::write_whole(&self.path, text.as_bytes(), FILE_MODE)?)
    }
}

pub(super) fn wrong(error: &ImportError) -> CommandError {
    CommandError::wrong(error.to_string())
}
