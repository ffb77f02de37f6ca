//! The closed table of roles: what `roles:` may say, and what each does.

use serde::Serialize;

/// A job that this process can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Metrics behind a login.
    Gateway,
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct RoleRow {
    /// The role.
    pub(crate) role: Role,
    /// Its word in the configuration, and the name of its page under `docs/operate`.
    pub(crate) name: &'static str,
    /// What it does, in one line.
    pub(crate) about: &'static str,
}

/// All roles. Without a configuration all of them run.
pub(crate) const ROLES: [RoleRow; 1] = [RoleRow {
    role: Role::Gateway,
    name: "gateway",
    about: "logs in to metrics for Prometheus",
}];
