//! Artefacts: files of test runs, uploaded by links of krkn or by S3 clients, and the ways to find and
//! fetch them. [Decision 14](../../../../docs/decisions/014-artefacts.md) has the shape.

mod api;
mod catalogue;
pub mod config;
mod error;
mod files;
mod joined;
mod krkn;
mod look;
mod metrics;
pub mod migrations;
mod noted;
mod objects;
mod places;
mod proofs;
mod retention;
mod retries;
mod room;
mod s3;
mod serve;
pub mod settings;
mod time;
mod upload;
mod users;
mod visitor;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use base::http::{Guesses, Policy, Routes};
use base::secret::{Secret, SecretError};
use base::supervise::{Service, Supervisor};
use base::telemetry::Metrics;
use http::request::Parts;
use state::{State, StateError};
use tokio::sync::{Notify, Semaphore};
use wire::s3::key::Key;
use wire::s3::request::{Incoming, Link};

use self::catalogue::Catalogue;
use self::config::{ArtefactsConfig, ObjectsConfig};
use self::error::Trouble;
use self::look::Looks;
use self::metrics::ArtefactMetrics;
pub use self::noted::{Note, Noted};
use self::objects::{Bucket, Folder, ObjectError, Objects, sweep_service};
use self::places::{Place, Places};
use self::retries::Retries;
use self::room::Room;
use self::users::Users;
pub use self::visitor::{Act, Visitor};
pub use crate::records::Change;

/// Telemetry that is read at once: it is held whole.
const TELEMETRY_MAX: usize = 4;
/// Where links say they are; ours are nowhere.
const REGION: &str = "us-east-1";

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or the bucket.
    #[error("the objects of artefacts in {place}")]
    Objects {
        /// Which.
        place: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The state.
    #[error("the tables of artefacts can't be read")]
    State(#[from] StateError),
    /// A password of a user.
    #[error("collector.artefacts.users")]
    Users(#[from] SecretError),
    /// A key of the bucket.
    #[error(
        "the key of the bucket: collector.artefacts.access_key and secret_key, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a file of AWS's"
    )]
    Keys(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no tie, though the tables know of artefacts.
    #[error(
        "{0} has no store.id, but the tables know a store: is the disk mounted? To give up what was in it, empty the table artefact_store"
    )]
    Lost(String),
    /// There are artefacts that the tables do not know.
    #[error(
        "{0} belongs to other tables: give `state` or `collector.artefacts.objects` of the same collector"
    )]
    Foreign(String),
}

/// What the store is opened with.
#[derive(Debug)]
pub struct Settings {
    /// The configuration.
    pub config: ArtefactsConfig,
    /// The folder of the objects, when the configuration names none.
    pub folder: PathBuf,
    /// What links are signed with: the same after a restart and in all processes of the cluster.
    pub link_secret: Secret,
    /// Where secrets may come from.
    pub environment: BTreeMap<String, String>,
    /// Under whom connections to a bucket are kept.
    pub supervisor: Supervisor,
    /// Told of what is removed.
    pub note: Note,
}

/// What all paths share.
#[derive(Debug)]
struct Shared {
    config: ArtefactsConfig,
    catalogue: Catalogue,
    objects: Objects,
    users: Users,
    places: Places,
    room: Room,
    uploads: Semaphore,
    telemetry: Semaphore,
    looks: Looks,
    metrics: ArtefactMetrics,
    guesses: Guesses,
    note: Note,
    retries: Retries,
    /// What is kept for a shorter time was changed.
    retention_changed: Notify,
}

/// The store of artefacts; clones share it.
#[derive(Debug, Clone)]
pub struct Artefacts {
    shared: Arc<Shared>,
}

impl Artefacts {
    /// Opens it in a state that has [`migrations::MIGRATIONS`]; the services collect what killed
    /// processes left behind, remove what is too old, and close runs.
    pub async fn open(
        state: &State,
        settings: Settings,
        metrics: &Metrics,
    ) -> Result<(Self, [Service; 3]), OpenError> {
        let objects = open_objects(&settings)?;
        let Settings {
            config,
            link_secret,
            environment,
            note,
            ..
        } = settings;
        let users = Users::open(&config.users, link_secret, &environment)?;
        let catalogue = Catalogue::new(state);
        tie(&catalogue, &objects).await?;
        let sweep = sweep_service(&objects, (state, &catalogue), config.uploads_expire);
        let metrics = ArtefactMetrics::new(metrics);
        let shared = Shared {
            retries: Retries::new(metrics.retrying.clone()),
            places: Places::new(config.public_url.as_ref(), &config.trusted_proxies),
            room: Room::new(config.quota),
            uploads: Semaphore::new(objects.uploads_max()),
            telemetry: Semaphore::new(TELEMETRY_MAX),
            looks: Looks::default(),
            metrics,
            guesses: Guesses::default(),
            note,
            retention_changed: Notify::new(),
            catalogue,
            objects,
            users,
            config,
        };
        let shared = Arc::new(shared);
        let retention = retention::service(&shared);
        let closing = retention::closing_service(&shared);
        Ok((Self { shared }, [sweep, retention, closing]))
    }

