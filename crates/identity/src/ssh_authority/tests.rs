//! Tests of SSH certificates, read back by our own parser and by ssh-keygen.

use std::path::Path;

use ssh_key::{Certificate, HashAlg};

use super::*;
use crate::test_support::{HOUR, now, outside};

fn public_key() -> String {
    let (authority, _) = SshAuthority::generate("someone").unwrap();
    authority.public_key().unwrap()
}

fn user<'a>(public_key: &'a str, logins: &'a [String], roles: &'a [String]) -> SshUser<'a> {
    SshUser {
        public_key,
        name: "anna",
        logins,
        roles,
        source_address: "10.0.0.0/8",
        may_forward_ports: true,
        may_forward_agent: false,
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn an_authority_is_kept_and_its_certificates_verify() {
    let (authority, key) = SshAuthority::generate("landline home users").unwrap();
    let kept = SshAuthority::load(&key).unwrap();
    assert_eq!(kept.public_key().unwrap(), authority.public_key().unwrap());
    let (logins, roles) = (words(&["root", "deploy"]), words(&["admin"]));
    let subject = public_key();
    let text = kept
        .sign_user(&user(&subject, &logins, &roles), now(), HOUR)
        .unwrap();
    let certificate = Certificate::from_openssh(&text).unwrap();
    let trusted = authority.key.public_key().fingerprint(HashAlg::Sha256);
    let seconds = u64::try_from(now() / 1000).unwrap();
    certificate.validate_at(seconds, [&trusted]).unwrap();
    assert!(certificate.validate_at(seconds + 3601, [&trusted]).is_err());
    let (other, _) = SshAuthority::generate("other").unwrap();
    let stranger = other.key.public_key().fingerprint(HashAlg::Sha256);
    assert!(certificate.validate_at(seconds, [&stranger]).is_err());
    assert_eq!(certificate.valid_principals(), ["root", "deploy"]);
    assert!(!format!("{authority:?} {key:?}").contains("PRIVATE"));
}

#[test]
fn nobody_gets_a_certificate_for_everyone() {
    let (authority, _) = SshAuthority::generate("users").unwrap();
    let key = public_key();
    let sign = |key: &str, logins: &[String], life| {
        authority.sign_user(&user(key, logins, &[]), now(), life)
    };
    for logins in [&[][..], &words(&[""]), &vec!["x".to_owned(); 65]] {
        let result = sign(&key, logins, HOUR);
        assert!(matches!(result, Err(SshAuthorityError::Principals)));
    }
    let root = words(&["root"]);
    assert!(matches!(
        sign(&key, &root, LIFE_MAX * 2),
        Err(SshAuthorityError::Life)
    ));
    let long = "x".repeat(PUBLIC_KEY_BYTES_MAX + 1);
    for wrong in ["", "ssh-ed25519", "ssh-ed25519 AAAA", &long] {
        let result = sign(wrong, &root, HOUR);
        assert!(
            matches!(result, Err(SshAuthorityError::PublicKey)),
            "{wrong}"
        );
    }
}

fn describe(folder: &Path, name: &str, certificate: &str) -> Option<String> {
    let file = folder.join(name);
    std::fs::write(&file, format!("{certificate}\n")).unwrap();
    outside("ssh-keygen", &["-L", "-f"], &file)
}

#[test]
fn ssh_keygen_reads_what_we_sign() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, _) = SshAuthority::generate("landline home").unwrap();
    let key = public_key();
    let (logins, roles) = (words(&["root"]), words(&["admin", "viewer"]));
    let certificate = authority
        .sign_user(&user(&key, &logins, &roles), now(), HOUR)
        .unwrap();
    let Some(text) = describe(folder.path(), "user-cert.pub", &certificate) else {
        return;
    };
    for expected in [
        "ssh-ed25519-cert-v01@openssh.com user certificate",
        "Key ID: \"anna\"",
        "source-address 10.0.0.0/8",
        "permit-port-forwarding",
        "permit-pty",
        "landline-roles@landline",
        "                root\n",
    ] {
        assert!(
            text.contains(expected),
            "{expected:?} is missing in:\n{text}"
        );
    }
    assert!(!text.contains("permit-agent-forwarding"), "{text}");

    let names = words(&["web-1", "web-1.home"]);
    let certificate = authority.sign_host(&key, &names, now(), HOUR).unwrap();
    let text = describe(folder.path(), "host-cert.pub", &certificate).unwrap();
    for expected in [
        "host certificate",
        "web-1.home",
        "Key ID: \"web-1\"",
        "Extensions: (none)",
    ] {
        assert!(
            text.contains(expected),
            "{expected:?} is missing in:\n{text}"
        );
    }
    let line = known_hosts_line("*.home", &authority.public_key().unwrap());
    assert!(
        line.starts_with("@cert-authority *.home ssh-ed25519 AAAA"),
        "{line}"
    );
}
