//! Lines to machines that can only dial out: the transport (`line`) and the agent that keeps lines
//! to every proxy (`agent`). Neither knows a database or an authority: certificates come as rustls
//! configurations, and who a peer is says the caller. The `hub` and the `node` are such callers.

pub mod agent;
mod announcing;
pub mod config;
pub mod forward;
pub mod hub;
pub mod line;
mod membership;
pub mod migrations;
pub mod node;
mod offers;

pub use offers::{OfferedApp, OfferedMetrics, Offers};
