//! Side-by-side measurements of the gateway, all in one run: direct, through nginx, through
//! Landline. The upstream and the client are plain blocking threads, so that what is measured is
//! what stands between them.

pub mod agents;
pub mod artefacts;
pub mod keep;
pub mod latency;
pub mod nginx;
pub mod records;
pub mod report;
pub mod resources;
pub mod signals;
pub mod tunnel;
pub mod upstream;

use serde_json::{Value, json};

use crate::configuration;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Requests over all ways together.
    pub requests: usize,
    /// Rounds in which the ways take turns.
    pub rounds: usize,
    /// Seconds of the load of a thousand targets.
    pub load_seconds: u64,
    /// Starts of the program.
    pub starts: usize,
}

impl Size {
    /// What the published numbers are made with.
    pub const FULL: Self = Self {
        requests: 20_000,
        rounds: 20,
        load_seconds: 30,
        starts: 10,
    };
    /// A quick look, not for publication.
    pub const QUICK: Self = Self {
        requests: 3_000,
        rounds: 5,
        load_seconds: 8,
        starts: 3,
    };
}

/// A configuration with a target on the upstream for each of the paths: `t0`, `t1`, …
pub fn configuration(upstream: &upstream::Upstream, paths: &[&str]) -> String {
    let entry = |(number, path): (usize, &&str)| {
        json!({"name": format!("t{number}"), "url": format!("http://{}{path}", upstream.address),
            "auth": {"kind": "bearer", "token": upstream::TOKEN}})
    };
    let targets: Vec<Value> = paths.iter().enumerate().map(entry).collect();
    configuration::targets(&json!(targets))
}

/// Lets this process hold as many descriptors as it may.
pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        eprintln!("cannot raise the limit of descriptors: {error}");
    }
}
