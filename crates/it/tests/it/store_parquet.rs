//! `landline store export --parquet`, read by pyarrow and by DuckDB.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use it::need::need;
use it::program::{Program, command_in, program_path};
use it::samples::{self, Series};
use it::{client, proc, wait};
use rustix::process::Signal;
use serde_json::{Value, json};
use wire::histogram::{Histogram, Span};
use wire::remote_write::{HistogramSample, Version};

/// The staleness marker.
const STALE: u64 = 0x7ff0_0000_0000_0002;
/// Of the large file.
const SERIES: i64 = 200;
const SAMPLES: i64 = 5_000;
const AT_ONCE: i64 = 125;
/// The longest that a million samples take to go out.
const WRITTEN: Duration = Duration::from_mins(2);
/// A million rows have 81 bytes each in memory, and far fewer are held at once.
const HELD_KIB_MAX: u64 = 64 << 10;

/// Every row as JSON, as pyarrow has them and as DuckDB has them.
const ROWS: &str = r#"
import duckdb, json, pyarrow.parquet, struct, sys
bits = lambda value: str(struct.unpack("<Q", struct.pack("<d", value))[0])
table = pyarrow.parquet.read_table(sys.argv[1])
assert str(table.schema.field("timestamp").type) == "timestamp[ms, tz=UTC]", table.schema
stamps = table.column("timestamp").cast("int64").to_pylist()
columns = [table.column(name).to_pylist() for name in ["metric", "labels", "value", "stale"]]
arrow = [[m, l, t, bits(v), s] for t, m, l, v, s in zip(stamps, *columns)]
query = "SELECT metric, labels, epoch_ms(timestamp), value, stale FROM read_parquet(?, file_row_number=true) ORDER BY file_row_number"
duck = [[m, l, t, bits(v), s] for m, l, t, v, s in duckdb.execute(query, [sys.argv[1]]).fetchall()]
print(json.dumps({"arrow": arrow, "duck": duck}))
"#;

/// Whether a large file has what was sent, in its order, and how it is divided.
const LARGE: &str = r#"
import duckdb, json, pyarrow.parquet, sys
path, series, samples, begin = sys.argv[1], *map(int, sys.argv[2:])
at = 0
for batch in pyarrow.parquet.ParquetFile(path).iter_batches(columns=["labels", "timestamp", "value"]):
    columns = [batch.column(0).to_pylist(), batch.column(1).cast("int64").to_pylist(), batch.column(2).to_pylist()]
    for labels, time, value in zip(*columns):
        one, number = divmod(at, samples)
        assert labels == '{"series":"%03d"}' % one, (at, labels)
        assert time == begin + number * 1000, (at, time)
        assert value == one * samples + number, (at, value)
        at += 1
assert at == series * samples, at
sums = duckdb.execute("SELECT labels->>'series' AS s, count(*), max(value) FROM read_parquet(?) GROUP BY s ORDER BY s", [path]).fetchall()
assert sums == [("%03d" % one, samples, float(one * samples + samples - 1)) for one in range(series)], sums[:3]
print(pyarrow.parquet.ParquetFile(path).num_row_groups)
"#;

fn python(python: &str, script: &str, arguments: &[&str]) -> String {
    let output = Command::new(python)
        .args(["-c", script])
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_millis()).unwrap()
}

async fn end(program: &mut Program) {
    program.signal(Signal::TERM);
    assert_eq!(program.wait_exit(wait::SOON).await, 0);
}

/// Numbers of all kinds, and a histogram that has no row.
fn odd(begin: i64) -> Vec<Series> {
    let numbers = [
        0.0,
        -0.0,
        1.5,
        f64::NAN,
        f64::from_bits(STALE),
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        5e-324,
    ];
    let odd = Series::new(&[("__name__", "odd"), ("kind", "ü \"'\\\n\t"), ("a.b", "c")]);
    let odd = numbers.iter().zip(0..).fold(odd, |series, (number, at)| {
        series.at(begin + at * 1_000, *number)
    });
    let mut histogram = Series::new(&[("__name__", "seconds")]);
    histogram.histograms.push(HistogramSample {
        histogram: Histogram {
            count: 3.0,
            sum: 2.0,
            positive_spans: vec![Span {
                offset: 0,
                length: 1,
            }],
            positive: vec![3.0],
            ..Histogram::default()
        },
        timestamp: begin,
        start: 0,
    });
    let plain = Series::new(&[("__name__", "plain")]).at(begin, 7.0);
    vec![odd, plain, histogram]
}

