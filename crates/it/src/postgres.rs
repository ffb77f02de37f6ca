//! A database of its own on the real PostgreSQL.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};

/// The database of one test.
#[derive(Debug)]
pub struct Database {
    /// Its URL, with all rights.
    pub url: String,
    admin: String,
    name: String,
}

impl Database {
    /// Makes it with the server whose database `postgres` is at `admin`.
    pub async fn create(admin: &str) -> Self {
        Self::create_with(admin, "").await
    }

    /// The same with options of `CREATE DATABASE`.
    pub async fn create_with(admin: &str, options: &str) -> Self {
        let folder = tempfile::Builder::new().rand_bytes(12).tempdir().unwrap();
        let name = folder.path().file_name().unwrap().to_string_lossy();
        let name = format!("it{}", name.to_lowercase().replace('.', "_"));
        administer(admin, &format!("CREATE DATABASE {name} {options}")).await;
        let (server, _) = admin.rsplit_once('/').unwrap();
        Self {
            url: format!("{server}/{name}"),
            admin: admin.to_owned(),
            name,
        }
    }

    /// Removes it, whoever is connected.
    pub async fn remove(self) {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        administer(&self.admin, &drop).await;
    }
}

async fn administer(url: &str, statement: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection
        .execute(AssertSqlSafe(statement.to_owned()))
        .await
        .unwrap();
}

/// User and group of Debian's package, when this is root: PostgreSQL refuses to run as that.
pub fn owner() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let mut fields = line.unwrap().split(':').skip(2);
    let mut number = || fields.next().unwrap().parse().unwrap();
    Some((number(), number()))
}
