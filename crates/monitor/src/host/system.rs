//! Collectors `uname`, `os` and `nvme`: what runs on the machine, and disks that name themselves.

use std::collections::BTreeMap;

use super::Machine;
use super::files::{CollectError, last};
use super::page::{Kind, Page};

#[expect(
    clippy::unnecessary_wraps,
    reason = "one of the collectors, of which others fail"
)]
pub(super) fn uname(_: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let name = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let labels = [
        ("domainname", text(name.domainname())),
        ("machine", text(name.machine())),
        ("nodename", text(name.nodename())),
        ("release", text(name.release())),
        ("sysname", text(name.sysname())),
        ("version", text(name.version())),
    ];
    let help = "The kernel, and the machine's name.";
    let mut family = page.family("node_uname_info", Kind::Gauge, help);
    family.sample(
        &labels
            .each_ref()
            .map(|(label, text)| (*label, text.as_str())),
        1.0,
    );
    Ok(())
}

/// A label of `node_os_info`, and its name in `os-release`.
const LABELS: [(&str, &str); 12] = [
    ("build_id", "BUILD_ID"),
    ("id", "ID"),
    ("id_like", "ID_LIKE"),
    ("image_id", "IMAGE_ID"),
    ("image_version", "IMAGE_VERSION"),
    ("name", "NAME"),
    ("pretty_name", "PRETTY_NAME"),
    ("variant", "VARIANT"),
    ("variant_id", "VARIANT_ID"),
    ("version", "VERSION"),
    ("version_codename", "VERSION_CODENAME"),
    ("version_id", "VERSION_ID"),
];

pub(super) fn os(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let files = &mut machine.files;
    let text = match files.root("etc/os-release") {
        Ok(text) => text.into_owned(),
        Err(_) => files.root("usr/lib/os-release")?.into_owned(),
    };
    let lines = text.lines().map(str::trim_start);
    let pairs = lines.filter(|line| !line.starts_with('#'));
    let pairs = pairs.filter_map(|line| line.split_once('='));
    let fields: BTreeMap<_, _> = pairs
        .map(|(name, value)| (name, unquoted(value.trim())))
        .collect();
    let field = |name: &str| fields.get(name).map_or("", String::as_str);
    let help = "The operating system.";
    let mut family = page.family("node_os_info", Kind::Gauge, help);
    family.sample(&LABELS.map(|(label, name)| (label, field(name))), 1.0);
    if let Some(version) = leading_number(field("VERSION_ID")) {
        let help = "The operating system's version, as a number with at most one point.";
        let labels = [
            ("id", field("ID")),
            ("id_like", field("ID_LIKE")),
            ("name", field("NAME")),
        ];
        let mut family = page.family("node_os_version", Kind::Gauge, help);
        family.sample(&labels, version);
    }
    Ok(())
}

/// A value as a shell reads it, without variables.
fn unquoted(value: &str) -> String {
    for quote in ['"', '\''] {
        let inner = value.strip_prefix(quote);
        if let Some(inner) = inner.and_then(|rest| rest.strip_suffix(quote)) {
            return match quote {
                '"' => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
                _ => inner.to_owned(),
            };
        }
    }
    value.to_owned()
}

/// `20.04` of `20.04.3`, `12` of `12`.
fn leading_number(version: &str) -> Option<f64> {
    let mut points = 0;
    let number = version.chars().take_while(|character| {
        points += usize::from(*character == '.');
        character.is_ascii_digit() || *character == '.' && points == 1
    });
    number
        .collect::<String>()
        .trim_end_matches('.')
        .parse()
        .ok()
}

pub(super) fn nvme(machine: &mut Machine, page: &mut Page<'_>) -> Result<(), CollectError> {
    let files = &mut machine.files;
    let paths = files.folder("class/nvme")?;
    let help = "What the disk says of itself.";
    let mut family = page.family("node_nvme_info", Kind::Gauge, help);
    for path in paths {
        let name = last(&path);
        let fields = ["firmware_rev", "model", "serial", "state"].map(|file| {
            let text = files.attribute(&path.join(file));
            text.map_or_else(String::new, std::borrow::Cow::into_owned)
        });
        let [firmware, model, serial, state] = &fields;
        let labels = [
            ("device", &*name),
            ("firmware_revision", firmware),
            ("model", model),
            ("serial", serial),
            ("state", state),
        ];
        family.sample(&labels, 1.0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_become_numbers() {
        let check = |version: &str, expected| assert_eq!(leading_number(version), expected);
        check("12", Some(12.0));
        check("20.04.3", Some(20.04));
        check("8.", Some(8.0));
        check("rolling", None);
        check("", None);
    }
}
