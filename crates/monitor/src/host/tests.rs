//! The machine of the test, one that was made up, and both as node_exporter sees them.
#![expect(clippy::float_cmp, reason = "these numbers come through unchanged")]

mod exporter;
mod fixture;

use std::collections::BTreeMap;

use super::*;

/// What a page says: values by series, and types by family.
#[derive(Debug, Default)]
struct Said {
    values: BTreeMap<String, f64>,
    types: BTreeMap<String, String>,
}

impl Said {
    fn of(text: &str) -> Self {
        let mut said = Self::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                let before = said.types.insert(name.to_owned(), kind.to_owned());
                assert_eq!(before, None, "{name} is there twice");
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let before = said
                    .values
                    .insert(series.to_owned(), value.parse().unwrap());
                assert_eq!(before, None, "{series} is there twice");
            }
        }
        said
    }

    fn value(&self, series: &str) -> f64 {
        let value = self.values.get(series);
        *value.unwrap_or_else(|| panic!("no {series} in {:#?}", self.values))
    }
}

fn collected(host: &Host) -> String {
    let mut text = String::new();
    host.collect(&mut text);
    text
}

fn check_text(text: &str) {
    let body = bytes::Bytes::from(text.to_owned());
    let limits = wire::exposition::Limits::default();
    let page = wire::exposition::Page::parse(body, wire::exposition::Format::Text, limits);
    assert!(page.is_ok(), "{:?}\n{text}", page.err());
}

fn at(folder: &std::path::Path) -> Host {
    Host::new(Config {
        proc: folder.join("proc"),
        sys: folder.join("sys"),
        root: folder.to_owned(),
    })
}

#[test]
fn this_machine_gives_its_metrics() {
    let host = Host::new(Config::default());
    let text = collected(&host);
    check_text(&text);
    let said = Said::of(&text);
    assert!(said.value("node_memory_MemTotal_bytes") > 1e6);
    assert!(said.value("node_time_seconds") > 1.7e9);
    assert!(said.value("node_load1") >= 0.0);
    assert!(said.value("node_cpu_seconds_total{cpu=\"0\",mode=\"user\"}") > 0.0);
    assert_eq!(said.types["node_netstat_Tcp_InSegs"], "untyped");
    assert_eq!(said.types["node_forks_total"], "counter");
    for collector in ["cpu", "meminfo", "filesystem", "netdev", "stat", "uname"] {
        let series = format!("node_scrape_collector_success{{collector=\"{collector}\"}}");
        assert_eq!(said.value(&series), 1.0, "{collector}");
    }
}

#[test]
fn a_machine_of_which_nothing_is_seen_gives_only_what_calls_say() {
    let folder = tempfile::tempdir().unwrap();
    let said = Said::of(&collected(&at(folder.path())));
    let is_told = |series: &str| {
        series.starts_with("node_scrape_collector")
            || series.starts_with("node_uname_info")
            || series == "node_time_seconds"
            || series.starts_with("node_selinux_enabled")
    };
    for series in said.values.keys() {
        assert!(is_told(series), "{series}");
    }
    let failed = said.value("node_scrape_collector_success{collector=\"meminfo\"}");
    assert_eq!(failed, 0.0);
}

/// Processor 1 is away, the kernel is too old for the last columns of one disk, and a file system of
/// another machine is gone.
const EXPECTED: &str = r#"
node_cpu_seconds_total{cpu="2",mode="idle"} 200.5
node_cpu_guest_seconds_total{cpu="0",mode="user"} 0.09
node_cpu_core_throttles_total{core="0",package="0"} 5
node_cpu_package_throttles_total{package="0"} 30
node_cpu_scaling_frequency_hertz{cpu="0"} 1699981000
node_disk_read_bytes_total{device="sda"} 12981058048
node_disk_io_time_seconds_total{device="dm-0"} 11325.968
node_disk_info{device="sda",major="8",minor="0",model="SAMSUNG_\"X\"",path="pci-0000:3b:00.0",revision="GXT",serial="S3",wwn="0x5"} 1
node_hwmon_temp_celsius{chip="platform_coretemp_0",sensor="temp1"} 55
node_hwmon_temp_celsius{chip="platform_coretemp_0",sensor="temp2"} -1.5
node_hwmon_fan_rpm{chip="platform_coretemp_0",sensor="fan1"} 1200
node_thermal_zone_temp{type="cpu-thermal",zone="0"} 12.376
node_cooling_device_max_state{name="0",type="Processor"} 50
node_md_disks{device="md3",state="failed"} 1
node_md_disks{device="md3",state="spare"} 1
node_md_state{device="md8",state="recovering"} 1
node_md_blocks_synced{device="md8"} 16775552
node_network_receive_bytes_total{device="veth@if3"} 648
node_network_speed_bytes{device="eth0"} 125000000
node_network_flags{device="eth0"} 4867
node_nf_conntrack_stat_invalid 5
node_udp_queues{ip="v4",queue="rx"} 33
node_pressure_io_stalled_seconds_total 159.229614
node_os_version{id="ubuntu",id_like="debian",name="Ubuntu"} 20.04
node_filesystem_readonly{device="/dev/sdb1",fstype="xfs",mountpoint="/a b"} 1
node_filesystem_device_error{device="h:/x",fstype="nfs4",mountpoint="/gone"} 1
"#;

#[test]
fn the_machine_that_was_made_up() {
    let folder = fixture::machine();
    let text = collected(&at(folder.path()));
    for line in EXPECTED.lines() {
        assert!(
            line.is_empty() || text.lines().any(|said| said == line),
            "{line}\n{text}"
        );
    }
    for absent in [
        "device=\"sda1\"",
        "/var/lib/docker",
        "node_disk_flush_requests_total{device=\"dm-0\"",
    ] {
        assert!(!text.contains(absent), "{absent}");
    }
}

#[test]
fn times_of_processors_do_not_fall() {
    let folder = fixture::machine();
    let host = at(folder.path());
    let path = folder.path().join("proc/stat");
    let idle = |line: &str| {
        std::fs::write(&path, line).unwrap();
        let said = Said::of(&collected(&host));
        said.value("node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"}")
    };
    assert_eq!(idle("cpu  1\ncpu0 1 0 0 1000 5 0 0 0 0 0\n"), 10.0);
    assert_eq!(idle("cpu  1\ncpu0 1 0 0 990 5 0 0 0 0 0\n"), 10.0);
    assert_eq!(idle("cpu  1\ncpu0 1 0 0 1010 5 0 0 0 0 0\n"), 10.1);
    // It was away.
    assert_eq!(idle("cpu  1\ncpu0 1 0 0 100 5 0 0 0 0 0\n"), 1.0);
}

#[test]
fn files_that_are_not_as_they_should_be_do_no_harm() {
    let folder = fixture::machine();
    for file in fixture::files(folder.path()) {
        let before = base::files::read_limited(&file, 1 << 20).unwrap();
        for odd in [
            &b""[..],
            b"\xff\xfe: [1/0",
            b"a: b: c\na b c d e f g h\n= = =\n: : :",
            b"md0 :",
        ] {
            std::fs::write(&file, odd).unwrap();
            check_text(&collected(&at(folder.path())));
        }
        std::fs::write(&file, &before).unwrap();
    }
}