    /// All paths. The policy gives each request a [`Visitor`], but for those that bring a signature,
    /// which the paths of S3 check themselves; see [`is_signed`].
    pub fn routes(&self, policy: impl Fn() -> Policy) -> Routes {
        krkn::routes(&self.shared, &policy)
            .merge(api::routes(&self.shared, &policy))
            .merge(look::routes(&self.shared, &policy))
            .merge(files::routes(&self.shared, &policy))
            .merge(s3::routes(&self.shared, &policy))
    }

    /// Whether the paths of S3 are asked for.
    pub fn is_of_bucket(&self, path: &str) -> bool {
        let rest = path.strip_prefix('/');
        let rest = rest.and_then(|rest| rest.strip_prefix(self.shared.config.bucket.as_str()));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The answer to `GET /` with a signature, which asks which buckets there are.
    pub async fn buckets(&self, request: Request) -> Response {
        s3::buckets(&self.shared, request).await
    }

    /// The answer to somebody without credentials.
    pub fn refuse_anonymous() -> Response {
        Trouble::Anonymous.plain()
    }
}

/// Whether a request brings a signature of S3.
pub fn is_signed(head: &Parts) -> bool {
    let authorization = head.headers.get(http::header::AUTHORIZATION);
    let authorization = authorization.and_then(|value| value.to_str().ok());
    let headers: Vec<(&str, &str)> = authorization
        .map(|value| ("authorization", value))
        .into_iter()
        .collect();
    let incoming = Incoming {
        method: head.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query().unwrap_or_default(),
        headers: &headers,
    };
    incoming.is_signed()
}

fn open_objects(settings: &Settings) -> Result<Objects, OpenError> {
    let config = &settings.config;
    let folder = match &config.objects {
        Some(ObjectsConfig::Bucket(address)) => {
            let given = (config.access_key.as_ref(), config.secret_key.as_ref());
            let keys = bucket::find_keys(given, &settings.environment);
            let keys = keys.map_err(|error: bucket::KeysError| OpenError::Keys(Box::new(error)))?;
            let keys = (keys, config.ca.clone());
            let bucket = bucket::Bucket::new(address, keys, &settings.supervisor);
            return Ok(Objects::Bucket(Bucket::new(bucket)));
        }
        Some(ObjectsConfig::Folder(folder)) => folder,
        None => &settings.folder,
    };
    let opened = Folder::open(folder);
    let opened = opened.map_err(|source| OpenError::Objects {
        place: folder.display().to_string(),
        source: Box::new(source),
    });
    Ok(Objects::Folder(opened?))
}

/// Makes sure that objects and tables belong together: what one of them does not know is removed.
async fn tie(catalogue: &Catalogue, objects: &Objects) -> Result<(), OpenError> {
    let failed = |source: ObjectError| OpenError::Objects {
        place: objects.place(),
        source: Box::new(source),
    };
    let found = objects.tie().await.map_err(failed)?;
    match (catalogue.tie().await?, found) {
        (Some(tie), Some(found)) if tie == found => Ok(()),
        // A start that was cut off, or nothing has come yet.
        (Some(tie), None) if catalogue.is_empty().await? => {
            objects.set_tie(&tie).await.map_err(failed)
        }
        (Some(_), None) => Err(OpenError::Lost(objects.place())),
        (Some(_) | None, Some(_)) => Err(OpenError::Foreign(objects.place())),
        (None, None) => {
            let tie = objects::new_id().map_err(failed)?;
            let kept = catalogue.set_tie(&tie).await?.unwrap_or(tie);
            objects.set_tie(&kept).await.map_err(failed)
        }
    }
}

impl Shared {
    /// A link by which `method` may be done to a key. It is signed without the prefix of the place,
    /// which a front takes away before it comes back to us. Without a version it is about the newest.
    fn link(&self, place: &Place, (method, key): (&str, &Key), version: Option<i64>) -> String {
        let version = version.map(|id| id.to_string());
        let parameters: Vec<(&str, &str)> = version.iter().map(|id| ("versionId", &**id)).collect();
        let path = format!("/{}/{}", self.config.bucket, key.encode());
        let (name, secret) = self.users.link();
        let link = Link {
            method,
            host: &place.host,
            path: &path,
            parameters: &parameters,
            region: REGION,
            expires: self.config.link_expiration.as_secs().max(1),
        };
        let query = link.sign((name, secret.expose()), time::now().div_euclid(1000));
        self.metrics.links.inc();
        format!("{}?{query}", place.url(&path))
    }

    /// Refuses who may not.
    fn check(visitor: &Visitor, key: &Key, act: Act) -> Result<(), Trouble> {
        let group = key.parts().group;
        if visitor.may(group, act) {
            return Ok(());
        }
        Err(Trouble::Forbidden(group.to_owned()))
    }
}
