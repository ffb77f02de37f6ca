//! Renewing a certificate while it is valid, and coming back after it has ended.

use std::net::IpAddr;
use std::time::Duration;

use state::Write;

use super::sign::{self, Wanted};
use super::{JoinAnswer, Members, Stored};
use crate::audit::{Actor, Caller, Event};
use crate::authority::Request;
use crate::error::{IdentityError, Refusal};
use crate::locks::LockTarget;
use crate::names::{self, Labels};
use crate::peer::{self, NodePeer};
use crate::{lock_store, random};

/// How long after the end of its certificate a machine may come back with its key alone.
pub const ABSENCE_MAX: Duration = Duration::from_hours(30 * 24);

/// What a machine asks for when it renews.
#[derive(Debug, Clone)]
pub struct Renewal<'a> {
    /// A PKCS #10 request, PEM or DER.
    pub request: &'a [u8],
    /// Its labels when they have changed.
    pub labels: Option<&'a Labels>,
    /// DNS names and addresses for browsers; for processes of the hub only.
    pub web_names: &'a [String],
    /// Where it connects from.
    pub address: Option<IpAddr>,
}

impl Members<'_> {
    /// Renews the certificate of the machine that asks. `peer` is whom its certificate named in the
    /// handshake: a machine gets what it is, and nothing else.
    pub async fn renew(
        self,
        peer: &NodePeer,
        renewal: &Renewal<'_>,
    ) -> Result<JoinAnswer, IdentityError> {
        let caller = Caller::machine(peer, renewal.address);
        let result = self.try_renew(peer, renewal, &caller).await;
        self.note_refusal("node.renew", &caller, &peer.uuid, result)
            .await
    }

    /// Gives a new certificate to a machine whose certificate has ended, for the key with which it
    /// joined. The signature of the request proves that key; a copy of an old request gives a
    /// certificate that only the holder of the key can use.
    pub async fn come_back(
        self,
        uuid: &str,
        renewal: &Renewal<'_>,
    ) -> Result<JoinAnswer, IdentityError> {
        let caller = Caller {
            actor: Actor::Anonymous,
            address: renewal.address,
        };
        let result = self.try_come_back(uuid, renewal, &caller).await;
        self.note_refusal("node.come_back", &caller, uuid, result)
            .await
    }

    async fn note_refusal(
        self,
        kind: &'static str,
        caller: &Caller,
        uuid: &str,
        result: Result<JoinAnswer, IdentityError>,
    ) -> Result<JoinAnswer, IdentityError> {
        match result {
            Err(IdentityError::Refused(refusal)) => {
                let target = format!("node:{}", names::shortened(uuid));
                let event = Event::success(kind, caller, target);
                Err(self.identity.refuse(event, refusal).await)
            }
            other => other,
        }
    }

    async fn try_renew(
        self,
        peer: &NodePeer,
        renewal: &Renewal<'_>,
        caller: &Caller,
    ) -> Result<JoinAnswer, IdentityError> {
        let request = Request::parse(renewal.request)?;
        let mut write = self.identity.state().write().await?;
        let held = sign::by_uuid(&mut write, &peer.uuid).await?;
        let held = held.ok_or(Refusal::NotMember)?;
        let is_same = peer.cluster == self.identity.cluster()
            && (&peer.name, peer.role) == (&held.member.name, held.member.role);
        if !is_same {
            return Err(Refusal::OtherName.into());
        }
        self.sign_again(
            write,
            held,
            (&request, renewal),
            Event::success("node.renew", caller, format!("node:{}", peer.uuid)),
        )
        .await
    }

    async fn try_come_back(
        self,
        uuid: &str,
        renewal: &Renewal<'_>,
        caller: &Caller,
    ) -> Result<JoinAnswer, IdentityError> {
        let request = Request::parse(renewal.request)?;
        // Strangers don't get the writer, of which SQLite has one.
        if !random::is_uuid(uuid) || self.get(uuid).await?.is_none() {
            return Err(Refusal::NotMember.into());
        }
        let mut write = self.identity.state().write().await?;
        let held = sign::by_uuid(&mut write, uuid).await?;
        let held = held.ok_or(Refusal::NotMember)?;
        if held.key_hash != request.key_hash() {
            return Err(Refusal::OtherKey.into());
        }
        if crate::after(held.member.expires_at, ABSENCE_MAX) < self.identity.now() {
            return Err(Refusal::AwayTooLong.into());
        }
        self.sign_again(
            write,
            held,
            (&request, renewal),
            Event::success("node.come_back", caller, format!("node:{uuid}")),
        )
        .await
    }

    async fn sign_again(
        self,
        mut write: Write,
        held: Stored,
        (request, renewal): (&Request, &Renewal<'_>),
        event: Event,
    ) -> Result<JoinAnswer, IdentityError> {
        let member = &held.member;
        check_names(request, &held, self.identity.cluster())?;
        let targets = [
            LockTarget::Node(member.uuid.clone()),
            LockTarget::Role(member.role.to_string()),
        ];
        lock_store::check(&mut write, &targets, self.identity.now()).await??;
        let labels = match renewal.labels {
            Some(labels) => sign::join_labels(labels, &held.pinned_labels)?,
            None => member.labels.clone(),
        };
        names::check_labels(&labels)?;
        // Web names make a certificate that browsers take: not for machines that joined.
        let is_local = member.token_id.is_empty();
        let wanted = Wanted {
            role: member.role,
            name: &member.name,
            labels,
            pinned_labels: held.pinned_labels.clone(),
            token_id: &member.token_id,
            web_names: if is_local { renewal.web_names } else { &[] },
            uuid: Some(member.uuid.clone()),
            is_joining: false,
        };
        let answer = sign::sign(self.identity, &mut write, wanted, request).await?;
        let event = event
            .with("name", &member.name)
            .with("expires_at", answer.expires_at);
        self.identity.finish(write, &[event]).await?;
        Ok(answer)
    }
}

/// A request may ask for the machine's own names or for none.
fn check_names(request: &Request, held: &Stored, cluster: &str) -> Result<(), Refusal> {
    let member = &held.member;
    let mut own = peer::machine_uris(cluster, member.role, &member.uuid, &member.name);
    own.push(member.name.clone());
    let wanted = request.wanted_names();
    let is_own = wanted.iter().all(|name| own.contains(name));
    if is_own {
        Ok(())
    } else {
        Err(Refusal::OtherName)
    }
}
