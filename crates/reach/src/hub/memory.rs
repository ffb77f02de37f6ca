//! Which pages of metrics the nodes offered last, on disk: a hub that was started or replaced knows
//! its targets before their nodes are back, so that a scrape waits or learns that the node is offline,
//! and not that there is no such target.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::files;
use base::supervise::{BoxError, Scope};
use serde::{Deserialize, Serialize};

use super::nodes::Nodes;
use crate::offers::OfferedMetrics;

/// The file in the data directory.
pub(super) const MEMORY_FILE: &str = "nodes.json";
/// The largest file that is read.
const MEMORY_BYTES_MAX: u64 = 64 << 20;
/// Changes within this time are written together.
const WRITE_PAUSE: Duration = Duration::from_millis(500);

/// What is remembered of a cluster's nodes.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// The pages of each node.
    pub(super) metrics: BTreeMap<String, Vec<OfferedMetrics>>,
}

impl Memory {
    /// Reads what was kept; nothing of it is needed.
    pub(super) fn load(path: &Path) -> Self {
        let text = match files::read_limited(path, MEMORY_BYTES_MAX) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Self::default(),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "what nodes offered is not known");
                return Self::default();
            }
        };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "what nodes offered is not known");
            Self::default()
        })
    }
}

/// Keeps the file up to date.
pub(super) async fn keep(nodes: Arc<Nodes>, path: &Path, scope: Scope) -> Result<(), BoxError> {
    let mut changed = nodes.watch();
    let mut kept = Memory::load(path);
    loop {
        changed.mark_unchanged();
        let memory = nodes.memory();
        if memory != kept {
            files::write_whole(path, &serde_json::to_vec(&memory)?, 0o600)?;
            kept = memory;
            // After the write, not before: a replacement may come right after the first node.
            tokio::select! {
                () = tokio::time::sleep(WRITE_PAUSE) => {}
                () = scope.stopping() => return Ok(()),
            }
        }
        tokio::select! {
            outcome = changed.changed() => outcome?,
            () = scope.stopping() => return Ok(()),
        }
    }
}
