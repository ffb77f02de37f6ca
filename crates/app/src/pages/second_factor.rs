//! The page on which a person adds an authenticator app to their password.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::Request;
use base::clock;
use http::StatusCode;
use identity::IdentityError;
use identity::users::{SecondFactor, TotpEnrolment};
use qrcodegen::{QrCode, QrCodeEcc};

use super::form::{Form, check_attempts};
use super::html::{self, Html};
use super::{Answer, Pages, explain, problem, problem_page, status_of};

const PATH: &str = "/second-factor";
/// Empty modules around a QR code (ISO 18004, 9.1).
const QUIET: i32 = 4;

impl Pages {
    /// `GET /second-factor`
    pub(super) async fn factor_page(self: Arc<Self>, request: Request) -> Answer {
        let (head, _) = request.into_parts();
        let (_, user) = self.user(&head, PATH).await?;
        self.factor(&user, StatusCode::OK, "").await
    }

    /// `POST /second-factor`: makes a key.
    pub(super) async fn begin_factor(self: Arc<Self>, request: Request) -> Answer {
        let form = Form::read(request).await?;
        let (asker, user) = self.user(&form.head, PATH).await?;
        let begun = self.identity().users().begin_totp(&asker.caller, &user);
        begun.await.map_err(|error| problem_page(&error))?;
        Ok(html::see_other(PATH))
    }

    /// `POST /second-factor/confirm`: takes the first code.
    pub(super) async fn confirm_factor(self: Arc<Self>, request: Request) -> Answer {
        let form = Form::read(request).await?;
        let address = form.peer.ip();
        check_attempts(&self.askers.attempts, address)?;
        let (asker, user) = self.user(&form.head, PATH).await?;
        let code = form.text("code").replace(' ', "").into();
        let users = self.identity().users();
        match users.confirm_totp(&asker.caller, &user, &code).await {
            Ok(()) => Ok(html::see_other(PATH)),
            Err(error @ IdentityError::Refused(_)) => {
                self.askers.attempts.refused(address, clock::now());
                let wrong = "That is not the code of now. Is the clock of your phone right?";
                self.factor(&user, status_of(&error), wrong).await
            }
            Err(error) => {
                self.factor(&user, status_of(&error), &explain(&error))
                    .await
            }
        }
    }

    async fn factor(&self, user: &str, status: StatusCode, wrong: &str) -> Answer {
        let users = self.identity().users();
        let failed = |error: IdentityError| problem_page(&error);
        let known = users.get(user).await.map_err(failed)?;
        let has_app = known.is_some_and(|known| known.second_factors.contains(&SecondFactor::Totp));
        let begun = users.begun_totp(user).await.map_err(failed)?;
        let body = Html::default().raw("<div class=\"sheet\">\n<h1>Authenticator app</h1>\n");
        let body = match (has_app, begun) {
            (true, _) => body
                .raw("<p>It is set up: from now on you are asked for a code when you sign in.</p>\n")
                .raw("<p class=\"soft\">When you lose it, an administrator gives you a new link with <code>landline users reset</code>.</p>\n"),
            (false, None) => body
                .raw("<p>With an app on your phone that makes codes, a password that somebody found out opens nothing.</p>\n")
                .raw("<form method=\"post\" action=\"/second-factor\">\n<button>Set it up</button>\n</form>\n"),
            (false, Some(enrolment)) => body.html(&key(&enrolment, wrong)),
        };
        let body = body.raw("<p><a href=\"/\">To the first page</a></p>\n</div>\n");
        Ok(html::page(status, "Authenticator app", &body))
    }
}

/// The key in all forms, and the question for the first code.
fn key(enrolment: &TotpEnrolment, wrong: &str) -> Html {
    Html::default()
        .raw("<p>Scan this with your authenticator app, or type the key into it. Then enter the code that it shows.</p>\n")
        .html(&qr(enrolment.url.expose()))
        .raw("<p>Key: <span class=\"key\">")
        .text(&spaced(enrolment.key.expose()))
        .raw("</span><br><a href=\"")
        .text(enrolment.url.expose())
        .raw("\">Open in an app on this device</a></p>\n")
        .html(&problem(wrong))
        .raw("<form method=\"post\" action=\"/second-factor/confirm\">\n<label for=\"code\">Code</label>\n<input id=\"code\" name=\"code\" inputmode=\"numeric\" autocomplete=\"one-time-code\" required autofocus>\n<button>Confirm</button>\n</form>\n")
}

/// Groups of four, which are easier to type.
fn spaced(key: &str) -> String {
    let mut text = String::new();
    for (index, letter) in key.chars().enumerate() {
        if index > 0 && index % 4 == 0 {
            text.push(' ');
        }
        text.push(letter);
    }
    text
}

/// The QR code of a text as an image within the page; nothing for a text that is too long.
fn qr(text: &str) -> Html {
    let Ok(code) = QrCode::encode_text(text, QrCodeEcc::Medium) else {
        return Html::default();
    };
    let mut path = String::new();
    for y in 0..code.size() {
        for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
            // Writing to a String can't fail.
            let _ok = write!(path, "M{} {}h1v1h-1z", x + QUIET, y + QUIET);
        }
    }
    let side = code.size() + 2 * QUIET;
    Html::default()
        .raw("<svg class=\"qr\" xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-label=\"QR code of the key\" shape-rendering=\"crispEdges\" viewBox=\"")
        .text(&format!("0 0 {side} {side}"))
        .raw("\"><path fill=\"#000000\" d=\"")
        .text(&path)
        .raw("\"/></svg>\n")
}
