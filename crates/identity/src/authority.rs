//! The X.509 authority: makes its own certificate and signs those of machines, people and web
//! names. It keeps nothing; where its key rests and when it changes is `authorities`.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest;
use base::secret::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
    SerialNumber,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::peer::{self, MachineRole};
use crate::random::{self, RandomError};

/// How long certificates of machines live. They are renewed at half of it.
pub const MACHINE_LIFE: Duration = Duration::from_hours(24);
/// The shortest life of them: they begin a minute earlier, and half of it has to be left.
pub const MACHINE_LIFE_MIN: Duration = Duration::from_mins(2);
/// The longest.
pub const MACHINE_LIFE_MAX: Duration = Duration::from_hours(7 * 24);
/// How long certificates of people live.
pub const USER_LIFE: Duration = Duration::from_hours(12);
/// The longest life that may be asked for.
pub const LIFE_MAX: Duration = Duration::from_hours(30 * 24);
/// How long an authority lives. It is meant to be rotated long before.
pub const AUTHORITY_LIFE: Duration = Duration::from_hours(10 * 365 * 24);
/// Certificates begin this much earlier, for clocks that are behind.
pub const BACKDATE: Duration = Duration::from_mins(1);
/// The largest request for a certificate, in bytes.
pub const REQUEST_BYTES_MAX: usize = 16 << 10;
/// Names of one web certificate.
pub const WEB_NAMES_MAX: usize = 100;

/// An authority with its key.
pub struct Authority {
    certificate_pem: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// What a certificate is for. The names were checked by the caller.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// A machine of the cluster.
    Machine {
        /// The cluster.
        cluster: &'a str,
        /// What it may be.
        role: MachineRole,
        /// Its identifier.
        uuid: &'a str,
        /// Its name.
        name: &'a str,
        /// DNS names and addresses under which browsers reach it; for servers only.
        web_names: &'a [String],
    },
    /// A person.
    User {
        /// The cluster.
        cluster: &'a str,
        /// The user's name.
        name: &'a str,
    },
}

/// A request for a certificate whose signature proves the key. Only its key is used, whatever else
/// it asks for.
#[derive(Debug, Clone)]
pub struct Request {
    parsed: CertificateSigningRequestParams,
    key_hash: String,
}

/// A certificate that was just signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate, and for servers the authority behind it, as PEM.
    pub chain_pem: String,
    /// Hexadecimal digits of the serial number.
    pub serial: String,
    /// When it ends, in Unix milliseconds.
    pub expires_at: i64,
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Too long, or not a request, or its signature does not fit its key.
    #[error("the request for a certificate is not valid: {0}")]
    Request(String),
    /// A key that we don't sign.
    #[error("keys must be ECDSA P-256, ECDSA P-384 or Ed25519")]
    KeyKind,
    /// Not a DNS name or address.
    #[error("{0:?} is neither a DNS name nor an address")]
    WebName(String),
    /// Longer than the longest.
    #[error("a certificate may live for up to 30 days")]
    Life,
    /// The stored authority can't be read.
    #[error("the stored authority cannot be read: restore it from a backup")]
    Stored(#[source] rcgen::Error),
    /// Signing failed.
    #[error("signing a certificate failed")]
    Sign(#[source] rcgen::Error),
    /// A certificate can't be read.
    #[error("a certificate cannot be read")]
    Certificate,
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// A new authority of `cluster`, from `now` in Unix milliseconds. Returns its key as PEM too.
    pub fn generate(cluster: &str, now: i64) -> Result<(Self, Secret), AuthorityError> {
        let key = KeyPair::generate().map_err(AuthorityError::Sign)?;
        let key_pem = Secret::new(key.serialize_pem());
        let mut params = CertificateParams::default();
        let serial = serial_number(&mut params)?;
        params.distinguished_name = DistinguishedName::new();
        let name = |text: String| DnValue::Utf8String(text);
        params
            .distinguished_name
            .push(DnType::OrganizationName, name(cluster.to_owned()));
        // The serial number tells the authorities of one cluster apart: issuers are found by name.
        let mark: String = serial.chars().take(8).collect();
        params.distinguished_name.push(
            DnType::CommonName,
            name(format!("Landline {cluster} {mark}")),
        );
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, now, AUTHORITY_LIFE)?;
        let certificate = params.self_signed(&key).map_err(AuthorityError::Sign)?;
        let authority = Self::load(&certificate.pem(), &key_pem)?;
        Ok((authority, key_pem))
    }

    /// An authority that was kept.
    pub fn load(certificate_pem: &str, key_pem: &Secret) -> Result<Self, AuthorityError> {
        let key = KeyPair::from_pem(key_pem.expose()).map_err(AuthorityError::Stored)?;
        let certificate = certificate_of_pem(certificate_pem)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(AuthorityError::Stored)?;
        Ok(Self {
            certificate_pem: certificate_pem.to_owned(),
            certificate,
            issuer,
        })
    }

    /// Its own certificate as PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Its pin, see [`pin`].
    pub fn pin(&self) -> Result<String, AuthorityError> {
        pin(&self.certificate)
    }

    /// Signs a certificate for the key of `request`, from `now` in Unix milliseconds for `life`.
    pub fn issue(
        &self,
        subject: Subject<'_>,
        request: &Request,
        now: i64,
        life: Duration,
    ) -> Result<Issued, AuthorityError> {
        if life > LIFE_MAX {
            return Err(AuthorityError::Life);
        }
        let mut params = CertificateParams::default();
        let serial = serial_number(&mut params)?;
        describe(&mut params, subject)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let expires_at = set_validity(&mut params, now, life)?;
        let signed = params.signed_by(&request.parsed.public_key, &self.issuer);
        let mut chain_pem = signed.map_err(AuthorityError::Sign)?.pem();
        if matches!(subject, Subject::Machine { role, .. } if role.is_server()) {
            // A machine that joins knows only the authority's pin and finds its certificate here.
            chain_pem.push_str(&self.certificate_pem);
        }
        Ok(Issued {
            chain_pem,
            serial,
            expires_at,
        })
    }
}

