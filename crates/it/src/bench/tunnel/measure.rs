//! The clients of the tunnel benchmark: what they do to a port, and what it cost the processes between
//! them and the target.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::target::{ECHO, SOURCE};
use super::ways::Way;
use crate::proc;

/// How long anything may take that should take no time at all.
const STEP: Duration = Duration::from_secs(10);
/// What a client reads at once.
const READ_BYTES: usize = 256 << 10;
/// Connections that do nothing, for what they cost in memory.
const IDLE: usize = 800;
/// Downloads beside which latencies are measured.
const BULK: usize = 4;
/// Readers that never read.
const STUCK: usize = 8;
/// Connections of wrk.
const WRK: usize = 32;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Each throughput and rate.
    pub run: Duration,
    /// Connections for a latency.
    pub echoes: usize,
}

/// Everything about one way.
pub async fn everything(way: &Way, size: Size) -> Value {
    let mut found = json!({});
    for streams in [1, 16] {
        found[format!("download_{streams}")] = download(way, streams, size).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    found["idle_latency"] = latency(way.tcp, size.echoes).await;
    found["rate"] = rate(way, size).await;
    found["latency_under_bulk"] = under_bulk(way.tcp, way.tcp, size).await;
    found["latency_beside_stuck"] = beside_stuck(way.tcp, size).await;
    found["idle_connection"] = idle_connections(way).await;
    found["http"] = http(way, size).await;
    found
}

/// A connection that has said what it wants.
async fn open(address: SocketAddr, wanted: &[u8]) -> TcpStream {
    let opening = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(wanted).await?;
        Ok::<_, std::io::Error>(stream)
    };
    tokio::time::timeout(STEP, opening).await.unwrap().unwrap()
}

/// Connects, and has one byte come back.
async fn connect_and_echo(address: SocketAddr) -> TcpStream {
    let mut stream = open(address, &[ECHO, b'x']).await;
    let answer = tokio::time::timeout(STEP, stream.read_u8()).await;
    assert_eq!(answer.expect("an echo in time").unwrap(), b'x');
    stream
}

/// Megabytes a second and processor seconds for a gigabyte.
async fn download(way: &Way, streams: usize, size: Size) -> Value {
    let mut open = join_all((0..streams).map(|_| open(way.tcp, &[SOURCE]))).await;
    for stream in &mut open {
        let first = tokio::time::timeout(STEP, stream.read_u8()).await;
        first.expect("a byte in time").unwrap();
    }
    // Windows and buffers have grown.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (begun, cpu) = (Instant::now(), way.cpu_seconds());
    let readers = open.into_iter().map(|stream| read_for(stream, size.run));
    let bytes: u64 = joined(readers.map(tokio::spawn)).await.into_iter().sum();
    let (elapsed, cpu) = (begun.elapsed().as_secs_f64(), way.cpu_seconds() - cpu);
    let gigabytes = bytes as f64 / 1e9;
    json!({
        "megabytes_per_second": gigabytes * 1e3 / elapsed,
        "cpu_seconds_per_gigabyte": cpu / gigabytes,
    })
}

async fn read_for(mut stream: TcpStream, run: Duration) -> u64 {
    let mut buffer = vec![0; READ_BYTES];
    let (begun, mut bytes) = (Instant::now(), 0);
    while begun.elapsed() < run {
        let read = tokio::time::timeout(STEP, stream.read(&mut buffer)).await;
        bytes += read.expect("bytes in time").unwrap() as u64;
    }
    bytes
}

async fn joined<T>(tasks: impl Iterator<Item = JoinHandle<T>>) -> Vec<T> {
    let results = join_all(tasks).await;
    results.into_iter().map(Result::unwrap).collect()
}

/// Microseconds of connect and echo, one after the other.
async fn latency(address: SocketAddr, echoes: usize) -> Value {
    // A task of its own: the thread that blocks on the whole is woken more slowly.
    let measuring = tokio::spawn(async move {
        let mut times = Vec::with_capacity(echoes);
        for _ in 0..echoes {
            let begun = Instant::now();
            drop(connect_and_echo(address).await);
            times.push(begun.elapsed().as_secs_f64() * 1e6);
        }
        times
    });
    let mut times = measuring.await.unwrap();
    times.sort_by(f64::total_cmp);
    let at = |part: usize| times[(times.len() * part / 1000).min(times.len() - 1)].round();
    json!({"p50_us": at(500), "p99_us": at(990)})
}

