//! One scrape: the parts of a target's page side by side, one new login when the session turns out
//! to be over, and one page out of all of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::client::read_body;
use base::clock;
use bytes::Bytes;
use futures_util::future::join_all;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use wire::exposition::{Format, Limits, Page, Shape, merge};

use super::auth::{Credential, uri};
use super::config::{Convert, HealthRule, PartConfig, TargetConfig};
use super::failure::{Failure, FailureKind};
use super::session::{Lease, Session};
use super::target::{PartState, Standing, Target};
use super::whatsapp::{self, HEALTH_HELP, HEALTH_METRIC, Health};

/// The largest health page.
const HEALTH_BYTES_MAX: u64 = 1 << 20;
/// The longest word of a node about why it has no page.
const REASON_BYTES_MAX: u64 = 2 << 10;
/// How long it may take.
const REASON_LIMIT: Duration = Duration::from_millis(500);
/// What is kept of the deadline for joining and sending the page.
const FINISH_SHARE: f64 = 0.05;
/// Nonces that one scrape takes up because the target calls the last one stale: with nonces for
/// one request each, parts that are fetched side by side take some rounds.
const RENEWALS_MAX: usize = 4;
const ACCEPT_TEXT: &str = "text/plain;version=0.0.4;q=1,*/*;q=0.1";
const ACCEPT_OPENMETRICS: &str =
    "application/openmetrics-text;version=1.0.0;q=1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
const AGENT: &str = concat!("Landline/", env!("CARGO_PKG_VERSION"));

/// A page for the scraper.
#[derive(Debug)]
pub(crate) struct Scraped {
    /// Its format.
    pub(crate) format: Format,
    /// Its bytes, in order; slices of what the target sent wherever nothing had to change.
    pub(crate) chunks: Vec<Bytes>,
}

/// What came of one request.
enum Fetched<T> {
    Good(T),
    SessionOver(Refusal),
    Failed(Failure),
}

impl<T> Fetched<T> {
    fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::SessionOver(refusal) => Some(refusal),
            Self::Good(_) | Self::Failed(_) => None,
        }
    }

    fn take_next(&mut self) -> Option<Credential> {
        match self {
            Self::SessionOver(refusal) => refusal.next.take(),
            Self::Good(_) | Self::Failed(_) => None,
        }
    }
}

/// An answer that says that the session is over.
struct Refusal {
    status: StatusCode,
    /// The credential to try next, when the answer brings it.
    next: Option<Credential>,
}

/// Fetches and joins a target's page before `deadline`.
///
/// # Errors
/// The reason for the scraper; the target's standing has it too.
pub(crate) async fn scrape(
    target: &Arc<Target>,
    wanted: Format,
    deadline: Instant,
) -> Result<Scraped, Failure> {
    let result = scrape_within(target, wanted, deadline).await;
    match &result {
        Ok((_, standing)) => target.set_standing(standing.clone()),
        Err(failure) if failure.kind == FailureKind::Busy => {}
        Err(failure) => {
            let health = target.standing().health;
            target.set_standing(Standing {
                failure: Some(failure.clone()),
                health,
                ..Standing::default()
            });
        }
    }
    result.map(|(scraped, _)| scraped)
}

async fn scrape_within(
    target: &Arc<Target>,
    wanted: Format,
    deadline: Instant,
) -> Result<(Scraped, Standing), Failure> {
    let session = target.session()?;
    let waited = tokio::time::timeout_at(deadline.into(), target.slots.acquire()).await;
    let Ok(Ok(_slot)) = waited else {
        let at_once = target.config().limits.concurrency;
        let reason = format!("{at_once} scrapes of this target were under way all the time");
        return Err(Failure::new(FailureKind::Busy, reason));
    };
    let left = deadline.saturating_duration_since(clock::now());
    let deadline = deadline
        .checked_sub(left.mul_f64(FINISH_SHARE))
        .unwrap_or(deadline);
    let mut lease = session.lease(deadline).await?;
    let fetching = Fetching {
        target,
        session,
        wanted,
        deadline,
    };
    let mut parts = fetching.all(&lease).await;
    let config = target.config();
    let mut renewals = 0;
    while fetching.may_renew(&parts, &lease, renewals) {
        lease = session
            .renew(&lease, parts.next_credential(), deadline)
            .await?;
        fetching.again(&mut parts, &lease).await;
        renewals += 1;
    }
    if let Some(status) = parts.required_over(config) {
        return Err(if parts.is_stale() {
            // Nobody said that the credential is wrong, so nobody has to wait.
            Failure::new(
                FailureKind::Degraded,
                "the target calls each new nonce stale",
            )
        } else {
            fetching.refused(&lease, status)
        });
    }
    if parts.session_over() {
        session.keep_partial(&lease);
    }
    if let Some(failure) = parts.asked_to_wait(config) {
        return Err(session.refused(&lease, failure));
    }
    session.accepted();
    fetching.join(parts)
}

