//! Latency and processor time per scrape of the three ways, taking turns. Client and page are on one
//! core, what stands between them on another: where the scheduler happens to put them decides more
//! than the proxies do (the same programs gave 1.2 and 2.2 times in two runs a minute apart), because
//! waking a core that sleeps costs more than a proxy's work.

use std::time::Duration;

use serde_json::{Value, json};

use super::Size;
use super::keep::Keep;
use super::nginx::Nginx;
use super::upstream::{TOKEN, Upstream};
use crate::proc;
use crate::program::Program;

/// Requests before anything is measured.
const WARM_UP: usize = 200;

/// One way to the page, and what was measured on it.
pub struct Way<'a> {
    name: &'static str,
    keep: Keep,
    cpu: Box<dyn Fn() -> f64 + 'a>,
    cpu_used: f64,
    times: Vec<Duration>,
}

impl std::fmt::Debug for Way<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Way")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Measures direct, nginx (when there is one) and Landline.
pub fn measure(size: Size, upstream: &Upstream, nginx: Option<&Nginx>, program: &Program) -> Value {
    let bearer = format!("authorization: Bearer {TOKEN}\r\n");
    let open = |address, path: &str, headers: &str| Keep::open(address, path, headers).unwrap();
    let mut ways = vec![way(
        "direct",
        open(upstream.address, "/metrics", &bearer),
        || 0.0,
    )];
    if let Some(nginx) = nginx {
        let keep = open(nginx.address, "/metrics", "");
        ways.push(way("nginx", keep, || nginx.cpu_seconds()));
    }
    let pid = program.pid();
    let keep = open(program.gateway, "/metrics/t0", "");
    ways.push(way("landline", keep, move || {
        proc::cpu_seconds(pid).unwrap_or(0.0)
    }));
    let apart = Apart::new(nginx.map(Nginx::pids).unwrap_or_default(), pid);
    for way in &mut ways {
        way.run(WARM_UP);
        way.times.clear();
        way.cpu_used = 0.0;
    }
    let turn = size.requests / ways.len() / size.rounds;
    for _ in 0..size.rounds {
        for way in &mut ways {
            way.run(turn);
        }
    }
    let mut summary: serde_json::Map<_, _> = ways
        .into_iter()
        .map(|way| (way.name.to_owned(), way.summary()))
        .collect();
    summary.insert("cores_apart".to_owned(), json!(apart.is_some()));
    Value::Object(summary)
}

/// Client and page on one core, proxies on another, until it is dropped.
struct Apart {
    own: Vec<usize>,
}

impl Apart {
    /// None where there is one core only, or it is not allowed.
    fn new(mut proxies: Vec<u32>, program: u32) -> Option<Self> {
        let own = proc::own_cores();
        let [first, second, ..] = own[..] else {
            eprintln!("NOT APART: there is one core only");
            return None;
        };
        proxies.push(program);
        let mut kept = proc::keep_to_cores(std::process::id(), &[first]);
        for pid in proxies {
            kept = kept.and(proc::keep_to_cores(pid, &[second]));
        }
        if let Err(error) = kept {
            eprintln!("NOT APART: cannot keep processes to cores: {error}");
            return None;
        }
        Some(Self { own })
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Err(error) = proc::keep_to_cores(std::process::id(), &self.own) {
            eprintln!("cannot use all cores again: {error}");
        }
    }
}

/// A way with nothing measured yet.
fn way<'a>(name: &'static str, keep: Keep, cpu: impl Fn() -> f64 + 'a) -> Way<'a> {
    Way {
        name,
        keep,
        cpu: Box::new(cpu),
        cpu_used: 0.0,
        times: Vec::new(),
    }
}

impl Way<'_> {
    /// One turn.
    fn run(&mut self, requests: usize) {
        let before = (self.cpu)();
        for _ in 0..requests {
            match self.keep.ask() {
                Ok(time) => self.times.push(time),
                Err(error) => panic!("{}: {error}", self.name),
            }
        }
        self.cpu_used += (self.cpu)() - before;
    }

    /// Microseconds.
    fn summary(mut self) -> Value {
        self.times.sort();
        let count = self.times.len();
        let at = |part: usize| self.times[(count * part / 1000).min(count - 1)].as_secs_f64() * 1e6;
        json!({
            "requests": count,
            "median_us": at(500).round(),
            "p95_us": at(950).round(),
            "p99_us": at(990).round(),
            "cpu_us_per_scrape": (self.cpu_used / count as f64 * 1e6).round(),
            "bytes": self.keep.body().len(),
        })
    }
}
