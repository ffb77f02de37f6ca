//! A collector of artefacts on a listener of its own, and what its clients send: krkn's requests, and
//! S3's by signed links.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};
use wire::auth::basic;
use wire::s3::request::Link;

use crate::client::{self, Connection, Reply};
use crate::program::{Launch, Program};

/// The user that the configuration names.
pub const USER: &str = "krkn";
/// The password in their file.
pub const PASSWORD: &str = "a-long-password";

/// A running collector.
#[derive(Debug)]
pub struct Store {
    /// The program.
    pub program: Program,
    /// Its own listener.
    pub address: SocketAddr,
}

/// The section `collector.artefacts` with the user, and more.
pub fn section(more: Value) -> Value {
    let mut section = json!({
        "users": [{"name": USER, "password": {"file": "krkn.password"}}],
        "quota": {"keep_free": "1B"},
    });
    if let (Value::Object(section), Value::Object(more)) = (&mut section, more) {
        section.extend(more);
    }
    section
}

/// The section of a collector whose objects are in a bucket of `inner`.
pub fn in_bucket(inner: &Store, secret: &str) -> Value {
    in_bucket_of(&inner.url(""), (USER, secret))
}

/// The same with the bucket `artefacts` of any store.
pub fn in_bucket_of(endpoint: &str, (key, secret): (&str, &str)) -> Value {
    let endpoint = wire::s3::key::percent_encode(endpoint, false);
    section(json!({
        "objects": format!(
            "s3://artefacts/kept/here?endpoint={endpoint}&allow_http=true&region=eu-central-1"
        ),
        "access_key": key,
        "secret_key": secret,
    }))
}

impl Store {
    /// Starts one with this section.
    pub async fn start(section: Value) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), section).await
    }

    /// The same at an address.
    pub async fn start_at(listen: SocketAddr, section: Value) -> Self {
        Self::start_with(listen, section, json!({})).await
    }

    /// The same with more at the top of the configuration.
    pub async fn start_with(listen: SocketAddr, section: Value, more: Value) -> Self {
        let mut whole = json!({
            "roles": ["collector"],
            "listen": "127.0.0.1:0",
            "data_dir": "./data",
            "collector": {"listen": listen, "artefacts": section},
        });
        if let (Value::Object(whole), Value::Object(more)) = (&mut whole, more) {
            whole.extend(more);
        }
        let launch =
            Launch::new(&whole.to_string()).file("krkn.password", &format!("{PASSWORD}\n"));
        let program = launch.start().await;
        let address = own_listener(&program);
        Self { program, address }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request as it is.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let reply = client::send(method, &self.url(path), headers, body).await;
        reply.unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.program.stderr()))
    }

    /// A `GET` with the user's credentials.
    pub async fn get(&self, path: &str) -> Reply {
        let credentials = basic(USER, PASSWORD);
        self.send("GET", path, &[("authorization", &credentials)], "")
            .await
    }

    /// The link for a file of a run.
    pub async fn link(&self, run: &str, name: &str) -> String {
        let encode = |text: &str| wire::s3::key::percent_encode(text, false);
        let path = format!(
            "/presigned-url?request_id={}&remote_filename={}",
            encode(run),
            encode(name)
        );
        let reply = self.get(&path).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.text()
    }

    /// Uploads as krkn does: a link, then the bare bytes.
    pub async fn upload(&self, run: &str, name: &str, body: &str) -> Reply {
        let link = self.link(run, name).await;
        client::send("PUT", &link, &[], body).await.unwrap()
    }

    /// The same with bytes that are no text.
    pub async fn upload_bytes(&self, run: &str, name: &str, body: &[u8]) {
        let link = self.link(run, name).await;
        let path = link.split_once(&self.address.to_string()).unwrap().1;
        let connection = Connection::open(&self.address.to_string()).await;
        let body = Bytes::copy_from_slice(body);
        let reply = connection
            .unwrap()
            .send_bytes(("PUT", path), &[], body)
            .await
            .unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    /// Posts telemetry.
    pub async fn post(&self, run: &str, group: &str, body: &Value) -> Reply {
        let path = format!("/telemetry?request_id={run}&telemetry_group={group}");
        let credentials = basic(USER, PASSWORD);
        let headers = [
            ("authorization", credentials.as_str()),
            ("content-type", "application/json"),
        ];
        self.send("POST", &path, &headers, &body.to_string()).await
    }

    /// What is below a path, as krkn-telemetry shows it.
    pub async fn navigate(&self, path: &str) -> Vec<Value> {
        let reply = self.get(&format!("/navigate{path}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json().as_array().unwrap().clone()
    }

    /// A request to the bucket by a link that the user signed themselves. The path is behind
    /// `/artefacts`, encoded.
    pub async fn s3(
        &self,
        method: &str,
        path: &str,
        parameters: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let url = self.signed((USER, PASSWORD), (method, path), parameters, 60);
        client::send(method, &url, &[], body).await.unwrap()
    }

    /// Such a link.
    pub fn signed(
        &self,
        credentials: (&str, &str),
        (method, path): (&str, &str),
        parameters: &[(&str, &str)],
        expires: u64,
    ) -> String {
        let path = format!("/artefacts{path}");
        let host = self.address.to_string();
        let link = Link {
            method,
            host: &host,
            path: &path,
            parameters,
            region: "eu-central-1",
            expires,
        };
        let query = link.sign(credentials, now());
        format!("http://{host}{path}?{query}")
    }

    /// Whether its objects are in a folder of the data.
    pub fn has_folder(&self) -> bool {
        self.program.path("data/artefacts").exists()
    }

    /// How many files there are of artefacts in the data.
    pub fn files_below_data(&self) -> usize {
        let folder = self.program.path("data/artefacts");
        if folder.exists() { count(&folder) } else { 0 }
    }

    /// How many files there are below a folder of the data.
    pub fn files_below(&self, folder: &str) -> usize {
        count(&self.program.path("data/artefacts").join(folder))
    }
}

/// Where a program's collector listens.
pub fn own_listener(program: &Program) -> SocketAddr {
    let listeners = std::fs::read(program.path("data/listeners.json")).unwrap();
    let listeners: Value = serde_json::from_slice(&listeners).unwrap();
    listeners["collector"].as_str().unwrap().parse().unwrap()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

fn count(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap();
    let count = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        if path.is_dir() { count(&path) } else { 1 }
    };
    entries.map(count).sum()
}
