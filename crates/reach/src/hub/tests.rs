//! What is known of nodes without a line.

use std::collections::BTreeMap;

use base::clock;

use super::nodes::{Holder, Known, Nodes};
use crate::line::{OpenRequest, Target, TargetKind};

fn request() -> OpenRequest {
    OpenRequest {
        target: Target {
            kind: TargetKind::Metrics,
            name: String::new(),
            node: None,
        },
        client: None,
        user: None,
    }
}

/// After a restart who wants something of a known node waits for it, then learns what is the matter.
/// A node that was never here is not waited for.
#[tokio::test]
async fn a_node_from_before_a_restart_is_waited_for() {
    let nodes = Nodes::default();
    let told = ("id".to_owned(), "{}".to_owned());
    nodes.learn(Known {
        offers: BTreeMap::from([("web-1".to_owned(), told)]),
        ..Known::default()
    });
    for (name, waits, says) in [
        ("web-1", true, "since this proxy"),
        ("web-2", false, "did it join"),
    ] {
        let begun = tokio::time::Instant::now();
        let opened = nodes.dial(name, &request()).await;
        let error = opened.map(drop).unwrap_err();
        assert!(error.contains(says), "{error}");
        assert_eq!(begun.elapsed().as_secs() >= 4, waits, "{name}");
        assert!(begun.elapsed().as_secs() < 6, "{name}");
    }
}

/// A connection is kept for more until another process has the line.
#[test]
fn kept_connections_go_when_the_ways_change() {
    let nodes = Nodes::default();
    let held_by = |instances: &[&str]| {
        let holder = |instance: &&str| Holder {
            instance: (*instance).to_owned(),
            uuid: "u".to_owned(),
            name: "second".to_owned(),
            addresses: vec!["192.0.2.1:3080".to_owned()],
        };
        let holders: Vec<Holder> = instances.iter().map(holder).collect();
        let told = ("id".to_owned(), "{}".to_owned());
        nodes.learn(Known {
            offers: BTreeMap::from([("web-1".to_owned(), told)]),
            holders: BTreeMap::from([("web-1".to_owned(), holders)]),
            ..Known::default()
        });
    };
    assert!(nodes.keeps("web-1", clock::now()), "nothing is known");
    for instances in [&["old"][..], &["new", "old"], &["new"], &[]] {
        let before = clock::now();
        held_by(instances);
        assert!(!nodes.keeps("web-1", before), "{instances:?}");
        let after = clock::now();
        held_by(instances);
        assert!(nodes.keeps("web-1", after), "{instances:?} as before");
        assert!(nodes.keeps("web-2", before));
    }
}

/// Why an application can't be reached is remembered until it answers, of those that a node offers.
#[tokio::test]
async fn an_application_has_its_last_error() {
    let nodes = Nodes::default();
    let offers = r#"{"apps": [{"name": "api", "is_http": true}], "metrics": []}"#;
    let told = ("id".to_owned(), offers.to_owned());
    nodes.learn(Known {
        offers: BTreeMap::from([("web-1".to_owned(), told)]),
        ..Known::default()
    });
    for app in ["api", "none"] {
        let mut wanted = request();
        wanted.target.kind = TargetKind::App;
        wanted.target.name = app.to_owned();
        let error = nodes.dial("web-1", &wanted).await.map(drop).unwrap_err();
        let expected = Some(error).filter(|_| app == "api");
        assert_eq!(nodes.app_error("web-1", app), expected);
    }
    nodes.note_app_answer("web-1", "api");
    assert_eq!(nodes.app_error("web-1", "api"), None);
}
