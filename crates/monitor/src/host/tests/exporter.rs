//! The real node_exporter beside ours, on the machine of the test and on the one that was made up.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;
use crate::testing::skip;

const VARIABLE: &str = "LANDLINE_TEST_NODE_EXPORTER";
/// How long it may take to begin.
const START_DEADLINE: Duration = Duration::from_secs(20);
/// Each series has to be the same in one of so many looks: what falls and rises is between two of ours
/// sometimes only.
const LOOKS: usize = 40;

struct Exporter {
    child: Child,
    port: u16,
}

impl Drop for Exporter {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Exporter {
    /// With our collectors alone, and the exclusions that its makers chose.
    #[expect(
        clippy::disallowed_methods,
        reason = "`cargo xtask test` says here where it is"
    )]
    fn start(folder: &Path, more: &[&str]) -> Option<Self> {
        let Ok(program) = std::env::var(VARIABLE) else {
            skip(&format!("{VARIABLE} is not set"));
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let below = |name: &str| folder.join(name).display().to_string();
        let mut command = Command::new(program);
        command
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg(format!("--path.procfs={}", below("proc")))
            .arg(format!("--path.sysfs={}", below("sys")))
            .arg(format!("--path.rootfs={}", folder.display()))
            .arg(format!("--path.udev.data={}", below("run/udev/data")))
            .arg("--collector.disable-defaults")
            .arg("--collector.netdev.device-exclude=^$")
            .arg(
                "--collector.filesystem.mount-points-exclude=\
                 ^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)",
            )
            .args(COLLECTORS.map(|(name, _)| format!("--collector.{name}")))
            .args(more)
            .stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let exporter = Self { child, port };
        let deadline = Instant::now() + START_DEADLINE;
        while exporter.try_page().is_none() {
            assert!(Instant::now() < deadline, "node_exporter does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(exporter)
    }

    fn page(&self) -> Said {
        Said::of(&self.try_page().unwrap())
    }

    fn try_page(&self) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.take(16 << 20).read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.contains(" 200 ").then(|| body.to_owned())
    }
}

/// What only one of both says, and is meant so.
fn is_own(series: &str) -> bool {
    const OWN: [&str; 7] = [
        "go_",
        "process_",
        "promhttp_",
        "node_exporter_build_info",
        "node_scrape_collector",
        // The rules of time zones are not read here.
        "node_time_zone_offset_seconds",
        // Newer than the exporter.
        "node_pressure_irq",
    ];
    OWN.iter().any(|prefix| series.starts_with(prefix))
}

fn is_of_sockets(series: &str) -> bool {
    series.starts_with("node_sockstat_")
        || series == "node_netstat_Tcp_CurrEstab"
        || series == "node_filefd_allocated"
}

/// `apart` is what only the exporter says of this machine.
fn compare(host: &Host, exporter: &Exporter, apart: Option<&str>) {
    let theirs = exporter.page();
    let ours = Said::of(&collected(host));
    let names = |said: &Said| -> BTreeSet<String> {
        let names = said
            .values
            .keys()
            .filter(|series| !is_own(series) && apart.is_none_or(|apart| !series.contains(apart)));
        names.cloned().collect()
    };
    let (our_names, their_names) = (names(&ours), names(&theirs));
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| -> Vec<String> {
        a.difference(b).cloned().collect()
    };
    let missing = only(&their_names, &our_names);
    assert!(missing.is_empty(), "missing {missing:#?}");
    let more = only(&our_names, &their_names);
    assert!(more.is_empty(), "too many {more:#?}");
    for (family, kind) in theirs.types.iter().filter(|(family, _)| !is_own(family)) {
        assert_eq!(ours.types.get(family), Some(kind), "{family}");
    }
    let mut left = our_names;
    for _ in 0..LOOKS {
        let before = Said::of(&collected(host));
        let theirs = exporter.page();
        let after = Said::of(&collected(host));
        left.retain(|series| {
            let values = [&before, &theirs, &after].map(|said| said.values.get(series).copied());
            let [Some(before), Some(theirs), Some(after)] = values else {
                return true;
            };
            // Asking the exporter is a connection that ours don't count.
            let slack = if is_of_sockets(series) {
                16.0
            } else {
                theirs.abs() * 1e-12
            };
            theirs < before.min(after) - slack || theirs > before.max(after) + slack
        });
        if left.is_empty() {
            return;
        }
    }
    let show = |series: &String| {
        format!(
            "{series}: {:?}, {:?}",
            ours.values[series], theirs.values[series]
        )
    };
    let left: Vec<_> = left.iter().map(show).collect();
    panic!("never the same: {left:#?}");
}

#[test]
fn node_exporter_says_the_same_of_this_machine() {
    let root = Path::new("/");
    if let Some(exporter) = Exporter::start(root, &[]) {
        compare(&Host::new(Config::default()), &exporter, None);
    }
}

#[test]
fn node_exporter_says_the_same_of_a_machine_that_was_made_up() {
    let folder = fixture::machine();
    let more = ["--no-collector.netdev.netlink"];
    if let Some(exporter) = Exporter::start(folder.path(), &more) {
        // It gives a processor that is away, with zeros.
        let apart = Some("{cpu=\"1\",mode");
        compare(&at(folder.path()), &exporter, apart);
    }
}
