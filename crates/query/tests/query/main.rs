//! Tests of the crate as its users see it: the acceptance files of PromQL, limits, generated texts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::string_slice,
    reason = "tests fail by panic, and their files are ASCII"
)]

mod expressions;
mod limits;
mod promqltest;
mod properties;
