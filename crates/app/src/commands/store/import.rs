//! `landline store import`: the data directory of a Prometheus.

use std::collections::BTreeSet;
use std::path::Path;

use base::files;
use monitor::import::{Block, ImportError, Source, Taken};
use signals::Store;

use super::{
    CommandError, Found, ImportArguments, Outcome, Output, Progress, Unit, failed, shown, text,
};
use crate::commands::asking::query;

/// The file that says which blocks have come in.
const DONE: &str = "IMPORTED";
/// Bytes of it: a million blocks.
const DONE_BYTES_MAX: u64 = 32 << 20;
const FILE_MODE: u32 = 0o600;

/// `landline store import`
pub(super) fn import(found: &Found, arguments: &ImportArguments, output: &mut Output) -> Outcome {
    let source = Source::open(&arguments.folder).map_err(|error| wrong(&error))?;
    let path = found.folder.join(DONE);
    let mut done = done(&path)?;
    let (known, blocks): (Vec<Block>, Vec<Block>) = source
        .blocks
        .iter()
        .cloned()
        .partition(|block| done.contains(&block.name));
    if !known.is_empty() {
        eprintln!("landline: {} blocks came in before", known.len());
    }
    warn(found, &source, &blocks);
    if arguments.dry_run {
        output.lines(&blocks.iter().map(line).collect::<Vec<_>>())?;
        return output.flush();
    }
    let all = blocks.iter().map(|block| block.samples).sum();
    let mut progress = Progress::new(Unit::Samples, all, 0);
    let store = found.open(found.new_disk())?;
    let mut before = 0;
    let mut failures = 0;
    for block in &blocks {
        let taken = monitor::import::block(&store, block, &mut |count| progress.at(before + count));
        progress.clear();
        match taken {
            Ok(taken) => {
                before += block.samples;
                done.insert(block.name.clone());
                note(&path, &done)?;
                output.line(&came(block, &taken))?;
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
    finish(&store, (blocks.len(), failures), output)
}

fn finish(store: &Store, (blocks, failures): (usize, usize), output: &mut Output) -> Outcome {
    store.close().map_err(|error| failed(&error))?;
    if failures > 0 {
        return Err(CommandError::wrong(format!(
            "{failures} of {blocks} blocks stay out; the same command tries them again"
        )));
    }
    if blocks > 0 {
        output.line("All is in; `landline store compact` makes it smaller.")?;
    }
    output.flush()
}

/// What the operator should know before.
fn warn(found: &Found, source: &Source, blocks: &[Block]) {
    if source.has_log {
        eprintln!(
            "landline: the newest samples there are in the log alone, which is not read; POST \
             /api/v1/admin/tsdb/snapshot of that Prometheus makes a folder of blocks with them"
        );
    }
    let Some(retention) = found.options.retention_ms else {
        return;
    };
    let now = query::now().unix_timestamp_nanos() / 1_000_000;
    let oldest = i64::try_from(now)
        .unwrap_or(i64::MAX)
        .saturating_sub(retention);
    let old = blocks.iter().filter(|block| block.end < oldest).count();
    if old > 0 {
        eprintln!(
            "landline: {old} blocks are older than what `monitor.retention` keeps: they will be removed \
             once the monitor runs, unless it is raised before"
        );
    }
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

fn came(block: &Block, taken: &Taken) -> String {
    let mut parts = vec![line(block)];
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

fn done(path: &Path) -> Outcome<BTreeSet<String>> {
    match files::read_text_limited(path, DONE_BYTES_MAX) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(CommandError::wrong(format!(
            "can't read {}: {error}",
            path.display()
        ))),
    }
}

/// The block is in the store already: if this does not come to be, it comes in twice, which changes
/// nothing.
fn note(path: &Path, done: &BTreeSet<String>) -> Outcome {
    let mut text = String::new();
    for name in done {
        text.push_str(name);
        text.push('\n');
    }
    Ok(files::write_whole(path, text.as_bytes(), FILE_MODE)?)
}

fn wrong(error: &ImportError) -> CommandError {
    CommandError::wrong(error.to_string())
}
