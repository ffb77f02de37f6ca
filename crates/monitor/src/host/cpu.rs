//! Collectors `cpu` and `cpufreq`: what processors spend their time with, and how fast they are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::Machine;
use super::files::{CollectError, Files, last};
use super::page::{Kind, Page};

/// Times are counted in hundredths of a second, whatever the kernel's own clock is.
const TICKS_A_SECOND: f64 = 100.0;
/// A fall of the idle time by more than this means that the processor was away.
const AWAY_TICKS: u64 = 300;
/// What a processor does, in the order of `/proc/stat`; the last two are parts of `user` and `nice`.
const MODES: [&str; 8] = [
    "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal",
];
const IDLE: usize = 3;
/// The place of what guests used in `user`, and behind it in `nice`.
const GUEST: usize = 8;
const FOLDER: &str = "devices/system/cpu";

/// The last known times, because the kernel's own fall back a little sometimes and counters must not.
#[derive(Debug, Default)]
pub(super) struct Processors {
    times: BTreeMap<u32, [u64; 10]>,
}

impl Processors {
    fn update(&mut self, number: u32, now: [u64; 10]) {
        let last = self.times.entry(number).or_insert(now);
        let was_away = last[IDLE].saturating_sub(now[IDLE]) > AWAY_TICKS;
        for (last, now) in last.iter_mut().zip(now) {
            *last = if was_away { now } else { now.max(*last) };
        }
    }
}

pub(super) fn times(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let text = machine.files.proc("stat")?;
    let mut present = BTreeSet::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("cpu") else {
            break;
        };
        let mut words = rest.split_ascii_whitespace();
        // The first line is the sum of all, and has no number.
        if rest.starts_with(' ') {
            continue;
        }
        let Some(number) = words.next().and_then(|word| word.parse().ok()) else {
            continue;
        };
        let mut times = [0; 10];
        for (time, word) in times.iter_mut().zip(words) {
            *time = word.parse().unwrap_or_default();
        }
        machine.processors.update(number, times);
        present.insert(number);
    }
    let known = &mut machine.processors.times;
    known.retain(|number, _| present.contains(number));
    write_times(known, page);
    throttles(&mut machine.files, page);
    Ok(())
}

fn write_times(times: &BTreeMap<u32, [u64; 10]>, page: &mut Page<'_>) {
    let mut family = page.family(
        "node_cpu_seconds_total",
        Kind::Counter,
        "What each processor spent its time with.",
    );
    for (number, times) in times {
        let number = number.to_string();
        for (mode, ticks) in MODES.iter().zip(times) {
            let labels = [("cpu", number.as_str()), ("mode", mode)];
            family.sample(&labels, *ticks as f64 / TICKS_A_SECOND);
        }
    }
    let mut family = page.family(
        "node_cpu_guest_seconds_total",
        Kind::Counter,
        "The part of that time in which it ran virtual machines.",
    );
    for (number, times) in times {
        let number = number.to_string();
        for (mode, ticks) in ["user", "nice"].iter().zip(times.iter().skip(GUEST)) {
            let labels = [("cpu", number.as_str()), ("mode", mode)];
            family.sample(&labels, *ticks as f64 / TICKS_A_SECOND);
        }
    }
}

/// How often processors were slowed down because they were hot.
fn throttles(files: &mut Files, page: &mut Page<'_>) {
    let mut cores = BTreeMap::new();
    let mut packages = BTreeMap::new();
    for folder in folders(files) {
        let throttle = folder.join("thermal_throttle");
        let Some(of_core) = files.number(&throttle.join("core_throttle_count")) else {
            continue;
        };
        let topology = folder.join("topology");
        let Some(package) = files.number(&topology.join("physical_package_id")) else {
            continue;
        };
        if let Some(core) = files.number(&topology.join("core_id")) {
            cores
                .entry((package.to_string(), core.to_string()))
                .or_insert(of_core);
        }
        if let Some(of_package) = files.number(&throttle.join("package_throttle_count")) {
            packages.entry(package.to_string()).or_insert(of_package);
        }
    }
    if !cores.is_empty() {
        let mut family = page.family(
            "node_cpu_core_throttles_total",
            Kind::Counter,
            "How often a core was slowed down by its temperature.",
        );
        for ((package, core), count) in &cores {
            family.sample(&[("core", core), ("package", package)], *count);
        }
    }
    if !packages.is_empty() {
        let mut family = page.family(
            "node_cpu_package_throttles_total",
            Kind::Counter,
            "How often a processor package was slowed down by its temperature.",
        );
        for (package, count) in &packages {
            family.sample(&[("package", package)], *count);
        }
    }
}

/// The folders of processors in the order of their numbers.
fn folders(files: &Files) -> Vec<PathBuf> {
    let mut folders: Vec<_> = files.folder(FOLDER).unwrap_or_default();
    folders.retain(|path| number_of(path).is_some());
    folders.sort_by_key(|path| number_of(path));
    folders
}

fn number_of(path: &Path) -> Option<u32> {
    last(path).strip_prefix("cpu")?.parse().ok()
}

/// A file of a processor's frequencies in kHz, and its metric.
const FREQUENCIES: [(&str, &str, &str); 6] = [
    (
        "cpuinfo_cur_freq",
        "node_cpu_frequency_hertz",
        "The frequency that the hardware says it has.",
    ),
    (
        "cpuinfo_min_freq",
        "node_cpu_frequency_min_hertz",
        "The lowest frequency that the hardware can do.",
    ),
    (
        "cpuinfo_max_freq",
        "node_cpu_frequency_max_hertz",
        "The highest frequency that the hardware can do.",
    ),
    (
        "scaling_cur_freq",
        "node_cpu_scaling_frequency_hertz",
        "The frequency that the kernel has chosen.",
    ),
    (
        "scaling_min_freq",
        "node_cpu_scaling_frequency_min_hertz",
        "The lowest frequency that the kernel may choose.",
    ),
    (
        "scaling_max_freq",
        "node_cpu_scaling_frequency_max_hertz",
        "The highest frequency that the kernel may choose.",
    ),
];

#[expect(
    clippy::unnecessary_wraps,
    reason = "one of the collectors, of which others fail"
)]
pub(super) fn frequencies(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let files = &mut machine.files;
    let mut folders = folders(files);
    folders.retain(|folder| folder.join("cpufreq").is_dir());
    for (file, name, help) in FREQUENCIES {
        let mut values = Vec::with_capacity(folders.len());
        for folder in &folders {
            if let Some(value) = files.number(&folder.join("cpufreq").join(file)) {
                values.push((number_of(folder).unwrap_or_default(), value * 1000.0));
            }
        }
        if values.is_empty() {
            continue;
        }
        let mut family = page.family(name, Kind::Gauge, help);
        for (number, value) in values {
            family.sample(&[("cpu", &number.to_string())], value);
        }
    }
    Ok(())
}
