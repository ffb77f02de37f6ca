//! `landline store verify` and `repair`.

use std::io::{BufRead, IsTerminal, Read};
use std::sync::Arc;

use serde_json::{Value, json};
use signals::disk::Disk;
use signals::{Check, DamagedSegment, Gap, SegmentFacts};

use super::{
    CommandError, Found, Outcome, Output, Progress, Unit, bytes_of, failed, place, shown, text,
};

/// The longest answer to a question.
const ANSWER_BYTES_MAX: u64 = 100;

/// Reads everything, and shows how far it is.
fn look(found: &Found) -> Outcome<Check> {
    let disk = found.disk()?;
    let far = signals::object_bytes(&*disk).map_err(|error| failed(&error))?;
    let mut progress = Progress::new(Unit::Bytes, bytes_of(&found.folder) + far, 0);
    let objects = found.options.objects.clone();
    let check = signals::check(&*disk, objects, &mut |read| progress.at(read));
    progress.clear();
    check.map_err(|error| failed(&error))
}

/// `landline store verify`
pub(super) fn verify(found: &Found, is_json: bool, output: &mut Output) -> Outcome {
    let check = look(found)?;
    if is_json {
        output.json(&as_json(&check))?;
    } else {
        output.lines(&lines(&check))?;
        output.flush()?;
    }
    if check.is_whole() {
        return Ok(());
    }
    let count = check.damaged.len() + check.gaps.len();
    Err(CommandError::wrong(format!(
        "{count} places are damaged; restore the files from a backup, or save the rest with `landline store repair`"
    )))
}

fn as_json(check: &Check) -> Value {
    let segment = |damaged: &DamagedSegment| {
        json!({
            "file": damaged.damage.path, "offset": damaged.damage.offset,
            "what": damaged.damage.what, "segment": damaged.facts.number,
            "samples": damaged.facts.samples, "series": damaged.facts.series,
            "place": place(&damaged.facts),
            "first_ms": damaged.facts.first, "last_ms": damaged.facts.last,
        })
    };
    let gap = |gap: &Gap| {
        json!({
            "file": gap.damage.path, "offset": gap.damage.offset, "what": gap.damage.what,
            "bytes": gap.bytes,
        })
    };
    json!({
        "is_whole": check.is_whole(),
        "segments": check.segments.len(),
        "segments_in_bucket": in_bucket(check).count(),
        "damaged_segments": check.damaged.iter().map(segment).collect::<Vec<_>>(),
        "log_bytes": check.log_bytes,
        "log_samples": check.log_samples,
        "log_samples_without_series": check.log_orphans,
        "damaged_log": check.gaps.iter().map(gap).collect::<Vec<_>>(),
        "unfinished_write": check.torn.as_ref().map(ToString::to_string),
    })
}

/// Whole segments in the bucket.
fn in_bucket(check: &Check) -> impl Iterator<Item = &SegmentFacts> + Clone {
    check.segments.iter().filter(|facts| facts.is_object)
}

fn lines(check: &Check) -> Vec<String> {
    let samples: u64 = check.segments.iter().map(|segment| segment.samples).sum();
    let bytes: u64 = check.segments.iter().map(|segment| segment.bytes).sum();
    let mut lines = vec![
        format!(
            "{} segments are whole: {} samples, {}",
            check.segments.len(),
            text::number(samples),
            text::bytes(bytes),
        ),
        format!(
            "the log: {}, {} samples",
            text::bytes(check.log_bytes),
            text::number(check.log_samples),
        ),
    ];
    let far = in_bucket(check).map(|segment| segment.bytes);
    if far.clone().count() > 0 {
        lines.push(format!(
            "{} of these segments lie in the bucket: {}",
            far.clone().count(),
            text::bytes(far.sum()),
        ));
    }
    if let Some(torn) = &check.torn {
        lines.push(format!(
            "the log ends in a write that nobody was told of: byte {} of {}",
            torn.offset, torn.path
        ));
    }
    lines.extend(losses(check));
    lines
}

/// What is lost, place by place.
fn losses(check: &Check) -> Vec<String> {
    let mut lines = Vec::new();
    for DamagedSegment { facts, damage } in &check.damaged {
        lines.push(format!(
            "DAMAGED {} at byte {}: {}; it had {} samples of {} series, {} to {}",
            damage.path,
            damage.offset,
            damage.what,
            text::number(facts.samples),
            text::number(facts.series),
            shown(facts.first),
            shown(facts.last),
        ));
    }
    for gap in &check.gaps {
        lines.push(format!(
            "DAMAGED {} at byte {}: {}; {} can't be read",
            gap.damage.path,
            gap.damage.offset,
            gap.damage.what,
            text::bytes(gap.bytes),
        ));
    }
    if check.log_orphans > 0 {
        lines.push(format!(
            "{} samples of the log have no series, because that stood in a damaged place",
            text::number(check.log_orphans)
        ));
    }
    lines
}

/// `landline store repair`
pub(super) fn repair(found: &Found, is_sure: bool, output: &mut Output) -> Outcome {
    let check = look(found)?;
    if check.is_whole() {
        output.line("nothing is damaged, and nothing was changed")?;
        return output.flush();
    }
    output.lines(&losses(&check))?;
    output.flush()?;
    if !is_sure {
        ask(&format!(
            "Save what can be read of {} segments, and {} samples of the log?",
            check.damaged.len(),
            text::number(check.log_samples)
        ))?;
    }
    let damaged = check.damaged.iter().map(|damaged| damaged.facts.samples);
    let damaged: u64 = damaged.sum();
    let disk: Arc<dyn Disk> = found.disk()?;
    let repaired = signals::repair(&disk, found.options.clone()).map_err(|error| failed(&error))?;
    output.line(&format!(
        "saved {} of {} samples of damaged segments, and {} samples of the log; originals are in {}",
        text::number(repaired.rescued),
        text::number(damaged),
        text::number(repaired.saved),
        repaired.folder,
    ))?;
    output.flush()
}

fn ask(question: &str) -> Outcome {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(CommandError::wrong(
            "nobody can be asked; --yes goes on without a question",
        ));
    }
    eprint!("landline: {question} [y/N] ");
    let mut answer = String::new();
    Read::take(input.lock(), ANSWER_BYTES_MAX).read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(CommandError::wrong("nothing was changed")),
    }
}
