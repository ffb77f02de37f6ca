//! `landline records import`: reads the database of the original collector, and sends what is there to the
//! collector that runs. How far it is, is kept there, so that the same command goes on.

mod carry;
mod schema;
mod source;

use std::collections::BTreeMap;
use std::time::Duration;

use base::retry::Backoff;
use base::secret::Secret;
use collect::records::imported::{Batch, Begin, judge};
use serde_json::{Value, json};

use self::carry::Frames;
use self::source::{Source, Span};
use super::hub::Hub;
use super::output::Output;
use super::progress::{Progress, Unit};
use super::table::{self, Column, flexible, whole};
use super::{CommandError, ImportArguments, Outcome, query, text};

const IMPORTS: &str = "/v1/records/imports";
/// Failures in a row after which it ends.
const FAILURES_MAX: u32 = 6;
/// The pauses between them.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(500),
    ceiling: Duration::from_secs(10),
};
/// Things that are told one by one; all of them are in the answer for scripts.
const TOLD_MAX: usize = 20;
/// What lists show of an import.
const IMPORT: [Column; 7] = [
    whole("ID"),
    whole("STATE"),
    whole("RECORDS"),
    whole("IN"),
    whole("QUARANTINE"),
    whole("LAST"),
    flexible("SOURCE", 20),
];

/// `landline records import`
pub(super) async fn import(hub: &Hub, arguments: &ImportArguments, output: &mut Output) -> Outcome {
    if arguments.list {
        return list(hub, arguments, output).await;
    }
    if let Some(id) = arguments.abandon {
        let import = hub
            .post(&format!("{IMPORTS}/{id}/abandon"), Some(&json!({})))
            .await?;
        if arguments.question.json {
            return output.json(&import);
        }
        let field = |name: &str| text::field(&import, name);
        let (state, reached, last) = (field("state"), field("reached"), field("last"));
        output.line(&format!(
            "import {id} is {state}, at id {reached} of {last}"
        ))?;
        return output.flush();
    }
    let Some(url) = &arguments.url else {
        return Err(CommandError::wrong("say which database"));
    };
    let mut reached = None;
    tokio::select! {
        outcome = run(hub, (arguments, url), output, &mut reached) => outcome,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            eprintln!();
            match reached {
                Some((reached, last)) => Err(CommandError::Away(format!(
                    "stopped at id {reached} of {last}; the same command goes on there"
                ))),
                None => Err(CommandError::Stopped),
            }
        }
    }
}

async fn list(hub: &Hub, arguments: &ImportArguments, output: &mut Output) -> Outcome {
    let answer = hub.get(IMPORTS).await?;
    if arguments.question.json {
        return output.json(&answer);
    }
    let imports = answer.get("imports").and_then(Value::as_array);
    let imports = imports.map(Vec::as_slice).unwrap_or_default();
    if imports.is_empty() {
        eprintln!("landline: nothing was imported here");
        return Ok(());
    }
    let now = query::now();
    let row = |import: &Value| {
        let field = |name: &str| text::field(import, name);
        let numbers = ["records", "kept", "quarantined"].map(|name| number_of(import, name));
        let [records, kept, quarantined] = numbers.map(text::number);
        let last = text::age(&field("changed_at"), now);
        let (id, state) = (field("id"), field("state"));
        vec![id, state, records, kept, quarantined, last, field("source")]
    };
    let rows: Vec<Vec<String>> = imports.iter().map(row).collect();
    output.lines(&table::lines(&IMPORT, &rows, output.width()))?;
    output.flush()?;
    for import in imports.iter().filter(|import| holds_index(import)) {
        let [id, reached] = ["id", "reached"].map(|name| text::field(import, name));
        eprintln!(
            "landline: import {id} is not finished: words of records above id {reached} are looked for one \
             by one, and no other import may keep its ids; the same command goes on, `--abandon {id}` \
             gives it up"
        );
    }
    Ok(())
}

/// Whether it was begun and has no end, and has records among those that are here.
fn holds_index(import: &Value) -> bool {
    let has_new_ids = import.get("new_ids").and_then(Value::as_bool);
    text::field(import, "state") == "running" && has_new_ids == Some(false)
}

