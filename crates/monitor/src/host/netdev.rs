//! Collectors `netdev`, `softnet` and `arp`: what goes through network interfaces.

use std::collections::BTreeMap;

use super::Machine;
use super::files::{CollectError, float};
use super::page::{Kind, Page};

/// The columns of `/proc/net/dev`, and what they count.
const COLUMNS: [(&str, &str); 16] = [
    ("receive_bytes", "Bytes that came in."),
    ("receive_packets", "Packets that came in."),
    ("receive_errs", "Packets that came in broken."),
    ("receive_drop", "Packets that came in and were dropped."),
    (
        "receive_fifo",
        "Packets that came in while the queue was full.",
    ),
    ("receive_frame", "Packets that came in with a wrong frame."),
    ("receive_compressed", "Compressed packets that came in."),
    ("receive_multicast", "Packets that came in for a group."),
    ("transmit_bytes", "Bytes that went out."),
    ("transmit_packets", "Packets that went out."),
    ("transmit_errs", "Packets that could not go out."),
    (
        "transmit_drop",
        "Packets that were to go out and were dropped.",
    ),
    (
        "transmit_fifo",
        "Packets that were to go out while the queue was full.",
    ),
    ("transmit_colls", "Collisions while packets went out."),
    (
        "transmit_carrier",
        "Losses of the carrier while packets went out.",
    ),
    ("transmit_compressed", "Compressed packets that went out."),
];

pub(super) fn netdev(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let mut rows = BTreeMap::new();
    for line in machine.files.proc("net/dev")?.lines() {
        // The name may hold a colon, as that of an alias.
        let Some((name, numbers)) = line.rsplit_once(':') else {
            continue;
        };
        let numbers: Vec<_> = numbers.split_ascii_whitespace().map_while(float).collect();
        rows.insert(name.trim().to_owned(), numbers);
    }
    for (at, (column, help)) in COLUMNS.iter().enumerate() {
        let name = format!("node_network_{column}_total");
        let mut family = page.family(&name, Kind::Counter, help);
        for (device, numbers) in &rows {
            if let Some(value) = numbers.get(at) {
                family.sample(&[("device", device)], *value);
            }
        }
    }
    let folder = machine.files.config.sys.join("class/net");
    let mut family = page.family(
        "node_network_receive_nohandler_total",
        Kind::Counter,
        "Packets that came in and that nothing wanted.",
    );
    for device in rows.keys() {
        let path = folder.join(device).join("statistics/rx_nohandler");
        if let Some(value) = machine.files.number(&path) {
            family.sample(&[("device", device)], value);
        }
    }
    Ok(())
}

/// A column of `/proc/net/softnet_stat`, and its metric.
const SOFTNET: [(usize, &str, &str); 3] = [
    (
        0,
        "node_softnet_processed_total",
        "Packets that a processor took from interfaces.",
    ),
    (
        1,
        "node_softnet_dropped_total",
        "Packets that were dropped because the queue of a processor was full.",
    ),
    (
        2,
        "node_softnet_times_squeezed_total",
        "How often a processor had no time for all packets.",
    ),
];
/// The column with the number of the processor, which old kernels lack.
const PROCESSOR: usize = 12;

pub(super) fn softnet(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let text = machine.files.proc("net/softnet_stat")?;
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let words = line.split_ascii_whitespace();
        let words: Vec<_> = words.map(|word| u32::from_str_radix(word, 16)).collect();
        let value = |at: usize| words.get(at).and_then(|word| word.as_ref().ok()).copied();
        let processor = value(PROCESSOR).map_or(number, |number| number as usize);
        rows.push((processor.to_string(), SOFTNET.map(|(at, ..)| value(at))));
    }
    for (at, (_, name, help)) in SOFTNET.iter().enumerate() {
        let mut family = page.family(name, Kind::Counter, help);
        for (processor, values) in &rows {
            if let Some(value) = values.get(at).copied().flatten() {
                family.sample(&[("cpu", processor)], f64::from(value));
            }
        }
    }
    Ok(())
}

pub(super) fn arp(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let text = machine.files.proc("net/arp")?;
    let mut counts: BTreeMap<&str, f64> = BTreeMap::new();
    for line in text.lines().skip(1) {
        if let Some(device) = line.split_ascii_whitespace().nth(5) {
            *counts.entry(device).or_default() += 1.0;
        }
    }
    let help = "Neighbours of which the interface knows the hardware address.";
    let mut family = page.family("node_arp_entries", Kind::Gauge, help);
    for (device, count) in counts {
        family.sample(&[("device", device)], count);
    }
    Ok(())
}
