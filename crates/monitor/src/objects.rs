//! Old segments in a bucket: the store of samples asks on threads that may block, and the client of
//! buckets is asynchronous.

mod config;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base::clock;
use base::supervise::Supervisor;
use bucket::{Bucket, BucketError, KeysError, Upload};
use bytes::Bytes;
use signals::Objects;
use signals::disk::DiskFile;
use tokio::runtime::Handle;
use tokio::sync::watch;

pub use config::ObjectsConfig;

/// Bytes of a part of an object; S3 takes none below 5 MiB but the last.
const PART_BYTES: u64 = 8 << 20;
/// Parts of an object; S3 takes 10,000.
const PARTS_MAX: u64 = 9_000;
/// How long a range may take, all tries together.
const READ_LIMIT: Duration = Duration::from_secs(30);
/// How long a part, a removal or a page of a list may take.
const WORK_LIMIT: Duration = Duration::from_mins(2);
/// How long ranges fail at once after one that nobody answered, so that a page of queries does not wait
/// for each of them.
const AWAY_PAUSE: Duration = Duration::from_secs(5);
/// Pages of a list, of a thousand names each.
const LIST_PAGES_MAX: usize = 100;

/// The bucket as the store of samples wants it. To be asked on threads that may block.
#[derive(Debug)]
pub struct BucketObjects {
    bucket: Bucket,
    runtime: Handle,
    is_stopping: watch::Sender<bool>,
    away: Mutex<Option<Away>>,
}

/// A range did not come.
#[derive(Debug)]
struct Away {
    until: Instant,
    reason: String,
}

/// The bucket of a configuration; `runtime` drives its connections.
///
/// # Errors
/// There are no keys for it.
pub fn connect(
    config: &ObjectsConfig,
    environment: &BTreeMap<String, String>,
    (runtime, supervisor): (Handle, &Supervisor),
) -> Result<Arc<BucketObjects>, KeysError> {
    let given = (config.access_key.as_ref(), config.secret_key.as_ref());
    let keys = bucket::find_keys(given, environment)?;
    Ok(Arc::new(BucketObjects {
        bucket: Bucket::new(&config.url, (keys, config.ca.clone()), supervisor),
        runtime,
        is_stopping: watch::Sender::new(false),
        away: Mutex::default(),
    }))
}

impl BucketObjects {
    /// What is being put there is broken off: it is tried again at the next start.
    pub(crate) fn stop(&self) {
        self.is_stopping.send_replace(true);
    }

    fn wait<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, BucketError>>,
    ) -> io::Result<T> {
        let limited = async { tokio::time::timeout(limit, work).await };
        match self.runtime.block_on(limited) {
            Ok(done) => done.map_err(io_error),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// The same, until the process stops.
    fn wait_or_stop<T>(&self, work: impl Future<Output = Result<T, BucketError>>) -> io::Result<T> {
        let mut is_stopping = self.is_stopping.subscribe();
        let stopping = async move {
            is_stopping
                .wait_for(|is_stopping| *is_stopping)
                .await
                .is_ok()
        };
        let work = async {
            tokio::select! {
                done = work => done.map(Some),
                _ = stopping => Ok(None),
            }
        };
        let done = self.wait(WORK_LIMIT, work)?;
        done.ok_or_else(|| io::Error::other("this process stops"))
    }

    fn put_parts(&self, upload: &mut Upload, file: &dyn DiskFile, length: u64) -> io::Result<()> {
        let part = PART_BYTES.max(length.div_ceil(PARTS_MAX));
        let mut offset = 0;
        while offset < length {
            let some = part.min(length - offset);
            let bytes = read(file, offset, some)?;
            self.wait_or_stop(self.bucket.put_part(upload, bytes))?;
            offset += some;
        }
        self.wait_or_stop(self.bucket.complete(upload))
    }

    fn away(&self) -> MutexGuard<'_, Option<Away>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Objects for BucketObjects {
    fn put(&self, name: &str, file: &dyn DiskFile) -> io::Result<()> {
        let key = self.bucket.key(name);
        let length = file.length()?;
        if length <= PART_BYTES {
            let bytes = read(file, 0, length)?;
            return self.wait_or_stop(self.bucket.put(&key, bytes));
        }
        let mut upload = self.wait_or_stop(self.bucket.begin(&key))?;
        let put = self.put_parts(&mut upload, file, length);
        if put.is_err() {
            // A sweep does the same when this fails, too.
            self.wait_or_stop(self.bucket.give_up(&upload)).ok();
        }
        put
    }

    fn read(&self, name: &str, offset: u64, length: usize) -> io::Result<(Vec<u8>, u64)> {
        if let Some(away) = &*self.away()
            && clock::now() < away.until
        {
            return Err(io::Error::other(away.reason.clone()));
        }
        let key = self.bucket.key(name);
        let range = (offset, length as u64);
        let read = self.wait(READ_LIMIT, self.bucket.get(&key, range));
        *self.away() = match &read {
            Err(error)
                if matches!(error.kind(), io::ErrorKind::Other | io::ErrorKind::TimedOut) =>
            {
                Some(Away {
                    until: clock::now() + AWAY_PAUSE,
                    reason: error.to_string(),
                })
            }
            _ => None,
        };
        read.map(|(bytes, total)| (bytes.into(), total))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let key = self.bucket.key(name);
        self.wait_or_stop(self.bucket.delete(&key))
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        let whole = self.bucket.key(prefix);
        let mut names = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..LIST_PAGES_MAX {
            let listed = self.wait_or_stop(self.bucket.list(&whole, next.as_deref()))?;
            let own = listed
                .keys
                .iter()
                .filter_map(|key| key.strip_prefix(&whole));
            names.extend(own.map(|rest| format!("{prefix}{rest}")));
            next = listed.next;
            if next.is_none() {
                break;
            }
        }
        Ok(names)
    }

    fn give_up(&self, prefix: &str) -> io::Result<()> {
        let whole = self.bucket.key(prefix);
        let unfinished = async {
            match self.bucket.unfinished(&whole).await {
                // Stores that keep no list of them remove them by themselves.
                Err(error) if error.code.as_deref() == Some("NotImplemented") => Ok(Vec::new()),
                found => found,
            }
        };
        for upload in self.wait_or_stop(unfinished)? {
            self.wait_or_stop(self.bucket.give_up(&upload))?;
        }
        Ok(())
    }

    fn place(&self, name: &str) -> String {
        self.bucket.place(name)
    }
}

fn read(file: &dyn DiskFile, offset: u64, length: u64) -> io::Result<Bytes> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_at(offset, &mut bytes)?;
    Ok(bytes.into())
}

/// What the store of samples tells apart: an object that is missing, or shorter, is damage; everything
/// else may pass.
fn io_error(error: BucketError) -> io::Error {
    let kind = match error.code.as_deref() {
        Some("NoSuchKey") => io::ErrorKind::NotFound,
        Some("InvalidRange") => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}
