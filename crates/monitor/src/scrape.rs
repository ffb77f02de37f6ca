//! Scraping: a `prometheus.yml` says which targets there are, the program may hand over more, and
//! their pages go into the store.

mod active;
mod api;
mod cache;
mod commit;
pub mod config;
mod dial;
mod discovery;
mod fetch;
mod given;
mod glob;
mod http;
mod metrics;
mod oauth2;
mod page;
mod pools;
pub mod relabel;
mod target;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::http::{Policy, Routes};
use base::supervise::{BoxError, Criticality, Scope, Service};
use base::telemetry::Metrics;
use tokio::sync::{Notify, watch};

use self::active::{Active, Tools};
use self::config::{Discovery, JobConfig, PrometheusConfig};
use self::discovery::{Source, Surroundings};
pub(crate) use self::fetch::AGENT;
pub use self::given::{GivenPool, GivenTarget};
pub(crate) use self::http::{HttpClient, Way};
use self::metrics::ScrapeMetrics;
use self::pools::{Pool, PoolKey};
use crate::samples::Samples;

/// What was found is put in force at most this often.
const SETTLE_EVERY: Duration = Duration::from_secs(1);

/// What the service and the API share.
#[derive(Debug)]
struct Shared {
    tools: Tools,
    environment: Arc<BTreeMap<String, String>>,
    config: watch::Sender<Arc<PrometheusConfig>>,
    pools: Mutex<BTreeMap<PoolKey, Pool>>,
    changed: Arc<Notify>,
}

/// The scraper. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Scraper {
    shared: Arc<Shared>,
}

/// What the scraper is made with.
#[derive(Debug)]
pub struct Sources {
    /// What the configuration says; nothing is scraped by an empty one.
    pub config: PrometheusConfig,
    /// Targets that the program hands over; they may change at any time.
    pub given: watch::Receiver<Vec<GivenPool>>,
    /// The environment, for proxies.
    pub environment: BTreeMap<String, String>,
}

impl Scraper {
    /// A scraper that puts pages into `samples`, and the service that does it.
    pub fn open(sources: Sources, samples: Samples, metrics: &Metrics) -> (Self, [Service; 1]) {
        let metrics = ScrapeMetrics::new(metrics);
        let shared = Arc::new(Shared {
            tools: Tools { samples, metrics },
            environment: Arc::new(sources.environment),
            config: watch::Sender::new(Arc::new(sources.config)),
            pools: Mutex::default(),
            changed: Arc::default(),
        });
        let (running, given) = (Arc::clone(&shared), sources.given);
        let service = Service::new("scrape", Criticality::Critical, move |scope| {
            run(running, given, scope)
        });
        (Self { shared }, [service])
    }

