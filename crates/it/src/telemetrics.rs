//! Telemetry records as clients of both protocols send them, byte for byte, and a collector to send
//! them to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection};

use crate::client::{self, Reply};
use crate::need::need;
use crate::postgres::Database;
use crate::program::Program;
use crate::wait;

/// The id that every client of Clear Linux sends.
pub const TID: &str = "6907c830-eed9-4ce9-81ae-76daf8d88f0f";
/// The header that carries it.
pub const TID_HEADER: &str = "X-Telemetry-TID";
/// The header by which a proxy says that a machine is a stranger's.
pub const EXTERNAL_HEADER: &str = "X-CLR-External";
/// When the records of tests were made, by their client.
pub const CREATED: &str = "1700000000";
/// The header that says what became of a record.
const OUTCOME: &str = "landline-outcome";
/// The longest any exchange may take.
const EXCHANGE_LIMIT: Duration = Duration::from_mins(1);

/// The fields of format 4 in the order of client 2.3.5, but for the event id.
const BASE: [(&str, &str); 14] = [
    ("record_format_version", "4"),
    ("classification", "org.example/test/thing"),
    ("severity", "2"),
    ("machine_id", "c588b962e95d5f3aa46ab0d644e7f57e"),
    ("creation_timestamp", CREATED),
    ("arch", "x86_64"),
    (
        "host_type",
        "QEMU|Standard PC (Q35 + ICH9, 2009)|pc-q35-7.2",
    ),
    ("build", "34960"),
    ("kernel_version", "6.1.0-13-amd64"),
    ("payload_format_version", "1"),
    ("system_name", "clear-linux-os"),
    ("board_name", "0H28RR|Dell Inc."),
    ("cpu_model", "Intel(R) Xeon(R) Processor"),
    ("bios_version", "1.16.2-debian-1.16.2-1"),
];
/// Which fields came with which format.
const LATER: [(u8, &[&str]); 3] = [
    (2, &["system_name", "payload_format_version"]),
    (3, &["board_name", "cpu_model", "bios_version"]),
    (4, &["event_id"]),
];

/// How a record travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Metadata as headers, to `/v2/collector`: clients up to 2.3.5.
    Headers,
    /// One JSON object, to `/v3/collector`: clients from 2.4.0 on.
    Json,
}

impl Form {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Headers, Self::Json];

    /// Where it goes.
    pub fn path(self) -> &'static str {
        match self {
            Self::Headers => "/v2/collector",
            Self::Json => "/v3/collector",
        }
    }
}

/// A record that a client could send, or what somebody made of one.
#[derive(Debug, Clone)]
pub struct Record {
    fields: Vec<(String, Vec<u8>)>,
    /// The body; in JSON the value of `payload`.
    pub payload: Vec<u8>,
}

/// 32 digits that no other record of this run has.
pub fn event_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    static BEGUN: std::sync::LazyLock<u64> = std::sync::LazyLock::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        u64::try_from(since.as_nanos()).unwrap()
    });
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:016x}{number:016x}", *BEGUN)
}

impl Default for Record {
    fn default() -> Self {
        Self::new()
    }
}

impl Record {
    /// A valid record of format 4 that is like no other.
    pub fn new() -> Self {
        let event = event_id();
        let fields = BASE
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        let record = Self {
            fields: fields.collect(),
            payload: format!("hello {event}\n\n").into_bytes(),
        };
        record.set("event_id", event).set(TID_HEADER, TID)
    }

