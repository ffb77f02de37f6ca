//! Who follows the log gets what the store has taken, each sample once and in order: over files, over
//! restarts, behind damage, and while the store needs the files no more.

use super::*;
use crate::disk::simulated::Cut;
use crate::log::{Followed, Follower, Limits, LogPlace};

/// Labels, time and bits of each sample.
type Seen = Vec<(Labels, i64, u64)>;

fn options() -> Options {
    Options {
        log_file_bytes: 2_000,
        keep_log: true,
        ..Options::default()
    }
}

fn start(disk: &SimulatedDisk) -> Store {
    Store::open(Arc::new(disk.clone()), options()).unwrap().0
}

fn limits(items: usize) -> Limits {
    Limits {
        items,
        bytes: 1 << 20,
        until: None,
    }
}

fn seen(items: &[Followed]) -> Seen {
    let sample = |item: &Followed| match item {
        Followed::Sample {
            labels,
            time,
            value: Value::Float(value),
            ..
        } => Some((labels.clone(), *time, value.to_bits())),
        _ => None,
    };
    items.iter().filter_map(sample).collect()
}

/// Everything that there is.
fn all(store: &Store, follower: &mut Follower) -> Seen {
    let mut out = Vec::new();
    assert_eq!(
        follower.read(store, &limits(usize::MAX), &mut out).unwrap(),
        None
    );
    seen(&out)
}

/// Appends samples of some series at a time, and tells what they are.
fn append_at(store: &Store, minute: i64, taken: &mut Seen) {
    let all: Vec<Labels> = (0..20).map(|number| labels("metric", number)).collect();
    let time = minute * MINUTE;
    let value = minute as f64 + 0.25;
    let batch: Vec<Entry<'_>> = all
        .iter()
        .map(|labels| entry(labels, time, value))
        .collect();
    store.append(&batch, time).unwrap();
    taken.extend(
        all.into_iter()
            .map(|labels| (labels, time, value.to_bits())),
    );
}

fn files(disk: &SimulatedDisk) -> Vec<String> {
    let names = disk.contents().into_keys();
    names.filter(|name| name.starts_with("wal/")).collect()
}

#[test]
fn everything_comes_once_over_files_flushes_and_restarts() {
    let mut disk = SimulatedDisk::default();
    let mut store = start(&disk);
    let mut follower = store.follow(store.log_end());
    let (mut taken, mut got) = (Seen::new(), Seen::new());
    for (minute, items) in (0..600).zip((0..37).cycle()) {
        append_at(&store, minute, &mut taken);
        // What is repeated or refused is not there again.
        append_one(
            &store,
            &labels("metric", 3),
            minute * MINUTE,
            minute as f64 + 0.25,
        )
        .unwrap();
        let mut out = Vec::new();
        let some = follower.read(&store, &limits(items), &mut out);
        assert_eq!(some.unwrap(), None);
        got.extend(seen(&out));
        if minute % 100 == 99 {
            store.maintain(minute * MINUTE).unwrap();
        }
        if minute % 150 == 149 {
            // The power goes: another process goes on at the place, in the middle of a frame.
            drop(store);
            disk = disk.after(Cut::Drop);
            store = start(&disk);
            follower = store.follow(follower.place());
        }
    }
    got.extend(all(&store, &mut follower));
    assert_eq!(got.len(), taken.len());
    assert!(got == taken, "the same in the same order");
    assert!(files(&disk).len() > 20, "nothing has gone yet");
    assert_eq!(store.log_bytes_after(follower.place()), 0);
    store.flush_all().unwrap();
    store.keep_log_from(follower.place().file).unwrap();
    assert!(files(&disk).len() <= 3, "{:?}", files(&disk));
    assert!(all(&store, &mut follower).is_empty());
}

#[test]
fn what_was_read_can_be_read_again_exactly() {
    let disk = SimulatedDisk::default();
    let store = start(&disk);
    let from = store.log_end();
    let mut taken = Seen::new();
    (0..50).for_each(|minute| append_at(&store, minute, &mut taken));
    let mut follower = store.follow(from);
    let mut first = Vec::new();
    follower.read(&store, &limits(333), &mut first).unwrap();
    let until = follower.place();
    append_at(&store, 50, &mut taken);
    drop(store);
    let store = start(&disk);
    let mut again = Vec::new();
    let exactly = Limits {
        until: Some(until),
        ..limits(usize::MAX)
    };
    let mut follower = store.follow(from);
    follower.read(&store, &exactly, &mut again).unwrap();
    assert_eq!(seen(&again), seen(&first));
    assert!(follower.place() >= until);
    assert_eq!(all(&store, &mut follower), taken[333..]);
}

