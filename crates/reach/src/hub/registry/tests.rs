//! The statements, on one SQLite file that two processes share. `it` runs them on PostgreSQL.

use base::supervise::Supervisor;
use state::Location;

use super::*;
use crate::offers::{OfferedMetrics, Offers};

/// The registry as two processes have it.
async fn opened(folder: &tempfile::TempDir) -> [Registry; 2] {
    let open = async || {
        let location = Location::Sqlite(folder.path().join("state.db"));
        let migrations = [crate::migrations::MIGRATIONS];
        let state = State::open(&location, &migrations, &Supervisor::new()).await;
        Registry::new(state.unwrap())
    };
    [open().await, open().await]
}

fn proxy(instance: &str) -> ProxyView {
    ProxyView {
        instance: instance.to_owned(),
        uuid: format!("uuid-{instance}"),
        name: instance.to_owned(),
        addresses: vec![format!("{instance}:3080")],
        group: "home".to_owned(),
        generation: 3,
        connections: 0,
        started_at: 5,
        beat_at: 0,
    }
}

fn change(node: &str, page: &str, is_present: bool) -> Change {
    let offered = OfferedMetrics {
        name: page.to_owned(),
        labels: BTreeMap::new(),
    };
    Change {
        node: node.to_owned(),
        id: format!("uuid-{node}"),
        is_present,
        offers: Some(Offers {
            metrics: vec![offered],
            ..Offers::default()
        }),
    }
}

async fn names(registry: &Registry) -> Vec<String> {
    let proxies = registry.proxies().await.unwrap();
    proxies.into_iter().map(|proxy| proxy.instance).collect()
}

#[tokio::test]
async fn proxies_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = opened(&folder).await;
    assert!(a.beat(&proxy("a")).await.unwrap());
    assert!(!a.beat(&proxy("a")).await.unwrap());
    assert!(b.beat(&proxy("b")).await.unwrap());
    let seen = b.proxies().await.unwrap();
    let seen = seen.iter().find(|proxy| proxy.instance == "a").unwrap();
    let expected = ProxyView {
        beat_at: seen.beat_at,
        ..proxy("a")
    };
    assert_eq!(*seen, expected);
    a.write_nodes("a", &[change("web-1", "app", true)])
        .await
        .unwrap();
    // It has given a sign of life since.
    b.remove("a", seen.beat_at - 1).await.unwrap();
    assert_eq!(names(&a).await, ["a", "b"]);
    assert_eq!(b.nodes("uuid-b").await.unwrap().holders.len(), 1);
    b.remove("a", seen.beat_at).await.unwrap();
    assert_eq!(names(&a).await, ["b"]);
    let known = b.nodes("uuid-b").await.unwrap();
    assert!(known.holders.is_empty() && known.offers.contains_key("web-1"));
}

#[tokio::test]
async fn numbers_of_announcements_grow_over_all_processes() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = opened(&folder).await;
    let mut last = 0;
    for _ in 0..20 {
        for registry in [&a, &b] {
            let (number, _) = registry.issue().await.unwrap();
            assert!(number > last, "{number} after {last}");
            last = number;
        }
    }
    // The clock of one process is far ahead: the others go on behind it.
    let mut write = a.state.write().await.unwrap();
    sqlx::query("UPDATE announcements SET issued_at = issued_at + 86400000")
        .execute(&mut write)
        .await
        .unwrap();
    write.commit().await.unwrap();
    let (first, _) = a.issue().await.unwrap();
    let (second, _) = b.issue().await.unwrap();
    assert!(first > last + 86_400_000 && second == first + 1);
}

#[tokio::test]
async fn what_nodes_offer_stays_until_they_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = opened(&folder).await;
    for (registry, name) in [(&a, "a"), (&b, "b")] {
        registry.beat(&proxy(name)).await.unwrap();
    }
    a.write_nodes("a", &[change("web-1", "app", true)])
        .await
        .unwrap();
    b.write_nodes(
        "b",
        &[change("other", "app", true), change("web-1", "app", true)],
    )
    .await
    .unwrap();
    let known = a.nodes("uuid-a").await.unwrap();
    assert_eq!(
        known.owners,
        [("app".to_owned(), "web-1".to_owned())].into()
    );
    assert_eq!(known.offers["other"].0, "uuid-other");
    let holders: Vec<_> = known.holders.keys().collect();
    assert_eq!(holders, ["other", "web-1"]);
    b.write_nodes("b", &[change("web-1", "app", false)])
        .await
        .unwrap();
    a.write_nodes("a", &[change("web-1", "app", false)])
        .await
        .unwrap();
    a.forget_old().await.unwrap();
    assert_eq!(a.nodes("").await.unwrap().offers.len(), 2);
    let mut write = a.state.write().await.unwrap();
    sqlx::query("UPDATE node_offers SET seen_at = 1")
        .execute(&mut write)
        .await
        .unwrap();
    write.commit().await.unwrap();
    a.forget_old().await.unwrap();
    // The other one has a line.
    let known = a.nodes("").await.unwrap();
    let left: Vec<_> = known.offers.keys().collect();
    assert_eq!(left, ["other"]);
    assert!(known.owners.is_empty());
}