struct Parts {
    pages: Vec<Fetched<PartPage>>,
    health: Option<Fetched<Option<Health>>>,
}

/// What a part sent.
enum PartPage {
    /// A page, and its age when it is not of this scrape.
    Read(Page, Option<Duration>),
    /// A page of the shape of the last one, of a target whose one page goes out as it came.
    Known(Format, Bytes),
}

impl Parts {
    /// Whether any answer says that the session is over.
    fn session_over(&self) -> bool {
        self.refusals().next().is_some()
    }

    /// Whether all such answers say that only the nonce is too old.
    fn is_stale(&self) -> bool {
        let mut refusals = self.refusals().peekable();
        let is_stale = |next: &Credential| next.is_stale();
        refusals.peek().is_some() && refusals.all(|one| one.next.as_ref().is_some_and(is_stale))
    }

    fn refusals(&self) -> impl Iterator<Item = &Refusal> {
        let pages = self.pages.iter().filter_map(Fetched::refusal);
        pages.chain(self.health.as_ref().and_then(Fetched::refusal))
    }

    /// The status of the first such answer for a part that the page can't do without.
    fn required_over(&self, config: &TargetConfig) -> Option<StatusCode> {
        let mut parts = self.pages.iter().zip(&config.parts);
        parts.find_map(|(page, part)| match page {
            Fetched::SessionOver(refusal) if is_required(part) => Some(refusal.status),
            Fetched::SessionOver(_) | Fetched::Good(_) | Fetched::Failed(_) => None,
        })
    }

    /// A credential that a refusal brought along.
    fn next_credential(&mut self) -> Option<Credential> {
        let of_page = self.pages.iter_mut().find_map(Fetched::take_next);
        of_page.or_else(|| self.health.as_mut().and_then(Fetched::take_next))
    }

    /// The failure of a target that says when to come back.
    fn asked_to_wait(&self, config: &TargetConfig) -> Option<Failure> {
        let mut parts = self.pages.iter().zip(&config.parts);
        parts.find_map(|(page, part)| match page {
            Fetched::Failed(failure) if failure.kind == FailureKind::RateLimited => {
                is_required(part).then(|| failure.clone())
            }
            Fetched::SessionOver(_) | Fetched::Good(_) | Fetched::Failed(_) => None,
        })
    }
}

/// The page can't go out without this part.
fn is_required(part: &PartConfig) -> bool {
    !part.optional && part.cache_ttl.is_none()
}

struct Fetching<'a> {
    target: &'a Arc<Target>,
    session: &'a Arc<Session>,
    wanted: Format,
    deadline: Instant,
}

