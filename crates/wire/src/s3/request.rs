//! Who signed a request, in its headers or in its query, and whether the signature is theirs; and links
//! that are signed in their query. Whose secret belongs to a name is the caller's to know.

use crate::auth::hex;
use crate::sigv4::{
    self, CanonicalRequest, Payload, Request, Scope, SigningKey, UNSIGNED_PAYLOAD,
    canonical_request, signature, signing_key, string_to_sign,
};

use super::key::{percent_encode, query_pairs};

/// The one algorithm.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far the clock of a client may be off, in seconds.
pub const SKEW_SECONDS_MAX: i64 = 15 * 60;
/// The longest life of a link, in seconds: seven days.
pub const EXPIRES_SECONDS_MAX: u64 = 7 * 24 * 60 * 60;
/// Names in `SignedHeaders`.
const SIGNED_HEADERS_MAX: usize = 64;
const SERVICE: &str = "s3";

/// A request as it came over the wire.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// Method in upper case.
    pub method: &'a str,
    /// Path as it was sent, with its percent-encoding.
    pub path: &'a str,
    /// Query as it was sent, without `?`.
    pub query: &'a str,
    /// All headers in their order, names in lower case.
    pub headers: &'a [(&'a str, &'a str)],
}

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Neither form of a signature.
    #[error("the signature is malformed: {0}")]
    Malformed(&'static str),
    /// Something that must be covered is not.
    #[error("{0} must be signed")]
    NotSigned(&'static str),
    /// The clocks differ.
    #[error("the time of the request and that of the server are more than 15 minutes apart")]
    Skewed,
    /// A link's time is over.
    #[error("the link has expired")]
    Expired,
    /// Another key, or another request.
    #[error("the signature does not fit the request and the secret")]
    Mismatch,
}

/// A signature and what it says of itself. Nothing of it is proved before [`Claim::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose secret it claims to be made with.
    pub access_key_id: String,
    /// How long it holds, in seconds, when it is a link.
    pub expires: Option<u64>,
    date: String,
    region: String,
    signed_headers: Vec<String>,
    payload_hash: String,
    signature: String,
}

/// What chunks of a body are signed with after the head.
#[derive(Debug, Clone)]
pub struct ChunkKey {
    pub(super) key: SigningKey,
    pub(super) date: String,
    pub(super) scope: String,
    pub(super) seed: String,
}

/// How a body comes, as its head says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyForm {
    /// As it is, covered by nothing.
    Plain,
    /// As it is, with this SHA-256 in hexadecimal digits.
    Hashed(String),
    /// In chunks with a signature each.
    SignedChunks {
        /// Headers stand behind the last one.
        has_trailer: bool,
    },
    /// In chunks without signatures, with headers behind the last one.
    UnsignedChunks,
}

impl BodyForm {
    /// Reads `x-amz-content-sha256`; nothing when it is neither a hash nor a known word.
    pub fn parse(value: Option<&str>) -> Option<Self> {
        Some(match value {
            None | Some(UNSIGNED_PAYLOAD) => Self::Plain,
            Some("STREAMING-AWS4-HMAC-SHA256-PAYLOAD") => Self::SignedChunks { has_trailer: false },
            Some("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER") => {
                Self::SignedChunks { has_trailer: true }
            }
            Some("STREAMING-UNSIGNED-PAYLOAD-TRAILER") => Self::UnsignedChunks,
            Some(hash) if hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
                Self::Hashed(hash.to_ascii_lowercase())
            }
            Some(_) => return None,
        })
    }
}

