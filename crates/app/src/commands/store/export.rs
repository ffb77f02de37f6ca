//! `landline store export`: samples as OpenMetrics.

use std::io::IsTerminal;

use monitor::export::{self as open_metrics, ExportError};

use super::{CommandError, ExportArguments, Found, Outcome, Progress, Unit, failed, text};
use crate::commands::asking::query;
use crate::commands::asking::sink::Sink;

/// `landline store export`
pub(super) fn export(found: &Found, arguments: &ExportArguments) -> Outcome {
    let now = query::now();
    let moment = |name: &str, given: &Option<String>, default: i64| -> Outcome<i64> {
        let Some(text) = given else {
            return Ok(default);
        };
        let nanoseconds = query::moment(name, text, now)?.unix_timestamp_nanos();
        Ok(i64::try_from(nanoseconds / 1_000_000).unwrap_or(default))
    };
    let start = moment("since", &arguments.since, i64::MIN)?;
    // What is at that time is left out.
    let end = moment("until", &arguments.until, i64::MAX)?.saturating_sub(1);
    let matchers = match &arguments.selector {
        None => Vec::new(),
        Some(selector) => open_metrics::selector(selector)
            .map_err(|error| CommandError::wrong(format!("--match {selector}: {error}")))?,
    };
    let store = found.open(found.disk()?)?;
    let wanted = (matchers.as_slice(), start, end);
    let all = open_metrics::samples_at_most(&store, wanted).map_err(refused)?;
    let mut progress = Progress::new(Unit::Samples, all, 0);
    let mut sink = match &arguments.output {
        Some(path) => Sink::file(path)?,
        None => Sink::standard(),
    };
    if arguments.output.is_none() && std::io::stdout().is_terminal() {
        progress.hide();
    }
    let exported = open_metrics::open_metrics(&store, wanted, &mut sink, &mut |count| {
        progress.at(count);
    });
    progress.clear();
    let exported = exported.map_err(refused)?;
    sink.finish()?;
    store.close().map_err(|error| failed(&error))?;
    eprintln!(
        "landline: {} samples of {} series",
        text::number(exported.samples),
        text::number(exported.series)
    );
    if exported.histograms > 0 {
        eprintln!(
            "landline: {} native histograms are left out: OpenMetrics has no form for them",
            text::number(exported.histograms)
        );
    }
    if exported.ends > 0 {
        eprintln!(
            "landline: {} ends of series are left out: OpenMetrics has no form for them",
            text::number(exported.ends)
        );
    }
    Ok(())
}

fn refused(error: ExportError) -> CommandError {
    match error {
        ExportError::Matcher(reason) => CommandError::wrong(reason),
        ExportError::Store(error) => failed(&error),
        ExportError::Write(error) => CommandError::Write(error),
    }
}
