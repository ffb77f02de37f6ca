//! The closed table of roles: what `roles:` may say, and what each does.

use serde::Serialize;

/// A job that this process can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// The authority of the cluster.
    Auth,
    /// The public door, where lines end.
    Proxy,
    /// A machine that dials out.
    Node,
    /// Metrics behind a login.
    Gateway,
    /// What machines report.
    Collector,
    /// Time series.
    Monitor,
}

impl Role {
    /// Whether it is a part of a hub, where machines and people are let in.
    pub(crate) const fn is_hub(self) -> bool {
        matches!(self, Self::Auth | Self::Proxy)
    }

    /// Whether it needs the state and the identity of the cluster.
    pub(crate) const fn has_state(self) -> bool {
        matches!(
            self,
            Self::Auth | Self::Proxy | Self::Collector | Self::Monitor
        )
    }
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
pub(crate) const ROLES: [RoleRow; 6] = [
    RoleRow {
        role: Role::Auth,
        name: "auth",
        about: "lets machines and people in: certificates, join tokens, audit",
    },
    RoleRow {
        role: Role::Proxy,
        name: "proxy",
        about: "ends the lines of machines that can only dial out",
    },
    RoleRow {
        role: Role::Node,
        name: "node",
        about: "dials a proxy and offers what is on this machine",
    },
    RoleRow {
        role: Role::Gateway,
        name: "gateway",
        about: "logs in to metrics for Prometheus",
    },
    RoleRow {
        role: Role::Collector,
        name: "collector",
        about: "keeps the telemetry records that machines send",
    },
    RoleRow {
        role: Role::Monitor,
        name: "monitor",
        about: "keeps time series and answers PromQL",
    },
];
