//! AWS Signature Version 4: the headers that sign one request, and the steps that lead there, so
//! that signed queries and the checking of foreign signatures can be built of the same parts. It
//! sends nothing; chunked bodies are signed in `s3`.
//!
//! Source: AWS General Reference, "Create a signed AWS API request".

use aws_lc_rs::{digest, hmac};

use crate::auth::{Civil, days_from_civil, hex};

#[cfg(test)]
mod tests;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The payload hash of a request whose body is not signed.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// Who signs.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Access key id, such as `AKIA…`.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: String,
    /// Session token of temporary credentials.
    pub session_token: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// The body of a request, as far as a signature is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// The body itself; empty for none.
    Bytes(&'a [u8]),
    /// Its SHA-256 in lower-case hexadecimal digits.
    Sha256Hex(&'a str),
    /// The body is not covered by the signature; only some services, such as S3, allow that.
    Unsigned,
}

impl Payload<'_> {
    /// What stands for the body in the canonical request.
    pub fn hash(&self) -> String {
        match self {
            Self::Bytes(bytes) => sha256_hex(bytes),
            Self::Sha256Hex(hash) => (*hash).to_owned(),
            Self::Unsigned => UNSIGNED_PAYLOAD.to_owned(),
        }
    }
}

/// A request to be signed, as it goes over the wire.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Method in upper case.
    pub method: &'a str,
    /// Value of the `Host` header, with the port when it is not the default one.
    pub host: &'a str,
    /// Path with its percent-encoding, beginning with `/`.
    pub path: &'a str,
    /// Query with its percent-encoding, without `?`; empty for none. Spaces must be `%20`.
    pub query: &'a str,
    /// Further headers to be signed. `Host`, `X-Amz-*` of [`sign`] and everything that a proxy may
    /// change do not belong here.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub payload: Payload<'a>,
    /// Region, such as `eu-central-1`.
    pub region: &'a str,
    /// Service, such as `aps` or `s3`.
    pub service: &'a str,
}

/// The headers to set on the request so that it is signed: `x-amz-date`, `x-amz-content-sha256` for
/// S3, `x-amz-security-token` for temporary credentials, and `authorization`. Names in lower case.
/// `unix_seconds` is the present time; the other side allows for five to fifteen minutes.
pub fn sign(
    request: &Request<'_>,
    credentials: &Credentials,
    unix_seconds: i64,
) -> Vec<(&'static str, String)> {
    let date = amz_date(unix_seconds);
    let scope = Scope {
        date: &date,
        region: request.region,
        service: request.service,
    };
    let payload_hash = request.payload.hash();
    let mut set = vec![("x-amz-date", date.clone())];
    if is_s3(request.service) {
        set.push(("x-amz-content-sha256", payload_hash.clone()));
    }
    if let Some(token) = &credentials.session_token {
        set.push(("x-amz-security-token", token.clone()));
    }
    let mut headers = vec![("host", request.host)];
    headers.extend_from_slice(request.headers);
    headers.extend(set.iter().map(|(name, value)| (*name, value.as_str())));
    let canonical = canonical_request(request, &headers, &payload_hash);
    let key = signing_key(&credentials.secret_access_key, scope);
    let signature = signature(&key, &string_to_sign(scope, &canonical.text));
    set.push((
        "authorization",
        format!(
            "{ALGORITHM} Credential={}/{}, SignedHeaders={}, Signature={signature}",
            credentials.access_key_id,
            scope.text(),
            canonical.signed_headers
        ),
    ));
    set
}

/// Time as `X-Amz-Date` has it: `20150830T123600Z`.
pub fn amz_date(unix_seconds: i64) -> String {
    let time = Civil::from_unix(unix_seconds);
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        time.year, time.month, time.day, time.hour, time.minute, time.second
    )
}

/// The time that [`amz_date`] writes; nothing for anything else.
pub fn parse_amz_date(text: &str) -> Option<i64> {
    let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
    let number = |part: Option<&str>| {
        let part = part?;
        let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse::<i64>().ok()).flatten()
    };
    if day.len() != 8 || time.len() != 6 {
        return None;
    }
    let (year, month) = (number(day.get(..4))?, number(day.get(4..6))?);
    let (of_month, hour) = (number(day.get(6..))?, number(time.get(..2))?);
    let (minute, second) = (number(time.get(2..4))?, number(time.get(4..))?);
    let is_valid = (1..=12).contains(&month)
        && (1..=31).contains(&of_month)
        && hour < 24
        && minute < 60
        && second <= 60;
    let days = days_from_civil(year, month, of_month);
    is_valid.then(|| days * 86_400 + hour * 3600 + minute * 60 + second)
}

