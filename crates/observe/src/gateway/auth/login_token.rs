//! `login_token`: one request whose answer carries a token, and perhaps when it ends.

use std::time::{Duration, Instant};

use base::secret::Secret;
use bytes::Bytes;
use http::Request;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http_body_util::Full;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use super::{
    LoginAnswer, LoginContext, Obtained, OutRequest, Resolver, SchemeError, apply_token,
    bad_answer, send, uri,
};
use crate::gateway::config::{
    Apply, AuthConfig, ExpiryFormat, Extract, ExtractFrom, LoginBody, LoginRequest,
};
use crate::gateway::failure::{Failure, unix_seconds};
use crate::gateway::{pattern, template};

/// A login request with its secrets.
#[derive(Debug)]
pub(crate) struct LoginToken {
    username: Option<Secret>,
    password: Option<Secret>,
    request: LoginRequest,
    ok_status: Vec<u16>,
    extract: Extract,
    apply: Apply,
}

impl LoginToken {
    pub(super) fn resolve(
        config: &AuthConfig,
        resolver: &mut Resolver<'_>,
    ) -> Result<Self, SchemeError> {
        let AuthConfig::LoginToken {
            username,
            password,
            request,
            ok_status,
            extract,
            apply,
        } = config
        else {
            return Err(SchemeError::Unusable("not a login_token".to_owned()));
        };
        Ok(Self {
            username: resolver.read_optional(username.as_ref())?,
            password: resolver.read_optional(password.as_ref())?,
            request: request.clone(),
            ok_status: ok_status.clone(),
            extract: extract.clone(),
            apply: apply.clone(),
        })
    }

    pub(super) async fn obtain(
        &self,
        context: &LoginContext,
        deadline: Instant,
    ) -> Result<Obtained, Failure> {
        let request = self.build(&context.name)?;
        let answer = send(context, request, &self.request.url, deadline).await?;
        if !self.ok_status.contains(&answer.status.as_u16()) {
            return Err(answer.failure(&self.request.url));
        }
        let token = extract(&answer, &self.extract.token, false)?
            .ok_or_else(|| bad_answer("login: there is no token where `extract.token` looks"))?;
        let life = match &self.extract.expires {
            Some((from, format)) => extract(&answer, from, true)?
                .map(|text| life(&text, *format, unix_seconds()))
                .transpose()?,
            None => None,
        };
        Ok(Obtained {
            credential: apply_token(&self.apply, &token)?,
            life,
        })
    }

    fn build(&self, name: &str) -> Result<OutRequest, Failure> {
        let username = self.username.as_ref().map_or("", Secret::expose);
        let password = self.password.as_ref().map_or("", Secret::expose);
        let fill = |text: &str| {
            template::expand(text, |key| match key {
                "username" => Some(username),
                "password" => Some(password),
                "name" => Some(name),
                _ => None,
            })
            .map_err(|error| bad_answer(format!("login: {error}")))
        };
        let (content_type, body) = match &self.request.body {
            LoginBody::None => (None, String::new()),
            LoginBody::Json(json) => (
                Some("application/json"),
                fill_json(json, &fill)?.to_string(),
            ),
            LoginBody::Form(form) => {
                let mut body = url::form_urlencoded::Serializer::new(String::new());
                for (key, value) in form {
                    body.append_pair(key, &fill(value)?);
                }
                (Some("application/x-www-form-urlencoded"), body.finish())
            }
        };
        let mut request = Request::builder()
            .method(self.request.method.as_str())
            .uri(uri(&self.request.url)?)
            .header(ACCEPT, "application/json");
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        if self.request.basic {
            request = request.header(AUTHORIZATION, wire::auth::basic(username, password));
        }
        for (key, value) in &self.request.headers {
            if key.eq_ignore_ascii_case("accept")
                && let Some(headers) = request.headers_mut()
            {
                headers.remove(ACCEPT);
            }
            request = request.header(key, value);
        }
        request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| bad_answer(format!("login: the request can't be built: {error}")))
    }
}

