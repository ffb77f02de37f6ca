//! A real S3 server, s3s-fs, with its data in a temporary directory: it checks signatures, expiry and
//! checksums.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::client;
use crate::prometheus::free_port;
use crate::wait;

/// The longest its start may take.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// The running server.
#[derive(Debug)]
pub struct S3Server {
    /// Where it is.
    pub endpoint: String,
    directory: tempfile::TempDir,
    program: String,
    port: u16,
    child: Child,
}

impl S3Server {
    /// The key that it knows, and its secret.
    pub const KEY: (&str, &str) = ("AKEXAMPLE", "secret/of+s3");

    /// Starts `program` with an empty bucket of this name.
    pub async fn start(program: &str, bucket: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("data").join(bucket)).unwrap();
        let port = free_port();
        let server = Self {
            endpoint: format!("http://127.0.0.1:{port}"),
            child: spawn(program, port, directory.path()),
            program: program.to_owned(),
            port,
            directory,
        };
        server.ready().await;
        server
    }

    async fn ready(&self) {
        wait::until("s3s-fs is ready", READY_LIMIT, async || {
            client::get(&self.endpoint, &[]).await.ok()
        })
        .await;
    }

    /// Ends it; nobody answers at its port then.
    pub fn stop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).unwrap();
    }

    /// Starts it again, with what it had.
    pub async fn restart(&mut self) {
        self.child = spawn(&self.program, self.port, self.directory.path());
        self.ready().await;
    }

    /// The files of a bucket's objects.
    pub fn files(&self, bucket: &str) -> PathBuf {
        self.directory.path().join("data").join(bucket)
    }

    /// What it has written.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

fn spawn(program: &str, port: u16, directory: &Path) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(directory.join("log"))
        .unwrap();
    let (key, secret) = S3Server::KEY;
    Command::new(program)
        .args(["--host", "127.0.0.1", "--port", &port.to_string()])
        .args(["--access-key", key, "--secret-key", secret, "data"])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::from(log.try_clone().unwrap()))
        .stderr(Stdio::from(log))
        .spawn()
        .unwrap()
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(drop)) {
            eprintln!("cannot end s3s-fs: {error}");
        }
    }
}
