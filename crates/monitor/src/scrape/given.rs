//! Targets that the program hands over beside its configuration: pages of nodes, the gateway's
//! clusters, itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::client::Dial;

use super::config::{Global, JobConfig};

/// Targets of one name.
#[derive(Debug, Clone)]
pub struct GivenPool {
    /// The label `job` of their series.
    pub job: String,
    /// How often they are scraped.
    pub interval: Duration,
    /// How long a scrape may take.
    pub timeout: Duration,
    /// Their pages' labels win over theirs.
    pub honor_labels: bool,
    /// The targets.
    pub targets: Vec<GivenTarget>,
}

/// One target.
#[derive(Debug, Clone)]
pub struct GivenTarget {
    /// Host and port, as the other end of the way knows them; the label `instance` unless it is among
    /// the labels.
    pub address: String,
    /// The path of the page.
    pub path: String,
    /// Labels of its series.
    pub labels: BTreeMap<String, String>,
    /// The way to it; sockets of this machine without one.
    pub dial: Option<Arc<dyn Dial>>,
}

impl GivenPool {
    /// The job that a configuration would say instead.
    pub(crate) fn job(&self) -> JobConfig {
        let global = Global {
            scrape_interval: self.interval,
            scrape_timeout: self.timeout.min(self.interval),
            ..Global::default()
        };
        let mut job = JobConfig::plain(&self.job, &global);
        job.honor_labels = self.honor_labels;
        job
    }
}
