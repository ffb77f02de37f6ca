//! Who makes a request, once they have proved it: their roles, and the limits of what they proved it
//! with. Roles and locks are read with each request, so that a change acts at once.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use state::Read;

use crate::audit::Caller;
use crate::error::{IdentityError, Refusal};
use crate::locks::LockTarget;
use crate::names::Labels;
use crate::peer::UserPeer;
use crate::roles::{Decision, Kind, Question, Role, Verb, decide};
use crate::{Identity, lock_store, role_store, row};

/// Scopes of one API token.
pub const SCOPES_MAX: usize = 32;

/// What an API token is limited to, such as `nodes:read` or `*:*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope {
    /// On what.
    pub kind: Kind,
    /// To do what.
    pub verb: Verb,
}

/// Not a scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a scope: write `kind:verb`, for instance `nodes:read`, `metrics:*` or `*:*`")]
pub struct ScopeError(String);

/// How somebody proved who they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
pub enum Via {
    /// A web session, by its identifier.
    Session(String),
    /// An API token, by its identifier.
    ApiToken(String),
    /// A certificate.
    Certificate,
}

/// A user who made a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The user.
    pub user: String,
    /// Their roles, as they are now.
    pub roles: Vec<Role>,
    /// What the request is limited to besides; everything when nothing.
    pub scopes: Option<Vec<Scope>>,
    /// How they proved who they are.
    pub via: Via,
}

impl Scope {
    /// Reads `kind:verb`.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        let wrong = || ScopeError(crate::names::shortened(text));
        let (kind, verb) = text.split_once(':').ok_or_else(wrong)?;
        let word = |word: &str| serde_json::Value::String(word.to_owned());
        Ok(Self {
            kind: serde_json::from_value(word(kind)).map_err(|_| wrong())?,
            verb: serde_json::from_value(word(verb)).map_err(|_| wrong())?,
        })
    }

    fn covers(self, kind: Kind, verb: Verb) -> bool {
        (self.kind == Kind::All || self.kind == kind)
            && (self.verb == Verb::All || self.verb == verb)
    }
}

impl TryFrom<String> for Scope {
    type Error = ScopeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        let word = |value: Result<serde_json::Value, _>| match value {
            Ok(serde_json::Value::String(word)) => word,
            _ => String::new(),
        };
        let kind = word(serde_json::to_value(scope.kind));
        format!("{kind}:{}", word(serde_json::to_value(scope.verb)))
    }
}

impl Principal {
    /// Whether they may do this.
    pub fn check(&self, kind: Kind, verb: Verb, labels: &Labels) -> Decision {
        if !self.has_scope(Scope { kind, verb }) {
            return Decision::NotAllowed;
        }
        let question = Question { kind, verb, labels };
        decide(&self.roles, question)
    }

    /// What a lock on them may be on.
    pub fn lock_targets(&self) -> Vec<LockTarget> {
        let roles: Vec<String> = self.roles.iter().map(|role| role.name.clone()).collect();
        let mut targets = targets(&self.user, &roles);
        if let Via::ApiToken(id) = &self.via {
            targets.push(LockTarget::Token(id.clone()));
        }
        targets
    }

    /// Whether they may do this to anything at all, whatever its labels: for lists, from which the
    /// rest is left out by [`Principal::check`].
    pub fn may_somewhere(&self, kind: Kind, verb: Verb) -> bool {
        self.has_scope(Scope { kind, verb })
            && self.roles.iter().any(|role| role.allows_some(kind, verb))
    }

    /// Whether they may do this to everything, whatever its labels, so that nobody has to ask for each
    /// thing. False says nothing about a single thing.
    pub fn may_everywhere(&self, kind: Kind, verb: Verb) -> bool {
        self.has_scope(Scope { kind, verb })
            && self.roles.iter().any(|role| role.allows_all(kind, verb))
            && !self.roles.iter().any(|role| role.denies_some(kind, verb))
    }

    /// Whether a token with these scopes may do no more than this request.
    pub fn covers(&self, scopes: &[Scope]) -> bool {
        scopes.iter().all(|scope| self.has_scope(*scope))
    }

    /// Whether they may give somebody these roles, or act for somebody who has them. Without the
    /// right to change roles these must be their own, and their request not be limited.
    pub fn may_grant(&self, roles: &[String]) -> bool {
        let has = |wanted: &String| self.roles.iter().any(|role| role.name == *wanted);
        let may_change = self.check(Kind::Cluster, Verb::Update, &Labels::new());
        // Whoever has only some of them would lack what the others deny.
        let mut denying = self.roles.iter().filter(|role| !role.deny.is_empty());
        let is_held_back = roles.is_empty() || denying.all(|role| roles.contains(&role.name));
        may_change.is_allowed() || (self.scopes.is_none() && roles.iter().all(has) && is_held_back)
    }

    fn has_scope(&self, wanted: Scope) -> bool {
        let Some(scopes) = &self.scopes else {
            return true;
        };
        scopes
            .iter()
            .any(|scope| scope.covers(wanted.kind, wanted.verb))
    }

    /// How the audit log calls them.
    pub fn caller(&self, address: Option<IpAddr>) -> Caller {
        Caller::user(self.user.clone(), address)
    }
}

