//! PostgreSQL over TLS, as the parameters of its URL say: encrypted, with the server's certificate
//! checked or not. `cargo xtask test` starts a server that speaks it.

use std::path::PathBuf;

use base::secret::Secret;
use base::supervise::Supervisor;
use state::{Location, State};

use crate::site::{NOTES, Opened, Site, skip};

/// The certificate of the server; it is its own authority.
fn certificate() -> Option<PathBuf> {
    let path = std::env::var_os("LANDLINE_TEST_POSTGRES_CERTIFICATE").map(PathBuf::from);
    if path.is_none() {
        skip("LANDLINE_TEST_POSTGRES_CERTIFICATE is not set");
    }
    path
}

fn with(site: &Site, parameters: &str) -> Location {
    match &site.location {
        Location::Postgres(url) => {
            Location::Postgres(Secret::new(format!("{}?{parameters}", url.expose())))
        }
        Location::Sqlite(_) => panic!("not PostgreSQL"),
    }
}

/// Whether the server says that connections to this database are encrypted.
const IS_ENCRYPTED: &str = "SELECT CASE WHEN bool_and(s.ssl) THEN 1 ELSE 0 END
     FROM pg_stat_ssl s JOIN pg_stat_activity a ON a.pid = s.pid
     WHERE a.datname = current_database()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_url_says_how_connections_are_encrypted() {
    let (Some(site), Some(certificate)) = (Site::postgres().await, certificate()) else {
        return;
    };
    let root = certificate.display();
    for (parameters, encrypted) in [
        ("sslmode=require".to_owned(), 1),
        (format!("sslmode=verify-ca&sslrootcert={root}"), 1),
        (format!("sslmode=verify-full&sslrootcert={root}"), 1),
        ("sslmode=disable".to_owned(), 0),
    ] {
        let opened = Opened::at(&with(&site, &parameters)).await;
        assert_eq!(opened.number(IS_ENCRYPTED).await, encrypted, "{parameters}");
        // Watching has a connection of its own.
        let mut watch = opened.state.watch("notes");
        let mut write = opened.state.write().await.unwrap();
        write.touch("notes");
        write.commit().await.unwrap();
        let told = tokio::time::timeout(crate::site::SOON, watch.changed()).await;
        assert!(told.is_ok(), "{parameters}");
        opened.close().await;
    }
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_prove_itself_is_refused() {
    let (Some(site), Some(certificate)) = (Site::postgres().await, certificate()) else {
        return;
    };
    let root = certificate.display();
    let why = async |location: Location| {
        let opened = State::open(&location, &[NOTES], &Supervisor::new()).await;
        let error = opened.expect_err("refused");
        base::client::chain(&error)
    };
    // No public authority has signed it.
    for mode in ["verify-ca", "verify-full"] {
        let error = why(with(&site, &format!("sslmode={mode}"))).await;
        assert!(error.contains("UnknownIssuer"), "{error}");
    }
    // It is for an address, and not for this name of it.
    let Location::Postgres(url) = &site.location else {
        return;
    };
    let named = url.expose().replace("127.0.0.1", "localhost");
    let full = format!("{named}?sslmode=verify-full&sslrootcert={root}");
    let error = why(Location::Postgres(Secret::new(full))).await;
    assert!(error.contains("not valid for name"), "{error}");
    let missing = why(with(&site, "sslmode=verify-full&sslrootcert=/none.pem")).await;
    assert!(missing.contains("No such file"), "{missing}");
    site.finish().await;
}
