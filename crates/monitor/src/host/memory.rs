//! Collectors `meminfo` and `vmstat`.

use super::Machine;
use super::files::{CollectError, float};
use super::page::{Kind, Page};

pub(super) fn meminfo(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let text = machine.files.proc("meminfo")?;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(field), Some(value)) = (words.next(), words.next().and_then(float)) else {
            continue;
        };
        let field = field.trim_end_matches(':');
        let is_size = words.next() == Some("kB");
        let suffix = if is_size { "_bytes" } else { "" };
        // `Active(anon)` becomes `Active_anon`.
        let plain = field.replace('(', "_").replace(')', "");
        let name = format!("node_memory_{plain}{suffix}");
        let help = format!("The field {field} of /proc/meminfo.");
        let value = if is_size { value * 1024.0 } else { value };
        page.single(&name, Kind::Gauge, &help, value);
    }
    Ok(())
}

pub(super) fn vmstat(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let text = machine.files.proc("vmstat")?;
    for line in text.lines() {
        let Some((field, value)) = line.split_once(' ') else {
            continue;
        };
        if !is_wanted(field) {
            continue;
        }
        if let Some(value) = float(value.trim()) {
            let name = format!("node_vmstat_{field}");
            let help = format!("The field {field} of /proc/vmstat.");
            page.single(&name, Kind::Untyped, &help, value);
        }
    }
    Ok(())
}

/// Of the hundreds of fields: kills for want of memory, pages in and out, swapping, page faults.
fn is_wanted(field: &str) -> bool {
    let begins = |prefix: &str| field.starts_with(prefix);
    begins("oom_kill")
        || begins("pgpg")
        || begins("pswp")
        || begins("pg") && field.contains("fault")
}