    /// With another value of a field, or with one more.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref().to_vec();
        match self.fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value,
            None => self.fields.push((name.to_owned(), value)),
        }
        self
    }

    /// Without a field.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(known, _)| known != name);
        self
    }

    /// With another payload.
    #[must_use]
    pub fn payload(mut self, payload: impl AsRef<[u8]>) -> Self {
        self.payload = payload.as_ref().to_vec();
        self
    }

    /// In an older format, without what came later.
    #[must_use]
    pub fn format(self, format: u8) -> Self {
        let later = LATER.iter().filter(|(since, _)| *since > format);
        let names = later.flat_map(|(_, names)| *names);
        let record = names.fold(self, |record, name| record.without(name));
        record.set("record_format_version", format.to_string())
    }

    /// A field as text.
    pub fn get(&self, name: &str) -> Option<String> {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    /// The event id.
    pub fn event(&self) -> String {
        self.get("event_id").unwrap_or_default()
    }

    /// The names and values of the fields that are headers in this form.
    pub fn headers(&self, form: Form) -> Vec<(&str, &[u8])> {
        let is_header =
            |name: &str| form == Form::Headers || [TID_HEADER, EXTERNAL_HEADER].contains(&name);
        let fields = self.fields.iter().filter(|(name, _)| is_header(name));
        fields
            .map(|(name, value)| (name.as_str(), value.as_slice()))
            .collect()
    }

    /// The body in this form.
    pub fn body(&self, form: Form) -> Vec<u8> {
        if form == Form::Headers {
            return self.payload.clone();
        }
        let mut body = b"{".to_vec();
        for (name, value) in &self.fields {
            if ![TID_HEADER, EXTERNAL_HEADER].contains(&name.as_str()) {
                body.extend([json_text(name.as_bytes()), b":".to_vec()].concat());
                body.extend([json_text(value), b",".to_vec()].concat());
            }
        }
        body.extend(
            [
                b"\"payload\":".to_vec(),
                json_text(&self.payload),
                b"}".to_vec(),
            ]
            .concat(),
        );
        body
    }

    /// A whole request after which the server closes.
    pub fn request(&self, form: Form) -> Vec<u8> {
        self.request_to(form, form.path())
    }

    /// The same to another path.
    pub fn request_to(&self, form: Form, path: &str) -> Vec<u8> {
        let body = self.body(form);
        let mut request =
            format!("POST {path} HTTP/1.1\r\nHost: collector\r\nAccept: */*\r\n").into_bytes();
        for (name, value) in self.headers(form) {
            request.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        let kind = match form {
            Form::Headers => "text",
            Form::Json => "json",
        };
        let length = body.len();
        request.extend(format!("Content-Type: application/{kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").into_bytes());
        request.extend(body);
        request
    }
}

/// A JSON string with the bytes of `text`, also those that are not UTF-8: the client copies them.
fn json_text(text: &[u8]) -> Vec<u8> {
    let mut written = b"\"".to_vec();
    for byte in text {
        match byte {
            b'"' | b'\\' => written.extend([b'\\', *byte]),
            0..0x20 => written.extend(format!("\\u{byte:04x}").into_bytes()),
            _ => written.push(*byte),
        }
    }
    written.push(b'"');
    written
}

/// Where a collector keeps its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// In a file.
    Sqlite,
    /// In a database of its own of the tests' PostgreSQL.
    Postgres,
}

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    /// The program.
    pub program: Program,
    database: Option<Database>,
}

/// The configuration of a collector with this section `records`. Unless it says otherwise, one
/// machine may send as fast as it can: tests have few machines.
pub fn configuration(more: &Value, mut records: Value) -> String {
    if records["machine_rate"].is_null() {
        records["machine_rate"] = json!({"per_minute": 1_000_000, "burst": 1_000_000});
    }
    let mut whole = json!({
        "roles": ["collector"],
        "listen": "127.0.0.1:0",
        "data_dir": "./data",
        "collector": {"records": records},
    });
    if let (Value::Object(whole), Value::Object(more)) = (&mut whole, more) {
        whole.extend(more.clone());
    }
    whole.to_string()
}

impl Collector {
    /// Starts one; none, and a skipped test, without the database.
    pub async fn start(store: Store, records: Value) -> Option<Self> {
        Self::start_with(store, json!({}), records).await
    }

    /// The same with more of the configuration, such as other roles.
    pub async fn start_with(store: Store, mut more: Value, records: Value) -> Option<Self> {
        let database = match store {
            Store::Sqlite => None,
            Store::Postgres => Some(Database::create(&need("POSTGRES_URL")?).await),
        };
        if let Some(database) = &database {
            more["state"] = json!(database.url);
        }
        let program = Program::start(&configuration(&more, records)).await;
        Some(Self { program, database })
    }

    /// One with a file.
    pub async fn start_small(records: Value) -> Self {
        let program = Program::start(&configuration(&json!({}), records)).await;
        Self {
            program,
            database: None,
        }
    }

    /// Ends it and removes its database.
    pub async fn remove(self) {
        drop(self.program);
        if let Some(database) = self.database {
            database.remove().await;
        }
    }

