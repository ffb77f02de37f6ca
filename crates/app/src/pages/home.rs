//! The first page. With a role that has pages it is theirs, for browsers with JavaScript. The plain one
//! says who is signed in, where the records are, the nodes with their state, and the applications.

use std::sync::Arc;

use axum::extract::Request;
use base::error::Class;
use base::http::{browser, error_response};
use http::StatusCode;
use identity::IdentityError;
use identity::roles::{Kind, Verb};
use reach::hub::NodeView;

use super::html::{self, Html};
use super::{Answer, Pages, problem_page, query};
use crate::askers::Asker;
use crate::interface;
use crate::seen::AppView;

/// Asks for the page that needs no JavaScript.
const PLAIN: &str = "plain";
/// What leads to the pages of the collector.
const RECORDS: &str = "<p><a href=\"/telemetryui/\">Telemetry records</a>: crashes, heartbeats and errors that machines report.</p>\n";
const ARTEFACTS: &str = "<p><a href=\"/runs\">Artefacts of test runs</a>: what krkn and other clients upload, with reports and recovery times.</p>\n";

impl Pages {
    /// `GET /`
    pub(super) async fn home(self: Arc<Self>, request: Request) -> Answer {
        let (head, _) = request.into_parts();
        let Some(asker) = self.asker(&head).await? else {
            if browser::is_navigation(&head.method, &head.headers) {
                return Ok(super::to_login("/"));
            }
            let text = "there is nothing at this path";
            return Ok(error_response(Class::NotFound, text));
        };
        let wants_plain = !self.has_interface || !query(&head.uri, PLAIN).is_empty();
        if !wants_plain && let Some(page) = interface::first_page(&head.headers) {
            return Ok(page);
        }
        let failed = |error: IdentityError| problem_page(&error);
        let (nodes, apps) = match &self.seen {
            Some(seen) => {
                let nodes = seen.nodes(&asker).await.map_err(failed)?;
                (nodes, seen.apps(&asker).await.map_err(failed)?)
            }
            None => (Vec::new(), Vec::new()),
        };
        let mut body = head_of(self.identity().cluster(), &asker);
        if self.has_records && asker.may_somewhere(Kind::Records, Verb::Read) {
            body = body.raw(RECORDS);
        }
        if self.has_records && asker.may_somewhere(Kind::Artefacts, Verb::Read) {
            body = body.raw(ARTEFACTS);
        }
        body = if apps.is_empty() {
            body.raw("<h2>Applications</h2>\n<div class=\"empty\"><p>No node offers an application that you may use.</p><p>A node offers those that stand under <code>node.apps</code> in its configuration; a role has to allow them.</p></div>\n")
        } else {
            body.raw("<h2>Applications</h2>\n<ul class=\"rows\">\n")
                .each(&apps, app_row)
                .raw("</ul>\n")
        };
        body = if nodes.is_empty() {
            body.raw("<h2>Nodes</h2>\n<div class=\"empty\"><p>There is no node here that you may see.</p><p><code>landline tokens add --role node --ttl 1h</code> prints what to do on a machine to let it join.</p></div>\n")
        } else {
            body.raw("<h2>Nodes</h2>\n<ul class=\"rows\">\n")
                .each(&nodes, node_row)
                .raw("</ul>\n")
        };
        Ok(html::page(StatusCode::OK, self.identity().cluster(), &body))
    }
}

fn head_of(cluster: &str, asker: &Asker) -> Html {
    let principal = asker.principal.as_ref();
    let user = principal.map(|principal| principal.user.as_str());
    let roles: Vec<&str> = principal
        .into_iter()
        .flat_map(|principal| &principal.roles)
        .map(|role| role.name.as_str())
        .collect();
    Html::default()
        .raw("<header>\n<h1>")
        .text(cluster)
        .raw("</h1>\n<p>")
        .text(user.unwrap_or_default())
        .raw(" (")
        .text(&roles.join(", "))
        .raw(") · <a href=\"/second-factor\">Second factor</a></p>\n<form method=\"post\" action=\"/logout\"><button class=\"quiet\">Sign out</button></form>\n</header>\n")
}

fn app_row(list: Html, app: &AppView) -> Html {
    let list = list.raw("<li><span class=\"what\">");
    let list = if app.kind == "http" {
        let list = list.raw("<a href=\"/apps/").text(&app.name);
        // A certificate for one label below the host is the usual one, so the short name is better.
        let list = if app.is_first {
            list
        } else {
            list.raw("@").text(&app.node)
        };
        list.raw("/\">").text(&app.name).raw("</a>")
    } else {
        list.text(&app.name)
    };
    let list = list
        .raw("</span> <span class=\"how\">on ")
        .text(&app.node)
        .raw(", ")
        .text(app.state);
    let list = if app.kind == "http" {
        list
    } else {
        list.raw(" · <code>landline forward ")
            .text(&app.name)
            .raw(" &lt;local address&gt;</code>")
    };
    list.raw("</span></li>\n")
}

fn node_row(list: Html, node: &NodeView) -> Html {
    let list = list
        .raw("<li><span class=\"what\">")
        .text(&node.name)
        .raw("</span> <span class=\"how\">")
        .text(node.state);
    let list = match (&node.round_trip_us, &node.last_error) {
        (Some(microseconds), _) => {
            list.text(&format!(", {:.1} ms away", *microseconds as f64 / 1000.0))
        }
        (None, Some(error)) => list.text(": ").text(error),
        (None, None) => list,
    };
    list.raw("</span></li>\n")
}
