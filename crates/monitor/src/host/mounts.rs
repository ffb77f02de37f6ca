//! Asking file systems how full they are. Those of other machines may not answer for hours, and
//! nothing can interrupt who asks: so they are asked on a thread of its own, and one that hangs is not
//! asked again while it does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use base::clock;
use rustix::fs::StatFs;

/// How long all file systems of other machines may take together.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// Threads that may hang; with more, no file system of another machine is asked any more.
const HANGING_MAX: usize = 16;

/// What is asked of a file system.
pub(super) type Ask = fn(&std::path::Path) -> Option<StatFs>;

/// Those that hang.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    hanging: BTreeMap<PathBuf, Arc<AtomicBool>>,
}

/// Asks one.
pub(super) fn ask(path: &std::path::Path) -> Option<StatFs> {
    rustix::fs::statfs(path).ok()
}

/// Whether the type is of this machine, so that asking doesn't wait for another one.
pub(super) fn is_local(kind: &str) -> bool {
    const LOCAL: [&str; 21] = [
        "bcachefs", "btrfs", "efivarfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs",
        "hfsplus", "jfs", "msdos", "nilfs2", "ntfs3", "ramfs", "reiserfs", "tmpfs", "udf", "vfat",
        "xfs", "zfs",
    ];
    LOCAL.contains(&kind)
}

impl Mounts {
    /// Asks those of other machines, in their order; nothing for one that failed, hangs, or whose turn
    /// did not come in time.
    pub(super) fn ask_remote(&mut self, paths: &[PathBuf], ask: Ask) -> Vec<Option<StatFs>> {
        self.hanging
            .retain(|_, is_back| !is_back.load(Ordering::Acquire));
        let mut answers = vec![None; paths.len()];
        let asked = paths.iter().enumerate();
        let asked: Vec<_> = asked
            .filter(|(_, path)| !self.hanging.contains_key(*path))
            .map(|(at, path)| (at, path.clone(), Arc::new(AtomicBool::new(false))))
            .collect();
        if asked.is_empty() || self.hanging.len() >= HANGING_MAX {
            return answers;
        }
        let (sender, receiver) = sync_channel(asked.len());
        let work = asked.clone();
        let thread = std::thread::Builder::new().name("mounts".to_owned());
        // It can't have a parent: nothing can end it while the other machine is silent.
        let begun = thread.spawn(move || ask_each(&work, ask, &sender));
        if begun.is_ok() {
            let pending = receive(&receiver, asked.len(), &mut answers);
            if let Some((_, path, is_back)) = pending.and_then(|at| asked.get(at)) {
                tracing::warn!(mount = %path.display(), "a file system does not answer");
                self.hanging.insert(path.clone(), Arc::clone(is_back));
            }
        }
        answers
    }
}

type Answer = (usize, Option<StatFs>);

fn ask_each(work: &[(usize, PathBuf, Arc<AtomicBool>)], ask: Ask, sender: &SyncSender<Answer>) {
    for (at, path, is_back) in work {
        let answer = ask(path);
        is_back.store(true, Ordering::Release);
        // Nobody waits any more: the others are asked by another thread.
        if sender.send((*at, answer)).is_err() {
            return;
        }
    }
}

/// Takes the answers that come in time; gives the number of the one that did not.
fn receive(
    receiver: &Receiver<Answer>,
    count: usize,
    answers: &mut [Option<StatFs>],
) -> Option<usize> {
    let deadline = clock::now() + PATIENCE;
    for number in 0..count {
        let patience = deadline.saturating_duration_since(clock::now());
        let Ok((at, answer)) = receiver.recv_timeout(patience) else {
            return Some(number);
        };
        if let Some(place) = answers.get_mut(at) {
            *place = answer;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::Mutex;

    static HANG: Mutex<()> = Mutex::new(());

    fn hangs_at_dead(path: &Path) -> Option<StatFs> {
        if path.ends_with("dead") {
            drop(HANG.lock());
        }
        ask(Path::new("/"))
    }

    #[test]
    fn one_that_hangs_is_not_asked_again_until_it_is_back() {
        let mut mounts = Mounts::default();
        let paths = ["first", "dead", "last"].map(PathBuf::from);
        let answered = |mounts: &mut Mounts| {
            let answers = mounts.ask_remote(&paths, hangs_at_dead);
            answers.iter().map(Option::is_some).collect::<Vec<_>>()
        };
        let hang = HANG.lock().unwrap();
        // The last one's turn did not come.
        assert_eq!(answered(&mut mounts), [true, false, false]);
        assert_eq!(answered(&mut mounts), [true, false, true]);
        assert_eq!(mounts.hanging.len(), 1);
        drop(hang);
        let is_back = Arc::clone(&mounts.hanging[Path::new("dead")]);
        while !is_back.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        assert_eq!(answered(&mut mounts), [true, true, true]);
        assert!(mounts.hanging.is_empty());
    }
}
