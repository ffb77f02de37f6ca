//! `query` and `query_range`: PromQL over the store, within limits of time, samples and series.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base::clock;
use base::http::{Policy, Routes};
use query::promql::ast::Expression;
use query::promql::engine::{Context, Interruption, Options, Outcome, Query, QueryError};
use query::promql::value::Value;
use query::promql::{format, parser, printer, tree};
use query::source::Source;

use super::answer::{Answer, Answered, ApiError, CUT};
use super::parameters::Parameters;
use super::query_log::Entry;
use super::{Shared, with};
use crate::remote::{Joined, Readers};
use crate::samples::{Samples, Snapshot, Tally, now_ms};

/// Bytes of a result that are reserved for each sample at first.
const SAMPLE_BYTES: usize = 40;
/// Bytes of a result that are reserved at most at first.
const RESERVED_BYTES_MAX: usize = 16 << 20;

pub(super) fn routes(shared: &Arc<Shared>, read: impl Fn() -> Policy) -> Routes {
    Routes::default()
        .get("/api/v1/query", read(), with(shared, instant))
        .post("/api/v1/query", read(), with(shared, instant))
        .get("/api/v1/query_range", read(), with(shared, range))
        .post("/api/v1/query_range", read(), with(shared, range))
        .get("/api/v1/parse_query", read(), parse)
        .post("/api/v1/parse_query", read(), parse)
        .get("/api/v1/format_query", read(), format_query)
        .post("/api/v1/format_query", read(), format_query)
}

/// When a query is evaluated.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    At(i64),
    /// From, to, step.
    Each(i64, i64, i64),
}

async fn instant(shared: Arc<Shared>, parameters: Parameters) -> Answered {
    let at = parameters.time("time", now_ms())?;
    answer(&shared, parameters, When::At(at)).await
}

async fn range(shared: Arc<Shared>, parameters: Parameters) -> Answered {
    let (start, end) = (
        parameters.needed_time("start")?,
        parameters.needed_time("end")?,
    );
    let step = parameters.duration("step")?;
    let step =
        step.ok_or_else(|| ApiError::parameter("step", "cannot parse \"\" to a valid duration"))?;
    answer(&shared, parameters, When::Each(start, end, step)).await
}

/// The tree of a query.
async fn parse(parameters: Parameters) -> Answered {
    let parsed = expression(&parameters)?;
    Ok(Answer::written(0, |body| {
        tree::expression(body, &parsed);
    }))
}

/// A query in its one spelling, in lines.
async fn format_query(parameters: Parameters) -> Answered {
    let parsed = expression(&parameters)?;
    let text = printer::pretty(&parsed);
    let text = text.ok_or_else(|| ApiError::parameter("query", "too long when it is formatted"))?;
    Ok(Answer::written(text.len(), |body| {
        format::string(body, &text);
    }))
}

fn expression(parameters: &Parameters) -> Result<Expression, ApiError> {
    let text = parameters.get("query").unwrap_or_default();
    parser::parse(text).map_err(|error| ApiError::parameter("query", error))
}

/// What is to be done, and until when.
struct Task {
    query: Query,
    when: When,
    options: Options,
    parameters: Parameters,
    limit: usize,
    deadline: Instant,
    /// A process that stops has to close its store.
    samples: Samples,
    readers: Arc<Readers>,
    /// Set when nobody waits any more.
    is_left: Arc<AtomicBool>,
}

