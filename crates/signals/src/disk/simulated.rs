//! A disk in memory that knows what was synced, can lose the power after any operation, and fails
//! on demand. For tests.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile, Space};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What becomes of what was not synced when the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// None of it is there.
    Drop,
    /// All of it is there.
    Keep,
    /// Each sector and each name is there or not, by chance from this seed.
    Tear(u64),
}

#[derive(Debug, Clone, Default)]
struct Content {
    now: Vec<u8>,
    /// As after the last sync.
    durable: Vec<u8>,
    /// Up to where both are surely the same.
    same: usize,
}

#[derive(Debug, Clone)]
enum NameChange {
    Set(String, usize),
    Unset(String),
    Move(String, String),
}

#[derive(Debug, Default)]
struct Inner {
    files: Vec<Content>,
    names: BTreeMap<String, usize>,
    names_durable: BTreeMap<String, usize>,
    changes: Vec<NameChange>,
    operations: u64,
    stop_after: Option<u64>,
    fail_at: Option<(u64, io::ErrorKind)>,
    fail_for_good: bool,
    space: Option<Space>,
    log: Vec<String>,
}

/// The disk; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimulatedDisk {
    inner: Arc<Mutex<Inner>>,
    locked: Arc<AtomicBool>,
}

impl SimulatedDisk {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Operations that changed something.
    pub(crate) fn operations(&self) -> u64 {
        self.inner().operations
    }

    /// The names of the operations so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.inner().log.clone()
    }

    /// The power goes after this many operations: all later ones fail.
    pub(crate) fn stop_after(&self, operations: u64) {
        self.inner().stop_after = Some(operations);
    }

    /// The operation of this number fails, or it and all after it.
    pub(crate) fn fail_at(&self, operation: u64, kind: io::ErrorKind, for_good: bool) {
        let mut inner = self.inner();
        inner.fail_at = Some((operation, kind));
        inner.fail_for_good = for_good;
    }

    /// Nothing fails any more.
    pub(crate) fn heal(&self) {
        self.inner().fail_at = None;
    }

    /// Something else that the same machine does.
    pub(crate) fn step(&self, what: String) -> io::Result<()> {
        self.inner().step(what)
    }

    /// What [`Disk::space`] says.
    pub(crate) fn set_space(&self, space: Space) {
        self.inner().space = Some(space);
    }

    /// The disk as the next start finds it.
    pub(crate) fn after(&self, cut: Cut) -> Self {
        let inner = self.inner();
        let mut chance = fastrand::Rng::with_seed(match cut {
            Cut::Tear(seed) => seed,
            Cut::Drop | Cut::Keep => 0,
        });
        let mut names = inner.names_durable.clone();
        for change in &inner.changes {
            let kept = match cut {
                Cut::Drop => false,
                Cut::Keep => true,
                Cut::Tear(_) => chance.bool(),
            };
            if kept {
                apply(&mut names, change);
            }
        }
        let files: Vec<Content> = inner
            .files
            .iter()
            .map(|content| {
                let left = match cut {
                    Cut::Drop => content.durable.clone(),
                    Cut::Keep => content.now.clone(),
                    Cut::Tear(_) => torn(content, &mut chance),
                };
                Content {
                    same: left.len(),
                    now: left.clone(),
                    durable: left,
                }
            })
            .collect();
        let next = Inner {
            files,
            names: names.clone(),
            names_durable: names,
            space: inner.space,
            ..Inner::default()
        };
        Self {
            inner: Arc::new(Mutex::new(next)),
            locked: Arc::default(),
        }
    }

    /// All files with their content.
    pub(crate) fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let inner = self.inner();
        let content = |file: &usize| inner.files[*file].now.clone();
        let names = inner.names.iter();
        names
            .map(|(name, file)| (name.clone(), content(file)))
            .collect()
    }

    /// Puts a file there, synced.
    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut inner = self.inner();
        let id = inner.files.len();
        inner.files.push(Content {
            same: bytes.len(),
            now: bytes.clone(),
            durable: bytes,
        });
        inner.names.insert(name.to_owned(), id);
        inner.names_durable.insert(name.to_owned(), id);
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: &NameChange) {
    match change {
        NameChange::Set(name, file) => {
            names.insert(name.clone(), *file);
        }
        NameChange::Unset(name) => {
            names.remove(name);
        }
        NameChange::Move(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
    }
}

/// Sectors that differ from what was synced are new, old, or, beyond the old end, zeros.
fn torn(content: &Content, chance: &mut fastrand::Rng) -> Vec<u8> {
    if content.now == content.durable {
        return content.durable.clone();
    }
    let longest = content.now.len().max(content.durable.len());
    let shortest = content.now.len().min(content.durable.len());
    let length = chance.usize(shortest..=longest);
    let mut left = content.durable.clone();
    left.resize(length, 0);
    for start in (0..length).step_by(SECTOR) {
        let end = (start + SECTOR).min(length);
        if chance.bool() {
            let new = content.now.iter().copied().chain(std::iter::repeat(0));
            for (byte, new) in left[start..end].iter_mut().zip(new.skip(start)) {
                *byte = new;
            }
        }
    }
    left
}

impl Inner {
    fn step(&mut self, what: String) -> io::Result<()> {
        self.operations += 1;
        if self.stop_after.is_some_and(|last| self.operations > last) {
            return Err(io::Error::other("the power is gone"));
        }
        if let Some((at, kind)) = self.fail_at
            && (self.operations == at || (self.fail_for_good && self.operations > at))
        {
            return Err(io::Error::new(kind, "injected"));
        }
        self.log.push(what);
        Ok(())
    }

    fn change(&mut self, change: NameChange) {
        apply(&mut self.names, &change);
        self.changes.push(change);
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        let found = self.names.get(name).copied();
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, name.to_owned()))
    }
}

