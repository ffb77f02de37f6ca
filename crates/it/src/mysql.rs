//! A database of its own on the real MariaDB: the table `whatsapp_config`, a read-only account, and
//! a gate in front, so that the database can go down for the program alone.

use sqlx::mysql::MySqlPool;
use sqlx::{AssertSqlSafe, Executor};

use crate::gate::Gate;

/// The table as the original's database has it.
const TABLE: &str = "CREATE TABLE whatsapp_config (
    country varchar(4), phone varchar(20), username varchar(45), password varchar(45),
    pin varchar(6), npe_instance varchar(45), kubernetes varchar(45), data mediumtext,
    api_key varchar(50), company_name varchar(45), version varchar(45),
    time_data_backedup timestamp NULL DEFAULT NULL, data_password varchar(45),
    shard_count tinyint unsigned DEFAULT 1, deployment_type varchar(20) DEFAULT 'npe')";

/// The database of one test.
#[derive(Debug)]
pub struct Database {
    /// What stands between the program and the server.
    pub gate: Gate,
    admin: MySqlPool,
    name: String,
}

/// A row that the program reads.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Country code.
    pub country: &'a str,
    /// Phone digits.
    pub phone: &'a str,
    /// User, or NULL.
    pub username: Option<&'a str>,
    /// Password, or NULL.
    pub password: Option<&'a str>,
    /// Company.
    pub company: &'a str,
}

impl Database {
    /// Makes the database, its table and its read-only account with the server at `admin_url`.
    pub async fn create(admin_url: &str) -> Self {
        let url = url::Url::parse(admin_url).unwrap();
        let host = url
            .host_str()
            .unwrap_or("127.0.0.1")
            .replace("localhost", "127.0.0.1");
        let server = format!("{host}:{}", url.port().unwrap_or(3306));
        let admin = MySqlPool::connect(admin_url).await.unwrap();
        let suffix = tempfile::Builder::new()
            .prefix("")
            .rand_bytes(8)
            .tempdir()
            .unwrap();
        let suffix = suffix
            .path()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .to_lowercase();
        let name = format!("it_{}_{suffix}", std::process::id());
        let gate = Gate::start(server.parse().unwrap()).await;
        let database = Self { gate, admin, name };
        let name = &database.name;
        database
            .run(&format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"))
            .await;
        database
            .run(&TABLE.replace("TABLE whats", &format!("TABLE {name}.whats")))
            .await;
        for user in database.users() {
            database
                .run(&format!("CREATE USER {user} IDENTIFIED BY 'read only/pw'"))
                .await;
            database
                .run(&format!("GRANT SELECT ON {name}.* TO {user}"))
                .await;
        }
        database
    }

    /// The URL for the program: read-only, through the gate.
    pub fn url(&self) -> String {
        let address = self.gate.address;
        format!(
            "mysql://{name}:read%20only%2Fpw@{address}/{name}",
            name = self.name
        )
    }

    /// Adds a row.
    pub async fn insert(&self, row: Row<'_>) {
        let statement = format!(
            "INSERT INTO {}.whatsapp_config (country, phone, username, password, company_name) \
             VALUES (?, ?, ?, ?, ?)",
            self.name
        );
        let query = sqlx::query(AssertSqlSafe(statement));
        let query = query.bind(row.country).bind(row.phone).bind(row.username);
        query
            .bind(row.password)
            .bind(row.company)
            .execute(&self.admin)
            .await
            .unwrap();
    }

    /// Changes the password of a row.
    pub async fn set_password(&self, phone: &str, password: &str) {
        let name = &self.name;
        let statement = format!("UPDATE {name}.whatsapp_config SET password = ? WHERE phone = ?");
        let query = sqlx::query(AssertSqlSafe(statement))
            .bind(password)
            .bind(phone);
        query.execute(&self.admin).await.unwrap();
    }

    /// Removes a row.
    pub async fn delete(&self, phone: &str) {
        let statement = format!("DELETE FROM {}.whatsapp_config WHERE phone = ?", self.name);
        sqlx::query(AssertSqlSafe(statement))
            .bind(phone)
            .execute(&self.admin)
            .await
            .unwrap();
    }

    /// The tables of the database: nothing may be added to them.
    pub async fn tables(&self) -> Vec<String> {
        let statement = "SELECT table_name FROM information_schema.tables WHERE table_schema = ?";
        let query = sqlx::query_scalar(statement).bind(&self.name);
        query.fetch_all(&self.admin).await.unwrap()
    }

    /// Drops database and accounts.
    pub async fn remove(self) {
        self.run(&format!("DROP DATABASE {}", self.name)).await;
        for user in self.users() {
            self.run(&format!("DROP USER {user}")).await;
        }
    }

    /// Only from this machine: a failed test leaves them behind on a server that is not its own.
    fn users(&self) -> [String; 2] {
        ["127.0.0.1", "localhost"].map(|host| format!("'{}'@'{host}'", self.name))
    }

    async fn run(&self, statement: &str) {
        let done = self
            .admin
            .execute(sqlx::raw_sql(AssertSqlSafe(statement.to_owned())))
            .await;
        assert!(done.is_ok(), "{statement}: {done:?}");
    }
}
