//! The single-node store of samples: a log, a head in memory, segments that are written once.
//!
//! Synchronous and without SQL; who calls it from asynchronous code does so where it may block.
//! Decision 16 describes the files and what a crash may leave.

mod block;
mod bytes;
mod check;
mod chunk;
mod damage;
pub mod disk;
mod extra;
mod head;
mod histogram;
mod index;
mod labels;
mod log;
mod manifest;
mod matcher;
mod number;
mod objects;
mod postings;
mod record;
mod segment;
mod store;
mod tombstone;

pub use check::{Check, DamagedSegment, Repaired, check, object_bytes, repair};
pub use chunk::Columns;
pub use damage::Damage;
pub use extra::{EXEMPLARS_MAX, Exemplar, METADATA_MAX, Metadata};
pub use histogram::{Histogram, ResetHint, Span};
pub use labels::{LABEL_BYTES_MAX, LABELS_MAX, Labels, LabelsError, METRIC_NAME, Pairs};
pub use log::{Followed, Follower, Gap, Limits, LogPlace};
pub use matcher::{Matcher, Operator, PatternError};
pub use number::STALE;
pub use objects::{ObjectFacts, Objects};
pub use segment::SeriesSamples;
pub use store::{
    AppendError, Appended, BATCH_SAMPLES_MAX, Entry, HeadFacts, Import, Opened, Options, Refusal,
    SegmentFacts, Selection, SeriesId, Statistics, Store, StoreError, TOMBSTONES_MAX, Upkeep,
    Value, probe,
};
