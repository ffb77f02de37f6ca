//! Second factors of a user: codes by time. The key counts from the moment when a first code proved
//! that the app has it.

use base::secret::Secret;
use serde::Serialize;
use sqlx::{Any, Executor};

use super::{Users, not_found};
use crate::audit::{Caller, Event};
use crate::error::{IdentityError, Refusal};
use crate::{row, totp};

/// What is asked for beside the password. The sign-in goes through all that a user has, so that
/// another one is another arm there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecondFactor {
    /// Codes of an authenticator app (RFC 6238).
    Totp,
    /// A security key or passkey. Prepared only: nobody can have one yet.
    WebAuthn,
}

/// A key that was made for an authenticator app.
#[derive(Debug)]
pub struct TotpEnrolment {
    /// The key for typing.
    pub key: Secret,
    /// The same as an address for a QR code.
    pub url: Secret,
}

/// Where the sealed key belongs.
pub(crate) fn place(name: &str) -> String {
    format!("user/{name}/totp")
}

impl Users<'_> {
    /// Makes a key for an authenticator app. It counts after [`Users::confirm_totp`].
    pub async fn begin_totp(
        self,
        caller: &Caller,
        name: &str,
    ) -> Result<TotpEnrolment, IdentityError> {
        let key = totp::generate_key()?;
        let sealed = self.identity.sealer().seal(&place(name), &key)?;
        let mut write = self.identity.state().write().await?;
        let done = sqlx::query(
            "UPDATE users SET totp_key = $1, totp_last_step = 0
             WHERE name = $2 AND totp_is_confirmed = 0",
        )
        .bind(sealed)
        .bind(name)
        .execute(&mut write)
        .await?;
        if done.rows_affected() == 0 {
            let text = format!("there is no user {name:?} without an authenticator app");
            return Err(IdentityError::NotReady(text));
        }
        let event = Event::success("user.totp_begun", caller, format!("user:{name}"));
        self.identity.finish(write, &[event]).await?;
        Ok(self.enrolment(name, &key))
    }

    /// The key that was made and not confirmed yet, for showing it again.
    pub async fn begun_totp(self, name: &str) -> Result<Option<TotpEnrolment>, IdentityError> {
        let mut read = self.identity.state().read().await?;
        let begun = self.begun_key(&mut read, name).await?;
        Ok(begun.map(|(_, key)| self.enrolment(name, &key)))
    }

    /// The key that was made and not confirmed yet, as it is kept and open.
    async fn begun_key<C>(
        self,
        connection: &mut C,
        name: &str,
    ) -> Result<Option<(String, Vec<u8>)>, IdentityError>
    where
        for<'c> &'c mut C: Executor<'c, Database = Any>,
    {
        let found = sqlx::query(
            "SELECT totp_key FROM users
             WHERE name = $1 AND totp_is_confirmed = 0 AND totp_key <> ''",
        )
        .bind(name)
        .fetch_optional(connection)
        .await?;
        let Some(found) = found else { return Ok(None) };
        let sealed = row::text(&found, "totp_key")?;
        let key = self.identity.sealer().open_sealed(&place(name), &sealed)?;
        Ok(Some((sealed, key)))
    }

    fn enrolment(self, name: &str, key: &[u8]) -> TotpEnrolment {
        TotpEnrolment {
            key: Secret::new(totp::base32(key)),
            url: totp::otpauth_url(self.identity.cluster(), name, key),
        }
    }

    /// Takes the first code of the app: from now on one is asked for.
    pub async fn confirm_totp(
        self,
        caller: &Caller,
        name: &str,
        code: &Secret,
    ) -> Result<(), IdentityError> {
        let event = Event::success("user.totp_confirmed", caller, format!("user:{name}"));
        let mut write = self.identity.state().write().await?;
        let begun = self.begun_key(&mut write, name).await?;
        let (sealed, key) = begun.ok_or_else(|| not_found(name))?;
        let step = totp::find_step(&key, code, self.identity.now(), 0);
        let Some(step) = step else {
            drop(write);
            return Err(self.identity.refuse(event, Refusal::Credentials).await);
        };
        // The key may have been made anew by another request since it was read.
        let done = sqlx::query(
            "UPDATE users SET totp_is_confirmed = 1, totp_last_step = $1
             WHERE name = $2 AND totp_key = $3 AND totp_is_confirmed = 0",
        )
        .bind(step)
        .bind(name)
        .bind(sealed)
        .execute(&mut write)
        .await?;
        if done.rows_affected() == 0 {
            return Err(not_found(name));
        }
        self.identity.finish(write, &[event]).await
    }

    /// Takes the authenticator app away, for instance after it was lost.
    pub async fn remove_totp(self, caller: &Caller, name: &str) -> Result<(), IdentityError> {
        let mut write = self.identity.state().write().await?;
        let done = sqlx::query(
            "UPDATE users SET totp_key = '', totp_is_confirmed = 0, totp_last_step = 0
             WHERE name = $1 AND totp_key <> ''",
        )
        .bind(name)
        .execute(&mut write)
        .await?;
        if done.rows_affected() == 0 {
            drop(write);
            let user = self.get(name).await?;
            user.ok_or_else(|| not_found(name))?;
            let text = format!("{name} has no second factor");
            return Err(IdentityError::NotReady(text));
        }
        let event = Event::success("user.totp_removed", caller, format!("user:{name}"));
        self.identity.finish(write, &[event]).await
    }
}
