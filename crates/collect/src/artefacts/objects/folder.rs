//! The folder: `objects/ab/<id>` for what is kept, `incoming/<process>/<id>` for what is on its way.
//! A lock on its folder in `incoming` says that a process lives.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use base::files;
use rustix::fs::{FlockOperation, flock, statvfs};

use super::ObjectError;

/// The file that ties the folder to its tables.
const TIE_FILE: &str = "store.id";
const TIE_BYTES_MAX: u64 = 256;
/// Random bytes of an id.
const ID_BYTES: usize = 16;
/// How often a folder for what comes in is tried.
const LOCK_TRIES: u32 = 5;

/// The folder; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    incoming: PathBuf,
    /// By the clock of the file system, which may be another machine's.
    opened: SystemTime,
    /// Held as long as this process lives.
    _lock: File,
}

impl Folder {
    /// Opens or makes it.
    pub(crate) fn open(root: &Path) -> Result<Self, ObjectError> {
        let failed = ObjectError::at("the folder of artefacts can't be made");
        // Those that are made now have to be there after a power failure, as what is put in them.
        let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let missing: Vec<&Path> = root.ancestors().take_while(is_missing).collect();
        make_folder(root).map_err(failed)?;
        for byte in 0..=u8::MAX {
            let path = root.join("objects").join(wire::auth::hex(&[byte]));
            make_folder(&path).map_err(ObjectError::at("a folder of objects can't be made"))?;
        }
        let objects = root.join("objects");
        let parents = missing.iter().filter_map(|path| path.parent());
        for folder in [objects.as_path(), root].into_iter().chain(parents) {
            flush_folder(folder)
                .map_err(ObjectError::at("a folder of objects can't be flushed"))?;
        }
        let (incoming, lock) = own_incoming(&root.join("incoming"))?;
        let opened = lock.metadata().and_then(|metadata| metadata.modified());
        let inner = Inner {
            root: root.to_owned(),
            incoming,
            opened: opened.map_err(ObjectError::at("the folder of what comes in has no time"))?,
            _lock: lock,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The tie, when there is one.
    pub(crate) fn tie(&self) -> Result<Option<String>, ObjectError> {
        match files::read_text_limited(&self.inner.root.join(TIE_FILE), TIE_BYTES_MAX) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ObjectError::at("store.id can't be read")(error)),
        }
    }

    /// Ties it to its tables.
    pub(crate) fn set_tie(&self, tie: &str) -> Result<(), ObjectError> {
        let path = self.inner.root.join(TIE_FILE);
        files::write_whole(&path, tie.as_bytes(), 0o600)
            .map_err(ObjectError::at("store.id can't be written"))
    }

    pub(crate) fn root(&self) -> &Path {
        &self.inner.root
    }

    pub(super) fn opened(&self) -> SystemTime {
        self.inner.opened
    }

    /// What time it is by the clock that objects carry: that of the file system.
    pub(super) fn time(&self) -> io::Result<SystemTime> {
        let id = new_id().map_err(io::Error::other)?;
        let path = self.incoming(&id);
        let written = File::create(&path).and_then(|file| file.metadata()?.modified());
        fs::remove_file(&path)?;
        written
    }

    pub(super) fn is_own(&self, incoming: &Path) -> bool {
        incoming == self.inner.incoming
    }

    /// Where an object is while it comes in.
    pub(super) fn incoming(&self, id: &str) -> PathBuf {
        self.inner.incoming.join(id)
    }

    /// Where an object is.
    pub(super) fn object(&self, id: &str) -> PathBuf {
        let folder = id.get(..2).unwrap_or("00");
        self.inner.root.join("objects").join(folder).join(id)
    }

    /// A second name of an object; nothing where the file system takes none.
    pub(super) async fn link(&self, id: &str) -> Result<Option<String>, ObjectError> {
        let (from, new) = (self.object(id), new_id()?);
        let to = self.object(&new);
        let link = move || {
            fs::hard_link(from, &to)?;
            to.parent().map_or(Ok(()), flush_folder)
        };
        let linked = tokio::task::spawn_blocking(link).await;
        match linked.map_err(|_| ObjectError::Interrupted)? {
            Ok(()) => Ok(Some(new)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ObjectError::at(
                "an object to be copied is not there",
            )(error)),
            Err(error) => {
                tracing::debug!(%error, "no second name for an object: it is copied");
                Ok(None)
            }
        }
    }

    /// Removes objects; one that is gone already is no failure. Those that stay are orphans.
    pub(crate) async fn remove(&self, ids: Vec<String>) {
        if ids.is_empty() {
            return;
        }
        let folder = self.clone();
        let removal = move || {
            for id in ids {
                if let Err(error) = fs::remove_file(folder.object(&id))
                    && error.kind() != io::ErrorKind::NotFound
                {
                    tracing::warn!(%error, id, "an object can't be removed now");
                }
            }
        };
        // A panic in it would be an orphan, too.
        drop(tokio::task::spawn_blocking(removal).await);
    }

    /// Bytes that are free for us on the disk.
    pub(crate) fn free(&self) -> Option<u64> {
        let space = statvfs(&self.inner.root).ok()?;
        Some(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // It stays when something is in it; the next process collects it.
        drop(fs::remove_dir(&self.incoming));
    }
}

/// A folder in `incoming` that is locked by us. Somebody who collects may take it between its making
/// and its locking.
fn own_incoming(incoming: &Path) -> Result<(PathBuf, File), ObjectError> {
    let locked = |path: &Path| {
        make_folder(path)?;
        let lock = File::open(path)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        // Whether what we hold is still what others see.
        let (held, seen) = (lock.metadata()?, fs::metadata(path)?);
        if held.ino() != seen.ino() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(lock)
    };
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for _ in 0..LOCK_TRIES {
        let path = incoming.join(new_id()?);
        match locked(&path) {
            Ok(lock) => return Ok((path, lock)),
            Err(error) => last = error,
        }
    }
    let failed = ObjectError::at("the folder of what comes in can't be made and locked");
    Err(failed(last))
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Has the names in a folder on disk.
pub(super) fn flush_folder(path: &Path) -> io::Result<()> {
    let is_here = path.as_os_str().is_empty();
    File::open(if is_here { Path::new(".") } else { path })?.sync_all()
}

/// A name that nothing has: hexadecimal digits.
pub(crate) fn new_id() -> Result<String, ObjectError> {
    let mut bytes = [0; ID_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| ObjectError::Random)?;
    Ok(wire::auth::hex(&bytes))
}

/// Whether a name could be one of [`new_id`].
pub(super) fn is_id(name: &str) -> bool {
    name.len() == 2 * ID_BYTES && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
