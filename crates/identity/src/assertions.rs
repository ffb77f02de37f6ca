//! Assertions: signed statements (JWT, RFC 7519) that tell an app who uses it, and the public keys
//! (JWKS, RFC 7517) with which anyone checks them. The key is kept sealed in the state, so that all
//! processes of a hub sign with the same one.

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::any::AnyRow;

use crate::audit::{Caller, Event};
use crate::authorities::TRUST_TOPIC;
use crate::error::IdentityError;
use crate::{Identity, random, row};

/// Two processes that start at once must agree on one key.
const KEYS_LOCK: &str = "identity_assertions";
/// Keys of one list.
const KEYS_MAX: i64 = 16;
/// How long the public part of a key that was replaced is still told: an assertion lives for five
/// minutes, and a process that did not hear of the new key signs with the old one a while longer.
const KEPT: Duration = Duration::from_hours(1);
/// Hexadecimal digits of the name of a key.
const KEY_ID_DIGITS: usize = 16;
/// The first byte of an uncompressed point (SEC 1, 2.3.3).
const UNCOMPRESSED: u8 = 4;
/// Bytes of one coordinate of P-256.
const COORDINATE_BYTES: usize = 32;

/// What an assertion says (RFC 7519, 4.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// Who says it: the URL of the hub.
    #[serde(rename = "iss")]
    pub issuer: String,
    /// Whom it is about: the user.
    #[serde(rename = "sub")]
    pub subject: String,
    /// Whom it is for: the app.
    #[serde(rename = "aud")]
    pub audience: String,
    /// The names of the user's roles.
    pub roles: Vec<String>,
    /// When it was signed, in Unix seconds.
    #[serde(rename = "iat")]
    pub issued_at: i64,
    /// When it ends, in Unix seconds.
    #[serde(rename = "exp")]
    pub expires_at: i64,
}

/// Signs with one key.
pub(crate) struct Signer {
    key: EcdsaKeyPair,
    /// The base64url of the first part of each assertion.
    head: String,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

/// A key as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AssertionKey {
    /// Its name, `kid`.
    pub id: String,
    /// When it was made, in Unix milliseconds.
    pub created_at: i64,
    /// When another one took its place, in Unix milliseconds; 0 while it signs.
    pub retired_at: i64,
}

/// A key that is not kept yet.
struct Fresh {
    id: String,
    public: String,
    sealed: String,
}

/// Assertions.
#[derive(Debug, Clone, Copy)]
pub struct Assertions<'a> {
    pub(crate) identity: &'a Identity,
}

