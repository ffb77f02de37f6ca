//! Reads the section `auth` of a target, one function a kind. The values are in [`super::auth`].

use std::collections::BTreeMap;
use std::time::Duration;

use base::config::{Field, Section};
use base::secret::SecretSource;
use base::tls::ClientTls;
use url::Url;

use super::auth::{
    Apply, AuthConfig, ClientAuth, Csrf, CsrfFrom, DateFormat, Encoding, ExpiryFormat, Extract,
    ExtractFrom, FormMethod, FormStep, FormSuccess, Grant, HashAlgorithm, InvalidOn, Login,
    LoginBody, LoginRequest, Oauth2Config, RedirectWord, SessionRules, SigningAlgorithm,
};
use crate::gateway::{pattern, template};

/// Steps of a form login.
const STEPS_MAX: usize = 16;

impl SessionRules {
    /// Reads the keys that all kinds share.
    pub fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let invalid_on = section.optional("invalid_on").and_then(|field| {
            field.list(|field| match field.node.text() {
                Some("redirect") => Some(InvalidOn::Redirect(RedirectWord::Redirect)),
                _ => read_status(&field).map(InvalidOn::Status),
            })
        });
        let mut duration = |key, default| {
            section
                .optional(key)
                .and_then(|field| field.duration())
                .unwrap_or(default)
        };
        Self {
            margin: duration("margin", default.margin),
            ttl_max: duration("ttl_max", default.ttl_max),
            ttl_default: duration("ttl_default", default.ttl_default),
            invalid_on: invalid_on.unwrap_or(default.invalid_on),
        }
    }
}