impl Request {
    /// Reads a PKCS #10 request, PEM or DER, and checks that it is signed with its own key.
    pub fn parse(bytes: &[u8]) -> Result<Self, AuthorityError> {
        if bytes.len() > REQUEST_BYTES_MAX {
            return Err(AuthorityError::Request("larger than 16 KiB".to_owned()));
        }
        let der = if bytes.starts_with(b"-----BEGIN") {
            CertificateSigningRequestDer::from_pem_slice(bytes)
                .map_err(|error| AuthorityError::Request(error.to_string()))?
        } else {
            CertificateSigningRequestDer::from(bytes)
        };
        let parsed = CertificateSigningRequestParams::from_der(&der)
            .map_err(|error| AuthorityError::Request(error.to_string()))?;
        let algorithm = parsed.public_key.algorithm();
        let known = [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
            &rcgen::PKCS_ED25519,
        ];
        if !known.contains(&algorithm) {
            return Err(AuthorityError::KeyKind);
        }
        let key_hash = random::sha256_hex(rcgen::PublicKeyData::der_bytes(&parsed.public_key));
        Ok(Self { parsed, key_hash })
    }

    /// SHA-256 of the public key, as hexadecimal digits: the same key, the same machine.
    pub fn key_hash(&self) -> &str {
        &self.key_hash
    }

    /// The names that it asks for. They are never used, only compared.
    pub(crate) fn wanted_names(&self) -> Vec<String> {
        let common_name = self
            .parsed
            .params
            .distinguished_name
            .get(&DnType::CommonName);
        let common_name = common_name.map(|value| match value {
            DnValue::Utf8String(text) => text.clone(),
            DnValue::PrintableString(text) => text.to_string(),
            other => format!("{other:?}"),
        });
        let others = self.parsed.params.subject_alt_names.iter();
        let others = others.map(|name| match name {
            SanType::URI(uri) => uri.to_string(),
            SanType::DnsName(name) => name.to_string(),
            other => format!("{other:?}"),
        });
        common_name.into_iter().chain(others).collect()
    }
}

/// A new key and a request for it, both PEM: what a machine makes once and keeps. `name` is the name
/// it wants.
pub fn new_key(name: &str) -> Result<(Secret, String), AuthorityError> {
    let key = KeyPair::generate().map_err(AuthorityError::Sign)?;
    let key_pem = Secret::new(key.serialize_pem());
    let request = request_for(&key_pem, name)?;
    Ok((key_pem, request))
}