/// The folder of a name; empty for the root.
fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl Disk for SimulatedDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.inner();
        inner.step(format!("create {name}"))?;
        if inner.names.contains_key(name) {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        let id = inner.files.len();
        inner.files.push(Content::default());
        inner.change(NameChange::Set(name.to_owned(), id));
        Ok(self.handle(id, name))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let id = self.inner().find(name)?;
        Ok(self.handle(id, name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step(format!("rename {from} {to}"))?;
        inner.find(from)?;
        inner.change(NameChange::Move(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step(format!("remove {name}"))?;
        inner.find(name)?;
        inner.change(NameChange::Unset(name.to_owned()));
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let inner = self.inner();
        let names = inner.names.keys();
        let here = names.filter(|name| folder_of(name) == folder);
        Ok(here
            .map(|name| name.rsplit('/').next().unwrap_or(name).to_owned())
            .collect())
    }

    fn create_folder(&self, _folder: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.step(format!("sync folder {folder}"))?;
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            inner.changes.drain(..).partition(|change| match change {
                NameChange::Set(name, _) | NameChange::Unset(name) => folder_of(name) == folder,
                NameChange::Move(_, to) => folder_of(to) == folder,
            });
        inner.changes = elsewhere;
        for change in &here {
            apply(&mut inner.names_durable, change);
        }
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        Ok(self.inner().space.unwrap_or(Space {
            total: 1 << 40,
            free: 1 << 39,
        }))
    }

    fn lock(&self, _name: &str) -> io::Result<Option<Box<dyn Send + Sync + Debug>>> {
        if self.locked.swap(true, Ordering::SeqCst) {
            return Ok(None);
        }
        Ok(Some(Box::new(Unlock(Arc::clone(&self.locked)))))
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("/simulated").join(name)
    }
}

#[derive(Debug)]
struct Unlock(Arc<AtomicBool>);

impl Drop for Unlock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl SimulatedDisk {
    fn handle(&self, id: usize, name: &str) -> Arc<dyn DiskFile> {
        Arc::new(SimulatedFile {
            disk: self.clone(),
            id,
            name: name.to_owned(),
        })
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    id: usize,
    name: String,
}

impl DiskFile for SimulatedFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.disk.inner();
        let stepped = inner.step(format!("append {} {}", bytes.len(), self.name));
        if let Err(error) = stepped {
            // What a full disk takes of a write, it keeps.
            let stopped = inner.stop_after.is_some_and(|last| inner.operations > last);
            if !stopped {
                let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
                inner.files[self.id].now.extend_from_slice(half);
            }
            return Err(error);
        }
        inner.files[self.id].now.extend_from_slice(bytes);
        Ok(())
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let inner = self.disk.inner();
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = offset.saturating_add(bytes.len());
        let found = inner.files[self.id].now.get(offset..end);
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.inner().files[self.id].now.len() as u64)
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.step(format!("cut {length} {}", self.name))?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let content = &mut inner.files[self.id];
        content.now.truncate(length);
        content.same = content.same.min(length);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.step(format!("sync {}", self.name))?;
        let content = &mut inner.files[self.id];
        content.durable.truncate(content.same);
        let new = content.now[content.same..].to_vec();
        content.durable.extend_from_slice(&new);
        content.same = content.now.len();
        Ok(())
    }
}

#[test]
fn what_is_not_synced_can_be_lost_and_what_is_synced_cannot() {
    let disk = SimulatedDisk::default();
    let file = disk.create("a/x").unwrap();
    file.append(b"one").unwrap();
    file.sync().unwrap();
    assert!(disk.after(Cut::Drop).contents().is_empty(), "no name yet");
    disk.sync_folder("a").unwrap();
    file.append(b"two").unwrap();
    disk.rename("a/x", "a/y").unwrap();
    let content = |cut| disk.after(cut).contents();
    assert_eq!(
        content(Cut::Drop),
        [("a/x".to_owned(), b"one".to_vec())].into()
    );
    assert_eq!(
        content(Cut::Keep),
        [("a/y".to_owned(), b"onetwo".to_vec())].into()
    );
    for seed in 0..20 {
        let torn = content(Cut::Tear(seed));
        let (_, bytes) = torn.first_key_value().unwrap();
        assert_eq!(&bytes[..3], b"one");
    }
}

#[test]
fn the_power_goes_after_a_number_of_operations() {
    let disk = SimulatedDisk::default();
    disk.stop_after(2);
    let file = disk.create("x").unwrap();
    file.append(b"one").unwrap();
    file.sync().unwrap_err();
    assert_eq!(disk.operations(), 3);
}
