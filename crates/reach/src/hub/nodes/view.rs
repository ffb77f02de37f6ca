//! Nodes as they are listed.

use serde::Serialize;

use super::{Held, Nodes};
use crate::line::LineState;
use crate::offers::Offers;

/// A node as it is listed.
#[derive(Debug, Serialize)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// `online`, `draining` or `offline`.
    pub state: &'static str,
    /// Lines to this proxy.
    pub lines: usize,
    /// The last round trip, in microseconds.
    pub round_trip_us: Option<u64>,
    /// Streams that are open now.
    pub streams: usize,
    /// Bulk connections that are among them.
    pub bulk_busy: usize,
    /// Bulk connections that wait to be used.
    pub bulk_idle: usize,
    /// Where it comes from.
    pub remote: Option<String>,
    /// Other proxies that have lines to it.
    pub elsewhere: Vec<String>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// What it offers.
    pub offers: Offers,
}

impl Nodes {
    /// All nodes that are or were here.
    pub fn list(&self) -> Vec<NodeView> {
        let table = self.table();
        let elsewhere = |name: &String| {
            let holders = table.holders.get(name).into_iter().flatten();
            holders.map(|holder| holder.name.clone()).collect()
        };
        let present = table.present.iter().map(|(name, held)| NodeView {
            elsewhere: elsewhere(name),
            ..view(name, held)
        });
        let absent = table.absent.iter().map(|(name, absent)| {
            let elsewhere: Vec<String> = elsewhere(name);
            let is_online = !elsewhere.is_empty();
            NodeView {
                name: name.clone(),
                state: if is_online { "online" } else { "offline" },
                lines: 0,
                round_trip_us: None,
                streams: 0,
                bulk_busy: 0,
                bulk_idle: 0,
                remote: None,
                elsewhere,
                last_error: (!is_online).then(|| absent.reason.clone()),
                offers: absent.offers.clone(),
            }
        });
        present.chain(absent).collect()
    }
}

fn view(name: &str, held: &[Held]) -> NodeView {
    let states: Vec<_> = held.iter().map(|held| held.line.state()).collect();
    let last = states.last();
    let is_draining = states.iter().all(|state| state.is_draining);
    let round_trip = last.and_then(|state| state.round_trip);
    NodeView {
        name: name.to_owned(),
        state: if is_draining { "draining" } else { "online" },
        lines: held.len(),
        round_trip_us: round_trip.and_then(|trip| u64::try_from(trip.as_micros()).ok()),
        streams: states.iter().map(streams_of).sum(),
        bulk_busy: states.iter().map(|state| state.bulk_busy).sum(),
        bulk_idle: states.iter().map(|state| state.bulk_idle).sum(),
        remote: last.map(|state| state.remote.to_string()),
        elsewhere: Vec::new(),
        last_error: last.and_then(|state| state.last_error.clone()),
        offers: held
            .last()
            .map(|held| held.offers.clone())
            .unwrap_or_default(),
    }
}

pub(super) fn streams_of(state: &LineState) -> usize {
    state.interactive_streams + state.bulk_busy
}
