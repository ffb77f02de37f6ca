//! Opening: creating a cluster once, and refusing what does not belong together.

use std::path::PathBuf;

use futures_util::future::join_all;
use identity::IdentityError;
use identity::seal::SealError;

use crate::site::{CLUSTER, Site};

crate::on_both! {
    the_authorities_stay,
    processes_that_start_together_create_one_cluster,
    what_does_not_belong_together_is_refused,
    private_keys_are_sealed,
}

async fn the_authorities_stay(site: &Site) {
    let first = site.open().await;
    let bundle = first.identity.trust().bundle();
    drop(first);
    let again = site.open().await;
    assert_eq!(again.identity.trust().bundle(), bundle);
    assert_eq!(again.events("cluster.created").await.len(), 1);
}

async fn processes_that_start_together_create_one_cluster(site: &Site) {
    let opened = join_all((0..6).map(|_| site.open())).await;
    let first = opened[0].identity.trust().bundle();
    for other in &opened {
        assert_eq!(other.identity.trust().bundle(), first);
    }
    assert_eq!(opened[0].events("cluster.created").await.len(), 1);
    assert_eq!(
        opened[0].number("SELECT COUNT(*) FROM authorities").await,
        3
    );
}

async fn what_does_not_belong_together_is_refused(site: &Site) {
    drop(site.open().await);
    let dir = site.data_dir();
    let open =
        async |dir: PathBuf, cluster: &str| site.try_open(&dir, cluster).await.err().unwrap();
    let error = open(dir.clone(), "elsewhere").await;
    assert!(matches!(error, IdentityError::Cluster { .. }), "{error}");
    let error = open(dir.clone(), "a b").await;
    assert!(matches!(error, IdentityError::Name(_)), "{error}");

    let error = open(dir.join("empty"), CLUSTER).await;
    assert!(
        matches!(error, IdentityError::Seal(SealError::Missing(_))),
        "{error}"
    );
    let elsewhere = Site::sqlite();
    drop(elsewhere.open().await);
    let error = open(elsewhere.data_dir(), CLUSTER).await;
    assert!(
        matches!(error, IdentityError::Seal(SealError::OtherKey { .. })),
        "{error}"
    );
    drop(site.open().await);
}

async fn private_keys_are_sealed(site: &Site) {
    let opened = site.open().await;
    let mut read = opened.state.read().await.unwrap();
    let keys: Vec<String> = sqlx::query_scalar("SELECT sealed_key FROM authorities")
        .fetch_all(&mut read)
        .await
        .unwrap();
    assert_eq!(keys.len(), 3);
    for key in keys {
        assert!(key.starts_with("v1:") && !key.contains("PRIVATE"), "{key}");
    }
    let shown = format!("{:?}", opened.identity);
    assert!(shown.contains("home") && !shown.contains("v1:"), "{shown}");
}