impl Incoming<'_> {
    /// The only value of a header; nothing when there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| *known == name);
        let (_, value) = found.next()?;
        found.next().is_none().then_some(value.trim())
    }

    /// Whether it brings a signature of either form.
    pub fn is_signed(&self) -> bool {
        let authorization = self.header("authorization").unwrap_or_default();
        authorization.starts_with(ALGORITHM) || self.query.contains("X-Amz-Algorithm=")
    }

    /// What the signature claims; nothing when there is none.
    pub fn claim(&self) -> Result<Option<Claim>, SignatureError> {
        let pairs = query_pairs(self.query).ok_or(SignatureError::Malformed("the query"))?;
        let is_link = pairs.iter().any(|(name, _)| name == "X-Amz-Algorithm");
        let authorization = self.header("authorization");
        let authorization = authorization.filter(|value| value.starts_with(ALGORITHM));
        match (authorization, is_link) {
            (None, false) => Ok(None),
            (Some(_), true) => Err(SignatureError::Malformed("it is in header and query")),
            (Some(value), false) => self.header_claim(value).map(Some),
            (None, true) => self.query_claim(&pairs).map(Some),
        }
    }

    fn header_claim(&self, value: &str) -> Result<Claim, SignatureError> {
        let malformed = SignatureError::Malformed;
        let fields = value.get(ALGORITHM.len()..).unwrap_or_default();
        let field = |name: &str| {
            let mut fields = fields
                .split(',')
                .filter_map(|part| part.trim().split_once('='));
            fields
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value)
        };
        let credential = field("Credential").ok_or(malformed("Credential"))?;
        let signed = field("SignedHeaders").ok_or(malformed("SignedHeaders"))?;
        let signature = field("Signature").ok_or(malformed("Signature"))?;
        let date = self.header("x-amz-date").ok_or(malformed("x-amz-date"))?;
        let hash = self.header("x-amz-content-sha256");
        let hash = hash.ok_or(malformed("x-amz-content-sha256"))?;
        self.claim_of((credential, date, signed), (signature, hash), None)
    }

    fn query_claim(&self, pairs: &[(String, String)]) -> Result<Claim, SignatureError> {
        let field = |name: &'static str| {
            let mut found = pairs.iter().filter(|(known, _)| known == name);
            let value = found.next().map(|(_, value)| value.as_str());
            let is_one = found.next().is_none();
            value
                .filter(|_| is_one)
                .ok_or(SignatureError::Malformed(name))
        };
        if field("X-Amz-Algorithm")? != ALGORITHM {
            return Err(SignatureError::Malformed("X-Amz-Algorithm"));
        }
        let expires = field("X-Amz-Expires")?.parse().ok();
        let expires = expires.filter(|seconds| (1..=EXPIRES_SECONDS_MAX).contains(seconds));
        let expires = expires.ok_or(SignatureError::Malformed("X-Amz-Expires"))?;
        let signed = field("X-Amz-SignedHeaders")?;
        let hash = self.header("x-amz-content-sha256");
        let hash = hash.unwrap_or(UNSIGNED_PAYLOAD);
        let names = (field("X-Amz-Credential")?, field("X-Amz-Date")?, signed);
        self.claim_of(names, (field("X-Amz-Signature")?, hash), Some(expires))
    }

    fn claim_of(
        &self,
        (credential, date, signed): (&str, &str, &str),
        (signature, payload_hash): (&str, &str),
        expires: Option<u64>,
    ) -> Result<Claim, SignatureError> {
        // The name may have slashes itself: the scope is the last four.
        let mut scope = credential.rsplitn(5, '/');
        let (end, service) = (scope.next(), scope.next());
        let (region, day, name) = (scope.next(), scope.next(), scope.next());
        let (Some("aws4_request"), Some(SERVICE), Some(region), Some(day), Some(name)) =
            (end, service, region, day, name)
        else {
            return Err(SignatureError::Malformed("the scope of the credential"));
        };
        if !date.starts_with(day) || day.len() != 8 || sigv4::parse_amz_date(date).is_none() {
            return Err(SignatureError::Malformed("the date"));
        }
        let signed_headers: Vec<String> = signed.split(';').map(str::to_owned).collect();
        let is_sorted = signed_headers.is_sorted_by(|one, next| one < next);
        if !is_sorted || signed_headers.len() > SIGNED_HEADERS_MAX {
            return Err(SignatureError::Malformed("SignedHeaders"));
        }
        let is_covered = |name: &str| signed_headers.iter().any(|known| known == name);
        if !is_covered("host") {
            return Err(SignatureError::NotSigned("host"));
        }
        let mut names = self.headers.iter().map(|(name, _)| *name);
        if names.any(|name| name.starts_with("x-amz-") && !is_covered(name)) {
            return Err(SignatureError::NotSigned("every x-amz- header"));
        }
        Ok(Claim {
            access_key_id: name.to_owned(),
            expires,
            date: date.to_owned(),
            region: region.to_owned(),
            signed_headers,
            payload_hash: payload_hash.to_owned(),
            signature: signature.to_owned(),
        })
    }
}

