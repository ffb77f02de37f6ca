//! A server whose pages tests choose, over real sockets.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base::duplex::Duplex;
use base::supervise::Supervisor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

/// An answer: the head without the length, and the body.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Page {
    pub(crate) fn text(body: &str) -> Self {
        Self::of("text/plain; version=0.0.4", body)
    }

    pub(crate) fn of(content_type: &str, body: &str) -> Self {
        Self {
            status: 200,
            headers: format!("content-type: {content_type}\r\n"),
            body: body.as_bytes().to_vec(),
        }
    }

    pub(crate) fn status(status: u16, headers: &str) -> Self {
        Self {
            status,
            headers: headers.to_owned(),
            body: Vec::new(),
        }
    }
}

/// The server and what was asked of it.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pages: Arc<Mutex<HashMap<String, Page>>>,
    requests: Arc<Mutex<Vec<String>>>,
    folder: Arc<tempfile::TempDir>,
}

impl Server {
    pub(crate) async fn start(supervisor: &Supervisor) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let server = Self {
            address: listener.local_addr().expect("an address"),
            pages: Arc::default(),
            requests: Arc::default(),
            folder: Arc::new(tempfile::tempdir().expect("a folder")),
        };
        let (own, parent) = (server.clone(), supervisor.clone());
        supervisor.spawn_background("test server", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let own = own.clone();
                parent.spawn_background("test connection", own.serve(stream));
            }
        });
        let listener = UnixListener::bind(server.socket()).expect("bound");
        let (own, parent) = (server.clone(), supervisor.clone());
        supervisor.spawn_background("test server", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let own = own.clone();
                parent.spawn_background("test connection", own.serve(stream));
            }
        });
        server
    }

    /// The socket on which it answers as well.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// What stands at a path, query included, from now on.
    pub(crate) fn put(&self, path: &str, page: Page) {
        let mut pages = self.pages.lock().expect("sound");
        pages.insert(path.to_owned(), page);
    }

    /// Heads of requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("sound").clone()
    }

    async fn serve(self, mut stream: impl Duplex) {
        let mut read = Vec::new();
        loop {
            while !read.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => read.push(byte),
                    Err(_) => return,
                }
            }
            let head = String::from_utf8(std::mem::take(&mut read)).expect("a head");
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            self.requests.lock().expect("sound").push(head);
            let page = self.pages.lock().expect("sound").get(&path).cloned();
            let page = page.unwrap_or_else(|| Page::status(404, ""));
            let head = format!(
                "HTTP/1.1 {} Words\r\n{}content-length: {}\r\n\r\n",
                page.status,
                page.headers,
                page.body.len()
            );
            let sent = async {
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(&page.body).await
            };
            if sent.await.is_err() {
                return;
            }
        }
    }
}
