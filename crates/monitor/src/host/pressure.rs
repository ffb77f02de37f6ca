//! Collector `pressure`: how long processes had to wait for what the machine has too little of.

use super::Machine;
use super::files::{CollectError, float};
use super::page::{Kind, Page};

/// A file below `/proc/pressure`, the kind of its line, and the metric.
const ROWS: [(&str, &str, &str, &str); 6] = [
    (
        "cpu",
        "some",
        "node_pressure_cpu_waiting_seconds_total",
        "Time in which processes waited for a processor.",
    ),
    (
        "io",
        "some",
        "node_pressure_io_waiting_seconds_total",
        "Time in which processes waited for input or output.",
    ),
    (
        "io",
        "full",
        "node_pressure_io_stalled_seconds_total",
        "Time in which all processes waited for input or output.",
    ),
    (
        "memory",
        "some",
        "node_pressure_memory_waiting_seconds_total",
        "Time in which processes waited for memory.",
    ),
    (
        "memory",
        "full",
        "node_pressure_memory_stalled_seconds_total",
        "Time in which all processes waited for memory.",
    ),
    (
        "irq",
        "full",
        "node_pressure_irq_stalled_seconds_total",
        "Time in which all processes waited for interrupts to be served.",
    ),
];

pub(super) fn pressure(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let mut file_before = "";
    let mut text = String::new();
    for (file, line, name, help) in ROWS {
        if file != file_before {
            file_before = file;
            text.clear();
            match machine.files.proc(&format!("pressure/{file}")) {
                Ok(found) => text.push_str(&found),
                // Older kernels have no such file of interrupts.
                Err(error) if file == "irq" && error.is_absence() => {}
                Err(error) => return Err(error),
            }
        }
        let microseconds = text.lines().find_map(|candidate| {
            let rest = candidate.strip_prefix(line)?;
            float(rest.rsplit_once("total=")?.1.trim())
        });
        if let Some(microseconds) = microseconds {
            page.single(name, Kind::Counter, help, microseconds / 1e6);
        }
    }
    Ok(())
}
