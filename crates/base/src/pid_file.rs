//! The pid file: written whole or not at all, locked for as long as its process lives, and handed
//! from a process to its replacement by renaming. The lock, not the file's presence, says whether
//! the process is alive; `pkill -L -F` relies on that.

#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use thiserror::Error;

/// How often a start tries again when another start changes the file at the same moment.
const RACES_MAX: usize = 16;
/// How much of a pid file is read.
const CONTENT_MAX: u64 = 32;

/// Why there is no pid file.
#[derive(Debug, Error)]
pub enum PidFileError {
    /// Its owner is alive.
    #[error(
        "process {pid} already runs with the pid file {}; stop it, or choose another pid file",
        path.display()
    )]
    Owned {
        /// The owner, as far as the file tells.
        pid: String,
        /// The file.
        path: PathBuf,
    },
    /// The file system refused a step.
    #[error("cannot {step} the pid file {}", path.display())]
    System {
        /// The step.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others kept changing the file.
    #[error("the pid file {} keeps changing; are several processes starting?", path.display())]
    Contended {
        /// The file.
        path: PathBuf,
    },
}

/// A pid file that is ours; dropping it removes the file if it still is.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
}

impl PidFile {
    /// Writes the pid file. A live owner is an error, unless this process is its replacement: then
    /// our file takes the place of the owner's, who leaves it alone from then on.
    pub fn acquire(path: &Path, is_replacement: bool) -> Result<Self, PidFileError> {
        if is_replacement {
            let file = publish(path, true)?;
            return own(path, file);
        }
        for _ in 0..RACES_MAX {
            let stale = lock_stale(path)?;
            let replaces = match &stale {
                Stale::None => false,
                Stale::Locked(_) => true,
                Stale::Changed => continue,
            };
            // The lock on the stale file is held until ours is in its place.
            let published = publish(path, replaces);
            drop(stale);
            match published {
                Ok(file) => return own(path, file),
                Err(PidFileError::System { source, .. }) if exists(&source) => {}
                Err(error) => return Err(error),
            }
        }
        Err(PidFileError::Contended {
            path: path.to_owned(),
        })
    }

    /// Whether the file could be written, found out without touching it.
    pub fn check(path: &Path) -> Result<(), PidFileError> {
        let beside = beside(path);
        write_locked(&beside, path)?;
        std::fs::remove_file(&beside).map_err(|source| system("remove a file beside", path, source))
    }

    /// Takes the file back after a replacement that took it over has failed. Does nothing if it
    /// is still ours.
    pub fn restore(&mut self) -> Result<(), PidFileError> {
        if !self.is_ours() {
            self.file = publish(&self.path, true)?;
        }
        Ok(())
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn is_ours(&self) -> bool {
        names_same_file(&self.path, &self.file)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if self.is_ours()
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::debug!(path = %self.path.display(), %error, "cannot remove the pid file");
        }
    }
}

enum Stale {
    None,
    /// Its owner is gone; the lock keeps other starts away.
    Locked(#[expect(dead_code, reason = "held for its lock")] File),
    Changed,
}

fn lock_stale(path: &Path) -> Result<Stale, PidFileError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Stale::None),
        Err(source) => return Err(system("open", path, source)),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) if names_same_file(path, &file) => Ok(Stale::Locked(file)),
        Ok(()) => Ok(Stale::Changed),
        Err(Errno::WOULDBLOCK) => Err(PidFileError::Owned {
            pid: content(&mut file),
            path: path.to_owned(),
        }),
        Err(error) => Err(system("lock", path, error.into())),
    }
}

/// Writes a locked file beside and gives it the name, replacing what has it or not.
fn publish(path: &Path, replaces: bool) -> Result<File, PidFileError> {
    let beside = beside(path);
    let result = write_locked(&beside, path).and_then(|file| {
        let named = if replaces {
            std::fs::rename(&beside, path)
        } else {
            // Unlike a rename, a link fails if another start was quicker.
            std::fs::hard_link(&beside, path)
        };
        named.map_err(|source| system("name", path, source))?;
        Ok(file)
    });
    // After a rename there is nothing left to remove.
    drop(std::fs::remove_file(&beside));
    result
}

fn write_locked(beside: &Path, path: &Path) -> Result<File, PidFileError> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(beside)
        .map_err(|source| system("create", path, source))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|error| system("lock", path, error.into()))?;
    writeln!(file, "{}", std::process::id()).map_err(|source| system("write", path, source))?;
    Ok(file)
}

/// A name of its own in the same directory, so that it can be renamed.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.{:08x}", std::process::id(), fastrand::u32(..)));
    path.with_file_name(name)
}

fn own(path: &Path, file: File) -> Result<PidFile, PidFileError> {
    // Absolute, so that the file is found again at the end wherever the process is by then.
    let path = std::path::absolute(path).map_err(|source| system("find", path, source))?;
    Ok(PidFile { path, file })
}

fn names_same_file(path: &Path, file: &File) -> bool {
    match (std::fs::metadata(path), file.metadata()) {
        (Ok(named), Ok(open)) => (named.dev(), named.ino()) == (open.dev(), open.ino()),
        _ => false,
    }
}

fn content(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(CONTENT_MAX).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "(unknown)".to_owned(),
    }
}

fn exists(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AlreadyExists
}

fn system(step: &'static str, path: &Path, source: io::Error) -> PidFileError {
    PidFileError::System {
        step,
        path: path.to_owned(),
        source,
    }
}
