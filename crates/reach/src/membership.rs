//! What a machine sends to join and to renew, as JSON. The answer is identity's.

use identity::names::Labels;
use identity::peer::MachineRole;
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
