//! `form_cookie`: a login in the steps that a browser would take, and the cookies that remain.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use base::secret::Secret;
use bytes::Bytes;
use cookie_store::CookieStore;
use http::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use lol_html::{HtmlRewriter, MemorySettings, Settings, element};
use url::Url;

use super::login_token::first_group;
use super::{
    Credential, LoginAnswer, LoginContext, Obtained, Resolver, SchemeError, bad_answer, place,
    send, uri,
};
use crate::gateway::config::{AuthConfig, Csrf, CsrfFrom, FormMethod, FormStep, FormSuccess};
use crate::gateway::failure::{Failure, FailureKind};
use crate::gateway::template;

/// Redirects that one step may follow, on its own origin only.
const REDIRECTS_MAX: usize = 5;
/// Memory for the search in one page.
const HTML_BYTES_MAX: usize = 2 << 20;

/// A form login with its secrets.
#[derive(Debug)]
pub(crate) struct FormCookie {
    username: Option<Secret>,
    password: Option<Secret>,
    steps: Vec<FormStep>,
    success: FormSuccess,
}

/// What one page gives to the next form.
#[derive(Debug, Default)]
struct Carried {
    field: Option<(String, String)>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl FormCookie {
    pub(super) fn resolve(
        config: &AuthConfig,
        resolver: &mut Resolver<'_>,
    ) -> Result<Self, SchemeError> {
        let AuthConfig::FormCookie {
            username,
            password,
            steps,
            success,
        } = config
        else {
            return Err(SchemeError::Unusable("not a form_cookie".to_owned()));
        };
        Ok(Self {
            username: resolver.read_optional(username.as_ref())?,
            password: resolver.read_optional(password.as_ref())?,
            steps: steps.clone(),
            success: success.clone(),
        })
    }

    pub(super) async fn obtain(
        &self,
        context: &LoginContext,
        deadline: Instant,
    ) -> Result<Obtained, Failure> {
        let cookies = CookieStore::default();
        let mut walk = Walk {
            context,
            deadline,
            cookies,
        };
        let mut carried = Carried::default();
        for (index, step) in self.steps.iter().enumerate() {
            let is_last = index + 1 == self.steps.len();
            let body = self.form(&context.name, step, &carried)?;
            let answer = walk.follow(step, body, &carried, is_last).await?;
            carried = match &step.csrf {
                Some(csrf) => carry(csrf, &answer)?,
                None => Carried::default(),
            };
            if is_last {
                self.check(&step.url, &answer, &walk.cookies)?;
            }
        }
        Ok(Obtained {
            credential: Credential::Cookies(Box::new(walk.cookies)),
            life: None,
        })
    }

    fn form(&self, name: &str, step: &FormStep, carried: &Carried) -> Result<String, Failure> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        for (key, value) in &step.fields {
            let value = template::expand(value, |key| match key {
                "username" => Some(self.username.as_ref().map_or("", Secret::expose)),
                "password" => Some(self.password.as_ref().map_or("", Secret::expose)),
                "name" => Some(name),
                _ => None,
            })
            .map_err(|error| bad_answer(format!("login: {error}")))?;
            form.append_pair(key, &value);
        }
        if let Some((field, value)) = &carried.field
            && step.method == FormMethod::Post
        {
            form.append_pair(field, value);
        }
        Ok(form.finish())
    }

    fn check(&self, url: &Url, answer: &LoginAnswer, cookies: &CookieStore) -> Result<(), Failure> {
        if !self.success.status.contains(&answer.status.as_u16()) {
            return Err(answer.failure(url));
        }
        let refused = |reason: String| Failure::new(FailureKind::AuthFailed, reason);
        if let Some(text) = &self.success.redirect_not
            && let Some(to) = answer.redirect(url)
            && to.as_str().contains(text.as_str())
        {
            let path: String = to.path().chars().take(80).collect();
            return Err(refused(format!("login refused: it leads back to {path}")));
        }
        let has = |name: &String| cookies.iter_unexpired().any(|cookie| cookie.name() == name);
        match &self.success.cookie {
            Some(name) if !has(name) => Err(refused(format!(
                "login refused: no cookie `{name}` came of it"
            ))),
            _ => Ok(()),
        }
    }
}

/// A login on its way from step to step.
struct Walk<'a> {
    context: &'a LoginContext,
    deadline: Instant,
    cookies: CookieStore,
}

impl Walk<'_> {
    /// Sends a step's request. The redirects of a page that is only read are followed on its own
    /// origin; the answer of the last step is what it is, because its redirect is the success.
    async fn follow(
        &mut self,
        step: &FormStep,
        mut body: String,
        carried: &Carried,
        is_last: bool,
    ) -> Result<LoginAnswer, Failure> {
        let mut url = step.url.clone();
        let mut method = step.method;
        for _ in 0..=REDIRECTS_MAX {
            if method == FormMethod::Get && !body.is_empty() {
                url.set_query(Some(&body));
                body.clear();
            }
            let request = build(&url, method, &body, &self.cookies, carried.header.as_ref())?;
            let answer = send(self.context, request, &url, self.deadline).await?;
            store(&mut self.cookies, &url, &answer);
            let next = answer
                .status
                .is_redirection()
                .then(|| answer.redirect(&url))
                .flatten();
            let Some(next) = next.filter(|_| !is_last) else {
                let is_wrong = answer.status.is_client_error() || answer.status.is_server_error();
                return if is_wrong && !is_last {
                    Err(answer.failure(&url))
                } else {
                    Ok(answer)
                };
            };
            if next.origin() != step.url.origin() {
                let (from, to) = (place(&step.url), place(&next));
                return Err(bad_answer(format!(
                    "login: {from} redirects to {to}, and credentials don't follow: name that page as a step"
                )));
            }
            (url, method) = (next, FormMethod::Get);
            body.clear();
        }
        Err(bad_answer(format!(
            "login: more than {REDIRECTS_MAX} redirects"
        )))
    }
}

