//! Tests of the X.509 authority, read back by our own parser and by openssl.

use proptest::prelude::*;

use super::*;
use crate::peer::Peer;
use crate::test_support::{CLUSTER, HOUR, machine, now, outside};

const UUID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

fn request(name: &str) -> (Secret, Request) {
    let (key, request) = new_key(name).unwrap();
    (key, Request::parse(request.as_bytes()).unwrap())
}

#[test]
fn a_certificate_names_its_machine_and_only_the_key_of_the_request_counts() {
    let (authority, _) = Authority::generate(CLUSTER, now()).unwrap();
    let (_, request) = request("another-name");
    assert_eq!(request.wanted_names(), ["another-name"]);
    let subject = machine(MachineRole::Node, UUID, "web-1");
    let issued = authority.issue(subject, &request, now(), HOUR).unwrap();
    assert!(!issued.chain_pem.contains("another-name"));
    let certificate = certificate_of_pem(&issued.chain_pem).unwrap();
    let peer = Peer::from_certificate(&certificate, CLUSTER).unwrap();
    let peer = peer.machine(&[MachineRole::Node]).unwrap();
    assert_eq!((peer.uuid.as_str(), peer.name.as_str()), (UUID, "web-1"));
    assert_eq!(peer.expires_at, issued.expires_at);
    assert!(Peer::from_certificate(&certificate, "other").is_err());
}

#[test]
fn an_authority_is_kept_and_its_pin_stays() {
    let (authority, key) = Authority::generate(CLUSTER, now()).unwrap();
    let kept = Authority::load(authority.certificate_pem(), &key).unwrap();
    let pin = authority.pin().unwrap();
    assert_eq!(pin, kept.pin().unwrap());
    assert!(pin.starts_with("sha256:") && pin.len() == 71, "{pin}");
    let (other, _) = Authority::generate(CLUSTER, now()).unwrap();
    assert_ne!(pin, other.pin().unwrap());
    assert!(!format!("{authority:?} {key:?}").contains("PRIVATE"));
}

#[test]
fn requests_are_bounded_and_signed_by_their_key() {
    let (_, pem) = new_key("web-1").unwrap();
    let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap();
    let same = Request::parse(&der).unwrap();
    assert_eq!(
        same.key_hash(),
        Request::parse(pem.as_bytes()).unwrap().key_hash()
    );
    let mut forged = der.to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    for bytes in [
        &forged[..],
        b"",
        b"-----BEGIN X-----",
        &vec![0x30; REQUEST_BYTES_MAX + 1],
    ] {
        let error = Request::parse(bytes).unwrap_err();
        assert!(matches!(error, AuthorityError::Request(_)), "{error}");
    }
}

#[test]
fn lives_and_web_names_are_checked() {
    let (authority, _) = Authority::generate(CLUSTER, now()).unwrap();
    let (_, request) = request("hub");
    let issue = |names: &[&str], life| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let subject = Subject::Machine {
            cluster: CLUSTER,
            role: MachineRole::Proxy,
            uuid: UUID,
            name: "hub",
            web_names: &names,
        };
        authority.issue(subject, &request, now(), life).map(|_| ())
    };
    issue(
        &["hub.example.net", "*.hub.example.net", "10.0.0.1", "::1"],
        HOUR,
    )
    .unwrap();
    assert!(matches!(
        issue(&["a b"], HOUR),
        Err(AuthorityError::WebName(_))
    ));
    assert!(matches!(
        issue(&[], LIFE_MAX * 2),
        Err(AuthorityError::Life)
    ));
}

#[test]
fn openssl_reads_and_verifies_what_we_sign() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, _) = Authority::generate(CLUSTER, now()).unwrap();
    let (_, request) = request("hub");
    let names = ["hub.example.net".to_owned(), "10.0.0.1".to_owned()];
    let subject = Subject::Machine {
        cluster: CLUSTER,
        role: MachineRole::Proxy,
        uuid: UUID,
        name: "hub",
        web_names: &names,
    };
    let issued = authority.issue(subject, &request, now(), HOUR).unwrap();
    let leaf = folder.path().join("leaf.pem");
    let root = folder.path().join("root.pem");
    std::fs::write(&leaf, &issued.chain_pem).unwrap();
    std::fs::write(&root, authority.certificate_pem()).unwrap();
    let arguments = [
        "x509",
        "-noout",
        "-text",
        "-nameopt",
        "utf8,sep_comma_plus",
        "-in",
    ];
    let Some(text) = outside("openssl", &arguments, &leaf) else {
        return;
    };
    for expected in [
        &format!("URI:landline://home/proxy/{UUID}"),
        "URI:landline://home/name/hub",
        "DNS:hub.example.net",
        "IP Address:10.0.0.1",
        "TLS Web Client Authentication, TLS Web Server Authentication",
        "Digital Signature",
        "CA:FALSE",
        "O=home,OU=proxy,CN=hub",
    ] {
        assert!(text.contains(expected), "{expected} is missing in:\n{text}");
    }
    let text = outside("openssl", &arguments, &root).unwrap();
    for expected in [
        "CA:TRUE, pathlen:0",
        "Certificate Sign, CRL Sign",
        "CN=Landline home ",
    ] {
        assert!(text.contains(expected), "{expected} is missing in:\n{text}");
    }
    let root = root.to_str().unwrap();
    let verify = [
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-CAfile",
        root,
    ];
    let text = outside("openssl", &verify, &leaf).unwrap();
    assert!(text.contains("OK"), "{text}");
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Request::parse(&bytes).is_err());
        let certificate = CertificateDer::from(bytes);
        prop_assert!(Peer::from_certificate(&certificate, CLUSTER).is_err());
        prop_assert!(pin(&certificate).is_err());
    }

    /// One byte of a real one changed: a request that is still taken is for the same key, as what its
    /// signature does not cover says nothing, and a certificate is read without a panic.
    #[test]
    fn changed_bytes_are_answered(place in any::<prop::sample::Index>(), change in 1_u8..) {
        let (_, pem) = new_key("web-1").unwrap();
        let mut der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec();
        let place_of = |length| place.index(length);
        let at = place_of(der.len());
        der[at] ^= change;
        let whole = Request::parse(pem.as_bytes()).unwrap();
        if let Ok(changed) = Request::parse(&der) {
            prop_assert_eq!(changed.key_hash(), whole.key_hash());
        }

        let (authority, _) = Authority::generate(CLUSTER, now()).unwrap();
        let request = Request::parse(pem.as_bytes()).unwrap();
        let subject = machine(MachineRole::Node, UUID, "web-1");
        let issued = authority.issue(subject, &request, now(), HOUR).unwrap();
        let mut der = certificate_of_pem(&issued.chain_pem).unwrap().to_vec();
        let at = place_of(der.len());
        der[at] ^= change;
        let certificate = CertificateDer::from(der);
        if let Ok(Peer::User(peer)) = Peer::from_certificate(&certificate, CLUSTER) {
            prop_assert!(false, "{peer:?}");
        }
    }
}