impl Assertions<'_> {
    /// A signed assertion: ES256 (RFC 7518, 3.4).
    pub async fn sign(&self, claims: &Claims) -> Result<String, IdentityError> {
        let signer = self.signer().await?;
        let claims = serde_json::to_vec(claims).map_err(|_| IdentityError::Assertion)?;
        let signed = format!("{}.{}", signer.head, URL_SAFE_NO_PAD.encode(claims));
        let signature = signer.key.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.map_err(|_| IdentityError::Assertion)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The public keys, as `/.well-known/jwks.json` gives them.
    pub async fn keys(&self) -> Result<Value, IdentityError> {
        self.signer().await?;
        let mut read = self.identity.state().read().await?;
        let sql = "SELECT public FROM assertion_keys WHERE retired_at = 0 OR retired_at > $1
             ORDER BY created_at DESC, id LIMIT $2";
        let rows = sqlx::query(sql)
            .bind(kept_since(self.identity.now()))
            .bind(KEYS_MAX)
            .fetch_all(&mut read)
            .await?;
        let keys: Result<Vec<Value>, _> = rows
            .iter()
            .map(|found| row::json(found, "public", "assertion key"))
            .collect();
        Ok(json!({ "keys": keys? }))
    }

    /// The keys, the one that signs first.
    pub async fn list(&self) -> Result<Vec<AssertionKey>, IdentityError> {
        let mut read = self.identity.state().read().await?;
        let sql = "SELECT id, created_at, retired_at FROM assertion_keys
             WHERE retired_at = 0 OR retired_at > $1 ORDER BY created_at DESC, id LIMIT $2";
        let rows = sqlx::query(sql)
            .bind(kept_since(self.identity.now()))
            .bind(KEYS_MAX)
            .fetch_all(&mut read)
            .await?;
        let key = |found: &AnyRow| {
            Ok(AssertionKey {
                id: row::text(found, "id")?,
                created_at: row::number(found, "created_at")?,
                retired_at: row::number(found, "retired_at")?,
            })
        };
        rows.iter().map(key).collect()
    }

    /// Signs with a new key from now on. The old one stays in the list for as long as what it
    /// signed can be asked about; whoever checks reads the list again for a key it does not know.
    pub async fn rotate(&self, caller: &Caller) -> Result<(), IdentityError> {
        let now = self.identity.now();
        let fresh = Fresh::generate(self.identity)?;
        let mut write = self.identity.state().write().await?;
        write.lock(KEYS_LOCK).await?;
        sqlx::query("DELETE FROM assertion_keys WHERE retired_at > 0 AND retired_at <= $1")
            .bind(kept_since(now))
            .execute(&mut write)
            .await?;
        let found = sqlx::query("SELECT COUNT(*) AS count FROM assertion_keys")
            .fetch_one(&mut write)
            .await?;
        if row::number(&found, "count")? >= KEYS_MAX {
            let text = "16 keys of assertions were made within an hour: wait".to_owned();
            return Err(IdentityError::NotReady(text));
        }
        sqlx::query("UPDATE assertion_keys SET retired_at = $1 WHERE retired_at = 0")
            .bind(now)
            .execute(&mut write)
            .await?;
        let id = fresh.id.clone();
        sqlx::query(
            "INSERT INTO assertion_keys (id, public, sealed_key, created_at)
             VALUES ($1, $2, $3, $4)",
        )
        .bind(fresh.id)
        .bind(fresh.public)
        .bind(fresh.sealed)
        .bind(now)
        .execute(&mut write)
        .await?;
        write.touch(TRUST_TOPIC);
        let event = Event::success("authority.rotated", caller, "authority:jwt").with("key", id);
        self.identity.finish(write, &[event]).await?;
        self.forget();
        Ok(())
    }

    /// Reads the key anew when it is needed next: another process may have made one.
    pub(crate) fn forget(self) {
        let known = self.identity.inner.assertions.lock();
        *known.unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The newest key, made when there is none yet.
    async fn signer(self) -> Result<Arc<Signer>, IdentityError> {
        let known = || {
            let known = self.identity.inner.assertions.lock();
            known.unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(signer) = known().clone() {
            return Ok(signer);
        }
        let signer = Arc::new(self.load().await?);
        *known() = Some(Arc::clone(&signer));
        Ok(signer)
    }

    async fn load(self) -> Result<Signer, IdentityError> {
        let sql = "SELECT id, sealed_key FROM assertion_keys WHERE retired_at = 0
             ORDER BY created_at DESC, id LIMIT 1";
        let mut read = self.identity.state().read().await?;
        let mut found = sqlx::query(sql).fetch_optional(&mut read).await?;
        drop(read);
        if found.is_none() {
            self.create().await?;
            let mut read = self.identity.state().read().await?;
            found = sqlx::query(sql).fetch_optional(&mut read).await?;
        }
        let found = found.ok_or(IdentityError::Stored("assertion key"))?;
        let (id, sealed) = (row::text(&found, "id")?, row::text(&found, "sealed_key")?);
        let plain = self.identity.sealer().open_sealed(&place(&id), &sealed)?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &plain);
        let key = key.map_err(|_| IdentityError::Stored("assertion key"))?;
        let head = json!({"alg": "ES256", "typ": "JWT", "kid": id});
        let head = URL_SAFE_NO_PAD.encode(head.to_string());
        Ok(Signer { key, head })
    }

    /// Makes a key, unless another process was first.
    async fn create(self) -> Result<(), IdentityError> {
        let fresh = Fresh::generate(self.identity)?;
        let mut write = self.identity.state().write().await?;
        write.lock(KEYS_LOCK).await?;
        sqlx::query(
            "INSERT INTO assertion_keys (id, public, sealed_key, created_at)
             SELECT $1, $2, $3, $4 WHERE NOT EXISTS (SELECT 1 FROM assertion_keys)",
        )
        .bind(fresh.id)
        .bind(fresh.public)
        .bind(fresh.sealed)
        .bind(self.identity.now())
        .execute(&mut write)
        .await?;
        Ok(write.commit().await?)
    }
}

impl Fresh {
    fn generate(identity: &Identity) -> Result<Self, IdentityError> {
        let made = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let key = made.map_err(|_| IdentityError::Assertion)?;
        let plain = key.to_pkcs8v1().map_err(|_| IdentityError::Assertion)?;
        let public = key.public_key().as_ref();
        let mut id = random::sha256_hex(public);
        id.truncate(KEY_ID_DIGITS);
        let jwk = jwk(&id, public).ok_or(IdentityError::Assertion)?;
        let sealed = identity.sealer().seal(&place(&id), plain.as_ref())?;
        Ok(Self {
            public: jwk.to_string(),
            id,
            sealed,
        })
    }
}

/// Keys that were replaced before this, in Unix milliseconds, are not needed any more.
fn kept_since(now: i64) -> i64 {
    let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
    now.saturating_sub(kept)
}

/// Where a sealed key belongs.
fn place(id: &str) -> String {
    format!("assertion/{id}")
}

/// The public key as JSON (RFC 7518, 6.2.1).
fn jwk(id: &str, point: &[u8]) -> Option<Value> {
    let (first, rest) = point.split_first()?;
    let (x, y) = rest.split_at_checked(COORDINATE_BYTES)?;
    if *first != UNCOMPRESSED || y.len() != COORDINATE_BYTES {
        return None;
    }
    Some(json!({
        "kty": "EC",
        "crv": "P-256",
        "alg": "ES256",
        "use": "sig",
        "kid": id,
        "x": URL_SAFE_NO_PAD.encode(x),
        "y": URL_SAFE_NO_PAD.encode(y),
    }))
}
