//! Other stores: everything that this one takes is sent to them, and queries read it back. Decision 19
//! says why the log of the store is the queue.

mod batch;
pub mod config;
mod cursor;
mod delivery;
mod metrics;
mod queue;
mod reading;
mod repeats;
mod sender;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::supervise::{Criticality, Restart, Service, Supervisor};
use base::telemetry::Metrics;

use self::batch::Form;
use self::config::{ReadMode, RemoteConfig, SignalsConfig};
use self::delivery::Delivery;
use self::metrics::Families;
use self::queue::{Needed, Queue, QueueParts};
use self::reading::Reader;
pub(crate) use self::reading::{Joined, Readers};
use self::sender::{Sender, Told};
use crate::samples::Samples;
use crate::scrape::{HttpClient, Way};

/// The folder in the data directory of what is known of remotes.
pub const FOLDER: &str = "remote";
/// After a fault of ours.
const TRY_AGAIN: Restart = Restart::OnFailure {
    first: Duration::from_secs(1),
    ceiling: Duration::from_mins(1),
};

/// What remotes are made with.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) samples: &'a Samples,
    pub(crate) data_dir: &'a Path,
    pub(crate) environment: &'a Arc<BTreeMap<String, String>>,
    pub(crate) supervisor: &'a Supervisor,
    pub(crate) metrics: &'a Metrics,
}

/// The services that send, and what queries read from.
pub(crate) fn open(config: &SignalsConfig, around: &Surroundings<'_>) -> (Vec<Service>, Readers) {
    let families = if config.remote.is_empty() {
        Families::default()
    } else {
        Families::new(around.metrics)
    };
    let needed = Needed::new(config.written().count());
    let mut services = Vec::new();
    for (at, remote) in config.written().enumerate() {
        services.extend(sending(remote, (&needed, at), &families, around));
    }
    let readers = config.remote.iter().filter_map(|remote| {
        let read = remote.read.as_ref()?;
        (read.mode != ReadMode::Off).then(|| Reader {
            name: remote.name.clone(),
            url: read.url.clone(),
            client: client(remote, around),
            timeout: remote.timeout,
            metrics: families.of(&remote.name),
        })
    });
    let mut modes = config
        .remote
        .iter()
        .filter_map(|remote| remote.read.as_ref());
    let is_delegated = modes.any(|read| read.mode == ReadMode::Delegated);
    let readers = Readers::new(readers.collect(), is_delegated);
    (services, readers)
}

fn client(remote: &RemoteConfig, around: &Surroundings<'_>) -> HttpClient {
    let surroundings = (around.environment, around.supervisor);
    HttpClient::new(&remote.http(), &Way::Direct, surroundings)
}

/// The service that sends to a remote.
fn sending(
    remote: &RemoteConfig,
    (needed, at): (&Needed, usize),
    families: &Families,
    around: &Surroundings<'_>,
) -> Option<Service> {
    let url = remote.url.clone()?;
    let name = remote.name.clone();
    let path = around.data_dir.join(FOLDER).join(format!("{name}.cursor"));
    let metrics = families.of(&name);
    let form = Form {
        version: remote.version,
        histograms: remote.histograms,
    };
    let (samples, needed) = (around.samples.clone(), needed.clone());
    let (limit, timeout) = (remote.queue, remote.timeout);
    let http = remote.http();
    let surroundings = (around.environment.clone(), around.supervisor.clone());
    let body = move |scope| {
        let queue = Queue::new(QueueParts {
            name: name.clone(),
            path: path.clone(),
            form,
            limit,
            metrics: metrics.clone(),
            needed: (needed.clone(), at),
        });
        let client = HttpClient::new(&http, &Way::Direct, (&surroundings.0, &surroundings.1));
        let sender = Sender {
            name: name.clone(),
            samples: samples.clone(),
            queue: Arc::new(Mutex::new(queue)),
            delivery: Delivery {
                client,
                url: url.clone(),
                version: form.version,
                timeout,
            },
            metrics: metrics.clone(),
            told: Told::default(),
        };
        sender.run(scope)
    };
    let service = format!("remote.{}", remote.name);
    Some(Service::restarting(
        service,
        Criticality::Plain,
        TRY_AGAIN,
        body,
    ))
}