fn build(
    url: &Url,
    method: FormMethod,
    body: &str,
    cookies: &CookieStore,
    csrf: Option<&(HeaderName, HeaderValue)>,
) -> Result<super::OutRequest, Failure> {
    let mut request = Request::builder().uri(uri(url)?);
    request = match method {
        FormMethod::Get => request.method(Method::GET),
        FormMethod::Post => request
            .method(Method::POST)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded"),
    };
    if let Some(value) = cookie_header(cookies, url) {
        request = request.header(COOKIE, value);
    }
    if let Some((name, value)) = csrf {
        request = request.header(name, value);
    }
    request
        .body(Full::new(Bytes::from(body.to_owned())))
        .map_err(|error| bad_answer(format!("login: the request can't be built: {error}")))
}

fn store(cookies: &mut CookieStore, url: &Url, answer: &LoginAnswer) {
    for value in answer.headers.get_all(SET_COOKIE) {
        let Ok(text) = value.to_str() else { continue };
        if let Err(error) = cookies.parse(text, url) {
            tracing::debug!(%error, "cookie of a login left out");
        }
    }
}

/// The header `Cookie` for a URL; `None` when no cookie is for it.
pub(super) fn cookie_header(cookies: &CookieStore, url: &Url) -> Option<HeaderValue> {
    let pairs: Vec<String> = cookies
        .get_request_values(url)
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut value = HeaderValue::try_from(pairs.join("; "))
        .ok()
        .filter(|value| !value.is_empty())?;
    value.set_sensitive(true);
    Some(value)
}

fn carry(csrf: &Csrf, answer: &LoginAnswer) -> Result<Carried, Failure> {
    let missing = || bad_answer("login: the page has no token where `csrf` looks");
    Ok(match &csrf.from {
        CsrfFrom::Css {
            selector,
            attribute,
        } => {
            let value = find_attribute(&answer.body, selector, attribute)?.ok_or_else(missing)?;
            Carried {
                field: Some((csrf.field.clone(), value)),
                header: None,
            }
        }
        CsrfFrom::Regex(pattern) => {
            let value = first_group(pattern, &answer.body)?.ok_or_else(missing)?;
            Carried {
                field: Some((csrf.field.clone(), value)),
                header: None,
            }
        }
        CsrfFrom::Header(name) => {
            let value = answer.headers.get(name).ok_or_else(missing)?.clone();
            let text = value.to_str().map(str::to_owned).map_err(|_| missing())?;
            let name = HeaderName::try_from(name).map_err(|_| missing())?;
            Carried {
                field: Some((csrf.field.clone(), text)),
                header: Some((name, value)),
            }
        }
    })
}

/// The attribute of the first element that a CSS selector finds.
fn find_attribute(html: &[u8], selector: &str, attribute: &str) -> Result<Option<String>, Failure> {
    let failed = |error: String| bad_answer(format!("login: csrf: {error}"));
    let found: Rc<RefCell<Option<String>>> = Rc::default();
    let keep = Rc::clone(&found);
    selector
        .parse::<lol_html::Selector>()
        .map_err(|error| failed(error.to_string()))?;
    let handler = element!(selector, move |element| {
        let mut keep = keep.borrow_mut();
        if keep.is_none() {
            *keep = element.get_attribute(attribute);
        }
        Ok(())
    });
    let memory = MemorySettings::new().with_max_allowed_memory_usage(HTML_BYTES_MAX);
    let settings = Settings::new()
        .append_element_content_handler(handler)
        .with_memory_settings(memory);
    let mut search = HtmlRewriter::new(settings, |_: &[u8]| {});
    search
        .write(html)
        .map_err(|error| failed(error.to_string()))?;
    search.end().map_err(|error| failed(error.to_string()))?;
    let value = found.borrow_mut().take();
    Ok(value.map(|value| {
        value
            .replace("&quot;", "\"")
            .replace("&lt;", "<")
            .replace("&amp;", "&")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_finds_the_token() {
        let page = br#"<html><form><input name=user><input type="hidden" name="csrf" value="a&amp;b"></form>"#;
        for (selector, expected) in [
            ("input[name=csrf]", Some("a&b")),
            ("form > input[type=\"hidden\"]", Some("a&b")),
            ("input[name=other]", None),
        ] {
            let found = find_attribute(page, selector, "value").expect(selector);
            assert_eq!(found.as_deref(), expected, "{selector}");
        }
        assert!(find_attribute(page, "input[", "value").is_err());
    }
}
