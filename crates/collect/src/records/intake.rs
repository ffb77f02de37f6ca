//! What happens to a submission: its project, its checks, its rules and limits, and whether it is
//! kept as a record, put into quarantine, or answered only.

use std::borrow::Cow;
use std::sync::Arc;

use base::clock;
use base::error::Class;
use wire::telemetrics::{Field, Record, Strictness, Submission, TID_MISMATCH, check};

use super::Shared;
use super::committer::NotKept;
use super::config::{Action, Filter};
use super::entry::{self, Crash, Entry, NewRecord, NewSubmission, Stored};
use super::error::ApiError;
use super::project::Project;
use super::scrub;
use super::skipped::Skipped;

/// The longest machine id that a rate is kept for, in characters; more is sent by nobody real.
const MACHINE_ID_CHARACTERS_MAX: usize = 64;
/// The longest classification, build, system, kernel or host: three of them are in one index.
pub(super) const TEXT_BYTES_MAX: usize = 512;
/// The reason of those that are longer.
pub(super) const TOO_LONG: &str = "too_long";
/// What a rule put aside.
const DEFERRED: &str = "deferred";

/// What became of a submission.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is on disk as a record; with the record again, for the answer.
    Kept(Box<Record>, Stored),
    /// It is on disk in quarantine, for this reason.
    Quarantined(String, Stored),
    /// A rule or a limit says that it is answered as usual and not kept.
    Dropped(Box<Record>, &'static str),
    /// It is no valid record, for this reason, and beyond a limit.
    Ignored(String),
}

/// Why a submission is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// What the original would answer.
    #[error("{0}")]
    Invalid(String),
    /// It may be sent again.
    #[error(transparent)]
    NotKept(#[from] NotKept),
}

impl Refused {
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Invalid(_) => Class::Invalid,
            Self::NotKept(not_kept) => not_kept.class(),
        }
    }
}

/// Takes a submission.
pub(crate) async fn take(shared: &Shared, submission: Submission) -> Result<Outcome, Refused> {
    let tid = submission.get(Field::Tid).unwrap_or_default();
    let Some(project) = shared.projects.by_tid(tid) else {
        shared.metrics.count_refused("tid");
        return Err(Refused::Invalid(TID_MISMATCH.to_owned()));
    };
    let outcome = take_for(shared, project, submission).await;
    let word = match &outcome {
        Ok(Outcome::Kept(_, stored)) if stored.is_repeated => "repeated",
        Ok(Outcome::Kept(..)) => "kept",
        Ok(Outcome::Quarantined(..)) => "quarantined",
        Ok(Outcome::Dropped(_, word)) => word,
        Ok(Outcome::Ignored(_)) => "throttled",
        Err(Refused::Invalid(_)) => "refused",
        Err(Refused::NotKept(_)) => "unavailable",
    };
    shared.metrics.count(&project.config.name, word);
    outcome
}

async fn take_for(
    shared: &Shared,
    project: &Arc<Project>,
    submission: Submission,
) -> Result<Outcome, Refused> {
    let strictness = if shared.config.strict {
        Strictness::Strict
    } else {
        Strictness::Lenient
    };
    let is_throttled = is_throttled(shared, project, &submission);
    let mut record = match check(&submission, strictness) {
        Ok(record) => record,
        Err(invalid) => {
            let name = &project.config.name;
            shared.metrics.count_invalid(name, invalid.reason());
            if shared.config.strict {
                return Err(Refused::Invalid(invalid.to_string()));
            }
            if is_throttled {
                return Ok(Outcome::Ignored(invalid.to_string()));
            }
            let reason = (invalid.reason(), invalid.to_string());
            return quarantine(shared, project, &submission, reason).await;
        }
    };
    if is_throttled {
        return Ok(Outcome::Dropped(Box::new(record), "throttled"));
    }
    without_nul(&mut record);
    if let Some(field) = too_long(&record) {
        let message = format!("{} has more than {TEXT_BYTES_MAX} bytes", field.name());
        shared.metrics.count_invalid(&project.config.name, TOO_LONG);
        if shared.config.strict {
            return Err(Refused::Invalid(message));
        }
        return quarantine(shared, project, &submission, (TOO_LONG, message)).await;
    }
    match action_of(project, &record) {
        Action::Allow => {}
        Action::Sample(one_of) if is_sampled(&record, one_of) => {}
        Action::Drop => return Ok(Outcome::Dropped(Box::new(record), "dropped")),
        Action::Sample(_) => return Ok(Outcome::Dropped(Box::new(record), "sampled")),
        Action::Defer => {
            let reason = (DEFERRED, "a rule of the project puts it aside".to_owned());
            return quarantine(shared, project, &submission, reason).await;
        }
    }
    let (bytes, of) = (record.payload.len(), Arc::clone(project));
    let scrubbing = shared.aside.run(bytes, move || {
        scrub(&of, &mut record);
        record
    });
    keep(shared, project.id, scrubbing.await?).await
}

