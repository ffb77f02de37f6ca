//! Writing an object: hashed and written in the pool of blocking threads, one batch while the next one
//! comes in, and visible only when it is whole and on disk.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use aws_lc_rs::digest;
use bytes::Bytes;
use md5::{Digest as _, Md5};
use tokio::task::JoinHandle;
use wire::s3::checksum::{Algorithm, Hasher};

use super::ObjectError;
use super::folder::{Folder, new_id};

/// Bytes of one batch.
const BATCH_BYTES: usize = 256 << 10;
/// Bytes after which the disk has to have them: what waits at the end delays the answer.
const UNSYNCED_BYTES_MAX: u64 = 32 << 20;

/// What is computed beside SHA-256.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hashes {
    /// MD5, for clients that compare it.
    pub(crate) md5: bool,
    /// A checksum that the client sends.
    pub(crate) checksum: Option<Algorithm>,
}

/// An object that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) id: String,
    pub(crate) bytes: u64,
    /// In hexadecimal digits.
    pub(crate) sha256: String,
    /// In hexadecimal digits, if it was asked for.
    pub(crate) md5: Option<String>,
    /// In base64, if it was asked for.
    pub(crate) checksum: Option<(Algorithm, String)>,
}

/// An object that is being written. Dropping it removes what was written.
#[derive(Debug)]
pub(crate) struct Sink {
    state: State,
    batch: Vec<Bytes>,
    batched: usize,
    taken: u64,
}

#[derive(Debug)]
enum State {
    Idle(Box<Writer>),
    Busy(JoinHandle<Result<Box<Writer>, ObjectError>>),
    Broken,
}

struct Writer {
    folder: Folder,
    id: String,
    file: File,
    /// What is to be removed when it breaks off.
    incoming: Option<PathBuf>,
    bytes: u64,
    unsynced: u64,
    sha256: digest::Context,
    md5: Option<Md5>,
    checksum: Option<Hasher>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Writer").field(&self.id).finish()
    }
}

impl Sink {
    /// Begins an object.
    pub(crate) async fn begin(folder: &Folder, hashes: Hashes) -> Result<Self, ObjectError> {
        let folder = folder.clone();
        let writer = tokio::task::spawn_blocking(move || Writer::begin(folder, hashes));
        let writer = writer.await.map_err(|_| ObjectError::Interrupted)??;
        Ok(Self {
            state: State::Idle(Box::new(writer)),
            batch: Vec::new(),
            batched: 0,
            taken: 0,
        })
    }

    /// Bytes that it was given.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes more bytes; waits while the disk is behind.
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), ObjectError> {
        self.taken += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.batched += bytes.len();
        self.batch.push(bytes);
        if self.batched >= BATCH_BYTES {
            self.pass_on().await?;
        }
        Ok(())
    }

    /// Has everything on disk and makes it visible. Only then it is an object.
    pub(crate) async fn finish(mut self) -> Result<Finished, ObjectError> {
        self.pass_on().await?;
        let writer = self.idle().await?;
        let finished = tokio::task::spawn_blocking(move || writer.finish());
        finished.await.map_err(|_| ObjectError::Interrupted)?
    }

    async fn pass_on(&mut self) -> Result<(), ObjectError> {
        let mut writer = self.idle().await?;
        let batch = std::mem::take(&mut self.batch);
        self.batched = 0;
        let work = move || writer.write(&batch).map(|()| writer);
        self.state = State::Busy(tokio::task::spawn_blocking(work));
        Ok(())
    }

    /// The writer when its batch is written.
    async fn idle(&mut self) -> Result<Box<Writer>, ObjectError> {
        match std::mem::replace(&mut self.state, State::Broken) {
            State::Idle(writer) => Ok(writer),
            State::Busy(work) => work.await.map_err(|_| ObjectError::Interrupted)?,
            State::Broken => Err(ObjectError::Interrupted),
        }
    }
}

impl Writer {
    fn begin(folder: Folder, hashes: Hashes) -> Result<Self, ObjectError> {
        let id = new_id()?;
        let path = folder.incoming(&id);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(ObjectError::at("an object can't be begun"))?;
        Ok(Self {
            folder,
            id,
            file,
            incoming: Some(path),
            bytes: 0,
            unsynced: 0,
            sha256: digest::Context::new(&digest::SHA256),
            md5: hashes.md5.then(Md5::new),
            checksum: hashes.checksum.map(Hasher::new),
        })
    }

    fn write(&mut self, batch: &[Bytes]) -> Result<(), ObjectError> {
        for bytes in batch {
            self.sha256.update(bytes);
            if let Some(md5) = &mut self.md5 {
                md5.update(bytes);
            }
            if let Some(checksum) = &mut self.checksum {
                checksum.update(bytes);
            }
            self.file
                .write_all(bytes)
                .map_err(ObjectError::at("an object can't be written"))?;
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            self.bytes += length;
            self.unsynced += length;
        }
        if self.unsynced >= UNSYNCED_BYTES_MAX {
            self.unsynced = 0;
            self.file
                .sync_data()
                .map_err(ObjectError::at("an object can't be flushed"))?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Finished, ObjectError> {
        self.file
            .sync_all()
            .map_err(ObjectError::at("an object can't be flushed"))?;
        let place = self.folder.object(&self.id);
        if let Some(incoming) = &self.incoming {
            fs::rename(incoming, &place)
                .map_err(ObjectError::at("an object can't be put in its place"))?;
        }
        self.incoming = None;
        let folder = place.parent().unwrap_or(self.folder.root());
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(ObjectError::at("the folder of an object can't be flushed"))?;
        let empty = digest::Context::new(&digest::SHA256);
        let sha256 = std::mem::replace(&mut self.sha256, empty).finish();
        let md5 = self.md5.take().map(|md5| wire::auth::hex(&md5.finalize()));
        let checksum = self.checksum.take();
        Ok(Finished {
            id: std::mem::take(&mut self.id),
            bytes: self.bytes,
            sha256: wire::auth::hex(sha256.as_ref()),
            md5,
            checksum: checksum.map(|hasher| (hasher.algorithm(), hasher.finish())),
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(path) = &self.incoming {
            // Otherwise it is collected after this process.
            drop(fs::remove_file(path));
        }
    }
}
