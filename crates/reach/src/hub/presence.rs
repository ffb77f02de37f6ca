//! Keeps this proxy registered and knows the others: signs of life, which nodes have lines where,
//! and the announcement that nodes get. A proxy that is alone gives no signs of life.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base::clock;
use base::supervise::{BoxError, Scope};

use super::door;
use super::locks::lock_on_proxy;
use super::nodes::Change;
use super::registry::ProxyView;
use super::{Hub, unix_milliseconds};
use crate::agent::{AnnouncedProxy, Announcement, PROXIES_MAX, Strategy};
use crate::announcing;
use crate::line::SignedAnnouncement;

/// Between two signs of life, and between two looks at those of the others.
const BEAT_INTERVAL: Duration = Duration::from_secs(2);
/// Who has given no sign of life for this long, by our clock, is gone. With the time until we look,
/// and until we have seen the last sign, that is within ten seconds.
const GONE_AFTER: Duration = Duration::from_secs(6);
/// After so long without a look we can't tell who is gone: the state was out of reach for all.
const BLIND_AFTER: Duration = Duration::from_secs(5);
/// Changes that come together are handled together.
const GATHER: Duration = Duration::from_millis(50);
/// The list of nodes is not read more often than this: thousands of them may come at once.
const READ_INTERVAL: Duration = Duration::from_millis(500);
/// How often an announcement is made although nothing has changed.
const ANNOUNCE_INTERVAL: Duration = Duration::from_mins(2);
/// How long one holds: two may be missed.
const ANNOUNCE_TTL: Duration = Duration::from_mins(6);
/// Nodes of one transaction.
const NODES_AT_ONCE: usize = 200;
/// The longest time that signing off may take.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

/// What the other parts of the hub may know.
#[derive(Debug, Default)]
pub(super) struct Presence {
    proxies: Mutex<Vec<ProxyView>>,
    announcement: Mutex<Option<SignedAnnouncement>>,
}