/// Keeps a valid record.
async fn keep(shared: &Shared, project: i64, record: Record) -> Result<Outcome, Refused> {
    let digest = if shared.config.drop_repeated {
        entry::record_digest(project, &record)
    } else {
        entry::random_digest()
    };
    keep_as(shared, project, record, digest).await
}

async fn keep_as(
    shared: &Shared,
    project: i64,
    record: Record,
    digest: i64,
) -> Result<Outcome, Refused> {
    let new = Box::new(new_record(project, record, digest, &shared.skipped.get()));
    let (entry, stored) = shared.committer.keep(Entry::Record(new)).await?;
    match entry {
        Entry::Record(new) => {
            shared.choices.saw(&new.record.classification);
            Ok(Outcome::Kept(Box::new(new.record), stored))
        }
        // What comes back is what was given.
        Entry::Quarantine(_) => Err(Refused::NotKept(NotKept::Refused)),
    }
}

/// A record as it is kept.
pub(crate) fn new_record(
    project: i64,
    record: Record,
    digest: i64,
    skipped: &Skipped,
) -> NewRecord {
    let crash = crash_of(&record, skipped);
    NewRecord {
        project,
        record,
        digest,
        crash,
    }
}

/// Makes a record of a submission that was in quarantine; gives its id. Rules don't count here:
/// somebody has looked.
pub(crate) async fn release(
    shared: &Shared,
    project: i64,
    submission: &Submission,
) -> Result<i64, ApiError> {
    let checked = check(submission, Strictness::Lenient);
    let mut record = checked
        .map_err(|invalid| ApiError::Conflict(format!("it is no valid record: {invalid}")))?;
    without_nul(&mut record);
    if let Some(field) = too_long(&record) {
        let text = format!("{} has more than {TEXT_BYTES_MAX} bytes", field.name());
        return Err(ApiError::Conflict(text));
    }
    if let Some(project) = shared.projects.all().find(|one| one.id == project) {
        let payload = scrubbed(shared, project, record.payload).await;
        record.payload = payload.map_err(|_| ApiError::Unavailable)?;
    }
    // Whoever asks twice gets the same record.
    let digest = entry::record_digest(project, &record);
    match keep_as(shared, project, record, digest).await {
        Ok(Outcome::Kept(_, stored)) => Ok(stored.id),
        Ok(_) => Err(ApiError::Unavailable),
        Err(refused) => {
            tracing::warn!(%refused, "a submission was not released");
            Err(ApiError::Unavailable)
        }
    }
}

fn is_throttled(shared: &Shared, project: &Project, submission: &Submission) -> bool {
    let now = clock::now();
    let machine = submission.get(Field::MachineId).unwrap_or_default();
    let machine: String = machine.chars().take(MACHINE_ID_CHARACTERS_MAX).collect();
    let sender = entry::digest(project.id, &[&machine]);
    let by_machine = shared.throttle.as_ref();
    let by_project = project.throttle.as_ref();
    by_machine.is_some_and(|throttle| !throttle.take(sender, now))
        || by_project.is_some_and(|throttle| !throttle.take(0, now))
}

