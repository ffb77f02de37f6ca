//! `oauth2`: the token endpoint of RFC 6749 with the grants that machines use, and the assertions
//! of RFC 7523. A refresh token that the server rotates replaces the configured one and is kept.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base::secret::Secret;
use bytes::Bytes;
use http::Request;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http_body_util::Full;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use url::form_urlencoded::Serializer;

use super::refresh_tokens::TokenKey;
use super::{
    LoginContext, Obtained, OutRequest, Resolver, SchemeError, apply_token, bad_answer, send, uri,
};
use crate::gateway::config::{Apply, ClientAuth, Grant, Oauth2Config, SigningAlgorithm};
use crate::gateway::failure::{Failure, FailureKind, unix_seconds};

/// How long an assertion is valid: enough for a skewed clock, little for a thief.
const ASSERTION_LIFE_SECONDS: i64 = 300;
const GRANT_JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ASSERTION_JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A client of a token endpoint with its secrets.
#[derive(Debug)]
pub(crate) struct Oauth2 {
    config: Oauth2Config,
    client_secret: Option<Secret>,
    username: Option<Secret>,
    password: Option<Secret>,
    key: Option<SigningKey>,
    /// As configured: the first of its line.
    refresh_token: Option<Secret>,
    /// The newest refresh token, when it could not be written down.
    unkept: Mutex<Option<Secret>>,
}

struct SigningKey(EncodingKey);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(base::secret::MASK)
    }
}

/// The claims of an assertion (RFC 7523 3).
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

impl Oauth2 {
    pub(super) fn resolve(
        config: &Oauth2Config,
        resolver: &mut Resolver<'_>,
    ) -> Result<Self, SchemeError> {
        let key = resolver.read_optional(config.private_key.as_ref())?;
        let key = key
            .map(|pem| read_key(&pem, config.algorithm))
            .transpose()?;
        Ok(Self {
            client_secret: resolver.read_optional(config.client_secret.as_ref())?,
            username: resolver.read_optional(config.username.as_ref())?,
            password: resolver.read_optional(config.password.as_ref())?,
            refresh_token: resolver.read_optional(config.refresh_token.as_ref())?,
            unkept: Mutex::default(),
            key,
            config: config.clone(),
        })
    }

    pub(super) async fn obtain(
        &self,
        context: &LoginContext,
        deadline: Instant,
    ) -> Result<Obtained, Failure> {
        let refresh_token = self.newest_refresh_token(context);
        let request = self.build(refresh_token.as_ref())?;
        let answer = send(context, request, &self.config.token_url, deadline).await?;
        if answer.status == http::StatusCode::BAD_REQUEST {
            return Err(self.refusal(&answer));
        }
        if !answer.status.is_success() {
            return Err(answer.failure(&self.config.token_url));
        }
        let json = answer.json()?;
        let text = |key: &str| json.get(key).and_then(serde_json::Value::as_str);
        let token = text("access_token").ok_or_else(|| {
            bad_answer("login: the token endpoint's answer has no `access_token`")
        })?;
        if let Some(next) = text("refresh_token").map(Secret::new)
            && refresh_token.is_some_and(|used| used != next)
        {
            self.keep_refresh_token(context, next).await;
        }
        // Some servers write the number as a text.
        let seconds = json.get("expires_in").and_then(|value| {
            value
                .as_f64()
                .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
        });
        let life = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let apply = Apply {
            header: "authorization".to_owned(),
            value: "Bearer {token}".to_owned(),
        };
        Ok(Obtained {
            credential: apply_token(&apply, token)?,
            life,
        })
    }

    fn refresh_key(&self, context: &LoginContext) -> Option<TokenKey> {
        let configured = self.refresh_token.as_ref();
        let configured = configured.filter(|_| self.config.grant == Grant::RefreshToken)?;
        let url = &self.config.token_url;
        Some(TokenKey::new(&context.name, url, configured))
    }

    /// The file is asked each time: a process that drains or starts beside uses the same line of
    /// tokens.
    fn newest_refresh_token(&self, context: &LoginContext) -> Option<Secret> {
        let key = self.refresh_key(context)?;
        let unkept = self.unkept.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = unkept.clone().or_else(|| context.refresh_tokens.read(&key));
        newest.or_else(|| self.refresh_token.clone())
    }

