//! The one state machine of every login: a credential that is held, being fetched, or waited for.
//!
//! ```text
//!            login ok                        refused by the target, twice
//!   idle ───────────────▶ held ─────────────────────────────▶ waiting
//!     ▲                    │ near its end: replaced beside        │
//!     └────────────────────┴──────── back-off is over ◀───────────┘
//! ```
//!
//! Schemes only say how to obtain a credential and how to put it on a request. A login runs as a
//! task of its own: the scrape that caused it may give up, the next one finds its result.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base::clock;
use base::retry::Backoff;
use base::single_flight::SingleFlight;
use base::supervise::Supervisor;

use super::auth::{Credential, LoginContext, Obtained, Scheme};
use super::config::SessionRules;
use super::failure::{Failure, FailureKind};
use super::metrics::TargetMetrics;

/// Waits after failures.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    ceiling: Duration::from_mins(15),
};
/// The longest login.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);
/// A credential that the target refuses right after its login counts as this many failures, so
/// that logins that work and help nothing get rare quickly.
const REFUSAL_WEIGHT: u32 = 2;

/// The session of one target with one credential.
#[derive(Debug)]
pub(crate) struct Session {
    scheme: Scheme,
    rules: SessionRules,
    context: LoginContext,
    supervisor: Supervisor,
    metrics: TargetMetrics,
    flight: SingleFlight<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The generation with which optional parts were refused though a login had just worked.
    partial: Option<u64>,
    held: Option<Held>,
    generation: u64,
    failures: u32,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    failure: Failure,
    until: Instant,
    /// The target itself refused: a credential that is still held doesn't help.
    is_total: bool,
}

#[derive(Debug, Clone)]
struct Held {
    credential: Arc<Credential>,
    generation: u64,
    obtained_at: Instant,
    refresh_at: Instant,
    expires_at: Instant,
}

/// A credential for one scrape.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    /// What goes on the requests; `None` when the scheme needs no login.
    pub(crate) credential: Option<Arc<Credential>>,
    generation: u64,
    /// It was obtained for this scrape, so a refusal is not cured by one more login.
    pub(crate) is_fresh: bool,
}

/// How a session stands, for people and metrics.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionView {
    /// Until the credential that is held expires.
    pub(crate) expires_in: Option<Duration>,
    /// Since it was obtained.
    pub(crate) age: Option<Duration>,
    /// Until the next login may be tried.
    pub(crate) wait: Option<Duration>,
}

impl Session {
    /// A session without a credential yet.
    pub(crate) fn new(
        scheme: Scheme,
        rules: SessionRules,
        context: LoginContext,
        supervisor: Supervisor,
        metrics: TargetMetrics,
    ) -> Arc<Self> {
        let (flight, state) = (SingleFlight::new(), Mutex::default());
        Arc::new(Self {
            scheme,
            rules,
            context,
            supervisor,
            metrics,
            flight,
            state,
        })
    }

