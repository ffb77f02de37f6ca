//! The database goes away and comes back.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use base::error::Class;
use base::secret::Secret;
use base::supervise::Supervisor;
use state::{Location, State, StateError};
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::relay::{Mode, Relay};
use crate::site::{Opened, SOON, Site};
use crate::transactions::add_one;

/// What the design allows for the error of a database that is down.
const ERROR_LIMIT: Duration = Duration::from_secs(1);

/// PostgreSQL behind a relay.
struct Rig {
    site: Site,
    relay: Relay,
    location: Location,
}

impl Rig {
    async fn new(tasks: &Supervisor) -> Option<Self> {
        let site = Site::postgres().await?;
        let Location::Postgres(url) = &site.location else {
            panic!("another location");
        };
        let (user, rest) = url.expose().rsplit_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let server: SocketAddr = lookup_host(server).await.unwrap().next().unwrap();
        let relay = Relay::start(tasks, server).await;
        let url = format!("{user}@{}/{database}", relay.address);
        let location = Location::Postgres(Secret::new(url));
        Some(Self {
            site,
            relay,
            location,
        })
    }
}

async fn assert_fails_soon(state: &State) {
    for _ in 0..3 {
        let begin = Instant::now();
        let error = state.read().await.unwrap_err();
        assert_eq!(error.class(), Class::Unavailable, "{error:?}");
        assert!(
            begin.elapsed() < ERROR_LIMIT,
            "{:?}: {error:?}",
            begin.elapsed()
        );
        let begin = Instant::now();
        let error = state.write().await.unwrap_err();
        assert_eq!(error.class(), Class::Unavailable, "{error:?}");
        assert!(
            begin.elapsed() < ERROR_LIMIT,
            "{:?}: {error:?}",
            begin.elapsed()
        );
    }
}

/// Waits until the database can be reached again.
async fn wait_for(state: &State) {
    let back = async {
        while state.write().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, back).await.unwrap();
}

async fn assert_recovered(opened: &Opened, watches: [state::Watch; 2], other: &Opened) {
    wait_for(&opened.state).await;
    timeout(SOON, add_one(opened)).await.unwrap();
    let mut write = other.state.write().await.unwrap();
    write.touch("roles");
    write.touch("nodes");
    write.commit().await.unwrap();
    for mut watch in watches {
        timeout(SOON, watch.changed()).await.unwrap();
    }
}

async fn goes_and_comes_back(mode: Mode) {
    let tasks = Supervisor::new();
    let Some(rig) = Rig::new(&tasks).await else {
        return;
    };
    let opened = Opened::at(&rig.location).await;
    let other = rig.site.open().await;
    for _ in 0..3 {
        let watches = ["roles", "nodes"].map(|topic| opened.state.watch(topic));
        add_one(&opened).await;
        rig.relay.set(mode).await;
        assert_fails_soon(&opened.state).await;
        rig.relay.set(Mode::Open).await;
        assert_recovered(&opened, watches, &other).await;
    }
    opened.close().await;
    other.close().await;
    rig.site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_stops_and_starts() {
    goes_and_comes_back(Mode::Down).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_to_postgres_goes_dead() {
    goes_and_comes_back(Mode::Hole).await;
}

/// Many who ask at once have their error as soon as one would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everyone_hears_of_a_dead_network_in_time() {
    let tasks = Supervisor::new();
    let Some(rig) = Rig::new(&tasks).await else {
        return;
    };
    let opened = Opened::at(&rig.location).await;
    rig.relay.set(Mode::Hole).await;
    let begin = Instant::now();
    let all = futures_util::future::join_all((0..8).map(|_| opened.state.write()));
    for result in all.await {
        let error = result.unwrap_err();
        assert_eq!(error.class(), Class::Unavailable, "{error:?}");
    }
    assert!(begin.elapsed() < ERROR_LIMIT, "{:?}", begin.elapsed());
    rig.relay.set(Mode::Open).await;
    wait_for(&opened.state).await;
    opened.close().await;
    rig.site.finish().await;
}

/// Everything that waits in the middle of a transaction gets its error, and its place is free.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_in_a_dead_network_end() {
    let tasks = Supervisor::new();
    let Some(rig) = Rig::new(&tasks).await else {
        return;
    };
    let opened = Opened::at(&rig.location).await;
    let mut writes = Vec::new();
    for _ in 0..8 {
        writes.push(opened.state.write().await.unwrap());
    }
    rig.relay.set(Mode::Hole).await;
    let statements = writes.iter_mut().map(|write| {
        sqlx::query("UPDATE counters SET value = 1 WHERE name = 'none'").execute(write)
    });
    let all = futures_util::future::join_all(statements);
    for result in timeout(Duration::from_secs(12), all).await.unwrap() {
        let error = StateError::from(result.unwrap_err());
        assert_eq!(error.class(), Class::Timeout, "{error:?}");
    }
    drop(writes);
    rig.relay.set(Mode::Open).await;
    wait_for(&opened.state).await;
    timeout(Duration::from_secs(2), add_one(&opened))
        .await
        .unwrap();
    opened.close().await;
    rig.site.finish().await;
}

