//! The step from the hub's own host to that of an application: who has a session here gets a code that
//! works there, once. Where it leads is a host below this one, and nothing else.

use std::sync::Arc;

use axum::extract::Request;
use base::error::Class;
use base::http::{browser, error_response, host_of};
use http::header::HOST;
use http::request::Parts;
use reach::hub::AppName;
use url::form_urlencoded;

use super::html;
use super::{Answer, Pages, problem_page, query};
use crate::askers::peer_of;

/// The part of the path before the application.
const LAUNCH: &str = "/launch/";

impl Pages {
    /// `GET /launch/<application>?nonce=…&to=<path>`
    pub(super) async fn launch(self: Arc<Self>, request: Request) -> Answer {
        let (head, _) = request.into_parts();
        let peer = peer_of(&head)?;
        let app = head.uri.path().strip_prefix(LAUNCH).unwrap_or_default();
        let (to, nonce) = (query(&head.uri, "to"), query(&head.uri, "nonce"));
        let to = browser::local_path(&to).unwrap_or("/");
        let below = self.below(&head).filter(|_| AppName::is_host(app));
        let Some(below) = below else {
            let text = "applications have no hosts of their own below this one: see `public_addr`";
            return Err(error_response(Class::NotFound, text));
        };
        let own = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let (asker, _) = self.user(&head, own).await?;
        let Some(principal) = &asker.principal else {
            return Err(error_response(Class::Forbidden, "only a user can do this"));
        };
        let host = format!("{app}.{below}").to_ascii_lowercase();
        let launched = self
            .identity()
            .app_sessions()
            .launch(principal, &host, &nonce);
        let code = launched.await.map_err(|error| problem_page(&error))?;
        let is_tls = browser::speaks_tls(&head.headers, &peer);
        let scheme = if is_tls { "https" } else { "http" };
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("code", code.expose())
            .append_pair("to", to)
            .finish();
        Ok(html::see_other(&format!(
            "{scheme}://{host}{}?{query}",
            AppName::ENTER
        )))
    }

    /// The host and port of this request, if applications have hosts below it.
    fn below<'a>(&self, head: &'a Parts) -> Option<&'a str> {
        let host = host_of(&head.headers)?;
        let is_known = self
            .hosts
            .iter()
            .any(|known| known.eq_ignore_ascii_case(host));
        let whole = head.headers.get(HOST)?.to_str().ok()?;
        is_known.then_some(whole)
    }

    /// Where a form may lead after its answer, beside this host: browsers look at redirects, too.
    pub(super) fn forms(&self, head: &Parts) -> String {
        self.below(head)
            .map(|below| format!(" https://*.{below} http://*.{below}"))
            .unwrap_or_default()
    }
}
