//! What Linux tells about a process: memory, processor time, children, and which processes carry
//! the mark that the harness put into their environment.

use std::path::PathBuf;

use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Clock ticks per second of `/proc/<pid>/stat`: fixed at 100 on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// A field of `/proc/<pid>/status` in KiB, such as `VmRSS` or `VmHWM`.
pub fn status_kib(pid: u32, field: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Resident memory in KiB.
pub fn rss_kib(pid: u32) -> Option<u64> {
    status_kib(pid, "VmRSS")
}

/// Forgets the peak of resident memory (`VmHWM`), so that the next reading is of what follows.
pub fn reset_peak(pid: u32) -> bool {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").is_ok()
}

/// Processor seconds (user and system) that a process has used.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let user: f64 = fields.get(11)?.parse().ok()?;
    let system: f64 = fields.get(12)?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// The direct children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let parent_of = |child: &u32| {
        let text = std::fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
        let parent = text.rsplit_once(')')?.1.split_whitespace().nth(1)?;
        parent.parse::<u32>().ok()
    };
    all()
        .filter(|child| parent_of(child) == Some(pid))
        .collect()
}

/// Whether a process exists and is not a zombie.
pub fn is_alive(pid: u32) -> bool {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let state = text
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().next());
    !matches!(state, None | Some("Z" | "X"))
}

/// The processes whose environment holds `NAME=value` of `mark`.
pub fn marked(mark: &str) -> Vec<u32> {
    let carries = |pid: &u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|entry| entry == mark.as_bytes())
    };
    all().filter(carries).collect()
}

/// Keeps all threads of a process, and those that they start, to these cores. Threads that end
/// meanwhile don't count.
pub fn keep_to_cores(pid: u32, cores: &[usize]) -> std::io::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let number = task?.file_name().into_string().unwrap_or_default();
        let number: Option<i32> = number.parse().ok();
        match sched_setaffinity(number.and_then(Pid::from_raw), &set) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The cores that this process may use.
pub fn own_cores() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    (0..CpuSet::MAX_CPU)
        .filter(|core| set.is_set(*core))
        .collect()
}

/// How many descriptors a process holds open.
pub fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// The load averages as the kernel prints them.
pub fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Every process id.
fn all() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir(PathBuf::from("/proc"))
        .into_iter()
        .flatten()
        .flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}
