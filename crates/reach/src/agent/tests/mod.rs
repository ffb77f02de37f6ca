//! The agent: its decisions one by one, thousands of it in a simulation, and one over real lines.

mod announcements;
mod decisions;
mod real;
mod scenarios;
mod simulation;

use super::*;

/// A proxy of generation 1 with an address of its own.
fn announced(id: &str) -> AnnouncedProxy {
    AnnouncedProxy {
        id: id.to_owned(),
        addresses: vec![format!("{id}:1")],
        group: "all".to_owned(),
        generation: 1,
    }
}

fn announcement(issued_ms: u64, proxies: Vec<AnnouncedProxy>) -> Announcement {
    Announcement {
        cluster: "home".to_owned(),
        issued_ms,
        ttl_ms: 180_000,
        strategy: None,
        spread_ms: 0,
        proxies,
    }
}
