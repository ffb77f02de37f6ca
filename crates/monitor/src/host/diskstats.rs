//! Collector `diskstats`: what disks read and write, and what the device manager knows of them.

use std::collections::BTreeMap;

use super::Machine;
use super::files::{CollectError, Files, float};
use super::page::{Kind, Page};

/// The kernel counts in sectors of this size, whatever the disk's are.
const SECTOR_BYTES: f64 = 512.0;

/// Which number of a line, what it is multiplied with, the metric, and its help.
struct Column {
    at: usize,
    factor: f64,
    name: &'static str,
    help: &'static str,
}

const fn column(at: usize, factor: f64, name: &'static str, help: &'static str) -> Column {
    Column {
        at,
        factor,
        name,
        help,
    }
}

const MS: f64 = 1e-3;

/// The numbers behind the device's name. Old kernels have fewer.
const COLUMNS: [Column; 17] = [
    column(
        0,
        1.0,
        "node_disk_reads_completed_total",
        "Reads that were done.",
    ),
    column(
        1,
        1.0,
        "node_disk_reads_merged_total",
        "Reads that were done as part of others.",
    ),
    column(
        2,
        SECTOR_BYTES,
        "node_disk_read_bytes_total",
        "Bytes that were read.",
    ),
    column(
        3,
        MS,
        "node_disk_read_time_seconds_total",
        "Time that all reads took, added up.",
    ),
    column(
        4,
        1.0,
        "node_disk_writes_completed_total",
        "Writes that were done.",
    ),
    column(
        5,
        1.0,
        "node_disk_writes_merged_total",
        "Writes that were done as part of others.",
    ),
    column(
        6,
        SECTOR_BYTES,
        "node_disk_written_bytes_total",
        "Bytes that were written.",
    ),
    column(
        7,
        MS,
        "node_disk_write_time_seconds_total",
        "Time that all writes took, added up.",
    ),
    column(
        8,
        1.0,
        "node_disk_io_now",
        "Reads and writes that are under way.",
    ),
    column(
        9,
        MS,
        "node_disk_io_time_seconds_total",
        "Time in which anything was under way.",
    ),
    column(
        10,
        MS,
        "node_disk_io_time_weighted_seconds_total",
        "Time in which anything was under way, times how much it was.",
    ),
    column(
        11,
        1.0,
        "node_disk_discards_completed_total",
        "Discards that were done.",
    ),
    column(
        12,
        1.0,
        "node_disk_discards_merged_total",
        "Discards that were done as part of others.",
    ),
    column(
        13,
        1.0,
        "node_disk_discarded_sectors_total",
        "Sectors that were discarded.",
    ),
    column(
        14,
        MS,
        "node_disk_discard_time_seconds_total",
        "Time that all discards took, added up.",
    ),
    column(
        15,
        1.0,
        "node_disk_flush_requests_total",
        "Flushes that were done.",
    ),
    column(
        16,
        MS,
        "node_disk_flush_requests_time_seconds_total",
        "Time that all flushes took, added up.",
    ),
];
/// The only number that also falls.
const IO_NOW: usize = 8;

/// A disk.
struct Disk {
    major: String,
    minor: String,
    name: String,
    numbers: Vec<f64>,
    /// What the device manager noted.
    properties: BTreeMap<String, String>,
}

pub(super) fn diskstats(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let mut disks = Vec::new();
    for line in machine.files.proc("diskstats")?.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(major), Some(minor), Some(name)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        if !is_left_out(name) {
            disks.push(Disk {
                major: major.to_owned(),
                minor: minor.to_owned(),
                name: name.to_owned(),
                numbers: words.map_while(float).take(COLUMNS.len()).collect(),
                properties: BTreeMap::new(),
            });
        }
    }
    for disk in &mut disks {
        disk.properties = properties(&mut machine.files, disk);
    }
    for column in &COLUMNS {
        if disks.iter().all(|disk| disk.numbers.len() <= column.at) {
            continue;
        }
        let kind = match column.at {
            IO_NOW => Kind::Gauge,
            _ => Kind::Counter,
        };
        let mut family = page.family(column.name, kind, column.help);
        for disk in &disks {
            if let Some(value) = disk.numbers.get(column.at) {
                family.sample(&[("device", &disk.name)], value * column.factor);
            }
        }
    }
    information(&disks, page);
    Ok(())
}

