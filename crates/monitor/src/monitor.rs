//! The role as a whole: the open store, its upkeep, and the paths.

mod gauges;
mod moving;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::client::chain;
use base::health::{ComponentHandle, Health};
use base::http::{Policy, Routes};
use base::supervise::{BoxError, Criticality, Scope, Service, Supervisor};
use base::telemetry::Metrics;
use bucket::KeysError;
use signals::disk::RealDisk;
use signals::{Opened, Options, StoreError};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::api::{About, Api};
use crate::config::MonitorConfig;
use crate::objects;
use crate::receive::{Pushgateway, ReceiveConfig, Receiver};
use crate::remote::config::SignalsConfig;
use crate::remote::{self, Surroundings};
use crate::samples::{Samples, UseError};
use crate::scrape::config::PrometheusConfig;
use crate::scrape::{GivenPool, Scraper, Sources};
use gauges::{ObjectGauges, StoreGauges};

/// How often it is looked whether the log has to be begun anew, until when everything is refused.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Looks between two rounds of upkeep: half a minute.
const UPKEEP_LOOKS: u32 = 15;
/// How often a successor tries to open the store that its predecessor has.
const TAKING_INTERVAL: Duration = Duration::from_millis(50);
/// The same after an error that is more than that: somebody has to do something first.
const MENDING_INTERVAL: Duration = Duration::from_secs(5);
/// How long one that stops keeps the store open for those who have a connection to it: the answer
/// that they get tells them to open another.
const LINGER: Duration = Duration::from_millis(500);
/// The folder of the store in the data directory.
pub const FOLDER: &str = "signals";
/// That of pushed pages.
const PUSHED_FOLDER: &str = "pushed";

/// The role `monitor`.
#[derive(Debug)]
pub struct Monitor {
    samples: Samples,
    api: Api,
    receiver: Receiver,
    pushgateway: Pushgateway,
    scraper: Scraper,
}

/// What it is opened with.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The section of the configuration.
    pub config: &'a MonitorConfig,
    /// The section `signals`: other stores.
    pub signals: &'a SignalsConfig,
    /// The store is below it.
    pub data_dir: &'a Path,
    /// Whether another process has the store still, and will close it.
    pub is_replacement: bool,
    /// What is told of the program.
    pub about: About,
    /// Targets beside those of the configuration.
    pub given: watch::Receiver<Vec<GivenPool>>,
    /// For proxies and secrets.
    pub environment: BTreeMap<String, String>,
    /// The process's own metrics.
    pub metrics: &'a Metrics,
    /// Keeps the connections to the bucket and to other stores.
    pub supervisor: &'a Supervisor,
    /// Tells `/readyz`.
    pub health: &'a Health,
}

/// Who may use which paths.
pub struct Policies<'a> {
    /// Sends samples.
    pub write: &'a dyn Fn() -> Policy,
    /// Asks; gives each request a [`crate::viewer::Viewer`].
    pub read: &'a dyn Fn() -> Policy,
    /// Sees what is not of single series: targets, the configuration.
    pub read_all: &'a dyn Fn() -> Policy,
    /// Removes samples; gives each request a [`crate::viewer::Viewer`].
    pub delete: &'a dyn Fn() -> Policy,
}

impl fmt::Debug for Policies<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policies").finish_non_exhaustive()
    }
}

