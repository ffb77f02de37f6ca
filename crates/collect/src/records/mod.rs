//! Telemetry records: intake from the clients of Clear Linux's telemetrics, what is known of them,
//! and the ways to read them.

mod api;
mod aside;
mod bodies;
mod build;
mod choices;
mod committer;
pub mod config;
mod csv;
mod door;
mod entry;
mod error;
mod expressions;
mod filter;
mod import;
pub mod imported;
mod insert;
mod intake;
mod metrics;
pub mod migrations;
mod original;
mod original_api;
mod packed;
mod pattern;
mod project;
mod query;
mod reader;
mod recount;
mod regroup;
mod retention;
mod scrub;
mod search;
mod skipped;
mod stored;
mod stream;
mod throttle;
mod time;

use std::sync::Arc;

use base::health::Health;
use base::http::{Policy, Routes};
use base::supervise::Service;
use base::telemetry::Metrics;
use state::{State, StateError};
use tokio::sync::Semaphore;

use self::api::Policies;
use self::aside::Aside;
use self::bodies::Bodies;
use self::choices::Choices;
use self::committer::Committer;
use self::config::RecordsConfig;
use self::metrics::RecordMetrics;
use self::project::Projects;
pub use self::reader::{Act, Change, Reader};
use self::skipped::SkippedFrames;
use self::throttle::Throttle;

/// What all paths share.
#[derive(Debug)]
struct Shared {
    state: State,
    config: RecordsConfig,
    projects: Projects,
    throttle: Option<Throttle>,
    skipped: SkippedFrames,
    choices: Choices,
    bodies: Bodies,
    aside: Aside,
    /// Turns of those who look at payloads, so that they do not keep intake waiting.
    looking: Aside,
    committer: Committer,
    ahead: stream::Ahead,
    metrics: RecordMetrics,
    /// For the batches of imports: one at a time, so that intake waits for one at most.
    import: Semaphore,
}

/// The collector of records.
#[derive(Debug)]
pub struct Records {
    shared: Arc<Shared>,
}

impl Records {
    /// Opens it in a state that has [`migrations::MIGRATIONS`]; the services keep what comes, make the
    /// index of words, remove what is old, tell of imports that are not finished, and read long answers
    /// ahead.
    pub async fn open(
        state: &State,
        config: RecordsConfig,
        (metrics, health): (&Metrics, &Health),
    ) -> Result<(Self, [Service; 6]), StateError> {
        let metrics = RecordMetrics::new(metrics);
        let projects = Projects::open(state, &config.projects).await?;
        let skipped = SkippedFrames::default();
        skipped.refresh(state).await?;
        let (committer, service) = Committer::new(state, &metrics);
        let shared = Shared {
            state: state.clone(),
            throttle: config.machine_rate.map(Throttle::new),
            projects,
            skipped,
            choices: Choices::default(),
            bodies: Bodies::default(),
            aside: Aside::default(),
            looking: Aside::default(),
            committer,
            ahead: stream::Ahead::default(),
            metrics,
            config,
            import: Semaphore::new(1),
        };
        let shared = Arc::new(shared);
        let index = search::index::service(state);
        let regroup = regroup::service(&shared);
        let retention = retention::service(&shared);
        let imports = import::service(&shared, health);
        let answers = stream::service(&shared);
        let services = [service, index, regroup, retention, imports, answers];
        Ok((Self { shared }, services))
    }

    /// The paths that clients send to; they are open to everybody.
    pub fn intake_routes(&self) -> Routes {
        door::routes(&self.shared)
    }

    /// The paths that records are read and changed at. The policies give each request a [`Reader`].
    pub fn read_routes(&self, read: impl Fn() -> Policy, update: impl Fn() -> Policy) -> Routes {
        let policies = Policies {
            read: &read,
            update: &update,
        };
        api::routes(&self.shared, &policies).merge(original_api::routes(&self.shared, &read))
    }
}
