//! Who asks for a path of the hub, and whether they may: the administrator of this machine, or a user
//! who shows a session or an API token. An address proves nothing here.
#![expect(
    clippy::result_large_err,
    reason = "an answer instead of a value is rare and not passed far"
)]

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use base::error::Class;
use base::http::{Access, Attempts, Judge, Judging, Peer, Policy, browser, error_response};
use base::secret::Secret;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use identity::audit::{Caller, Event};
use identity::credential::CredentialKind;
use identity::names::{LOCAL_ADMIN, Labels};
use identity::principal::{Principal, Scope, Via};
use identity::roles::{Decision, Kind, Question, Verb, decide};
use identity::{Identity, IdentityError, Refusal};

use crate::admin;

/// The cookie of a session. The prefix makes browsers keep it to this host, and to TLS.
const COOKIE: &str = "__Host-landline";
/// The same on this machine without TLS, where browsers would not keep the other. Cookies know no
/// ports: other servers of this machine get it as well.
const LOCAL_COOKIE: &str = "landline-local";
/// The longest path in the audit log, in characters.
const PATH_CHARACTERS_MAX: usize = 140;

/// Somebody who proved who they are.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    /// How the audit log calls them.
    pub(crate) caller: Caller,
    /// The user; nobody when it is the administrator of this machine.
    pub(crate) principal: Option<Principal>,
    /// A cookie proved it, which a browser sends whoever made it send the request.
    is_by_cookie: bool,
}

/// Recognises them.
#[derive(Debug)]
pub(crate) struct Askers {
    pub(crate) identity: Identity,
    pub(crate) attempts: Attempts,
    local: Arc<Access>,
}

/// The name of the cookie in such a request, and what else has to be said when it is set.
pub(crate) fn cookie_name(headers: &HeaderMap, peer: &Peer) -> (&'static str, &'static str) {
    if browser::speaks_tls(headers, peer) {
        (COOKIE, "; Secure")
    } else {
        (LOCAL_COOKIE, "")
    }
}

/// The peer, if secrets may travel to it: with TLS, or within this machine.
pub(crate) fn peer_of(head: &Parts) -> Result<Peer, Response> {
    let peer = head.extensions.get::<Peer>().copied();
    peer.filter(|peer| peer.is_tls || peer.is_loopback())
        .ok_or_else(|| error_response(Class::Forbidden, "this path is spoken to with TLS only"))
}

impl Asker {
    /// Whether they may do this to a thing with these labels. Who may use something may see it.
    pub(crate) fn may(&self, kind: Kind, verb: Verb, labels: &Labels) -> bool {
        let Some(principal) = &self.principal else {
            return true;
        };
        if principal.check(kind, verb, labels).is_allowed() {
            return true;
        }
        let question = Question { kind, verb, labels };
        let is_denied = matches!(decide(&principal.roles, question), Decision::Denied(_));
        let may_use = || principal.check(kind, Verb::Use, labels).is_allowed();
        verb == Verb::Read && !is_denied && may_use()
    }

    /// Whether they may do this at all. What carries labels is chosen from afterwards.
    pub(crate) fn may_somewhere(&self, kind: Kind, verb: Verb) -> bool {
        let Some(principal) = &self.principal else {
            return true;
        };
        let is_labelled = matches!(
            kind,
            Kind::Nodes | Kind::Apps | Kind::Metrics | Kind::Records | Kind::Artefacts
        );
        if !is_labelled {
            return self.may(kind, verb, &Labels::new());
        }
        let may = |verb| principal.may_somewhere(kind, verb);
        may(verb) || (verb == Verb::Read && may(Verb::Use))
    }

    /// Whether they may do this to everything, whatever its labels.
    pub(crate) fn may_everywhere(&self, kind: Kind, verb: Verb) -> bool {
        let mut principal = self.principal.iter();
        principal.all(|principal| principal.may_everywhere(kind, verb))
    }

    /// Refuses to give somebody roles that they themselves don't have and may not change, or to act
    /// for somebody who has such roles.
    pub(crate) fn check_grant(&self, roles: &[String]) -> Result<(), Response> {
        let principal = self.principal.as_ref();
        if principal.is_none_or(|principal| principal.may_grant(roles)) {
            return Ok(());
        }
        let text = "only who may change roles (`cluster:update`) does this for somebody with other roles than their own";
        Err(error_response(Class::Forbidden, text))
    }

    /// Refuses to let in what becomes a part of the hub.
    pub(crate) fn check_hub(&self) -> Result<(), Response> {
        if self.may(Kind::Cluster, Verb::Update, &Labels::new()) {
            return Ok(());
        }
        let text =
            "only who may change the cluster (`cluster:update`) lets in other machines than nodes";
        Err(error_response(Class::Forbidden, text))
    }

    /// Somebody who proved it in another way than with a cookie.
    pub(crate) fn of(principal: Principal, peer: &Peer) -> Self {
        Self {
            caller: principal.caller(Some(peer.ip())),
            principal: Some(principal),
            is_by_cookie: false,
        }
    }

    /// Whether it may be another site that makes their browser change something.
    fn is_forged(&self, head: &Parts, peer: &Peer) -> bool {
        self.is_by_cookie
            && !browser::is_safe(&head.method)
            && !browser::is_same_origin(&head.headers, peer)
    }

    /// The session they came with.
    pub(crate) fn session(&self) -> Option<(&str, &str)> {
        let principal = self.principal.as_ref()?;
        match &principal.via {
            Via::Session(id) => Some((&principal.user, id)),
            Via::ApiToken(_) | Via::Certificate => None,
        }
    }
}

