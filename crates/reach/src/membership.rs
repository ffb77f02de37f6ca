//! What a machine sends to join and to renew, as JSON, and what hub and node tell one another over a
//! line about the node's membership.

use identity::members::JoinAnswer;
use identity::names::Labels;
use identity::peer::MachineRole;
use identity::trust::TrustBundle;
use serde::{Deserialize, Serialize};

/// `POST /v1/join`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Join {
    /// The join token.
    pub(crate) token: String,
    /// A PKCS #10 request, PEM.
    pub(crate) request: String,
    /// As what.
    pub(crate) role: MachineRole,
    /// Under which name.
    pub(crate) name: String,
    /// With which labels.
    #[serde(default)]
    pub(crate) labels: Labels,
}

/// `POST /v1/renew`. The signature of the request proves the key with which the machine joined.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Renew {
    /// Which machine.
    pub(crate) uuid: String,
    /// A PKCS #10 request, PEM.
    pub(crate) request: String,
    /// Its labels.
    #[serde(default)]
    pub(crate) labels: Labels,
}

/// What a node tells its hub. Certificates of both ends were checked when the line was made.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ToHub {
    /// It trusts this generation, also after its next start, see `TrustBundle::generation`.
    Knows(i64),
    /// It wants a new certificate.
    Renew(Renew),
    /// It was told something that it does not believe.
    Disbelieved(Disbelieved),
}

/// What a node does not believe.
#[derive(Serialize, Deserialize)]
pub(crate) struct Disbelieved {
    /// The proxy that it came from.
    pub(crate) proxy: String,
    /// Why not.
    pub(crate) reason: String,
}

/// What a hub tells a node.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ToNode {
    /// What is trusted now.
    Trust(TrustBundle),
    /// The new certificate.
    Renewed(JoinAnswer),
    /// There is none, and why.
    Refused(String),
}

/// As it travels.
pub(crate) fn text(note: &impl Serialize) -> Option<String> {
    serde_json::to_string(note).ok()
}