    /// Sends a record, again when the collector is too busy to keep it, as clients do. On a loaded
    /// machine a database may take longer than it waits; what then turns out to be there already was
    /// kept by an attempt before.
    pub async fn post(&self, form: Form, record: &Record) -> Reply {
        let request = record.request(form);
        let mut is_again = false;
        let reply = wait::until("a record is taken", wait::SOON, async || {
            let reply = self.raw(&request).await;
            is_again |= reply.status == 503;
            (reply.status != 503).then_some(reply)
        });
        let mut reply = reply.await;
        if is_again && reply.header(OUTCOME) == "repeated" {
            reply
                .headers
                .insert(OUTCOME, HeaderValue::from_static("kept"));
        }
        reply
    }

    /// Sends a record that has to be kept; its id.
    pub async fn keep(&self, form: Form, record: &Record) -> i64 {
        let reply = self.post(form, record).await;
        assert_eq!(
            (reply.status, reply.header(OUTCOME).as_str()),
            (201, "kept"),
            "{}",
            reply.text()
        );
        reply.json()["id"].as_i64().unwrap()
    }

    /// Sends these bytes and reads until the end.
    pub async fn raw(&self, request: &[u8]) -> Reply {
        exchange(self.program.main, request).await
    }

    /// `GET`, whatever comes.
    pub async fn get(&self, path: &str) -> Reply {
        self.program.main("GET", path).await
    }

    /// `GET` of JSON that has to be there.
    pub async fn json(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()
    }

    /// The record of an id at `/api/records`; nothing when there is none.
    pub async fn original(&self, id: i64) -> Value {
        let path = format!("/api/records?from_id={id}&before_id={}", id + 1);
        first_of(&self.json(&path).await["records"])
    }

    /// What is in quarantine under an id; nothing when there is nothing.
    pub async fn quarantined(&self, id: i64) -> Value {
        let path = format!("/v1/records/quarantine?limit=1&before={}", id + 1);
        let found = first_of(&self.json(&path).await["submissions"]);
        if found["id"] == id {
            found
        } else {
            Value::Null
        }
    }

    /// Changes rows behind the collector's back; how many.
    pub async fn execute(&self, sql: &str) -> u64 {
        let sql = AssertSqlSafe(sql.to_owned());
        match &self.database {
            Some(database) => {
                let mut connection = PgConnection::connect(&database.url).await.unwrap();
                let done = connection.execute(sql).await.unwrap();
                done.rows_affected()
            }
            None => {
                let mut connection = self.file().await;
                let done = connection.execute(sql).await.unwrap();
                done.rows_affected()
            }
        }
    }

    /// The number that a question gives.
    pub async fn count(&self, sql: &'static str) -> i64 {
        match &self.database {
            Some(database) => {
                let mut connection = PgConnection::connect(&database.url).await.unwrap();
                sqlx::query_scalar(sql).fetch_one(&mut connection).await
            }
            None => {
                sqlx::query_scalar(sql)
                    .fetch_one(&mut self.file().await)
                    .await
            }
        }
        .unwrap()
    }

    async fn file(&self) -> SqliteConnection {
        let path = self.program.path("data/state.db");
        let url = format!("sqlite://{}", path.display());
        SqliteConnection::connect(&url).await.unwrap()
    }

    /// The newest ids of records and of the quarantine, 0 where there is nothing.
    pub async fn newest(&self) -> (i64, i64) {
        let records = self.json("/v1/records?limit=1").await;
        let quarantine = self.json("/v1/records/quarantine?limit=1").await;
        let id = |value: &Value| value["id"].as_i64().unwrap_or_default();
        (
            id(&records["records"][0]),
            id(&quarantine["submissions"][0]),
        )
    }
}

fn first_of(list: &Value) -> Value {
    let all = list.as_array().and_then(|all| all.first());
    all.cloned().unwrap_or_default()
}

/// Sends these bytes on a fresh connection and reads until the end.
pub async fn exchange(address: SocketAddr, request: &[u8]) -> Reply {
    let begun = Instant::now();
    let answer = client::raw(address, request, EXCHANGE_LIMIT).await;
    let answer = answer.expect("the server neither answered nor closed");
    parse(&answer, begun.elapsed())
}

/// The answer that these bytes are; status 0 when they are none.
pub fn parse(answer: &[u8], elapsed: Duration) -> Reply {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.map_or(answer.len(), |end| end + 4));
    let head = String::from_utf8_lossy(head).into_owned();
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default();
    let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    Reply {
        status: status.unwrap_or(0),
        headers,
        body: Bytes::copy_from_slice(body),
        elapsed,
    }
}
