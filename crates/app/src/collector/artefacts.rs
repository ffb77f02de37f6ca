//! Artefacts in the role `collector`: the store, and who may use it.
#![expect(
    clippy::result_large_err,
    reason = "an answer instead of a value is rare and not passed far"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use base::error::Class;
use base::http::{Judge, Judging, Peer, Policy, Routes, browser, error_response};
use base::secret::Secret;
use base::supervise::{BoxError, Supervisor};
use base::telemetry::Metrics;
use collect::artefacts::config::{AccessConfig, ArtefactsConfig};
use collect::artefacts::{Act, Artefacts, Note, Noted, Settings, Visitor, is_signed};
use http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use identity::audit::Caller;
use identity::names::Labels;
use identity::roles::{Kind, Verb};
use state::State;
use wire::auth::parse_basic;

use super::is_local;
use crate::askers::{Asker, Askers};
use crate::config::Config;
use crate::environment::Environment;

/// The label that says to which group an artefact belongs.
const GROUP: &str = "group";
/// The folder of objects in the data directory.
const FOLDER: &str = "artefacts";
/// What the secret of links is for.
const LINKS: &str = "links to artefacts";
/// In the table of routes and in the audit log.
const POLICY: &str = "artefacts";

/// What the store is opened with.
#[derive(Debug)]
pub(crate) struct Opening {
    config: ArtefactsConfig,
    folder: PathBuf,
    environment: Environment,
}

impl Opening {
    /// Nothing when artefacts are not wanted: with a database that several machines share, each of which
    /// has a disk of its own, the configuration has to say where they are.
    pub(crate) fn of(config: &Config, environment: &Environment) -> Option<Self> {
        let is_shared = config.cluster.state.is_some();
        let own = config.collector.artefacts.clone();
        let own = own.or_else(|| (!is_shared).then(ArtefactsConfig::default));
        Some(Self {
            config: own?,
            folder: config.data_dir.join(FOLDER),
            environment: environment.clone(),
        })
    }

    /// Opens it, registers its service, and gives its paths beside it.
    pub(crate) async fn open(
        self,
        state: &State,
        askers: &Arc<Askers>,
        (metrics, supervisor): (&Metrics, &Supervisor),
    ) -> Result<(Routes, Artefacts), BoxError> {
        let (access, has_users) = (self.config.access, !self.config.users.is_empty());
        let settings = Settings {
            config: self.config,
            folder: self.folder,
            link_secret: askers.identity.derived_secret(LINKS),
            environment: self.environment.variables,
            supervisor: supervisor.clone(),
            note: note(askers),
        };
        let (artefacts, services) = Artefacts::open(state, settings, metrics).await?;
        for service in services {
            supervisor.register(service);
        }
        let door = Door {
            askers: Arc::clone(askers),
            artefacts: artefacts.clone(),
            access,
            has_users,
        };
        Ok((artefacts.routes(|| door.policy()), artefacts))
    }
}

/// Who may come in.
#[derive(Debug, Clone)]
struct Door {
    askers: Arc<Askers>,
    artefacts: Artefacts,
    access: AccessConfig,
    has_users: bool,
}

impl Door {
    fn policy(&self) -> Policy {
        let door = self.clone();
        let judge = move |head: Parts| {
            let door = door.clone();
            Box::pin(async move { door.judge(head).await }) as Judging
        };
        Policy::Judged(Judge {
            name: POLICY,
            judge: Arc::new(judge),
        })
    }

    async fn judge(&self, mut head: Parts) -> Result<Parts, Response> {
        if self.artefacts.is_of_bucket(head.uri.path()) && is_signed(&head) {
            // The handler looks at the signature.
            return Ok(head);
        }
        if is_forged(&head) {
            let text = "a page of another site can't do this";
            return Err(error_response(Class::Forbidden, text));
        }
        let basic = head.headers.get(AUTHORIZATION);
        let basic = basic.and_then(|value| parse_basic(value.to_str().ok()?));
        let visitor = if let Some((name, password)) = basic {
            self.known(&head, &name, &password).await?
        } else if matches!(self.askers.identify(&head).await, Ok(None)) {
            self.unknown(&head)?
        } else {
            head = self.askers.judge((POLICY, &may_something), head).await?;
            let asker = head.extensions.get::<Asker>().cloned();
            visitor_of(asker.ok_or_else(|| refuse(&head))?)
        };
        head.extensions.insert(visitor);
        Ok(head)
    }

