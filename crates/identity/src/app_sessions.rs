//! How a browser's session is carried from the hub's host to that of an application, whose pages must
//! never see the hub's own cookie: a code that works once and soon, then a credential for that host
//! alone. Both end with the session.

use std::net::IpAddr;
use std::time::Duration;

use base::secret::Secret;

use crate::audit::{Caller, Event};
use crate::credential::CredentialKind;
use crate::error::{IdentityError, Refusal};
use crate::principal::{Principal, Via};
use crate::sessions::SESSION_LIFE;
use crate::{Identity, after, names, random, row};

/// How long a code is good: the time of a redirect.
pub const LAUNCH_LIFE: Duration = Duration::from_mins(1);
/// Codes and hosts of one session; the oldest go.
const PER_SESSION_MAX: i64 = 200;

/// Sessions at hosts of applications.
#[derive(Debug, Clone, Copy)]
pub struct AppSessions<'a> {
    pub(crate) identity: &'a Identity,
}

impl AppSessions<'_> {
    /// A random text that ties a code to the browser that asked for it.
    pub fn nonce(self) -> Result<Secret, IdentityError> {
        Ok(Secret::new(random::hex(&random::bytes::<16>()?)))
    }

    /// A code for `host`, for the browser that has `nonce`. Only who has a web session gets one.
    pub async fn launch(
        self,
        principal: &Principal,
        host: &str,
        nonce: &str,
    ) -> Result<Secret, IdentityError> {
        let Via::Session(session) = &principal.via else {
            return Err(Refusal::SessionEnded.into());
        };
        if nonce.is_empty() {
            return Err(Refusal::SessionEnded.into());
        }
        let fresh = CredentialKind::Launch.generate()?;
        let nonce = random::sha256_hex(nonce.as_bytes());
        let kept = (fresh.hash.as_str(), session.as_str(), host, nonce.as_str());
        self.keep(kept, LAUNCH_LIFE).await?;
        Ok(fresh.secret)
    }

    /// Takes a code at `host` and gives the credential for it. Refusals are recorded.
    pub async fn enter(
        self,
        code: &Secret,
        (host, nonce): (&str, &str),
        address: Option<IpAddr>,
    ) -> Result<Secret, IdentityError> {
        match self.try_enter(code, host, nonce).await {
            Err(IdentityError::Refused(refusal)) => {
                let caller = Caller::anonymous(address);
                let target = format!("host:{}", names::shortened(host));
                let event = Event::success("session.carried", &caller, target);
                Err(self.identity.refuse(event, refusal).await)
            }
            other => other,
        }
    }

    /// Who makes a request at `host` with this credential.
    pub async fn verify(self, secret: &Secret, host: &str) -> Result<Principal, IdentityError> {
        let hash = CredentialKind::AppSession.hash(secret);
        let hash = hash.map_err(Refusal::Form)?;
        let now = self.identity.now();
        let mut read = self.identity.state().read().await?;
        let found = sqlx::query(
            "SELECT s.* FROM app_sessions a JOIN web_sessions s ON s.id = a.session_id
             WHERE a.hash = $1 AND a.host = $2 AND a.nonce_hash = '' AND a.expires_at > $3
               AND s.expires_at > $3",
        )
        .bind(hash)
        .bind(host)
        .bind(now)
        .fetch_optional(&mut read)
        .await?;
        self.identity.sessions().go_on(read, found, now).await
    }

    async fn try_enter(
        self,
        code: &Secret,
        host: &str,
        nonce: &str,
    ) -> Result<Secret, IdentityError> {
        let hash = CredentialKind::Launch.hash(code).map_err(Refusal::Form)?;
        let mut write = self.identity.state().write().await?;
        // Used up whatever else is wrong: a code that came to the wrong place is not tried again.
        let found = sqlx::query(
            "DELETE FROM app_sessions WHERE hash = $1
             RETURNING session_id, host, nonce_hash, expires_at",
        )
        .bind(hash)
        .fetch_optional(&mut write)
        .await?;
        write.commit().await?;
        let found = found.ok_or(Refusal::SessionEnded)?;
        let is_here = row::text(&found, "host")? == host;
        let nonce = random::sha256_hex(nonce.as_bytes());
        let is_asked = Secret::new(row::text(&found, "nonce_hash")?).matches(&nonce);
        let is_late = row::number(&found, "expires_at")? <= self.identity.now();
        if !is_here || !is_asked || is_late {
            return Err(Refusal::SessionEnded.into());
        }
        let fresh = CredentialKind::AppSession.generate()?;
        let session = row::text(&found, "session_id")?;
        self.keep((&fresh.hash, &session, host, ""), SESSION_LIFE)
            .await?;
        Ok(fresh.secret)
    }

    async fn keep(
        self,
        (hash, session, host, nonce): (&str, &str, &str, &str),
        life: Duration,
    ) -> Result<(), IdentityError> {
        let now = self.identity.now();
        let mut write = self.identity.state().write().await?;
        sqlx::query(
            "DELETE FROM app_sessions WHERE expires_at <= $1 OR hash IN
                 (SELECT hash FROM app_sessions WHERE session_id = $2
                  ORDER BY created_at DESC, hash LIMIT 1000 OFFSET $3)",
        )
        .bind(now)
        .bind(session)
        .bind(PER_SESSION_MAX - 1)
        .execute(&mut write)
        .await?;
        sqlx::query(
            "INSERT INTO app_sessions (hash, session_id, host, nonce_hash, expires_at, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(hash)
        .bind(session)
        .bind(host)
        .bind(nonce)
        .bind(after(now, life))
        .bind(now)
        .execute(&mut write)
        .await?;
        Ok(write.commit().await?)
    }
}
