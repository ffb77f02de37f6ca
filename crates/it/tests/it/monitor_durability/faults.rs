//! Operations on files fail under remote write: by libfiu, one kind after the other, and on a file
//! system that is full. What was acknowledged is there afterwards, and the program goes on once the
//! operations succeed again, or has ended with an error.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use it::need::{need, skip};
use it::program::Launch;

use super::*;

/// What fails, how often, and with which number: EIO, and ENOSPC, of which a delayed write is told at
/// its flush. Writes are left to the full file system: libfiu can't tell a file from the descriptors
/// by which threads wake each other.
type Fault = (&'static str, &'static str, u8);

const ALL: [Fault; 6] = [
    ("posix/io/sync/fdatasync", "0.1", 5),
    ("posix/io/sync/fsync", "0.3", 28),
    ("posix/io/oc/open", "0.3", 5),
    ("posix/io/rw/ftruncate", "0.3", 5),
    ("posix/io/rw/pread", "0.3", 5),
    ("posix/io/dir/rename", "0.3", 28),
];
/// One after the other, each over an upkeep.
const EACH: [&[Fault]; 9] = [
    &[("posix/io/sync/fdatasync", "0.01", 5)],
    &[("posix/io/sync/fdatasync", "0.5", 28)],
    &[("posix/io/sync/fsync", "0.5", 5)],
    &[("posix/io/oc/open", "0.3", 5)],
    &[("posix/io/oc/open", "0.3", 28)],
    &[("posix/io/rw/ftruncate", "0.5", 5)],
    &[("posix/io/rw/pread", "0.3", 5)],
    &[("posix/io/dir/rename", "0.5", 28)],
    &ALL,
];
/// How long they fail: a moment, and longer than it is to the next upkeep.
const FAULTY: Duration = Duration::from_secs(2);
const FAULTY_LONG: Duration = Duration::from_secs(40);
/// The longest until it goes on: a log that has failed begins anew with the next upkeep.
const RECOVERED: Duration = Duration::from_secs(90);
/// Bytes of the small file system, and of its file that takes the room.
const SMALL: &str = "size=24m";
const FILLER: &str = "filler";
/// What is left free, so that a write fails in its midst.
const LEFT_BYTES: [u64; 3] = [4_096, 0, 100_000];
/// Nothing is acknowledged for so long when it is full.
const STUCK: Duration = Duration::from_secs(1);

/// Whether more is acknowledged after what was; otherwise it has ended, and said why.
async fn goes_on(program: &mut Program, load: &Load) -> bool {
    let before = load.count();
    let alive = wait::within(RECOVERED, async || {
        if !proc::is_alive(program.pid()) {
            return Some(false);
        }
        (load.count() > before + 10).then_some(true)
    });
    let Some(alive) = alive.await else {
        panic!("it neither goes on nor ends:\n{}", program.stderr());
    };
    if !alive {
        let code = program.wait_exit(wait::SOON).await;
        let said = program.stderr();
        assert!(code > 0, "{code}: {said}");
        assert!(said.contains("os error"), "it has not said why: {said}");
    }
    alive
}