    /// Who has this name and password: a user of the configuration, or one of the cluster with an API
    /// token as password.
    async fn known(&self, head: &Parts, name: &str, password: &str) -> Result<Visitor, Response> {
        let peer = head.extensions.get::<Peer>().copied();
        let peer = peer.ok_or_else(|| refuse(head))?;
        let address = self.artefacts.address(head).unwrap_or(peer.ip());
        if let Some(wait) = self.artefacts.wait(address, name) {
            return Err(held_off(wait));
        }
        if let Some(visitor) = self.artefacts.user(name, password) {
            self.artefacts.right(address, name);
            return Ok(visitor);
        }
        let may_carry_secrets = peer.is_tls || peer.is_loopback();
        if may_carry_secrets {
            let tokens = self.askers.identity.api_tokens();
            let secret = Secret::new(password);
            match tokens.verify(&secret, Some(peer.ip())).await {
                Ok(principal) if principal.user == name => {
                    self.artefacts.right(address, name);
                    return Ok(visitor_of(Asker::of(principal, &peer)));
                }
                Err(error) if error.class() == Class::Internal => {
                    return Err(crate::admin::refuse(&error));
                }
                Ok(_) | Err(_) => {}
            }
        }
        // krkn always sends a name and a password, also where nobody has given it one.
        if !self.has_users
            && let Ok(visitor) = self.unknown(head)
        {
            return Ok(visitor);
        }
        self.artefacts.wrong(address, name, password);
        Err(refuse(head))
    }

    /// Somebody who showed nothing.
    fn unknown(&self, head: &Parts) -> Result<Visitor, Response> {
        let name = match self.access {
            AccessConfig::Local if is_local(head) => "local",
            AccessConfig::Open => "anybody",
            AccessConfig::Local | AccessConfig::Closed => {
                return Err(refuse(head));
            }
        };
        Ok(Visitor::new(name, |_, act| {
            matches!(act, Act::Read | Act::Create)
        }))
    }
}

/// Whether a page of another site wants to change something: browsers send names and passwords that they
/// remember along with it, and programs of this machine show nothing. No other client says whence it asks.
fn is_forged(head: &Parts) -> bool {
    let is_of_page = ["origin", "sec-fetch-site"]
        .iter()
        .any(|name| head.headers.contains_key(*name));
    let is_same = |peer: &Peer| browser::is_same_origin(&head.headers, peer);
    is_of_page
        && !browser::is_safe(&head.method)
        && !head.extensions.get::<Peer>().is_some_and(is_same)
}

/// Whether a page of ours asks on a listener that has the sign-in page: it leads there itself, and the
/// browser's own question for a name and a password would stand in the way. Listeners without TLS have
/// no sign-in page.
fn leads_to_sign_in(head: &Parts) -> bool {
    let is_tls = head
        .extensions
        .get::<Peer>()
        .is_some_and(|peer| peer.is_tls);
    let fetch = head.headers.get("sec-fetch-dest");
    is_tls && fetch.is_some_and(|dest| dest == "empty")
}

/// The answer to somebody whom nobody knows: our own API has an envelope of its own.
fn refuse(head: &Parts) -> Response {
    let mut response = Artefacts::refuse_anonymous();
    if head.uri.path().starts_with("/v1/") {
        let asks = response.headers_mut().remove(WWW_AUTHENTICATE);
        let text = "send an API token as `Authorization: Bearer …`, or a name and a password";
        response = error_response(Class::Unauthenticated, text);
        if let Some(asks) = asks.filter(|_| !leads_to_sign_in(head)) {
            response.headers_mut().insert(WWW_AUTHENTICATE, asks);
        }
    }
    response
}

/// The answer to a name that was wrong too often.
fn held_off(wait: Duration) -> Response {
    let seconds = wait.as_secs().saturating_add(1);
    let text =
        format!("too many wrong passwords for this name from here; try again in {seconds} s");
    let mut response = error_response(Class::TooMany, text);
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    response
}

/// Has what is changed and removed in the audit log. Users of the configuration are called there so that
/// nobody takes them for users of the cluster.
fn note(askers: &Arc<Askers>) -> Note {
    let askers = Arc::clone(askers);
    Note::new(move |noted: Noted| {
        let name = match noted.who.strip_prefix("user:") {
            Some(user) => user.to_owned(),
            None => format!("{POLICY}/{}", noted.who),
        };
        let caller = Caller::user(name, noted.address);
        super::audit(&askers, &caller, noted.change)
    })
}

/// What somebody known may do by their roles.
fn visitor_of(asker: Asker) -> Visitor {
    let name = asker.caller.actor.to_string();
    Visitor::new(&name, move |group, act| {
        let labels: Labels = [(GROUP.to_owned(), group.to_owned())].into();
        asker.may(Kind::Artefacts, verb_of(act), &labels)
    })
}

fn may_something(asker: &Asker) -> bool {
    Act::ALL
        .into_iter()
        .any(|act| asker.may_somewhere(Kind::Artefacts, verb_of(act)))
}

fn verb_of(act: Act) -> Verb {
    match act {
        Act::Read => Verb::Read,
        Act::Create => Verb::Create,
        Act::Update => Verb::Update,
        Act::Delete => Verb::Delete,
    }
}
