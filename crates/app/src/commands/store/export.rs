//! `landline store export`: samples as OpenMetrics or Parquet.

use std::io::IsTerminal;

use monitor::export::{self, ExportError, Exported};

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
        Some(selector) => export::selector(selector)
            .map_err(|error| CommandError::wrong(format!("--match {selector}: {error}")))?,
    };
    let store = found.open(found.disk()?)?;
    let wanted = (matchers.as_slice(), start, end);
    let all = export::samples_at_most(&store, wanted).map_err(refused)?;
    let mut progress = Progress::new(Unit::Samples, all, 0);
    let mut sink = match arguments.parquet.as_ref().or(arguments.output.as_ref()) {
        Some(path) => Sink::file(path)?,
        None => {
            if std::io::stdout().is_terminal() {
                progress.hide();
            }
            Sink::standard()
        }
    };
    let told = &mut |count| progress.at(count);
    let exported = if arguments.parquet.is_some() {
        export::parquet(&store, wanted, &mut sink, told)
    } else {
        export::open_metrics(&store, wanted, &mut sink, told)
    };
    progress.clear();
    let exported = exported.map_err(refused)?;
    sink.finish()?;
    store.close().map_err(|error| failed(&error))?;
    say(&exported);
    Ok(())
}

/// What is in the file, and what is not.
fn say(exported: &Exported) {
    eprintln!(
        "landline: {} samples of {} series",
        text::number(exported.samples),
        text::number(exported.series)
    );
    for (count, what) in [
        (exported.histograms, "native histograms"),
        (exported.ends, "ends of series"),
    ] {
        if count > 0 {
            let count = text::number(count);
            eprintln!("landline: {count} {what} are left out: the file has no form for them");
        }
    }
}

fn refused(error: ExportError) -> CommandError {
    match error {
        ExportError::Matcher(reason) => CommandError::wrong(reason),
        ExportError::Store(error) => failed(&error),
        ExportError::Write(error) => CommandError::Write(error),
    }
}
