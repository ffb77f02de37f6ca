//! Hashing of passwords: argon2id in a pool of bounded size, because each one costs 19 MiB and tens
//! of milliseconds. Who may try, and how often, is `users`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, Version};
use base::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tokio::sync::Semaphore;

use crate::random::{self, RandomError};

/// The shortest password, in characters (NIST SP 800-63B asks for 8, and for 15 without a second
/// factor).
pub const PASSWORD_CHARACTERS_MIN: usize = 10;
/// The longest password, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// Hashes at once.
const AT_ONCE: usize = 2;
/// Those who wait for their turn.
const WAITING_MAX: usize = 32;
/// How long one waits for a turn.
const TURN_LIMIT: Duration = Duration::from_secs(5);
/// OWASP's choice for argon2id: 19 MiB, 2 passes, 1 lane (Password Storage Cheat Sheet).
const MEMORY_KIB: u32 = 19 << 10;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// The most that a stored hash may ask for.
const MEMORY_KIB_MAX: u32 = 256 << 10;
const PASSES_MAX: u32 = 16;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
/// Compared with when there is no such user, so that the answer takes as long. Nothing hashes to it.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes and compares passwords; clones share the pool.
#[derive(Clone)]
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

/// Why a password was neither hashed nor compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("a password has at least 10 characters and at most 1024 bytes")]
    Length,
    /// Too many at once.
    #[error("too many logins at once; try again in some seconds")]
    Busy,
    /// What is stored is not a hash.
    #[error("the stored password hash cannot be read: set a new password")]
    Stored,
    /// The hashing failed.
    #[error("hashing a password failed")]
    Hash,
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::default(),
        }
    }
}

/// Counts one who waits, also when the wait is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Passwords {
    /// The text that is kept for a new password (PHC string format).
    pub(crate) async fn hash(&self, password: Secret) -> Result<String, PasswordError> {
        let text = password.expose();
        let is_short = text.chars().count() < PASSWORD_CHARACTERS_MIN;
        if is_short || text.len() > PASSWORD_BYTES_MAX {
            return Err(PasswordError::Length);
        }
        let salt = random::bytes::<SALT_BYTES>()?;
        self.run(move || {
            let hash = derive(&password, &salt, [MEMORY_KIB, PASSES, LANES])?;
            Ok(format!(
                "$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${}${}",
                STANDARD_NO_PAD.encode(salt),
                STANDARD_NO_PAD.encode(hash),
            ))
        })
        .await
    }

    /// Whether the password fits the text that was kept. Without one it takes as long and says no.
    pub(crate) async fn verify(
        &self,
        password: Secret,
        stored: Option<String>,
    ) -> Result<bool, PasswordError> {
        if password.expose().len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        self.run(move || {
            let stored = stored.as_deref().unwrap_or(NOBODY);
            let (costs, salt, hash) = parse(stored).ok_or(PasswordError::Stored)?;
            let found = derive(&password, &salt, costs)?;
            Ok(Secret::new(random::hex(&found)).matches(&random::hex(&hash)))
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.waiting);
        if before >= WAITING_MAX {
            return Err(PasswordError::Busy);
        }
        let turn = tokio::time::timeout(TURN_LIMIT, self.turns.clone().acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok).ok_or(PasswordError::Busy)?;
        drop(waiting);
        // The turn moves along: when the request is dropped, the hash under way still counts.
        let result = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        result.await.unwrap_or(Err(PasswordError::Hash))
    }
}

fn derive(
    password: &Secret,
    salt: &[u8],
    [memory, passes, lanes]: [u32; 3],
) -> Result<[u8; HASH_BYTES], PasswordError> {
    let params = Params::new(memory, passes, lanes, Some(HASH_BYTES));
    let params = params.map_err(|_| PasswordError::Stored)?;
    let mut hash = [0; HASH_BYTES];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.expose().as_bytes(), salt, &mut hash)
        .map_err(|_| PasswordError::Hash)?;
    Ok(hash)
}

/// Costs, salt and hash of a PHC string.
fn parse(text: &str) -> Option<([u32; 3], Vec<u8>, Vec<u8>)> {
    let rest = text.strip_prefix("$argon2id$v=19$")?;
    let mut parts = rest.split('$');
    let (costs, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
    let mut costs = costs.split(',');
    let mut cost = |name: &str| costs.next()?.strip_prefix(name)?.parse::<u32>().ok();
    let costs = [cost("m=")?, cost("t=")?, cost("p=")?];
    let is_affordable = costs[0] <= MEMORY_KIB_MAX && costs[1] <= PASSES_MAX && costs[2] <= 8;
    let salt = STANDARD_NO_PAD.decode(salt).ok()?;
    let hash = STANDARD_NO_PAD.decode(hash).ok()?;
    (is_affordable && hash.len() == HASH_BYTES && parts.next().is_none())
        .then_some((costs, salt, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_fits_its_own_hash_only() {
        let passwords = Passwords::default();
        let stored = passwords.hash(Secret::new("correct horse")).await.unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        let check = async |password: &str, stored: Option<String>| {
            passwords.verify(Secret::new(password), stored).await
        };
        assert_eq!(check("correct horse", Some(stored.clone())).await, Ok(true));
        assert_eq!(
            check("correct horsf", Some(stored.clone())).await,
            Ok(false)
        );
        assert_eq!(check("correct horse", None).await, Ok(false));
        assert_eq!(
            check(&"x".repeat(2000), Some(stored.clone())).await,
            Ok(false)
        );
        let costly = stored.replace("m=19456", "m=4000000000");
        for broken in [String::new(), costly, stored.replace("argon2id", "argon2i")] {
            let result = check("correct horse", Some(broken)).await;
            assert_eq!(result, Err(PasswordError::Stored));
        }
    }

    #[tokio::test]
    async fn short_and_endless_passwords_are_refused() {
        let passwords = Passwords::default();
        for password in ["short", "ninechars", &"x".repeat(1025)] {
            let result = passwords.hash(Secret::new(password)).await;
            assert_eq!(result, Err(PasswordError::Length));
        }
    }

    /// The reference implementation's vector for these costs (phc-winner-argon2, test.c:
    /// `t=2, m=65536 KiB, p=1, "password", "somesalt"`, version 0x13).
    #[test]
    fn the_hash_is_that_of_the_reference_implementation() {
        let hash = derive(&Secret::new("password"), b"somesalt", [65536, 2, 1]).unwrap();
        let expected = "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7";
        assert_eq!(random::hex(&hash), expected);
    }

    #[tokio::test]
    async fn the_pool_refuses_a_crowd() {
        let passwords = Passwords::default();
        passwords.waiting.store(WAITING_MAX, Ordering::Relaxed);
        let result = passwords.verify(Secret::new("x"), None).await;
        assert_eq!(result, Err(PasswordError::Busy));
        assert_eq!(passwords.waiting.load(Ordering::Relaxed), WAITING_MAX);
    }
}