impl Fetching<'_> {
    async fn all(&self, lease: &Lease) -> Parts {
        let config = self.target.config();
        // The usual target has one page and needs no joining of futures.
        if let ([_], None) = (config.parts.as_slice(), &config.health) {
            return Parts {
                pages: vec![self.part(0, lease).await],
                health: None,
            };
        }
        let pages = join_all((0..config.parts.len()).map(|index| self.part(index, lease)));
        let health = async {
            match &config.health {
                Some(_) => Some(self.health(lease).await),
                None => None,
            }
        };
        let (pages, health) = futures_util::future::join(pages, health).await;
        Parts { pages, health }
    }

    /// Whether another credential may help: once, unless this one was new already; with each
    /// answer that calls a nonce stale, because that says that user and password are right.
    fn may_renew(&self, parts: &Parts, lease: &Lease, renewals: usize) -> bool {
        if parts.is_stale() {
            return renewals < RENEWALS_MAX;
        }
        let is_known = lease.is_fresh || self.session.is_partial(lease);
        parts.session_over() && !is_known
    }

    /// Fetches once more what the old session was refused for.
    async fn again(&self, parts: &mut Parts, lease: &Lease) {
        for (index, page) in parts.pages.iter_mut().enumerate() {
            if matches!(page, Fetched::SessionOver(_)) {
                *page = self.part(index, lease).await;
            }
        }
        if matches!(parts.health, Some(Fetched::SessionOver(_))) {
            parts.health = Some(self.health(lease).await);
        }
    }

    fn refused(&self, lease: &Lease, status: StatusCode) -> Failure {
        let again = if lease.credential.is_some() {
            " after a new login"
        } else {
            ""
        };
        let reason = format!("the target refused the credential{again}: it answered {status}");
        self.session
            .refused(lease, Failure::new(FailureKind::Refused, reason))
    }

    async fn part(&self, index: usize, lease: &Lease) -> Fetched<PartPage> {
        let (Some(part), Some(state)) = (
            self.target.config().parts.get(index),
            self.target.parts.get(index),
        ) else {
            return Fetched::Failed(Failure::new(FailureKind::Degraded, "no such part"));
        };
        let started = clock::now();
        if let Some(every) = part.every
            && let Some((page, age)) = state.last_within(every, started)
        {
            return Fetched::Good(PartPage::Read(page, Some(age)));
        }
        let fetched = self.page(part, state, lease).await;
        let now = clock::now();
        state
            .durations
            .observe(now.saturating_duration_since(started).as_secs_f64());
        match &fetched {
            Fetched::Good(PartPage::Read(page, _)) => {
                if part.every.is_some() || part.cache_ttl.is_some() {
                    state.keep(page, now);
                }
            }
            Fetched::Failed(failure) => {
                let metrics = &self.target.metrics;
                metrics.part_failed(&part.name, failure.kind.word());
            }
            Fetched::Good(PartPage::Known(..)) | Fetched::SessionOver(_) => {}
        }
        fetched
    }

    fn over<T>(&self, head: &http::response::Parts) -> Fetched<T> {
        let next = self.session.scheme().credential_of_refusal(&head.headers);
        Fetched::SessionOver(Refusal {
            status: head.status,
            next,
        })
    }

    /// Sends a signed GET.
    async fn get(
        &self,
        what: &str,
        url: &url::Url,
        accept: &'static str,
        lease: &Lease,
    ) -> Result<http::Response<base::client::Body>, Failure> {
        let mut request = Request::get(uri(url)?)
            .header(ACCEPT, HeaderValue::from_static(accept))
            .header(USER_AGENT, HeaderValue::from_static(AGENT))
            .body(Full::new(Bytes::new()))
            .map_err(|error| Failure::new(FailureKind::Degraded, error.to_string()))?;
        self.session
            .scheme()
            .sign(&mut request, url, lease.credential.as_deref())?;
        let answer = self.target.client.send(request, self.deadline).await;
        answer.map_err(|error| Failure::of_client(what, &error))
    }

    async fn page(&self, part: &PartConfig, state: &PartState, lease: &Lease) -> Fetched<PartPage> {
        let what = format!("part {}", part.name);
        let is_single = self.target.config().parts.len() == 1;
        let accept = match self.wanted {
            Format::OpenMetrics if is_single => ACCEPT_OPENMETRICS,
            Format::OpenMetrics | Format::Text => ACCEPT_TEXT,
        };
        let response = match self.get(&what, &part.url, accept, lease).await {
            Ok(response) => response,
            Err(failure) => return Fetched::Failed(failure),
        };
        let (head, body) = response.into_parts();
        if self.session.rules().ends_session(head.status) {
            return self.over(&head);
        }
        if head.status != StatusCode::OK {
            let failure = Failure::of_status(&what, head.status, &head.headers);
            return Fetched::Failed(self.explained(failure, body).await);
        }
        let body = match read_body(body, self.target.config().limits.body, self.deadline).await {
            Ok(body) => body,
            Err(error) => return Fetched::Failed(Failure::of_client(&what, &error)),
        };
        self.target.metrics.read_bytes(body.len());
        let content_type = head
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        match self.read(part, state, body, content_type) {
            Ok(page) => Fetched::Good(page),
            Err(error) => {
                let shown: String = content_type.unwrap_or("none").chars().take(60).collect();
                let reason = format!("{what}: not a metrics page (content type {shown}): {error}");
                Fetched::Failed(Failure::new(FailureKind::Degraded, reason))
            }
        }
    }

    /// With the first line of what a node of ours says about it. Those who scrape get it, and what other
    /// servers say might be anything.
    async fn explained(&self, mut failure: Failure, body: base::client::Body) -> Failure {
        let deadline = self.deadline.min(clock::now() + REASON_LIMIT);
        if self.target.config().is_of_node
            && let Ok(text) = read_body(body, REASON_BYTES_MAX, deadline).await
            && let Ok(text) = str::from_utf8(&text)
        {
            let line = text.trim().lines().next().unwrap_or_default();
            let line: String = line.chars().filter(|c| !c.is_control()).collect();
            failure.reason = format!("{}: {line}", failure.reason);
        }
        failure
    }

    /// The page in a body, not read again when only its values are new.
    fn read(
        &self,
        part: &PartConfig,
        state: &PartState,
        body: Bytes,
        content_type: Option<&str>,
    ) -> Result<PartPage, String> {
        if part.convert == Convert::JsonMap {
            let page = wire::json_metrics::parse(&body).map_err(|error| error.to_string())?;
            return Ok(PartPage::Read(page, None));
        }
        let format = Format::from_content_type(content_type.unwrap_or_default());
        if state
            .shape()
            .is_some_and(|shape| shape.matches(&body, format))
        {
            return Ok(PartPage::Known(format, body));
        }
        let page =
            Page::parse(body, format, Limits::default()).map_err(|error| error.to_string())?;
        if self.target.is_verbatim() {
            state.keep_shape(Shape::of(&page));
        }
        Ok(PartPage::Read(page, None))
    }

    async fn health(&self, lease: &Lease) -> Fetched<Option<Health>> {
        let Some(config) = &self.target.config().health else {
            return Fetched::Good(None);
        };
        let response = match self
            .get("health", &config.url, "application/json", lease)
            .await
        {
            Ok(response) => response,
            Err(failure) => return Fetched::Failed(failure),
        };
        let (head, body) = response.into_parts();
        if self.session.rules().ends_session(head.status) {
            return self.over(&head);
        }
        if config.rule == HealthRule::Status {
            let is_well = head.status == StatusCode::OK;
            let nodes = vec![("health".to_owned(), format!("answered {}", head.status))];
            return Fetched::Good(Some(Health { is_well, nodes }));
        }
        if head.status != StatusCode::OK {
            return Fetched::Failed(Failure::of_status("health", head.status, &head.headers));
        }
        match read_body(body, HEALTH_BYTES_MAX, self.deadline).await {
            Ok(body) => match whatsapp::read_health(&body) {
                Some(health) => Fetched::Good(Some(health)),
                None => Fetched::Failed(Failure::new(
                    FailureKind::Degraded,
                    "health: not the known form",
                )),
            },
            Err(error) => Fetched::Failed(Failure::of_client("health", &error)),
        }
    }

    /// One page out of the parts, and how it stands.
    fn join(&self, mut parts: Parts) -> Result<(Scraped, Standing), Failure> {
        if let [Fetched::Good(PartPage::Known(format, body))] = parts.pages.as_mut_slice() {
            let scraped = Scraped {
                format: *format,
                chunks: vec![std::mem::take(body)],
            };
            return Ok((scraped, Standing::default()));
        }
        let config = self.target.config();
        let mut collected = self.collect(parts.pages)?;
        let health = match parts.health {
            Some(Fetched::Good(health)) => health,
            Some(Fetched::Failed(failure)) => {
                let nodes = vec![("health".to_owned(), failure.reason)];
                Some(Health {
                    is_well: false,
                    nodes,
                })
            }
            Some(Fetched::SessionOver(refusal)) => {
                let nodes = vec![("health".to_owned(), format!("answered {}", refusal.status))];
                Some(Health {
                    is_well: false,
                    nodes,
                })
            }
            None => None,
        };
        let is_single = config.parts.len() == 1 && health.is_none();
        let format = match (is_single, collected.pages.first()) {
            (true, Some(page)) => page.format(),
            _ => self.wanted,
        };
        let pages = &mut collected.pages;
        let mut page = match pages.pop() {
            Some(page) if pages.is_empty() => page,
            last => {
                pages.extend(last);
                merge(pages.drain(..).map(|page| page.convert(format)).collect())
            }
        };
        if let Some(health) = &health {
            self.push_health(&mut page, health);
        }
        collected.push_gauges(&mut page, config);
        let parts = collected.missing;
        let standing = Standing {
            parts,
            health,
            ..Standing::default()
        };
        Ok((
            Scraped {
                format,
                chunks: page.render(format),
            },
            standing,
        ))
    }

    /// The pages of the parts, fetched or kept; fails when a part is missing that must be there.
    fn collect(&self, fetched: Vec<Fetched<PartPage>>) -> Result<Collected, Failure> {
        let now = clock::now();
        let mut collected = Collected::default();
        let parts = self.target.config().parts.iter().zip(&self.target.parts);
        for ((part, state), fetched) in parts.zip(fetched) {
            let failure = match fetched {
                Fetched::Good(PartPage::Read(page, age)) => {
                    collected.pages.push(page);
                    collected.up.push(1.0);
                    collected.ages.push(age.unwrap_or_default().as_secs_f64());
                    continue;
                }
                // Only a target with a single page has these, and `join` has sent it on.
                Fetched::Good(PartPage::Known(..)) => {
                    Failure::new(FailureKind::Degraded, "a page that was not read")
                }
                Fetched::SessionOver(refusal) => {
                    let reason = format!("part {} answered {}", part.name, refusal.status);
                    Failure::new(FailureKind::Refused, reason)
                }
                Fetched::Failed(failure) => failure,
            };
            let stale = part.cache_ttl.and_then(|ttl| state.last_within(ttl, now));
            if stale.is_none() && !part.optional {
                return Err(failure);
            }
            collected.missing.push((part.name.clone(), failure.reason));
            collected.up.push(0.0);
            let age = stale.as_ref().map(|(_, age)| *age).unwrap_or_default();
            collected.ages.push(age.as_secs_f64());
            collected.pages.extend(stale.map(|(page, _)| page));
        }
        Ok(collected)
    }

    fn push_health(&self, page: &mut Page, health: &Health) {
        let config = self.target.config();
        let value = f64::from(u8::from(health.is_well));
        if !self.target.is_whatsapp() {
            let labels: [(&str, &str); 0] = [];
            page.push_gauge(
                "gateway_health",
                "Whether the target says that it is well",
                &[(labels, value)],
            );
            return;
        }
        let customer = config.labels.get("customer").unwrap_or(&config.name);
        let name = config
            .labels
            .get("customer_name")
            .map_or("", String::as_str);
        let labels = [("customer", customer.as_str()), ("customer_name", name)];
        page.push_gauge(HEALTH_METRIC, HEALTH_HELP, &[(labels, value)]);
    }
}

/// What the parts gave, each list in their order.
#[derive(Default)]
struct Collected {
    pages: Vec<Page>,
    up: Vec<f64>,
    ages: Vec<f64>,
    missing: Vec<(String, String)>,
}

impl Collected {
    /// Says of every part whether it was fetched, and of those that may be older how old.
    fn push_gauges(&self, page: &mut Page, config: &TargetConfig) {
        let names = config
            .parts
            .iter()
            .map(|part| [("part", part.name.as_str())]);
        let up: Vec<_> = names.zip(self.up.iter().copied()).collect();
        if config.parts.len() > 1 {
            let help = "Whether this part of the page was fetched";
            page.push_gauge("gateway_part_up", help, &up);
        }
        let may_be_old = |part: &PartConfig| part.every.is_some() || part.cache_ttl.is_some();
        let ages: Vec<_> = config
            .parts
            .iter()
            .zip(&self.ages)
            .filter(|(part, _)| may_be_old(part))
            .map(|(part, age)| ([("part", part.name.as_str())], *age))
            .collect();
        if !ages.is_empty() {
            let help = "Age of a part that is not of this scrape";
            page.push_gauge("gateway_part_age_seconds", help, &ages);
        }
    }
}
