//! Collectors `stat`, `loadavg`, `filefd`, `entropy` and `selinux`: single numbers of the kernel.

use super::Machine;
use super::files::{CollectError, float, odd};
use super::page::{Kind, Page};

/// A line of `/proc/stat`, and its metric.
const STAT: [(&str, &str, Kind, &str); 6] = [
    (
        "intr",
        "node_intr_total",
        Kind::Counter,
        "Interrupts that were served.",
    ),
    (
        "ctxt",
        "node_context_switches_total",
        Kind::Counter,
        "Changes from one process to another.",
    ),
    (
        "processes",
        "node_forks_total",
        Kind::Counter,
        "Processes and threads that were begun.",
    ),
    (
        "btime",
        "node_boot_time_seconds",
        Kind::Gauge,
        "When the machine was started, in seconds since 1970.",
    ),
    (
        "procs_running",
        "node_procs_running",
        Kind::Gauge,
        "Processes that could run.",
    ),
    (
        "procs_blocked",
        "node_procs_blocked",
        Kind::Gauge,
        "Processes that wait for input or output.",
    ),
];

pub(super) fn stat(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let text = machine.files.proc("stat")?;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let key = words.next();
        let row = STAT.iter().find(|(word, ..)| Some(*word) == key);
        if let (Some((_, name, kind, help)), Some(value)) = (row, words.next().and_then(float)) {
            page.single(name, *kind, help, value);
        }
    }
    Ok(())
}

pub(super) fn load(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let path = machine.files.config.proc.join("loadavg");
    let text = machine.files.proc("loadavg")?;
    let mut words = text.split_ascii_whitespace();
    for minutes in ["1", "5", "15"] {
        let value = words.next().and_then(float);
        let value = value.ok_or_else(|| odd(&path, &text))?;
        let name = format!("node_load{minutes}");
        let help =
            format!("Processes that could run or waited for a disk, over {minutes} minutes.");
        page.single(&name, Kind::Gauge, &help, value);
    }
    Ok(())
}

pub(super) fn files(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let path = machine.files.config.proc.join("sys/fs/file-nr");
    let text = machine.files.proc("sys/fs/file-nr")?;
    let mut words = text.split_ascii_whitespace().map(float);
    let (Some(Some(allocated)), Some(_), Some(Some(maximum))) =
        (words.next(), words.next(), words.next())
    else {
        return Err(odd(&path, &text));
    };
    let help = "Files that are open on the machine.";
    page.single("node_filefd_allocated", Kind::Gauge, help, allocated);
    let help = "Files that may be open on the machine.";
    page.single("node_filefd_maximum", Kind::Gauge, help, maximum);
    Ok(())
}

pub(super) fn entropy(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let rows = [
        (
            "entropy_avail",
            "node_entropy_available_bits",
            "Random bits that the kernel has at hand.",
        ),
        (
            "poolsize",
            "node_entropy_pool_size_bits",
            "Random bits that the kernel can hold.",
        ),
    ];
    for (file, name, help) in rows {
        let file = format!("sys/kernel/random/{file}");
        let path = machine.files.config.proc.join(&file);
        let text = machine.files.proc(&file)?;
        let value = float(text.trim()).ok_or_else(|| odd(&path, &text))?;
        page.single(name, Kind::Gauge, help, value);
    }
    Ok(())
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "one of the collectors, of which others fail"
)]
pub(super) fn selinux(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let folder = machine.files.config.sys.join("fs/selinux");
    let enforced = machine.files.number(&folder.join("enforce"));
    let is_enabled = f64::from(u8::from(enforced.is_some()));
    let help = "Whether SELinux is there.";
    page.single("node_selinux_enabled", Kind::Gauge, help, is_enabled);
    if let Some(enforced) = enforced {
        let help = "Whether SELinux forbids, instead of only noting.";
        page.single("node_selinux_current_mode", Kind::Gauge, help, enforced);
    }
    Ok(())
}
