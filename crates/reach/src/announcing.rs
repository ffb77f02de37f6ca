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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use identity::authority::{self, Authority, Request, Subject};
    use identity::rotation::Phase;
    use identity::trust::TrustBundle;

    use super::*;
    use crate::agent::{AnnouncedProxy, AnnouncementError};

    const CLUSTER: &str = "home";
    const UUID: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";

    fn machine(authority: &Authority, role: MachineRole) -> OwnCertificate {
        let (key, request) = authority::new_key("it").unwrap();
        let request = Request::parse(request.as_bytes()).unwrap();
        let subject = Subject::Machine {
            cluster: CLUSTER,
            role,
            uuid: UUID,
            name: "it",
            web_names: &[],
        };
        let now = crate::hub::unix_milliseconds();
        let hour = Duration::from_hours(1);
        let issued = authority.issue(subject, &request, now, hour).unwrap();
        let own = OwnCertificate::new();
        own.install(&issued.chain_pem, &key).unwrap();
        own
    }

    fn authority() -> (Authority, Trust) {
        let now = crate::hub::unix_milliseconds();
        let (authority, _) = Authority::generate(CLUSTER, now).unwrap();
        let bundle = TrustBundle {
            cluster: CLUSTER.to_owned(),
            generation: 1,
            phase: Phase::Standby,
            authorities: vec![authority.certificate_pem().to_owned()],
            ssh_users: Vec::new(),
            ssh_hosts: Vec::new(),
        };
        let trust = Trust::new(bundle).unwrap();
        (authority, trust)
    }

    fn announcement(count: usize) -> Announcement {
        let proxy = |number| AnnouncedProxy {
            id: format!("{UUID}-{number}"),
            addresses: vec![format!("proxy-{number}.example.net:3080")],
            group: CLUSTER.to_owned(),
            generation: 0,
        };
        Announcement {
            cluster: CLUSTER.to_owned(),
            issued_ms: crate::hub::unix_milliseconds().unsigned_abs(),
            ttl_ms: 60_000,
            strategy: None,
            spread_ms: 0,
            proxies: (0..count).map(proxy).collect(),
        }
    }

    #[test]
    fn what_a_proxy_of_the_cluster_signs_is_believed_and_nothing_else() {
        let (ours, trust) = authority();
        let verify = verify(trust);
        let read = |signed: &_| Announcement::read(signed, &verify, CLUSTER, base::clock::wall());
        let proxy = machine(&ours, MachineRole::Proxy);
        let sent = announcement(1_000);
        let signed = sign(&proxy, &sent).unwrap();
        assert_eq!(read(&signed).unwrap(), sent);

        let refused = |signed: &SignedAnnouncement| {
            assert!(matches!(read(signed), Err(AnnouncementError::Signature)));
        };
        let mut changed = signed.clone();
        changed.payload = changed.payload.replace("proxy-7.", "evil-7.");
        refused(&changed);
        let other = sign(&proxy, &announcement(1)).unwrap();
        refused(&SignedAnnouncement {
            signature: other.signature,
            ..signed.clone()
        });
        for signature in ["", ".", "AAAA", "not base64!", &"A".repeat(1 << 20)] {
            refused(&SignedAnnouncement {
                signature: signature.to_owned(),
                ..signed.clone()
            });
        }
        refused(&sign(&machine(&ours, MachineRole::Node), &sent).unwrap());
        let (theirs, _) = authority();
        refused(&sign(&machine(&theirs, MachineRole::Proxy), &sent).unwrap());
        assert!(sign(&OwnCertificate::new(), &sent).is_err());
    }
}
