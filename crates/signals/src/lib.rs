//! The single-node store of samples: a log, a head in memory, segments that are written once.
//!
//! Synchronous and without SQL; who calls it from asynchronous code does so where it may block.
//! Decision 16 describes the files and what a crash may leave.

pub mod disk;
