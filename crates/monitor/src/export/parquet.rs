//! Writing the samples of a store as Parquet, a row for each: what DuckDB, pandas, Spark, Trino and
//! ClickHouse read as it is.
//!
//! Labels are one text of JSON instead of a map: every reader can group by a text, and few can by a map.

use std::collections::BTreeMap;
use std::io::{self, Write};

use query::matcher::Matcher;
use signals::{Labels, METRIC_NAME, SeriesSamples, Store};
use wire::parquet::{Kind, Table, Values};

use super::{ExportError, Exported};
use crate::samples;

/// The columns.
const COLUMNS: [(&str, Kind); 5] = [
    ("metric", Kind::Text),
    ("labels", Kind::Text),
    ("timestamp", Kind::Time),
    ("value", Kind::Number),
    ("stale", Kind::Flag),
];
/// Rows that are written at once, and that a reader takes at once.
const GROUP_ROWS: usize = 128 << 10;
/// Bytes of labels of a group, each series counted once.
const GROUP_LABEL_BYTES: usize = 16 << 20;
/// Who wrote it, in the form that readers know.
const WRITTEN_BY: &str = concat!("landline version ", env!("CARGO_PKG_VERSION"));

/// Writes the samples of the series for which all matchers hold, from `start` to `end`, inclusive, in
/// milliseconds since 1970: series by series, each in the order of time. `told` learns how many have
/// been written, now and then. Blocks.
pub fn parquet(
    store: &Store,
    (matchers, start, end): (&[Matcher], i64, i64),
    out: &mut dyn Write,
    told: &mut dyn FnMut(u64),
) -> Result<Exported, ExportError> {
    let matchers = samples::matchers(matchers).map_err(ExportError::Matcher)?;
    let mut selection = store.select(&matchers, start, end)?;
    let all: Vec<Labels> = selection.labels().cloned().collect();
    let mut file = File::new(out);
    let mut rows = Rows::default();
    let mut exported = Exported::default();
    let mut samples = SeriesSamples::default();
    for (at, labels) in all.iter().enumerate() {
        selection.read(at, &mut samples)?;
        exported.histograms += samples.histograms.len() as u64;
        if samples.floats.times.is_empty() {
            continue;
        }
        exported.series += 1;
        let others = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
        let json = serde_json::to_string(&others.collect::<BTreeMap<_, _>>());
        let json = json.map_err(io::Error::from)?;
        let mut is_new = true;
        for (time, value, _) in samples.floats.iter() {
            if rows.is_full() {
                exported.samples += file.write(&mut rows)?;
                told(exported.samples);
                is_new = true;
            }
            if std::mem::take(&mut is_new) {
                rows.metrics.begin(labels.get(METRIC_NAME));
                rows.labels.begin(&json);
                rows.label_bytes += json.len();
            }
            rows.add(time, value);
        }
    }
    exported.samples += file.write(&mut rows)?;
    file.finish()?;
    told(exported.samples);
    Ok(exported)
}

/// The file, and bytes on their way into it.
struct File<'a> {
    out: &'a mut dyn Write,
    table: Table,
    bytes: Vec<u8>,
}

impl<'a> File<'a> {
    fn new(out: &'a mut dyn Write) -> Self {
        let mut bytes = Vec::new();
        let table = Table::new(&COLUMNS, &mut bytes);
        Self { out, table, bytes }
    }

    /// Writes and forgets all rows; gives how many there were.
    fn write(&mut self, rows: &mut Rows) -> io::Result<u64> {
        let count = rows.times.len();
        if count > 0 {
            let values = [
                Values::Texts(&rows.metrics.words, &rows.metrics.runs),
                Values::Texts(&rows.labels.words, &rows.labels.runs),
                Values::Times(&rows.times),
                Values::Numbers(&rows.values),
                Values::Flags(&rows.stale),
            ];
            let written = self.table.group(count, &values, &mut self.bytes);
            written.ok_or_else(too_large)?;
            self.flush()?;
        }
        *rows = Rows::default();
        Ok(count as u64)
    }

    fn finish(mut self) -> io::Result<()> {
        let ended = self.table.finish("samples", WRITTEN_BY, &mut self.bytes);
        ended.ok_or_else(too_large)?;
        self.out.write_all(&self.bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.bytes)?;
        self.bytes.clear();
        Ok(())
    }
}

fn too_large() -> io::Error {
    io::Error::other(
        "the format has no room for so much; choose less with --match, --since, --until",
    )
}

/// Texts of which many follow one another that are alike.
#[derive(Default)]
struct Texts {
    words: Vec<String>,
    runs: Vec<(usize, usize)>,
}

impl Texts {
    /// The rows that follow have this text.
    fn begin(&mut self, word: &str) {
        if self.words.last().is_none_or(|last| last != word) {
            self.words.push(word.to_owned());
            self.runs.push((self.words.len() - 1, 0));
        }
    }

    fn add(&mut self) {
        if let Some((_, count)) = self.runs.last_mut() {
            *count += 1;
        }
    }
}

/// Rows that are not written yet, column by column.
#[derive(Default)]
struct Rows {
    metrics: Texts,
    labels: Texts,
    times: Vec<i64>,
    values: Vec<f64>,
    stale: Vec<bool>,
    label_bytes: usize,
}

impl Rows {
    fn is_full(&self) -> bool {
        self.times.len() >= GROUP_ROWS || self.label_bytes >= GROUP_LABEL_BYTES
    }

    fn add(&mut self, time: i64, value: f64) {
        self.metrics.add();
        self.labels.add();
        self.times.push(time);
        self.values.push(value);
        self.stale.push(value.to_bits() == signals::STALE);
    }
}
