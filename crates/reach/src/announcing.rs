//! How announcements of proxies are signed by the proxies and checked by the nodes.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base::supervise::BoxError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::own_certificate::OwnCertificate;
use identity::peer::MachineRole;
use identity::signed::Signed;
use identity::trust::Trust;
use rustls_pki_types::UnixTime;

use crate::agent::{Announcement, Verify};
use crate::line::SignedAnnouncement;

/// What is signed is an announcement and nothing else.
const PURPOSE: &str = "proxies";
/// The bytes of a signature with its certificates.
const SIGNATURE_BYTES_MAX: usize = 16 << 10;

/// The announcement as it travels: signed with the key of our own certificate, which goes along.
/// Signed is the digest of the text, so that its length does not matter.
pub(crate) fn sign(
    own: &OwnCertificate,
    announcement: &Announcement,
) -> Result<SignedAnnouncement, BoxError> {
    announcement.sign(|payload| {
        let signed = own.sign(PURPOSE, digest(&SHA256, payload).as_ref())?;
        let parts = std::iter::once(&signed.signature).chain(&signed.chain);
        let parts: Vec<String> = parts.map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
        Ok(parts.join("."))
    })
}

/// Believes what a proxy of the cluster has signed.
pub(crate) fn verify(trust: Trust) -> Verify {
    Arc::new(move |payload, signature| {
        let Some(signed) = read(payload, signature) else {
            return false;
        };
        let since = base::clock::wall().duration_since(std::time::UNIX_EPOCH);
        let now = UnixTime::since_unix_epoch(since.unwrap_or_default());
        match trust.verify(&signed, PURPOSE, &[MachineRole::Proxy], now) {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(%error, "an announcement is not believed");
                false
            }
        }
    })
}

fn read(payload: &[u8], signature: &str) -> Option<Signed> {
    if signature.len() > SIGNATURE_BYTES_MAX {
        return None;
    }
    let mut parts = signature
        .split('.')
        .map(|part| URL_SAFE_NO_PAD.decode(part));
    let signature = parts.next()?.ok()?;
    Some(Signed {
        statement: digest(&SHA256, payload).as_ref().to_vec(),
        chain: parts.collect::<Result<_, _>>().ok()?,
        signature,
    })
}
