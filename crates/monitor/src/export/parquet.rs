//! Writing the samples of a store as Parquet, a row for each: what DuckDB, pandas, Spark, Trino and
//! ClickHouse read as it is.
//!
//! Labels are one text of JSON instead of a map: every reader can group by a text, and few can by a map.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{Compression, Encoding};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use query::matcher::Matcher;
use signals::{Labels, METRIC_NAME, SeriesSamples, Store};

use super::{ExportError, Exported};
use crate::samples;

/// The columns, in the order in which they are written.
const SCHEMA: &str = "message samples {
    REQUIRED BYTE_ARRAY metric (STRING);
    REQUIRED BYTE_ARRAY labels (STRING);
    REQUIRED INT64 timestamp (TIMESTAMP(MILLIS, true));
    REQUIRED DOUBLE value;
    REQUIRED BOOLEAN stale;
}";
/// Rows that are written at once, and that a reader takes at once: about ten megabytes in memory.
const GROUP_ROWS: usize = 128 << 10;
/// Bytes of labels of a group, each series counted once.
const GROUP_LABEL_BYTES: usize = 16 << 20;

/// Writes the samples of the series for which all matchers hold, from `start` to `end`, inclusive, in
/// milliseconds since 1970: series by series, each in the order of time. `told` learns how many have
/// been written, now and then. Blocks.
pub fn parquet(
    store: &Store,
    (matchers, start, end): (&[Matcher], i64, i64),
    out: &mut (dyn Write + Send),
    told: &mut dyn FnMut(u64),
) -> Result<Exported, ExportError> {
    let matchers = samples::matchers(matchers).map_err(ExportError::Matcher)?;
    let mut selection = store.select(&matchers, start, end)?;
    let all: Vec<Labels> = selection.labels().cloned().collect();
    let schema = Arc::new(parse_message_type(SCHEMA).map_err(failed)?);
    let properties = Arc::new(properties());
    let mut writer = SerializedFileWriter::new(out, schema, properties).map_err(failed)?;
    let mut rows = Rows::default();
    let mut exported = Exported::default();
    let mut samples = SeriesSamples::default();
    for (at, labels) in all.iter().enumerate() {
        selection.read(at, &mut samples)?;
        exported.histograms += samples.histograms.len() as u64;
        exported.series += u64::from(!samples.floats.times.is_empty());
        let series = Series::new(labels)?;
        let mut is_new = true;
        for (time, value, _) in samples.floats.iter() {
            if rows.is_full() {
                exported.samples += rows.write(&mut writer)?;
                told(exported.samples);
                is_new = true;
            }
            rows.add(&series, std::mem::take(&mut is_new), (time, value));
        }
    }
    exported.samples += rows.write(&mut writer)?;
    writer.close().map_err(failed)?;
    told(exported.samples);
    Ok(exported)
}

/// Texts are told once a group, times by their differences, and all of it is packed with Snappy, which
/// every reader knows.
fn properties() -> WriterProperties {
    let time = || ColumnPath::from("timestamp");
    WriterProperties::builder()
        .set_created_by(format!("landline {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::SNAPPY)
        .set_dictionary_page_size_limit(GROUP_LABEL_BYTES * 2)
        .set_column_dictionary_enabled(time(), false)
        .set_column_encoding(time(), Encoding::DELTA_BINARY_PACKED)
        .build()
}

fn failed(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(source) => io::Error::other(source),
        },
        other => io::Error::other(other),
    }
}

/// What all rows of a series have alike.
struct Series {
    metric: ByteArray,
    labels: ByteArray,
}

impl Series {
    fn new(labels: &Labels) -> io::Result<Self> {
        let others = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
        let json = serde_json::to_string(&others.collect::<BTreeMap<_, _>>())?;
        Ok(Self {
            metric: labels.get(METRIC_NAME).into(),
            labels: json.as_str().into(),
        })
    }
}

/// Rows that are not written yet, column by column.
#[derive(Default)]
struct Rows {
    metrics: Vec<ByteArray>,
    labels: Vec<ByteArray>,
    times: Vec<i64>,
    values: Vec<f64>,
    stale: Vec<bool>,
    label_bytes: usize,
}

impl Rows {
    fn is_full(&self) -> bool {
        self.times.len() >= GROUP_ROWS || self.label_bytes >= GROUP_LABEL_BYTES
    }

    /// Adds a sample of a series that is new among these rows, or not.
    fn add(&mut self, series: &Series, is_new: bool, (time, value): (i64, f64)) {
        if is_new {
            self.label_bytes += series.metric.len() + series.labels.len();
        }
        self.metrics.push(series.metric.clone());
        self.labels.push(series.labels.clone());
        self.times.push(time);
        self.values.push(value);
        self.stale.push(value.to_bits() == signals::STALE);
    }

    /// Writes and forgets all rows; gives how many there were.
    fn write<W: Write + Send>(&mut self, writer: &mut SerializedFileWriter<W>) -> io::Result<u64> {
        let count = self.times.len();
        if count > 0 {
            self.group(writer).map_err(failed)?;
        }
        self.metrics.clear();
        self.labels.clear();
        self.times.clear();
        self.values.clear();
        self.stale.clear();
        self.label_bytes = 0;
        Ok(count as u64)
    }

    fn group<W: Write + Send>(
        &self,
        writer: &mut SerializedFileWriter<W>,
    ) -> Result<(), ParquetError> {
        let mut group = writer.next_row_group()?;
        column::<ByteArrayType, W>(&mut group, &self.metrics)?;
        column::<ByteArrayType, W>(&mut group, &self.labels)?;
        column::<Int64Type, W>(&mut group, &self.times)?;
        column::<DoubleType, W>(&mut group, &self.values)?;
        column::<BoolType, W>(&mut group, &self.stale)?;
        group.close()?;
        Ok(())
    }
}

fn column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
) -> Result<(), ParquetError> {
    let missing = || ParquetError::General("a column too many".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    column.typed::<T>().write_batch(values, None, None)?;
    column.close()
}
