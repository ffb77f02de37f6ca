//! What the ways of the tunnel benchmark lead to: a port whose first byte says what it shall do, and a
//! tiny HTTP server. Both cost as little as possible, since they run beside what is measured.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// First byte: send without end.
pub const SOURCE: u8 = b'd';
/// First byte: give back what comes.
pub const ECHO: u8 = b'e';
/// First byte: swallow what comes.
pub const SINK: u8 = b'u';
/// What is written and read at once.
const CHUNK_BYTES: usize = 128 << 10;
/// The head of a request.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// Thirteen bytes of body.
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 13\r\n\r\nHello, world!";

/// The two servers. They live as long as the runtime.
#[derive(Debug, Clone, Copy)]
pub struct Targets {
    /// Bytes.
    pub tcp: SocketAddr,
    /// HTTP.
    pub http: SocketAddr,
}

impl Targets {
    /// Starts both.
    pub async fn start() -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let targets = Self {
            tcp: tcp.local_addr().unwrap(),
            http: http.local_addr().unwrap(),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = tcp.accept().await {
                // A client that leaves is no failure.
                tokio::spawn(async move { drop(serve(stream).await) });
            }
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = http.accept().await {
                tokio::spawn(async move { drop(serve_http(stream).await) });
            }
        });
        targets
    }
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    match stream.read_u8().await? {
        SOURCE => {
            let chunk = vec![7; CHUNK_BYTES];
            loop {
                stream.write_all(&chunk).await?;
            }
        }
        SINK => {
            let mut buffer = vec![0; CHUNK_BYTES];
            while stream.read(&mut buffer).await? > 0 {}
        }
        _ => {
            let mut buffer = vec![0; 4096];
            loop {
                let length = stream.read(&mut buffer).await?;
                if length == 0 {
                    break;
                }
                stream.write_all(&buffer[..length]).await?;
            }
        }
    }
    Ok(())
}

async fn serve_http(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; HEAD_BYTES_MAX];
    let mut filled = 0;
    loop {
        let length = stream.read(&mut buffer[filled..]).await?;
        if length == 0 {
            return Ok(());
        }
        filled += length;
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            filled = 0;
            stream.write_all(ANSWER).await?;
        }
    }
}
