//! `/federate`: the newest sample of series, as text.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use base::clock;
use base::http::{Policy, Routes};
use http::header::{CONTENT_TYPE, HeaderValue};
use query::labels::{Labels, METRIC_NAME};
use query::number::Plain;
use query::source::{Selection, SeriesData, Source as _, SourceError, is_stale};
use signals::Store;

use super::Shared;
use super::answer::ApiError;
use super::parameters::Parameters;
use crate::samples::{Snapshot, Tally};

/// The label of a target's address.
const INSTANCE: &str = "instance";

pub(super) fn routes(shared: &Arc<Shared>, read: impl Fn() -> Policy) -> Routes {
    let shared = Arc::clone(shared);
    Routes::default().get(
        "/federate",
        read(),
        move |parameters: Parameters| async move { federate(&shared, parameters).await },
    )
}

async fn federate(shared: &Shared, parameters: Parameters) -> Result<Response, ApiError> {
    let selectors = parameters.needed_selectors()?;
    let options = shared.config.options();
    let viewer = parameters.viewer;
    let deadline = clock::now() + shared.config.timeout;
    let samples = shared.samples.clone();
    let read = move |store: &Store, now: i64| -> Result<String, SourceError> {
        let tally = Tally::default();
        let is_over = || clock::now() > deadline || !samples.is_open();
        let source = Snapshot::new(store, (&viewer, &tally), &is_over);
        let mut found: Vec<SeriesData> = Vec::new();
        for matchers in &selectors {
            found.extend(source.select(&Selection {
                matchers,
                after_ms: now.saturating_sub(options.lookback_ms),
                until_ms: now,
                series_max: options.series_max,
                samples_max: options.samples_max,
            })?);
        }
        found.sort_by(|one, other| by_name(&one.labels).cmp(&by_name(&other.labels)));
        found.dedup_by(|one, other| one.labels == other.labels);
        Ok(text(store, &found))
    };
    let text = shared.read(shared.config.timeout, read).await?;
    let text = text.map_err(|error| ApiError {
        kind: "execution",
        message: error.to_string(),
    })?;
    let mut response = text.into_response();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

fn by_name(labels: &Labels) -> (&str, &Labels) {
    (labels.get(METRIC_NAME), labels)
}

/// Series by name, each with its newest value; those that have ended are left out.
fn text(store: &Store, found: &[SeriesData]) -> String {
    let metadata = store.metadata();
    let mut out = String::new();
    let mut before = "";
    for series in found {
        let newest = series.timestamps.last().zip(series.values.last());
        let Some((time, value)) = newest.filter(|(_, value)| !is_stale(**value)) else {
            continue;
        };
        let name = series.labels.get(METRIC_NAME);
        if name != before {
            // Federation tells single series, so that a family may not be whole.
            let kind = metadata.get(name).map(|known| known.kind.as_str());
            let kind = kind.filter(|kind| matches!(*kind, "counter" | "gauge"));
            let shown = plain_name(name);
            writeln!(out, "# TYPE {shown} {}", kind.unwrap_or("untyped")).unwrap_or_default();
            before = name;
        }
        line(&mut out, &series.labels, (*time, *value));
    }
    out
}

/// A name as this format allows it: letters, digits, underscores and colons, no digit first.
fn plain_name(name: &str) -> Cow<'_, str> {
    let fits = |(at, letter): (usize, char)| {
        letter.is_ascii_alphabetic() || "_:".contains(letter) || (at > 0 && letter.is_ascii_digit())
    };
    if name.char_indices().all(fits) {
        return Cow::Borrowed(name);
    }
    let plain = name
        .char_indices()
        .map(|one| if fits(one) { one.1 } else { '_' });
    Cow::Owned(plain.collect())
}

fn line(out: &mut String, labels: &Labels, (time, value): (i64, f64)) {
    out.push_str(&plain_name(labels.get(METRIC_NAME)));
    out.push('{');
    let mut is_first = true;
    // Who fetches this gives its own instance to what has none, unless none is written.
    let unknown = labels.get(INSTANCE).is_empty().then_some((INSTANCE, ""));
    let pairs = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
    for (name, value) in pairs.chain(unknown) {
        if !is_first {
            out.push(',');
        }
        is_first = false;
        out.push_str(&plain_name(name));
        out.push_str("=\"");
        for letter in value.chars() {
            match letter {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                letter => out.push(letter),
            }
        }
        out.push('"');
    }
    writeln!(out, "}} {} {time}", Plain(value)).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::{Labels, line};

    #[test]
    fn what_has_no_instance_says_so() {
        let mut out = String::new();
        for instance in ["", "a:1"] {
            let pairs = [("__name__", "up"), ("instance", instance), ("job", "shop")];
            line(&mut out, &Labels::new(pairs), (5, 1.0));
        }
        let expected =
            "up{job=\"shop\",instance=\"\"} 1 5\nup{instance=\"a:1\",job=\"shop\"} 1 5\n";
        assert_eq!(out, expected);
    }
}
