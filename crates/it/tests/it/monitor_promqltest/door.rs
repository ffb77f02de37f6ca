//! The door to queries over HTTP: series go in by remote write, questions by the API v1.

use std::cell::RefCell;
use std::sync::Arc;

use it::client::{Connection, Reply};
use it::program::Program;
use it::prometheus::Prometheus;
use it::samples::{self, Series};
use query::histogram::{Bucket, Histogram, ResetHint};
use query::promql::engine::{Outcome, QueryError};
use query::source::{Selection, SeriesData, Source as _};
use tokio::runtime::Runtime;
use wire::histogram::Span;
use wire::remote_write::{HistogramSample, Sample, Version};

use super::answer;
use super::memory::Memory;
use super::run::Door;
use super::script::Load;

/// Who is asked.
#[derive(Debug)]
pub(crate) enum Peer {
    /// Ours; all series are deleted with the token of its first administrator.
    Landline(Program),
    /// The original, which is started anew instead, and knows remote write 1.0 only.
    Prometheus(String, Option<Prometheus>),
}

/// A peer, and a connection to it.
pub(crate) struct Http {
    peer: Peer,
    runtime: Runtime,
    connection: RefCell<Option<Connection>>,
    authority: String,
    is_empty: bool,
    loads: usize,
    /// What was not stored, by the reason that was given.
    pub(crate) refused: Vec<String>,
}

impl Http {
    /// Starts the program.
    pub(crate) fn landline() -> Self {
        let runtime = runtime();
        let configuration = serde_json::json!({
            "cluster": "home",
            "roles": ["auth", "proxy", "monitor"],
            "listen": "127.0.0.1:0",
            "data_dir": "./data",
            "monitor": {
                "hosts": false,
                "gateway": false,
                "retention": "forever",
                "out_of_order": "100000d",
            },
        });
        let program = runtime.block_on(Program::start(&configuration.to_string()));
        let authority = program.main.to_string();
        Self::new(Peer::Landline(program), authority, runtime)
    }

    /// Starts `program`, a Prometheus.
    pub(crate) fn prometheus(program: String) -> Self {
        let mut door = Self::new(Peer::Prometheus(program, None), String::new(), runtime());
        door.begin_anew();
        door
    }

    fn new(peer: Peer, authority: String, runtime: Runtime) -> Self {
        Self {
            peer,
            runtime,
            connection: RefCell::default(),
            authority,
            is_empty: true,
            loads: 0,
            refused: Vec::new(),
        }
    }

    fn begin_anew(&mut self) {
        let Peer::Prometheus(program, running) = &mut self.peer else {
            return;
        };
        let configuration = "storage: {tsdb: {out_of_order_time_window: 1000000h}}\n";
        let arguments = [
            "--web.enable-remote-write-receiver",
            "--enable-feature=native-histograms",
            "--storage.tsdb.retention.time=100y",
        ];
        drop(running.take());
        let started = Prometheus::start_with(program, configuration, &arguments);
        let started = self.runtime.block_on(started);
        self.authority = started.authority();
        *running = Some(started);
        self.connection.take();
    }

    fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Outcome, QueryError> {
        let form = samples::with_parameters("", parameters);
        let form = form.trim_start_matches('?');
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let reply = self.exchange(async |connection| {
            connection
                .send("POST", path, &headers, form)
                .await
                .unwrap_or_else(|error| panic!("{path} {parameters:?}: {error}"))
        });
        answer::read(&reply.json())
    }

    fn send(&self, version: Version, series: &[Series]) -> Result<(), String> {
        let reply = self
            .exchange(async |connection| samples::send(connection, version, series).await.unwrap());
        let is_stored = reply.status == 204;
        is_stored.then_some(()).ok_or_else(|| reply.text())
    }

    fn exchange(&self, send: impl AsyncFnOnce(&mut Connection) -> Reply) -> Reply {
        self.runtime.block_on(async {
            let kept = self.connection.take();
            let mut connection = match kept.filter(|kept| !kept.is_closed()) {
                Some(kept) => kept,
                None => Connection::open(&self.authority).await.unwrap(),
            };
            let reply = send(&mut connection).await;
            self.connection.replace(Some(connection));
            reply
        })
    }
}