#[tokio::test]
async fn parquet_has_what_was_sent() {
    let Some(reader) = need("PARQUET") else {
        return;
    };
    let mut program = Program::start(&samples::monitor(json!({}))).await;
    let begin = now() - 60_000;
    let series = odd(begin);
    samples::write(&program.main.to_string(), Version::Two, &series).await;
    end(&mut program).await;
    let folder = program.directory.path();
    let output = command_in(folder, &["store", "export", "--parquet", "out.parquet"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("10 samples of 2 series"), "{said}");
    assert!(said.contains("1 native histograms are left out"), "{said}");
    let path = folder.join("out.parquet");
    let found = python(&reader, ROWS, &[path.to_str().unwrap()]);
    let found: Value = serde_json::from_str(&found).unwrap();
    let labels = json!({"a.b": "c", "kind": "ü \"'\\\n\t"}).to_string();
    let mut wanted: Vec<Value> = series[0]
        .samples
        .iter()
        .map(|sample| {
            let bits = sample.value.to_bits();
            let is_stale = bits == STALE;
            json!(["odd", labels, sample.timestamp, bits.to_string(), is_stale])
        })
        .collect();
    let seven = 7.0_f64.to_bits().to_string();
    wanted.push(json!(["plain", "{}", begin, seven, false]));
    assert_eq!(found["arrow"], Value::Array(wanted.clone()));
    assert_eq!(found["duck"], Value::Array(wanted));
    let both = ["--parquet", "a", "--output", "b"];
    let refused = command_in(folder, &[&["store", "export"], &both[..]].concat());
    assert_eq!(refused.status.code(), Some(64));
}

/// Runs an export and gives its highest resident memory in KiB.
async fn exported(folder: &Path, arguments: &[&str]) -> u64 {
    let mut child = Command::new(program_path())
        .args(["store", "export"])
        .args(arguments)
        .current_dir(folder)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak = 0;
    let status = wait::until("the export ends", WRITTEN, async || {
        peak = peak.max(proc::status_kib(child.id(), "VmHWM").unwrap_or(0));
        child.try_wait().unwrap()
    })
    .await;
    assert!(status.success());
    peak
}

#[tokio::test]
async fn a_million_samples_go_through_little_memory() {
    let Some(reader) = need("PARQUET") else {
        return;
    };
    let mut program = Program::start(&samples::monitor(json!({}))).await;
    let begin = now() - SAMPLES * 1_000;
    let mut connection = client::Connection::open(&program.main.to_string())
        .await
        .unwrap();
    for first in (0..SAMPLES).step_by(usize::try_from(AT_ONCE).unwrap()) {
        let series = |one: i64| {
            let name = format!("{one:03}");
            let series = Series::new(&[("__name__", "many"), ("series", &name)]);
            (first..first + AT_ONCE).fold(series, |series, number| {
                series.at(begin + number * 1_000, (one * SAMPLES + number) as f64)
            })
        };
        let series: Vec<Series> = (0..SERIES).map(series).collect();
        let reply = samples::send(&mut connection, Version::Two, &series).await;
        assert_eq!(reply.unwrap().status, 204);
    }
    drop(connection);
    end(&mut program).await;
    let folder = program.directory.path();
    let few = [
        "--match",
        "many{series=\"000\"}",
        "--parquet",
        "few.parquet",
    ];
    let few = exported(folder, &few).await;
    let all = exported(folder, &["--parquet", "all.parquet"]).await;
    assert!(all < few + HELD_KIB_MAX, "{few} KiB for few, {all} for all");
    let path = folder.join("all.parquet");
    let bytes = path.metadata().unwrap().len();
    it::relayed::note(&format!(
        "a million rows: {bytes} bytes of Parquet, {few} and {all} KiB at most"
    ));
    let arguments = [SERIES, SAMPLES, begin].map(|number| number.to_string());
    let [series, count, begin] = &arguments;
    let groups = python(
        &reader,
        LARGE,
        &[path.to_str().unwrap(), series, count, begin],
    );
    assert_eq!(groups.trim(), "8");
}
