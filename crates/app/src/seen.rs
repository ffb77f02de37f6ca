//! What somebody may see of the nodes and of what these offer: the same for the API and the pages.

use std::collections::BTreeMap;
use std::sync::Arc;

use identity::names::Labels;
use identity::roles::{Kind, Verb};
use identity::{Identity, IdentityError};
use reach::hub::{NodeView, Nodes};
use reach::line::Lane;
use serde::Serialize;

use crate::askers::Asker;

/// An application as it is listed.
#[derive(Debug, Serialize)]
pub(crate) struct AppView {
    /// Its name.
    pub(crate) name: String,
    /// The node that offers it.
    pub(crate) node: String,
    /// `http` or `tcp`.
    pub(crate) kind: &'static str,
    /// The lane on which its connections travel: `interactive` or `bulk`.
    pub(crate) lane: Lane,
    /// The state of the node.
    pub(crate) state: &'static str,
    /// Lines of the node to this proxy. For those who may see the node, as what follows.
    pub(crate) lines: Option<usize>,
    /// The last round trip on them, in microseconds.
    pub(crate) round_trip_us: Option<u64>,
    /// Why it could not be reached the last time that somebody wanted it; else why the node is away.
    pub(crate) last_error: Option<String>,
    /// Its name alone stands for this one.
    #[serde(skip)]
    pub(crate) is_first: bool,
}

/// The nodes, for those who may see them.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Whose labels are asked for.
    pub(crate) identity: Identity,
    /// The nodes.
    pub(crate) nodes: Arc<Nodes>,
}

impl Seen {
    /// The nodes that they may see, with what of their offers they may see.
    pub(crate) async fn nodes(&self, asker: &Asker) -> Result<Vec<NodeView>, IdentityError> {
        let labels = self.labels(asker).await?;
        let mut nodes = self.nodes.list();
        nodes.retain_mut(|node| {
            let own = labels_of(&labels, &node.name);
            leave_out(asker, node, &own);
            asker.may(Kind::Nodes, Verb::Read, &own)
        });
        Ok(nodes)
    }

    /// The applications that they may see.
    pub(crate) async fn apps(&self, asker: &Asker) -> Result<Vec<AppView>, IdentityError> {
        let labels = self.labels(asker).await?;
        let mut apps = Vec::new();
        for mut node in self.nodes.list() {
            let own = labels_of(&labels, &node.name);
            leave_out(asker, &mut node, &own);
            let offered = std::mem::take(&mut node.offers.apps);
            let is_first = |app: &str| {
                let first = self.nodes.find_app(app, None);
                first.is_some_and(|first| first.node == node.name)
            };
            // What went wrong last on a line that is there may have been about another application.
            let away = node.last_error.clone().filter(|_| node.state != "online");
            let may_see_node = asker.may(Kind::Nodes, Verb::Read, &own);
            let last_error = |app: &str| {
                let error = self.nodes.app_error(&node.name, app);
                error.or_else(|| away.clone()).filter(|_| may_see_node)
            };
            apps.extend(offered.into_iter().map(|app| AppView {
                is_first: is_first(&app.name),
                node: node.name.clone(),
                kind: if app.is_http { "http" } else { "tcp" },
                lane: app.lane(),
                state: node.state,
                lines: may_see_node.then_some(node.lines),
                round_trip_us: node.round_trip_us.filter(|_| may_see_node),
                last_error: last_error(&app.name),
                name: app.name,
            }));
        }
        Ok(apps)
    }

    /// The labels of all nodes, by name. Who may see everything needs none.
    async fn labels(&self, asker: &Asker) -> Result<BTreeMap<String, Labels>, IdentityError> {
        let mut labels = BTreeMap::new();
        let mut after = String::new();
        while asker.principal.is_some() {
            let page = self.identity.members().list(&after).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.name);
            labels.extend(page.into_iter().map(|member| (member.name, member.labels)));
        }
        Ok(labels)
    }
}

/// A node is chosen by its labels and its name.
fn labels_of(labels: &BTreeMap<String, Labels>, node: &str) -> Labels {
    // A node that was removed has no labels to be allowed by.
    let mut own = labels.get(node).cloned().unwrap_or_default();
    own.insert("node".to_owned(), node.to_owned());
    own
}

fn leave_out(asker: &Asker, node: &mut NodeView, own: &Labels) {
    node.offers.apps.retain(|app| {
        let mut labels = own.clone();
        labels.insert("app".to_owned(), app.name.clone());
        asker.may(Kind::Apps, Verb::Read, &labels)
    });
    node.offers.metrics.retain(|metrics| {
        let mut labels = metrics.labels.clone();
        labels.extend(own.clone());
        asker.may(Kind::Metrics, Verb::Read, &labels)
    });
}