impl Presence {
    pub(super) fn proxies(&self) -> Vec<ProxyView> {
        let proxies = self.proxies.lock();
        proxies.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn announcement(&self) -> Option<SignedAnnouncement> {
        let announcement = self.announcement.lock();
        announcement.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_proxies(&self, proxies: &[ProxyView]) {
        let held = self.proxies.lock();
        proxies.clone_into(&mut held.unwrap_or_else(PoisonError::into_inner));
    }

    fn set_announcement(&self, announcement: SignedAnnouncement) {
        let held = self.announcement.lock();
        *held.unwrap_or_else(PoisonError::into_inner) = Some(announcement);
    }
}

/// What nodes are told: the proxies, and to how many of them they keep lines.
type Told = (Vec<AnnouncedProxy>, Strategy);

/// What the loop remembers.
#[derive(Default)]
struct Book {
    beaten: Option<Instant>,
    looked: Option<Instant>,
    /// The last sign of life of each process, and when we saw it first.
    seen: BTreeMap<String, (i64, Instant)>,
    has_company: bool,
    nodes_are_read: bool,
    nodes_read: Option<Instant>,
    announced: Option<(Told, Instant)>,
    has_failed: bool,
    has_namesake: bool,
}

impl Hub {
    pub(super) async fn keep_present(&self, scope: Scope) -> Result<(), BoxError> {
        let mut proxies = self.registry.watch_proxies();
        let mut nodes = self.registry.watch_nodes();
        let mut own = self.nodes.watch();
        let mut book = Book::default();
        loop {
            own.mark_unchanged();
            match self.look(&mut book).await {
                Ok(()) => book.has_failed = false,
                Err(error) => {
                    let error = base::client::chain(&*error);
                    if book.has_failed {
                        tracing::debug!(error, "the other proxies are still not known");
                    } else {
                        tracing::warn!(error, "the state does not tell about the other proxies");
                    }
                    book.has_failed = true;
                }
            }
            let wait = if book.nodes_are_read {
                BEAT_INTERVAL
            } else {
                READ_INTERVAL
            };
            tokio::select! {
                () = proxies.changed() => {}
                () = nodes.changed() => book.nodes_are_read = false,
                outcome = own.changed() => outcome?,
                () = tokio::time::sleep(wait) => {}
                () = scope.stopping() => break,
            }
            tokio::time::sleep(GATHER).await;
        }
        let leaving = self.registry.remove(&self.view.instance, i64::MAX);
        match tokio::time::timeout(LEAVE_LIMIT, leaving).await {
            Ok(Ok(())) => {}
            // The others find out by themselves.
            Ok(Err(error)) => tracing::warn!(error, "this proxy could not sign off"),
            Err(_) => tracing::warn!("this proxy could not sign off in time"),
        }
        Ok(())
    }

    async fn look(&self, book: &mut Book) -> Result<(), BoxError> {
        let own = &self.view;
        let is_due = book
            .beaten
            .is_none_or(|at| book.has_company && clock::now() >= at + BEAT_INTERVAL);
        if is_due && self.registry.beat(own).await? {
            // With the registration the others have forgotten our lines.
            self.nodes.write_all_again();
        }
        if is_due {
            book.beaten = Some(clock::now());
        }
        let registered = self.registry.proxies().await?;
        let (live, gone) = book.judge(registered, clock::now());
        for proxy in gone {
            tracing::warn!(proxy = proxy.name, "a proxy is gone without a word");
            self.registry.remove(&proxy.instance, proxy.beat_at).await?;
        }
        if !live.iter().any(|proxy| proxy.instance == own.instance) {
            book.beaten = None;
        }
        book.has_company = live.iter().any(|proxy| proxy.instance != own.instance);
        book.warn_of_namesake(own, &live);
        self.presence.set_proxies(&live);
        self.announce(book, &live).await?;
        self.tell_nodes(&own.instance).await?;
        let may_read = book
            .nodes_read
            .is_none_or(|at| clock::now() >= at + READ_INTERVAL);
        if !book.nodes_are_read && may_read {
            book.nodes_are_read = true;
            book.nodes_read = Some(clock::now());
            if let Err(error) = self.learn_nodes().await {
                book.nodes_are_read = false;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Reads what the others know of the nodes.
    pub(super) async fn learn_nodes(&self) -> Result<(), BoxError> {
        let known = self.registry.nodes(&self.view.uuid).await?;
        self.nodes.learn(known);
        Ok(())
    }

    /// Writes what is new about our nodes.
    async fn tell_nodes(&self, instance: &str) -> Result<(), BoxError> {
        loop {
            let mut changes = self.nodes.take_changes(NODES_AT_ONCE);
            if changes.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.leave_out_strangers(&mut changes).await {
                self.nodes.give_back(changes);
                return Err(error);
            }
            if let Err(error) = self.registry.write_nodes(instance, &changes).await {
                self.nodes.give_back(changes);
                return Err(error);
            }
        }
    }

    /// Of a node that was removed from the cluster nothing is kept when its last line ends.
    async fn leave_out_strangers(&self, changes: &mut [Change]) -> Result<(), BoxError> {
        for change in changes.iter_mut().filter(|change| !change.is_present) {
            if self.identity.members().get(&change.id).await?.is_none() {
                change.offers = None;
            }
        }
        Ok(())
    }

    /// Those that nodes should have lines to.
    fn unlocked(&self, proxies: &[ProxyView]) -> Vec<ProxyView> {
        let now = unix_milliseconds();
        let trust = self.identity.trust();
        let is_free = |proxy: &&ProxyView| lock_on_proxy(&trust, &proxy.uuid, now).is_none();
        proxies.iter().filter(is_free).cloned().collect()
    }

    /// Tells the nodes about the proxies, when that is due.
    async fn announce(&self, book: &mut Book, live: &[ProxyView]) -> Result<(), BoxError> {
        let wanted = (announced(&self.unlocked(live)), strategy(live));
        let is_due = book.announced.as_ref().is_none_or(|(before, at)| {
            *before != wanted || clock::now() >= *at + ANNOUNCE_INTERVAL
        });
        if !is_due {
            return Ok(());
        }
        let (issued_ms, proxies) = self.registry.issue().await?;
        let nodes = self.nodes.counts();
        let spread = door::spread(nodes.nodes + nodes.elsewhere);
        let announcement = Announcement {
            cluster: self.identity.cluster().to_owned(),
            issued_ms,
            ttl_ms: u64::try_from(ANNOUNCE_TTL.as_millis())?,
            proxies: announced(&self.unlocked(&proxies)),
            strategy: Some(strategy(&proxies)),
            spread_ms: u64::try_from(spread.as_millis())?,
        };
        let signed = announcing::sign(&self.own, &announcement)?;
        // Stored first: whoever comes in between is told by the door.
        self.presence.set_announcement(signed.clone());
        let lines = self.acceptor.get().map(crate::line::Acceptor::lines);
        for line in lines.unwrap_or_default() {
            // One that does not read its messages gets the next one.
            line.announce(signed.clone());
        }
        let told = (announcement.proxies, strategy(&proxies));
        book.announced = Some((told, clock::now()));
        Ok(())
    }
}

impl Book {
    /// A process with our name somewhere else is no replacement: nodes would see one of the two.
    fn warn_of_namesake(&mut self, own: &ProxyView, live: &[ProxyView]) {
        let is_namesake =
            |proxy: &&ProxyView| proxy.uuid == own.uuid && proxy.addresses != own.addresses;
        let namesake = live.iter().find(is_namesake);
        if let Some(proxy) = namesake.filter(|_| !self.has_namesake) {
            tracing::warn!(
                name = own.name,
                addresses = proxy.addresses.join(", "),
                "another process has the name of this proxy; unless it is about to end, give each a `proxy.name` of its own"
            );
        }
        self.has_namesake = namesake.is_some();
    }

    /// Who lives, and who is gone.
    fn judge(
        &mut self,
        registered: Vec<ProxyView>,
        now: Instant,
    ) -> (Vec<ProxyView>, Vec<ProxyView>) {
        let was_blind = self
            .looked
            .is_none_or(|at| now.saturating_duration_since(at) > BLIND_AFTER);
        self.looked = Some(now);
        let names: BTreeSet<&String> = registered.iter().map(|proxy| &proxy.instance).collect();
        self.seen.retain(|instance, _| names.contains(instance));
        let had_company = self.has_company;
        registered.into_iter().partition(|proxy| {
            let seen = self
                .seen
                .entry(proxy.instance.clone())
                .or_insert((proxy.beat_at, now));
            // Nobody gives signs of life to one that is alone.
            if seen.0 != proxy.beat_at || was_blind || !had_company {
                *seen = (proxy.beat_at, now);
            }
            now.saturating_duration_since(seen.1) <= GONE_AFTER
        })
    }
}

/// The proxies as nodes are told; of one that is being replaced only the newest process.
fn announced(proxies: &[ProxyView]) -> Vec<AnnouncedProxy> {
    let mut newest: BTreeMap<&str, &ProxyView> = BTreeMap::new();
    for proxy in proxies {
        let held = newest.entry(&proxy.uuid).or_insert(proxy);
        if held.started_at < proxy.started_at {
            *held = proxy;
        }
    }
    let announced = newest.values().map(|proxy| AnnouncedProxy {
        id: proxy.uuid.clone(),
        addresses: proxy.addresses.clone(),
        group: proxy.group.clone(),
        generation: proxy.generation,
    });
    announced.take(PROXIES_MAX).collect()
}

/// To how many proxies nodes keep lines. All proxies of a cluster should say the same; while they do
/// not, as during a change, the most lines that one of them wants.
fn strategy(proxies: &[ProxyView]) -> Strategy {
    let wanted = proxies.iter().map(|proxy| proxy.connections);
    let is_mesh = wanted.clone().any(|connections| connections == 0);
    match wanted.max() {
        Some(connections) if !is_mesh => Strategy::Peering { connections },
        _ => Strategy::Mesh,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(instance: &str, beat_at: i64) -> ProxyView {
        ProxyView {
            instance: instance.to_owned(),
            uuid: format!("uuid-{instance}"),
            name: instance.to_owned(),
            addresses: vec![format!("{instance}:3080")],
            group: "home".to_owned(),
            generation: 0,
            connections: 0,
            started_at: 1,
            beat_at,
        }
    }

    fn live(book: &mut Book, rows: &[ProxyView], now: Instant) -> Vec<String> {
        let (live, _) = book.judge(rows.to_vec(), now);
        book.has_company = true;
        live.into_iter().map(|proxy| proxy.instance).collect()
    }

    #[test]
    fn a_proxy_is_gone_when_its_signs_of_life_stop_by_our_clock() {
        let begin = clock::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut book = Book::default();
        // What its own clock says does not matter: it may be wrong by years.
        assert_eq!(live(&mut book, &[proxy("a", 5)], at(0)), ["a"]);
        assert_eq!(live(&mut book, &[proxy("a", 6)], at(2)), ["a"]);
        for seconds in [4, 6, 8] {
            assert_eq!(live(&mut book, &[proxy("a", 6)], at(seconds)), ["a"]);
        }
        assert!(live(&mut book, &[proxy("a", 6)], at(10)).is_empty());
        assert_eq!(live(&mut book, &[proxy("a", 7)], at(12)), ["a"]);
        // Who could not look for long knows nothing yet.
        assert_eq!(live(&mut book, &[proxy("a", 7)], at(60)), ["a"]);
    }

    #[test]
    fn while_proxies_differ_nodes_keep_the_most_lines() {
        let check = |wanted: &[u32], expected: Strategy| {
            let with = |connections: &u32| ProxyView {
                connections: *connections,
                ..proxy("a", 1)
            };
            let proxies: Vec<_> = wanted.iter().map(with).collect();
            assert_eq!(strategy(&proxies), expected, "{wanted:?}");
        };
        check(&[], Strategy::Mesh);
        check(&[0, 0], Strategy::Mesh);
        check(&[0, 2], Strategy::Mesh);
        check(&[1, 2, 1], Strategy::Peering { connections: 2 });
    }

    #[test]
    fn of_a_proxy_that_is_replaced_the_newest_process_is_announced() {
        let old = proxy("a", 1);
        let new = ProxyView {
            instance: "next".to_owned(),
            started_at: 2,
            addresses: vec!["new:3080".to_owned()],
            ..old.clone()
        };
        let other = proxy("b", 1);
        let told = announced(&[old.clone(), new.clone(), other.clone()]);
        assert_eq!(told, announced(&[other, new, old]));
        let addresses: Vec<_> = told.iter().flat_map(|proxy| &proxy.addresses).collect();
        assert_eq!(addresses, ["new:3080", "b:3080"]);
    }
}
