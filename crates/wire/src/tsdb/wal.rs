//! The write-ahead log: records in pages of 32 KiB, several pages a segment. A record is series, samples of
//! series by their numbers, or something about them.

mod histogram;
mod page;
mod record;

pub use page::{PAGE_BYTES, Records};
pub use record::{Event, read};

#[cfg(test)]
mod tests;
