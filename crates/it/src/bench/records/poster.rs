//! Blocking clients that post records over kept connections, as fast as they are answered.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::corpus::{self, Random};

/// When they stop.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// After this time.
    Passed(Duration),
    /// After this many records, all clients together.
    Sent(u64),
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Posted {
    /// From the first byte sent to the last one read, sorted.
    pub(super) times: Vec<Duration>,
    /// Answers other than 201.
    pub(super) failed: u64,
}

impl Posted {
    /// In milliseconds, with a hundredth.
    pub(super) fn quantile(&self, quantile: f64) -> f64 {
        let last = self.times.len().saturating_sub(1) as f64;
        let is_there = |(index, _): &(usize, &Duration)| *index as f64 >= (last * quantile).round();
        let found = self.times.iter().enumerate().find(is_there);
        let time = found.map_or(Duration::ZERO, |(_, time)| *time);
        (time.as_secs_f64() * 1e5).round() / 100.0
    }
}

/// Seeds differ from run to run of one process, so that nothing is sent twice.
static SEED: AtomicU64 = AtomicU64::new(1);

/// Posts with so many clients at once, each as fast as it is answered.
pub(super) fn run(address: SocketAddr, clients: usize, until: Until) -> Posted {
    run_paced(address, clients, until, Duration::ZERO)
}

/// The same, where no client begins more often than this.
pub(super) fn run_paced(
    address: SocketAddr,
    clients: usize,
    until: Until,
    pace: Duration,
) -> Posted {
    let sent = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let client = |client: usize| {
        // Clients of a fleet do not begin together.
        let delay = pace * u32::try_from(client).unwrap_or(0) / u32::try_from(clients).unwrap_or(1);
        let sent = Arc::clone(&sent);
        let seed = SEED.fetch_add(1, Ordering::Relaxed);
        std::thread::spawn(move || {
            let is_over = || match until {
                Until::Passed(limit) => begun.elapsed() >= limit,
                Until::Sent(count) => sent.fetch_add(1, Ordering::Relaxed) >= count,
            };
            std::thread::sleep(delay);
            post(address, seed, pace, is_over)
        })
    };
    let threads: Vec<_> = (0..clients).map(client).collect();
    let mut all = Posted::default();
    for thread in threads {
        let one = thread.join().unwrap();
        all.times.extend(one.times);
        all.failed += one.failed;
    }
    all.times.sort_unstable();
    all
}

fn post(address: SocketAddr, seed: u64, pace: Duration, is_over: impl Fn() -> bool) -> Posted {
    let mut random = Random::new(seed);
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream);
    let host = address.to_string();
    let mut posted = Posted::default();
    let mut body = Vec::new();
    while !is_over() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let request = corpus::request(&mut random, &host, now.as_secs());
        let begun = Instant::now();
        reader.get_mut().write_all(&request).unwrap();
        let mut status = String::new();
        let read = reader.read_line(&mut status).unwrap();
        assert!(read > 0, "the collector has gone");
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line == "\r\n" {
                break;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        body.resize(length, 0);
        reader.read_exact(&mut body).unwrap();
        if status.starts_with("HTTP/1.1 201") {
            posted.times.push(begun.elapsed());
        } else {
            posted.failed += 1;
        }
        std::thread::sleep(pace.saturating_sub(begun.elapsed()));
    }
    posted
}
