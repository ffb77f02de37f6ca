//! Time series of the role `monitor`: what fills the store of samples, and what asks it. `app` passes
//! configuration, dialers and policies in.

pub mod api;
pub mod config;
pub mod export;
pub mod host;
pub mod import;
mod monitor;
pub mod objects;
pub mod receive;
pub mod remote;
pub mod samples;
pub mod scrape;
#[cfg(test)]
mod testing;
pub mod viewer;

pub use monitor::{FOLDER, Monitor, OpenError, Parts, Policies};