impl Door for Http {
    fn clear(&mut self) {
        if self.is_empty {
            return;
        }
        self.is_empty = true;
        let Peer::Landline(program) = &self.peer else {
            return self.begin_anew();
        };
        let matching = [("match[]", "{__name__=~\".+\"}")];
        let path = samples::with_parameters("/api/v1/admin/tsdb/delete_series", &matching);
        let deleted = it::cluster::admin(program, "POST", &path, "");
        let reply = self.runtime.block_on(deleted);
        assert_eq!(reply.status, 204, "{}", reply.text());
    }

    fn load(&mut self, load: &Load) {
        let series = series_of(load);
        self.is_empty = self.is_empty && series.is_empty();
        self.loads += 1;
        let has_starts = series.iter().any(|series| {
            let floats = series.samples.iter().any(|sample| sample.start != 0);
            floats || series.histograms.iter().any(|sample| sample.start != 0)
        });
        let knows_two = matches!(self.peer, Peer::Landline(_));
        let version = if knows_two && (has_starts || self.loads % 2 == 1) {
            Version::Two
        } else {
            Version::One
        };
        if let Err(reason) = self.send(version, &series) {
            self.refused.push(reason);
            // The original takes nothing of a request in which something is new to its version.
            for one in series {
                self.send(version, &[one]).ok();
            }
        }
    }

    fn instant(&self, text: &str, time_ms: i64) -> Result<Outcome, QueryError> {
        let time = seconds(time_ms);
        self.ask("/api/v1/query", &[("query", text), ("time", &time)])
    }

    fn range(
        &self,
        text: &str,
        (start, end, step): (i64, i64, i64),
    ) -> Result<Outcome, QueryError> {
        let (start, end, step) = (seconds(start), seconds(end), seconds(step));
        let parameters = [
            ("query", text),
            ("start", start.as_str()),
            ("end", &end),
            ("step", &step),
        ];
        self.ask("/api/v1/query_range", &parameters)
    }
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

fn seconds(milliseconds: i64) -> String {
    (milliseconds as f64 / 1000.0).to_string()
}

/// The series that the runner in process would store: both store the same.
fn series_of(load: &Load) -> Vec<Series> {
    let mut memory = Memory::default();
    memory.load(load);
    let everything = Selection {
        matchers: &[],
        after_ms: -1,
        until_ms: i64::MAX,
        series_max: usize::MAX,
        samples_max: usize::MAX,
    };
    let found = memory.select(&everything).unwrap();
    found.iter().map(series).collect()
}

fn series(data: &SeriesData) -> Series {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let numbered = data.timestamps.iter().zip(&data.values).enumerate();
    let samples = numbered.map(|(place, (timestamp, value))| Sample {
        value: *value,
        timestamp: *timestamp,
        start: data.starts.get(place).copied().unwrap_or_default(),
    });
    let histograms = data.histograms.iter().map(|sample| HistogramSample {
        histogram: histogram(&sample.histogram),
        timestamp: sample.timestamp,
        start: sample.start,
    });
    Series {
        labels: data.labels.iter().map(owned).collect(),
        samples: samples.collect(),
        histograms: histograms.collect(),
    }
}

fn histogram(from: &Arc<Histogram>) -> wire::histogram::Histogram {
    let (positive_spans, positive) = buckets(&from.positive);
    let (negative_spans, negative) = buckets(&from.negative);
    wire::histogram::Histogram {
        schema: from.schema,
        is_float: true,
        reset_hint: match from.reset_hint {
            ResetHint::Unknown => wire::histogram::ResetHint::Unknown,
            ResetHint::Reset => wire::histogram::ResetHint::Reset,
            ResetHint::NotReset => wire::histogram::ResetHint::NotReset,
            ResetHint::Gauge => wire::histogram::ResetHint::Gauge,
        },
        zero_threshold: from.zero_threshold,
        zero_count: from.zero_count,
        count: from.count,
        sum: from.sum,
        positive_spans,
        negative_spans,
        positive,
        negative,
        custom_bounds: from.custom_values.to_vec(),
    }
}

/// Buckets as a sender tells them: where they follow one another, and how many they count.
fn buckets(buckets: &[Bucket]) -> (Vec<Span>, Vec<f64>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut next = 0;
    for bucket in buckets {
        let offset = bucket.index - next;
        match spans.last_mut() {
            Some(last) if offset == 0 => last.length += 1,
            _ => spans.push(Span { offset, length: 1 }),
        }
        next = bucket.index + 1;
    }
    let counts = buckets.iter().map(|bucket| bucket.count);
    (spans, counts.collect())
}
