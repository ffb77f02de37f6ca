//! The bus under all orders of publishers, listeners and waiters. A hang is found as a deadlock.

use shuttle::future::block_on;
use shuttle::thread;

use crate::check;
use crate::events::{Bus, Delivery, Topic};

static NUMBER: Topic<(u8, u8)> = Topic::new("number");
static LEFT: Topic<u8> = Topic::new("left");
static RIGHT: Topic<u8> = Topic::new("right");
static BOTH: Topic<()> = Topic::new("both");

#[test]
fn nothing_is_lost_and_each_publishers_order_is_kept() {
    check(|| {
        let bus = Bus::new();
        let mut listeners = [bus.listen(&NUMBER), bus.listen_new(&NUMBER)];
        let publishers: Vec<_> = (0..2_u8)
            .map(|publisher| {
                let bus = bus.clone();
                thread::spawn(move || {
                    (0..3_u8).for_each(|number| bus.publish(&NUMBER, (publisher, number)));
                })
            })
            .collect();
        let seen = listeners.each_mut().map(|listener| {
            let take = |_| match block_on(listener.next()) {
                Delivery::Value(value) => value,
                Delivery::Lagged(count) => panic!("{count} lost below the bound"),
            };
            (0..6).map(take).collect::<Vec<_>>()
        });
        for publisher in publishers {
            publisher.join().unwrap();
        }
        assert_eq!(seen[0], seen[1], "all listeners see one order");
        assert_eq!(bus.latest(&NUMBER), seen[0].last().copied());
        for publisher in 0..2 {
            let own: Vec<_> = seen[0].iter().filter(|one| one.0 == publisher).collect();
            assert_eq!(own, [&(publisher, 0), &(publisher, 1), &(publisher, 2)]);
        }
        assert!(
            listeners
                .iter_mut()
                .all(|listener| listener.try_next().is_none())
        );
    });
}

#[test]
fn a_sticky_wait_never_hangs() {
    check(|| {
        let bus = Bus::new();
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let bus = bus.clone();
                thread::spawn(move || block_on(bus.wait(&LEFT)))
            })
            .collect();
        let publisher = {
            let bus = bus.clone();
            thread::spawn(move || bus.publish(&LEFT, 7))
        };
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), 7);
        }
        publisher.join().unwrap();
    });
}

#[test]
fn a_mapping_fires_whatever_comes_first() {
    check(|| {
        let bus = Bus::new();
        let mapper = {
            let bus = bus.clone();
            thread::spawn(move || bus.map(&["left", "right"], &BOTH))
        };
        let publishers: Vec<_> = [&LEFT, &RIGHT]
            .into_iter()
            .map(|topic| {
                let bus = bus.clone();
                thread::spawn(move || bus.publish(topic, 1))
            })
            .collect();
        block_on(bus.wait(&BOTH));
        assert_eq!(bus.missing(&BOTH), Vec::<&str>::new());
        mapper.join().unwrap();
        for publisher in publishers {
            publisher.join().unwrap();
        }
    });
}

#[test]
fn a_listener_that_leaves_disturbs_nobody() {
    check(|| {
        let bus = Bus::new();
        let leaver = {
            let bus = bus.clone();
            thread::spawn(move || drop(bus.listen(&LEFT)))
        };
        let publisher = {
            let bus = bus.clone();
            thread::spawn(move || bus.publish(&LEFT, 1))
        };
        assert_eq!(block_on(bus.wait(&LEFT)), 1);
        leaver.join().unwrap();
        publisher.join().unwrap();
        assert!(bus.topics().iter().all(|topic| topic.listeners == 0));
    });
}
