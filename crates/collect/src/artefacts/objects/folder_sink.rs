//! Writing an object into the folder: hashed and written in the pool of blocking threads, one batch while the next one
//! comes in, and visible only when it is whole and on disk.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::ObjectError;
use super::folder::{Folder, flush_folder, new_id};
use super::hashing::{Finished, Hashes, Hashing};
use super::pieces::Pieces;

/// Bytes of one batch.
const BATCH_BYTES: usize = 256 << 10;
/// Bytes after which the disk has to have them: what waits at the end delays the answer.
const UNSYNCED_BYTES_MAX: u64 = 32 << 20;

/// An object that is being written. Dropping it removes what was written.
#[derive(Debug)]
pub(crate) struct FolderSink {
    state: State,
    batch: Pieces,
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
    unsynced: u64,
    /// Nothing once it is finished.
    hashing: Option<Hashing>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Writer").field(&self.id).finish()
    }
}

impl FolderSink {
    /// Begins an object.
    pub(crate) async fn begin(folder: &Folder, hashes: Hashes) -> Result<Self, ObjectError> {
        let folder = folder.clone();
        let writer = tokio::task::spawn_blocking(move || Writer::begin(folder, hashes));
        let writer = writer.await.map_err(|_| ObjectError::Interrupted)??;
        Ok(Self {
            state: State::Idle(Box::new(writer)),
            batch: Pieces::default(),
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
        self.batch.push(bytes);
        if self.batch.length() >= BATCH_BYTES {
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
        let batch = self.batch.take();
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
            unsynced: 0,
            hashing: Some(Hashing::new(hashes)),
        })
    }

    fn write(&mut self, batch: &[Bytes]) -> Result<(), ObjectError> {
        for bytes in batch {
            if let Some(hashing) = &mut self.hashing {
                hashing.update(bytes);
            }
            self.file
                .write_all(bytes)
                .map_err(ObjectError::at("an object can't be written"))?;
            self.unsynced += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
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
        flush_folder(folder)
            .map_err(ObjectError::at("the folder of an object can't be flushed"))?;
        let hashing = self.hashing.take().ok_or(ObjectError::Interrupted)?;
        Ok(hashing.finish(std::mem::take(&mut self.id)))
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
