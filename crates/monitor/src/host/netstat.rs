//! Collectors `netstat`, `sockstat`, `conntrack` and `udp_queues`: what the kernel counts of
//! protocols.

use super::Machine;
use super::files::{CollectError, float};
use super::page::{Kind, Page};

pub(super) fn netstat(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    for file in ["net/netstat", "net/snmp"] {
        let text = machine.files.proc(file)?;
        let mut lines = text.lines();
        // A line of names, and then one of values.
        while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
            let mut names = names.split_ascii_whitespace();
            let protocol = names.next().unwrap_or_default().trim_end_matches(':');
            let values = values.split_ascii_whitespace().skip(1);
            for (field, value) in names.zip(values) {
                statistic(page, protocol, field, value);
            }
        }
    }
    let text = match machine.files.proc("net/snmp6") {
        Ok(text) => text,
        // A kernel without IPv6.
        Err(error) if error.is_absence() => return Ok(()),
        Err(error) => return Err(error),
    };
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        if let (Some(word), Some(value)) = (words.next(), words.next())
            && let Some(at) = word.find('6')
            && let Some((protocol, field)) = word.split_at_checked(at + 1)
        {
            statistic(page, protocol, field, value);
        }
    }
    Ok(())
}

fn statistic(page: &mut Page<'_>, protocol: &str, field: &str, value: &str) {
    if let (true, Some(value)) = (is_wanted(protocol, field), float(value)) {
        let name = format!("node_netstat_{protocol}_{field}");
        let help = format!("The kernel's statistic {field} of {protocol}.");
        page.single(&name, Kind::Untyped, &help, value);
    }
}

/// Of some hundred fields those that node_exporter gives.
fn is_wanted(protocol: &str, field: &str) -> bool {
    match (protocol, field) {
        (_, "InErrors" | "InErrs") => true,
        ("Ip", "Forwarding") => true,
        ("Ip6" | "IpExt", "InOctets" | "OutOctets") => true,
        ("Icmp" | "Icmp6", "InMsgs" | "OutMsgs") => true,
        ("TcpExt", "TCPSynRetrans" | "TCPTimeouts") => true,
        ("TcpExt", field) => field.starts_with("Listen") || field.starts_with("Syncookies"),
        ("Tcp", field) => matches!(
            field,
            "ActiveOpens"
                | "InSegs"
                | "OutSegs"
                | "OutRsts"
                | "PassiveOpens"
                | "RetransSegs"
                | "CurrEstab"
        ),
        ("Udp" | "Udp6", field) => matches!(
            field,
            "InDatagrams" | "OutDatagrams" | "NoPorts" | "RcvbufErrors" | "SndbufErrors"
        ),
        _ => false,
    }
}

pub(super) fn sockstat(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    for file in ["net/sockstat", "net/sockstat6"] {
        let text = match machine.files.proc(file) {
            Ok(text) => text,
            Err(error) if file.ends_with('6') && error.is_absence() => continue,
            Err(error) => return Err(error),
        };
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let protocol = words.next().unwrap_or_default().trim_end_matches(':');
            while let (Some(field), Some(value)) = (words.next(), words.next()) {
                if let Some(value) = float(value) {
                    sockets(page, protocol, field, value);
                }
            }
        }
    }
    Ok(())
}

fn sockets(page: &mut Page<'_>, protocol: &str, field: &str, value: f64) {
    let name = format!("node_sockstat_{protocol}_{field}");
    let help = match (protocol, field) {
        ("sockets", "used") => "Sockets of all kinds that are open.".to_owned(),
        (_, "mem") => format!("Pages of memory that sockets of {protocol} hold."),
        (_, "memory") => format!("Bytes that {protocol} holds."),
        _ => format!("Sockets of {protocol} in state {field}."),
    };
    page.single(&name, Kind::Gauge, &help, value);
    if field == "mem" {
        let name = format!("{name}_bytes");
        let help = format!("Bytes that sockets of {protocol} hold.");
        let page_bytes = rustix::param::page_size() as f64;
        page.single(&name, Kind::Gauge, &help, value * page_bytes);
    }
}

/// A column of `/proc/net/stat/nf_conntrack`, and its help.
const CONNTRACK: [(&str, &str); 8] = [
    ("found", "Packets whose connection was known."),
    ("invalid", "Packets that can't be of a connection."),
    ("ignore", "Packets that had their connection already."),
    ("insert", "Connections that were noted."),
    ("insert_failed", "Connections that could not be noted."),
    (
        "drop",
        "Packets that were dropped because their connection could not be noted.",
    ),
    (
        "early_drop",
        "Connections that were forgotten to make room.",
    ),
    (
        "search_restart",
        "Searches that began again because the table had changed.",
    ),
];

pub(super) fn conntrack(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let rows = [
        (
            "count",
            "node_nf_conntrack_entries",
            "Connections that are noted.",
        ),
        (
            "max",
            "node_nf_conntrack_entries_limit",
            "Connections that can be noted.",
        ),
    ];
    for (file, name, help) in rows {
        let file = format!("sys/net/netfilter/nf_conntrack_{file}");
        if let Some(value) = float(machine.files.proc(&file)?.trim()) {
            page.single(name, Kind::Gauge, help, value);
        }
    }
    let text = machine.files.proc("net/stat/nf_conntrack")?;
    let mut lines = text.lines();
    let names: Vec<_> = lines
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .collect();
    let mut sums = vec![0_u64; names.len()];
    // A line for each processor, in hexadecimal digits.
    for line in lines {
        for (sum, word) in sums.iter_mut().zip(line.split_ascii_whitespace()) {
            *sum = sum.wrapping_add(u64::from_str_radix(word, 16).unwrap_or_default());
        }
    }
    for (column, help) in CONNTRACK {
        let found = names.iter().zip(&sums).find(|(name, _)| **name == column);
        if let Some((_, sum)) = found {
            let name = format!("node_nf_conntrack_stat_{column}");
            page.single(&name, Kind::Gauge, help, *sum as f64);
        }
    }
    Ok(())
}

pub(super) fn udp_queues(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let mut rows = Vec::with_capacity(2);
    for (version, file) in [("v4", "net/udp"), ("v6", "net/udp6")] {
        let text = match machine.files.proc(file) {
            Ok(text) => text,
            Err(error) if version == "v6" && error.is_absence() => continue,
            Err(error) => return Err(error),
        };
        let (mut sent, mut received) = (0_u64, 0_u64);
        for line in text.lines().skip(1) {
            let queues = line.split_ascii_whitespace().nth(4);
            if let Some((out, into)) = queues.and_then(|queues| queues.split_once(':')) {
                sent += u64::from_str_radix(out, 16).unwrap_or_default();
                received += u64::from_str_radix(into, 16).unwrap_or_default();
            }
        }
        rows.push((version, received, sent));
    }
    let help = "Bytes of datagrams that wait in the kernel.";
    let mut family = page.family("node_udp_queues", Kind::Gauge, help);
    for (version, received, sent) in rows {
        family.sample(&[("ip", version), ("queue", "rx")], received as f64);
        family.sample(&[("ip", version), ("queue", "tx")], sent as f64);
    }
    Ok(())
}