fn number_of(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn id_of(value: &Value, name: &str) -> Outcome<i64> {
    let id = value.get(name).and_then(Value::as_i64);
    id.ok_or_else(|| CommandError::wrong(format!("the collector does not say {name:?}")))
}

async fn run(
    hub: &Hub,
    (arguments, url): (&ImportArguments, &Secret),
    output: &mut Output,
    reached: &mut Option<(i64, i64)>,
) -> Outcome {
    let mut source = Source::open(url).await?;
    let span = source.span().await?;
    let begin = Begin {
        source: source.identity.clone(),
        project: arguments.project.clone(),
        first: span.first,
        last: span.last.max(0),
        records: span.records,
        new_ids: arguments.new_ids,
        dry_run: arguments.dry_run,
    };
    if arguments.dry_run {
        return look(hub, (arguments, &begin), (&mut source, &span), output).await;
    }
    let begun = hub.post(IMPORTS, Some(&json!(begin))).await?;
    let (id, last) = (id_of(&begun, "id")?, id_of(&begun, "last")?);
    warn_of(&begun, &span);
    let path = format!("{IMPORTS}/{id}");
    let frames = carry::frames(hub, &mut source, false).await?;
    let notes = format!("{path}/notes");
    carry::notes(hub, &mut source, Some(&notes)).await?;
    let done = number_of(&begun, "kept") + number_of(&begun, "quarantined");
    let mut work = Work {
        hub,
        source,
        path,
        last,
        progress: Progress::new(Unit::Records, number_of(&begun, "records"), done),
    };
    work.send_all(id_of(&begun, "reached")?, reached).await?;
    let finish = format!("{}/finish", work.path);
    let import = hub.post(&finish, Some(&json!({}))).await?;
    let seconds = work.progress.seconds();
    if arguments.question.json {
        return output.json(&json!({
            "import": import,
            "skipped_frames": frames.shown(),
            "ids_below_1": span.below,
            "seconds": seconds,
        }));
    }
    report(&import, (&frames, &span), output)
}

/// Says what people should know before it begins.
fn warn_of(import: &Value, span: &Span) {
    if let Some(keep) = import.get("keep_seconds").and_then(Value::as_i64) {
        let oldest = span.oldest.as_deref().unwrap_or_default();
        let oldest = oldest.split('.').next().and_then(|text| text.parse().ok());
        let before = query::now().unix_timestamp() - keep;
        if oldest.is_some_and(|oldest: i64| oldest < before) {
            eprintln!(
                "landline: retention of the project removes records after {} days: those that are \
                 older come in, and go within an hour; see `retention` in the configuration",
                keep / 86_400
            );
        }
    }
    let last = import.get("last").and_then(Value::as_i64);
    if let Some(last) = last.filter(|last| *last < span.last) {
        eprintln!(
            "landline: records above id {last} came after the import began, and their ids are taken \
             here: when this is done, `--new-ids` imports them"
        );
    }
}

/// An import under way.
struct Work<'a> {
    hub: &'a Hub,
    source: Source,
    path: String,
    last: i64,
    progress: Progress,
}

impl Work<'_> {
    /// Sends what is left.
    async fn send_all(&mut self, from: i64, reached: &mut Option<(i64, i64)>) -> Outcome {
        let mut after = from;
        let mut failures = 0;
        *reached = Some((after, self.last));
        while after < self.last {
            match self.send(after).await {
                Ok(import) => {
                    failures = 0;
                    after = id_of(&import, "reached")?;
                    *reached = Some((after, self.last));
                    let done = number_of(&import, "kept") + number_of(&import, "quarantined");
                    self.progress.at(done);
                }
                Err(CommandError::Away(why)) if failures < FAILURES_MAX => {
                    failures += 1;
                    self.progress.clear();
                    eprintln!("landline: {why}; trying again");
                    tokio::time::sleep(BACKOFF.delay(failures, 0.0)).await;
                }
                Err(CommandError::Away(why)) => {
                    let last = self.last;
                    return Err(CommandError::Away(format!(
                        "{why}: stopped at id {after} of {last}; the same command goes on there"
                    )));
                }
                Err(error) => {
                    self.progress.clear();
                    return Err(error);
                }
            }
        }
        self.progress.clear();
        Ok(())
    }

    /// Sends the batch after an id.
    async fn send(&mut self, after: i64) -> Outcome<Value> {
        let page = self.source.page(after, self.last).await?;
        let batch = Batch {
            after,
            through: page.through,
            records: page.records,
        };
        let path = format!("{}/batches", self.path);
        self.hub.post(&path, Some(&json!(batch))).await
    }
}

