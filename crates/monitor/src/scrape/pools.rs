//! The targets of each job as they should be, against those that are scraped: what is new begins,
//! what stays goes on undisturbed, what is gone ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::client::Dial;
use url::Url;

use super::active::{Active, Settings};
use super::config::{Discovery, JobConfig};
use super::discovery::Source;
use super::given::GivenPool;
use super::http::{HttpClient, Way};
use super::relabel::LabelSet;
use super::target::{ADDRESS, Made, Target, make, with_defaults};

/// Dropped targets of a pool that are kept to be shown.
const DROPPED_MAX: usize = 10_000;
/// Targets of a pool.
const TARGETS_MAX: usize = 100_000;
/// Wrong targets of a pool that are told one by one.
const WRONG_TOLD_MAX: usize = 10;

/// Whose targets they are: the configuration's, or the program's own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PoolKey {
    pub(crate) is_given: bool,
    pub(crate) job: String,
}

/// The targets of one job.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) job: Arc<JobConfig>,
    client: Arc<HttpClient>,
    /// The clients of other ways, as long as there is a target on them.
    ways: Vec<(Arc<dyn Dial>, Arc<HttpClient>)>,
    /// Where targets come from.
    pub(crate) sources: Vec<Arc<Source>>,
    pub(crate) active: BTreeMap<Target, Arc<Active>>,
    /// What the rules drop.
    pub(crate) dropped: Vec<Arc<LabelSet>>,
    pub(crate) dropped_count: usize,
    /// What was found and can't be a target, with the reason.
    pub(crate) wrong: Vec<String>,
    pub(crate) wrong_count: usize,
    /// Targets whose ends are not marked yet.
    leaving: Vec<Arc<Active>>,
    /// No configuration names it any more.
    pub(crate) is_gone: bool,
}

/// A target that was found.
#[derive(Debug)]
struct Found {
    labels: LabelSet,
    /// Its own way, for one that the program handed over.
    way: Option<Arc<dyn Dial>>,
}

/// The targets that should be, with the labels that they were found with, and their own ways.
type Wanted = BTreeMap<Target, (Arc<LabelSet>, Option<Arc<dyn Dial>>)>;

/// The client of a way.
fn client_of(
    ways: &[(Arc<dyn Dial>, Arc<HttpClient>)],
    way: &Arc<dyn Dial>,
) -> Option<Arc<HttpClient>> {
    let mut ways = ways.iter();
    let found = ways.find(|(own, _)| Arc::ptr_eq(own, way));
    found.map(|(_, client)| Arc::clone(client))
}

/// Makes clients.
pub(crate) type MakeClient<'a> = &'a dyn Fn(&JobConfig, &Way) -> Arc<HttpClient>;

impl Pool {
    pub(crate) fn new(job: Arc<JobConfig>, make_client: MakeClient<'_>) -> Self {
        Self {
            client: make_client(&job, &Way::Direct),
            job,
            ways: Vec::new(),
            sources: Vec::new(),
            active: BTreeMap::new(),
            dropped: Vec::new(),
            dropped_count: 0,
            wrong: Vec::new(),
            wrong_count: 0,
            leaving: Vec::new(),
            is_gone: false,
        }
    }

    /// Another configuration of the same job.
    pub(crate) fn follow(&mut self, job: &Arc<JobConfig>, make_client: MakeClient<'_>) {
        self.is_gone = false;
        if self.job == *job {
            return;
        }
        if self.job.http != job.http {
            self.client = make_client(job, &Way::Direct);
            self.ways.clear();
        }
        self.job = Arc::clone(job);
    }

    /// Compares with what is found now; gives the targets that are to be begun.
    pub(crate) fn refresh(&mut self) -> Vec<Arc<Active>> {
        let mut found = Vec::new();
        for discovery in &self.job.discovery {
            if let Discovery::Static(groups) = discovery {
                let all = groups.iter().flat_map(|group| {
                    let with_address = |address: &String| {
                        let mut labels = group.labels.clone();
                        labels.insert(ADDRESS.to_owned(), address.clone());
                        Found { labels, way: None }
                    };
                    group.targets.iter().map(with_address)
                });
                found.extend(all);
            }
        }
        for source in &self.sources {
            let all = source.targets();
            let all = all.iter().cloned();
            found.extend(all.map(|labels| Found { labels, way: None }));
        }
        self.settle(found)
    }

