//! What the bus promises, one caller at a time, on the library as others use it.

use std::time::Duration;

use base::events::{Bus, Delivery, LISTENER_QUEUE_MAX, Topic, WaitError};

static ONE: Topic<u64> = Topic::new("one");
static TWO: Topic<u64> = Topic::new("two");
static READY: Topic<()> = Topic::new("ready");
static LATER: Topic<()> = Topic::new("later");

#[tokio::test]
async fn the_last_value_stays() {
    let bus = Bus::new();
    assert_eq!(bus.latest(&ONE), None);
    bus.publish(&ONE, 1);
    bus.publish(&ONE, 2);
    assert_eq!((bus.latest(&ONE), bus.wait(&ONE).await), (Some(2), 2));
}

#[tokio::test]
async fn a_listener_begins_with_the_last_value_and_a_new_one_without() {
    let bus = Bus::new();
    bus.publish(&ONE, 1);
    let (mut all, mut new) = (bus.listen(&ONE), bus.listen_new(&ONE));
    assert_eq!(new.try_next(), None);
    bus.publish(&ONE, 2);
    assert_eq!(all.next().await, Delivery::Value(1));
    assert_eq!(all.next().await, Delivery::Value(2));
    assert_eq!(new.next().await, Delivery::Value(2));
}

#[tokio::test]
async fn a_slow_listener_is_told_what_it_missed() {
    let bus = Bus::new();
    let mut slow = bus.listen(&ONE);
    let sent = LISTENER_QUEUE_MAX as u64 + 3;
    (0..sent).for_each(|number| bus.publish(&ONE, number));
    assert_eq!(slow.next().await, Delivery::Lagged(3));
    for number in 3..sent {
        assert_eq!(slow.next().await, Delivery::Value(number));
    }
    assert_eq!(slow.try_next(), None);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_ends_names_the_topic_and_what_is_missing() {
    let bus = Bus::new();
    bus.map(&["one", "two"], &READY);
    bus.publish(&ONE, 1);
    let limit = Duration::from_secs(2);
    let error = bus.wait_timeout(&READY, limit).await.unwrap_err();
    assert_eq!(
        error,
        WaitError {
            topic: "ready",
            waited: limit,
            missing: vec!["two"]
        }
    );
    assert_eq!(
        error.to_string(),
        "no event ready within 2s; still missing: two"
    );
    let error = bus.wait_timeout(&TWO, limit).await.unwrap_err();
    assert_eq!(error.to_string(), "no event two within 2s");
    assert!(
        bus.topics().iter().all(|topic| topic.listeners == 0),
        "waits leave nothing behind"
    );
}

#[tokio::test]
async fn a_mapping_fires_again_on_each_further_input() {
    let bus = Bus::new();
    bus.map(&["one", "two"], &READY);
    let mut ready = bus.listen(&READY);
    bus.publish(&TWO, 1);
    assert_eq!((ready.try_next(), bus.missing(&READY)), (None, vec!["one"]));
    bus.publish(&ONE, 1);
    bus.publish(&TWO, 2);
    assert_eq!(ready.try_next(), Some(Delivery::Value(())));
    assert_eq!(ready.try_next(), Some(Delivery::Value(())));
    assert_eq!(ready.try_next(), None);
}

#[tokio::test]
async fn mappings_do_not_chain() {
    let bus = Bus::new();
    bus.map(&["ready"], &LATER);
    bus.map(&["one"], &READY);
    bus.publish(&ONE, 1);
    assert_eq!((bus.latest(&READY), bus.latest(&LATER)), (Some(()), None));
    bus.publish(&READY, ());
    assert_eq!(bus.latest(&LATER), Some(()));
}

#[tokio::test]
async fn a_mapping_made_late_fires_at_once() {
    let bus = Bus::new();
    bus.publish(&ONE, 1);
    bus.map(&["one"], &READY);
    assert_eq!(bus.latest(&READY), Some(()));
    bus.map(&[], &LATER);
    assert_eq!(
        bus.latest(&LATER),
        Some(()),
        "nothing is missing of nothing"
    );
}

#[test]
#[should_panic(expected = "topic one is declared with two different types")]
fn two_types_under_one_name_are_found() {
    static OTHER: Topic<String> = Topic::new("one");
    let bus = Bus::new();
    bus.publish(&ONE, 1);
    bus.publish(&OTHER, String::new());
}