fn report(import: &Value, (frames, span): (&Frames, &Span), output: &mut Output) -> Outcome {
    let (kept, quarantined) = (number_of(import, "kept"), number_of(import, "quarantined"));
    let field = |name: &str| text::field(import, name);
    output.line(&format!(
        "import {} is {}: {} records are in, {} in quarantine",
        field("id"),
        field("state"),
        text::number(kept),
        text::number(quarantined)
    ))?;
    let reasons = import.get("reasons").and_then(Value::as_object);
    for (reason, count) in reasons.into_iter().flatten() {
        let count = text::number(count.as_u64().unwrap_or(0));
        output.line(&format!("  {count} for {}", text::harmless(reason)))?;
    }
    if quarantined > 0 {
        output.line("  `landline records quarantine` shows them, each with its id and why")?;
    }
    let notes = import.get("notes").unwrap_or(&Value::Null);
    let (given, placed) = (number_of(notes, "given"), number_of(notes, "placed"));
    output.line(&format!(
        "{placed} of {given} comments and hidden crashes are on their groups"
    ))?;
    let left = notes.get("left").and_then(Value::as_array);
    for note in left.into_iter().flatten().take(TOLD_MAX) {
        let field = |name: &str| text::field(note, name);
        let hidden = match note.get("is_hidden").and_then(Value::as_bool) {
            Some(true) => ", hidden",
            _ => "",
        };
        let (id, function, module) = (field("id"), field("function"), field("module"));
        let comment = field("comment");
        output.line(&format!(
            "  no group for {id}: {function} in {module}{hidden}: {comment}"
        ))?;
    }
    tell_frames(frames, output)?;
    if span.below > 0 {
        let below = span.below;
        output.line(&format!(
            "{below} records with ids below 1 stay where they are"
        ))?;
    }
    let came = i64::try_from(kept + quarantined).unwrap_or(i64::MAX);
    let all = import.get("records").and_then(Value::as_i64);
    if let Some(all) = all.filter(|all| *all != came) {
        output.line(&format!(
            "there were {all} records when it began, and {came} came in: records came or went \
             there meanwhile"
        ))?;
    }
    output.flush()
}

fn tell_frames(frames: &Frames, output: &mut Output) -> Outcome {
    let (added, known) = (frames.added, frames.known);
    output.line(&format!(
        "{added} frames that are never guilty are new here, {known} were known"
    ))?;
    for frame in frames.left_out.iter().take(TOLD_MAX) {
        let field = |name: &str| text::field(frame, name);
        let (id, reason) = (field("id"), field("reason"));
        let (function, module) = (field("function"), field("module"));
        output.line(&format!(
            "  left out {id}: {function:?} in {module:?}: {reason}"
        ))?;
    }
    Ok(())
}

/// Says what would come where.
async fn look(
    hub: &Hub,
    (arguments, begin): (&ImportArguments, &Begin),
    (source, span): (&mut Source, &Span),
    output: &mut Output,
) -> Outcome {
    let conflict = match hub.post(IMPORTS, Some(&json!(begin))).await {
        Ok(import) => {
            warn_of(&import, span);
            None
        }
        Err(CommandError::Refused { status: 409, text }) => Some(text),
        Err(error) => return Err(error),
    };
    let frames = carry::frames(hub, source, true).await?;
    let notes = carry::notes(hub, source, None).await?;
    let all = u64::try_from(span.records).unwrap_or(0);
    let mut progress = Progress::new(Unit::Records, all, 0);
    let (mut after, mut kept, mut done) = (0, 0_u64, 0);
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    while after < span.last {
        let page = source.page(after, span.last).await?;
        after = page.through;
        for record in &page.records {
            done += 1;
            match judge(record) {
                Ok(_) => kept += 1,
                Err(why) => *reasons.entry(why.reason).or_default() += 1,
            }
        }
        progress.at(done);
    }
    progress.clear();
    if arguments.question.json {
        output.json(&json!({
            "source": {"place": source.place, "identity": source.identity,
                "schema": source.schema.name(), "first": span.first, "last": span.last,
                "records": span.records, "ids_below_1": span.below},
            "would_keep": kept,
            "would_quarantine": reasons,
            "notes": notes,
            "skipped_frames": frames.shown(),
            "conflict": conflict,
        }))?;
    } else {
        let (place, schema) = (&source.place, source.schema.name());
        let (first, last) = (span.first, span.last);
        output.line(&format!("{place}: tables {schema}, ids {first} to {last}"))?;
        output.line(&format!("{} records would come in", text::number(kept)))?;
        for (reason, count) in &reasons {
            let count = text::number(*count);
            output.line(&format!("{count} would go into quarantine for {reason}"))?;
        }
        output.line(&format!(
            "{notes} comments and hidden crashes would come along"
        ))?;
        tell_frames(&frames, output)?;
        output.flush()?;
    }
    match conflict {
        Some(text) => Err(CommandError::Refused { status: 409, text }),
        None => Ok(()),
    }
}