impl Login {
    /// Reads the section of a target whose page is at `page`.
    pub fn read(field: &Field<'_>, page: Option<&Url>) -> Option<Self> {
        type Read = fn(&mut Section<'_>) -> Option<AuthConfig>;
        let kinds: [(&str, Read); 13] = [
            ("none", |_| Some(AuthConfig::None)),
            ("static_header", static_header),
            ("basic", basic),
            ("bearer", bearer),
            ("query_key", query_key),
            ("login_token", login_token),
            ("oauth2", oauth2),
            ("form_cookie", form_cookie),
            ("mtls", mtls),
            ("hmac", hmac),
            ("sigv4", sigv4),
            ("digest", digest),
            ("exec", exec),
        ];
        let mut section = field.section()?;
        let read = section
            .required("kind")
            .and_then(|field| field.choice(&kinds))?;
        let auth = read(&mut section);
        let session = SessionRules::read(&mut section);
        let tls = section.optional("tls");
        section.finish();
        let auth = auth?;
        let tls = tls.and_then(|field| read_login_tls(&field, &auth, page));
        Some(Self {
            auth,
            session,
            tls: tls.unwrap_or_default(),
        })
    }
}

/// TLS of a login elsewhere; on the target's own host the target's settings hold.
fn read_login_tls(field: &Field<'_>, auth: &AuthConfig, page: Option<&Url>) -> Option<ClientTls> {
    let own = page.and_then(Url::host_str);
    let urls = auth.login_urls();
    if urls.iter().all(|url| url.host_str() == own) {
        field.warning(
            "nobody logs in on another host than the target's, so this does nothing",
            Some("the target's own `tls` holds for its host"),
        );
    }
    ClientTls::read(field)
}

fn text(section: &mut Section<'_>, key: &'static str) -> Option<String> {
    section.optional(key).and_then(|field| field.text())
}

fn needed_text(section: &mut Section<'_>, key: &'static str) -> Option<String> {
    section.required(key).and_then(|field| field.text())
}

fn secret(section: &mut Section<'_>, key: &'static str) -> Option<SecretSource> {
    section
        .optional(key)
        .and_then(|field| SecretSource::read(&field))
}

fn needed_secret(section: &mut Section<'_>, key: &'static str) -> Option<SecretSource> {
    section
        .required(key)
        .and_then(|field| SecretSource::read(&field))
}

/// A text with `{names}`; reports a name that has no meaning at this place.
fn read_template(field: &Field<'_>, names: &[&str]) -> Option<String> {
    let text = field.text()?;
    if let Err(error) = template::check(&text, names) {
        let known: Vec<String> = names.iter().map(|name| format!("{{{name}}}")).collect();
        field.error(
            error.to_string(),
            Some(&format!("known here: {}", known.join(", "))),
        );
    }
    Some(text)
}

fn read_header_name(field: &Field<'_>) -> Option<String> {
    let name = field.text()?;
    if http::HeaderName::try_from(&name).is_err() {
        field.error("not the name of a header", None);
    }
    Some(name)
}

fn read_status(field: &Field<'_>) -> Option<u16> {
    field
        .integer(100..=599)
        .and_then(|status| u16::try_from(status).ok())
}

fn static_header(section: &mut Section<'_>) -> Option<AuthConfig> {
    let name = section
        .optional("name")
        .and_then(|field| read_header_name(&field));
    let scheme = text(section, "scheme");
    Some(AuthConfig::StaticHeader {
        name: name.unwrap_or_else(|| "Authorization".to_owned()),
        scheme,
        value: needed_secret(section, "value")?,
    })
}

fn basic(section: &mut Section<'_>) -> Option<AuthConfig> {
    let (username, password) = username_password(section);
    Some(AuthConfig::Basic {
        username: username?,
        password: password?,
    })
}

fn digest(section: &mut Section<'_>) -> Option<AuthConfig> {
    let (username, password) = username_password(section);
    Some(AuthConfig::Digest {
        username: username?,
        password: password?,
    })
}

fn username_password(section: &mut Section<'_>) -> (Option<SecretSource>, Option<SecretSource>) {
    (
        needed_secret(section, "username"),
        needed_secret(section, "password"),
    )
}

fn bearer(section: &mut Section<'_>) -> Option<AuthConfig> {
    Some(AuthConfig::Bearer {
        token: needed_secret(section, "token")?,
    })
}

fn query_key(section: &mut Section<'_>) -> Option<AuthConfig> {
    let param = needed_text(section, "param");
    let value = needed_secret(section, "value");
    Some(AuthConfig::QueryKey {
        param: param?,
        value: value?,
    })
}

fn login_token(section: &mut Section<'_>) -> Option<AuthConfig> {
    let username = secret(section, "username");
    let password = secret(section, "password");
    let request = section
        .required("request")
        .and_then(|field| read_request(&field));
    let ok_status = section
        .optional("ok_status")
        .and_then(|f| f.list(|f| read_status(&f)));
    let extract = section
        .required("extract")
        .and_then(|field| read_extract(&field));
    let apply = read_apply(section);
    let request = request?;
    if request.basic && (username.is_none() || password.is_none()) {
        section.field().error(
            "`request.auth: basic` needs `username` and `password`",
            None,
        );
    }
    Some(AuthConfig::LoginToken {
        username,
        password,
        request,
        ok_status: ok_status.unwrap_or_else(|| vec![200]),
        extract: extract?,
        apply,
    })
}

fn read_request(field: &Field<'_>) -> Option<LoginRequest> {
    let mut section = field.section()?;
    let method = section
        .optional("method")
        .and_then(|field| field.choice(&[("POST", "POST"), ("GET", "GET"), ("PUT", "PUT")]));
    let url = section.required("url").and_then(|field| field.url());
    let basic = section
        .optional("auth")
        .and_then(|f| f.choice(&[("none", false), ("basic", true)]));
    let headers = section.optional("headers").and_then(|field| {
        field.entries(|name, field| {
            if http::HeaderName::try_from(name).is_err() {
                field.error("not the name of a header", None);
            }
            field.text()
        })
    });
    let body = section.optional("body").and_then(|field| read_body(&field));
    section.finish();
    Some(LoginRequest {
        method: method.unwrap_or("POST").to_owned(),
        url: url?,
        basic: basic.unwrap_or(false),
        headers: headers.unwrap_or_default().into_iter().collect(),
        body: body.unwrap_or(LoginBody::None),
    })
}

fn read_body(field: &Field<'_>) -> Option<LoginBody> {
    let mut section = field.section()?;
    let json = section.optional("json").and_then(|field| read_json(&field));
    let form = section.optional("form").and_then(|field| read_form(&field));
    section.finish();
    match (json, form) {
        (Some(json), None) => Some(LoginBody::Json(json)),
        (None, Some(form)) => Some(LoginBody::Form(form)),
        _ => {
            field.error("a body is `{json: …}` or `{form: …}`", None);
            None
        }
    }
}

fn read_form(field: &Field<'_>) -> Option<BTreeMap<String, String>> {
    let fields = field.entries(|_, field| read_template(&field, &["username", "password", "name"]));
    Some(fields?.into_iter().collect())
}

/// YAML as JSON; plain `true`, `null` and numbers keep their meaning, other texts are templates.
fn read_json(field: &Field<'_>) -> Option<serde_json::Value> {
    use base::config::Value;
    use serde_json::Value as Json;
    match &field.node.value {
        Value::Scalar {
            text,
            is_plain: true,
        } => {
            let plain = serde_json::from_str(text)
                .ok()
                .filter(|value: &Json| !value.is_string());
            plain.or_else(|| {
                read_template(field, &["username", "password", "name"]).map(Json::String)
            })
        }
        Value::Scalar { .. } => {
            read_template(field, &["username", "password", "name"]).map(Json::String)
        }
        Value::Sequence(_) => Some(Json::Array(field.list(|field| read_json(&field))?)),
        Value::Mapping(_) => Some(Json::Object(
            field
                .entries(|_, field| read_json(&field))?
                .into_iter()
                .collect(),
        )),
    }
}

fn read_extract(field: &Field<'_>) -> Option<Extract> {
    let mut section = field.section()?;
    let token = section.required("token").and_then(|field| {
        let mut section = field.section()?;
        let from = read_from(&mut section);
        section.finish();
        from
    });
    let expires = section.optional("expires").and_then(|field| {
        let mut section = field.section()?;
        let from = read_from(&mut section);
        let format = section.required("format").and_then(|field| {
            field.choice(&[
                ("rfc3339", ExpiryFormat::Rfc3339),
                ("epoch", ExpiryFormat::Epoch),
                ("seconds", ExpiryFormat::Seconds),
                ("date_time", ExpiryFormat::DateTime),
            ])
        });
        section.finish();
        from.zip(format)
    });
    section.finish();
    Some(Extract {
        token: token?,
        expires,
    })
}

fn read_from(section: &mut Section<'_>) -> Option<ExtractFrom> {
    let pointer = section.optional("pointer").and_then(|field| {
        let pointer = field.text()?;
        if !pointer.starts_with('/') {
            field.error(
                "a JSON pointer begins with `/`",
                Some("such as /users/0/token"),
            );
        }
        Some(ExtractFrom::Pointer(pointer))
    });
    let header = section
        .optional("header")
        .and_then(|f| read_header_name(&f));
    let regex = section
        .optional("regex")
        .and_then(|field| read_regex(&field));
    let mut found: Vec<ExtractFrom> = [
        pointer,
        header.map(ExtractFrom::Header),
        regex.map(ExtractFrom::Regex),
    ]
    .into_iter()
    .flatten()
    .collect();
    match (found.pop(), found.is_empty()) {
        (Some(from), true) => Some(from),
        _ => {
            section
                .field()
                .error("exactly one of `pointer`, `header` and `regex`", None);
            None
        }
    }
}

fn read_regex(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    match pattern::compile(&text) {
        Ok(regex) if regex.captures_len() >= 2 => Some(text),
        Ok(_) => {
            field.error(
                "the expression needs a group `(…)` around what is wanted",
                None,
            );
            None
        }
        Err(error) => {
            field.error(format!("not a regular expression: {error}"), None);
            None
        }
    }
}

fn read_apply(section: &mut Section<'_>) -> Apply {
    let apply = section.optional("apply").and_then(|field| {
        let mut section = field.section()?;
        let header = section
            .optional("header")
            .and_then(|field| read_header_name(&field));
        let value = section
            .optional("value")
            .and_then(|f| read_template(&f, &["token"]));
        section.finish();
        Some((header, value))
    });
    let (header, value) = apply.unwrap_or_default();
    Apply {
        header: header.unwrap_or_else(|| "Authorization".to_owned()),
        value: value.unwrap_or_else(|| "Bearer {token}".to_owned()),
    }
}

fn oauth2(section: &mut Section<'_>) -> Option<AuthConfig> {
    let grant = section.optional("grant").and_then(|field| {
        field.choice(&[
            ("client_credentials", Grant::ClientCredentials),
            ("password", Grant::Password),
            ("refresh_token", Grant::RefreshToken),
            ("jwt_bearer", Grant::JwtBearer),
        ])
    });
    let token_url = section.required("token_url").and_then(|field| field.url());
    let client_auth = section.optional("client_auth").and_then(|field| {
        field.choice(&[
            ("basic", ClientAuth::Basic),
            ("body", ClientAuth::Body),
            ("private_key_jwt", ClientAuth::PrivateKeyJwt),
        ])
    });
    let algorithm = section.optional("algorithm").and_then(|field| {
        field.choice(&[
            ("RS256", SigningAlgorithm::Rs256),
            ("ES256", SigningAlgorithm::Es256),
        ])
    });
    let scopes = section
        .optional("scopes")
        .and_then(|field| field.list(|field| field.text()));
    let params = section
        .optional("params")
        .and_then(|f| f.entries(|_, field| field.text()));
    let config = Oauth2Config {
        grant: grant.unwrap_or(Grant::ClientCredentials),
        client_id: text(section, "client_id"),
        client_secret: secret(section, "client_secret"),
        client_auth: client_auth.unwrap_or(ClientAuth::Basic),
        username: secret(section, "username"),
        password: secret(section, "password"),
        refresh_token: secret(section, "refresh_token"),
        private_key: secret(section, "private_key"),
        key_id: text(section, "key_id"),
        algorithm: algorithm.unwrap_or(SigningAlgorithm::Rs256),
        issuer: text(section, "issuer"),
        subject: text(section, "subject"),
        audience: text(section, "audience"),
        scopes: scopes.unwrap_or_default(),
        params: params.unwrap_or_default().into_iter().collect(),
        token_url: token_url?,
    };
    check_oauth2(&config, section.field());
    Some(AuthConfig::Oauth2(Box::new(config)))
}

/// Each grant and proof has fields that it can't do without.
fn check_oauth2(config: &Oauth2Config, field: &Field<'_>) {
    let need = |key: &str, is_there: bool| {
        if !is_there {
            field.error(
                format!("`{key}` is missing: this grant or `client_auth` needs it"),
                None,
            );
        }
    };
    match config.grant {
        Grant::ClientCredentials => need("client_id", config.client_id.is_some()),
        Grant::Password => {
            need("username", config.username.is_some());
            need("password", config.password.is_some());
        }
        Grant::RefreshToken => need("refresh_token", config.refresh_token.is_some()),
        Grant::JwtBearer => {
            need("private_key", config.private_key.is_some());
            need(
                "issuer",
                config.issuer.is_some() || config.client_id.is_some(),
            );
        }
    }
    if config.client_auth == ClientAuth::PrivateKeyJwt {
        need("private_key", config.private_key.is_some());
        need("client_id", config.client_id.is_some());
    } else if config.grant == Grant::ClientCredentials {
        need("client_secret", config.client_secret.is_some());
    }
}

fn form_cookie(section: &mut Section<'_>) -> Option<AuthConfig> {
    let username = secret(section, "username");
    let password = secret(section, "password");
    let steps = section.required("steps").and_then(|field| {
        let steps = field.list(|field| read_step(&field))?;
        if steps.is_empty() || steps.len() > STEPS_MAX {
            field.error(format!("from 1 to {STEPS_MAX} steps"), None);
        }
        Some(steps)
    });
    let success = section.optional("success").and_then(|field| {
        let mut section = field.section()?;
        let status = section
            .optional("status")
            .and_then(|f| f.list(|f| read_status(&f)));
        let cookie = text(&mut section, "cookie");
        let redirect_not = text(&mut section, "redirect_not");
        section.finish();
        Some(FormSuccess {
            status: status.unwrap_or_default(),
            cookie,
            redirect_not,
        })
    });
    let mut success = success.unwrap_or(FormSuccess {
        status: Vec::new(),
        cookie: None,
        redirect_not: None,
    });
    if success.status.is_empty() {
        success.status = vec![200, 302, 303];
    }
    Some(AuthConfig::FormCookie {
        username,
        password,
        steps: steps?,
        success,
    })
}

fn read_step(field: &Field<'_>) -> Option<FormStep> {
    let mut section = field.section()?;
    let get = section.optional("get").and_then(|field| field.url());
    let post = section.optional("post").and_then(|field| field.url());
    let fields = section
        .optional("fields")
        .and_then(|field| read_form(&field));
    let csrf = section.optional("csrf").and_then(|field| read_csrf(&field));
    section.finish();
    let (method, url) = match (get, post) {
        (Some(url), None) => (FormMethod::Get, url),
        (None, Some(url)) => (FormMethod::Post, url),
        _ => {
            field.error("a step has either `get` or `post` with a URL", None);
            return None;
        }
    };
    Some(FormStep {
        method,
        url,
        fields: fields.unwrap_or_default(),
        csrf,
    })
}

fn read_csrf(field: &Field<'_>) -> Option<Csrf> {
    let mut section = field.section()?;
    let css = text(&mut section, "css");
    let regex = section
        .optional("regex")
        .and_then(|field| read_regex(&field));
    let header = section
        .optional("header")
        .and_then(|field| read_header_name(&field));
    let attribute = text(&mut section, "attribute").unwrap_or_else(|| "value".to_owned());
    let name = section.optional("field").and_then(|field| field.text());
    section.finish();
    let from = match (css, regex, header) {
        (Some(selector), None, None) => CsrfFrom::Css {
            selector,
            attribute,
        },
        (None, Some(regex), None) => CsrfFrom::Regex(regex),
        (None, None, Some(header)) => CsrfFrom::Header(header),
        _ => {
            field.error("exactly one of `css`, `regex` and `header`", None);
            return None;
        }
    };
    Some(Csrf {
        from,
        field: name.unwrap_or_else(|| "csrf".to_owned()),
    })
}

fn mtls(section: &mut Section<'_>) -> Option<AuthConfig> {
    let cert = section.required("cert").and_then(|field| field.path());
    let key = section.required("key").and_then(|field| field.path());
    let ca = section.optional("ca").and_then(|field| field.path());
    Some(AuthConfig::Mtls {
        cert: cert?,
        key: key?,
        ca,
    })
}

fn hmac(section: &mut Section<'_>) -> Option<AuthConfig> {
    const SIGNED: [&str; 6] = ["method", "path", "query", "host", "date", "key_id"];
    let algorithm = section.optional("algorithm").and_then(|field| {
        field.choice(&[
            ("sha256", HashAlgorithm::Sha256),
            ("sha1", HashAlgorithm::Sha1),
            ("sha384", HashAlgorithm::Sha384),
            ("sha512", HashAlgorithm::Sha512),
        ])
    });
    let string_to_sign = section
        .optional("string_to_sign")
        .and_then(|field| read_template(&field, &SIGNED));
    let date_header = section
        .optional("date_header")
        .and_then(|field| read_header_name(&field));
    let date_format = section.optional("date_format").and_then(|field| {
        field.choice(&[
            ("http", DateFormat::Http),
            ("rfc3339", DateFormat::Rfc3339),
            ("epoch", DateFormat::Epoch),
        ])
    });
    let encoding = section
        .optional("encoding")
        .and_then(|field| field.choice(&[("hex", Encoding::Hex), ("base64", Encoding::Base64)]));
    let output = section.optional("output_header").and_then(|field| {
        let mut section = field.section()?;
        let name = section
            .optional("name")
            .and_then(|field| read_header_name(&field));
        let names = ["key_id", "signature", "date"];
        let value = section
            .optional("value")
            .and_then(|field| read_template(&field, &names));
        section.finish();
        Some((name, value))
    });
    let (name, value) = output.unwrap_or_default();
    let key_id = text(section, "key_id").unwrap_or_default();
    Some(AuthConfig::Hmac {
        key_id,
        secret: needed_secret(section, "secret")?,
        algorithm: algorithm.unwrap_or(HashAlgorithm::Sha256),
        string_to_sign: string_to_sign.unwrap_or_else(|| "{method}\n{path}\n{date}".to_owned()),
        date_header: date_header.unwrap_or_else(|| "Date".to_owned()),
        date_format: date_format.unwrap_or(DateFormat::Http),
        encoding: encoding.unwrap_or(Encoding::Hex),
        output_header: Apply {
            header: name.unwrap_or_else(|| "Authorization".to_owned()),
            value: value.unwrap_or_else(|| "HMAC {key_id}:{signature}".to_owned()),
        },
    })
}

fn sigv4(section: &mut Section<'_>) -> Option<AuthConfig> {
    let region = needed_text(section, "region");
    let service = needed_text(section, "service");
    let key_id = needed_secret(section, "key_id");
    let secret_key = needed_secret(section, "secret");
    let session_token = secret(section, "session_token");
    Some(AuthConfig::Sigv4 {
        region: region?,
        service: service?,
        key_id: key_id?,
        secret: secret_key?,
        session_token,
    })
}

fn exec(section: &mut Section<'_>) -> Option<AuthConfig> {
    let command = section.required("command").and_then(|field| {
        let command = field.list(|field| field.text())?;
        if command.is_empty() {
            field.error("a program and its arguments", None);
        }
        Some(command)
    });
    let timeout = section
        .optional("timeout")
        .and_then(|field| field.duration());
    let apply = read_apply(section);
    Some(AuthConfig::Exec {
        command: command?,
        timeout: timeout.unwrap_or(Duration::from_secs(10)),
        apply,
    })
}
