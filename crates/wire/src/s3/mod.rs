//! The part of S3 that stores of artefacts and their clients speak: signatures of requests, chunks of
//! bodies, checksums, keys, XML. Which operations there are and who may call them is not decided here.
//!
//! Source: Amazon S3 API Reference, "Authenticating Requests (AWS Signature Version 4)" and the pages
//! of the operations.

pub mod checksum;
pub mod chunked;
pub mod key;
pub mod request;
pub mod xml;

#[cfg(test)]
mod tests;
