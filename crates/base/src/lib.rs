//! What every service needs and nothing of any domain.

pub mod client;
pub mod clock;
pub mod config;
pub mod descriptors;
pub mod dial;
pub mod duplex;
pub mod error;
pub mod events;
pub mod files;
pub mod handover;
pub mod health;
pub mod http;
pub mod listeners;
pub mod memory;
pub mod notify;
pub mod pid_file;
pub mod process;
pub mod read_ahead;
pub mod retry;
pub mod secret;
pub mod single_flight;
pub mod supervise;
mod sync;
pub mod telemetry;
pub mod tls;
pub mod unix_signals;
pub mod work;
