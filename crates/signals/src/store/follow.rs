//! What others read behind those who append: the log, as far as it is on disk.

use super::Store;
use crate::disk::DiskError;
use crate::labels::Labels;
use crate::log::{Follower, LogPlace};

impl Store {
    /// Where the log began when it was opened: what was taken since then stands behind it.
    pub fn log_start(&self) -> LogPlace {
        LogPlace::begin_of(self.log.began())
    }

    /// Where the log ends: what comes from now on stands behind it.
    pub fn log_end(&self) -> LogPlace {
        let (file, offset) = self.log.durable();
        LogPlace {
            file,
            offset,
            taken: 0,
        }
    }

    /// Reads the log from a place on. When its file is not there any more, or never was, the oldest one
    /// that is there comes first; [`Follower::place`] tells.
    pub fn follow(&self, from: LogPlace) -> Follower {
        let files = self.log.all_files();
        let oldest = files.first().map_or(0, |file| file.number);
        let is_there = from.file >= oldest && from <= self.log_end();
        Follower::new(if is_there {
            from
        } else {
            LogPlace::begin_of(oldest)
        })
    }

    /// Lets go the files of the log below the first one that somebody reads still, as far as the store
    /// doesn't need them. One that cannot be removed goes at the next start.
    ///
    /// # Errors
    /// A file can't be removed.
    pub fn keep_log_from(&self, first: u32) -> Result<(), DiskError> {
        self.log.keep_from(first)
    }

    /// About how many bytes of the log stand behind a place.
    pub fn log_bytes_after(&self, place: LogPlace) -> u64 {
        let files = self.log.all_files().into_iter();
        let behind = files.map(|file| match file.number.cmp(&place.file) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => file.bytes.saturating_sub(place.offset),
            std::cmp::Ordering::Greater => file.bytes,
        });
        behind.sum()
    }

    /// The same labels, as the head has them in memory already if it does.
    pub(crate) fn known_labels(&self, labels: Labels) -> Labels {
        let head = self.head();
        let known = head.find(&labels).and_then(|id| head.get(id));
        known.map_or(labels, |series| series.labels.clone())
    }

    pub(crate) fn log(&self) -> &crate::log::Log {
        &self.log
    }

    pub(crate) fn disk(&self) -> &dyn crate::disk::Disk {
        &*self.disk
    }
}
