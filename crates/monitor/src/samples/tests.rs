//! How the store is closed under those who use it.

use std::time::Duration;

use signals::{Entry, Labels, Value};
use tokio::sync::Notify;

use super::*;

/// Enough series that reading all of them with [`PAUSE`] takes minutes.
const SERIES: usize = 2_000;
/// How long each series of a slow compaction takes.
const PAUSE: Duration = Duration::from_millis(50);

fn fill(store: &Store, now: i64) {
    for turn in 0..2 {
        let labels = (0..SERIES).map(|number| {
            let number = number.to_string();
            Labels::new([("__name__", "metric"), ("number", &number)]).unwrap()
        });
        let labels: Vec<Labels> = labels.collect();
        let entries = labels.iter().map(|labels| Entry {
            id: None,
            labels,
            timestamp: now - 10 + turn,
            start: 0,
            value: Value::Float(1.0),
        });
        store.append(&entries.collect::<Vec<_>>(), now).unwrap();
        store.flush_all().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_does_not_wait_for_a_compaction() {
    let folder = tempfile::tempdir().unwrap();
    let samples = Samples::default();
    samples.open(folder.path(), Options::default()).unwrap();
    samples.run(fill).await.unwrap();
    let begun = Arc::new(Notify::new());
    let told = Arc::clone(&begun);
    let compacting = samples.run(move |store, _| {
        store.compact_told(&mut |_| {
            told.notify_one();
            std::thread::sleep(PAUSE);
        })
    });
    let closing = async {
        begun.notified().await;
        let since = clock::now();
        samples.close().await.unwrap();
        clock::now().duration_since(since)
    };
    let (compacted, took) = tokio::join!(compacting, closing);
    assert!(matches!(compacted, Ok(Err(StoreError::Stopped))));
    assert!(took < Duration::from_secs(1), "{took:?}");
    // Whoever waits for it has it at once, and finds everything.
    let successor = Samples::default();
    successor.open(folder.path(), Options::default()).unwrap();
    let count = successor.run(|store, _| {
        let all = store.select(&[], i64::MIN, i64::MAX).unwrap();
        all.labels().count()
    });
    assert_eq!(count.await.unwrap(), SERIES);
}