    /// As [`Pool::refresh`], for what the program hands over.
    pub(crate) fn refresh_given(
        &mut self,
        given: &GivenPool,
        make_client: MakeClient<'_>,
    ) -> Vec<Arc<Active>> {
        let found = given.targets.iter().map(|target| {
            let mut labels = target.labels.clone();
            labels.insert(ADDRESS.to_owned(), target.address.clone());
            labels.insert("__metrics_path__".to_owned(), target.path.clone());
            let way = target.dial.clone();
            Found { labels, way }
        });
        let found: Vec<Found> = found.collect();
        let before = std::mem::take(&mut self.ways);
        for way in found.iter().filter_map(|found| found.way.as_ref()) {
            if client_of(&self.ways, way).is_none() {
                let client = client_of(&before, way)
                    .unwrap_or_else(|| make_client(&self.job, &Way::Through(Arc::clone(way))));
                self.ways.push((Arc::clone(way), client));
            }
        }
        self.settle(found)
    }

    /// Ends all targets.
    pub(crate) fn clear(&mut self) {
        self.is_gone = true;
        for source in self.sources.drain(..) {
            source.stop();
        }
        for (_, active) in std::mem::take(&mut self.active) {
            active.leave();
            self.leaving.push(active);
        }
        self.prune();
    }

    /// Whether nothing of it is left.
    pub(crate) fn is_over(&mut self) -> bool {
        self.prune();
        self.active.is_empty() && self.leaving.is_empty()
    }

    fn prune(&mut self) {
        self.leaving.retain(|active| !active.is_over());
    }

    fn settle(&mut self, found: Vec<Found>) -> Vec<Arc<Active>> {
        self.prune();
        let wanted = self.wanted(found);
        let forced_error = self.forced_error(wanted.len());
        let mut before = std::mem::take(&mut self.active);
        let mut begun = Vec::new();
        let mut fresh = Vec::new();
        for (target, (discovered, way)) in wanted {
            let kept = before.remove(&target);
            let own = way.as_ref().and_then(|way| client_of(&self.ways, way));
            let settings = Settings {
                job: Arc::clone(&self.job),
                client: own.unwrap_or_else(|| Arc::clone(&self.client)),
                forced_error: forced_error.clone(),
            };
            match kept {
                Some(active) => {
                    active.update(discovered, settings);
                    self.active.insert(target, active);
                }
                None => fresh.push((target, discovered, settings)),
            }
        }
        // What is left of `before` leaves, unless something new has its series.
        for (target, discovered, settings) in fresh {
            let same = |active: &&Arc<Active>| active.target.labels == target.labels;
            let former = before
                .values()
                .find(same)
                .or_else(|| self.leaving.iter().find(same));
            let Ok(url) = Url::parse(&target.url) else {
                continue;
            };
            let former = former.map(|active| &**active);
            let active = Active::new(target.clone(), url, (discovered, settings), former);
            let active = Arc::new(active);
            self.active.insert(target, Arc::clone(&active));
            begun.push(active);
        }
        for active in before.into_values() {
            active.leave();
            self.leaving.push(active);
        }
        begun
    }

    /// The targets that were found, each once.
    fn wanted(&mut self, found: Vec<Found>) -> Wanted {
        let mut wanted = BTreeMap::new();
        self.dropped.clear();
        self.wrong.clear();
        (self.dropped_count, self.wrong_count) = (0, 0);
        let dropped_max = match usize::try_from(self.job.limits.keep_dropped_targets) {
            Ok(0) | Err(_) => DROPPED_MAX,
            Ok(limit) => limit.min(DROPPED_MAX),
        };
        let too_many = found.len().saturating_sub(TARGETS_MAX);
        if too_many > 0 {
            self.tell_wrong(
                &format!("{too_many} more than {TARGETS_MAX} targets"),
                too_many,
            );
        }
        for found in found.into_iter().take(TARGETS_MAX) {
            let discovered = Arc::new(with_defaults(found.labels, &self.job));
            match make(&discovered, &self.job) {
                Ok(Made::Target(target)) => {
                    wanted.entry(target).or_insert((discovered, found.way));
                }
                Ok(Made::Dropped) => {
                    self.dropped_count += 1;
                    if self.dropped.len() < dropped_max {
                        self.dropped.push(discovered);
                    }
                }
                Err(reason) => self.tell_wrong(&reason, 1),
            }
        }
        wanted
    }

    fn tell_wrong(&mut self, reason: &str, count: usize) {
        self.wrong_count += count;
        if self.wrong.len() < WRONG_TOLD_MAX {
            self.wrong.push(reason.to_owned());
        }
    }

    fn forced_error(&self, count: usize) -> Option<Arc<str>> {
        let limit = self.job.limits.targets;
        (limit > 0 && count as u64 > limit).then(|| {
            let reason = format!("target_limit exceeded: {count} targets, and {limit} are allowed");
            Arc::from(reason)
        })
    }
}
