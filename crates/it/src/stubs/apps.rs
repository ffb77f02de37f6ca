//! Applications as they run on a node: HTTP with streams and WebSocket, and TCP that echoes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A running application.
#[derive(Debug)]
pub struct App {
    /// Where it listens.
    pub address: SocketAddr,
    /// Lets the second half of `/stream` go.
    pub release: Arc<Notify>,
    task: JoinHandle<()>,
}

impl App {
    /// An application that speaks HTTP: `/stream` waits in its middle, `/upload` counts, `/ws`
    /// echoes frames of WebSocket, `/away` redirects, `/hang` never answers, and every other path
    /// tells how it was asked.
    pub async fn http() -> Self {
        Self::http_on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// The same on this listener.
    pub fn http_on(listener: TcpListener) -> Self {
        let release = Arc::new(Notify::new());
        let released = Arc::clone(&release);
        let router = Router::new()
            .route("/stream", get(move || async move { stream(released) }))
            .route("/upload", post(upload))
            .route("/endless", get(|| async { endless() }))
            .route("/ws", get(websocket))
            .route(
                "/away",
                get(|| async { (StatusCode::FOUND, [("location", "/here?x=y")]) }),
            )
            .route("/hang", any(std::future::pending::<Response>))
            .fallback(told);
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            address,
            release,
            task,
        }
    }

    /// An application that breaks each connection once something has come.
    pub async fn resetting() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                drop(stream.read_u8().await);
                stream.set_zero_linger().unwrap();
            }
        });
        Self {
            address,
            release: Arc::default(),
            task,
        }
    }

    /// An application that sends back what it gets.
    pub async fn echo() -> Self {
        Self::echo_on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// The same on this listener.
    pub fn echo_on(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    drop(tokio::io::copy(&mut read, &mut write).await);
                    drop(write.shutdown().await);
                });
            }
        });
        Self {
            address,
            release: Arc::default(),
            task,
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn told(request: Request) -> Response {
    let pairs = request.headers().iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.to_string(), json!(value))
    });
    let headers: serde_json::Map<_, _> = pairs.collect();
    let target = request.uri().to_string();
    let told = json!({"method": request.method().as_str(), "target": target, "headers": headers});
    // One header of each sort that must not pass, and one that must.
    let headers = [("keep-alive", "timeout=5"), ("x-app", "yes")];
    (headers, axum::Json(told)).into_response()
}

fn stream(release: Arc<Notify>) -> Response {
    let parts = stream::unfold(0, move |part| {
        let release = Arc::clone(&release);
        async move {
            match part {
                0 => Some((Ok::<_, std::io::Error>(Bytes::from_static(b"one\n")), 1)),
                1 => {
                    release.notified().await;
                    Some((Ok(Bytes::from_static(b"two\n")), 2))
                }
                _ => None,
            }
        }
    });
    Response::new(Body::from_stream(parts))
}

/// Bytes as fast as they are taken; it ends only when nobody takes them any more.
fn endless() -> Response {
    let block = Bytes::from(vec![b'x'; 64 << 10]);
    let blocks = stream::unfold((), move |()| {
        let block = block.clone();
        async move { Some((Ok::<_, std::io::Error>(block), ())) }
    });
    Response::new(Body::from_stream(blocks))
}

async fn upload(request: Request) -> Response {
    let mut body = request.into_body();
    let (mut length, mut frames) = (0, 0);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        length += frame.data_ref().map_or(0, Bytes::len);
        frames += 1;
    }
    axum::Json(json!({"length": length, "frames": frames})).into_response()
}

/// Echoes one short frame after the other (RFC 6455, 5.2): enough for a client of our own.
async fn websocket(headers: HeaderMap, mut request: Request) -> Response {
    if headers
        .get("upgrade")
        .is_none_or(|value| value != "websocket")
    {
        return StatusCode::UPGRADE_REQUIRED.into_response();
    }
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let mut stream = TokioIo::new(upgraded);
        let mut head = [0; 6];
        while stream.read_exact(&mut head).await.is_ok() {
            let length = usize::from(head[1] & 0x7f);
            let mut payload = vec![0; length];
            stream.read_exact(&mut payload).await.unwrap();
            for (index, byte) in payload.iter_mut().enumerate() {
                *byte ^= head[2 + index % 4];
            }
            let mut frame = vec![head[0], u8::try_from(length).unwrap()];
            frame.extend(payload);
            stream.write_all(&frame).await.unwrap();
        }
    });
    let headers = [("connection", "Upgrade"), ("upgrade", "websocket")];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// A masked text frame of a client (RFC 6455, 5.3).
pub fn masked(text: &str) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 126, "only short frames here");
    let mut frame = vec![0x81, 0x80 | length];
    frame.extend(mask);
    let bytes = text.bytes().enumerate();
    frame.extend(bytes.map(|(index, byte)| byte ^ mask[index % 4]));
    frame
}

/// How long a test waits for one step of an application.
pub const STEP: Duration = Duration::from_secs(10);
