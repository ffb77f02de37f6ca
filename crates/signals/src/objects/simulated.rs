//! Objects in memory, for tests: the power of the disk's machine goes while they are asked, too, and
//! what was asked for then was done, or not.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Objects;
use crate::bytes::in_memory;
use crate::disk::DiskFile;
use crate::disk::simulated::SimulatedDisk;

#[derive(Debug, Clone, Default)]
struct Inner {
    objects: BTreeMap<String, Vec<u8>>,
    /// Names of which something was being put there.
    unfinished: Vec<String>,
    /// Whole and ranges, as they were asked for.
    log: Vec<String>,
    chance: u64,
}

/// The objects; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimulatedObjects {
    inner: Arc<Mutex<Inner>>,
    /// Whose operations these are among.
    disk: SimulatedDisk,
    is_away: Arc<AtomicBool>,
}

impl SimulatedObjects {
    /// A copy of the objects that the machine of this disk asks. `chance` decides about what is on its
    /// way when the power goes.
    pub(crate) fn copied(&self, disk: &SimulatedDisk, chance: u64) -> Self {
        let inner = Inner {
            chance,
            ..self.inner().clone()
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            disk: disk.clone(),
            is_away: Arc::default(),
        }
    }

    pub(crate) fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    pub(crate) fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        self.inner().objects.clone()
    }

    pub(crate) fn put_bytes(&self, name: &str, bytes: Vec<u8>) {
        self.inner().objects.insert(name.to_owned(), bytes);
    }

    pub(crate) fn unfinished(&self) -> usize {
        self.inner().unfinished.len()
    }

    /// What was asked for since the last call.
    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.inner().log)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is done, and what is answered.
    fn ask(&self, what: String) -> (bool, io::Result<()>) {
        if self.is_away.load(Ordering::SeqCst) {
            return (false, Err(io::Error::other("nobody answers")));
        }
        self.inner().log.push(what.clone());
        let answer = self.disk.step(what);
        let mut inner = self.inner();
        inner.chance = inner.chance.wrapping_mul(6_364_136_223_846_793_005) + 1;
        // The answer may be what is lost.
        (answer.is_ok() || inner.chance >> 60 & 1 == 1, answer)
    }
}

impl Objects for SimulatedObjects {
    fn put(&self, name: &str, file: &dyn DiskFile) -> io::Result<()> {
        let mut bytes = vec![0; in_memory(file.length()?)];
        file.read_at(0, &mut bytes)?;
        let (is_begun, begun) = self.ask(format!("begin {name}"));
        if is_begun {
            self.inner().unfinished.push(name.to_owned());
        }
        begun?;
        let (is_done, answer) = self.ask(format!("put {name}"));
        if is_done {
            let mut inner = self.inner();
            inner.unfinished.retain(|unfinished| unfinished != name);
            inner.objects.insert(name.to_owned(), bytes);
        }
        answer
    }

    fn read(&self, name: &str, offset: u64, length: usize) -> io::Result<(Vec<u8>, u64)> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(io::Error::other("nobody answers"));
        }
        let mut inner = self.inner();
        inner.log.push(format!("read {name} {offset} {length}"));
        let whole = inner.objects.get(name).ok_or(io::ErrorKind::NotFound)?;
        let offset = in_memory(offset);
        let rest = whole.get(offset..).ok_or(io::ErrorKind::InvalidData)?;
        let bytes = rest.get(..length).unwrap_or(rest);
        Ok((bytes.to_vec(), whole.len() as u64))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let (is_done, answer) = self.ask(format!("remove {name}"));
        if is_done {
            self.inner().objects.remove(name);
        }
        answer
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        self.ask(format!("list {prefix}")).1?;
        let inner = self.inner();
        let names = inner.objects.keys();
        Ok(names
            .filter(|name| name.starts_with(prefix))
            .cloned()
            .collect())
    }

    fn give_up(&self, prefix: &str) -> io::Result<()> {
        let (is_done, answer) = self.ask(format!("give up {prefix}"));
        if is_done {
            let mut inner = self.inner();
            inner.unfinished.retain(|name| !name.starts_with(prefix));
        }
        answer
    }

    fn place(&self, name: &str) -> String {
        format!("s3://simulated/{name}")
    }
}