impl Identity {
    /// The user whom a certificate named in a handshake.
    pub async fn user_of_certificate(&self, peer: &UserPeer) -> Result<Principal, IdentityError> {
        let mut read = self.state().read().await?;
        let refused = Refusal::Certificate("this user is not known any more".to_owned());
        load(
            self,
            &mut read,
            &peer.name,
            (Via::Certificate, None, refused),
        )
        .await
    }
}

/// A user with roles, unless they are gone (`gone` is the answer then) or locked.
pub(crate) async fn load(
    identity: &Identity,
    read: &mut Read,
    user: &str,
    (via, scopes, gone): (Via, Option<Vec<Scope>>, Refusal),
) -> Result<Principal, IdentityError> {
    let found = sqlx::query("SELECT roles FROM users WHERE name = $1")
        .bind(user)
        .fetch_optional(&mut *read)
        .await?;
    let found = found.ok_or(gone)?;
    let names: Vec<String> = row::json(&found, "roles", "user")?;
    let mut targets = targets(user, &names);
    if let Via::ApiToken(id) = &via {
        targets.push(LockTarget::Token(id.clone()));
    }
    lock_store::check(read, &targets, identity.now()).await??;
    Ok(Principal {
        user: user.to_owned(),
        roles: role_store::load(read, &names).await?,
        scopes,
        via,
    })
}

/// What a lock on a user may be on.
pub(crate) fn targets(user: &str, roles: &[String]) -> Vec<LockTarget> {
    let roles = roles.iter().cloned().map(LockTarget::Role);
    std::iter::once(LockTarget::User(user.to_owned()))
        .chain(roles)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gives_away_more_than_they_have() {
        let mut anna = Principal {
            user: "anna".to_owned(),
            roles: Role::built_in("operator").into_iter().collect(),
            scopes: None,
            via: Via::Session("1".to_owned()),
        };
        let names = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        assert!(anna.may_grant(&names(&["operator"])));
        assert!(!anna.may_grant(&names(&["operator", "admin"])));
        assert!(anna.covers(&[Scope::parse("*:*").unwrap()]));
        assert!(anna.may_somewhere(Kind::Nodes, Verb::Read));
        assert!(!anna.may_somewhere(Kind::Users, Verb::Read));
        anna.scopes = Some(vec![Scope::parse("tokens:create").unwrap()]);
        assert!(!anna.may_grant(&names(&["operator"])));
        assert!(!anna.covers(&[Scope::parse("*:create").unwrap()]));
        assert!(!anna.covers(&[Scope::parse("tokens:*").unwrap()]));
        assert!(anna.covers(&[Scope::parse("tokens:create").unwrap()]));
        assert!(!anna.may_somewhere(Kind::Nodes, Verb::Read));
        anna.roles = Role::built_in("admin").into_iter().collect();
        assert!(!anna.may_grant(&names(&["admin"])));
        anna.scopes = None;
        assert!(anna.may_grant(&names(&["viewer"])));
    }

    /// Somebody who is held back by one of their roles can't make somebody who is not.
    #[test]
    fn what_denies_is_given_along() {
        let role = |text: &str| Role::parse(text).unwrap();
        let rita = Principal {
            user: "rita".to_owned(),
            roles: vec![
                role(r#"{"name": "people", "allow": [{"kinds": ["users"], "verbs": ["*"]}]}"#),
                role(r#"{"name": "not-prod", "deny": [{"kinds": ["nodes"], "verbs": ["*"]}]}"#),
            ],
            scopes: None,
            via: Via::Session("1".to_owned()),
        };
        let may = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            rita.may_grant(&names)
        };
        assert!(!may(&["people"]));
        assert!(may(&["not-prod"]));
        assert!(may(&["people", "not-prod"]));
        assert!(may(&[]));
    }

    #[test]
    fn a_scope_narrows_what_roles_allow_and_never_widens_it() {
        let principal = |role: &str, scopes: &[&str]| Principal {
            user: "anna".to_owned(),
            roles: Role::built_in(role).into_iter().collect(),
            scopes: Some(
                scopes
                    .iter()
                    .map(|text| Scope::parse(text).unwrap())
                    .collect(),
            ),
            via: Via::Certificate,
        };
        let check = |role: &str, scopes: &[&str], kind, verb| {
            let decision = principal(role, scopes).check(kind, verb, &Labels::new());
            decision.is_allowed()
        };
        assert!(check("admin", &["nodes:read"], Kind::Nodes, Verb::Read));
        assert!(!check("admin", &["nodes:read"], Kind::Nodes, Verb::Use));
        assert!(!check("admin", &["nodes:*"], Kind::Users, Verb::Read));
        assert!(check(
            "admin",
            &["nodes:*", "*:read"],
            Kind::Users,
            Verb::Read
        ));
        assert!(!check("viewer", &["*:*"], Kind::Users, Verb::Read));
        assert!(!check("admin", &[], Kind::Nodes, Verb::Read));
        for text in ["nodes:read", "*:*", "metrics:*"] {
            assert_eq!(String::from(Scope::parse(text).unwrap()), text);
        }
        for text in ["", "nodes", "nodes:fly", "moon:read", "nodes:read:x"] {
            assert!(Scope::parse(text).is_err(), "{text}");
        }
    }
}
