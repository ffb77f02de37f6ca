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

fn opened() -> (tempfile::TempDir, Samples) {
    let folder = tempfile::tempdir().unwrap();
    let samples = Samples::default();
    samples.open(folder.path(), Options::default()).unwrap();
    (folder, samples)
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_does_not_wait_for_a_compaction() {
    let (folder, samples) = opened();
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

/// Takes a sample as a scrape does.
async fn scrape(samples: &Samples) {
    let work = |store: &Store, now: i64| {
        let labels = Labels::new([("__name__", "scraped")]).unwrap();
        let entry = Entry {
            id: None,
            labels: &labels,
            timestamp: now,
            start: 0,
            value: Value::Float(1.0),
        };
        store.append_soon(&[entry], now).unwrap();
    };
    samples.run_soon(work).await.unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// How many series a start would find now.
fn written(folder: &Path) -> usize {
    let kept = tempfile::tempdir().unwrap();
    copy(folder, kept.path());
    let disk = Arc::new(RealDisk::new(kept.path()));
    let (store, _) = Store::open(disk, Options::default()).unwrap();
    let all = store.select(&[], i64::MIN, i64::MAX).unwrap();
    all.labels().count()
}

async fn until_written(folder: &Path) {
    let looking = async {
        while written(folder) == 0 {
            tokio::time::sleep(PAUSE).await;
        }
    };
    let limit = SYNC_INTERVAL + Duration::from_secs(5);
    tokio::time::timeout(limit, looking).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_is_on_disk_soon() {
    let (folder, samples) = opened();
    scrape(&samples).await;
    assert_eq!(written(folder.path()), 0, "nobody waited for it");
    tokio::select! {
        never = samples.keep_synced() => match never {},
        () = until_written(folder.path()) => {}
    }
    samples.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_writes_what_waits_before_it_waits_for_others() {
    let (folder, samples) = opened();
    scrape(&samples).await;
    let (let_go, held) = std::sync::mpsc::sync_channel::<()>(1);
    let begun = Arc::new(Notify::new());
    let told = Arc::clone(&begun);
    let holding = samples.run(move |_, _| {
        told.notify_one();
        held.recv().unwrap();
    });
    let looking = async {
        until_written(folder.path()).await;
        let_go.send(()).unwrap();
    };
    let closing = async {
        begun.notified().await;
        tokio::join!(samples.close(), looking).0.unwrap();
    };
    tokio::join!(holding, closing).0.unwrap();
}
