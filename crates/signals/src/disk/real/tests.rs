//! The whole way on a real file system.

use std::sync::Arc;

use super::*;
use crate::{Entry, Labels, Options, SeriesSamples, Store, Value};

#[test]
fn a_store_on_a_real_disk_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("signals");
    // The machine that tests run on may be nearly full.
    let options = Options {
        free_percent_min: 0,
        ..Options::default()
    };
    let disk = || Arc::new(RealDisk::new(&root));
    let labels = Labels::new([("a", "b")]).unwrap();
    let (store, _) = Store::open(disk(), options.clone()).unwrap();
    assert!(
        Store::open(disk(), options.clone()).is_err(),
        "it is locked"
    );
    for time in 0..200 {
        let entry = Entry {
            id: None,
            labels: &labels,
            timestamp: time * 60_000,
            start: 0,
            value: Value::Float(time as f64),
        };
        store.append(&[entry], time * 60_000).unwrap();
    }
    store.maintain(200 * 60_000).unwrap();
    store.close().unwrap();
    drop(store);
    let (store, opened) = Store::open(disk(), options).unwrap();
    assert_eq!(opened.cut, None);
    let mut selection = store.select(&[], 0, i64::MAX).unwrap();
    let mut samples = SeriesSamples::default();
    assert!(selection.read(0, &mut samples).unwrap());
    assert_eq!(samples.floats.times.len(), 200);
    assert_eq!(store.statistics().segments, 1);
    assert!(disk().space().unwrap().total > 0);
    let file = std::fs::metadata(root.join("MANIFEST")).unwrap();
    assert_eq!(
        std::os::unix::fs::MetadataExt::mode(&file) & 0o777,
        FILE_MODE
    );
    store.compact().unwrap();
    store.verify().unwrap();
}
