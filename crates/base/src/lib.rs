//! What every service needs and nothing of any domain.

pub mod clock;
pub mod events;
pub mod handover;
pub mod health;
pub mod listeners;
pub mod notify;
pub mod pid_file;
pub mod process;
pub mod single_flight;
pub mod supervise;
mod sync;
pub mod unix_signals;
pub mod work;
