//! Removal of runs whose time has passed, in small transactions, and the state of runs: both look from
//! time to time. A process that is killed in the middle leaves a run with fewer files, from which the
//! next look goes on, and perhaps objects of nobody, which the sweep collects.

use std::sync::Arc;
use std::time::Duration;

use base::supervise::{BoxError, Criticality, Restart, Scope, Service};
use bytes::Bytes;
use state::StateError;
use wire::s3::key::Key;

use super::Shared;
use super::catalogue::{GroupRow, Removal};
use super::error::Trouble;
use super::krkn::{GROWTH_MAX, TELEMETRY_FILE, recovery};
use super::time;

/// How long nothing is looked at, at most and at least.
const INTERVAL: Duration = Duration::from_hours(1);
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// How long after a start, at most: a machine that starts has other things to do.
const FIRST: Duration = Duration::from_mins(1);
/// Of the shortest retention, how many looks it takes.
const LOOKS: u32 = 10;
/// How late a run may be closed.
const CLOSE_INTERVAL: Duration = Duration::from_mins(1);
/// Runs that are read at a time.
const PAGE: i64 = 100;
/// Between two transactions: uploads wait for them.
const PAUSE: Duration = Duration::from_millis(5);
const TRY_AGAIN: Restart = Restart::OnFailure {
    first: Duration::from_secs(10),
    ceiling: Duration::from_mins(10),
};

/// Removes what is too old.
pub(super) fn service(shared: &Arc<Shared>) -> Service {
    let shared = Arc::clone(shared);
    let body = move |scope: Scope| {
        let shared = Arc::clone(&shared);
        async move {
            let mut ceiling = FIRST;
            loop {
                let groups = shared.catalogue.group_rows().await?;
                tokio::select! {
                    () = tokio::time::sleep(wait(&shared, &groups).min(ceiling)) => {}
                    () = shared.retention_changed.notified() => {}
                    () = scope.stopping() => return Ok::<(), BoxError>(()),
                }
                ceiling = INTERVAL;
                look(&shared, &scope).await?;
            }
        }
    };
    Service::restarting("artefacts.retention", Criticality::Plain, TRY_AGAIN, body)
}

/// Until the next look: a part of the shortest retention that any group has.
fn wait(shared: &Shared, groups: &[GroupRow]) -> Duration {
    let kept = groups.iter().filter_map(|group| keep(shared, group)).min();
    kept.map_or(INTERVAL, |kept| {
        (kept / LOOKS).clamp(INTERVAL_MIN, INTERVAL)
    })
}

/// How long the runs of a group are kept; nothing when for ever.
fn keep(shared: &Shared, group: &GroupRow) -> Option<Duration> {
    let effective = shared.config.effective(&group.name, &group.settings);
    effective.retention.filter(|_| !group.is_pinned)
}

async fn look(shared: &Shared, scope: &Scope) -> Result<(), StateError> {
    for group in shared.catalogue.group_rows().await? {
        let Some(keep) = keep(shared, &group) else {
            continue;
        };
        let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let before = time::now().saturating_sub(keep);
        let removal = Removal {
            changed_before: Some(before),
            newest: i64::MAX,
        };
        let (mut runs, mut files, mut after) = (0_u64, 0_u64, 0_i64);
        while !scope.is_stopping() {
            let window = (after, Some(before));
            let page = shared.catalogue.runs_to_remove(group.id, window, PAGE);
            let page = page.await?;
            let Some(last) = page.last() else { break };
            after = *last;
            for run in page {
                if scope.is_stopping() {
                    break;
                }
                let (gone, is_gone) = shared.remove_run(run, removal).await?;
                shared.metrics.expired_files.inc_by(gone);
                shared.metrics.expired_runs.inc_by(u64::from(is_gone));
                files += gone;
                runs += u64::from(is_gone);
            }
        }
        if runs > 0 {
            let group_name = group.name.as_str();
            tracing::info!(group = group_name, runs, files, "runs removed by retention");
            shared.catalogue.forget_group(group.id, false).await?;
        }
    }
    Ok(())
}

impl Shared {
    /// Removes a run step by step: how many files, and whether it is gone.
    pub(super) async fn remove_run(
        &self,
        run: i64,
        removal: Removal,
    ) -> Result<(u64, bool), StateError> {
        let mut files = 0_u64;
        loop {
            let step = self.catalogue.remove_step(run, removal).await?;
            files = files.saturating_add(step.files);
            self.objects.remove(step.objects).await;
            if step.is_last {
                return Ok((files, !step.is_kept));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Shared {
    /// The telemetry of a run as it is kept, when there is some.
    async fn telemetry_of(&self, (group, run): (&str, &str)) -> Result<Option<Bytes>, Trouble> {
        let key = Key::of_run(&format!("{group}/{run}"), TELEMETRY_FILE)?;
        let Some(version) = self.catalogue.find(&key, None).await? else {
            return Ok(None);
        };
        let limit = self.config.telemetry_limit.saturating_mul(GROWTH_MAX);
        if version.bytes > limit {
            return Ok(None);
        }
        let body = self.objects.read(version.segments, (0, version.bytes));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let body = base::http::read_body(body.await?, limit).await;
        Ok(Some(body.map_err(|_| Trouble::Incomplete)?))
    }
}

/// Closes runs to which nothing comes any more.
pub(super) fn closing_service(shared: &Arc<Shared>) -> Service {
    let shared = Arc::clone(shared);
    let body = move |scope: Scope| {
        let shared = Arc::clone(&shared);
        async move {
            read_scenarios(&shared, &scope).await?;
            let idle = shared.config.close_after;
            let interval = (idle / LOOKS).clamp(INTERVAL_MIN, CLOSE_INTERVAL);
            let idle = i64::try_from(idle.as_millis()).unwrap_or(i64::MAX);
            loop {
                shared.retries.look(time::now());
                let before = time::now().saturating_sub(idle);
                while !scope.is_stopping() && shared.catalogue.close_runs(before).await? > 0 {
                    tokio::time::sleep(PAUSE).await;
                }
                tokio::select! {
                    () = tokio::time::sleep(interval) => {}
                    () = scope.stopping() => return Ok::<(), BoxError>(()),
                }
            }
        }
    };
    Service::restarting("artefacts.states", Criticality::Plain, TRY_AGAIN, body)
}

/// Reads the scenarios of telemetry that came to a program which did not keep them.
async fn read_scenarios(shared: &Shared, scope: &Scope) -> Result<(), BoxError> {
    let mut after = 0;
    while !scope.is_stopping() {
        let page = shared.catalogue.runs_without_scenarios(after, PAGE).await?;
        let Some((last, ..)) = page.last() else { break };
        after = *last;
        for (id, group, run) in page {
            match shared.telemetry_of((&group, &run)).await {
                Ok(document) => {
                    let document = document.unwrap_or_default();
                    let read = move || recovery::of_document(&document);
                    let scenarios = tokio::task::spawn_blocking(read).await?;
                    shared.catalogue.add_scenarios(id, &scenarios).await?;
                }
                // The next start tries again.
                Err(trouble) => {
                    tracing::warn!(group, run, %trouble, "telemetry can't be read again");
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}
