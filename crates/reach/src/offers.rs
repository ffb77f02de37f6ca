//! What a node offers, as it tells each proxy when a line is complete. It is one JSON text on a stream
//! of its own, ended by the end of the stream.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::line::{Lane, Line, LineStream, OpenRequest, Target, TargetKind};

/// Bytes of one node's offers.
const OFFERS_BYTES_MAX: u64 = 1 << 20;
/// The longest wait for them.
const OFFERS_LIMIT: Duration = Duration::from_secs(10);
/// The name of the stream.
pub(crate) const OFFERS: &str = "offers";

/// What a node offers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offers {
    /// Version of the program.
    #[serde(default)]
    pub version: String,
    /// Applications: name, and whether it speaks HTTP.
    #[serde(default)]
    pub apps: Vec<OfferedApp>,
    /// Pages of metrics.
    #[serde(default)]
    pub metrics: Vec<OfferedMetrics>,
}

/// An application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedApp {
    /// Its name on the node.
    pub name: String,
    /// It speaks HTTP; otherwise anything.
    #[serde(default)]
    pub is_http: bool,
    /// What it is called in the header `Host`, as the node reaches it; only with HTTP.
    #[serde(default)]
    pub host: String,
    /// The node speaks HTTPS with it.
    #[serde(default)]
    pub is_tls: bool,
    /// Its connections travel on the bulk lane.
    #[serde(default)]
    pub is_bulk: bool,
}

impl OfferedApp {
    /// The lane on which its connections travel.
    pub fn lane(&self) -> Lane {
        if self.is_bulk {
            Lane::Bulk
        } else {
            Lane::Interactive
        }
    }
}

/// A page of metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedMetrics {
    /// The word in `/metrics/<name>`.
    pub name: String,
    /// Labels for service discovery.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl Offers {
    /// Asks the node at the other end of a line.
    pub(crate) async fn ask(line: &Line) -> Result<Self, String> {
        let request = OpenRequest {
            target: Target {
                kind: TargetKind::Control,
                name: OFFERS.to_owned(),
                node: None,
            },
            client: None,
            user: None,
        };
        let stream = line
            .open(&request, Lane::Interactive, OFFERS_LIMIT)
            .await
            .map_err(|error| error.to_string())?;
        let read = async {
            let mut text = Vec::new();
            #[expect(clippy::disallowed_methods, reason = "take stands in front")]
            let read = stream.take(OFFERS_BYTES_MAX).read_to_end(&mut text).await;
            read.map_err(|error| error.to_string())?;
            serde_json::from_slice(&text).map_err(|error| error.to_string())
        };
        match tokio::time::timeout(OFFERS_LIMIT, read).await {
            Ok(offers) => offers,
            Err(_) => Err("it did not say what it offers in time".to_owned()),
        }
    }

    /// Answers that question.
    pub(crate) async fn tell(&self, mut stream: LineStream) -> io::Result<()> {
        stream.write_all(&serde_json::to_vec(self)?).await?;
        stream.shutdown().await
    }
}
