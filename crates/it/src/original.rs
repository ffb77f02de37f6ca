//! Databases as the original collector kept them, in both forms, to be imported from.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::postgres::Database;

/// Tables of July 2018 and later.
const NEWER: &str = "
CREATE TABLE guilty (
    id serial PRIMARY KEY, function varchar, module varchar, comment varchar,
    hide boolean NOT NULL, CONSTRAINT pairs UNIQUE (function, module)
);
CREATE TABLE guilty_blacklisted (id serial PRIMARY KEY, function varchar, module varchar);
CREATE TABLE records (
    id serial PRIMARY KEY,
    architecture text, bios_version text, board_name text, cpu_model text, event_id text,
    host_type text, kernel_version text, machine_id text, system_name text,
    build text NOT NULL, classification text NOT NULL, payload text NOT NULL,
    external boolean, payload_version integer, record_version integer, severity integer,
    timestamp_client numeric, timestamp_server numeric NOT NULL, processed boolean,
    guilty_id integer REFERENCES guilty (id)
)";
/// Tables before, with what came until March 2018.
const OLDER: &str = "
CREATE TABLE build (id serial PRIMARY KEY, build varchar);
CREATE TABLE classification (
    id serial PRIMARY KEY, classification varchar, domain varchar, probe varchar
);
CREATE TABLE guilty (
    id serial PRIMARY KEY, function varchar, module varchar, comment varchar, hide boolean
);
CREATE TABLE guilty_blacklisted (id serial PRIMARY KEY, function varchar, module varchar);
CREATE TABLE records (
    id serial PRIMARY KEY,
    severity integer, machine varchar, machine_id varchar, architecture varchar,
    kernel_version varchar, os_name varchar, record_format_version integer,
    payload_format_version integer, payload bytea, tsp integer, tsp_server integer,
    buildstamp varchar, backtrace varchar, dupe_of integer, dupecount integer,
    dupemaster boolean, security boolean, hide boolean, processed boolean, icon varchar,
    classification_id integer REFERENCES classification (id),
    build_id integer REFERENCES build (id), guilty_id integer REFERENCES guilty (id),
    external boolean, bios_version varchar, board_name varchar, cpu_model varchar,
    event_id varchar
)";
/// Records of the newer form, one for each number from 1 to `COUNT`; ids have gaps, times fractions.
const NEWER_MANY: &str = "
INSERT INTO records SELECT n * STEP, 'x86_64', 'bios ' || n % 3, 'board', 'cpu',
    lpad(to_hex(n), 32, '0'), 'vendor|product|' || n % 4, '5.4.' || n % 9 || '-1.native',
    'machine' || n % 50, 'clear-linux-os', (31000 + n % 5)::text,
    CASE n % 3 WHEN 0 THEN 'org.clearlinux/heartbeat/ping' ELSE 'org.clearlinux/hello/world' END,
    'imported payload word' || n || E'\\n' || repeat('x', LENGTH), n % 2 = 0, 1, 4, n % 4 + 1,
    BEGUN - 5 + n, BEGUN + n + 0.25, true, NULL
FROM generate_series(1, COUNT) AS n";
/// The same in the older form.
const OLDER_MANY: &str = "
INSERT INTO build SELECT n, (31000 + n)::text FROM generate_series(0, 4) AS n;
INSERT INTO classification VALUES
    (0, 'org.clearlinux/heartbeat/ping', 'org.clearlinux/heartbeat', 'ping'),
    (1, 'org.clearlinux/hello/world', 'org.clearlinux/hello', 'world');
INSERT INTO records (id, severity, machine, machine_id, architecture, kernel_version, os_name,
    record_format_version, payload_format_version, payload, tsp, tsp_server, backtrace, processed,
    classification_id, build_id, external, bios_version, board_name, cpu_model, event_id)
SELECT n * STEP, n % 4 + 1, 'vendor|product|' || n % 4, 'machine' || n % 50, 'x86_64',
    '4.9.' || n % 9 || '-1', 'clear-linux-os', 3, 1, 'bytes', BEGUN - 5 + n, BEGUN + n,
    'imported payload word' || n || E'\\n' || repeat('x', LENGTH), true,
    least(n % 3, 1), n % 5, n % 2 = 0, 'bios', 'board', 'cpu', 'N/A'
FROM generate_series(1, COUNT) AS n";

/// Which tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A record has its build and its classification.
    Newer,
    /// They have tables of their own.
    Older,
}

/// Records of which there are many.
#[derive(Debug, Clone, Copy)]
pub struct Many {
    /// How many.
    pub count: i64,
    /// From one id to the next.
    pub step: i64,
    /// Bytes of their payloads, but for the first words.
    pub length: usize,
    /// Unix seconds a second before the first came.
    pub begun: i64,
}

/// A database of the original.
#[derive(Debug)]
pub struct Original {
    database: Database,
    connection: PgConnection,
}

impl Original {
    /// Makes it with these tables and nothing in them.
    pub async fn create(admin: &str, form: Form) -> Self {
        Self::create_with(admin, form, "").await
    }

    /// The same with options of `CREATE DATABASE`.
    pub async fn create_with(admin: &str, form: Form, options: &str) -> Self {
        let database = Database::create_with(admin, options).await;
        let connection = PgConnection::connect(&database.url).await.unwrap();
        let mut original = Self {
            database,
            connection,
        };
        let tables = match form {
            Form::Newer => NEWER,
            Form::Older => OLDER,
        };
        original.run(tables).await;
        original
    }

    /// Adds many records.
    pub async fn fill(&mut self, form: Form, many: Many) {
        let sql = match form {
            Form::Newer => NEWER_MANY,
            Form::Older => OLDER_MANY,
        };
        let sql = sql
            .replace("STEP", &many.step.to_string())
            .replace("LENGTH", &many.length.to_string())
            .replace("BEGUN", &many.begun.to_string())
            .replace("COUNT", &many.count.to_string());
        self.run(&sql).await;
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.database.url
    }

    /// Does something in it.
    pub async fn run(&mut self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        self.connection.execute(sqlx::raw_sql(sql)).await.unwrap();
    }

    /// Reads something of it.
    pub async fn rows(&mut self, sql: &str) -> Vec<PgRow> {
        let sql = AssertSqlSafe(sql.to_owned());
        let rows = sqlx::query(sql).fetch_all(&mut self.connection);
        rows.await.unwrap()
    }

    /// Removes it.
    pub async fn remove(self) {
        drop(self.connection);
        self.database.remove().await;
    }
}
