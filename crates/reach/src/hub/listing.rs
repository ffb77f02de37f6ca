//! The proxies of the cluster as they are listed: whether each answers this one, how soon, and how many
//! lines it has.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use serde::Serialize;

use super::Hub;
use super::registry::ProxyView;

/// Proxies that are asked at once.
const ASKED_AT_ONCE: usize = 16;

/// A proxy as it is listed.
#[derive(Debug, Serialize)]
pub struct ListedProxy {
    /// What it says about itself.
    #[serde(flatten)]
    pub proxy: ProxyView,
    /// `online`, `leaving` while another process of the same proxy takes over, or `unreachable`: it gives
    /// signs of life in the state, and does not answer this proxy.
    pub state: &'static str,
    /// Whether it is the one that answers.
    pub is_own: bool,
    /// Nodes that have a line to it.
    pub lines: u64,
    /// How long a question to it and its answer took just now, in microseconds. Nothing for this one.
    pub round_trip_us: Option<u64>,
    /// What went wrong last on the way to it.
    pub last_error: Option<String>,
}

impl Hub {
    /// The proxies of the cluster that run, this one among them. Each is asked whether it is there.
    pub async fn list_proxies(&self) -> Vec<ListedProxy> {
        let lines = match self.registry.lines().await {
            Ok(lines) => lines,
            Err(error) => {
                let error = base::client::chain(&*error);
                tracing::warn!(error, "the state does not tell how many lines proxies have");
                BTreeMap::new()
            }
        };
        let all = self.presence.proxies();
        let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
        for proxy in &all {
            let started_at = newest.entry(&proxy.uuid).or_default();
            *started_at = proxy.started_at.max(*started_at);
        }
        let list = |proxy: &ProxyView| {
            let is_leaving = newest.get(proxy.uuid.as_str()) != Some(&proxy.started_at);
            let lines = lines.get(&proxy.instance).copied().unwrap_or_default();
            self.list_proxy(proxy.clone(), is_leaving, lines)
        };
        let asked = stream::iter(all.iter().map(list));
        asked.buffered(ASKED_AT_ONCE).collect().await
    }

    async fn list_proxy(&self, proxy: ProxyView, is_leaving: bool, lines: u64) -> ListedProxy {
        let is_own = proxy.instance == self.view.instance;
        let mut listed = ListedProxy {
            state: if is_leaving { "leaving" } else { "online" },
            is_own,
            lines,
            round_trip_us: None,
            last_error: self.nodes.peer_error(&proxy.uuid),
            proxy,
        };
        if is_own {
            // The state hears of them a moment later.
            listed.lines = u64::try_from(self.nodes.counts().nodes).unwrap_or(u64::MAX);
        }
        if is_own || is_leaving {
            return listed;
        }
        match self.nodes.probe_peer(&listed.proxy).await {
            Ok(round_trip) => {
                listed.round_trip_us = u64::try_from(round_trip.as_micros()).ok();
            }
            Err(reason) => {
                listed.state = "unreachable";
                listed.last_error = Some(reason);
            }
        }
        listed
    }
}
