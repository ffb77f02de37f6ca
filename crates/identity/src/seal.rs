//! Sealing of keys at rest: AES-256-GCM under the key in `identity.key`, or one that the
//! configuration gives. A copy of the database alone gives no private key and no second factor.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use base::files;
use base::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::random::{self, RandomError};

/// The file of the sealing key, in the data directory.
pub const KEY_FILE: &str = "identity.key";
/// The largest key file.
const KEY_FILE_BYTES_MAX: u64 = 1024;
/// Begins each sealed text; a change of the format changes it.
const VERSION: &str = "v1";
/// Hexadecimal digits of the name of a key.
const KEY_NAME_DIGITS: usize = 8;

/// Where the key is.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// In the file [`KEY_FILE`] of this data directory, made when nothing is sealed yet.
    DataDir(PathBuf),
    /// Given by the configuration: 32 bytes in base64.
    Given(Secret),
}

/// Seals and opens with one key.
pub(crate) struct Sealer {
    key: RandomizedNonceKey,
    /// Where it is from, for people.
    place: String,
    /// Tells keys apart without telling the key: the first digits of its SHA-256.
    name: String,
    /// Makes other keys of it.
    root: hmac::Key,
}

/// Why the sealing key, or what it sealed, is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The file can't be read or written.
    #[error("sealing key {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than the owner may read it.
    #[error("sealing key {}: others may read it; run `chmod 600` on it", .0.display())]
    Permissions(PathBuf),
    /// It is not 32 bytes in base64.
    #[error("sealing key {}: not a key of 32 bytes in base64; restore it from a backup", .0.display())]
    Content(PathBuf),
    /// There are sealed things, but no key.
    #[error("sealing key {}: missing, and the database holds keys sealed with it; restore it, or give the key by `identity.key` in the configuration", .0.display())]
    Missing(PathBuf),
    /// Sealed with another key.
    #[error(
        "the database was sealed with key {sealed}, {place} is key {held}: give this process the key of the one that created the cluster, by `identity.key` in the configuration or as the file identity.key in the data directory"
    )]
    OtherKey {
        /// The name of the key that sealed it.
        sealed: String,
        /// The name of the key at hand.
        held: String,
        /// Where that one is from.
        place: String,
    },
    /// What the configuration gives is not 32 bytes in base64.
    #[error(
        "`identity.key` of the configuration: not a key of 32 bytes in base64; for a new cluster `head -c 32 /dev/urandom | base64` makes one"
    )]
    Given,
    /// Not what we wrote, or moved to another place.
    #[error("a sealed value of the database was changed or moved: restore it from a backup")]
    Damaged,
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The cipher failed.
    #[error("sealing failed")]
    Seal,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Sealer").field(&self.name).finish()
    }
}

impl Sealer {
    /// The key that seals.
    pub(crate) fn of(source: &KeySource, may_create: bool) -> Result<Self, SealError> {
        match source {
            KeySource::DataDir(data_dir) => Self::open(data_dir, may_create),
            KeySource::Given(text) => {
                let bytes = STANDARD_NO_PAD.decode(text.expose().trim().trim_end_matches('='));
                let bytes = bytes.map_err(|_| SealError::Given)?;
                Self::new(&bytes, "`identity.key` of the configuration").ok_or(SealError::Given)
            }
        }
    }

    /// Reads the key of `data_dir`, or creates it when `may_create` says that nothing was sealed
    /// yet.
    fn open(data_dir: &Path, may_create: bool) -> Result<Self, SealError> {
        let path = data_dir.join(KEY_FILE);
        if may_create && !path.exists() {
            create(data_dir, &path)?;
        }
        let fail = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => SealError::Missing(path.clone()),
            _ => SealError::File {
                path: path.clone(),
                source,
            },
        };
        let metadata = std::fs::metadata(&path).map_err(fail)?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(SealError::Permissions(path));
        }
        let text = files::read_text_limited(&path, KEY_FILE_BYTES_MAX).map_err(fail)?;
        let bytes = STANDARD_NO_PAD.decode(text.trim().trim_end_matches('='));
        let bytes = bytes.map_err(|_| SealError::Content(path.clone()))?;
        let place = path.display().to_string();
        Self::new(&bytes, &place).ok_or(SealError::Content(path))
    }

    fn new(bytes: &[u8], place: &str) -> Option<Self> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes).ok()?;
        let mut name = random::sha256_hex(bytes);
        name.truncate(KEY_NAME_DIGITS);
        Some(Self {
            key,
            place: place.to_owned(),
            name,
            root: hmac::Key::new(hmac::HMAC_SHA256, bytes),
        })
    }

    /// A secret for one purpose, the same as long as the key is, from which the key is not to be had:
    /// 64 hexadecimal digits.
    pub(crate) fn derive(&self, purpose: &str) -> Secret {
        let text = format!("landline derived secret: {purpose}");
        let tag = hmac::sign(&self.root, text.as_bytes());
        Secret::new(random::hex(tag.as_ref()))
    }

    /// Seals `plain` for one `place`, such as `authority/x509/1`: it opens nowhere else.
    pub(crate) fn seal(&self, place: &str, plain: &[u8]) -> Result<String, SealError> {
        let mut bytes = plain.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(place.as_bytes()), &mut bytes)
            .map_err(|_| SealError::Seal)?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.extend_from_slice(&bytes);
        let sealed = STANDARD_NO_PAD.encode(sealed);
        Ok(format!("{VERSION}:{}:{sealed}", self.name))
    }

    /// Opens what was sealed for `place`.
    pub(crate) fn open_sealed(&self, place: &str, sealed: &str) -> Result<Vec<u8>, SealError> {
        let mut parts = sealed.splitn(3, ':');
        let (version, name, body) = (parts.next(), parts.next(), parts.next());
        let (Some(VERSION), Some(name), Some(body)) = (version, name, body) else {
            return Err(SealError::Damaged);
        };
        if name != self.name {
            return Err(SealError::OtherKey {
                sealed: name.to_owned(),
                held: self.name.clone(),
                place: self.place.clone(),
            });
        }
        let bytes = STANDARD_NO_PAD.decode(body);
        let bytes = bytes.map_err(|_| SealError::Damaged)?;
        let (nonce, cipher) = bytes
            .split_at_checked(NONCE_LEN)
            .ok_or(SealError::Damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Damaged)?;
        let mut cipher = cipher.to_vec();
        let plain = self
            .key
            .open_in_place(nonce, Aad::from(place.as_bytes()), &mut cipher)
            .map_err(|_| SealError::Damaged)?;
        Ok(plain.to_vec())
    }
}

/// Creates the key file whole or not at all. When two processes start at once, the first one's file
/// stays.
fn create(data_dir: &Path, path: &Path) -> Result<(), SealError> {
    let fail = |source| SealError::File {
        path: path.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .map_err(fail)?;
    let unfinished = data_dir.join(format!("{KEY_FILE}.{}", random::short_id()?));
    let text = STANDARD_NO_PAD.encode(random::bytes::<32>()?);
    let written = write_synced(&unfinished, &text)
        .and_then(|()| match std::fs::hard_link(&unfinished, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        })
        .and_then(|()| File::open(data_dir)?.sync_all());
    let removed = std::fs::remove_file(&unfinished);
    written.and(removed).map_err(fail)
}

fn write_synced(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
