//! The keys of sealed records: AES-256-GCM with the nonces of TLS 1.3 (RFC 8446, 5.3), out of a secret
//! that the exporter of a TLS session gives (RFC 8446, 7.5). Each direction has its own.

use std::io;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA384, KeyType, Prk};
use rustls::ConnectionCommon;

use super::Side;

/// Records under one key, as for TLS (RFC 8446, 5.5); rustls has the same limit. With full records a key
/// lasts for 256 GiB.
const RECORDS_MAX: u64 = 1 << 24;
/// The exporter's label.
const LABEL: &[u8] = b"EXPORTER-landline-bulk-2";
/// The key and the secret of the next one.
const KEY_BYTES: usize = 32;
const SECRET_BYTES: usize = 48;

/// The key of one direction. Whoever seals and whoever opens count the records alike, and go on to the
/// next key after the same one.
pub(super) struct Key {
    aead: LessSafeKey,
    iv: [u8; NONCE_LEN],
    secret: [u8; SECRET_BYTES],
    sequence: u64,
    records_max: u64,
}

impl Key {
    /// The key for what `from` sends in a session.
    pub(super) fn of_session<D>(session: &ConnectionCommon<D>, from: Side) -> io::Result<Self> {
        let context = match from {
            Side::Agent => b"agent".as_slice(),
            Side::Proxy => b"proxy".as_slice(),
        };
        let secret = session
            .export_keying_material([0; SECRET_BYTES], LABEL, Some(context))
            .map_err(io::Error::other)?;
        Self::new(secret, RECORDS_MAX)
    }

    pub(super) fn new(secret: [u8; SECRET_BYTES], records_max: u64) -> io::Result<Self> {
        let expander = Prk::new_less_safe(HKDF_SHA384, &secret);
        let key: [u8; KEY_BYTES] = expand(&expander, b"key").map_err(failed)?;
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(failed)?;
        Ok(Self {
            aead: LessSafeKey::new(key),
            iv: expand(&expander, b"iv").map_err(failed)?,
            secret: expand(&expander, b"next").map_err(failed)?,
            sequence: 0,
            records_max,
        })
    }

    /// The key and its first nonce.
    #[cfg(test)]
    pub(super) fn parts(&self, secret: &[u8]) -> ([u8; KEY_BYTES], [u8; NONCE_LEN]) {
        let expander = Prk::new_less_safe(HKDF_SHA384, secret);
        (expand(&expander, b"key").unwrap(), self.iv)
    }

    /// Encrypts `body` where it is, and `kind` and the tag into `tail`.
    pub(super) fn seal(
        &mut self,
        head: &[u8],
        body: &mut [u8],
        kind: u8,
        tail: &mut [u8],
    ) -> io::Result<()> {
        let nonce = self.next()?;
        self.aead
            .seal_in_place_scatter(nonce, Aad::from(head), body, &[kind], tail)
            .map_err(failed)
    }

    /// Decrypts where it is what follows the head of a record, and gives it without the tag.
    pub(super) fn open<'a>(
        &mut self,
        head: &[u8],
        sealed: &'a mut [u8],
    ) -> io::Result<&'a mut [u8]> {
        let nonce = self.next()?;
        self.aead
            .open_in_place(nonce, Aad::from(head), sealed)
            .map_err(|_| super::invalid("a record that was not sealed by it, or was changed"))
    }

    /// The nonce of the next record, which no other record under this key has.
    fn next(&mut self) -> io::Result<Nonce> {
        if self.sequence == self.records_max {
            *self = Self::new(self.secret, self.records_max)?;
        }
        let mut nonce = self.iv;
        for (byte, of_sequence) in nonce.iter_mut().skip(4).zip(self.sequence.to_be_bytes()) {
            *byte ^= of_sequence;
        }
        self.sequence += 1;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

/// Bytes of a secret for one purpose (RFC 5869).
fn expand<const N: usize>(secret: &Prk, purpose: &[u8]) -> Result<[u8; N], Unspecified> {
    let mut bytes = [0; N];
    secret.expand(&[purpose], Length(N))?.fill(&mut bytes)?;
    Ok(bytes)
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn failed(_: Unspecified) -> io::Error {
    io::Error::other("the library for encryption refused")
}
