//! Throughput, cost and latency of the lanes on loopback, beside the same without a line. The
//! line's two ends run on threads of their own, so that their CPU time can be told from that of
//! source and client:
//! `cargo test -p reach --release -- --ignored --nocapture bench`

use std::future::Future;
use std::io::Write;
use std::path::Path;

use tokio::runtime::{Builder, Runtime};

use super::*;

const RUN: Duration = Duration::from_secs(3);
const LINE_THREADS: &str = "line";

fn runtime(name: &str) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name(name)
        .enable_all()
        .build()
        .unwrap()
}

/// CPU seconds of the threads of a name, so far.
fn cpu_seconds(name: &str) -> f64 {
    let mut sum = 0;
    for entry in std::fs::read_dir("/proc/self/task").unwrap() {
        let path = entry.unwrap().path();
        let read = |file: &str| base::files::read_text_limited(&path.join(file), 4096);
        let Ok(comm) = read("comm") else {
            continue;
        };
        if comm.trim() == name {
            let nanoseconds: u64 = read("schedstat")
                .unwrap()
                .split(' ')
                .next()
                .unwrap()
                .parse()
                .unwrap();
            sum += nanoseconds;
        }
    }
    Duration::from_nanos(sum).as_secs_f64()
}

/// A source of bytes without end on one port and an echo on another.
async fn peers(scope: &Scope) -> (SocketAddr, SocketAddr) {
    let source = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = (source.local_addr().unwrap(), echo.local_addr().unwrap());
    let outer = scope.clone();
    scope.spawn("source", async move {
        while let Ok((mut stream, _)) = source.accept().await {
            outer.spawn("source stream", async move {
                let chunk = vec![7; 64 << 10];
                while stream.write_all(&chunk).await.is_ok() {}
            });
        }
    });
    let outer = scope.clone();
    scope.spawn("echo", async move {
        while let Ok((mut stream, _)) = echo.accept().await {
            stream.set_nodelay(true).unwrap();
            outer.spawn("echo stream", async move {
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await.ok();
            });
        }
    });
    addresses
}

/// A port of the proxy that leads to a target of the agent, as an operator opens one.
async fn port(line: &Line, target: SocketAddr, lane: Lane, scope: &Scope) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (line, outer) = (line.clone(), scope.clone());
    scope.spawn("port", async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let line = line.clone();
            outer.spawn("port stream", async move {
                let request = request(&format!("tcp:{target}"));
                let opened = line.open(&request, lane, PATIENCE).await.unwrap();
                copy(opened, stream).await.ok();
            });
        }
    });
    address
}

/// Megabytes in a second, and CPU seconds of the line for a gigabyte.
async fn download(address: SocketAddr, streams: usize) -> (f64, f64) {
    let mut open = Vec::new();
    for _ in 0..streams {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.read_u8().await.unwrap();
        open.push(stream);
    }
    let (start, cpu) = (base::clock::now(), cpu_seconds(LINE_THREADS));
    let work = open.into_iter().map(|mut stream| async move {
        let (mut bytes, mut buffer) = (0, vec![0; 64 << 10]);
        while start.elapsed() < RUN {
            bytes += stream.read(&mut buffer).await.unwrap();
        }
        bytes
    });
    let bytes: usize = all(work).await.into_iter().sum();
    let megabytes = bytes as f64 / 1e6;
    let cpu = cpu_seconds(LINE_THREADS) - cpu;
    (
        megabytes / start.elapsed().as_secs_f64(),
        cpu / megabytes * 1e3,
    )
}

/// Futures side by side, in one task.
async fn all<F: Future>(work: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut work: Vec<_> = work.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_done = true;
        for (future, output) in &mut work {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => is_done = false,
                }
            }
        }
        if is_done {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    work.into_iter().filter_map(|(_, output)| output).collect()
}

/// Connects, echoes a byte, and tells how long that took.
async fn connect_and_echo(address: SocketAddr) -> Duration {
    let start = base::clock::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(b"x").await.unwrap();
    stream.read_u8().await.unwrap();
    start.elapsed()
}

async fn latencies(address: SocketAddr) -> (Duration, Duration) {
    let mut times = Vec::new();
    for _ in 0..1000 {
        times.push(connect_and_echo(address).await);
    }
    times.sort();
    (times[500], times[990])
}

async fn rate(address: SocketAddr) -> f64 {
    let start = base::clock::now();
    let work = (0..16).map(|_| async move {
        let mut count = 0;
        while start.elapsed() < RUN {
            connect_and_echo(address).await;
            count += 1;
        }
        count
    });
    let count: i32 = all(work).await.into_iter().sum();
    f64::from(count) / start.elapsed().as_secs_f64()
}

/// Kilobytes of memory for each idle connection and end of the line, client and target included.
async fn idle_cost(address: SocketAddr) -> f64 {
    const CONNECTIONS: usize = 2000;
    let before = resident_kilobytes();
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        stream.read_u8().await.unwrap();
        open.push(stream);
    }
    let cost = resident_kilobytes() - before;
    drop(open);
    cost / CONNECTIONS as f64 / 2.0
}

fn resident_kilobytes() -> f64 {
    let statm = base::files::read_text_limited(Path::new("/proc/self/statm"), 256).unwrap();
    let pages: u32 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    f64::from(pages) * 4.0
}

fn load() -> String {
    base::files::read_text_limited(Path::new("/proc/loadavg"), 256).unwrap()
}

#[test]
#[ignore = "measures: cargo test -p reach --release -- --ignored --nocapture bench"]
fn bench() {
    let say = |text: String| writeln!(std::io::stderr(), "{text}").unwrap();
    let (line_runtime, peer_runtime) = (runtime(LINE_THREADS), runtime("peer"));
    let (sources, echoes, _supervisor) = peer_runtime.block_on(async {
        let (supervisor, scope) = scope().await;
        let (source, echo) = peers(&scope).await;
        (source, echo, supervisor)
    });
    let (mut rig, ports) = line_runtime.block_on(async move {
        let rig = rig().await;
        until("bulk connections", || rig.line.state().bulk_idle > 0).await;
        let mut ports = Vec::new();
        for lane in [Lane::Interactive, Lane::Bulk] {
            ports.push(port(&rig.line, sources, lane, &rig.scope).await);
        }
        ports.push(port(&rig.line, echoes, Lane::Interactive, &rig.scope).await);
        (rig, ports)
    });
    say(format!("load {}", load()));
    peer_runtime.block_on(async {
        for (name, address) in [
            ("direct", sources),
            ("interactive", ports[0]),
            ("bulk", ports[1]),
        ] {
            for streams in [1, 16] {
                let (rate, cost) = download(address, streams).await;
                say(format!(
                    "{name:12} {streams:2} streams {rate:6.0} MB/s  {cost:5.2} CPU s/GB"
                ));
            }
        }
        let idle = idle_cost(ports[2]).await;
        say(format!("{idle:.1} kB for each end of an idle connection"));
        for (name, address) in [("direct", echoes), ("interactive", ports[2])] {
            let (p50, p99) = latencies(address).await;
            let rate = rate(address).await;
            say(format!(
                "{name:12} connect+echo p50 {p50:?} p99 {p99:?}, 16 parallel {rate:.0}/s"
            ));
        }
    });
    say(format!("load {}", load()));
    rig.line.close("done");
    line_runtime.block_on(async { rig.agent.next().await });
}
