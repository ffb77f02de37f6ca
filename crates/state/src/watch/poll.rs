//! SQLite tells nobody about another process's commit. The kernel tells when a file beside it was
//! written to; then, and now and then without being told, the table of changes is read while someone watches.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify;
use tokio::net::unix::pipe;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Hub, versions};
use crate::StateError;
use crate::pool::Pool;

/// The shortest time between two looks: commits of this process write to the log as well.
const INTERVAL: Duration = Duration::from_millis(250);
/// How long it is looked at this pace after something was written: what is written of a commit can be
/// seen only when all of it is on disk.
const LIVELY: Duration = Duration::from_secs(1);
/// The longest time: not every file system tells.
const UNTOLD_INTERVAL: Duration = Duration::from_secs(2);
/// Room for what the kernel tells: some events with names.
const EVENTS_BYTES: usize = 4096;
/// How often that much is read at once.
const EVENTS_ROUNDS: usize = 16;

pub(super) async fn run(pool: &Pool, hub: &Hub) {
    let events = FolderEvents::new(Path::new(&pool.target().place));
    let mut events = events.inspect_err(untold).ok();
    let mut is_failing = false;
    let mut lively_until = Instant::now();
    loop {
        hub.watched().await;
        let looked = Instant::now();
        let is_lively = looked < lively_until;
        // Before it is looked: what is written from here on is told.
        if let Some(Err(error)) = events
            .as_ref()
            .filter(|_| !is_lively)
            .map(FolderEvents::arm)
        {
            untold(&error);
            events = None;
        }
        match look(pool, hub).await {
            Ok(()) => is_failing = false,
            Err(error) if is_failing => tracing::debug!(%error, "cannot look for changes yet"),
            Err(error) => {
                is_failing = true;
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "cannot look for changes in the state; trying on");
            }
        }
        if let Some(folder) = &events
            && looked >= lively_until
        {
            match timeout(UNTOLD_INTERVAL, folder.written()).await {
                Ok(Ok(())) => lively_until = Instant::now() + LIVELY,
                Ok(Err(error)) => {
                    untold(&error);
                    events = None;
                }
                Err(_late) => {}
            }
        }
        sleep_until(looked + INTERVAL).await;
    }
}

fn untold(error: &io::Error) {
    tracing::debug!(%error, "the kernel doesn't tell of changes in the state; looking for them");
}

async fn look(pool: &Pool, hub: &Hub) -> Result<(), StateError> {
    let mut lease = pool.acquire().await?;
    hub.compare(versions(&mut lease).await?);
    Ok(())
}

/// What the kernel tells of the folder of the database. SQLite's log itself comes and goes with the
/// first and the last connection.
struct FolderEvents {
    folder: PathBuf,
    /// The runtime waits for it as it does for a pipe.
    receiver: pipe::Receiver,
}

impl FolderEvents {
    fn new(database: &Path) -> io::Result<Self> {
        // SQLite has its log beside the file itself, not beside a link to it.
        let database = std::fs::canonicalize(database)?;
        let folder = database.parent().unwrap_or(Path::new("/")).to_owned();
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let receiver = pipe::Receiver::from_owned_fd_unchecked(inotify::init(flags)?)?;
        Ok(Self { folder, receiver })
    }

    /// Has the kernel tell of the next write, and only of that: to tell of each is work for whoever writes.
    fn arm(&self) -> io::Result<()> {
        let flags = inotify::WatchFlags::MODIFY | inotify::WatchFlags::ONESHOT;
        inotify::add_watch(&self.receiver, &self.folder, flags)?;
        Ok(())
    }

    /// Returns when a file in the folder was written to since [`FolderEvents::arm`], and now and then
    /// when none was.
    async fn written(&self) -> io::Result<()> {
        self.receiver.readable().await?;
        let mut events = [0; EVENTS_BYTES];
        // Which file it was does not matter. What is not read in these rounds is told again.
        for _ in 0..EVENTS_ROUNDS {
            match self.receiver.try_read(&mut events) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                read => read?,
            };
        }
        Ok(())
    }
}
