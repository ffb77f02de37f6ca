//! Times as the tables keep them.

use std::time::UNIX_EPOCH;

use base::clock;

/// Now, in Unix milliseconds.
pub(crate) fn now() -> i64 {
    let since = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
