//! The machine's own metrics, under the names, labels and types that Prometheus' node_exporter 1.5
//! gave them, because all dashboards and rules of the field are written for these.
//!
//! Each collector is one file here, reads `/proc` and `/sys` and writes text exposition. What a
//! machine doesn't have is left out. Nothing here waits: only asking a file system of another machine
//! may, and that is done in `mounts`.

mod clock;
mod cpu;
mod diskstats;
mod files;
mod filesystem;
mod kernel;
mod memory;
mod mounts;
mod netclass;
mod netdev;
mod netstat;
mod page;
mod pressure;
mod raid;
mod sensors;
mod system;
mod web;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base::clock as base_clock;

use files::{CollectError, Files};
use page::{Kind, Page};
pub use web::{PATH, routes};

/// Where the machine is found.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file system `proc`; in a container that watches its host, where the host's is mounted.
    pub proc: PathBuf,
    /// The file system `sysfs`.
    pub sys: PathBuf,
    /// The root of the file systems: their use is asked below it, and it is left out of labels.
    pub root: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            proc: PathBuf::from("/proc"),
            sys: PathBuf::from("/sys"),
            root: PathBuf::from("/"),
        }
    }
}

/// The machine, and what has to be known of it from one collection to the next.
#[derive(Debug)]
pub struct Host {
    machine: Mutex<Machine>,
}

/// What collectors work with.
#[derive(Debug)]
struct Machine {
    files: Files,
    processors: cpu::Processors,
    mounts: mounts::Mounts,
    /// Collectors whose failure has been told.
    told: HashSet<&'static str>,
}

/// Reads a part of the machine and writes it.
type Collect = fn(&mut Machine, &mut Page<'_>) -> Result<(), CollectError>;

/// All collectors, by the names that they have in node_exporter.
const COLLECTORS: [(&str, Collect); 27] = [
    ("arp", netdev::arp),
    ("conntrack", netstat::conntrack),
    ("cpu", cpu::times),
    ("cpufreq", cpu::frequencies),
    ("diskstats", diskstats::diskstats),
    ("entropy", kernel::entropy),
    ("filefd", kernel::files),
    ("filesystem", filesystem::filesystem),
    ("hwmon", sensors::hwmon),
    ("loadavg", kernel::load),
    ("mdadm", raid::mdadm),
    ("meminfo", memory::meminfo),
    ("netclass", netclass::netclass),
    ("netdev", netdev::netdev),
    ("netstat", netstat::netstat),
    ("nvme", system::nvme),
    ("os", system::os),
    ("pressure", pressure::pressure),
    ("sockstat", netstat::sockstat),
    ("softnet", netdev::softnet),
    ("stat", kernel::stat),
    ("thermal_zone", sensors::thermal),
    ("time", clock::time),
    ("uname", system::uname),
    ("vmstat", memory::vmstat),
    ("selinux", kernel::selinux),
    ("udp_queues", netstat::udp_queues),
];

impl Host {
    /// Reads nothing yet.
    pub fn new(config: Config) -> Self {
        let machine = Machine {
            files: Files::new(config),
            processors: cpu::Processors::default(),
            mounts: mounts::Mounts::default(),
            told: HashSet::new(),
        };
        Self {
            machine: Mutex::new(machine),
        }
    }

    /// Appends all metrics as of now in the text format 0.0.4. Blocks: for some milliseconds, or, when
    /// a file system of another machine does not answer, for [`mounts::PATIENCE`] once.
    pub fn collect(&self, out: &mut String) {
        let machine = self.machine.lock();
        let machine = &mut *machine.unwrap_or_else(PoisonError::into_inner);
        let mut page = Page::new(out);
        let mut results = Vec::with_capacity(COLLECTORS.len());
        for (name, collect) in COLLECTORS {
            let begin = base_clock::now();
            let result = collect(machine, &mut page);
            results.push((name, begin.elapsed(), result.is_ok()));
            machine.tell(name, result);
        }
        standings(&mut page, &results);
    }
}

impl Machine {
    /// Says once that a collector fails, and not that the machine has nothing of the kind.
    fn tell(&mut self, name: &'static str, result: Result<(), CollectError>) {
        match result {
            Ok(()) => {
                self.told.remove(name);
            }
            Err(error) if error.is_absence() => {
                tracing::trace!(collector = name, %error, "the machine has nothing of the kind");
            }
            Err(error) => {
                if self.told.insert(name) {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(
                        collector = name,
                        error,
                        "metrics of the machine are missing"
                    );
                }
            }
        }
    }
}

fn standings(page: &mut Page<'_>, results: &[(&str, Duration, bool)]) {
    let mut family = page.family(
        "node_scrape_collector_duration_seconds",
        Kind::Gauge,
        "How long a collector took.",
    );
    for (name, took, _) in results {
        family.sample(&[("collector", name)], took.as_secs_f64());
    }
    let mut family = page.family(
        "node_scrape_collector_success",
        Kind::Gauge,
        "Whether a collector gave what it should; 0 also where the machine has nothing of the kind.",
    );
    for (name, _, is_ok) in results {
        family.sample(&[("collector", name)], f64::from(u8::from(*is_ok)));
    }
}

#[cfg(test)]
mod tests;