impl Askers {
    /// Those whom `identity` knows, and who has a token of `local`.
    pub(crate) fn new(identity: &Identity, local: &Arc<Access>) -> Arc<Self> {
        Arc::new(Self {
            identity: identity.clone(),
            attempts: Attempts::default(),
            local: Arc::clone(local),
        })
    }

    /// The policy of a path for those whose roles allow `right`, such as `tokens:create`. Its
    /// handler finds them as [`Asker`].
    pub(crate) fn right(self: &Arc<Self>, right: &'static str) -> Policy {
        let scope = Scope::parse(right).ok();
        self.policy(right, move |asker| {
            scope.is_some_and(|scope| asker.may_somewhere(scope.kind, scope.verb))
        })
    }

    /// The policy of a path for everybody who is known.
    pub(crate) fn anybody(self: &Arc<Self>) -> Policy {
        self.policy("anybody", |_| true)
    }

    fn policy(
        self: &Arc<Self>,
        name: &'static str,
        may: impl Fn(&Asker) -> bool + Clone + Send + Sync + 'static,
    ) -> Policy {
        let askers = Arc::clone(self);
        let judge = move |head: Parts| {
            let askers = Arc::clone(&askers);
            let may = may.clone();
            Box::pin(async move { askers.judge((name, &may), head).await }) as Judging
        };
        Policy::Judged(Judge {
            name,
            judge: Arc::new(judge),
        })
    }

    /// Who asks; nobody when nothing was sent that could say it.
    pub(crate) async fn identify(&self, head: &Parts) -> Result<Option<Asker>, IdentityError> {
        let Some(peer) = head.extensions.get::<Peer>() else {
            return Ok(None);
        };
        let sessions = self.identity.sessions();
        let bearer = bearer(&head.headers);
        let is_by_cookie = bearer.is_none();
        let principal = match bearer {
            Some(token) if self.local.accepts(token.expose()) => {
                return Ok(Some(Asker {
                    caller: Caller::user(LOCAL_ADMIN, Some(peer.ip())),
                    principal: None,
                    is_by_cookie,
                }));
            }
            Some(token) if CredentialKind::Session.is_like(token.expose()) => {
                sessions.verify(&token).await?
            }
            Some(token) => {
                let tokens = self.identity.api_tokens();
                tokens.verify(&token, Some(peer.ip())).await?
            }
            None => match browser::cookie(&head.headers, cookie_name(&head.headers, peer).0) {
                Some(cookie) => sessions.verify(&Secret::new(cookie)).await?,
                None => return Ok(None),
            },
        };
        Ok(Some(Asker {
            caller: principal.caller(Some(peer.ip())),
            principal: Some(principal),
            is_by_cookie,
        }))
    }

    /// Lets a request pass to its handler, with who asks as [`Asker`], or says why not.
    pub(crate) async fn judge(
        &self,
        (right, may): (&'static str, &(impl Fn(&Asker) -> bool + Sync)),
        mut head: Parts,
    ) -> Result<Parts, Response> {
        let peer = peer_of(&head)?;
        let anonymous = Caller::anonymous(Some(peer.ip()));
        let asker = match self.identify(&head).await {
            Ok(Some(asker)) => asker,
            Ok(None) => {
                self.refuse(&head, (&anonymous, right), "nobody").await;
                let text = "sign in with `landline login`, or send an API token as `Authorization: Bearer …`";
                return Err(unauthenticated(text));
            }
            Err(error) if error.class() == Class::Internal => return Err(admin::refuse(&error)),
            Err(error) => {
                let refusal = format!("{error}");
                self.refuse(&head, (&anonymous, right), &refusal).await;
                return Err(match error.class() {
                    Class::Unauthenticated => unauthenticated(&refusal),
                    _ => admin::refuse(&error),
                });
            }
        };
        if asker.is_forged(&head, &peer) {
            let who = (&asker.caller, right);
            self.refuse(&head, who, "another origin").await;
            return Err(other_origin());
        }
        if !may(&asker) {
            let who = (&asker.caller, right);
            self.refuse(&head, who, "no role allows it").await;
            let text =
                format!("no role of yours allows `{right}`, or the token's scopes leave it out");
            return Err(error_response(Class::Forbidden, text));
        }
        head.extensions.insert(asker);
        Ok(head)
    }

    async fn refuse(&self, head: &Parts, (caller, right): (&Caller, &str), reason: &str) {
        let path: String = head.uri.path().chars().take(PATH_CHARACTERS_MAX).collect();
        let event = Event::success("request.refused", caller, format!("path:{path}"))
            .with("method", head.method.as_str())
            .with("right", right)
            .with("reason", reason);
        if let Err(error) = self.identity.audit().record_refusal(event).await {
            let error = base::client::chain(&error);
            tracing::error!(error, "a refusal could not be recorded in the audit log");
        }
    }
}

/// Whether somebody may have guessed. Asking for the code is a step of every sign-in with one.
pub(crate) fn is_attempt(error: &IdentityError) -> bool {
    match error {
        IdentityError::Refused(refusal) => *refusal != Refusal::SecondFactorNeeded,
        _ => false,
    }
}

/// The answer to a form or request that another site made a browser send.
pub(crate) fn other_origin() -> Response {
    let text = "this request did not come from a page of this hub";
    error_response(Class::Forbidden, text)
}

fn unauthenticated(text: &str) -> Response {
    let mut response = error_response(Class::Unauthenticated, text).into_response();
    let headers = response.headers_mut();
    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| Secret::new(token.trim()))
}
