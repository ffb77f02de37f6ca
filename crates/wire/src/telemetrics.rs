//! Records of the telemetrics client, as it sends them to a collector: client 2.3.5 and older posts
//! the metadata as headers to `/v2/collector`, client 2.4.0 and newer one JSON object to
//! `/v3/collector`. A [`Submission`] is what came, unchecked; [`check`] makes a [`Record`] of it by
//! the rules of the original collector (clearlinux/telemetrics-backend, of February 2020) or says
//! what is wrong in that collector's words. `backtrace` and `fingerprint` read what crashes tell, `machine_check`
//! what processors do.
//!
//! It bounds neither body nor header block: callers do, and everything here takes memory in
//! proportion to them, a JSON body up to 16 times its size while it is read. It does not know which
//! telemetry ids are served: callers compare the id before they check anything else, as the
//! original does, and answer [`TID_MISMATCH`].

pub mod backtrace;
mod field;
pub mod fingerprint;
mod invalid;
pub mod machine_check;
mod record;
mod submission;
#[cfg(test)]
mod tests;

pub use field::Field;
pub use invalid::{Invalid, TID_MISMATCH};
pub use record::{NOT_AVAILABLE, Record, Strictness, check, is_usual_arch};
pub use submission::{JSON_KEYS_MAX, JsonProblem, Submission};
