//! Signing in and out.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use base::clock;
use base::http::browser;
use http::StatusCode;
use http::request::Parts;
use identity::sessions::SignIn;

use super::form::{Form, check_attempts};
use super::html::{self, Html};
use super::{Answer, Pages, begin, explain, problem, query, set_cookie, status_of};
use crate::askers::is_attempt;

/// What stands in the form, and what is wrong.
#[derive(Debug, Default)]
struct Shown<'a> {
    name: &'a str,
    to: &'a str,
    problem: &'a str,
}

impl Pages {
    /// `GET /login`
    pub(super) async fn login_page(self: Arc<Self>, request: Request) -> Answer {
        let (head, _) = request.into_parts();
        let to = query(&head.uri, "to");
        if self.asker(&head).await?.is_some() {
            return Ok(html::see_other(browser::local_path(&to).unwrap_or("/")));
        }
        let shown = Shown {
            to: &to,
            ..Shown::default()
        };
        Ok(self.login_form(&head, StatusCode::OK, &shown))
    }

    /// `POST /login`
    pub(super) async fn login(self: Arc<Self>, request: Request) -> Answer {
        let form = Form::read(request).await?;
        let address = form.peer.ip();
        check_attempts(&self.askers.attempts, address)?;
        let code = form.text("code").replace(' ', "");
        let sign_in = SignIn {
            name: form.text("name").trim().to_owned(),
            password: form.secret("password"),
            code: (!code.is_empty()).then(|| code.into()),
            address: Some(address),
            client: form.client(),
        };
        let to = form.text("to");
        match self.identity().sessions().sign_in(&sign_in).await {
            Ok(session) => {
                let path = browser::local_path(to).unwrap_or("/");
                let mut response = begin(&session, &form, path);
                html::guard(&mut response, &self.forms(&form.head));
                Ok(response)
            }
            Err(error) => {
                if is_attempt(&error) {
                    self.askers.attempts.refused(address, clock::now());
                }
                let shown = Shown {
                    name: &sign_in.name,
                    to,
                    problem: &explain(&error),
                };
                Ok(self.login_form(&form.head, status_of(&error), &shown))
            }
        }
    }

    /// `POST /logout`
    pub(super) async fn logout(self: Arc<Self>, request: Request) -> Answer {
        let form = Form::read(request).await?;
        if let Some(asker) = self.asker(&form.head).await?
            && let Some((user, id)) = asker.session()
        {
            let sessions = self.identity().sessions();
            let ended = sessions.end(&asker.caller, user, id).await;
            ended.map_err(|error| super::problem_page(&error))?;
        }
        Ok(set_cookie(html::see_other("/login"), &form, "", 0))
    }

    fn login_form(&self, head: &Parts, status: StatusCode, shown: &Shown<'_>) -> Response {
        let body = Html::default()
            .raw("<div class=\"sheet\">\n<h1>Sign in to ")
            .text(self.identity().cluster())
            .raw("</h1>\n")
            .html(&problem(shown.problem))
            .raw("<form method=\"post\" action=\"/login\">\n<input type=\"hidden\" name=\"to\" value=\"")
            .text(shown.to)
            .raw("\">\n<label for=\"name\">Name</label>\n<input id=\"name\" name=\"name\" autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" required autofocus value=\"")
            .text(shown.name)
            .raw("\">\n<label for=\"password\">Password</label>\n<input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" required>\n")
            .raw("<label for=\"code\">Code <span class=\"hint\">if you have set up an authenticator app</span></label>\n<input id=\"code\" name=\"code\" inputmode=\"numeric\" autocomplete=\"one-time-code\">\n")
            .raw("<button>Sign in</button>\n</form>\n</div>\n");
        let mut response = html::page(status, "Sign in", &body);
        html::guard(&mut response, &self.forms(head));
        response
    }
}