/// Connections a second at sixteen in parallel, and what one costs.
async fn rate(way: &Way, size: Size) -> Value {
    let (address, begun, cpu) = (way.tcp, Instant::now(), way.cpu_seconds());
    let workers = (0..16).map(|_| {
        tokio::spawn(async move {
            let mut count = 0u32;
            while begun.elapsed() < size.run {
                drop(connect_and_echo(address).await);
                count += 1;
            }
            count
        })
    });
    let count: u32 = joined(workers).await.into_iter().sum();
    let elapsed = begun.elapsed().as_secs_f64();
    let cpu = way.cpu_seconds() - cpu;
    json!({
        "connections_per_second": (f64::from(count) / elapsed).round(),
        "cpu_us_per_connection": (cpu * 1e6 / f64::from(count)).round(),
    })
}

/// Latency at `address` while downloads run over `bulk`.
pub async fn under_bulk(address: SocketAddr, bulk: SocketAddr, size: Size) -> Value {
    let downloads: Vec<_> = (0..BULK)
        .map(|_| {
            tokio::spawn(async move {
                let stream = open(bulk, &[SOURCE]).await;
                read_for(stream, Duration::from_mins(10)).await
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let latency = latency(address, size.echoes / 2).await;
    for download in downloads {
        download.abort();
    }
    // What was under way is read or thrown away.
    tokio::time::sleep(Duration::from_millis(300)).await;
    latency
}

/// Latency while others never read what comes for them.
async fn beside_stuck(address: SocketAddr, size: Size) -> Value {
    let stuck = join_all((0..STUCK).map(|_| open(address, &[SOURCE]))).await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    let latency = latency(address, size.echoes).await;
    drop(stuck);
    latency
}

/// Kilobytes of memory that each process has for one connection that does nothing.
async fn idle_connections(way: &Way) -> Value {
    let resident = |pid: &u32| proc::rss_kib(*pid).unwrap_or_default() as f64;
    let pids = way.pids();
    if pids.is_empty() {
        return Value::Null;
    }
    // What earlier connections took and gave back is there to be used again.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before: Vec<f64> = pids.iter().map(resident).collect();
    let mut open = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        open.push(connect_and_echo(way.tcp).await);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let now = way.pids();
    let grown = pids
        .iter()
        .zip(&before)
        .map(|(pid, before)| resident(pid) - before);
    let grown: f64 = grown.fold(0.0, f64::max);
    // A process for each connection is memory, too.
    let fresh = now.iter().filter(|pid| !pids.contains(pid)).map(resident);
    let grown = grown + fresh.sum::<f64>();
    drop(open);
    json!({"kib_in_largest_process": (grown / IDLE as f64 * 10.0).round() / 10.0})
}

/// HTTP requests a second and what one costs, by wrk.
async fn http(way: &Way, size: Size) -> Value {
    let (Some(http), Ok(wrk)) = (&way.http, std::env::var("LANDLINE_TEST_WRK")) else {
        return Value::Null;
    };
    let mut command = Command::new(wrk);
    command.args(["-t1", &format!("-c{WRK}")]);
    command.arg(format!("-d{}s", size.run.as_secs().max(1)));
    for header in &http.headers {
        command.args(["-H", header]);
    }
    command.arg(&http.url);
    let cpu = way.cpu_seconds();
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = String::from_utf8(output.await.unwrap().stdout).unwrap();
    let cpu = way.cpu_seconds() - cpu;
    let find = |after: &str, before: &str| {
        let line = output.lines().find(|line| line.contains(after))?;
        let line = line.trim().trim_start_matches(after).trim();
        line.split(before).next()?.trim().parse::<f64>().ok()
    };
    let requests = find("requests in", "requests").unwrap_or(f64::NAN);
    assert!(
        !output.contains("Non-2xx") && requests > 0.0,
        "{}: {output}",
        way.name
    );
    json!({
        "requests_per_second": find("Requests/sec:", " "),
        "cpu_us_per_request": (cpu * 1e6 / requests * 10.0).round() / 10.0,
    })
}
