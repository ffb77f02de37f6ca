//! The log: numbered files of frames. Many append; the first who waits writes for all of them,
//! with one fsync.

mod follow;
mod look;
mod recover;

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskError, DiskFile, named};

pub use follow::{Followed, Follower, Limits, LogPlace};
pub use look::Gap;
pub(crate) use look::{Looked, look};
pub(crate) use recover::{Recovered, recover};

/// The folder of the log.
pub(crate) const FOLDER: &str = "wal";

/// Bytes that wait for the disk. Who comes then is refused, because the disk is too slow.
pub(crate) const QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of one batch.
pub(crate) const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of a frame: what was waiting, and the batch that came last.
const FRAME_BYTES_MAX: usize = QUEUE_BYTES_MAX + BATCH_BYTES_MAX + 1024;

const FILE_MAGIC: [u8; 8] = *b"LLSWAL01";
/// Magic, number, salt, checksum.
const FILE_HEADER_BYTES: usize = 24;
const FRAME_MAGIC: [u8; 4] = *b"LLF1";
/// Magic, length, commit number, checksum.
const FRAME_HEADER_BYTES: usize = 20;

/// The log, open for appending.
#[derive(Debug)]
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    state: Mutex<State>,
    done: Condvar,
    /// The file that was made when the log was opened.
    began: u32,
}

#[derive(Debug)]
struct State {
    /// What waits, by the file that it belongs to.
    queue: VecDeque<Pending>,
    queued_bytes: usize,
    /// How often something was put into the queue, and up to where that is on disk.
    enqueued: u64,
    synced: u64,
    /// Somebody writes.
    is_writing: bool,
    /// The file that takes what comes next; made when something is written to it.
    current: u32,
    commit: u64,
    open: OpenFile,
    files: VecDeque<LogFile>,
    /// Up to where everything is on disk: a file, and bytes of it.
    durable: (u32, u64),
    /// Files that the store needs no more, and a follower does.
    kept: VecDeque<LogFile>,
    /// The first file that a follower needs.
    keep_from: u32,
    failed: Option<DiskError>,
}

/// The file that was written to last.
#[derive(Debug, Clone)]
struct OpenFile {
    number: u32,
    file: Arc<dyn DiskFile>,
    salt: u64,
    length: u64,
}

#[derive(Debug)]
struct Pending {
    file: u32,
    bytes: Vec<u8>,
}

/// What is known of one file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogFile {
    pub(crate) number: u32,
    pub(crate) bytes: u64,
    /// The time of the latest sample in it.
    pub(crate) latest: i64,
    /// Bytes that describe series.
    pub(crate) description_bytes: u64,
}

/// Records of a batch on their way to the log.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) bytes: Vec<u8>,
    pub(crate) latest: Option<i64>,
    pub(crate) description_bytes: usize,
}