async fn quarantine(
    shared: &Shared,
    project: &Arc<Project>,
    submission: &Submission,
    (reason, message): (&'static str, String),
) -> Result<Outcome, Refused> {
    let config = &project.config;
    let fields: serde_json::Map<_, _> = submission
        .fields()
        .map(|(field, text)| {
            let shown = match field {
                Field::MachineId if config.hide_machines => {
                    scrub::hidden_machine(&config.tid, text)
                }
                _ => text.to_owned(),
            };
            (field.name().to_owned(), shown.into())
        })
        .collect();
    let fields = serde_json::Value::Object(fields).to_string();
    let payload = submission.payload().to_owned();
    let payload = scrubbed(shared, project, payload).await?;
    let digest = if shared.config.drop_repeated {
        entry::digest(project.id, &[reason, &fields, &payload])
    } else {
        entry::random_digest()
    };
    let new = Box::new(NewSubmission {
        project: project.id,
        reason,
        message: message.clone(),
        fields,
        payload,
        digest,
    });
    let (_, stored) = shared.committer.keep(Entry::Quarantine(new)).await?;
    Ok(Outcome::Quarantined(message, stored))
}

/// What the first rule that fits says.
fn action_of(project: &Project, record: &Record) -> Action {
    let rules = &project.config.rules;
    let rule = rules.iter().find(|rule| rule.of.fits(record));
    rule.map_or(Action::Allow, |rule| rule.action)
}

impl Filter {
    /// Whether a record is one of these.
    pub(crate) fn fits(&self, record: &Record) -> bool {
        self.fits_parts(
            &record.classification,
            record.severity,
            &record.build,
            &record.machine_id,
        )
    }

    pub(crate) fn fits_parts(
        &self,
        classification: &str,
        severity: u8,
        build: &str,
        machine_id: &str,
    ) -> bool {
        let fits = |pattern: &Option<super::pattern::Pattern>, text: &str| {
            pattern.as_ref().is_none_or(|pattern| pattern.fits(text))
        };
        fits(&self.classification, classification)
            && self.severity.is_none_or(|wanted| wanted == severity)
            && fits(&self.build, build)
            && fits(&self.machine_id, machine_id)
    }
}

/// A machine is in the sample with all it sends, or with nothing.
fn is_sampled(record: &Record, one_of: u32) -> bool {
    entry::digest(0, &[&record.machine_id]).rem_euclid(i64::from(one_of.max(1))) == 0
}

/// A payload without what the project wants out.
async fn scrubbed(
    shared: &Shared,
    project: &Arc<Project>,
    payload: String,
) -> Result<String, NotKept> {
    let (bytes, project) = (payload.len(), Arc::clone(project));
    let work = move || scrub::scrubbed(&project.config.scrub, &payload).into_owned();
    shared.aside.run(bytes, work).await
}

/// Takes out what the project wants out. From then on nobody knows it.
pub(super) fn scrub(project: &Project, record: &mut Record) {
    let config = &project.config;
    if let Cow::Owned(scrubbed) = scrub::scrubbed(&config.scrub, &record.payload) {
        record.payload = scrubbed;
    }
    if config.hide_machines {
        record.machine_id = scrub::hidden_machine(&config.tid, &record.machine_id);
    }
}

/// A field that neither the original nor the protocol bounds, and that is too long to be counted by:
/// no database has an index for it.
pub(super) fn too_long(record: &Record) -> Option<Field> {
    let texts = [
        (Field::Classification, &record.classification),
        (Field::Build, &record.build),
        (Field::SystemName, &record.system_name),
        (Field::KernelVersion, &record.kernel_version),
        (Field::HostType, &record.host_type),
    ];
    let long = texts
        .into_iter()
        .find(|(_, text)| text.len() > TEXT_BYTES_MAX);
    long.map(|(field, _)| field)
}

/// PostgreSQL keeps no NUL in a text, and none of these fields has a use for one. Payloads are kept as
/// bytes.
pub(super) fn without_nul(record: &mut Record) {
    let texts = [
        &mut record.classification,
        &mut record.machine_id,
        &mut record.build,
        &mut record.system_name,
        &mut record.event_id,
        &mut record.arch,
        &mut record.host_type,
        &mut record.kernel_version,
        &mut record.board_name,
        &mut record.cpu_model,
        &mut record.bios_version,
    ];
    for text in texts {
        if text.contains('\0') {
            *text = text.replace('\0', "\u{fffd}");
        }
    }
}

/// To which crashes a record belongs, if it is one that is grouped.
pub(crate) fn crash_of(record: &Record, skipped: &Skipped) -> Option<Crash> {
    use wire::telemetrics::{backtrace, fingerprint};
    if backtrace::Crash::of(&record.classification) != backtrace::Crash::Grouped {
        return None;
    }
    let is_skipped = |function: &str, module: &str| skipped.contains(function, module);
    let explanation = fingerprint::explain(&record.classification, &record.payload, is_skipped)?;
    // The innermost frame that says something: where a program is ended by `abort`, the original's rule
    // names `raise` for all of them.
    let label = explanation.frames.iter().find(|frame| frame.is_used)?;
    let plain = |text: &str| text.replace('\0', "\u{fffd}");
    Some(Crash {
        fingerprint: entry::fingerprint(&explanation.key),
        function: plain(&label.function),
        module: plain(&label.module),
    })
}