impl Claim {
    /// Checks time and signature; the key for chunks when it is true. `places` are the hosts that the
    /// client may have meant, each with what a front took from the beginning of the path: a front may
    /// have changed both.
    pub fn verify(
        &self,
        incoming: &Incoming<'_>,
        places: &[(&str, &str)],
        (secret, unix_seconds): (&str, i64),
    ) -> Result<ChunkKey, SignatureError> {
        self.check_time(unix_seconds)?;
        let scope = Scope {
            date: &self.date,
            region: &self.region,
            service: SERVICE,
        };
        let key = signing_key(secret, scope);
        let mut is_true = false;
        for (host, prefix) in places {
            let canonical = self.canonical(incoming, host, prefix);
            let made = signature(&key, &string_to_sign(scope, &canonical.text));
            is_true |= is_same(&made, &self.signature);
        }
        if !is_true {
            return Err(SignatureError::Mismatch);
        }
        Ok(ChunkKey {
            key,
            date: self.date.clone(),
            scope: scope.text(),
            seed: self.signature.clone(),
        })
    }

    fn check_time(&self, now: i64) -> Result<(), SignatureError> {
        let date =
            sigv4::parse_amz_date(&self.date).ok_or(SignatureError::Malformed("the date"))?;
        let age = now.saturating_sub(date);
        if age < -SKEW_SECONDS_MAX {
            return Err(SignatureError::Skewed);
        }
        match self.expires {
            Some(seconds) if age >= i64::try_from(seconds).unwrap_or(i64::MAX) => {
                Err(SignatureError::Expired)
            }
            None if age > SKEW_SECONDS_MAX => Err(SignatureError::Skewed),
            Some(_) | None => Ok(()),
        }
    }

    fn canonical(&self, incoming: &Incoming<'_>, host: &str, prefix: &str) -> CanonicalRequest {
        let mut headers = Vec::new();
        for name in &self.signed_headers {
            if name == "host" {
                headers.push(("host", host));
                continue;
            }
            let values = incoming.headers.iter().filter(|(known, _)| known == name);
            let before = headers.len();
            headers.extend(values.copied());
            if headers.len() == before {
                // Signed without a value: some clients do so for headers that they don't send.
                headers.push((name, ""));
            }
        }
        let without = incoming.query.split('&');
        let without = without.filter(|pair| !pair.starts_with("X-Amz-Signature="));
        let query: Vec<String> = without.map(|pair| pair.replace('+', "%20")).collect();
        let request = Request {
            method: incoming.method,
            host,
            path: &format!("{prefix}{}", incoming.path),
            query: &query.join("&"),
            headers: &[],
            payload: Payload::Unsigned,
            region: &self.region,
            service: SERVICE,
        };
        canonical_request(&request, &headers, &self.payload_hash)
    }
}

/// A link to be signed.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// The method that it is good for.
    pub method: &'a str,
    /// Host, with its port when it is not the usual one.
    pub host: &'a str,
    /// Path with its percent-encoding.
    pub path: &'a str,
    /// Further parameters, not encoded.
    pub parameters: &'a [(&'a str, &'a str)],
    /// Region.
    pub region: &'a str,
    /// How long it holds, in seconds.
    pub expires: u64,
}

impl Link<'_> {
    /// The query that makes it a link of `access_key_id`.
    pub fn sign(&self, (access_key_id, secret): (&str, &str), unix_seconds: i64) -> String {
        let date = sigv4::amz_date(unix_seconds);
        let scope = Scope {
            date: &date,
            region: self.region,
            service: SERVICE,
        };
        let credential = format!("{access_key_id}/{}", scope.text());
        let expires = self.expires.to_string();
        let own = [
            ("X-Amz-Algorithm", ALGORITHM),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", &date),
            ("X-Amz-Expires", &expires),
            ("X-Amz-SignedHeaders", "host"),
        ];
        let all = self.parameters.iter().chain(&own);
        let all = all.map(|(name, value)| {
            let (name, value) = (percent_encode(name, false), percent_encode(value, false));
            format!("{name}={value}")
        });
        let query = all.collect::<Vec<_>>().join("&");
        let request = Request {
            method: self.method,
            host: self.host,
            path: self.path,
            query: &query,
            headers: &[],
            payload: Payload::Unsigned,
            region: self.region,
            service: SERVICE,
        };
        let canonical = canonical_request(&request, &[("host", self.host)], UNSIGNED_PAYLOAD);
        let key = signing_key(secret, scope);
        let made = signature(&key, &string_to_sign(scope, &canonical.text));
        format!("{query}&X-Amz-Signature={made}")
    }
}

/// Whether two signatures are the same; takes the same time wherever they differ.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

/// SHA-256 of nothing, in hexadecimal digits.
pub(super) fn sha256_of_nothing() -> String {
    sigv4::sha256_hex(b"")
}

/// A finished digest in hexadecimal digits.
pub(super) fn digits(digest: &aws_lc_rs::digest::Digest) -> String {
    hex(digest.as_ref())
}
