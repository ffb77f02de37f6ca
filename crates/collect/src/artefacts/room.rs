//! Room for what comes: quotas, and what has to stay free on the disk. What is on its way counts.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use wire::s3::key::Key;

use super::Shared;
use super::catalogue::Usage;
use super::config::Quota;
use super::error::Trouble;

/// Bytes after which the disk is asked again.
const ASK_AGAIN: u64 = 64 << 20;

/// Who uses how much.
#[derive(Debug)]
pub(crate) struct Room {
    quota: Quota,
    /// Bytes that are on their way, by group.
    coming: Mutex<HashMap<String, u64>>,
}

/// Room that is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    shared: &'a Shared,
    group: String,
    usage: Usage,
    /// What the group may have.
    quota: Option<u64>,
    bytes: u64,
    /// Bytes that came when the disk was asked last.
    asked_at: u64,
}

impl Room {
    pub(crate) fn new(quota: Quota) -> Self {
        Self {
            quota,
            coming: Mutex::default(),
        }
    }

    /// What comes to this group, and to all.
    fn coming(&self, group: &str) -> Usage {
        let coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        Usage {
            group: coming.get(group).copied().unwrap_or(0),
            total: coming.values().sum(),
            ..Usage::default()
        }
    }

    fn add(&self, group: &str, bytes: u64) {
        let mut coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        let count = coming.entry(group.to_owned()).or_default();
        *count = count.saturating_add(bytes);
    }

    fn remove(&self, group: &str, bytes: u64) {
        let mut coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = coming.get_mut(group) {
            *count = count.saturating_sub(bytes);
            if *count == 0 {
                coming.remove(group);
            }
        }
    }
}

impl Shared {
    /// Takes room for so many bytes of a key, at least, or says that there is none.
    pub(crate) async fn take_room(&self, key: &Key, bytes: u64) -> Result<Taken<'_>, Trouble> {
        let usage = self.catalogue.usage(key).await?;
        let group = key.parts().group;
        let mut taken = Taken {
            shared: self,
            group: group.to_owned(),
            quota: self.config.effective(group, &usage.settings).quota,
            usage,
            bytes: 0,
            asked_at: 0,
        };
        taken.ask_disk(bytes)?;
        taken.grow(bytes)?;
        Ok(taken)
    }
}

impl Taken<'_> {
    /// Says that so many bytes have come in all, which may be more than was announced.
    pub(crate) fn reach(&mut self, bytes: u64) -> Result<(), Trouble> {
        if bytes.saturating_sub(self.asked_at) >= ASK_AGAIN {
            self.asked_at = bytes;
            self.ask_disk(0)?;
        }
        match bytes.checked_sub(self.bytes) {
            Some(more) if more > 0 => self.grow(more),
            _ => Ok(()),
        }
    }

    fn ask_disk(&self, bytes: u64) -> Result<(), Trouble> {
        let keep = self.shared.room.quota.keep_free;
        // A disk that does not say is asked by writing.
        let free = self.shared.objects.free().unwrap_or(u64::MAX);
        if free.saturating_sub(bytes) < keep {
            return Err(Trouble::Full("the disk"));
        }
        Ok(())
    }

    fn grow(&mut self, bytes: u64) -> Result<(), Trouble> {
        self.bytes = self.bytes.saturating_add(bytes);
        let room = &self.shared.room;
        room.add(&self.group, bytes);
        let coming = room.coming(&self.group);
        let is_over = |quota: Option<u64>, kept: u64, coming: u64| {
            quota.is_some_and(|quota| kept.saturating_add(coming) > quota)
        };
        if is_over(self.quota, self.usage.group, coming.group) {
            return Err(Trouble::Full("the group"));
        }
        if is_over(room.quota.total, self.usage.total, coming.total) {
            return Err(Trouble::Full("the store"));
        }
        Ok(())
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.shared.room.remove(&self.group, self.bytes);
    }
}