#[test]
fn a_flipped_byte_is_named_and_the_rest_is_read() {
    let disk = SimulatedDisk::default();
    let store = start(&disk);
    let from = store.log_end();
    let mut taken = Seen::new();
    (0..100).for_each(|minute| append_at(&store, minute, &mut taken));
    store.flush_all().unwrap();
    let names = files(&disk);
    let victim = &names[names.len() / 2];
    let mut content = disk.contents()[victim].clone();
    let middle = content.len() / 2;
    content[middle] ^= 0x10;
    disk.put(victim, content);
    let mut follower = store.follow(from);
    let mut out = Vec::new();
    let damage = follower
        .read(&store, &limits(usize::MAX), &mut out)
        .unwrap();
    let damage = damage.unwrap();
    assert!(damage.path.ends_with(victim.as_str()), "{damage}");
    assert!(damage.offset <= middle as u64);
    let before = out.len();
    assert!(before > 0);
    assert_eq!(
        follower
            .read(&store, &limits(usize::MAX), &mut out)
            .unwrap(),
        None
    );
    let got = seen(&out);
    assert_eq!(got[..before], taken[..before]);
    // A frame has the 20 samples of a batch.
    assert_eq!(got[before..], taken[before + 20..]);
    assert_eq!(follower.orphans(), 0);
}

#[test]
fn samples_whose_series_cannot_be_read_are_counted() {
    let disk = SimulatedDisk::default();
    let store = start(&disk);
    let from = store.log_end();
    let mut taken = Seen::new();
    (0..3).for_each(|minute| append_at(&store, minute, &mut taken));
    let name = &files(&disk)[from.file as usize - 1];
    let mut content = disk.contents()[name].clone();
    content[usize::try_from(from.offset).unwrap() + 30] ^= 1;
    disk.put(name, content);
    let mut follower = store.follow(from);
    let mut out = Vec::new();
    assert!(
        follower
            .read(&store, &limits(usize::MAX), &mut out)
            .unwrap()
            .is_some()
    );
    follower
        .read(&store, &limits(usize::MAX), &mut out)
        .unwrap();
    let left = taken.len() as u64 - seen(&out).len() as u64;
    assert_eq!(
        follower.orphans(),
        left - 20,
        "all of the file but the first batch"
    );
    assert!(follower.orphans() >= 20);
}

#[test]
fn a_frame_of_many_samples_is_read_in_parts() {
    let disk = SimulatedDisk::default();
    let store = start(&disk);
    let mut follower = store.follow(store.log_end());
    let one = labels("metric", 1);
    let times = 0..250_000_i64;
    let batch: Vec<Entry<'_>> = times.clone().map(|time| entry(&one, time, 0.5)).collect();
    store.append(&batch, 0).unwrap();
    let mut got = Seen::new();
    loop {
        let mut out = Vec::new();
        follower.read(&store, &limits(77_777), &mut out).unwrap();
        if out.is_empty() {
            break;
        }
        got.extend(seen(&out));
        // From the place alone it is the same.
        follower = store.follow(follower.place());
    }
    assert!(got.iter().map(|(_, time, _)| *time).eq(times));
}

#[test]
fn what_is_not_on_disk_is_not_read() {
    let disk = SimulatedDisk::default();
    let store = start(&disk);
    let from = store.log_end();
    let mut taken = Seen::new();
    append_at(&store, 1, &mut taken);
    // Behind this place nothing was acknowledged.
    let end = store.log_end();
    let name = &files(&disk)[end.file as usize - 1];
    let mut content = disk.contents()[name].clone();
    content.extend_from_slice(b"LLF1 torn");
    disk.put(name, content);
    let mut follower = store.follow(from);
    assert_eq!(all(&store, &mut follower), taken);
    assert!(all(&store, &mut follower).is_empty());
}

#[test]
fn files_can_be_passed_over_and_a_lost_place_begins_with_the_oldest() {
    let disk = SimulatedDisk::default();
    let store = start(&disk);
    let from = store.log_end();
    let mut taken = Seen::new();
    (0..200).for_each(|minute| append_at(&store, minute, &mut taken));
    let mut follower = store.follow(from);
    let mut passed = 0;
    let whole = store.log_bytes_after(follower.place());
    while store.log_bytes_after(follower.place()) > whole / 2 {
        let more = follower.skip_file(&store).unwrap();
        assert!(more > 0);
        passed += more;
    }
    assert_eq!(
        all(&store, &mut follower),
        taken[usize::try_from(passed).unwrap()..]
    );
    assert_eq!(
        follower.skip_file(&store).unwrap(),
        0,
        "it is being written"
    );
    let beyond = LogPlace::begin_of(1_000_000);
    assert_eq!(all(&store, &mut store.follow(beyond)), taken);
    assert_eq!(all(&store, &mut store.follow(LogPlace::default())), taken);
}

#[test]
fn without_followers_files_go_as_soon_as_the_store_needs_them_no_more() {
    let disk = SimulatedDisk::default();
    let store = start(&disk);
    let mut taken = Seen::new();
    (0..200).for_each(|minute| append_at(&store, minute, &mut taken));
    store.flush_all().unwrap();
    assert!(files(&disk).len() > 5);
    drop(store);
    let (store, _) = open(&disk).unwrap();
    assert!(files(&disk).len() <= 2, "{:?}", files(&disk));
    drop(store);
}
