//! A bucket of an S3 store: its address in a configuration, its keys, and the requests that are sent
//! to it, each signed and with a deadline.

mod client;
mod config;
mod keys;
mod objects;

pub use client::{Bucket, BucketError, Call};
pub use config::BucketConfig;
pub use keys::{Keys, KeysError, find_keys};
pub use objects::{Listed, Upload};
