//! The pages for people: signing in and out, the first page, welcome links, the second factor. They
//! work without JavaScript, load nothing from elsewhere, and can be replaced by another user
//! interface: what they do is in `identity`.

mod form;
mod home;
mod html;
mod launch;
mod second_factor;
mod sign_in;
mod welcome;

use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base::error::Class;
use base::http::{Policy, Routes};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{StatusCode, Uri};
use identity::sessions::{NewSession, SESSION_LIFE};
use identity::{Identity, IdentityError, Refusal};
use url::form_urlencoded;

use self::form::Form;
use self::html::Html;
use crate::askers::{Asker, Askers, cookie_name, peer_of};
use crate::seen::Seen;

/// What the pages are served with.
#[derive(Debug)]
pub(crate) struct Pages {
    pub(crate) askers: Arc<Askers>,
    /// The nodes, when there is a door for them here.
    pub(crate) seen: Option<Arc<Seen>>,
    /// Whether telemetry records are kept here.
    pub(crate) has_records: bool,
    /// Whether there is a first page with all that the others have, for browsers with JavaScript.
    pub(crate) has_interface: bool,
    /// Hosts below which applications have hosts of their own.
    pub(crate) hosts: Vec<String>,
}

/// A page or redirect; the other one when something is wrong.
type Answer = Result<Response, Response>;

/// The paths of all pages. Each asks for proof itself.
pub(crate) fn routes(pages: &Arc<Pages>) -> Routes {
    let own = || Policy::Own;
    let style = || async {
        let headers = [
            (CONTENT_TYPE, "text/css; charset=utf-8"),
            (CACHE_CONTROL, "max-age=300"),
        ];
        (headers, html::STYLE).into_response()
    };
    Routes::default()
        .get(html::STYLE_PATH, Policy::Public, style)
        .get("/", own(), with(pages, Pages::home))
        .get("/login", own(), with(pages, Pages::login_page))
        .post("/login", own(), with(pages, Pages::login))
        .post("/logout", own(), with(pages, Pages::logout))
        .get("/welcome/{secret}", own(), with(pages, Pages::welcome_page))
        .post("/welcome", own(), with(pages, Pages::welcome))
        .get("/second-factor", own(), with(pages, Pages::factor_page))
        .post("/second-factor", own(), with(pages, Pages::begin_factor))
        .post(
            "/second-factor/confirm",
            own(),
            with(pages, Pages::confirm_factor),
        )
        .get("/launch/{app}", own(), with(pages, Pages::launch))
}

/// A handler of these pages as the routes want it.
fn with<F, R>(
    pages: &Arc<Pages>,
    handler: F,
) -> impl Fn(Request) -> std::pin::Pin<Box<dyn Future<Output = Response> + Send>>
+ Clone
+ Send
+ Sync
+ 'static
where
    F: Fn(Arc<Pages>, Request) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    let pages = Arc::clone(pages);
    move |request: Request| {
        let answer = handler(Arc::clone(&pages), request);
        Box::pin(async move { answer.await.unwrap_or_else(|other| other) })
    }
}

impl Pages {
    fn identity(&self) -> &Identity {
        &self.askers.identity
    }

    /// Who has a session here. One that ended is nobody's.
    async fn asker(&self, head: &Parts) -> Result<Option<Asker>, Response> {
        peer_of(head)?;
        match self.askers.identify(head).await {
            Ok(asker) => Ok(asker.filter(|asker| asker.session().is_some())),
            Err(IdentityError::Refused(_)) => Ok(None),
            Err(error) => Err(problem_page(&error)),
        }
    }

    /// The user of a session; the others sign in first and come back to `path`.
    async fn user(&self, head: &Parts, path: &str) -> Result<(Asker, String), Response> {
        let asker = self.asker(head).await?;
        let found = asker.and_then(|asker| {
            let user = asker.session()?.0.to_owned();
            Some((asker, user))
        });
        found.ok_or_else(|| to_login(path))
    }
}

/// Leads to the page for signing in, and afterwards to `path`.
fn to_login(path: &str) -> Response {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("to", path)
        .finish();
    html::see_other(&format!("/login?{query}"))
}

/// A value of the query.
fn query(uri: &Uri, name: &str) -> String {
    let pairs = uri.query().unwrap_or_default().as_bytes();
    let found = form_urlencoded::parse(pairs).find(|(found, _)| found == name);
    found
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// Leads on with the cookie of a new session.
fn begin(session: &NewSession, form: &Form, path: &str) -> Response {
    let seconds = SESSION_LIFE.as_secs();
    set_cookie(
        html::see_other(path),
        form,
        session.secret.expose(),
        seconds,
    )
}

fn set_cookie(response: Response, form: &Form, value: &str, seconds: u64) -> Response {
    let (name, secure) = cookie_name(&form.head.headers, &form.peer);
    let cookie =
        format!("{name}={value}{secure}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax");
    html::with_cookie(response, &cookie)
}

/// What a person is told of an error.
fn explain(error: &IdentityError) -> String {
    match error {
        IdentityError::Refused(Refusal::SecondFactorNeeded) => {
            "Enter the code of your authenticator app as well, and the password again.".to_owned()
        }
        error if error.class() == Class::Internal => {
            tracing::error!(
                error = base::client::chain(error),
                "a page could not be shown"
            );
            "The hub has a problem of its own; its log says which.".to_owned()
        }
        error => {
            let text = error.to_string();
            let mut letters = text.chars();
            let first = letters.next().map(|first| first.to_ascii_uppercase());
            format!("{}{}.", first.unwrap_or_default(), letters.as_str())
        }
    }
}

fn problem_page(error: &IdentityError) -> Response {
    let body = Html::default()
        .raw("<div class=\"sheet\">\n<h1>This did not work</h1>\n")
        .html(&problem(&explain(error)))
        .raw("<p><a href=\"/\">To the first page</a></p>\n</div>\n");
    html::page(error.class().status(), "This did not work", &body)
}

/// What is wrong, read out at once by screen readers.
fn problem(text: &str) -> Html {
    if text.is_empty() {
        return Html::default();
    }
    Html::default()
        .raw("<p class=\"problem\" role=\"alert\">")
        .text(text)
        .raw("</p>\n")
}

/// The status of a form that is shown again.
fn status_of(error: &IdentityError) -> StatusCode {
    error.class().status()
}
