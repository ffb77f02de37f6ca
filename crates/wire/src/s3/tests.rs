//! Tests of `s3`.

mod bodies;
mod keys;
mod signatures;
