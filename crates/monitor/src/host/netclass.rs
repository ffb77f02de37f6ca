//! Collector `netclass`: what network interfaces are.

use std::path::Path;

use super::Machine;
use super::files::{CollectError, Files, last};
use super::page::{Kind, Page};

/// Megabits a second as bytes a second.
const MEGABIT_BYTES: f64 = 1e6 / 8.0;

/// A file of an interface, its metric, what it is multiplied with, and its help.
const NUMBERS: [(&str, &str, f64, &str); 17] = [
    (
        "addr_assign_type",
        "address_assign_type",
        1.0,
        "How the interface got its hardware address.",
    ),
    ("carrier", "carrier", 1.0, "Whether the cable is in."),
    (
        "carrier_changes",
        "carrier_changes_total",
        1.0,
        "How often the cable came or went.",
    ),
    (
        "carrier_up_count",
        "carrier_up_changes_total",
        1.0,
        "How often the cable came.",
    ),
    (
        "carrier_down_count",
        "carrier_down_changes_total",
        1.0,
        "How often the cable went.",
    ),
    (
        "dev_id",
        "device_id",
        1.0,
        "What tells interfaces of one address apart.",
    ),
    (
        "dormant",
        "dormant",
        1.0,
        "Whether the interface waits for something before it can be used.",
    ),
    ("flags", "flags", 1.0, "The interface's flags as a number."),
    ("ifindex", "iface_id", 1.0, "The interface's number."),
    (
        "iflink",
        "iface_link",
        1.0,
        "The number of the interface below this one.",
    ),
    (
        "link_mode",
        "iface_link_mode",
        1.0,
        "How the interface becomes usable.",
    ),
    ("mtu", "mtu_bytes", 1.0, "The longest packet."),
    (
        "name_assign_type",
        "name_assign_type",
        1.0,
        "How the interface got its name.",
    ),
    (
        "netdev_group",
        "net_dev_group",
        1.0,
        "The group of the interface.",
    ),
    (
        "speed",
        "speed_bytes",
        MEGABIT_BYTES,
        "Bytes a second that the interface can do.",
    ),
    (
        "tx_queue_len",
        "transmit_queue_length",
        1.0,
        "Packets that may wait to go out.",
    ),
    (
        "type",
        "protocol_type",
        1.0,
        "The kind of hardware, as a number.",
    ),
];
/// Texts of an interface, in the order of the labels.
const TEXTS: [&str; 5] = ["address", "broadcast", "duplex", "ifalias", "operstate"];
const OPERSTATE: usize = 4;

struct Interface {
    name: String,
    numbers: [Option<f64>; NUMBERS.len()],
    texts: [String; TEXTS.len()],
}

pub(super) fn netclass(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let files = &mut machine.files;
    let paths = files.folder("class/net")?;
    let found: Vec<_> = paths.iter().filter_map(|path| read(files, path)).collect();
    let help = "Whether the interface is up.";
    let mut family = page.family("node_network_up", Kind::Gauge, help);
    for interface in &found {
        let is_up = interface.texts[OPERSTATE] == "up";
        family.sample(&[("device", &interface.name)], f64::from(u8::from(is_up)));
    }
    let help = "What the interface is.";
    let mut family = page.family("node_network_info", Kind::Gauge, help);
    for interface in &found {
        let [address, broadcast, duplex, alias, state] = &interface.texts;
        let labels = [
            ("address", address.as_str()),
            ("broadcast", broadcast),
            ("device", &interface.name),
            ("duplex", duplex),
            ("ifalias", alias),
            ("operstate", state),
        ];
        family.sample(&labels, 1.0);
    }
    for (at, (_, suffix, factor, help)) in NUMBERS.iter().enumerate() {
        let kind = if suffix.ends_with("_total") {
            Kind::Counter
        } else {
            Kind::Gauge
        };
        let name = format!("node_network_{suffix}");
        let mut family = page.family(&name, kind, help);
        for interface in &found {
            if let Some(value) = interface.numbers.get(at).copied().flatten() {
                family.sample(&[("device", &interface.name)], value * factor);
            }
        }
    }
    Ok(())
}

/// Nothing if the interface is gone, or is no folder, as the file of bonds.
fn read(files: &mut Files, path: &Path) -> Option<Interface> {
    files.number(&path.join("ifindex"))?;
    Some(Interface {
        name: last(path).into_owned(),
        numbers: NUMBERS.map(|(file, ..)| files.number(&path.join(file))),
        texts: TEXTS.map(|file| {
            let text = files.attribute(&path.join(file));
            text.map_or_else(String::new, std::borrow::Cow::into_owned)
        }),
    })
}
