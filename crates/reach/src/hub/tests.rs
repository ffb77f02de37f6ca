//! What is known of nodes without a line.

use std::collections::BTreeMap;

use super::nodes::{Known, Nodes};
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
