//! What USR1 shows: what runs, what is missing, what it costs. Facts only, one per line.

use std::fs::File;
use std::io::Read as _;

use crate::supervise::{Phase, Supervisor};

/// How much of `/proc/self/status` is read; it has about 1500 bytes.
const STATUS_MAX: u64 = 16 * 1024;
/// The lines of `/proc/self/status` that are shown.
const STATUS_KEYS: [&str; 4] = ["VmHWM", "VmRSS", "VmSwap", "Threads"];

pub(super) fn lines(supervisor: &Supervisor, is_ready: bool) -> Vec<String> {
    let phase = *supervisor.phase().borrow();
    let phase = phase.map_or("serving", Phase::as_str);
    let pid = std::process::id();
    let mut lines = vec![format!("process {pid}, phase {phase}, ready {is_ready}")];
    let running = supervisor.running();
    lines.extend(running.services.iter().map(|service| {
        let kind = if service.critical {
            "critical"
        } else {
            "plain"
        };
        format!(
            "service {} ({kind}), restarts {}",
            service.name, service.restarts
        )
    }));
    lines.extend(
        running
            .tasks
            .iter()
            .map(|(name, count)| format!("task {name}: {count}")),
    );
    let totals = supervisor.totals();
    lines.push(format!(
        "service failures {}, panics {}, restarts {}, task panics {}",
        totals.failures, totals.panics, totals.restarts, totals.task_panics
    ));
    lines.extend(supervisor.bus().topics().into_iter().map(|topic| {
        let mut line = format!(
            "topic {}: published {}, listeners {}",
            topic.name, topic.published, topic.listeners
        );
        if !topic.missing.is_empty() {
            line.push_str(", missing ");
            line.push_str(&topic.missing.join(" "));
        }
        line
    }));
    lines.extend(memory());
    lines.extend(descriptors());
    lines
}

fn memory() -> Vec<String> {
    let mut text = String::new();
    let read = File::open("/proc/self/status")
        .and_then(|file| file.take(STATUS_MAX).read_to_string(&mut text));
    if let Err(error) = read {
        return vec![format!("memory unknown: {error}")];
    }
    let is_shown = |line: &&str| STATUS_KEYS.iter().any(|key| line.starts_with(key));
    let tidy = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().filter(is_shown).map(tidy).collect()
}

fn descriptors() -> Option<String> {
    // One of them is the listing itself.
    let count = std::fs::read_dir("/proc/self/fd")
        .ok()?
        .count()
        .saturating_sub(1);
    Some(format!("open descriptors: {count}"))
}