    /// How requests are signed.
    pub(crate) fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// When a session is over.
    pub(crate) fn rules(&self) -> &SessionRules {
        &self.rules
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A credential that may be used now; logs in when there is none, together with all who wait.
    ///
    /// # Errors
    /// The login failed, the session is in its back-off, or `deadline` passed.
    pub(crate) async fn lease(self: &Arc<Self>, deadline: Instant) -> Result<Lease, Failure> {
        if let Some(found) = self.lease_at_hand(clock::now()) {
            return found;
        }
        self.log_in(deadline).await
    }

    /// A credential other than the one of `lease`, which the target refused: `next`, when the
    /// refusal brought one, or what a new login gives.
    ///
    /// # Errors
    /// As [`Self::lease`].
    pub(crate) async fn renew(
        self: &Arc<Self>,
        lease: &Lease,
        next: Option<Credential>,
        deadline: Instant,
    ) -> Result<Lease, Failure> {
        let is_held = {
            let mut state = self.state();
            let is_held = state
                .held
                .as_ref()
                .is_some_and(|held| held.generation == lease.generation);
            if is_held {
                state.held = None;
            }
            is_held
        };
        if let Some(credential) = next.filter(|_| is_held) {
            self.keep(Ok(Obtained {
                credential,
                life: None,
            }));
        }
        self.lease(deadline).await.map(|lease| Lease {
            is_fresh: true,
            ..lease
        })
    }

    fn lease_at_hand(self: &Arc<Self>, now: Instant) -> Option<Result<Lease, Failure>> {
        let mut is_due = false;
        let found = {
            let state = self.state();
            let waiting = state.waiting.as_ref().filter(|waiting| waiting.until > now);
            let held = state.held.as_ref().filter(|held| held.expires_at > now);
            match (held, waiting) {
                (Some(held), waiting) if !waiting.is_some_and(|waiting| waiting.is_total) => {
                    is_due = held.refresh_at <= now && waiting.is_none();
                    let credential = Some(Arc::clone(&held.credential));
                    let generation = held.generation;
                    Some(Ok(Lease {
                        credential,
                        generation,
                        is_fresh: false,
                    }))
                }
                (_, Some(waiting)) => {
                    let wait = waiting.until.saturating_duration_since(now);
                    let seconds = wait.as_secs() + 1;
                    let reason = format!("waiting {seconds} s after: {}", waiting.failure.reason);
                    let (retry_after, kind) = (Some(wait), waiting.failure.kind);
                    Some(Err(Failure {
                        kind,
                        reason,
                        retry_after,
                        is_waiting: true,
                    }))
                }
                (_, None) if !self.scheme.needs_login() => Some(Ok(Lease {
                    credential: None,
                    generation: 0,
                    is_fresh: true,
                })),
                (_, None) => None,
            }
        };
        if is_due {
            // It runs by itself; nobody waits for it while the old credential is good.
            drop(self.start_login());
        }
        found
    }

    async fn log_in(self: &Arc<Self>, deadline: Instant) -> Result<Lease, Failure> {
        let follow = self.start_login();
        let waiter = Waiter::new(&self.metrics);
        let waited = tokio::time::timeout_at(deadline.into(), follow).await;
        drop(waiter);
        if waited.is_err() {
            return Err(Failure::new(
                FailureKind::Timeout,
                "the login takes longer than the scrape may",
            ));
        }
        match self.lease_at_hand(clock::now()) {
            Some(Ok(lease)) => Ok(Lease {
                is_fresh: true,
                ..lease
            }),
            // The reason itself, not "waiting": this scrape saw the attempt.
            Some(Err(_)) => Err(self.last_failure()),
            None => Err(Failure::new(
                FailureKind::Degraded,
                "the login was broken off",
            )),
        }
    }

    fn last_failure(&self) -> Failure {
        let state = self.state();
        let failure = state.waiting.as_ref().map(|waiting| {
            let wait = waiting.until.saturating_duration_since(clock::now());
            Failure {
                retry_after: Some(wait),
                ..waiting.failure.clone()
            }
        });
        failure.unwrap_or_else(|| Failure::new(FailureKind::Degraded, "the login failed"))
    }

    /// Joins the login under way or starts one as a task.
    fn start_login(self: &Arc<Self>) -> base::single_flight::Follow<()> {
        let (lead, follow) = self.flight.join();
        if let Some(lead) = lead {
            let session = Arc::clone(self);
            self.supervisor.spawn("gateway login", async move {
                let deadline = clock::now() + LOGIN_TIMEOUT;
                let obtained = session.scheme.obtain(&session.context, deadline).await;
                session.keep(obtained);
                lead.finish(());
            });
        }
        follow
    }

    fn keep(&self, obtained: Result<Obtained, Failure>) {
        let now = clock::now();
        let is_over = |obtained: &Obtained| obtained.life.is_some_and(|life| life.is_zero());
        let obtained = match obtained {
            Ok(obtained) if is_over(&obtained) => {
                let reason = "login: the token has expired already: is a clock wrong?";
                Err(Failure::new(FailureKind::Degraded, reason))
            }
            obtained => obtained,
        };
        let mut state = self.state();
        match obtained {
            Ok(obtained) => {
                self.metrics.logged_in("ok");
                let life = obtained.life.unwrap_or(self.rules.ttl_default);
                let margin = self.rules.margin.min(life / 5);
                let use_for = life.saturating_sub(margin).min(self.rules.ttl_max);
                state.generation += 1;
                state.waiting = None;
                state.held = Some(Held {
                    credential: Arc::new(obtained.credential),
                    generation: state.generation,
                    obtained_at: now,
                    refresh_at: now + use_for,
                    expires_at: now + life.min(self.rules.ttl_max.max(use_for) + margin),
                });
            }
            Err(failure) => {
                self.metrics.logged_in(failure.kind.word());
                tracing::warn!(target = %self.context.name, reason = %failure.reason, "login failed");
                state.wait_after(failure, 1, false, now);
            }
        }
    }

    /// Optional parts refuse this credential even when it is new: one more login changes nothing.
    pub(crate) fn keep_partial(&self, lease: &Lease) {
        self.state().partial = Some(lease.generation);
    }

    /// Whether [`Self::keep_partial`] was said of this credential.
    pub(crate) fn is_partial(&self, lease: &Lease) -> bool {
        self.state().partial == Some(lease.generation)
    }

    /// The target took the credential: the next failure is the first again.
    pub(crate) fn accepted(&self) {
        let mut state = self.state();
        // A failed login beside an old credential, or a refusal that came later, stays in force.
        let is_waiting = state
            .waiting
            .as_ref()
            .is_some_and(|waiting| !waiting.is_total || waiting.until > clock::now());
        if state.failures != 0 && !is_waiting {
            state.failures = 0;
            state.waiting = None;
        }
    }

    /// The target refused the credential even after a new login, or asks to wait.
    pub(crate) fn refused(&self, lease: &Lease, failure: Failure) -> Failure {
        let now = clock::now();
        let mut state = self.state();
        if state
            .held
            .as_ref()
            .is_some_and(|held| held.generation == lease.generation)
            && failure.kind == FailureKind::Refused
        {
            state.held = None;
        }
        let is_outdated = failure.kind == FailureKind::Refused
            && state
                .held
                .as_ref()
                .is_some_and(|held| held.generation != lease.generation);
        if is_outdated {
            return failure;
        }
        // Scrapes that shared a credential are refused together: that is one refusal.
        let is_known = state
            .waiting
            .as_ref()
            .is_some_and(|waiting| waiting.is_total && waiting.until > now);
        if !is_known {
            state.wait_after(failure, REFUSAL_WEIGHT, true, now);
        }
        drop(state);
        self.last_failure()
    }

    /// How it stands.
    pub(crate) fn view(&self, now: Instant) -> SessionView {
        let state = self.state();
        let held = state.held.as_ref().filter(|held| held.expires_at > now);
        let waiting = state.waiting.as_ref().filter(|waiting| waiting.until > now);
        SessionView {
            expires_in: held.map(|held| held.expires_at.saturating_duration_since(now)),
            age: held.map(|held| now.saturating_duration_since(held.obtained_at)),
            wait: waiting.map(|waiting| waiting.until.saturating_duration_since(now)),
        }
    }
}

impl State {
    fn wait_after(&mut self, failure: Failure, weight: u32, is_total: bool, now: Instant) {
        self.failures = self.failures.saturating_add(weight);
        let own = BACKOFF.delay(self.failures, fastrand::f64());
        let wait = failure.retry_after.map_or(own, |asked| asked.max(own));
        self.waiting = Some(Waiting {
            failure,
            until: now + wait,
            is_total,
        });
    }
}

/// Counts a scrape that waits for a login, also when its client leaves meanwhile.
struct Waiter<'a>(&'a TargetMetrics);

impl<'a> Waiter<'a> {
    fn new(metrics: &'a TargetMetrics) -> Self {
        metrics.waiters.inc();
        Self(metrics)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiters.dec();
    }
}
