//! Certificates of people, and SSH certificates of hosts. They live for hours, so none is ever
//! revoked: a lock acts meanwhile.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::audit::{Caller, Event};
use crate::authorities::{self, AuthorityKind};
use crate::authority::{MACHINE_LIFE, Request, Subject, USER_LIFE};
use crate::error::{IdentityError, Refusal};
use crate::peer::NodePeer;
use crate::principal::Principal;
use crate::rotation::Usage;
use crate::ssh_authority::SshUser;
use crate::{Identity, after, users};

/// What `landline login` asks for, for a user who has proved who they are.
#[derive(Debug, Clone, Default)]
pub struct UserRequest<'a> {
    /// A PKCS #10 request, PEM or DER.
    pub request: Option<&'a [u8]>,
    /// An SSH public key.
    pub ssh_public_key: Option<&'a str>,
    /// How long; up to [`USER_LIFE`], which it is when nothing is asked for.
    pub life: Option<Duration>,
}

/// Certificates of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserCertificates {
    /// For TLS, PEM.
    pub certificate: Option<String>,
    /// For SSH, one line.
    pub ssh_certificate: Option<String>,
    /// When they end, in Unix milliseconds.
    pub expires_at: i64,
}

/// Certificates of people.
#[derive(Debug, Clone, Copy)]
pub struct Certificates<'a> {
    pub(crate) identity: &'a Identity,
}

impl Certificates<'_> {
    /// Signs certificates for a user. One who came with a certificate gets none: they would renew
    /// for ever what a sign-in gave them for hours.
    pub async fn sign_user(
        self,
        principal: &Principal,
        caller: &Caller,
        wanted: &UserRequest<'_>,
    ) -> Result<UserCertificates, IdentityError> {
        let target = format!("user:{}", principal.user);
        let event = Event::success("certificate.signed", caller, target);
        if !matches!(principal.via, crate::principal::Via::Session(_)) {
            let text = "certificates are given to those who have signed in: use a session";
            let refusal = Refusal::Certificate(text.to_owned());
            return Err(self.identity.refuse(event, refusal).await);
        }
        let user = self.identity.users().get(&principal.user).await?;
        let user = user.ok_or_else(|| users::not_found(&principal.user))?;
        let now = self.identity.now();
        let life = wanted.life.unwrap_or(USER_LIFE).min(USER_LIFE);
        let expires_at = after(now, life);
        let mut write = self.identity.state().write().await?;
        let mut signed = UserCertificates {
            certificate: None,
            ssh_certificate: None,
            expires_at,
        };
        if let Some(request) = wanted.request {
            let request = Request::parse(request)?;
            let signer = self
                .identity
                .authorities()
                .x509(&mut write, Usage::Client)
                .await?;
            let subject = Subject::User {
                cluster: self.identity.cluster(),
                name: &user.name,
            };
            let issued = signer.key.issue(subject, &request, now, life)?;
            authorities::note_issued(&mut write, &signer.id, expires_at).await?;
            signed.certificate = Some(issued.chain_pem);
        }
        if let Some(public_key) = wanted.ssh_public_key {
            let kind = AuthorityKind::SshUser;
            let signer = self.identity.authorities().ssh(&mut write, kind).await?;
            let subject = SshUser {
                public_key,
                name: &user.name,
                logins: &user.logins,
                roles: &user.roles,
                source_address: "",
                may_forward_ports: true,
                may_forward_agent: true,
            };
            let certificate = signer.key.sign_user(&subject, now, life)?;
            authorities::note_issued(&mut write, &signer.id, expires_at).await?;
            signed.ssh_certificate = Some(certificate);
        }
        let event = event
            .with("x509", signed.certificate.is_some())
            .with("ssh", signed.ssh_certificate.is_some())
            .with("expires_at", expires_at);
        self.identity.finish(write, &[event]).await?;
        Ok(signed)
    }

    /// Signs an SSH host certificate for a machine: its UUID, its name, and both under the cluster.
    pub async fn sign_host(
        self,
        peer: &NodePeer,
        caller: &Caller,
        ssh_public_key: &str,
    ) -> Result<String, IdentityError> {
        let member = self.identity.members().get(&peer.uuid).await?;
        let member = member.filter(|member| member.name == peer.name && member.role == peer.role);
        let event = Event::success("certificate.signed", caller, format!("node:{}", peer.uuid))
            .with("ssh", true);
        let Some(member) = member else {
            return Err(self.identity.refuse(event, Refusal::NotMember).await);
        };
        let cluster = self.identity.cluster();
        let principals = [
            member.name.clone(),
            format!("{}.{cluster}", member.name),
            member.uuid.clone(),
            format!("{}.{cluster}", member.uuid),
        ];
        let now = self.identity.now();
        let mut write = self.identity.state().write().await?;
        let kind = AuthorityKind::SshHost;
        let signer = self.identity.authorities().ssh(&mut write, kind).await?;
        let signed = signer
            .key
            .sign_host(ssh_public_key, &principals, now, MACHINE_LIFE)?;
        authorities::note_issued(&mut write, &signer.id, after(now, MACHINE_LIFE)).await?;
        self.identity.finish(write, &[event]).await?;
        Ok(signed)
    }
}
