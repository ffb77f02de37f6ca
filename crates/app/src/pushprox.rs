//! Which pushprox-clients there may be: those whose API token is of a user whose roles allow
//! `create` on `metrics` with the label `client`, the name under which they poll.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base::clock;
use base::error::Class;
use identity::Identity;
use identity::IdentityError;
use identity::audit::{Caller, Event};
use identity::names::Labels;
use identity::principal::Principal;
use identity::roles::{Kind, Verb};
use observe::gateway::pushprox::{Asking, Claim, Clientele, Denial};

/// The label whose value is the name of a client.
const LABEL: &str = "client";
/// A client is recorded once in this time.
const RECORD_INTERVAL: Duration = Duration::from_hours(1);
/// Clients that are remembered for that.
const RECORDED_MAX: usize = 20_000;
/// The kinds of the audit events.
const ANSWERED: &str = "pushprox.client";
const SCRAPED: &str = "pushprox.scrape";

/// Who, under which name, from where.
type Seen = (String, String, IpAddr);

/// The clients, as the identity of the cluster knows them.
#[derive(Debug)]
pub(crate) struct PushproxClients {
    identity: Identity,
    recorded: Mutex<BTreeMap<Seen, Instant>>,
}

impl Clientele for PushproxClients {
    fn admit<'a>(&'a self, claim: &'a Claim<'a>) -> Asking<'a, Result<(), Denial>> {
        Box::pin(self.judge(claim))
    }

    fn refuse_scraper<'a>(&'a self, address: IpAddr, name: &'a str) -> Asking<'a, ()> {
        Box::pin(async move {
            let caller = Caller::anonymous(Some(address));
            let event = Event::success(SCRAPED, &caller, format!("pushprox:{}", printable(name)));
            self.refuse(event.with("reason", "no token, or a wrong one"))
                .await;
        })
    }
}

impl PushproxClients {
    pub(crate) fn new(identity: &Identity) -> Self {
        Self {
            identity: identity.clone(),
            recorded: Mutex::default(),
        }
    }

    async fn judge(&self, claim: &Claim<'_>) -> Result<(), Denial> {
        let address = Some(claim.address);
        let target = format!("pushprox:{}", claim.name.unwrap_or_default());
        let Some(token) = &claim.token else {
            let event = Event::success(ANSWERED, &Caller::anonymous(address), target);
            self.refuse(event.with("reason", "no token")).await;
            let text = "a client needs a token: --proxy-url=https://client:<token>@<hub>; \
                        `landline tokens add --role pushprox` makes one";
            return Err(denial(Class::Unauthenticated, text));
        };
        let principal = self.identity.api_tokens().verify(token, address).await;
        let principal = principal.map_err(|error| refused(&error))?;
        let Some(name) = claim.name else {
            return Ok(());
        };
        let labels = Labels::from([(LABEL.to_owned(), name.to_owned())]);
        let decision = principal.check(Kind::Metrics, Verb::Create, &labels);
        let caller = principal.caller(address);
        if !decision.is_allowed() {
            let event = Event::success(ANSWERED, &caller, target);
            self.refuse(event.with("reason", "no role allows this name"))
                .await;
            let text = format!(
                "{} may not answer for {name}: no role of theirs allows it, or the token's scopes \
                 leave it out",
                principal.user
            );
            return Err(denial(Class::Forbidden, &text));
        }
        self.record(&principal, &caller, name, claim.address).await;
        Ok(())
    }

    async fn record(&self, principal: &Principal, caller: &Caller, name: &str, address: IpAddr) {
        let seen = (principal.user.clone(), name.to_owned(), address);
        if !self.is_new(seen, clock::now()) {
            return;
        }
        let event = Event::success(ANSWERED, caller, format!("pushprox:{name}"));
        if let Err(error) = self.identity.audit().record(&[event]).await {
            let error = base::client::chain(&error);
            tracing::error!(error, "a pushprox-client could not be recorded");
        }
    }

    fn is_new(&self, seen: Seen, now: Instant) -> bool {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |at: &Instant| now.saturating_duration_since(*at) < RECORD_INTERVAL;
        if recorded.get(&seen).is_some_and(is_fresh) {
            return false;
        }
        if recorded.len() >= RECORDED_MAX {
            recorded.retain(|_, at| is_fresh(at));
        }
        if recorded.len() >= RECORDED_MAX {
            // Better an event too many than one too few.
            recorded.clear();
        }
        recorded.insert(seen, now);
        true
    }

    async fn refuse(&self, event: Event) {
        if let Err(error) = self.identity.audit().record_refusal(event).await {
            let error = base::client::chain(&error);
            tracing::error!(error, "a refusal could not be recorded in the audit log");
        }
    }
}

fn refused(error: &IdentityError) -> Denial {
    let class = error.class();
    if class == Class::Internal {
        let error = base::client::chain(error);
        tracing::error!(error, "who a pushprox-client is can't be told");
        return denial(
            class,
            "the hub has a problem of its own; its log says which",
        );
    }
    denial(class, &error.to_string())
}

fn denial(class: Class, text: &str) -> Denial {
    Denial {
        class,
        text: text.to_owned(),
    }
}

/// What a stranger sent, fit for the audit log.
fn printable(text: &str) -> String {
    let kept = text.chars().filter(|character| !character.is_control());
    kept.take(100).collect()
}
