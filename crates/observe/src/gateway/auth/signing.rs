//! `hmac` and `sigv4`: a signature over each request. Nothing is obtained and nothing expires.

use base::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::Url;

use super::{OutRequest, Resolver, SchemeError, bad_answer};
use crate::gateway::config::{Apply, AuthConfig, DateFormat, Encoding, HashAlgorithm};
use crate::gateway::failure::{Failure, unix_seconds};
use crate::gateway::template;

/// A keyed hash over chosen parts of the request.
#[derive(Debug)]
pub(crate) struct Hmac {
    key_id: String,
    secret: Secret,
    algorithm: wire::auth::HmacAlgorithm,
    string_to_sign: String,
    date_header: HeaderName,
    date_format: DateFormat,
    encoding: Encoding,
    output: Apply,
}

impl Hmac {
    pub(super) fn resolve(
        config: &AuthConfig,
        resolver: &mut Resolver<'_>,
    ) -> Result<Self, SchemeError> {
        let AuthConfig::Hmac {
            key_id,
            secret,
            algorithm,
            string_to_sign,
            date_header,
            date_format,
            encoding,
            output_header,
        } = config
        else {
            return Err(SchemeError::Unusable("not an hmac".to_owned()));
        };
        Ok(Self {
            key_id: key_id.clone(),
            secret: resolver.read(secret)?,
            algorithm: match algorithm {
                HashAlgorithm::Sha1 => wire::auth::HmacAlgorithm::Sha1,
                HashAlgorithm::Sha256 => wire::auth::HmacAlgorithm::Sha256,
                HashAlgorithm::Sha384 => wire::auth::HmacAlgorithm::Sha384,
                HashAlgorithm::Sha512 => wire::auth::HmacAlgorithm::Sha512,
            },
            string_to_sign: string_to_sign.clone(),
            date_header: HeaderName::try_from(date_header)
                .map_err(|_| SchemeError::Unusable("date_header is no header".to_owned()))?,
            date_format: *date_format,
            encoding: *encoding,
            output: output_header.clone(),
        })
    }

    pub(super) fn sign(&self, request: &mut OutRequest, url: &Url) -> Result<(), Failure> {
        let now = unix_seconds();
        let date = match self.date_format {
            DateFormat::Http => wire::auth::http_date(now),
            DateFormat::Epoch => now.to_string(),
            DateFormat::Rfc3339 => OffsetDateTime::from_unix_timestamp(now)
                .ok()
                .and_then(|now| now.format(&Rfc3339).ok())
                .ok_or_else(|| bad_answer("the clock is out of range"))?,
        };
        let host = authority(url);
        let text = template::expand(&self.string_to_sign, |name| match name {
            "method" => Some(request.method().as_str()),
            "path" => Some(url.path()),
            "query" => Some(url.query().unwrap_or_default()),
            "host" => Some(&host),
            "date" => Some(&date),
            "key_id" => Some(&self.key_id),
            _ => None,
        })
        .map_err(|error| bad_answer(error.to_string()))?;
        let mac = wire::auth::hmac(
            self.algorithm,
            self.secret.expose().as_bytes(),
            text.as_bytes(),
        );
        let signature = match self.encoding {
            Encoding::Hex => wire::auth::hex(&mac),
            Encoding::Base64 => STANDARD.encode(mac),
        };
        let value = template::expand(&self.output.value, |name| match name {
            "key_id" => Some(&self.key_id),
            "signature" => Some(&signature),
            "date" => Some(&date),
            _ => None,
        })
        .map_err(|error| bad_answer(error.to_string()))?;
        let headers = request.headers_mut();
        let bad = |_| bad_answer("the signature can't go into a header");
        headers.insert(
            self.date_header.clone(),
            HeaderValue::try_from(date).map_err(bad)?,
        );
        let name = HeaderName::try_from(&self.output.header);
        let name = name.map_err(|_| bad_answer("output_header is no header"))?;
        headers.insert(name, HeaderValue::try_from(value).map_err(bad)?);
        Ok(())
    }
}

/// AWS Signature Version 4.
#[derive(Debug)]
pub(crate) struct Sigv4 {
    region: String,
    service: String,
    key_id: Secret,
    secret: Secret,
    session_token: Option<Secret>,
}

impl Sigv4 {
    pub(super) fn resolve(
        config: &AuthConfig,
        resolver: &mut Resolver<'_>,
    ) -> Result<Self, SchemeError> {
        let AuthConfig::Sigv4 {
            region,
            service,
            key_id,
            secret,
            session_token,
        } = config
        else {
            return Err(SchemeError::Unusable("not a sigv4".to_owned()));
        };
        Ok(Self {
            region: region.clone(),
            service: service.clone(),
            key_id: resolver.read(key_id)?,
            secret: resolver.read(secret)?,
            session_token: resolver.read_optional(session_token.as_ref())?,
        })
    }

    pub(super) fn sign(&self, request: &mut OutRequest, url: &Url) -> Result<(), Failure> {
        let host = authority(url);
        let credentials = wire::sigv4::Credentials {
            access_key_id: self.key_id.expose().to_owned(),
            secret_access_key: self.secret.expose().to_owned(),
            session_token: self
                .session_token
                .as_ref()
                .map(|token| token.expose().to_owned()),
        };
        let unsigned = wire::sigv4::Request {
            method: request.method().as_str(),
            host: &host,
            path: url.path(),
            query: url.query().unwrap_or_default(),
            headers: &[],
            payload: wire::sigv4::Payload::Bytes(b""),
            region: &self.region,
            service: &self.service,
        };
        let signed = wire::sigv4::sign(&unsigned, &credentials, unix_seconds());
        for (name, value) in signed {
            let pair = super::header_pair(name, &value);
            let (name, value) =
                pair.ok_or_else(|| bad_answer("the signature can't go into a header"))?;
            request.headers_mut().insert(name, value);
        }
        Ok(())
    }
}

/// Host and port as the `Host` header carries them.
pub(super) fn authority(url: &Url) -> String {
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    format!("{}{port}", url.host_str().unwrap_or_default())
}