/// Memory as a disk, files as a disk, floppies and partitions: what they do is counted at their disks,
/// or is of no interest.
fn is_left_out(name: &str) -> bool {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() == name.len() {
        return false;
    }
    let is_letter = |rest: &str| matches!(rest.as_bytes(), [b'a'..=b'z']);
    let is_partition = |prefix: &str| stem.strip_prefix(prefix).is_some_and(is_letter);
    matches!(stem, "ram" | "loop" | "fd")
        || ["hd", "sd", "vd", "xvd"].into_iter().any(is_partition)
        || is_nvme_partition(stem)
}

/// `nvme0n1p`, of which the number has been taken.
fn is_nvme_partition(stem: &str) -> bool {
    let parts = stem.strip_prefix("nvme").and_then(|rest| {
        let (controller, space) = rest.strip_suffix('p')?.split_once('n')?;
        Some([controller, space])
    });
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    parts.is_some_and(|parts| parts.into_iter().all(is_number))
}

/// The lines `E:NAME=value` of the device manager.
fn properties(files: &mut Files, disk: &Disk) -> BTreeMap<String, String> {
    let file = format!("run/udev/data/b{}:{}", disk.major, disk.minor);
    let Ok(text) = files.root(&file) else {
        return BTreeMap::new();
    };
    let lines = text.lines().filter_map(|line| line.strip_prefix("E:"));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn information(disks: &[Disk], page: &mut Page<'_>) {
    let mut family = page.family("node_disk_info", Kind::Gauge, "What the disk is.");
    for disk in disks {
        let property = |name| disk.properties.get(name).map_or("", String::as_str);
        let serial = match property("SCSI_IDENT_SERIAL") {
            "" => property("ID_SERIAL_SHORT"),
            serial => serial,
        };
        let labels = [
            ("device", disk.name.as_str()),
            ("major", &disk.major),
            ("minor", &disk.minor),
            ("model", property("ID_MODEL")),
            ("path", property("ID_PATH")),
            ("revision", property("ID_REVISION")),
            ("serial", serial),
            ("wwn", property("ID_WWN")),
        ];
        family.sample(&labels, 1.0);
    }
    let help = "What file system is on the disk.";
    let labels = [
        ("type", "ID_FS_TYPE"),
        ("usage", "ID_FS_USAGE"),
        ("uuid", "ID_FS_UUID"),
        ("version", "ID_FS_VERSION"),
    ];
    described("node_disk_filesystem_info", help, &labels, disks, page);
    let help = "What the device mapper made the disk of.";
    let labels = [
        ("lv_layer", "DM_LV_LAYER"),
        ("lv_name", "DM_LV_NAME"),
        ("name", "DM_NAME"),
        ("uuid", "DM_UUID"),
        ("vg_name", "DM_VG_NAME"),
    ];
    described("node_disk_device_mapper_info", help, &labels, disks, page);
}

/// A family with a sample for each disk that has any of the properties.
fn described(name: &str, help: &str, wanted: &[(&str, &str)], disks: &[Disk], page: &mut Page<'_>) {
    let has_any = |disk: &&Disk| {
        let of_disk = |(_, property): &(&str, &str)| disk.properties.contains_key(*property);
        // The device mapper's last property is that of volume groups, which others lack.
        wanted.iter().any(of_disk)
    };
    let disks: Vec<_> = disks.iter().filter(has_any).collect();
    if disks.is_empty() {
        return;
    }
    let mut family = page.family(name, Kind::Gauge, help);
    for disk in disks {
        let mut labels = vec![("device", disk.name.as_str())];
        labels.extend(wanted.iter().map(|(label, property)| {
            let value = disk.properties.get(*property);
            (*label, value.map_or("", String::as_str))
        }));
        labels.sort_unstable();
        family.sample(&labels, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_left_out() {
        let check = |name: &str, expected: bool| assert_eq!(is_left_out(name), expected, "{name}");
        check("sda", false);
        check("sda1", true);
        check("sdaa1", false);
        check("xvda12", true);
        check("nvme0n1", false);
        check("nvme10n2p3", true);
        check("nvmen1p1", false);
        check("loop0", true);
        check("loop", false);
        check("dm-0", false);
        check("md127", false);
        check("mmcblk0p1", false);
        check("zram0", false);
        check("ram15", true);
    }
}
