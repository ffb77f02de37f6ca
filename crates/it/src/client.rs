//! A small HTTP client over plain TCP: one request on a fresh connection, a kept connection, and
//! raw bytes for what no proper client would send. It never follows a redirect and never retries.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest any request of the tests may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(90);

/// What came back.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Headers as sent.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// From before the connect until the last byte.
    pub elapsed: Duration,
}

impl Reply {
    /// The body as text; bytes that are not UTF-8 are shown as replacement characters.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first line of the body: where the program puts the reason of an error.
    pub fn reason(&self) -> String {
        self.text().lines().next().unwrap_or_default().to_owned()
    }

    /// One header as text, empty when absent.
    pub fn header(&self, name: &str) -> String {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!(
                "not JSON ({error}), status {}: {}",
                self.status,
                self.text()
            ),
        }
    }
}

/// What went wrong below HTTP.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Sends one request on a fresh connection.
pub async fn send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Reply, Failure> {
    let uri: http::Uri = url.parse()?;
    let authority = uri.authority().ok_or("no authority")?.to_string();
    let path = uri
        .path_and_query()
        .map_or("/", http::uri::PathAndQuery::as_str);
    let begun = Instant::now();
    let mut connection = Connection::open(&authority).await?;
    let mut headers = headers.to_vec();
    headers.push(("connection", "close"));
    let mut reply = connection.send(method, path, &headers, body).await?;
    reply.elapsed = begun.elapsed();
    Ok(reply)
}

/// `GET` on a fresh connection.
pub async fn get(url: &str, headers: &[(&str, &str)]) -> Result<Reply, Failure> {
    send("GET", url, headers, "").await
}

/// A kept connection.
#[derive(Debug)]
pub struct Connection {
    authority: String,
    sender: SendRequest<Full<Bytes>>,
    driver: tokio::task::JoinHandle<()>,
}

impl Connection {
    /// Connects to `host:port`.
    pub async fn open(authority: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        Self::over(stream, authority).await
    }

    /// The same over a connection that is there already.
    pub async fn over<S>(stream: S, authority: &str) -> Result<Self, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, driver) = handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move {
            // An error of the connection is also the error of the request that was on it.
            drop(driver.await);
        });
        Ok(Self {
            authority: authority.to_owned(),
            sender,
            driver,
        })
    }

    /// Whether the peer has closed it.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends one request and reads the whole answer.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Reply, Failure> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        self.send_bytes((method, path), headers, body).await
    }

    /// The same with a body that need not be text.
    pub async fn send_bytes(
        &mut self,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Reply, Failure> {
        let begun = Instant::now();
        let mut request = Request::builder().method(method).uri(path);
        request = request.header("host", &self.authority);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body))?;
        let exchange = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, Failure>((head, body))
        };
        let (head, body) = tokio::time::timeout(REQUEST_LIMIT, exchange).await??;
        let status = head.status.as_u16();
        Ok(Reply {
            status,
            headers: head.headers,
            body,
            elapsed: begun.elapsed(),
        })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Sends `request` byte for byte and reads until the peer closes; nothing when it still has not
/// after `limit`.
pub async fn raw(address: SocketAddr, request: &[u8], limit: Duration) -> Option<Vec<u8>> {
    let mut answer = Vec::new();
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        // The peer may answer and close before it has read everything: that is no failure here.
        drop(stream.write_all(request).await);
        stream.read_to_end(&mut answer).await
    };
    let closed = tokio::time::timeout(limit, exchange).await.is_ok();
    closed.then_some(answer)
}

/// Sends `request` byte for byte and gives the status code, 0 when the peer closed without a word.
/// Fails when it neither answers nor closes.
pub async fn raw_status(address: SocketAddr, request: &[u8]) -> u16 {
    let answer = raw(address, request, Duration::from_secs(15)).await;
    let answer = answer.expect("neither answered nor cut");
    let text = String::from_utf8_lossy(&answer);
    let status = text
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.split(' ').next());
    status.and_then(|word| word.parse().ok()).unwrap_or(0)
}
