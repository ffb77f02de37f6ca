//! What is known of nodes without a line.

use super::memory::{MEMORY_FILE, Memory};
use super::nodes::Nodes;
use crate::line::{Lane, OpenRequest, Target, TargetKind};
use crate::offers::OfferedMetrics;

fn memory() -> Memory {
    let page = OfferedMetrics {
        name: "web-1-app".to_owned(),
        labels: std::collections::BTreeMap::new(),
    };
    let metrics = [("web-1".to_owned(), vec![page])];
    Memory {
        metrics: metrics.into_iter().collect(),
    }
}

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

/// After a restart the pages of a node are known, and who wants one waits for the node, then learns
/// what is the matter. A node that was never here is not waited for.
#[tokio::test]
async fn a_node_from_before_a_restart_is_known_and_waited_for() {
    let nodes = Nodes::default();
    nodes.remember(memory());
    assert_eq!(nodes.memory(), memory());
    assert_eq!(nodes.list().first().map(|node| node.state), Some("offline"));
    for (name, waits, says) in [
        ("web-1", true, "has started"),
        ("web-2", false, "did it join"),
    ] {
        let begun = tokio::time::Instant::now();
        let opened = nodes.open(name, &request(), Lane::Interactive).await;
        let error = opened.map(drop).unwrap_err();
        assert!(error.contains(says), "{error}");
        assert_eq!(begun.elapsed().as_secs() >= 4, waits, "{name}");
        assert!(begun.elapsed().as_secs() < 6, "{name}");
    }
}

/// What was kept is read back; what can't be read is left out.
#[test]
fn the_memory_survives() {
    let folder = std::env::temp_dir().join(format!("landline-memory-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(MEMORY_FILE);
    assert_eq!(Memory::load(&path), Memory::default());
    std::fs::write(&path, serde_json::to_vec(&memory()).unwrap()).unwrap();
    assert_eq!(Memory::load(&path), memory());
    std::fs::write(&path, b"{").unwrap();
    assert_eq!(Memory::load(&path), Memory::default());
    std::fs::remove_dir_all(&folder).unwrap();
}