    /// Puts another configuration in force. Targets that are the same in both are not disturbed.
    pub fn reload(&self, config: PrometheusConfig) {
        self.shared.tools.metrics.reloads.inc();
        self.shared.config.send_replace(Arc::new(config));
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<PrometheusConfig> {
        Arc::clone(&self.shared.config.borrow())
    }

    /// The paths that show targets and the configuration.
    pub fn routes(&self, read: impl Fn() -> Policy) -> Routes {
        api::routes(&self.shared, &read)
    }
}

impl Shared {
    fn pools(&self) -> MutexGuard<'_, BTreeMap<PoolKey, Pool>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The configuration of a job that is in force, of a file or of the program.
    fn job(&self, name: &str) -> Option<Arc<JobConfig>> {
        let pools = self.pools();
        let mut pools = pools.iter().filter(|(_, pool)| !pool.is_gone);
        let found = pools.find(|(key, _)| key.job == name);
        found.map(|(_, pool)| Arc::clone(&pool.job))
    }
}

/// Compares what should be scraped with what is, whenever one of them may have changed.
async fn run(
    shared: Arc<Shared>,
    mut given: watch::Receiver<Vec<GivenPool>>,
    scope: Scope,
) -> Result<(), BoxError> {
    let mut config = shared.config.subscribe();
    let surroundings = Surroundings {
        environment: Arc::clone(&shared.environment),
        supervisor: scope.supervisor().clone(),
        metrics: shared.tools.metrics.clone(),
        changed: Arc::clone(&shared.changed),
    };
    loop {
        let now = Arc::clone(&config.borrow_and_update());
        let handed_over = given.borrow_and_update().clone();
        // Rules over thousands of targets take their time.
        let (own, around) = (Arc::clone(&shared), surroundings.clone());
        let settling = move || settle(&own, &now, &handed_over, &around);
        let begun = tokio::task::spawn_blocking(settling).await?;
        for source in begun.sources {
            let running = source.run(surroundings.clone(), scope.clone());
            scope.spawn("scrape discovery", running);
        }
        for target in begun.targets {
            let running = target.run(shared.tools.clone(), scope.clone());
            scope.spawn("scrape target", running);
        }
        let is_closed = given.has_changed().is_err();
        tokio::select! {
            () = scope.stopping() => return Ok(()),
            _ = config.changed() => {}
            _ = given.changed(), if !is_closed => {}
            () = shared.changed.notified() => {
                // Others may have something to say at the same time.
                tokio::select! {
                    () = scope.stopping() => return Ok(()),
                    () = tokio::time::sleep(SETTLE_EVERY) => {}
                }
            }
        }
    }
}

/// What is to be begun.
#[derive(Default)]
struct Begun {
    sources: Vec<Arc<Source>>,
    targets: Vec<Arc<Active>>,
}

fn settle(
    shared: &Shared,
    config: &PrometheusConfig,
    given: &[GivenPool],
    surroundings: &Surroundings,
) -> Begun {
    let around = (&surroundings.environment, &surroundings.supervisor);
    let make_client =
        |job: &JobConfig, way: &Way| Arc::new(HttpClient::new(&job.http, way, around));
    let mut begun = Begun::default();
    let mut pools = shared.pools();
    let mut kept = std::collections::BTreeSet::new();
    for job in &config.jobs {
        let key = PoolKey {
            is_given: false,
            job: job.name.clone(),
        };
        kept.insert(key.clone());
        let pool = pools
            .entry(key)
            .or_insert_with(|| Pool::new(Arc::clone(job), &make_client));
        pool.follow(job, &make_client);
        begun.sources.extend(follow_sources(pool));
        begun.targets.extend(pool.refresh());
    }
    for given in given {
        let key = PoolKey {
            is_given: true,
            job: given.job.clone(),
        };
        kept.insert(key.clone());
        let job = Arc::new(given.job());
        let pool = pools
            .entry(key)
            .or_insert_with(|| Pool::new(Arc::clone(&job), &make_client));
        pool.follow(&job, &make_client);
        begun
            .targets
            .extend(pool.refresh_given(given, &make_client));
    }
    for (key, pool) in pools.iter_mut() {
        if !kept.contains(key) {
            pool.clear();
        }
    }
    pools.retain(|key, pool| kept.contains(key) || !pool.is_over());
    count(shared, &pools);
    begun
}

/// Sources that are asked in the same way go on; gives the others.
fn follow_sources(pool: &mut Pool) -> Vec<Arc<Source>> {
    let mut before = std::mem::take(&mut pool.sources);
    let mut begun = Vec::new();
    for config in &pool.job.discovery {
        if matches!(config, Discovery::Static(_)) {
            continue;
        }
        let same = before.iter().position(|source| source.config == *config);
        let source = match same {
            Some(at) => before.swap_remove(at),
            None => {
                let source = Arc::new(Source::new(config));
                begun.push(Arc::clone(&source));
                source
            }
        };
        pool.sources.push(source);
    }
    for source in before {
        source.stop();
    }
    begun
}

fn count(shared: &Shared, pools: &BTreeMap<PoolKey, Pool>) {
    let sum = |of: fn(&Pool) -> usize| {
        let sum: usize = pools.values().map(of).sum();
        i64::try_from(sum).unwrap_or(i64::MAX)
    };
    let metrics = &shared.tools.metrics;
    metrics.targets.set(sum(|pool| pool.active.len()));
    metrics.dropped.set(sum(|pool| pool.dropped_count));
    metrics.wrong.set(sum(|pool| pool.wrong_count));
}
