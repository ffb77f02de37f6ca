//! The role `collector`: records in the state of this process, and who may read them. Artefacts are in
//! the module below.

pub(crate) mod artefacts;

use std::sync::Arc;

use axum::extract::Request;
use axum::response::IntoResponse;
use base::health::Health;
use base::http::{Judge, Judging, Peer, Policy, Routes, browser, host_of};
use base::supervise::{BoxError, Supervisor};
use base::telemetry::Metrics;
use collect::artefacts::{Artefacts, is_signed};
use collect::records::config::{CollectorConfig, RecordsConfig};
use collect::records::{Act, Change, Reader, Records};
use futures_util::future::BoxFuture;
use http::StatusCode;
use http::header::{HOST, LOCATION};
use http::request::Parts;
use identity::audit::{Caller, Event};
use identity::names::Labels;
use identity::principal::Scope;
use identity::roles::{Kind, Verb};
use state::State;

use crate::askers::{Asker, Askers};

/// The label that says to which project a record belongs.
const PROJECT: &str = "project";
/// The right to see.
const READ: &str = "records:read";
/// Where the pages of records are.
const PAGES: &str = "/telemetryui";
/// Where those of artefacts are.
const FILES: &str = "/files/";

/// Opens the collector and registers its services.
pub(crate) async fn open(
    config: &RecordsConfig,
    state: &State,
    (metrics, health): (&Metrics, &Health),
    supervisor: &Supervisor,
) -> Result<Records, BoxError> {
    let (records, services) = Records::open(state, config.clone(), (metrics, health)).await?;
    for service in services {
        supervisor.register(service);
    }
    Ok(records)
}

/// The paths of records.
pub(crate) fn routes(records: &Records, askers: &Arc<Askers>) -> Routes {
    let read = || policy(askers, READ);
    let update = || policy(askers, "records:update");
    records
        .intake_routes()
        .merge(records.read_routes(read, update))
}

/// On a listener of its own, the first page is that of the records, or that of the artefacts when only
/// these are configured. With a signature of S3, which proves itself, it is the list of buckets.
pub(crate) fn first_page(config: &CollectorConfig, artefacts: Option<&Artefacts>) -> Routes {
    let leads_to_files = config.artefacts.is_some() && !config.names_records;
    let pages = if leads_to_files { FILES } else { PAGES };
    let artefacts = artefacts.cloned();
    Routes::default().get("/", Policy::Public, move |request: Request| async move {
        let (head, body) = request.into_parts();
        match artefacts.filter(|_| is_signed(&head)) {
            Some(artefacts) => artefacts.buckets(Request::from_parts(head, body)).await,
            None => (StatusCode::FOUND, [(LOCATION, pages)]).into_response(),
        }
    })
}

/// Programs of this machine read without proof; everybody else, and whoever changes something, shows
/// a session or a token whose roles allow `right` in some project. Handlers ask the [`Reader`] in which.
fn policy(askers: &Arc<Askers>, right: &'static str) -> Policy {
    let askers = Arc::clone(askers);
    let scope = Scope::parse(right).ok();
    let may = move |asker: &Asker| {
        let may = |scope: &Scope| asker.may_somewhere(scope.kind, scope.verb);
        scope.as_ref().is_some_and(may)
    };
    let judge = move |mut head: Parts| {
        let (askers, may) = (Arc::clone(&askers), may);
        Box::pin(async move {
            let is_local = is_local(&head);
            let is_reading = right == READ;
            if is_local && is_reading && matches!(askers.identify(&head).await, Ok(None)) {
                head.extensions
                    .insert(Reader::new(|_, act| act == Act::Read));
                return Ok(head);
            }
            let mut head = askers.judge((right, &may), head).await?;
            if let Some(asker) = head.extensions.get::<Asker>().cloned() {
                head.extensions.insert(reader_of(&askers, asker));
            }
            Ok(head)
        }) as Judging
    };
    Policy::Judged(Judge {
        name: if right == READ {
            "local, records:read"
        } else {
            right
        },
        judge: Arc::new(judge),
    })
}

/// Whether a program of this machine asks for itself: not a front on this machine that passes on what
/// others ask, and not a page whose name was made to lead here.
pub(crate) fn is_local(head: &Parts) -> bool {
    const PASSED_ON: [&str; 9] = [
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-proto",
        "x-forwarded-server",
        "x-real-ip",
        "via",
    ];
    let is_near = head.extensions.get::<Peer>().is_some_and(Peer::is_loopback);
    let is_passed_on = PASSED_ON
        .iter()
        .any(|name| head.headers.contains_key(*name));
    // HTTP/1.0 may leave the host out; browsers never do.
    let host = host_of(&head.headers);
    let is_named_here = host.map_or(!head.headers.contains_key(HOST), browser::is_local);
    is_near && !is_passed_on && is_named_here
}

/// What somebody known may do; their changes are events of the audit log.
fn reader_of(askers: &Arc<Askers>, asker: Asker) -> Reader {
    let (askers, caller) = (Arc::clone(askers), asker.caller.clone());
    let note = move |change: Change| audit(&askers, &caller, change);
    Reader::new(move |project, act| may_in(&asker, project, act)).noting(note)
}

/// Has a change in the audit log.
fn audit(askers: &Arc<Askers>, caller: &Caller, change: Change) -> BoxFuture<'static, ()> {
    let event = Event::success(change.kind, caller, change.target).with("change", change.details);
    let askers = Arc::clone(askers);
    Box::pin(async move {
        if let Err(error) = askers.identity.audit().record(&[event]).await {
            let error = base::client::chain(&error);
            tracing::error!(error, "a change could not be recorded in the audit log");
        }
    })
}

fn may_in(asker: &Asker, project: &str, act: Act) -> bool {
    let labels: Labels = [(PROJECT.to_owned(), project.to_owned())].into();
    let verb = match act {
        Act::Read => Verb::Read,
        Act::Update => Verb::Update,
    };
    asker.may(Kind::Records, verb, &labels)
}
