//! Side-by-side measurements of lines and their peers, all in one run: direct, Landline's lanes, the
//! whole product, `ssh -R`, rathole and bore.

pub mod link;
pub mod measure;
pub mod peers;
pub mod report;
pub mod target;
pub mod ways;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use measure::Size;
use target::Targets;
use ways::{Lanes, Product, Way};

/// What the published numbers are made with.
pub const FULL: Size = Size {
    run: Duration::from_secs(3),
    echoes: 600,
};
/// A quick look, not for publication.
pub const QUICK: Size = Size {
    run: Duration::from_secs(1),
    echoes: 200,
};

/// Measures everything. `ends` is the program whose processes are the two ends of a line. `only` are the
/// names of the ways to measure, all when empty.
pub async fn measure(ends: &Path, size: Size, only: &[String]) -> Value {
    let targets = Targets::start().await;
    let wanted = |way: &str| only.is_empty() || only.iter().any(|name| way.contains(name.as_str()));
    let mut found: Vec<Value> = Vec::new();
    let mut note = |way: &Way, mut value: Value| {
        value["way"] = json!(way.name);
        found.push(value);
    };
    let direct = Way::ports("direct", targets.tcp, targets.http, Vec::new());
    if wanted("direct") {
        note(&direct, measure::everything(&direct, size).await);
    }
    for name in ["interactive lane", "bulk lane"] {
        if wanted(name) {
            let (bytes, pages) = lanes(ends, targets);
            let way = lane(name, [&bytes, &pages]);
            let mut value = measure::everything(&way, size).await;
            if name == "interactive lane" {
                value["latency_under_bulk_lane"] =
                    measure::under_bulk(bytes.interactive(), bytes.bulk(), size).await;
            }
            note(&way, value);
        }
    }
    for (name, lane) in [
        ("landline forward", "interactive"),
        ("landline forward, bulk", "bulk"),
    ] {
        if wanted(name) {
            let product = Product::start(targets, lane).await;
            let way = product.way(name);
            note(&way, measure::everything(&way, size).await);
        }
    }
    for peer in peers::start(targets)
        .into_iter()
        .filter(|peer| wanted(peer.way.name))
    {
        note(&peer.way, measure::everything(&peer.way, size).await);
    }
    let link = if wanted("link") {
        link::shared(ends, targets).await
    } else {
        Value::Null
    };
    json!({"ways": found, "link": link})
}

/// A line to the bytes and another to the HTTP server.
fn lanes(ends: &Path, targets: Targets) -> (Lanes, Lanes) {
    let start = |target| Lanes::start(ends, target, None);
    (start(targets.tcp), start(targets.http))
}

fn lane(name: &'static str, lines: [&Lanes; 2]) -> Way {
    let processes = lines.iter().flat_map(|line| line.processes()).collect();
    let ports = lines.map(|line| match name {
        "bulk lane" => line.bulk(),
        _ => line.interactive(),
    });
    Way::ports(name, ports[0], ports[1], processes)
}
