//! Users of the configuration: who they are by Basic credentials, and their secrets for signatures.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base::clock;
use base::files::{self, Stamp};
use base::secret::{Secret, SecretError};

use super::config::{LINK_NAME, UserConfig};
use super::visitor::{Act, Visitor};

/// How long a password in a file may be outdated.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// All of them.
#[derive(Debug)]
pub(crate) struct Users {
    users: Vec<User>,
    link_secret: Secret,
}

#[derive(Debug)]
struct User {
    config: UserConfig,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    secret: Secret,
    stamp: Option<Stamp>,
    checked_at: Instant,
}

impl Users {
    /// Reads their passwords; `link_secret` signs our own links.
    pub(crate) fn open(
        configs: &[UserConfig],
        link_secret: Secret,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, SecretError> {
        let open = |config: &UserConfig| {
            let current = Current {
                stamp: config.password.file().and_then(files::stamp),
                secret: config.password.resolve(environment)?,
                checked_at: clock::now(),
            };
            Ok(User {
                config: config.clone(),
                current: Mutex::new(current),
            })
        };
        Ok(Self {
            users: configs.iter().map(open).collect::<Result<_, _>>()?,
            link_secret,
        })
    }

    /// The name and the secret that our links are signed with.
    pub(crate) fn link(&self) -> (&'static str, &Secret) {
        (LINK_NAME, &self.link_secret)
    }

    /// The secret of a name, and who that is; nobody for our own links, which say what they allow by
    /// themselves.
    pub(crate) fn secret(&self, name: &str) -> Option<(Secret, Option<Visitor>)> {
        if name == LINK_NAME {
            return Some((self.link_secret.clone(), None));
        }
        let user = self.users.iter().find(|user| user.config.name == name)?;
        Some((user.secret(), Some(user.visitor())))
    }

    /// Who has this name and password.
    pub(crate) fn visitor(&self, name: &str, password: &str) -> Option<Visitor> {
        let user = self.users.iter().find(|user| user.config.name == name)?;
        user.secret().matches(password).then(|| user.visitor())
    }
}

impl User {
    /// The password, read again when its file has changed; one that can't be read stays in force.
    fn secret(&self) -> Secret {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        let is_due = now.saturating_duration_since(current.checked_at) >= CHECK_INTERVAL;
        if let Some(path) = self.config.password.file().filter(|_| is_due) {
            current.checked_at = now;
            let stamp = files::stamp(path);
            if stamp != current.stamp {
                match self.config.password.resolve(&BTreeMap::new()) {
                    Ok(secret) => (current.secret, current.stamp) = (secret, stamp),
                    Err(error) => {
                        let user = &self.config.name;
                        tracing::warn!(%error, user, "a password can't be read again: the last one stays");
                    }
                }
            }
        }
        current.secret.clone()
    }

    fn visitor(&self) -> Visitor {
        let (groups, rights) = (self.config.groups.clone(), self.config.rights.clone());
        Visitor::new(&self.config.name, move |group: &str, act: Act| {
            let is_about = groups.is_empty() || groups.iter().any(|one| fits(one, group));
            is_about && rights.contains(&act)
        })
    }
}

/// Whether a group is meant by a name that may end with `*`.
fn fits(pattern: &str, group: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(begin) => group.starts_with(begin),
        None => pattern == group,
    }
}
