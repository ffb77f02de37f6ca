//! Joining and renewing: at a hub elsewhere by HTTPS, which proves itself by its pin before and by the
//! cluster's authority after; or at the hub in this very process.

use std::sync::Arc;
use std::time::Duration;

use base::client::{Client, Dial, Dialing, read_body};
use base::clock;
use base::error::Class;
use base::supervise::{BoxError, Scope};
use base::tls::ClientTls;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use identity::authority;
use identity::members::JoinAnswer;
use identity::peer::MachineRole;
use identity::trust::{Trust, explain, pinned_verifier};
use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::ServerName;
use serde::Serialize;
use tokio_rustls::TlsConnector;

use super::credentials::Credentials;
use super::{Enrolment, Node};
use crate::line::Egress;
use crate::membership::{Join, Renew};

/// The longest wait for the hub's answer, over all steps.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// The largest answer.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

impl Node {
    /// New credentials.
    pub(super) async fn enrol(&self, scope: &Scope) -> Result<Credentials, BoxError> {
        let name = &self.parts.name;
        let (key, request) = authority::new_key(name)?;
        let member = match &self.parts.enrolment {
            Enrolment::Local(identity) => {
                let members = identity.members();
                members
                    .enrol_local(MachineRole::Node, name, request.as_bytes(), &[])
                    .await?
            }
            Enrolment::Remote { join, token } => {
                let token = token.as_ref().ok_or(
                    "this machine is not a member yet: set `join.token` to what `landline tokens add --role node` printed",
                )?;
                let join_request = Join {
                    token: token.expose().to_owned(),
                    request,
                    role: MachineRole::Node,
                    name: name.clone(),
                    labels: self.labels(),
                };
                let verifier = pinned_verifier(join.ca_pins.clone());
                let hub = HubClient::new(&join.proxy, &self.parts.egress, verifier, scope)?;
                hub.post("/v1/join", &join_request).await?
            }
        };
        let mut credentials = Credentials {
            key,
            member,
            pins: Vec::new(),
        };
        credentials.note_pins();
        Ok(credentials)
    }

    /// What asks for a new certificate for the same key.
    pub(super) fn renewal(&self, credentials: &Credentials) -> Result<Renew, BoxError> {
        let name = &credentials.member.name;
        Ok(Renew {
            uuid: credentials.member.uuid.clone(),
            request: authority::request_for(&credentials.key, name)?,
            labels: self.labels(),
        })
    }

    /// A new certificate for the same key, without a line.
    pub(super) async fn renew(
        &self,
        credentials: &Credentials,
        trust: &Trust,
        scope: &Scope,
    ) -> Result<JoinAnswer, BoxError> {
        let renew = self.renewal(credentials)?;
        match &self.parts.enrolment {
            Enrolment::Local(identity) => {
                let members = identity.members();
                let (name, request) = (&credentials.member.name, renew.request.as_bytes());
                let enrolled = members.enrol_local(MachineRole::Node, name, request, &[]);
                Ok(enrolled.await?)
            }
            Enrolment::Remote { join, .. } => {
                let verifier = trust.server_verifier(&[MachineRole::Proxy], None);
                let hub = HubClient::new(&join.proxy, &self.parts.egress, verifier, scope)?;
                hub.post("/v1/renew", &renew).await
            }
        }
    }
}

/// Speaks HTTPS with a hub that `verifier` recognises.
struct HubClient {
    client: Client,
    address: String,
}

impl HubClient {
    fn new(
        address: &str,
        egress: &Egress,
        verifier: Arc<dyn ServerCertVerifier>,
        scope: &Scope,
    ) -> Result<Self, BoxError> {
        let mut tls = ClientConfig::builder_with_provider(base::tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let dial = TlsDial {
            address: address.to_owned(),
            egress: egress.clone(),
            tls: TlsConnector::from(Arc::new(tls)),
        };
        let supervisor = scope.supervisor().clone();
        Ok(Self {
            client: Client::through(Some(Arc::new(dial)), ClientTls::default(), supervisor),
            address: address.to_owned(),
        })
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> Result<JoinAnswer, BoxError> {
        let deadline = clock::now() + ANSWER_LIMIT;
        // The dialer speaks TLS itself: to the client above it the connection is a plain one.
        let request = Request::post(format!("http://{}{path}", self.address))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(serde_json::to_vec(body)?)))?;
        let answer = self.client.send(request, deadline).await?;
        let status = answer.status();
        let body = read_body(answer.into_body(), ANSWER_BYTES_MAX, deadline).await?;
        if status != StatusCode::OK {
            return Err(refusal(&self.address, status, &body).into());
        }
        Ok(serde_json::from_slice(&body)?)
    }
}

/// What the hub said against it.
fn refusal(address: &str, status: StatusCode, body: &[u8]) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let message = body
        .pointer("/error/message")
        .and_then(serde_json::Value::as_str);
    let hint = if status == Class::NotFound.status() {
        "; is it a landline hub with the role `proxy`?"
    } else {
        ""
    };
    format!(
        "{address} answered {status}: {}{hint}",
        message.unwrap_or("without a reason")
    )
}

/// Connections to one hub, with TLS inside.
struct TlsDial {
    address: String,
    egress: Egress,
    tls: TlsConnector,
}

impl std::fmt::Debug for TlsDial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsDial")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Dial for TlsDial {
    fn dial<'a>(&'a self, host: &'a str, _port: u16) -> Dialing<'a> {
        Box::pin(async move {
            let stream = self.egress.connect(&self.address).await;
            let stream = stream.map_err(|error| crate::line::chain(&error))?;
            let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
            let stream = self.tls.connect(name, stream).await;
            let stream = stream.map_err(|error| {
                // Of an error of ours rustls alone would print the names only.
                let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
                let reason = inner.map_or_else(|| error.to_string(), explain);
                format!("TLS with {}: {reason}", self.address)
            })?;
            Ok(Box::new(stream) as base::duplex::BoxDuplex)
        })
    }
}
