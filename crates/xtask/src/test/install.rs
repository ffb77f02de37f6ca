//! Installs Debian packages when this user may, and otherwise says which command does it. No service
//! that a package brings is left running or starts with the machine.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::needs::Need;
use crate::failure::Failure;
use crate::machine;

/// Units that the packages bring and that nobody asked for.
const UNITS: [(&str, &str); 5] = [
    ("mariadb-server", "mariadb"),
    ("postgresql", "postgresql"),
    ("prometheus", "prometheus"),
    ("nginx-light", "nginx"),
    ("openssh-server", "ssh"),
];

/// Runs as root with the packages as arguments. A policy that forbids starting services is put in
/// place for the time of the installation, unless the machine already has one.
const SCRIPT: &str = r#"
set -eu
policy=/usr/sbin/policy-rc.d
made=no
trap '[ "$made" = no ] || rm -f "$policy"' EXIT
trap 'exit 130' INT TERM HUP
if [ ! -e "$policy" ] && [ ! -L "$policy" ]; then
  made=yes
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
apt-get -q update
apt-get -q install -y --no-install-recommends "$@"
"#;

/// Installs the packages of `missing`. Not being allowed to is no failure: the tests that need them
/// are skipped. An installation that breaks is one.
pub(crate) fn install(missing: &[&Need]) -> Result<(), Failure> {
    let packages: BTreeSet<&str> = missing.iter().map(|need| need.package).collect();
    let names = packages.iter().copied().collect::<Vec<_>>().join(" ");
    let command = format!("apt-get install --no-install-recommends {names}");
    if machine::find_program("apt-get").is_none() {
        let programs: Vec<&str> = missing.iter().map(|need| need.program).collect();
        machine::say(&format!(
            "missing: {} (no apt-get here)",
            programs.join(", ")
        ));
        return Ok(());
    }
    let Some(mut shell) = root_shell() else {
        for need in missing {
            machine::say(&format!("missing: {} ({})", need.program, need.purpose));
        }
        machine::say(&format!("to install: sudo {command}"));
        return Ok(());
    };
    for need in missing {
        let Need {
            program,
            package,
            purpose,
            ..
        } = need;
        machine::say(&format!(
            "installing Debian package {package} for {program}: {purpose}"
        ));
    }
    let before: Vec<&str> = installed_units();
    shell.args(["-c", SCRIPT, "install"]).args(&packages);
    crate::rust::run(&mut shell, &command)?;
    for (package, unit) in UNITS {
        if packages.contains(package) && !before.contains(&unit) {
            disable(unit);
        }
    }
    Ok(())
}

/// A shell with root's rights, when they can be had without a question.
fn root_shell() -> Option<Command> {
    if machine::is_root() {
        return Some(Command::new("sh"));
    }
    let sudo = machine::find_program("sudo")?;
    if !machine::succeeds(Command::new(&sudo).args(["-n", "true"])) {
        return None;
    }
    let mut command = Command::new(sudo);
    command.args(["-n", "sh"]);
    Some(command)
}

/// The units that this machine had before and that are therefore not ours to touch.
fn installed_units() -> Vec<&'static str> {
    let folder = Path::new("/lib/systemd/system");
    let units = UNITS.iter().map(|(_, unit)| *unit);
    units
        .filter(|unit| folder.join(format!("{unit}.service")).exists())
        .collect()
}

/// Keeps a unit that came with a package from starting with the machine, where systemd runs it.
fn disable(unit: &str) {
    if !Path::new("/run/systemd/system").is_dir() {
        return;
    }
    let Some(mut shell) = root_shell() else {
        return;
    };
    let script = r#"systemctl disable --now "$1""#;
    if machine::succeeds(shell.args(["-c", script, "disable", unit])) {
        machine::say(&format!(
            "service {unit} disabled: the tests start their own"
        ));
    }
}