impl Log {
    /// A log that goes on after what was recovered, in a new file, which is made at once.
    pub(crate) fn open(disk: Arc<dyn Disk>, recovered: &Recovered) -> Result<Self, DiskError> {
        let current = recovered.next;
        let mut files: VecDeque<LogFile> = recovered.files.iter().copied().collect();
        files.push_back(LogFile::new(current));
        let file = create(&*disk, current)?;
        let state = State {
            queue: VecDeque::new(),
            queued_bytes: 0,
            enqueued: 0,
            synced: 0,
            is_writing: false,
            current,
            commit: recovered.commit,
            open: file,
            files,
            durable: (current, FILE_HEADER_BYTES as u64),
            kept: recovered.kept.iter().copied().collect(),
            keep_from: u32::MAX,
            failed: None,
        };
        Ok(Self {
            disk,
            state: Mutex::new(state),
            done: Condvar::new(),
            began: current,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is in the current file, for deciding whether another should begin.
    pub(crate) fn current_file(&self) -> LogFile {
        let state = self.state();
        let last = state.files.back().copied();
        last.unwrap_or(LogFile::new(state.current))
    }

    /// Bytes in all files, and those that wait.
    pub(crate) fn bytes(&self) -> (u64, usize) {
        let state = self.state();
        let files = state.files.iter().map(|file| file.bytes).sum();
        (files, state.queued_bytes)
    }

    /// The error that closed the log.
    pub(crate) fn failure(&self) -> Option<DiskError> {
        self.state().failed.as_ref().map(DiskError::again)
    }

    /// What comes from here on goes into another file. Returns its number.
    pub(crate) fn begin_file(&self) -> u32 {
        let mut state = self.state();
        state.current += 1;
        let file = LogFile::new(state.current);
        state.files.push_back(file);
        state.current
    }

    /// Puts records into the queue; to be called in the order of the head. Returns what to wait
    /// for.
    pub(crate) fn enqueue(&self, records: Records) -> u64 {
        let mut state = self.state();
        let current = state.current;
        if let Some(file) = state.files.back_mut() {
            file.bytes += records.bytes.len() as u64;
            file.latest = file.latest.max(records.latest.unwrap_or(i64::MIN));
            file.description_bytes += records.description_bytes as u64;
        }
        state.queued_bytes += records.bytes.len();
        state.enqueued += 1;
        match state.queue.back_mut() {
            Some(last) if last.file == current => last.bytes.extend_from_slice(&records.bytes),
            _ => state.queue.push_back(Pending {
                file: current,
                bytes: records.bytes,
            }),
        }
        state.enqueued
    }

    /// Where the queue ends: whoever repeats something waits until its first occurrence is on
    /// disk.
    pub(crate) fn end(&self) -> u64 {
        self.state().enqueued
    }

    /// Returns when everything up to `position` is on disk, writing it if nobody else does.
    pub(crate) fn wait(&self, position: u64) -> Result<(), DiskError> {
        let mut state = self.state();
        loop {
            if state.synced >= position {
                return Ok(());
            }
            if let Some(error) = &state.failed {
                return Err(error.again());
            }
            if !state.is_writing {
                state = self.write(state);
                continue;
            }
            state = self
                .done
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes what is in the queue, for everybody.
    fn write<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.is_writing = true;
        let queue = std::mem::take(&mut state.queue);
        let target = state.enqueued;
        let mut open = state.open.clone();
        let mut commit = state.commit;
        let mut durable = state.durable;
        state.queued_bytes = 0;
        drop(state);
        let mut result = Ok(());
        for pending in queue {
            commit += 1;
            result = self.write_one(&mut open, &pending, commit);
            if result.is_err() {
                break;
            }
            durable = (open.number, open.length);
        }
        let mut state = self.state();
        state.is_writing = false;
        state.durable = durable;
        state.commit = commit;
        state.open = open;
        match result {
            Ok(()) => state.synced = target,
            Err(error) => state.failed = Some(error),
        }
        self.done.notify_all();
        state
    }

    fn write_one(
        &self,
        open: &mut OpenFile,
        pending: &Pending,
        commit: u64,
    ) -> Result<(), DiskError> {
        if open.number != pending.file {
            *open = create(&*self.disk, pending.file)?;
        }
        let name = file_name(pending.file);
        let frame = frame(open.salt, commit, &pending.bytes);
        named(&*self.disk, "write to", &name, open.file.append(&frame))?;
        open.length += frame.len() as u64;
        named(&*self.disk, "sync", &name, open.file.sync())
    }

    /// The number of the first file that is needed when everything before `cut` is in segments.
    pub(crate) fn first_needed(&self, cut: i64) -> u32 {
        let state = self.state();
        let needed = state.files.iter().find(|file| file.latest >= cut);
        // The current file is needed in any case: it takes what comes next.
        needed.map_or(state.current, |file| file.number)
    }

    /// The file that was made when the log was opened.
    pub(crate) fn began(&self) -> u32 {
        self.began
    }

    /// Up to where everything is on disk: a file, and bytes of it.
    pub(crate) fn durable(&self) -> (u32, u64) {
        self.state().durable
    }

    /// All files that are there, also those that only a follower needs, with about their bytes.
    pub(crate) fn all_files(&self) -> Vec<LogFile> {
        let state = self.state();
        state.kept.iter().chain(&state.files).copied().collect()
    }

    /// Removes the files below `first` that no follower needs. One that cannot be removed goes at the
    /// next start.
    pub(crate) fn remove_below(&self, first: u32) -> Result<(), DiskError> {
        let mut state = self.state();
        let end = state.files.partition_point(|file| file.number < first);
        let below: Vec<LogFile> = state.files.drain(..end).collect();
        state.kept.extend(below);
        let keep_from = state.keep_from;
        drop(state);
        self.keep_from(keep_from)
    }

    /// Says which is the first file that a follower needs, and removes those below that the store
    /// doesn't need either.
    pub(crate) fn keep_from(&self, first: u32) -> Result<(), DiskError> {
        let gone: Vec<LogFile> = {
            let mut state = self.state();
            state.keep_from = first;
            let end = state.kept.partition_point(|file| file.number < first);
            state.kept.drain(..end).collect()
        };
        for file in gone {
            let name = file_name(file.number);
            named(&*self.disk, "remove", &name, self.disk.remove(&name))?;
        }
        Ok(())
    }

    /// Begins anew after a failure: everything that the head has is in segments. Returns the
    /// number of the file that comes next, which is made. It may be one that the head has seen
    /// already: no series counts as described any more.
    pub(crate) fn restart(&self) -> Result<u32, DiskError> {
        // Without a gap after the last one that was made.
        let number = self.state().open.number + 1;
        let file = create(&*self.disk, number)?;
        let mut state = self.state();
        state.queue.clear();
        state.queued_bytes = 0;
        state.current = number;
        state.open = file;
        state.durable = (number, FILE_HEADER_BYTES as u64);
        state.files.retain(|file| file.number < number);
        state.files.push_back(LogFile::new(number));
        Ok(number)
    }

    /// The manifest knows of the new beginning: appending works again.
    pub(crate) fn resume(&self) {
        let mut state = self.state();
        state.synced = state.enqueued;
        state.failed = None;
        self.done.notify_all();
    }
}

impl LogFile {
    fn new(number: u32) -> Self {
        Self {
            number,
            bytes: 0,
            latest: i64::MIN,
            description_bytes: 0,
        }
    }
}

/// The name of a file of the log.
pub(crate) fn file_name(number: u32) -> String {
    format!("{FOLDER}/{number:010}.wal")
}

/// Whether anything was ever written to a file.
pub(crate) fn has_frames(disk: &dyn Disk, number: u32) -> Result<bool, DiskError> {
    let name = file_name(number);
    let file = match disk.open(&name) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        opened => named(disk, "open", &name, opened)?,
    };
    let length = named(disk, "read", &name, file.length())?;
    Ok(length > FILE_HEADER_BYTES as u64)
}

/// Makes the first file of a new store, on disk when this returns.
pub(crate) fn begin_first(disk: &dyn Disk) -> Result<(), DiskError> {
    create(disk, 1).map(drop)
}

/// Makes a file with its header, on disk when this returns.
fn create(disk: &dyn Disk, number: u32) -> Result<OpenFile, DiskError> {
    let name = file_name(number);
    // An earlier try may have left one that nobody reads.
    if let Err(error) = disk.remove(&name)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return named(disk, "remove", &name, Err(error));
    }
    let salt = foldhash::quality::RandomState::default().hash_one(number);
    let file = named(disk, "create", &name, disk.create(&name))?;
    let header = header(number, salt);
    named(disk, "write to", &name, file.append(&header))?;
    named(disk, "sync", &name, file.sync())?;
    named(disk, "sync", FOLDER, disk.sync_folder(FOLDER))?;
    Ok(OpenFile {
        number,
        file,
        salt,
        length: FILE_HEADER_BYTES as u64,
    })
}

fn header(number: u32, salt: u64) -> Vec<u8> {
    let mut header = Vec::with_capacity(FILE_HEADER_BYTES);
    header.extend_from_slice(&FILE_MAGIC);
    header.extend_from_slice(&number.to_le_bytes());
    header.extend_from_slice(&salt.to_le_bytes());
    let checksum = crc32c::crc32c(&header);
    header.extend_from_slice(&checksum.to_le_bytes());
    header
}

fn frame(salt: u64, commit: u64, records: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(FRAME_HEADER_BYTES + records.len());
    let length = crate::bytes::count32(records.len());
    frame.extend_from_slice(&FRAME_MAGIC);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&commit.to_le_bytes());
    let checksum = frame_checksum(salt, &frame, records);
    frame.extend_from_slice(&checksum.to_le_bytes());
    frame.extend_from_slice(records);
    frame
}

/// The checksum of a frame begins with the salt of its file: labels come from strangers, and none
/// of them can hold what would be taken for a frame.
fn frame_checksum(salt: u64, head: &[u8], records: &[u8]) -> u32 {
    let salted = crc32c::crc32c(&salt.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(salted, head), records)
}

#[cfg(test)]
mod tests;
