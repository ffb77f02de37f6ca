//! Joining: with a token, or as a process of the hub itself.

use state::Write;

use super::sign::{self, Wanted};
use super::{JoinAnswer, JoinRequest, Members, Stored};
use crate::audit::{Caller, Event};
use crate::authority::Request;
use crate::credential::CredentialKind;
use crate::error::{IdentityError, Refusal};
use crate::lock_store;
use crate::locks::LockTarget;
use crate::names::{self, Labels};
use crate::peer::MachineRole;
use crate::tokens::{self, Token};

impl Members<'_> {
    /// Lets a machine in. A refusal uses nothing of the token, and is recorded.
    pub async fn join(self, join: &JoinRequest) -> Result<JoinAnswer, IdentityError> {
        let caller = Caller::anonymous(join.address);
        match self.try_join(join, &caller).await {
            Err(IdentityError::Refused(refusal)) => {
                let name = names::shortened(&join.name);
                let event = Event::success("node.join", &caller, format!("{}:{name}", join.role));
                Err(self.identity.refuse(event, refusal).await)
            }
            other => other,
        }
    }

    async fn try_join(
        self,
        join: &JoinRequest,
        caller: &Caller,
    ) -> Result<JoinAnswer, IdentityError> {
        let hash = CredentialKind::Join
            .hash(&join.token)
            .map_err(Refusal::Form)?;
        names::check_name("machine", &join.name)?;
        names::check_labels(&join.labels)?;
        let request = Request::parse(&join.request)?;
        // Strangers without a token don't get the writer, of which SQLite has one.
        let is_known = tokens::is_known(&mut self.identity.state().read().await?, &hash).await?;
        if !is_known {
            return Err(Refusal::TokenUnknown.into());
        }
        let now = self.identity.now();
        let mut write = self.identity.state().write().await?;
        // From here on a refusal rolls back, so that the use of the token does not count.
        let token = tokens::consume(&mut write, &hash, now).await??;
        let labels = fitting(join, &token)?;
        names::check_labels(&labels)?;
        let held = sign::by_name(&mut write, &join.name).await?;
        let uuid = own_name(held.as_ref(), join, &request)?;
        check_locks(&mut write, &token.id, join.role, uuid.as_deref(), now).await?;
        let wanted = Wanted {
            role: join.role,
            name: &join.name,
            labels,
            pinned_labels: token.labels.clone(),
            token_id: &token.id,
            web_names: &[],
            uuid,
            is_joining: true,
        };
        let answer = sign::sign(self.identity, &mut write, wanted, &request).await?;
        let event = Event::success("node.join", caller, format!("node:{}", answer.uuid))
            .with("name", &answer.name)
            .with("role", answer.role)
            .with("labels", &answer.labels)
            .with("token", &token.id)
            .with("uses_left", token.uses_left);
        self.identity.finish(write, &[event]).await?;
        Ok(answer)
    }

    /// Gives a certificate to a process of the hub, which needs no token because it holds the
    /// authorities. It is the same machine on each start by its name. `web_names` are the DNS names
    /// and addresses under which browsers reach it.
    pub async fn enrol_local(
        self,
        role: MachineRole,
        name: &str,
        request: &[u8],
        web_names: &[String],
    ) -> Result<JoinAnswer, IdentityError> {
        names::check_name("machine", name)?;
        let request = Request::parse(request)?;
        let mut write = self.identity.state().write().await?;
        write.lock("identity_members").await?;
        let held = sign::by_name(&mut write, name).await?;
        let is_other = |held: &Stored| !held.member.token_id.is_empty() || held.member.role != role;
        if held.as_ref().is_some_and(is_other) {
            drop(write);
            let event = Event::success("node.join", &Caller::system(), format!("{role}:{name}"));
            let refusal = Refusal::NameTaken(name.to_owned());
            return Err(self.identity.refuse(event, refusal).await);
        }
        let is_new = held.is_none();
        let wanted = Wanted {
            role,
            name,
            labels: Labels::new(),
            pinned_labels: Labels::new(),
            token_id: "",
            web_names,
            uuid: held.map(|held| held.member.uuid),
            is_joining: true,
        };
        let answer = sign::sign(self.identity, &mut write, wanted, &request).await?;
        let kind = if is_new { "node.join" } else { "node.renew" };
        let event = Event::success(kind, &Caller::system(), format!("node:{}", answer.uuid))
            .with("name", name)
            .with("role", role);
        self.identity.finish(write, &[event]).await?;
        Ok(answer)
    }
}

/// The labels of the machine, if the token lets it in as what it wants to be.
fn fitting(join: &JoinRequest, token: &Token) -> Result<Labels, Refusal> {
    if !token.roles.contains(&join.role) {
        return Err(Refusal::TokenRole(join.role.to_string()));
    }
    if !token.name.is_empty() && token.name != join.name {
        return Err(Refusal::TokenName);
    }
    sign::join_labels(&join.labels, &token.labels)
}

/// The identifier of the machine that has the name, if it is the same one: same key, same role.
fn own_name(
    held: Option<&Stored>,
    join: &JoinRequest,
    request: &Request,
) -> Result<Option<String>, Refusal> {
    match held {
        None => Ok(None),
        Some(held) if held.key_hash == request.key_hash() && held.member.role == join.role => {
            Ok(Some(held.member.uuid.clone()))
        }
        Some(_) => Err(Refusal::NameTaken(join.name.clone())),
    }
}

async fn check_locks(
    write: &mut Write,
    token_id: &str,
    role: MachineRole,
    uuid: Option<&str>,
    now: i64,
) -> Result<(), IdentityError> {
    let mut targets = vec![
        LockTarget::Token(token_id.to_owned()),
        LockTarget::Role(role.to_string()),
    ];
    targets.extend(uuid.map(|uuid| LockTarget::Node(uuid.to_owned())));
    Ok(lock_store::check(write, &targets, now).await??)
}