/// What a signing key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope<'a> {
    /// Time of the request as [`amz_date`] writes it; the key depends on its day only.
    pub date: &'a str,
    /// Region.
    pub region: &'a str,
    /// Service.
    pub service: &'a str,
}

impl Scope<'_> {
    fn day(&self) -> &str {
        self.date.split('T').next().unwrap_or_default()
    }

    /// `20150830/us-east-1/iam/aws4_request`.
    pub fn text(&self) -> String {
        format!(
            "{}/{}/{}/aws4_request",
            self.day(),
            self.region,
            self.service
        )
    }
}

/// A request in the form that is hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalRequest {
    /// The whole text.
    pub text: String,
    /// Names of the signed headers in lower case, sorted, with semicolons between.
    pub signed_headers: String,
}

/// The canonical form. Only the given headers are taken, not those of the request, so that a signed
/// query (host only) and the check of a foreign signature (the headers it names) can use it.
pub fn canonical_request(
    request: &Request<'_>,
    headers: &[(&str, &str)],
    payload_hash: &str,
) -> CanonicalRequest {
    let mut sorted: Vec<(String, String)> = headers
        .iter()
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), one_spaced(value)))
        .collect();
    // Stable: values of a repeated header keep their order.
    sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
    sorted.dedup_by(|(name, value), (kept, values)| {
        let is_same = name == kept;
        if is_same {
            values.push(',');
            values.push_str(value);
        }
        is_same
    });
    let signed: Vec<&str> = sorted.iter().map(|(name, _)| name.as_str()).collect();
    let signed_headers = signed.join(";");
    let lines: Vec<String> = sorted
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let lines = lines.concat();
    let text = format!(
        "{}\n{}\n{}\n{lines}\n{signed_headers}\n{payload_hash}",
        request.method,
        canonical_path(request.path, request.service),
        canonical_query(request.query),
    );
    CanonicalRequest {
        text,
        signed_headers,
    }
}

/// The text whose keyed hash is the signature.
pub fn string_to_sign(scope: Scope<'_>, canonical_request: &str) -> String {
    format!(
        "{ALGORITHM}\n{}\n{}\n{}",
        scope.date,
        scope.text(),
        sha256_hex(canonical_request.as_bytes())
    )
}

/// A key derived for one day, region and service. It may be kept for the day.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SigningKey(..)")
    }
}

/// Derives the key from the secret.
pub fn signing_key(secret_access_key: &str, scope: Scope<'_>) -> SigningKey {
    let keyed = |key: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut key = keyed(format!("AWS4{secret_access_key}").as_bytes());
    for part in [scope.day(), scope.region, scope.service, "aws4_request"] {
        key = keyed(hmac::sign(&key, part.as_bytes()).as_ref());
    }
    SigningKey(key)
}

/// The signature in hexadecimal digits.
pub fn signature(key: &SigningKey, string_to_sign: &str) -> String {
    hex(hmac::sign(&key.0, string_to_sign.as_bytes()).as_ref())
}

/// SHA-256 in lower-case hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn is_s3(service: &str) -> bool {
    matches!(service, "s3" | "s3-outposts" | "s3express")
}

/// The path of the canonical request. S3 takes it as it is, with everything encoded once; all
/// others resolve dot segments and encode the encoded path again.
fn canonical_path(path: &str, service: &str) -> String {
    if is_s3(service) {
        let encoded = encode(path, |byte| byte == b'/', true);
        return if encoded.is_empty() {
            "/".to_owned()
        } else {
            encoded
        };
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    let mut normal = format!("/{}", segments.join("/"));
    if !segments.is_empty() && path.ends_with('/') {
        normal.push('/');
    }
    encode(&normal, |byte| byte == b'/', false)
}

/// The parameters sorted by encoded name, then value; one without `=` gets it.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| {
            (
                encode(name, |_| false, true),
                encode(value, |_| false, true),
            )
        })
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// Percent-encodes everything but unreserved characters (RFC 3986 section 2.3) and those kept;
/// `is_encoded` leaves what is an encoded byte already, with its digits in upper case.
fn encode(text: &str, keep: impl Fn(u8) -> bool, is_encoded: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, behind @ ..] = rest {
        rest = behind;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || keep(*byte) {
            out.push(char::from(*byte));
        } else if let (true, b'%', [high, low, after @ ..]) = (is_encoded, byte, behind)
            && high.is_ascii_hexdigit()
            && low.is_ascii_hexdigit()
        {
            rest = after;
            out.push('%');
            out.extend([high, low].map(|digit| char::from(digit.to_ascii_uppercase())));
        } else {
            out.push('%');
            out.push_str(&hex(&[*byte]).to_ascii_uppercase());
        }
    }
    out
}

/// Trimmed, with every run of spaces inside as one.
fn one_spaced(value: &str) -> String {
    value
        .split([' ', '\t'])
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}
