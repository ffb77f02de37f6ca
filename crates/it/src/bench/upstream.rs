//! The page that everything is measured with: a thread per connection, a ready-made answer, a check
//! of the token, nothing else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use crate::stubs::page;

/// The token that the page wants.
pub const TOKEN: &str = "bench-token";

/// Series of the usual page.
pub const SERIES: usize = 300;
/// Series of the large page.
pub const LARGE_SERIES: usize = 10_000;

/// Stack of a connection's thread: a thousand of them must fit.
const STACK_BYTES: usize = 64 * 1024;

/// The running upstream. It lives as long as the process.
#[derive(Debug)]
pub struct Upstream {
    /// Where it listens: `/metrics` and `/large`.
    pub address: SocketAddr,
    /// Bytes of the large page.
    pub large_bytes: usize,
}

impl Upstream {
    /// Starts it.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let large = page(LARGE_SERIES);
        let large_bytes = large.len();
        let answers = Arc::new((answer(&page(SERIES)), answer(&large)));
        spawn(move || {
            for stream in listener.incoming().flatten() {
                let answers = Arc::clone(&answers);
                spawn(move || serve(stream, &answers));
            }
        });
        Self {
            address,
            large_bytes,
        }
    }
}

/// The whole answer, head and body.
fn answer(page: &str) -> Vec<u8> {
    let length = page.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\n\
         content-length: {length}\r\n\r\n{page}"
    )
    .into_bytes()
}

/// A thread with a small stack.
fn spawn(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(work)
        .unwrap();
}

/// Answers requests until the peer closes.
fn serve(mut stream: TcpStream, answers: &(Vec<u8>, Vec<u8>)) {
    let mut buffer = Vec::with_capacity(4096);
    let mut chunk = [0; 4096];
    let bearer = format!("bearer {TOKEN}");
    if stream.set_nodelay(true).is_err() {
        return;
    }
    loop {
        let Ok(length @ 1..) = stream.read(&mut chunk) else {
            return;
        };
        buffer.extend_from_slice(&chunk[..length]);
        if !buffer.ends_with(b"\r\n\r\n") {
            continue;
        }
        let head = String::from_utf8_lossy(&buffer).to_ascii_lowercase();
        let answer: &[u8] = match (head.contains(&bearer), head.starts_with("get /large ")) {
            (false, _) => b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n",
            (true, false) => &answers.0,
            (true, true) => &answers.1,
        };
        buffer.clear();
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}
