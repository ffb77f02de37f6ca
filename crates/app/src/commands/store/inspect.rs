//! `landline store inspect`: what is in a store.

use serde_json::{Value, json};
use signals::{HeadFacts, SegmentFacts, Store, StoreError};

use super::{Found, Outcome, Output, bytes_of, failed, per_sample, place, shown, text};
use crate::commands::asking::table::{self, whole};

/// Labels that are listed.
const LABELS_MAX: usize = 10;

/// What a store has.
struct Contents {
    segments: Vec<SegmentFacts>,
    head: HeadFacts,
    series: usize,
    bytes: u64,
    log_bytes: u64,
    /// The names of labels with the most values.
    labels: Vec<(String, usize)>,
}

impl Contents {
    fn of(store: &Store, folder: &std::path::Path) -> Result<Self, StoreError> {
        let (start, end) = (i64::MIN, i64::MAX);
        let mut labels = Vec::new();
        for name in store.label_names(&[], start, end)? {
            let values = store.label_values(&name, &[], start, end)?.len();
            labels.push((name, values));
        }
        labels.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        labels.truncate(LABELS_MAX);
        Ok(Self {
            segments: store.segment_facts(),
            head: store.head_facts(),
            series: store.series(&[], start, end)?.len(),
            bytes: bytes_of(folder) + store.object_facts().bytes,
            log_bytes: store.statistics().log_bytes,
            labels,
        })
    }

    fn samples(&self) -> u64 {
        let in_segments: u64 = self.segments.iter().map(|segment| segment.samples).sum();
        in_segments + self.head.samples
    }

    fn json(&self, folder: &std::path::Path) -> Value {
        let segment = |facts: &SegmentFacts| {
            json!({
                "number": facts.number, "bytes": facts.bytes, "samples": facts.samples,
                "series": facts.series, "first_ms": facts.first, "last_ms": facts.last,
                "place": place(facts),
            })
        };
        let label = |(name, values): &(String, usize)| json!({"name": name, "values": values});
        json!({
            "folder": folder.display().to_string(),
            "series": self.series,
            "samples": self.samples(),
            "bytes": self.bytes,
            "segments": self.segments.iter().map(segment).collect::<Vec<_>>(),
            "log": {
                "series": self.head.series, "samples": self.head.samples,
                "bytes": self.log_bytes, "last_ms": self.head.newest,
            },
            "labels": self.labels.iter().map(label).collect::<Vec<_>>(),
        })
    }

    fn lines(&self, width: Option<usize>) -> Vec<String> {
        let columns = [
            "SEGMENT",
            "FROM",
            "TO",
            "SERIES",
            "SAMPLES",
            "BYTES",
            "PER SAMPLE",
            "PLACE",
        ];
        let row = |facts: &SegmentFacts| {
            vec![
                facts.number.to_string(),
                shown(facts.first),
                shown(facts.last),
                text::number(facts.series),
                text::number(facts.samples),
                text::bytes(facts.bytes),
                per_sample(facts.bytes, facts.samples),
                place(facts).to_owned(),
            ]
        };
        let mut rows: Vec<_> = self.segments.iter().map(row).collect();
        rows.push(vec![
            "log".to_owned(),
            String::new(),
            self.head.newest.map_or_else(String::new, shown),
            text::number(self.head.series as u64),
            text::number(self.head.samples),
            text::bytes(self.log_bytes),
            per_sample(self.log_bytes, self.head.samples),
            "disk".to_owned(),
        ]);
        rows.push(vec![
            "all".to_owned(),
            String::new(),
            String::new(),
            text::number(self.series as u64),
            text::number(self.samples()),
            text::bytes(self.bytes),
            per_sample(self.bytes, self.samples()),
            String::new(),
        ]);
        let mut lines = table::lines(&columns.map(whole), &rows, width);
        if !self.labels.is_empty() {
            let rows = self
                .labels
                .iter()
                .map(|(name, values)| vec![text::harmless(name), text::number(*values as u64)]);
            lines.push(String::new());
            let rows: Vec<_> = rows.collect();
            lines.extend(table::lines(&["LABEL", "VALUES"].map(whole), &rows, width));
        }
        lines
    }
}

/// `landline store inspect`
pub(super) fn inspect(found: &Found, is_json: bool, output: &mut Output) -> Outcome {
    let store = found.open(found.disk()?)?;
    let contents = Contents::of(&store, &found.folder).map_err(|error| failed(&error))?;
    // Opening has made a file of the log, which should not look like that of a crash.
    store.close().map_err(|error| failed(&error))?;
    if is_json {
        return output.json(&contents.json(&found.folder));
    }
    output.line(&found.folder.display().to_string())?;
    output.lines(&contents.lines(output.width()))?;
    output.flush()
}
