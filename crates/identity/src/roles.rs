//! What a role allows and denies. Pure: who has which roles is `users`, where own roles are kept is
//! `role_store`. Nothing is allowed by omission, and a denial wins over every permission.

mod selector;

use serde::{Deserialize, Serialize};

pub use self::selector::{Selector, SelectorError};
use crate::names::{self, Labels, NameError};
use crate::peer::MachineRole;

/// Rules of one role, allowing and denying together.
pub const RULES_MAX: usize = 100;

/// What somebody acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Machines; carry labels.
    Nodes,
    /// HTTP and TCP apps; carry labels.
    Apps,
    /// Metrics of targets; carry labels.
    Metrics,
    /// Telemetry records; carry the label `project`.
    Records,
    /// Files of test runs; carry the label `group`.
    Artefacts,
    /// The audit log.
    Audit,
    /// Users, their invitations and sessions.
    Users,
    /// Join tokens and API tokens.
    Tokens,
    /// The cluster itself: authorities, roles, locks, proxies.
    Cluster,
    /// All of them.
    #[serde(rename = "*")]
    All,
}

/// What somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// See it in lists, read it.
    Read,
    /// Connect to it, scrape it, forward to it.
    Use,
    /// Make one.
    Create,
    /// Change one.
    Update,
    /// Remove one.
    Delete,
    /// All of them.
    #[serde(rename = "*")]
    All,
}

/// Some kinds and verbs, and the labels of the things that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// On what.
    pub kinds: Vec<Kind>,
    /// To do what.
    pub verbs: Vec<Verb>,
    /// Only where the labels fit; everywhere when empty.
    #[serde(default, skip_serializing_if = "Selector::is_empty")]
    pub labels: Selector,
}

/// A named set of rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// The name.
    pub name: String,
    /// What it allows.
    #[serde(default)]
    pub allow: Vec<Rule>,
    /// What it denies, whatever any role allows.
    #[serde(default)]
    pub deny: Vec<Rule>,
}

/// A question: may somebody do `verb` on a thing of `kind` with these labels?
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// On what; never `All`.
    pub kind: Kind,
    /// To do what; never `All`.
    pub verb: Verb,
    /// The labels of the thing.
    pub labels: &'a Labels,
}

/// The answer, with the role that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "decision", content = "role")]
pub enum Decision {
    /// Allowed by this role.
    Allowed(String),
    /// Denied by this role.
    Denied(String),
    /// No role allows it.
    NotAllowed,
}

/// Why a role is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// Not JSON of this form.
    #[error("the role cannot be read: {0}")]
    Form(String),
    /// Its name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// One of the built-in ones.
    #[error("role {0} is built in and cannot be changed; make one with another name")]
    BuiltIn(String),
    /// One of the roles of machines: a lock on it would be ambiguous.
    #[error("role {0} is one of machines; give it another name")]
    OfMachines(String),
    /// A rule for nothing.
    #[error("a rule needs at least one kind and one verb")]
    EmptyRule,
    /// Too many.
    #[error("{0} rules: a role has at most 100")]
    TooManyRules(usize),
}

impl Decision {
    /// Whether it is allowed.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }
}

/// Decides. A denial by any role wins.
pub fn decide(roles: &[Role], question: Question<'_>) -> Decision {
    let first = |rules: fn(&Role) -> &[Rule]| {
        let matching = |role: &&Role| rules(role).iter().any(|rule| rule.fits(question));
        roles.iter().find(matching).map(|role| role.name.clone())
    };
    if let Some(role) = first(|role| &role.deny) {
        return Decision::Denied(role);
    }
    match first(|role| &role.allow) {
        Some(role) => Decision::Allowed(role),
        None => Decision::NotAllowed,
    }
}

impl Rule {
    fn fits(&self, question: Question<'_>) -> bool {
        self.is_about(question.kind, question.verb) && self.labels.fits(question.labels)
    }

    fn is_about(&self, kind: Kind, verb: Verb) -> bool {
        let (kinds, verbs) = ([kind, Kind::All], [verb, Verb::All]);
        self.kinds.iter().any(|kind| kinds.contains(kind))
            && self.verbs.iter().any(|verb| verbs.contains(verb))
    }
}

impl Role {
    /// Reads a role from JSON, completely checked.
    pub fn parse(json: &str) -> Result<Self, RoleError> {
        let role: Self =
            serde_json::from_str(json).map_err(|error| RoleError::Form(error.to_string()))?;
        role.check()?;
        Ok(role)
    }

    /// Whether it may be kept.
    pub fn check(&self) -> Result<(), RoleError> {
        names::check_name("role", &self.name)?;
        if Self::built_in(&self.name).is_some() {
            return Err(RoleError::BuiltIn(self.name.clone()));
        }
        if MachineRole::parse(&self.name).is_some() {
            return Err(RoleError::OfMachines(self.name.clone()));
        }
        let count = self.allow.len() + self.deny.len();
        if count > RULES_MAX {
            return Err(RoleError::TooManyRules(count));
        }
        let mut rules = self.allow.iter().chain(&self.deny);
        if rules.any(|rule| rule.kinds.is_empty() || rule.verbs.is_empty()) {
            return Err(RoleError::EmptyRule);
        }
        Ok(())
    }

    /// Whether it allows this on things with some labels.
    pub(crate) fn allows_some(&self, kind: Kind, verb: Verb) -> bool {
        self.allow.iter().any(|rule| rule.is_about(kind, verb))
    }

    /// Whether it allows this whatever the labels are.
    pub(crate) fn allows_all(&self, kind: Kind, verb: Verb) -> bool {
        let mut rules = self.allow.iter();
        rules.any(|rule| rule.is_about(kind, verb) && rule.labels.is_empty())
    }

    /// Whether it denies this on things with some labels.
    pub(crate) fn denies_some(&self, kind: Kind, verb: Verb) -> bool {
        self.deny.iter().any(|rule| rule.is_about(kind, verb))
    }

    /// The built-in role of that name: `admin` may do everything, `operator` works with machines
    /// and lets new ones in, `viewer` looks.
    pub fn built_in(name: &str) -> Option<Self> {
        let seen = [
            Kind::Nodes,
            Kind::Apps,
            Kind::Metrics,
            Kind::Records,
            Kind::Artefacts,
        ];
        let rule = |kinds: &[Kind], verbs: &[Verb]| Rule {
            kinds: kinds.to_vec(),
            verbs: verbs.to_vec(),
            labels: Selector::default(),
        };
        let allow = match name {
            "admin" => vec![rule(&[Kind::All], &[Verb::All])],
            "operator" => vec![
                rule(&seen, &[Verb::All]),
                rule(&[Kind::Tokens], &[Verb::Read, Verb::Create, Verb::Delete]),
                rule(&[Kind::Audit, Kind::Cluster], &[Verb::Read]),
            ],
            "viewer" => vec![rule(&seen, &[Verb::Read])],
            _ => return None,
        };
        Some(Self {
            name: name.to_owned(),
            allow,
            deny: Vec::new(),
        })
    }
}

/// The names of the built-in roles.
pub const BUILT_IN: [&str; 3] = ["admin", "operator", "viewer"];

#[cfg(test)]
mod tests;