#[tokio::test]
async fn no_failing_operation_loses_a_sample() {
    failing(&[&ALL], FAULTY).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn no_failing_operation_loses_a_sample_long() {
    failing(&EACH, FAULTY_LONG).await;
}

/// Lets operations fail, some at a time, each time for so long.
async fn failing(rounds: &[&[Fault]], long: Duration) {
    let Some(fiu_run) = need("FIU_RUN") else {
        return;
    };
    let mut launch = Launch::new(&samples::monitor(json!({})));
    let pipes = launch.path("fiu").to_string_lossy().into_owned();
    launch.wrapper = [&fiu_run, "-x", "-f", &pipes].map(str::to_owned).into();
    let mut program = launch.start().await;
    let fiu_ctrl = Path::new(&fiu_run).with_file_name("fiu-ctrl");
    let pid = program.pid().to_string();
    let control = |command: &str| {
        let mut told = Command::new(&fiu_ctrl);
        told.args(["-f", &pipes, "-c", command, &pid]);
        // One that has ended can't be told anything.
        told.output().unwrap().status.success()
    };
    let load = Load::start(program.main);
    load.count_reaches(50).await;
    let mut failures = 0;
    for faults in rounds {
        for (name, probability, number) in *faults {
            let fault = format!("name={name},probability={probability},failinfo={number}");
            assert!(control(&format!("enable_random {fault}")), "{fault}");
        }
        tokio::time::sleep(long).await;
        for (name, ..) in *faults {
            control(&format!("disable name={name}"));
        }
        if !goes_on(&mut program, &load).await {
            failures += 1;
            break;
        }
    }
    let said = program.stderr();
    assert!(said.contains("os error"), "nothing has failed: {said}");
    if failures == 0 {
        program.signal(Signal::KILL);
        assert_eq!(program.wait_exit(wait::SOON).await, -9);
    }
    program.restart();
    program.ready().await;
    load.redirect(program.main);
    let count = load.finish(&program).await;
    relayed::note(&format!("{count} requests acknowledged, {failures} ends"));
}

/// A small file system that only some processes see, kept by one that sleeps.
struct Small {
    folder: PathBuf,
    holder: Child,
}

impl Small {
    /// Nothing where nobody may mount one.
    fn mount(folder: &Path) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let script = "mount -t tmpfs -o \"$1\" none \"$2\" && echo mounted && exec sleep 600";
        let mut holder = Command::new("unshare")
            .args(["-m", "sh", "-c", script, "sh", SMALL])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        let output = holder.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let folder = folder.to_owned();
        let small = Self { folder, holder };
        (line == "mounted\n").then_some(small)
    }

    /// Where it is for those who don't see it.
    fn inside(&self) -> PathBuf {
        let root = format!("/proc/{}/root", self.holder.id());
        Path::new(&root).join(self.folder.strip_prefix("/").unwrap())
    }

    /// Leaves so many bytes free.
    fn fill(&self, left: u64) {
        let path = self.inside().join(FILLER);
        let mut filler = std::fs::File::create(path).unwrap();
        let zeros = [0; 4_096];
        while filler.write_all(&zeros).is_ok() {}
        let length = filler.metadata().unwrap().len();
        filler.set_len(length.saturating_sub(left)).unwrap();
    }

    fn clear(&self) {
        std::fs::remove_file(self.inside().join(FILLER)).unwrap();
    }

    /// Copies everything to where it is without the small file system.
    fn copy_out(&self) {
        let from = format!("{}/.", self.inside().display());
        let mut copy = Command::new("cp");
        let copied = copy.args(["-a", &from]).arg(&self.folder).status();
        assert!(copied.unwrap().success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}

#[tokio::test]
async fn no_full_disk_loses_a_sample() {
    full(&LEFT_BYTES[..1]).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn no_full_disk_loses_a_sample_long() {
    full(&LEFT_BYTES).await;
}

/// Fills the disk once for each number of bytes that are left free.
async fn full(left_bytes: &[u64]) {
    let mut launch = Launch::new(&samples::monitor(json!({})));
    let Some(small) = Small::mount(&launch.path("data/signals")) else {
        skip("a small file system can't be mounted by this user");
        return;
    };
    let holder = small.holder.id().to_string();
    let folder = format!("--wd={}", launch.directory.path().display());
    launch.wrapper = ["nsenter", "-t", &holder, "-m", &folder]
        .map(str::to_owned)
        .into();
    let mut program = launch.start().await;
    let load = Load::start(program.main);
    load.count_reaches(50).await;
    for left in left_bytes {
        small.fill(*left);
        wait::until("the disk is full", SERVED, async || {
            let before = load.count();
            tokio::time::sleep(STUCK).await;
            (load.count() == before).then_some(())
        })
        .await;
        small.clear();
        assert!(goes_on(&mut program, &load).await, "{}", program.stderr());
    }
    program.signal(Signal::KILL);
    assert_eq!(program.wait_exit(wait::SOON).await, -9);
    small.copy_out();
    drop(small);
    program.restart();
    program.ready().await;
    load.redirect(program.main);
    assert!(load.finish(&program).await >= 50);
}