/// A request for a key that exists, as PEM: for each renewal.
pub fn request_for(key_pem: &Secret, name: &str) -> Result<String, AuthorityError> {
    let key = KeyPair::from_pem(key_pem.expose()).map_err(AuthorityError::Stored)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, DnValue::Utf8String(name.to_owned()));
    let request = params
        .serialize_request(&key)
        .map_err(AuthorityError::Sign)?;
    request.pem().map_err(AuthorityError::Sign)
}

/// The pin of a certificate: `sha256:` and the SHA-256 of its public key (SPKI) in hexadecimal
/// digits. It stays when an authority is signed anew with the same key.
pub fn pin(certificate: &CertificateDer<'_>) -> Result<String, AuthorityError> {
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|_| AuthorityError::Certificate)?;
    let hash = digest::digest(&digest::SHA256, parsed.public_key().raw);
    Ok(format!("sha256:{}", random::hex(hash.as_ref())))
}

/// The one certificate of a PEM text.
pub(crate) fn certificate_of_pem(pem: &str) -> Result<CertificateDer<'static>, AuthorityError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| AuthorityError::Certificate)
}

fn describe(params: &mut CertificateParams, subject: Subject<'_>) -> Result<(), AuthorityError> {
    params.distinguished_name = DistinguishedName::new();
    let mut name = |kind: DnType, text: &str| {
        params
            .distinguished_name
            .push(kind, DnValue::Utf8String(text.to_owned()));
    };
    let (uris, role, web_names) = match subject {
        Subject::Machine {
            cluster,
            role,
            uuid,
            name: machine,
            web_names,
        } => {
            name(DnType::OrganizationName, cluster);
            name(DnType::OrganizationalUnitName, role.as_str());
            name(DnType::CommonName, machine);
            (
                peer::machine_uris(cluster, role, uuid, machine),
                Some(role),
                web_names,
            )
        }
        Subject::User {
            cluster,
            name: user,
        } => {
            name(DnType::OrganizationName, cluster);
            name(DnType::OrganizationalUnitName, "user");
            name(DnType::CommonName, user);
            (peer::user_uris(cluster, user), None, &[][..])
        }
    };
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    for uri in uris {
        let uri = uri.try_into().map_err(AuthorityError::Sign)?;
        params.subject_alt_names.push(SanType::URI(uri));
    }
    if role.is_some_and(MachineRole::is_server) {
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ServerAuth);
        add_web_names(params, web_names)?;
    }
    Ok(())
}

fn add_web_names(params: &mut CertificateParams, names: &[String]) -> Result<(), AuthorityError> {
    for name in names.iter().take(WEB_NAMES_MAX) {
        let wrong = || AuthorityError::WebName(crate::names::shortened(name));
        let alternative = if let Ok(address) = name.parse() {
            SanType::IpAddress(address)
        } else {
            let plain = name.strip_prefix("*.").unwrap_or(name);
            rustls_pki_types::DnsName::try_from(plain).map_err(|_| wrong())?;
            SanType::DnsName(name.as_str().try_into().map_err(|_| wrong())?)
        };
        params.subject_alt_names.push(alternative);
    }
    Ok(())
}

/// A random positive serial number (RFC 5280, 4.1.2.2), and its hexadecimal digits.
fn serial_number(params: &mut CertificateParams) -> Result<String, AuthorityError> {
    let mut serial = random::bytes::<16>()?;
    // The first byte is neither 0 nor negative, so that every program writes the same digits.
    serial[0] = (serial[0] & 0x7f) | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(random::hex(&serial))
}

/// Sets the validity and returns its end, in Unix milliseconds.
fn set_validity(
    params: &mut CertificateParams,
    now: i64,
    life: Duration,
) -> Result<i64, AuthorityError> {
    let at = |seconds: i64| {
        OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| AuthorityError::Life)
    };
    let start = now / 1000;
    let end = start.saturating_add_unsigned(life.as_secs());
    params.not_before = at(start.saturating_sub_unsigned(BACKDATE.as_secs()))?;
    params.not_after = at(end)?;
    Ok(end.saturating_mul(1000))
}

#[cfg(test)]
mod tests;
