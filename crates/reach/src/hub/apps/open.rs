//! What is open to applications and whose it is, so that a lock ends it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use identity::locks::LockTarget;
use identity::trust::Trust;
use tokio_util::sync::CancellationToken;

use crate::hub::unix_milliseconds;

/// All that is open.
#[derive(Debug, Clone, Default)]
pub(super) struct Open {
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    uses: BTreeMap<u64, (Vec<LockTarget>, CancellationToken)>,
    next: u64,
}

/// One use; clones share it. It is open until the last one is dropped.
#[derive(Debug, Clone)]
pub(super) struct OpenUse {
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    open: Open,
    number: u64,
    ended: CancellationToken,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.open.table().uses.remove(&self.number);
    }
}

impl Open {
    /// Notes a use, which a lock on one of `targets` ends.
    pub(super) fn begin(&self, targets: &[LockTarget], trust: &Trust) -> OpenUse {
        let ended = CancellationToken::new();
        let mut table = self.table();
        let number = table.next;
        table.next += 1;
        table.uses.insert(number, (targets.to_vec(), ended.clone()));
        drop(table);
        // The lock may have come after the question whether there is one.
        if trust.lock_on(targets, unix_milliseconds()).is_some() {
            ended.cancel();
        }
        let held = Held {
            open: self.clone(),
            number,
            ended,
        };
        OpenUse {
            held: Arc::new(held),
        }
    }

    /// Ends the uses of those who are locked.
    pub(super) fn end_locked(&self, trust: &Trust) {
        let now = unix_milliseconds();
        let table = self.table();
        for (targets, ended) in table.uses.values() {
            if trust.lock_on(targets, now).is_some() {
                ended.cancel();
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenUse {
    /// Fires when a lock ends it.
    pub(super) fn ended(&self) -> CancellationToken {
        self.held.ended.clone()
    }
}
