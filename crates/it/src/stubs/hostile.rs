//! Upstreams that mean harm or are broken: pages without end, far too large, not text, not
//! consistent.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use futures_util::StreamExt;
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use super::server::{Answer, Server, answer, handler, text_page, with_header};

/// The size of the large page, in MB.
const LARGE_MB: usize = 50;

/// A server with one hostile page per path.
pub async fn start() -> Server {
    Server::plain(handler(|seen| async move {
        match seen.path.as_str() {
            "/endless" => stream(usize::MAX),
            "/large" => stream(LARGE_MB),
            "/latin1" => text_page(b"# TYPE a gauge\na{x=\"caf\xe9\"} 1\n".to_vec()),
            "/binary" => text_page((0..=255).cycle().take(4096).collect::<Vec<u8>>()),
            "/duplicates" => text_page(
                "# HELP a One\n# TYPE a gauge\na{x=\"1\"} 1\n\
                 # HELP b Between\n# TYPE b gauge\nb 1\n\
                 # HELP a Two\n# TYPE a counter\na{x=\"2\"} 2\na{x=\"1\"} 3\n",
            ),
            "/html" => with_header(answer(200, "<html><p>Hello"), "content-type", "text/html"),
            "/empty" => answer(200, ""),
            "/long_line" => text_page(format!("a{{x=\"{}\"}} 1\n", "y".repeat(4 << 20))),
            "/json_bomb" => text_page(format!("{{\"x\":[0{}]}}", ",0".repeat(8 << 20))),
            "/bomb" => with_header(answer(200, "not gzip at all"), "content-encoding", "gzip"),
            _ => answer(404, "no such page"),
        }
    }))
    .await
}

/// A page of `megabytes` that is made while it is sent.
fn stream(megabytes: usize) -> Answer {
    let line = "stub_large{member=\"a member with a name of some length\"} 1234567890\n";
    let mut block = line.repeat(1_000_000 / line.len());
    block.push_str(&" ".repeat(999_999 - block.len()));
    block.push('\n');
    let block = Bytes::from(block);
    let frames = futures_util::stream::repeat(block).take(megabytes);
    let frames = frames.map(|block| Ok::<_, Infallible>(Frame::data(block)));
    let body = StreamBody::new(frames)
        .map_err(|never| -> io::Error { match never {} })
        .boxed();
    let answer = Response::builder()
        .header("content-type", "text/plain; version=0.0.4")
        .body(body);
    answer.unwrap()
}
