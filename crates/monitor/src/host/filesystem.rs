//! Collector `filesystem`: how full file systems are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustix::fs::StatFs;

use super::files::{CollectError, Files};
use super::mounts::{ask, is_local};
use super::page::{Kind, Page};
use super::{Machine, mounts};

/// File systems that are asked in one collection.
const MOUNTS_MAX: usize = 4096;

/// Types that hold no files of users, or those of others a second time.
const TYPES_LEFT_OUT: [&str; 25] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "procfs",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
    "erofs",
];

/// What the kernel says of a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    device: String,
    kind: String,
    point: String,
    is_readonly: bool,
}

pub(super) fn filesystem(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let mounts = list(&mut machine.files)?;
    let root = machine.files.config.root.clone();
    let paths: Vec<_> = mounts.iter().map(|mount| below(&root, mount)).collect();
    let mut answers: Vec<Option<StatFs>> = vec![None; mounts.len()];
    let mut remote = Vec::new();
    for (at, (mount, path)) in mounts.iter().zip(&paths).enumerate() {
        match (is_local(&mount.kind), answers.get_mut(at)) {
            (true, Some(answer)) => *answer = ask(path),
            _ => remote.push(at),
        }
    }
    let remote_paths: Vec<_> = remote
        .iter()
        .filter_map(|at| paths.get(*at).cloned())
        .collect();
    let given = machine.mounts.ask_remote(&remote_paths, mounts::ask);
    for (at, given) in remote.into_iter().zip(given) {
        if let Some(answer) = answers.get_mut(at) {
            *answer = given;
        }
    }
    write(&mounts, &answers, page);
    Ok(())
}

/// A number of a file system.
type Measure = fn(&StatFs) -> f64;

/// The metrics of one that answers.
const ROWS: [(&str, &str, Measure); 5] = [
    (
        "node_filesystem_size_bytes",
        "Bytes that the file system has.",
        |found| bytes(found, found.f_blocks),
    ),
    (
        "node_filesystem_free_bytes",
        "Bytes that are free, those included that only root may use.",
        |found| bytes(found, found.f_bfree),
    ),
    (
        "node_filesystem_avail_bytes",
        "Bytes that are free for all users.",
        |found| bytes(found, found.f_bavail),
    ),
    (
        "node_filesystem_files",
        "Files that the file system can have.",
        |found| found.f_files as f64,
    ),
    (
        "node_filesystem_files_free",
        "Files for which there is room.",
        |found| found.f_ffree as f64,
    ),
];

#[expect(
    clippy::cast_sign_loss,
    reason = "the size of a block is above zero, and its type is the architecture's"
)]
fn bytes(found: &StatFs, blocks: u64) -> f64 {
    blocks as f64 * found.f_bsize as u64 as f64
}

fn write(mounts: &[Mount], answers: &[Option<StatFs>], page: &mut Page<'_>) {
    let labels = |mount: &Mount| {
        [
            ("device", mount.device.clone()),
            ("fstype", mount.kind.clone()),
            ("mountpoint", mount.point.clone()),
        ]
    };
    let mut each = |name: &str, help: &str, value: &dyn Fn(usize) -> Option<f64>| {
        let mut family = page.family(name, Kind::Gauge, help);
        for (at, mount) in mounts.iter().enumerate() {
            if let Some(value) = value(at) {
                let labels = labels(mount);
                family.sample(&labels.each_ref().map(|(l, v)| (*l, v.as_str())), value);
            }
        }
    };
    let answer = |at: usize| answers.get(at).and_then(Option::as_ref);
    each(
        "node_filesystem_device_error",
        "Whether the file system did not say how full it is.",
        &|at| Some(f64::from(u8::from(answer(at).is_none()))),
    );
    for (name, help, value) in ROWS {
        each(name, help, &|at| answer(at).map(value));
    }
    each(
        "node_filesystem_readonly",
        "Whether the file system can't be written to.",
        &|at| {
            let is_readonly = mounts.get(at).is_some_and(|mount| mount.is_readonly);
            answer(at).map(|_| f64::from(u8::from(is_readonly)))
        },
    );
}

/// Where the mount is for us.
fn below(root: &Path, mount: &Mount) -> PathBuf {
    root.join(mount.point.trim_start_matches('/'))
}

