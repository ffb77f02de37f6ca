//! The agent: keeps lines to the proxies of its cluster. What to dial and what to give up is
//! decided by the `pool`, which neither waits nor reads a clock, so that a simulation can run
//! thousands of them; `run` carries out what it decides. docs/decisions/009-agent-pool.md has the
//! rules and where they come from.

mod announcement;
mod backoff;
mod pool;
mod run;
#[cfg(test)]
mod tests;
mod tracker;

pub use self::announcement::{
    AnnouncedProxy, Announcement, AnnouncementError, PROXIES_MAX, Verify,
};
pub use self::pool::{Action, DIALS_MAX, DialId, Event, Pool, PoolSettings, Strategy};
pub use self::run::{Agent, AgentSettings, AgentStatus, DIAL_LIMIT, Heard};