    async fn keep_refresh_token(&self, context: &LoginContext, token: Secret) {
        let Some(key) = self.refresh_key(context) else {
            return;
        };
        let (tokens, kept) = (context.refresh_tokens.clone(), token.clone());
        // It waits for the disk.
        let done = tokio::task::spawn_blocking(move || tokens.keep(&key, &kept)).await;
        let error = match done {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = &error {
            tracing::warn!(
                target = %context.name,
                error,
                "the new refresh token can't be kept: a restart will need another"
            );
        }
        let mut unkept = self.unkept.lock().unwrap_or_else(PoisonError::into_inner);
        *unkept = error.map(|_| token);
    }

    /// 400 with an error code (RFC 6749 5.2): which ones mean that the credential is wrong.
    fn refusal(&self, answer: &super::LoginAnswer) -> Failure {
        let json = answer.json().unwrap_or_default();
        let code = json
            .get("error")
            .and_then(serde_json::Value::as_str)
            .unwrap_or("no code");
        let code: String = code.chars().take(60).collect();
        let is_credential = matches!(
            code.as_str(),
            "invalid_client" | "invalid_grant" | "unauthorized_client"
        );
        let kind = if is_credential {
            FailureKind::AuthFailed
        } else {
            FailureKind::Degraded
        };
        let place = super::place(&self.config.token_url);
        Failure::new(
            kind,
            format!(
                "login refused: {place} answered 400 {}",
                code.escape_debug()
            ),
        )
    }

    fn build(&self, refresh_token: Option<&Secret>) -> Result<OutRequest, Failure> {
        let config = &self.config;
        let mut form = Serializer::new(String::new());
        self.add_grant(&mut form, refresh_token)?;
        if !config.scopes.is_empty() && config.grant != Grant::JwtBearer {
            form.append_pair("scope", &config.scopes.join(" "));
        }
        if let Some(audience) = &config.audience
            && config.grant != Grant::JwtBearer
        {
            form.append_pair("audience", audience);
        }
        for (key, value) in &config.params {
            form.append_pair(key, value);
        }
        let mut request = Request::post(uri(&config.token_url)?)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        match (config.client_auth, &config.client_id, &self.client_secret) {
            (ClientAuth::Basic, Some(id), Some(secret)) => {
                // RFC 6749 2.3.1: both are form-encoded before they are joined.
                let encode = |text: &str| {
                    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>()
                };
                let value = wire::auth::basic(&encode(id), &encode(secret.expose()));
                request = request.header(AUTHORIZATION, value);
            }
            (ClientAuth::PrivateKeyJwt, Some(id), _) => {
                let assertion = self.assertion(id, id, config.token_url.as_str(), None)?;
                form.append_pair("client_assertion_type", ASSERTION_JWT_BEARER);
                form.append_pair("client_assertion", &assertion);
                form.append_pair("client_id", id);
            }
            (_, Some(id), secret) => {
                form.append_pair("client_id", id);
                if let Some(secret) = secret {
                    form.append_pair("client_secret", secret.expose());
                }
            }
            (_, None, _) => {}
        }
        request
            .body(Full::new(Bytes::from(form.finish())))
            .map_err(|error| bad_answer(format!("login: the request can't be built: {error}")))
    }

    fn add_grant(
        &self,
        form: &mut Serializer<'_, String>,
        refresh_token: Option<&Secret>,
    ) -> Result<(), Failure> {
        let exposed = |secret: Option<&Secret>| secret.map_or("", Secret::expose).to_owned();
        match self.config.grant {
            Grant::ClientCredentials => {
                form.append_pair("grant_type", "client_credentials");
            }
            Grant::Password => {
                form.append_pair("grant_type", "password");
                form.append_pair("username", &exposed(self.username.as_ref()));
                form.append_pair("password", &exposed(self.password.as_ref()));
            }
            Grant::RefreshToken => {
                form.append_pair("grant_type", "refresh_token");
                form.append_pair("refresh_token", &exposed(refresh_token));
            }
            Grant::JwtBearer => {
                let config = &self.config;
                let issuer = config.issuer.as_ref().or(config.client_id.as_ref());
                let issuer = issuer.map_or("", String::as_str);
                let subject = config.subject.as_deref().unwrap_or(issuer);
                let audience = config
                    .audience
                    .as_deref()
                    .unwrap_or(config.token_url.as_str());
                let scope = (!config.scopes.is_empty()).then(|| config.scopes.join(" "));
                form.append_pair("grant_type", GRANT_JWT_BEARER);
                form.append_pair(
                    "assertion",
                    &self.assertion(issuer, subject, audience, scope)?,
                );
            }
        }
        Ok(())
    }

    fn assertion(
        &self,
        issuer: &str,
        subject: &str,
        audience: &str,
        scope: Option<String>,
    ) -> Result<String, Failure> {
        let now = unix_seconds();
        let claims = Claims {
            iss: issuer,
            sub: subject,
            aud: audience,
            iat: now,
            exp: now + ASSERTION_LIFE_SECONDS,
            jti: format!("{:032x}", fastrand::u128(..)),
            scope,
        };
        let mut header = Header::new(algorithm(self.config.algorithm));
        header.kid.clone_from(&self.config.key_id);
        let key = self
            .key
            .as_ref()
            .ok_or_else(|| bad_answer("login: no `private_key`"))?;
        jsonwebtoken::encode(&header, &claims, &key.0)
            .map_err(|error| bad_answer(format!("login: the assertion can't be signed: {error}")))
    }
}

fn algorithm(algorithm: SigningAlgorithm) -> Algorithm {
    match algorithm {
        SigningAlgorithm::Rs256 => Algorithm::RS256,
        SigningAlgorithm::Es256 => Algorithm::ES256,
    }
}

fn read_key(pem: &Secret, algorithm: SigningAlgorithm) -> Result<SigningKey, SchemeError> {
    let pem = pem.expose().as_bytes();
    let key = match algorithm {
        SigningAlgorithm::Rs256 => EncodingKey::from_rsa_pem(pem),
        SigningAlgorithm::Es256 => EncodingKey::from_ec_pem(pem),
    };
    key.map(SigningKey)
        .map_err(|error| SchemeError::Unusable(format!("private_key: {error}")))
}
