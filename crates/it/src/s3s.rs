//! A real S3 server, s3s-fs, with its data in a temporary directory: it checks signatures, expiry and
//! checksums.

use std::fs::File;
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
    child: Child,
}

impl S3Server {
    /// The key that it knows, and its secret.
    pub const KEY: (&str, &str) = ("AKEXAMPLE", "secret/of+s3");

    /// Starts `program` with an empty bucket of this name.
    pub async fn start(program: &str, bucket: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("data").join(bucket)).unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let port = free_port();
        let child = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args([
                "--access-key",
                Self::KEY.0,
                "--secret-key",
                Self::KEY.1,
                "data",
            ])
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        let server = Self {
            endpoint: format!("http://127.0.0.1:{port}"),
            directory,
            child,
        };
        wait::until("s3s-fs is ready", READY_LIMIT, async || {
            client::get(&server.endpoint, &[]).await.ok()
        })
        .await;
        server
    }

    /// What it has written.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(drop)) {
            eprintln!("cannot end s3s-fs: {error}");
        }
    }
}