/// Why it cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store.
    #[error("the store of samples in {0}")]
    Store(String, #[source] StoreError),
    /// The thread that opened it.
    #[error("the store of samples")]
    Use(#[from] UseError),
    /// The file that queries are logged in.
    #[error("the log of queries (`monitor.queries.log`)")]
    Log(#[source] std::io::Error),
    /// The bucket.
    #[error("keys of the bucket (`monitor.objects`)")]
    Keys(#[source] KeysError),
}

/// Where the store is, and how it is opened.
#[derive(Debug, Clone)]
struct Place {
    folder: PathBuf,
    options: Options,
    samples: Samples,
}

impl Place {
    /// The store, open, or looked at as long as a predecessor has it.
    async fn begin(
        parts: &Parts<'_>,
        objects: Option<Arc<dyn signals::Objects>>,
    ) -> Result<Self, OpenError> {
        let place = Self {
            folder: parts.data_dir.join(FOLDER),
            options: parts.signals.adjust(parts.config.options(objects)),
            samples: Samples::default(),
        };
        if parts.is_replacement {
            place.probe().await?;
        } else {
            place.open().await?;
        }
        Ok(place)
    }

    /// Opens the store, reading what its log has.
    async fn open(&self) -> Result<(), OpenError> {
        let place = self.clone();
        let opening =
            tokio::task::spawn_blocking(move || place.samples.open(&place.folder, place.options));
        let shown = || self.folder.display().to_string();
        let opened = opening.await.map_err(UseError::from)?;
        let Opened { cut, replayed } = opened.map_err(|error| OpenError::Store(shown(), error))?;
        if let Some(cut) = cut {
            tracing::warn!(%cut, "a write that nobody was told of was cut off");
        }
        tracing::debug!(samples = replayed, "the log of samples has been read");
        Ok(())
    }

    /// Opens it as soon as the predecessor has closed it; false when the process stops before. The
    /// predecessor can't take it back, and the rest of the process serves: so a store that can't be
    /// opened is told of and tried again until somebody has repaired it.
    async fn take(&self, scope: &Scope, component: &ComponentHandle) -> bool {
        loop {
            let pause = match self.open().await {
                Ok(()) => return true,
                Err(OpenError::Store(_, StoreError::Locked(_))) => TAKING_INTERVAL,
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    let why = error
                        .source()
                        .map_or_else(|| error.to_string(), ToString::to_string);
                    tracing::error!(
                        error = why,
                        "the store of samples can't be opened; trying again"
                    );
                    component.degraded(format!("the store can't be opened: {why}"));
                    MENDING_INTERVAL
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = scope.stopping() => return false,
            }
        }
    }

    /// Whether the store that a predecessor has could be opened here; if not, it had better go on.
    async fn probe(&self) -> Result<(), OpenError> {
        let folder = self.folder.clone();
        let looking = tokio::task::spawn_blocking(move || signals::probe(&RealDisk::new(&folder)));
        let looked = looking.await.map_err(UseError::from)?;
        looked.map_err(|error| OpenError::Store(self.folder.display().to_string(), error))
    }
}

impl Monitor {
    /// Opens the store under the data directory; the services keep it and scrape. A successor opens it
    /// when its predecessor has closed it.
    pub async fn open(parts: Parts<'_>) -> Result<(Self, Vec<Service>), OpenError> {
        let Parts {
            config,
            is_replacement,
            metrics,
            ..
        } = parts;
        let bucket = config.objects.as_ref().map(|objects| {
            let runtime = (Handle::current(), parts.supervisor);
            objects::connect(objects, &parts.environment, runtime)
        });
        let bucket = bucket.transpose().map_err(OpenError::Keys)?;
        let objects = bucket
            .clone()
            .map(|bucket| bucket as Arc<dyn signals::Objects>);
        let place = Place::begin(&parts, objects).await?;
        let samples = place.samples.clone();
        let gauges = StoreGauges::new(metrics);
        let component = parts.health.component("samples");
        let environment = Arc::new(parts.environment.clone());
        let around = Surroundings {
            samples: &samples,
            data_dir: parts.data_dir,
            environment: &environment,
            supervisor: parts.supervisor,
            metrics,
        };
        let (sending, readers) = remote::open(parts.signals, &around);
        let api = Api::new(
            (samples.clone(), readers),
            config.queries.clone(),
            parts.about,
            metrics,
        );
        let api = api.map_err(OpenError::Log)?;
        let service = Service::new("samples", Criticality::Critical, move |scope| async move {
            if is_replacement && !place.take(&scope, &component).await {
                return Ok(());
            }
            run(&scope, &place.samples, &gauges, &component).await
        });
        let receiver = Receiver::new(samples.clone(), ReceiveConfig::default(), metrics);
        let sources = Sources {
            config: config.scrape.clone(),
            given: parts.given,
            environment: parts.environment,
        };
        let (scraper, scraping) = Scraper::open(sources, samples.clone(), metrics);
        let folder = parts.data_dir.join(PUSHED_FOLDER);
        let (pushgateway, pushing) = Pushgateway::new(&receiver, folder);
        let mut services = vec![service, pushing];
        services.extend(bucket.map(|bucket| {
            let parts = (
                ObjectGauges::new(metrics),
                parts.health.component("objects"),
            );
            moving::service(samples.clone(), bucket, parts)
        }));
        services.extend(scraping);
        services.extend(sending);
        let monitor = Self {
            samples,
            api,
            receiver,
            pushgateway,
            scraper,
        };
        Ok((monitor, services))
    }

    /// The store.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// Scrapes what another configuration says; nothing else can change in place.
    pub fn reload(&self, config: PrometheusConfig) {
        self.scraper.reload(config);
    }

    /// The paths that samples are sent to, asked at and deleted, and those of targets.
    pub fn routes(&self, policies: &Policies<'_>) -> Routes {
        self.receiver
            .routes(policies.write)
            .merge(self.pushgateway.routes(policies.write))
            .merge(self.receiver.read_routes(policies.read))
            .merge(self.scraper.routes(policies.read_all))
            .merge(self.api.routes(policies.read, policies.delete))
    }
}

/// What upkeep left of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Log {
    Open,
    /// A write failed meanwhile.
    Failed,
    /// It was to be begun anew, and has failed still or again.
    FailsAgain,
}

/// Waits for the next upkeep, which comes early when the log has to be begun anew; not when the last one
/// could not do it.
async fn until_due(samples: &Samples, log: Log) {
    for _ in 0..UPKEEP_LOOKS {
        tokio::time::sleep(LOOK_INTERVAL).await;
        if log != Log::FailsAgain && samples.has_failed() {
            return;
        }
    }
}

/// Does what is due, and puts on disk what scrapes brought, until the process stops.
async fn run(
    scope: &Scope,
    samples: &Samples,
    gauges: &StoreGauges,
    component: &ComponentHandle,
) -> Result<(), BoxError> {
    tokio::select! {
        kept = keep(scope, samples, gauges, component) => kept,
        never = samples.keep_synced() => match never {},
    }
}

/// Does what is due until the process stops, and closes the store.
async fn keep(
    scope: &Scope,
    samples: &Samples,
    gauges: &StoreGauges,
    component: &ComponentHandle,
) -> Result<(), BoxError> {
    loop {
        let working = samples.run(|store, now| {
            let had_failed = store.has_failed();
            let upkeep = store.maintain(now);
            let log = match (had_failed, store.has_failed()) {
                (_, false) => Log::Open,
                (false, true) => Log::Failed,
                (true, true) => Log::FailsAgain,
            };
            (upkeep, store.sizes(), store.is_full(), log)
        });
        let mut working = std::pin::pin!(working);
        let done = tokio::select! {
            done = &mut working => done,
            () = scope.stopping() => {
                samples.stop();
                working.await
            }
        };
        let (upkeep, statistics, is_full, log) = done?;
        gauges.set(&statistics);
        match upkeep {
            Err(StoreError::Stopped) => break,
            Err(error) => {
                let error = chain(&error);
                tracing::error!(error, "the upkeep of the store of samples failed");
                component.degraded(error);
            }
            Ok(_) if log != Log::Open => {
                component
                    .degraded("writing the log failed: samples are refused until it begins anew");
            }
            Ok(_) if is_full => {
                let text = "the disk is nearly full: samples are refused until there is room";
                component.degraded(text);
            }
            Ok(_) => component.ok(),
        }
        tokio::select! {
            () = until_due(samples, log) => {}
            () = scope.stopping() => break,
        }
    }
    tokio::time::sleep(LINGER).await;
    samples.close().await?;
    Ok(())
}