/// What is mounted, as the machine's first process sees it, because we may be in a container.
fn list(files: &mut Files) -> Result<Vec<Mount>, CollectError> {
    let root = files.config.root.clone();
    let text = match files.proc("1/mounts") {
        Ok(text) => text.into_owned(),
        Err(_) => files.proc("self/mounts")?.into_owned(),
    };
    let mut mounts = BTreeMap::new();
    for line in text.lines().take(MOUNTS_MAX) {
        let Some(mount) = parse(line, &root) else {
            continue;
        };
        if !is_left_out(&mount) {
            // The same mounted again hides what was there.
            mounts.insert(
                (
                    mount.point.clone(),
                    mount.device.clone(),
                    mount.kind.clone(),
                ),
                mount,
            );
        }
    }
    Ok(mounts.into_values().collect())
}

fn parse(line: &str, root: &Path) -> Option<Mount> {
    let mut words = line.split(' ');
    let device = words.next()?;
    let point = unescaped(words.next()?);
    let kind = words.next()?;
    let options = words.next()?;
    let point = match root.to_str().map(|root| root.trim_end_matches('/')) {
        None | Some("") => point,
        Some(root) => match point.strip_prefix(root) {
            Some("") => "/".to_owned(),
            Some(rest) if rest.starts_with('/') => rest.to_owned(),
            _ => point,
        },
    };
    Some(Mount {
        device: device.to_owned(),
        kind: kind.to_owned(),
        point,
        is_readonly: options.split(',').any(|option| option == "ro"),
    })
}

/// Blanks, tabs, newlines and backslashes stand there as `\040`.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let code = after
            .get(..3)
            .and_then(|code| u8::from_str_radix(code, 8).ok());
        match (code.filter(u8::is_ascii), after.get(3..)) {
            (Some(code), Some(behind)) => {
                plain.push(char::from(code));
                rest = behind;
            }
            _ => {
                plain.push('\\');
                rest = after;
            }
        }
    }
    plain + rest
}

/// The usual exclusions of node_exporter.
fn is_left_out(mount: &Mount) -> bool {
    let is_below = |folder: &str| {
        let rest = mount.point.strip_prefix(folder);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let is_inside = |folder: &str| {
        let rest = mount.point.strip_prefix(folder);
        rest.is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
    };
    ["/dev", "/proc", "/sys"].into_iter().any(is_below)
        || [
            "/run/credentials",
            "/var/lib/docker",
            "/var/lib/containers/storage",
        ]
        .into_iter()
        .any(is_inside)
        || TYPES_LEFT_OUT.contains(&mount.kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_mounts() {
        let check = |line: &str, root: &str, expected: Option<(&str, bool)>| {
            let mount = parse(line, Path::new(root));
            let found = mount
                .as_ref()
                .map(|mount| (mount.point.as_str(), mount.is_readonly));
            assert_eq!(found, expected, "{line}");
        };
        check("/dev/sda1 / ext4 rw,relatime 0 0", "/", Some(("/", false)));
        check(
            "/dev/sda1 /a\\040b\\134 ext4 ro 0 0",
            "/",
            Some(("/a b\\", true)),
        );
        check(
            "/dev/sda1 /a\\09 ext4 rw,errors=remount-ro 0 0",
            "/",
            Some(("/a\\09", false)),
        );
        check("/dev/sda1 /host ext4 rw 0 0", "/host", Some(("/", false)));
        check(
            "/dev/sda1 /host/data ext4 rw 0 0",
            "/host/",
            Some(("/data", false)),
        );
        check(
            "/dev/sda1 /hosts ext4 rw 0 0",
            "/host",
            Some(("/hosts", false)),
        );
        check("/dev/sda1 /", "/", None);
    }

    #[test]
    fn what_is_no_data_is_left_out() {
        let check = |point: &str, kind: &str, expected: bool| {
            let mount = Mount {
                device: "x".to_owned(),
                kind: kind.to_owned(),
                point: point.to_owned(),
                is_readonly: false,
            };
            assert_eq!(is_left_out(&mount), expected, "{point} {kind}");
        };
        check("/", "ext4", false);
        check("/dev/shm", "tmpfs", true);
        check("/developers", "ext4", false);
        check("/var/lib/docker", "ext4", false);
        check("/var/lib/docker/volumes/x", "ext4", true);
        check("/run/user/0", "tmpfs", false);
        check("/run/credentials/systemd", "ramfs", true);
        check("/snap/core", "squashfs", true);
    }
}