fn fill_json(
    value: &serde_json::Value,
    fill: &impl Fn(&str) -> Result<String, Failure>,
) -> Result<serde_json::Value, Failure> {
    use serde_json::Value;
    Ok(match value {
        Value::String(text) => Value::String(fill(text)?),
        Value::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| fill_json(item, fill))
                .collect::<Result<_, _>>()?,
        ),
        Value::Object(entries) => {
            let filled = entries
                .iter()
                .map(|(key, item)| Ok((key.clone(), fill_json(item, fill)?)));
            Value::Object(filled.collect::<Result<_, Failure>>()?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

/// The text at a place of the answer; `None` when there is nothing.
fn extract(
    answer: &LoginAnswer,
    from: &ExtractFrom,
    takes_numbers: bool,
) -> Result<Option<String>, Failure> {
    Ok(match from {
        ExtractFrom::Pointer(pointer) => {
            let json = answer.json()?;
            json.pointer(pointer).and_then(|value| match value {
                serde_json::Value::String(text) => Some(text.clone()),
                // Expiries are numbers; a token that is one is a mistake of the pointer.
                serde_json::Value::Number(number) if takes_numbers => Some(number.to_string()),
                _ => None,
            })
        }
        ExtractFrom::Header(name) => answer
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned),
        ExtractFrom::Regex(pattern) => first_group(pattern, &answer.body)?,
    })
}

/// The first group of a pattern's first match in a body.
pub(super) fn first_group(pattern: &str, body: &[u8]) -> Result<Option<String>, Failure> {
    let regex = pattern::compile(pattern).map_err(|error| bad_answer(error.to_string()))?;
    let text = String::from_utf8_lossy(body);
    let group = regex.captures(&text).and_then(|captures| captures.get(1));
    Ok(group.map(|group| group.as_str().to_owned()))
}

/// How long a token lasts from `now` (Unix seconds).
fn life(text: &str, format: ExpiryFormat, now: i64) -> Result<Duration, Failure> {
    let date_time = format_description!(
        "[year]-[month]-[day] [hour]:[minute]:[second][offset_hour sign:mandatory]:[offset_minute]"
    );
    let end = match format {
        ExpiryFormat::Epoch => text.parse::<f64>().ok().map(|seconds| seconds - now as f64),
        ExpiryFormat::Seconds => text.parse::<f64>().ok(),
        ExpiryFormat::Rfc3339 => OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .map(|end| (end.unix_timestamp() - now) as f64),
        ExpiryFormat::DateTime => OffsetDateTime::parse(text, &date_time)
            .ok()
            .map(|end| (end.unix_timestamp() - now) as f64),
    };
    end.filter(|seconds| seconds.is_finite())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok())
        .ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            bad_answer(format!(
                "login: the expiry `{}` is not in the configured format",
                shown.escape_debug()
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expiry_format_is_read() {
        let now = 1_795_219_200; // 2026-11-21T00:00:00Z
        for (text, format, seconds) in [
            ("2026-11-21T01:00:00Z", ExpiryFormat::Rfc3339, Some(3_600)),
            (
                "2026-11-21 01:00:00+00:00",
                ExpiryFormat::DateTime,
                Some(3_600),
            ),
            ("2026-11-21 01:00:00+02:00", ExpiryFormat::DateTime, Some(0)),
            ("1795219260", ExpiryFormat::Epoch, Some(60)),
            ("90", ExpiryFormat::Seconds, Some(90)),
            ("soon", ExpiryFormat::Seconds, None),
            ("NaN", ExpiryFormat::Seconds, None),
            ("1e300", ExpiryFormat::Epoch, None),
        ] {
            assert_eq!(
                life(text, format, now).ok().map(|d| d.as_secs()),
                seconds,
                "{text}"
            );
        }
    }
}
