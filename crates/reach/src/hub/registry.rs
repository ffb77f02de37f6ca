//! What the proxies of a cluster keep in the state about themselves and the nodes: the statements.
//! When they are carried out is decided in `presence`.

use std::collections::BTreeMap;
use std::time::Duration;

use base::supervise::BoxError;
use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;
use state::{State, Watch, Write};

use super::nodes::{Change, Holder, Known};
use super::unix_milliseconds;

/// Proxies come or go.
const PROXIES: &str = "proxies";
/// Nodes come, go, or offer something else.
const NODES: &str = "nodes";
/// How long the offers of a node that is away are kept: as long as it may come back without a token.
const OFFERS_KEPT: Duration = Duration::from_hours(30 * 24);

/// The kind of the names of pages of metrics. A name belongs to the node that offered it first.
const PAGE: &str = "page";

const COLUMNS: &str = "SELECT instance, uuid, name, addresses, proxy_group, generation, \
     connections, started_at, beat_at FROM proxies ORDER BY started_at DESC, instance";

/// A running process with the role `proxy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProxyView {
    /// The process: its successor under the same name has another.
    pub instance: String,
    /// The identifier in its certificate.
    pub uuid: String,
    /// Its name.
    pub name: String,
    /// Where it can be dialled, `host:port`.
    pub addresses: Vec<String>,
    /// Its group.
    pub group: String,
    /// Its generation in the group.
    pub generation: u64,
    /// To how many proxies nodes should keep lines, as its configuration says; 0 for all.
    pub connections: u32,
    /// When it started, Unix milliseconds.
    pub started_at: i64,
    /// Its last sign of life, Unix milliseconds of its own clock. A proxy that is alone gives none.
    pub beat_at: i64,
}

/// The tables.
#[derive(Debug)]
pub(super) struct Registry {
    state: State,
}

impl Registry {
    pub(super) fn new(state: State) -> Self {
        Self { state }
    }

    pub(super) fn watch_proxies(&self) -> Watch {
        self.state.watch(PROXIES)
    }

    pub(super) fn watch_nodes(&self) -> Watch {
        self.state.watch(NODES)
    }

    /// Forgets nodes that have been away for so long that they would have to join anew.
    pub(super) async fn forget_old(&self) -> Result<(), BoxError> {
        let kept = i64::try_from(OFFERS_KEPT.as_millis()).unwrap_or(i64::MAX);
        let mut write = self.state.write().await?;
        sqlx::query(
            "DELETE FROM node_offers WHERE seen_at < $1 \
             AND node NOT IN (SELECT node FROM node_lines)",
        )
        .bind(unix_milliseconds() - kept)
        .execute(&mut write)
        .await?;
        sqlx::query("DELETE FROM offer_owners WHERE node NOT IN (SELECT node FROM node_offers)")
            .execute(&mut write)
            .await?;
        Ok(write.commit().await?)
    }