/// The database restarts in the middle of a transaction: the error says that it may be tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_transaction_is_an_error_and_nothing_happened() {
    let tasks = Supervisor::new();
    let Some(rig) = Rig::new(&tasks).await else {
        return;
    };
    let opened = Opened::at(&rig.location).await;
    for _ in 0..5 {
        let mut write = opened.state.write().await.unwrap();
        sqlx::query("UPDATE counters SET value = 1000")
            .execute(&mut write)
            .await
            .unwrap();
        rig.relay.set(Mode::Down).await;
        let error = write.commit().await.unwrap_err();
        assert_eq!(error.class(), Class::Unavailable, "{error:?}");
        rig.relay.set(Mode::Open).await;
        let sum = "SELECT CAST(SUM(value) AS BIGINT) FROM counters";
        wait_for(&opened.state).await;
        assert_eq!(opened.number(sum).await, 0);
    }
    opened.close().await;
    rig.site.finish().await;
}

#[tokio::test]
async fn a_wrong_url_is_refused_without_showing_it() {
    for url in [
        "mysql://u:hunter2@h/d",
        "no url hunter2",
        "postgres://u:hunter2@h:x/d",
    ] {
        let location = Location::Postgres(Secret::new(url));
        let error = State::open(&location, &[], &Supervisor::new())
            .await
            .unwrap_err();
        assert!(matches!(error, StateError::Url { .. }), "{url}: {error:?}");
        assert!(
            !format!("{error:?} {error}").contains("hunter2"),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn nobody_at_the_address_is_an_error_within_a_second() {
    let begin = Instant::now();
    let location = Location::Postgres(Secret::new("postgres://u:hunter2@127.0.0.1:1/d"));
    let error = State::open(&location, &[], &Supervisor::new())
        .await
        .unwrap_err();
    assert!(begin.elapsed() < ERROR_LIMIT, "{:?}", begin.elapsed());
    assert_eq!(
        error.to_string(),
        "connect to the state at 127.0.0.1:1/d; check that it runs and accepts this user"
    );
    assert_eq!(error.class(), Class::Unavailable);
}

/// Another process keeps writing: the error comes after SQLite's patience, and the next try works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_that_is_held_by_another_process() {
    let site = Site::sqlite();
    let (opened, other) = (site.open().await, site.open().await);
    let held = other.state.write().await.unwrap();
    let error = timeout(Duration::from_secs(8), opened.state.write())
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.class(), Class::Unavailable, "{error:?}");
    assert_eq!(
        opened.number("SELECT COUNT(*) FROM counters").await,
        2,
        "reading goes on"
    );
    drop(held);
    timeout(SOON, add_one(&opened)).await.unwrap();
    opened.close().await;
    other.close().await;
}

#[tokio::test]
async fn sqlite_files_are_private_and_wrong_ones_are_refused() {
    let site = Site::sqlite();
    let opened = site.open().await;
    add_one(&opened).await;
    let path = site.path();
    for name in ["", "-wal", "-shm"] {
        let file = format!("{}{name}", path.display());
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    opened.close().await;
    let wal = format!("{}-wal", path.display());
    assert!(
        !std::path::Path::new(&wal).exists(),
        "the log is folded in at the end"
    );
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong.db");
    std::fs::write(
        &wrong,
        "this is not a database, and long enough to be looked at".repeat(9),
    )
    .unwrap();
    let error = State::open(&Location::Sqlite(wrong), &[], &Supervisor::new())
        .await
        .unwrap_err();
    assert!(matches!(error, StateError::Connect { .. }), "{error:?}");
    let error = State::open(
        &Location::Sqlite("/proc/nowhere/state.db".into()),
        &[],
        &Supervisor::new(),
    )
    .await
    .unwrap_err();
    assert!(matches!(error, StateError::CreateFile { .. }), "{error:?}");
}

#[tokio::test]
async fn after_the_exit_there_is_no_state() {
    let site = Site::sqlite();
    let opened = site.open().await;
    let state = opened.state.clone();
    opened.close().await;
    assert!(matches!(
        state.read().await.unwrap_err(),
        StateError::Closed
    ));
    assert!(matches!(
        state.write().await.unwrap_err(),
        StateError::Closed
    ));
}
