//! A new, empty database for one test, a clock that the test moves, and the identity opened on them
//! as often as the test likes.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base::secret::Secret;
use base::supervise::Supervisor;
use identity::audit::{Caller, Query, Recorded};
use identity::members::{JoinAnswer, JoinRequest};
use identity::names::Labels;
use identity::peer::{MachineRole, NodePeer};
use identity::seal::KeySource;
use identity::tokens::NewToken;
use identity::{Identity, IdentityError, Refusal, Settings, authority};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use state::{Location, State};
use tempfile::TempDir;

pub(crate) const HOUR: Duration = Duration::from_hours(1);
pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const CLUSTER: &str = "home";

/// One database and one data directory.
pub(crate) struct Site {
    location: Location,
    admin: Option<(String, String)>,
    folder: TempDir,
    /// Milliseconds that the clock of the identity is ahead.
    ahead: Arc<AtomicI64>,
}

/// An open identity and what keeps it.
pub(crate) struct Opened {
    pub(crate) identity: Identity,
    pub(crate) state: State,
    _supervisor: Supervisor,
}

impl Site {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            location: Location::Sqlite(folder.path().join("state.db")),
            admin: None,
            folder,
            ahead: Arc::default(),
        }
    }

    /// None, and a skipped test, without a server.
    pub(crate) async fn postgres() -> Option<Self> {
        let Ok(url) = std::env::var("LANDLINE_TEST_POSTGRES_URL") else {
            skip("LANDLINE_TEST_POSTGRES_URL is not set");
            return None;
        };
        let folder = tempfile::Builder::new().rand_bytes(12).tempdir().unwrap();
        let name = folder.path().file_name().unwrap().to_str().unwrap();
        let name = format!("identity{}", name.to_lowercase().replace('.', "_"));
        administer(&url, &format!("CREATE DATABASE {name}")).await;
        let (server, _) = url.rsplit_once('/').unwrap();
        Some(Self {
            location: Location::Postgres(Secret::new(format!("{server}/{name}"))),
            admin: Some((url, name)),
            folder,
            ahead: Arc::default(),
        })
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Moves the clock of every identity of this site.
    pub(crate) fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap();
        self.ahead.fetch_add(by, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> i64 {
        milliseconds(SystemTime::now()) + self.ahead.load(Ordering::SeqCst)
    }

    /// Opens as a further process would.
    pub(crate) async fn open(&self) -> Opened {
        self.try_open(&self.data_dir(), CLUSTER).await.unwrap()
    }

    pub(crate) async fn try_open(
        &self,
        data_dir: &Path,
        cluster: &str,
    ) -> Result<Opened, IdentityError> {
        let supervisor = Supervisor::new();
        let migrations = [identity::migrations::MIGRATIONS];
        let state = State::open(&self.location, &migrations, &supervisor).await?;
        let ahead = self.ahead.clone();
        let clock = Arc::new(move || {
            let ahead = ahead.load(Ordering::SeqCst).unsigned_abs();
            SystemTime::now() + Duration::from_millis(ahead)
        });
        let key = KeySource::DataDir(data_dir.to_owned());
        let settings = Settings {
            clock,
            ..Settings::new(cluster, key)
        };
        let identity = Identity::open(state.clone(), settings).await?;
        supervisor.register(identity.service());
        supervisor.start();
        Ok(Opened {
            identity,
            state,
            _supervisor: supervisor,
        })
    }

    pub(crate) async fn finish(self) {
        if let Some((url, name)) = &self.admin {
            administer(url, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
}

impl Opened {
    /// A join token for nodes, good for an hour.
    pub(crate) async fn token(&self, uses: i64) -> Secret {
        let token = new_token(&[MachineRole::Node], uses);
        let issued = self
            .identity
            .tokens()
            .add(&operator(), &token)
            .await
            .unwrap();
        issued.secret
    }

    /// Joins a node with a fresh key; gives the key too.
    pub(crate) async fn join(&self, name: &str) -> (JoinAnswer, Secret) {
        let (key, request) = authority::new_key(name).unwrap();
        let token = self.token(1).await;
        let join = join_request(&token, name, &request);
        (self.identity.members().join(&join).await.unwrap(), key)
    }

    /// Adds a user with these roles who has accepted the invitation.
    pub(crate) async fn user(&self, name: &str, roles: &[&str]) {
        let user = new_user(name, roles);
        let invitation = self.identity.users().add(&operator(), &user).await.unwrap();
        let accepted = identity::invitations::Acceptance {
            secret: invitation.secret,
            user: String::new(),
            password: Secret::new(PASSWORD),
            address: None,
        };
        let accepted = self.identity.invitations().accept(&accepted).await;
        assert_eq!(accepted.unwrap(), name);
    }

    pub(crate) async fn events(&self, kind: &str) -> Vec<Recorded> {
        let query = Query {
            kind: kind.to_owned(),
            ..Query::default()
        };
        self.identity.audit().query(&query).await.unwrap()
    }

    /// The last event of that kind must be a refusal for that reason.
    pub(crate) async fn check_refused(&self, kind: &str, reason: &str) {
        let events = self.events(kind).await;
        let last = events.last().unwrap();
        assert_eq!(last.outcome, "refused", "{last:?}");
        assert_eq!(last.details["reason"], reason, "{last:?}");
    }

    /// The first column of the first row, as a number.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        let mut read = self.state.read().await.unwrap();
        sqlx::query_scalar(sql).fetch_one(&mut read).await.unwrap()
    }
}

pub(crate) fn operator() -> Caller {
    Caller::user("operator", Some("192.0.2.7".parse().unwrap()))
}

pub(crate) fn new_token(roles: &[MachineRole], uses: i64) -> NewToken {
    NewToken {
        roles: roles.to_vec(),
        name: String::new(),
        labels: Labels::new(),
        uses,
        life: HOUR,
    }
}

pub(crate) fn new_user(name: &str, roles: &[&str]) -> identity::users::NewUser {
    identity::users::NewUser {
        name: name.to_owned(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        logins: vec!["deploy".to_owned()],
    }
}

pub(crate) fn join_request(token: &Secret, name: &str, request: &str) -> JoinRequest {
    JoinRequest {
        token: token.clone(),
        request: request.as_bytes().to_vec(),
        role: MachineRole::Node,
        name: name.to_owned(),
        labels: Labels::new(),
        address: Some("198.51.100.9".parse().unwrap()),
    }
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    let pairs = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    pairs.collect()
}

/// Whom the certificate of an answer names, as a finished handshake would tell.
pub(crate) fn peer_of(answer: &JoinAnswer) -> NodePeer {
    NodePeer {
        uuid: answer.uuid.clone(),
        name: answer.name.clone(),
        role: answer.role,
        cluster: CLUSTER.to_owned(),
        expires_at: answer.expires_at,
    }
}

#[track_caller]
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, IdentityError>) -> Refusal {
    match result {
        Err(IdentityError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

async fn administer(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let sql = AssertSqlSafe(sql.to_owned());
    connection.execute(sql).await.unwrap();
    connection.close().await.unwrap();
}

/// Reports the running test as skipped, as `cargo xtask test` counts it.
fn skip(reason: &str) {
    let test = std::env::var("NEXTEST_TEST_NAME");
    let test = test.unwrap_or_else(|_| std::thread::current().name().unwrap_or("?").to_owned());
    let line = format!("SKIPPED: {test}: {reason}");
    println!("{line}");
    if let Ok(path) = std::env::var("LANDLINE_TEST_SKIPS") {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.create(true).append(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}