/// Sets its flag when it is dropped: the client has gone, or has its answer.
struct Leaving(Arc<AtomicBool>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn answer(shared: &Arc<Shared>, parameters: Parameters, when: When) -> Answered {
    let begun = clock::now();
    let text = parameters.get("query").unwrap_or_default().to_owned();
    let answered = run(shared, parameters, when, begun).await;
    let seconds = clock::now().duration_since(begun).as_secs_f64();
    let outcome = answered
        .as_ref()
        .err()
        .map_or("success", |error| error.kind);
    shared
        .metrics
        .queries
        .get_or_create(&[("outcome", outcome)])
        .inc();
    shared.metrics.seconds.observe(seconds);
    if let Some(log) = &shared.log {
        let error = answered.as_ref().err().map(|error| error.message.as_str());
        log.write(&Entry {
            query: &text,
            when,
            seconds,
            error,
        });
    }
    answered
}

async fn run(shared: &Arc<Shared>, parameters: Parameters, when: When, begun: Instant) -> Answered {
    let text = parameters.get("query").unwrap_or_default();
    let query = Query::parse(text).map_err(QueryError::from)?;
    let timeout = parameters.timeout(shared.config.timeout)?;
    let limit = parameters.limit("limit")?;
    let mut options = shared.config.options();
    if let Some(lookback) = parameters.duration("lookback_delta")? {
        if lookback <= 0 {
            let text = "the lookback has to be longer than nothing";
            return Err(ApiError::parameter("lookback_delta", text));
        }
        options.lookback_ms = lookback;
    }
    let is_left = Arc::new(AtomicBool::new(false));
    let _leaving = Leaving(Arc::clone(&is_left));
    let task = Task {
        query,
        when,
        options,
        parameters,
        limit,
        deadline: begun + timeout,
        samples: shared.samples.clone(),
        readers: Arc::clone(&shared.readers),
        is_left,
    };
    let metrics = shared.metrics.clone();
    shared
        .read(timeout, move |store, _| {
            let queued = clock::now().duration_since(begun);
            let (answer, samples) = evaluate(store, &task, queued)?;
            metrics.samples.inc_by(samples);
            Ok(answer)
        })
        .await?
}

fn evaluate(
    store: &signals::Store,
    task: &Task,
    queued: Duration,
) -> Result<(Answer, u64), ApiError> {
    let interrupt = || {
        if task.is_left.load(Ordering::Relaxed) || !task.samples.is_open() {
            return Some(Interruption::Canceled);
        }
        (clock::now() > task.deadline).then_some(Interruption::Timeout)
    };
    let tally = Tally::default();
    let is_over = || interrupt().is_some();
    let viewer = &task.parameters.viewer;
    let local = Snapshot::new(store, (viewer, &tally), &is_over);
    let joined = (!task.readers.is_empty()).then(|| Joined {
        local,
        readers: &task.readers,
        viewer,
        tally: &tally,
        deadline: task.deadline,
        is_over: &is_over,
        warnings: Mutex::default(),
    });
    let context = Context {
        source: joined
            .as_ref()
            .map_or(&local as &dyn Source, |joined| joined),
        options: &task.options,
        interrupt: &interrupt,
    };
    let begun = clock::now();
    let outcome = match task.when {
        When::At(time) => task.query.instant(context, time),
        When::Each(start, end, step) => task.query.range(context, start, end, step),
    };
    // The store says no more than that it was told to stop.
    let outcome = outcome.map_err(|error| match interrupt() {
        Some(Interruption::Timeout) => QueryError::Timeout,
        Some(Interruption::Canceled) => QueryError::Canceled,
        None => error,
    })?;
    let took = clock::now().duration_since(begun);
    let samples = outcome.samples as u64;
    let extras = extras(&task.parameters, (queued, took), &outcome, &tally);
    let mut answer = written(outcome, task.limit, &extras);
    answer
        .warnings
        .extend(joined.into_iter().flat_map(Joined::into_warnings));
    Ok((answer, samples))
}

/// The answer as JSON.
fn written(outcome: Outcome, limit: usize, extras: &str) -> Answer {
    let Outcome {
        mut value,
        annotations,
        ..
    } = outcome;
    let is_cut = match &mut value {
        Value::Vector(samples) => cut(samples, limit),
        Value::Matrix(series) => cut(series, limit),
        Value::Scalar(..) | Value::Text(..) => false,
    };
    let points = match &value {
        Value::Matrix(series) => series.iter().map(|series| series.floats.len()).sum(),
        Value::Vector(samples) => samples.len() * 4,
        _ => 1,
    };
    let bytes = points.saturating_mul(SAMPLE_BYTES).min(RESERVED_BYTES_MAX);
    let mut answer = Answer::written(bytes, |data| {
        format::value(data, &value);
        if !extras.is_empty() {
            data.truncate(data.len().saturating_sub(1));
            data.push_str(extras);
            data.push('}');
        }
    });
    answer.warnings.extend(annotations.warnings);
    answer.infos.extend(annotations.infos);
    if is_cut {
        answer.warnings.push(CUT.to_owned());
    }
    answer
}

fn cut<T>(all: &mut Vec<T>, limit: usize) -> bool {
    let is_cut = all.len() > limit;
    all.truncate(limit);
    is_cut
}

/// `stats` and `explain`, where they are asked for: as members that follow others.
fn extras(
    parameters: &Parameters,
    (queued, took): (Duration, Duration),
    outcome: &Outcome,
    tally: &Tally,
) -> String {
    let mut extras = String::new();
    if parameters.get("stats").is_some() {
        let (queued, took) = (queued.as_secs_f64(), took.as_secs_f64());
        let samples = outcome.samples;
        let total = queued + took;
        extras = format!(
            r#","stats":{{"timings":{{"evalTotalTime":{took:.6},"resultSortTime":0,"queryPreparationTime":{:.6},"innerEvalTime":{took:.6},"execQueueTime":{queued:.6},"execTotalTime":{total:.6}}},"samples":{{"totalQueryableSamples":{},"peakSamples":{samples}}}}}"#,
            tally.seconds(),
            tally.samples(),
        );
    }
    if parameters.get("explain").is_some() {
        extras.push_str(",\"explain\":");
        tally.write(&mut extras);
    }
    extras
}
