//! A file that comes: beside its place, under a name that says of which version it is, until it is whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::commands::artefacts::check::Check;
use crate::commands::artefacts::store::Known;
use crate::commands::artefacts::{CommandError, Outcome};

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 256 << 10;
/// Characters of the tag in the name.
const TAG_CHARACTERS: usize = 16;

/// A file under way.
#[derive(Debug)]
pub(super) struct Target {
    file: File,
    /// Where it is until then.
    beside: PathBuf,
    path: PathBuf,
}

impl Target {
    /// Whether the file is here already as the collector has it.
    pub(super) async fn has(path: &Path, known: &Known) -> Outcome<bool> {
        let is_candidate = path
            .metadata()
            .is_ok_and(|about| about.is_file() && about.len() == known.bytes);
        if !is_candidate {
            return Ok(false);
        }
        let (path, mut check) = (path.to_owned(), Check::of(known));
        let work = move || {
            read_into(&File::open(&path)?, &mut check)?;
            Ok::<_, io::Error>(check.finish())
        };
        // One that can't be read is replaced, or says so then.
        Ok(blocking(work).await.unwrap_or(false))
    }

    /// Opens what came before, which is hashed, or begins; with how many bytes there are.
    pub(super) async fn open(path: &Path, known: &Known) -> Outcome<(Self, Check, u64)> {
        let beside = beside(path, known);
        let (path, known) = (path.to_owned(), known.clone());
        let shown = beside.display().to_string();
        let work = move || {
            let mut options = OpenOptions::new();
            let file = options.read(true).append(true).create(true).open(&beside)?;
            flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            if file.metadata()?.len() > known.bytes {
                file.set_len(0)?;
            }
            let mut check = Check::of(&known);
            let bytes = read_into(&file, &mut check)?;
            let target = Self { file, beside, path };
            Ok::<_, io::Error>((target, check, bytes))
        };
        blocking(work).await.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => CommandError::wrong(format!(
                "{shown} is being written by another landline: wait for it, or say `-o` elsewhere"
            )),
            _ => CommandError::wrong(format!("{shown}: {error}")),
        })
    }

    /// Adds bytes at the end.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Outcome {
        self.file
            .write_all(bytes)
            .map_err(|error| self.wrong(&error))
    }

    /// The file is whole.
    pub(super) fn finish(self) -> Outcome {
        let done = self.file.sync_all();
        let done = done.and_then(|()| std::fs::rename(&self.beside, &self.path));
        done.map_err(|error| self.wrong(&error))
    }

    /// What came is of no use.
    pub(super) fn give_up(self) {
        drop(std::fs::remove_file(&self.beside));
    }

    fn wrong(&self, error: &io::Error) -> CommandError {
        CommandError::wrong(format!("{}: {error}", self.beside.display()))
    }
}

/// `name.<tag>.part`: of another version there is another one.
fn beside(path: &Path, known: &Known) -> PathBuf {
    let tag = known.etag.chars().filter(char::is_ascii_alphanumeric);
    let tag: String = tag.take(TAG_CHARACTERS).collect();
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{tag}.part"));
    path.with_file_name(name)
}

/// Hashes all of a file; how long it is.
fn read_into(mut file: &File, check: &mut Check) -> io::Result<u64> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut piece)?;
        let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else {
            return Ok(bytes);
        };
        check.update(piece);
        bytes += u64::try_from(read).unwrap_or(0);
    }
}

/// Work on files, where it blocks nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
}