    /// A sign of life. Says whether the process was not registered before.
    pub(super) async fn beat(&self, own: &ProxyView) -> Result<bool, BoxError> {
        let mut write = self.state.write().await?;
        let updated = sqlx::query("UPDATE proxies SET beat_at = $2 WHERE instance = $1")
            .bind(own.instance.as_str())
            .bind(unix_milliseconds())
            .execute(&mut write)
            .await?;
        let is_new = updated.rows_affected() == 0;
        if is_new {
            sqlx::query(
                "INSERT INTO proxies (instance, uuid, name, addresses, proxy_group, generation, \
                 connections, started_at, beat_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            )
            .bind(own.instance.as_str())
            .bind(own.uuid.as_str())
            .bind(own.name.as_str())
            .bind(serde_json::to_string(&own.addresses)?)
            .bind(own.group.as_str())
            .bind(i64::try_from(own.generation)?)
            .bind(i64::from(own.connections))
            .bind(own.started_at)
            .bind(unix_milliseconds())
            .execute(&mut write)
            .await?;
            write.touch(PROXIES);
        }
        write.commit().await?;
        Ok(is_new)
    }

    /// All that are registered, the newest first.
    pub(super) async fn proxies(&self) -> Result<Vec<ProxyView>, BoxError> {
        let mut read = self.state.read().await?;
        let rows = sqlx::query(COLUMNS).fetch_all(&mut read).await?;
        rows.iter().map(proxy).collect()
    }

    /// Takes a process out, unless it has given a sign of life since `beat_at`.
    pub(super) async fn remove(&self, instance: &str, beat_at: i64) -> Result<(), BoxError> {
        let mut write = self.state.write().await?;
        let removed = sqlx::query("DELETE FROM proxies WHERE instance = $1 AND beat_at <= $2")
            .bind(instance)
            .bind(beat_at)
            .execute(&mut write)
            .await?;
        if removed.rows_affected() == 0 {
            return Ok(());
        }
        // Also what was left by processes that were taken out while nobody could write.
        sqlx::query("DELETE FROM node_lines WHERE instance NOT IN (SELECT instance FROM proxies)")
            .execute(&mut write)
            .await?;
        write.touch(PROXIES);
        write.touch(NODES);
        Ok(write.commit().await?)
    }

    /// The number of the next announcement, and the proxies at that moment. Numbers are times, grow
    /// over all processes, and a greater one never comes with an older list: whoever takes one holds
    /// its row until the list is read.
    pub(super) async fn issue(&self) -> Result<(u64, Vec<ProxyView>), BoxError> {
        let mut write = self.state.write().await?;
        let row = sqlx::query(
            "UPDATE announcements SET issued_at = CASE WHEN issued_at >= $1 THEN issued_at + 1 \
             ELSE $1 END WHERE id = 1 RETURNING issued_at",
        )
        .bind(unix_milliseconds())
        .fetch_one(&mut write)
        .await?;
        let issued: i64 = row.try_get(0)?;
        let rows = sqlx::query(COLUMNS).fetch_all(&mut write).await?;
        write.commit().await?;
        let proxies = rows.iter().map(proxy).collect::<Result<_, _>>()?;
        Ok((u64::try_from(issued)?, proxies))
    }

    /// Writes which nodes have come and gone here, and what they offer.
    pub(super) async fn write_nodes(
        &self,
        instance: &str,
        changes: &[Change],
    ) -> Result<(), BoxError> {
        let mut write = self.state.write().await?;
        // Rows are always locked in the same order: two nodes may offer the same names.
        write.lock("reach_nodes").await?;
        for change in changes {
            write_node(&mut write, instance, change).await?;
        }
        write.touch(NODES);
        Ok(write.commit().await?)
    }

    /// Forgets a node that was removed: what it offered, and the names that it owned.
    pub(super) async fn forget(&self, node: &str) -> Result<(), BoxError> {
        let mut write = self.state.write().await?;
        write.lock("reach_nodes").await?;
        for sql in [
            "DELETE FROM node_lines WHERE node = $1",
            "DELETE FROM node_offers WHERE node = $1",
            "DELETE FROM offer_owners WHERE node = $1",
        ] {
            sqlx::query(sql).bind(node).execute(&mut write).await?;
        }
        write.touch(NODES);
        Ok(write.commit().await?)
    }

    /// To how many nodes each process has lines.
    pub(super) async fn lines(&self) -> Result<BTreeMap<String, u64>, BoxError> {
        let mut read = self.state.read().await?;
        let rows = sqlx::query("SELECT instance, COUNT(*) FROM node_lines GROUP BY instance")
            .fetch_all(&mut read)
            .await?;
        let mut lines = BTreeMap::new();
        for row in &rows {
            let count: i64 = row.try_get(1)?;
            lines.insert(row.try_get(0)?, u64::try_from(count)?);
        }
        Ok(lines)
    }

    /// What is known of the nodes. The proxy `uuid` itself is no way to them, whichever process of it
    /// is said to have a line.
    pub(super) async fn nodes(&self, uuid: &str) -> Result<Known, BoxError> {
        let mut read = self.state.read().await?;
        let offers = sqlx::query("SELECT node, uuid, offers FROM node_offers")
            .fetch_all(&mut read)
            .await?;
        let owners = sqlx::query("SELECT name, node FROM offer_owners WHERE kind = $1")
            .bind(PAGE)
            .fetch_all(&mut read)
            .await?;
        let lines = sqlx::query(
            "SELECT l.node, p.uuid, p.name, p.addresses, p.instance FROM node_lines l \
             JOIN proxies p ON p.instance = l.instance WHERE p.uuid <> $1 \
             ORDER BY p.started_at DESC",
        )
        .bind(uuid)
        .fetch_all(&mut read)
        .await?;
        let mut holders: BTreeMap<String, Vec<Holder>> = BTreeMap::new();
        for row in &lines {
            let addresses: String = row.try_get(3)?;
            let holder = Holder {
                instance: row.try_get(4)?,
                uuid: row.try_get(1)?,
                name: row.try_get(2)?,
                addresses: serde_json::from_str(&addresses)?,
            };
            holders.entry(row.try_get(0)?).or_default().push(holder);
        }
        Ok(Known {
            offers: offers.iter().map(offer).collect::<Result<_, _>>()?,
            owners: owners.iter().map(pair).collect::<Result<_, _>>()?,
            holders,
        })
    }
}

async fn write_node(write: &mut Write, instance: &str, change: &Change) -> Result<(), BoxError> {
    if change.is_present {
        sqlx::query(
            "INSERT INTO node_lines (node, instance, since) VALUES ($1, $2, $3) \
             ON CONFLICT (node, instance) DO NOTHING",
        )
        .bind(change.node.as_str())
        .bind(instance)
        .bind(unix_milliseconds())
        .execute(&mut *write)
        .await?;
    } else {
        sqlx::query("DELETE FROM node_lines WHERE node = $1 AND instance = $2")
            .bind(change.node.as_str())
            .bind(instance)
            .execute(&mut *write)
            .await?;
    }
    let Some(offers) = &change.offers else {
        return Ok(());
    };
    sqlx::query(
        "INSERT INTO node_offers (node, uuid, offers, seen_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (node) DO UPDATE SET uuid = excluded.uuid, offers = excluded.offers, \
         seen_at = excluded.seen_at",
    )
    .bind(change.node.as_str())
    .bind(change.id.as_str())
    .bind(serde_json::to_string(offers)?)
    .bind(unix_milliseconds())
    .execute(&mut *write)
    .await?;
    for page in &offers.metrics {
        sqlx::query(
            "INSERT INTO offer_owners (kind, name, node) VALUES ($1, $2, $3) \
             ON CONFLICT (kind, name) DO NOTHING",
        )
        .bind(PAGE)
        .bind(page.name.as_str())
        .bind(change.node.as_str())
        .execute(&mut *write)
        .await?;
    }
    Ok(())
}

fn proxy(row: &AnyRow) -> Result<ProxyView, BoxError> {
    let addresses: String = row.try_get("addresses")?;
    let generation: i64 = row.try_get("generation")?;
    let connections: i64 = row.try_get("connections")?;
    Ok(ProxyView {
        instance: row.try_get("instance")?,
        uuid: row.try_get("uuid")?,
        name: row.try_get("name")?,
        addresses: serde_json::from_str(&addresses)?,
        group: row.try_get("proxy_group")?,
        generation: u64::try_from(generation)?,
        connections: u32::try_from(connections)?,
        started_at: row.try_get("started_at")?,
        beat_at: row.try_get("beat_at")?,
    })
}

fn offer(row: &AnyRow) -> Result<(String, (String, String)), sqlx::Error> {
    Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?)))
}

fn pair(row: &AnyRow) -> Result<(String, String), sqlx::Error> {
    Ok((row.try_get(0)?, row.try_get(1)?))
}

#[cfg(test)]
mod tests;
