//! Artefacts in the role `collector`: the store, and who may use it.
#![expect(
    clippy::result_large_err,
    reason = "an answer instead of a value is rare and not passed far"
)]

use std::path::PathBuf;
use std::sync::Arc;

use axum::response::Response;
use base::clock;
use base::error::Class;
use base::http::{Judge, Judging, Peer, Policy, Routes, browser, error_response};
use base::secret::Secret;
use base::supervise::{BoxError, Supervisor};
use base::telemetry::Metrics;
use collect::artefacts::config::{AccessConfig, ArtefactsConfig};
use collect::artefacts::{Act, Artefacts, Settings, Visitor, is_signed};
use futures_util::future::BoxFuture;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::request::Parts;
use identity::audit::{Caller, Event};
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

    /// Opens it, registers its service, and gives its paths.
    pub(crate) async fn open(
        self,
        state: &State,
        askers: &Arc<Askers>,
        (metrics, supervisor): (&Metrics, &Supervisor),
    ) -> Result<Routes, BoxError> {
        let (access, has_users) = (self.config.access, !self.config.users.is_empty());
        let settings = Settings {
            config: self.config,
            folder: self.folder,
            link_secret: askers.identity.derived_secret(LINKS),
            environment: self.environment.variables,
            supervisor: supervisor.clone(),
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
        Ok(artefacts.routes(|| door.policy()))
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
            self.visitor_of(asker.ok_or_else(|| refuse(&head))?)
        };
        head.extensions.insert(visitor);
        Ok(head)
    }

    /// Who has this name and password: a user of the configuration, or one of the cluster with an API
    /// token as password.
    async fn known(&self, head: &Parts, name: &str, password: &str) -> Result<Visitor, Response> {
        let peer = head.extensions.get::<Peer>().copied();
        let peer = peer.ok_or_else(|| refuse(head))?;
        if self.askers.attempts.wait(peer.ip(), clock::now()).is_some() {
            let text = "too many wrong passwords from this address; try again in a minute";
            return Err(error_response(Class::TooMany, text));
        }
        if let Some(visitor) = self.artefacts.user(name, password) {
            // Not one of the cluster's, though a name may be the same.
            let user = format!("{POLICY}/{}", visitor.name());
            let caller = Caller::user(user, Some(peer.ip()));
            return Ok(self.noting(visitor, caller));
        }
        let may_carry_secrets = peer.is_tls || peer.is_loopback();
        if may_carry_secrets {
            let tokens = self.askers.identity.api_tokens();
            let secret = Secret::new(password);
            match tokens.verify(&secret, Some(peer.ip())).await {
                Ok(principal) if principal.user == name => {
                    return Ok(self.visitor_of(Asker::of(principal, &peer)));
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
        self.askers.attempts.refused(peer.ip(), clock::now());
        Err(refuse(head))
    }

    /// Has what somebody changes in the audit log.
    fn noting(&self, visitor: Visitor, caller: Caller) -> Visitor {
        let askers = Arc::clone(&self.askers);
        visitor.noting(move |change| {
            let event =
                Event::success(change.kind, &caller, change.target).with("change", change.details);
            let askers = Arc::clone(&askers);
            Box::pin(async move {
                if let Err(error) = askers.identity.audit().record(&[event]).await {
                    let error = base::client::chain(&error);
                    tracing::error!(error, "a change could not be recorded in the audit log");
                }
            }) as BoxFuture<'static, ()>
        })
    }

    /// What somebody known may do by their roles.
    fn visitor_of(&self, asker: Asker) -> Visitor {
        let caller = asker.caller.clone();
        let visitor = Visitor::new(&caller.actor.to_string(), move |group, act| {
            let labels: Labels = [(GROUP.to_owned(), group.to_owned())].into();
            asker.may(Kind::Artefacts, verb_of(act), &labels)
        });
        self.noting(visitor, caller)
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

/// The answer to somebody whom nobody knows: our own API has an envelope of its own.
fn refuse(head: &Parts) -> Response {
    let mut response = Artefacts::refuse_anonymous();
    if head.uri.path().starts_with("/v1/") {
        let asks = response.headers_mut().remove(WWW_AUTHENTICATE);
        let text = "send an API token as `Authorization: Bearer …`, or a name and a password";
        response = error_response(Class::Unauthenticated, text);
        if let Some(asks) = asks {
            response.headers_mut().insert(WWW_AUTHENTICATE, asks);
        }
    }
    response
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
