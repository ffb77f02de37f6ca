//! The page of a one-time link: the first administrator chooses a name and a password, everybody else
//! a password.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use base::clock;
use base::secret::Secret;
use http::StatusCode;
use identity::invitations::{Acceptance, Invited};
use identity::sessions::SignIn;
use identity::{IdentityError, PASSWORD_CHARACTERS_MIN};

use super::form::{Form, check_attempts};
use super::html::{self, Html};
use super::{Answer, Pages, begin, explain, problem, problem_page, status_of};
use crate::askers::peer_of;

/// The part of the path before the secret.
pub(crate) const WELCOME: &str = "/welcome/";

impl Pages {
    /// `GET /welcome/<secret>`
    pub(super) async fn welcome_page(self: Arc<Self>, request: Request) -> Answer {
        let (head, _) = request.into_parts();
        let peer = peer_of(&head)?;
        check_attempts(&self.askers.attempts, peer.ip())?;
        let secret = head.uri.path().strip_prefix(WELCOME).unwrap_or_default();
        let secret = Secret::new(secret);
        let looked = self.identity().invitations().look(&secret, Some(peer.ip()));
        match looked.await {
            Ok(invited) => Ok(self.welcome_form(StatusCode::OK, (&secret, &invited), ("", ""))),
            Err(error) => {
                self.count(&error, peer.ip());
                Err(problem_page(&error))
            }
        }
    }

    /// `POST /welcome`
    pub(super) async fn welcome(self: Arc<Self>, request: Request) -> Answer {
        let form = Form::read(request).await?;
        let address = form.peer.ip();
        check_attempts(&self.askers.attempts, address)?;
        let secret = form.secret("secret");
        let invitations = self.identity().invitations();
        let invited = invitations.look(&secret, Some(address)).await;
        let invited = invited.map_err(|error| {
            self.count(&error, address);
            problem_page(&error)
        })?;
        let name = form.text("name").trim().to_owned();
        let password = form.secret("password");
        if !password.matches(form.text("again")) {
            let wrong = "The two passwords differ.";
            let status = StatusCode::BAD_REQUEST;
            return Ok(self.welcome_form(status, (&secret, &invited), (&name, wrong)));
        }
        let acceptance = Acceptance {
            secret: secret.clone(),
            user: if invited.user.is_empty() {
                name.clone()
            } else {
                String::new()
            },
            password: password.clone(),
            address: Some(address),
        };
        let user = match invitations.accept(&acceptance).await {
            Ok(user) => user,
            // The link is still good: what is wrong is the password or the name.
            Err(error) if !matches!(error, IdentityError::Refused(_)) => {
                let shown = (name.as_str(), explain(&error));
                let form = (&secret, &invited);
                return Ok(self.welcome_form(status_of(&error), form, (shown.0, &shown.1)));
            }
            Err(error) => {
                self.count(&error, address);
                return Err(problem_page(&error));
            }
        };
        let sign_in = SignIn {
            name: user,
            password,
            code: None,
            address: Some(address),
            client: form.client(),
        };
        let session = self.identity().sessions().sign_in(&sign_in).await;
        let session = session.map_err(|error| problem_page(&error))?;
        let wants_factor = !form.text("factor").is_empty();
        let path = if wants_factor { "/second-factor" } else { "/" };
        Ok(begin(&session, &form, path))
    }

    fn count(&self, error: &IdentityError, address: std::net::IpAddr) {
        if matches!(error, IdentityError::Refused(_)) {
            self.askers.attempts.refused(address, clock::now());
        }
    }

    fn welcome_form(
        &self,
        status: StatusCode,
        (secret, invited): (&Secret, &Invited),
        (name, wrong): (&str, &str),
    ) -> Response {
        let what = match (invited.user.is_empty(), invited.has_password) {
            (true, _) => {
                "You are the first administrator of this cluster. Choose your name and a password."
            }
            (false, true) => {
                "Choose a new password. Your authenticator app is taken away, and your sessions end."
            }
            (false, false) => "You are invited. Choose a password.",
        };
        let shortest = PASSWORD_CHARACTERS_MIN.to_string();
        let mut body = Html::default()
            .raw("<div class=\"sheet\">\n<h1>Welcome to ")
            .text(self.identity().cluster())
            .raw("</h1>\n<p>")
            .text(what)
            .raw("</p>\n")
            .html(&problem(wrong))
            .raw("<form method=\"post\" action=\"/welcome\">\n<input type=\"hidden\" name=\"secret\" value=\"")
            .text(secret.expose())
            .raw("\">\n<label for=\"name\">Name</label>\n<input id=\"name\" name=\"name\" autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" required");
        body = if invited.user.is_empty() {
            body.raw(" autofocus value=\"").text(name).raw("\">\n")
        } else {
            body.raw(" readonly value=\"")
                .text(&invited.user)
                .raw("\">\n")
        };
        let body = body
            .raw("<label for=\"password\">Password <span class=\"hint\">at least ")
            .text(&shortest)
            .raw(" characters</span></label>\n<input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"new-password\" required minlength=\"")
            .text(&shortest)
            .raw("\">\n<label for=\"again\">Password again</label>\n<input id=\"again\" name=\"again\" type=\"password\" autocomplete=\"new-password\" required>\n")
            .raw("<label class=\"choice\"><input type=\"checkbox\" name=\"factor\" value=\"yes\"> Set up an authenticator app next</label>\n")
            .raw("<button>Set the password and sign in</button>\n</form>\n</div>\n");
        html::page(status, "Welcome", &body)
    }
}
