//! What is computed of an object while it comes.

use aws_lc_rs::digest;
use md5::{Digest as _, Md5};
use wire::auth::hex;
use wire::s3::checksum::{Algorithm, Hasher};

/// What is computed beside SHA-256.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hashes {
    /// MD5, for clients that compare it.
    pub(crate) md5: bool,
    /// A checksum that the client sends.
    pub(crate) checksum: Option<Algorithm>,
}

/// An object that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) id: String,
    pub(crate) bytes: u64,
    /// In hexadecimal digits.
    pub(crate) sha256: String,
    /// In hexadecimal digits, if it was asked for.
    pub(crate) md5: Option<String>,
    /// In base64, if it was asked for.
    pub(crate) checksum: Option<(Algorithm, String)>,
}

/// All of it, under way.
pub(super) struct Hashing {
    bytes: u64,
    sha256: digest::Context,
    md5: Option<Md5>,
    checksum: Option<Hasher>,
}

impl std::fmt::Debug for Hashing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hashing").finish_non_exhaustive()
    }
}

impl Hashing {
    pub(super) fn new(hashes: Hashes) -> Self {
        Self {
            bytes: 0,
            sha256: digest::Context::new(&digest::SHA256),
            md5: hashes.md5.then(Md5::new),
            checksum: hashes.checksum.map(Hasher::new),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.sha256.update(bytes);
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        if let Some(checksum) = &mut self.checksum {
            checksum.update(bytes);
        }
    }

    pub(super) fn finish(self, id: String) -> Finished {
        Finished {
            id,
            bytes: self.bytes,
            sha256: hex(self.sha256.finish().as_ref()),
            md5: self.md5.map(|md5| hex(&md5.finalize())),
            checksum: self
                .checksum
                .map(|hasher| (hasher.algorithm(), hasher.finish())),
        }
    }
}
