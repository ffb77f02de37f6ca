//! Locks: who may do nothing until the lock goes. This file compares; keeping them is `lock_store`.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What a lock stops.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind", content = "name")]
pub enum LockTarget {
    /// A user: logins, sessions, API tokens, certificates.
    User(String),
    /// A machine by its UUID: lines and renewals.
    Node(String),
    /// A join token or an API token by its identifier.
    Token(String),
    /// Everyone and every machine with this role.
    Role(String),
}

/// A lock that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lock {
    /// Its identifier.
    pub id: String,
    /// What it stops.
    pub target: LockTarget,
    /// Why, for those who meet it.
    pub reason: String,
    /// When it ends, in Unix milliseconds; never when nothing.
    pub expires_at: Option<i64>,
    /// When it was made, in Unix milliseconds.
    pub created_at: i64,
    /// Who made it.
    pub created_by: String,
}

/// All locks at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockSet {
    /// By what they stop: the question is asked with each request, of thousands of locks.
    by_target: HashMap<LockTarget, Vec<Lock>>,
}

impl LockTarget {
    /// The kind as a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Node(_) => "node",
            Self::Token(_) => "token",
            Self::Role(_) => "role",
        }
    }

    /// What it names.
    pub fn name(&self) -> &str {
        match self {
            Self::User(name) | Self::Node(name) | Self::Token(name) | Self::Role(name) => name,
        }
    }

    /// The target of that kind and name.
    pub fn parse(kind: &str, name: &str) -> Option<Self> {
        let name = name.to_owned();
        match kind {
            "user" => Some(Self::User(name)),
            "node" => Some(Self::Node(name)),
            "token" => Some(Self::Token(name)),
            "role" => Some(Self::Role(name)),
            _ => None,
        }
    }
}

impl fmt::Display for LockTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.name())
    }
}

impl LockSet {
    /// These locks.
    pub fn new(locks: Vec<Lock>) -> Self {
        let mut by_target: HashMap<LockTarget, Vec<Lock>> = HashMap::new();
        for lock in locks {
            by_target.entry(lock.target.clone()).or_default().push(lock);
        }
        Self { by_target }
    }

    /// A lock on one of `targets` that holds at `now`, in Unix milliseconds.
    pub fn find(&self, targets: &[LockTarget], now: i64) -> Option<&Lock> {
        let locks = targets
            .iter()
            .filter_map(|target| self.by_target.get(target));
        let mut locks = locks.flatten();
        locks.find(|lock| lock.expires_at.is_none_or(|end| end > now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_holds_for_its_target_until_its_end() {
        let lock = |target: LockTarget, expires_at| Lock {
            id: "1".to_owned(),
            target,
            reason: String::new(),
            expires_at,
            created_at: 0,
            created_by: "admin".to_owned(),
        };
        let anna = LockTarget::User("anna".to_owned());
        let role = LockTarget::Role("viewer".to_owned());
        let set = LockSet::new(vec![lock(anna.clone(), Some(10)), lock(role.clone(), None)]);
        assert!(set.find(std::slice::from_ref(&anna), 9).is_some());
        assert!(set.find(&[anna], 10).is_none());
        assert!(
            set.find(&[LockTarget::Node("anna".to_owned())], 9)
                .is_none()
        );
        let both = [LockTarget::User("ben".to_owned()), role];
        assert!(set.find(&both, i64::MAX).is_some());
        for target in both {
            assert_eq!(
                LockTarget::parse(target.kind(), target.name()),
                Some(target)
            );
        }
    }
}
