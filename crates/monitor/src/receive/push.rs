//! Pushed pages as Prometheus' Pushgateway takes them: `PUT`, `POST` and `DELETE` at
//! `/metrics/job/<job>{/<label>/<value>}`. There is nothing to scrape in between: what is pushed goes
//! into the store at once, and again every minute until it is replaced or deleted, so that queries see
//! it as if it were scraped.

mod file;
mod group;
mod page;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base::http::{Policy, Routes};
use base::supervise::{BoxError, Criticality, Restart, Scope, Service};
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE};
use http::{Method, StatusCode};
use prometheus_client::metrics::counter::Counter;
use signals::Store;
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit};

use self::group::{Groups, Key, Replace};
use super::answer::{Refused, plain};
use super::batch::Stored;
use super::body::{text, unzipped, unzipped_bytes};
use super::metrics::Protocol;
use super::{Receiver, Shared};

/// How often what was pushed is stored again: well within the five minutes that a query looks back.
const INTERVAL: Duration = Duration::from_mins(1);
const TRY_AGAIN: Restart = Restart::OnFailure {
    first: Duration::from_secs(1),
    ceiling: Duration::from_mins(1),
};

/// Takes pushed pages, and keeps them.
#[derive(Debug, Clone)]
pub struct Pushgateway {
    shared: Arc<Shared>,
    kept: Arc<Kept>,
}

/// What is kept, in memory and in a folder.
#[derive(Debug)]
struct Kept {
    folder: PathBuf,
    /// None until the store is this process's, and with it the folder.
    groups: Arc<Mutex<Option<Groups>>>,
    /// Files that were moved aside.
    damaged: Counter,
}

/// The groups, and nobody else has them.
struct Turn {
    kept: Arc<Kept>,
    groups: OwnedMutexGuard<Option<Groups>>,
}

impl Turn {
    /// The groups; they are read when they are asked for first, which has to be while the store is used.
    fn groups(&mut self) -> Result<(&mut Groups, &Path), Refused> {
        let folder = &self.kept.folder;
        let groups = match self.groups.take() {
            Some(groups) => groups,
            None => {
                let (groups, damaged) = Groups::read(folder)?;
                self.kept.damaged.inc_by(damaged);
                groups
            }
        };
        Ok((self.groups.insert(groups), folder))
    }
}

impl Pushgateway {
    /// Keeps what is pushed in a folder of its own, which is made when the first page comes. The service
    /// stores it again and again.
    pub fn new(receiver: &Receiver, folder: PathBuf) -> (Self, Service) {
        let gateway = Self {
            shared: Arc::clone(&receiver.shared),
            kept: Arc::new(Kept {
                folder,
                groups: Arc::default(),
                damaged: receiver.shared.metrics.damaged(),
            }),
        };
        let repeating = gateway.clone();
        let body = move |scope: Scope| {
            let gateway = repeating.clone();
            async move {
                loop {
                    gateway.repeat().await?;
                    tokio::select! {
                        () = tokio::time::sleep(INTERVAL) => {}
                        () = scope.stopping() => return Ok::<(), BoxError>(()),
                    }
                }
            }
        };
        let service = Service::restarting("pushes", Criticality::Plain, TRY_AGAIN, body);
        (gateway, service)
    }

    /// The paths that pages are pushed to; the policy says who may.
    pub fn routes(&self, write: impl Fn() -> Policy) -> Routes {
        let gateway = self.clone();
        let handle = move |request: Request| {
            let gateway = gateway.clone();
            async move { gateway.handle(request).await }
        };
        Routes::default()
            .any("/metrics/job/{*group}", write(), handle.clone())
            .any("/metrics/job@base64/{*group}", write(), handle)
    }

    async fn handle(&self, request: Request) -> Response {
        let outcome = match *request.method() {
            Method::PUT => self.push(request, Replace::Group).await,
            Method::POST => self.push(request, Replace::Families).await,
            Method::DELETE => {
                let path = request.uri().path().to_owned();
                self.delete(&path).await
            }
            _ => {
                let allow = [(ALLOW, "PUT, POST, DELETE")];
                return (StatusCode::METHOD_NOT_ALLOWED, allow).into_response();
            }
        };
        match outcome {
            Ok((status, stored)) => {
                self.shared.metrics.count(Protocol::Push, &stored);
                if stored.problems.is_empty() {
                    return status.into_response();
                }
                plain(StatusCode::BAD_REQUEST, stored.problems.text())
            }
            Err(refused) => {
                self.shared.metrics.count_refused(Protocol::Push, &refused);
                refused.response()
            }
        }
    }

    async fn push(
        &self,
        request: Request,
        replace: Replace,
    ) -> Result<(StatusCode, Stored), Refused> {
        let (head, body) = request.into_parts();
        let key = Key::of_path(head.uri.path())?;
        let is_packed = match text(&head.headers, CONTENT_ENCODING) {
            None | Some("identity") => false,
            Some("gzip") => true,
            Some(other) => return Err(Refused::Encoding(other.to_owned(), "gzip")),
        };
        let content_type = text(&head.headers, CONTENT_TYPE).unwrap_or_default();
        let content_type = content_type.to_owned();
        let limit = self.shared.config.body_bytes_max;
        let (body, room) = self.shared.room.read(&head.headers, body, limit).await?;
        let plain_bytes = if is_packed { unzipped_bytes(&body) } else { 0 };
        let limit = self.shared.config.unpacked_bytes_max;
        if plain_bytes > limit {
            return Err(Refused::TooLarge(limit as u64));
        }
        let more_room = self.shared.room.take(plain_bytes)?;
        let held = Held {
            body,
            _room: [room, more_room],
        };
        let work = move |turn: &mut Turn, store: &Store, now: i64| {
            let (groups, folder) = turn.groups()?;
            let families = if is_packed {
                page::read(&unzipped(&held.body, plain_bytes)?, &content_type, &key)
            } else {
                page::read(&held.body, &content_type, &key)
            };
            let families = families.inspect_err(|_| groups.note_failure(&key, now))?;
            groups.push(&key, (families, replace), (store, now), folder)
        };
        Ok((StatusCode::OK, self.run(work).await?))
    }

    async fn delete(&self, path: &str) -> Result<(StatusCode, Stored), Refused> {
        let key = Key::of_path(path)?;
        let work = move |turn: &mut Turn, store: &Store, now: i64| {
            let (groups, folder) = turn.groups()?;
            groups.delete(&key, (store, now), folder)
        };
        Ok((StatusCode::ACCEPTED, self.run(work).await?))
    }

    /// Stores everything once more.
    async fn repeat(&self) -> Result<(), Refused> {
        let work = |turn: &mut Turn, store: &Store, now: i64| {
            let (groups, _) = turn.groups()?;
            groups.repeat(store, now)
        };
        let stored = self.run(work).await?;
        self.shared.metrics.count(Protocol::Push, &stored);
        Ok(())
    }

    /// Does something with the groups while nobody else does, and while the store is this process's.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Turn, &Store, i64) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let mut turn = Turn {
            kept: Arc::clone(&self.kept),
            groups: Arc::clone(&self.kept.groups).lock_owned().await,
        };
        let work = move |store: &Store, now: i64| work(&mut turn, store, now);
        self.shared.samples.run(work).await?
    }
}

/// A body, and the room that it takes.
struct Held {
    body: Bytes,
    _room: [OwnedSemaphorePermit; 2],
}
