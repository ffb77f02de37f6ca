//! Collector `time`: the machine's clock, and what it is made of.

use std::time::UNIX_EPOCH;

use base::clock;

use super::Machine;
use super::files::{CollectError, last};
use super::page::{Kind, Page};

pub(super) fn time(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let since = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    let help = "The machine's clock, in seconds since 1970.";
    page.single("node_time_seconds", Kind::Gauge, help, since.as_secs_f64());
    let files = &mut machine.files;
    let (mut available, mut current) = (Vec::new(), Vec::new());
    for path in files.folder("devices/system/clocksource")? {
        let name = last(&path);
        let Some(device) = name.strip_prefix("clocksource") else {
            continue;
        };
        if let Some(sources) = files.attribute(&path.join("available_clocksource")) {
            let sources = sources.split_ascii_whitespace();
            available.extend(sources.map(|source| (source.to_owned(), device.to_owned())));
        }
        if let Some(source) = files.attribute(&path.join("current_clocksource")) {
            current.push((source.into_owned(), device.to_owned()));
        }
    }
    let families = [
        (
            "node_time_clocksource_available_info",
            "A clock that the kernel could use.",
            available,
        ),
        (
            "node_time_clocksource_current_info",
            "The clock that the kernel uses.",
            current,
        ),
    ];
    for (name, help, rows) in families {
        let mut family = page.family(name, Kind::Gauge, help);
        for (source, device) in rows {
            family.sample(&[("clocksource", &source), ("device", &device)], 1.0);
        }
    }
    Ok(())
}
