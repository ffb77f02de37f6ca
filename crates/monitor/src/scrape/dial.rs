//! Ways that a `prometheus.yml` asks for beside sockets: a proxy in between, a socket of this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::client::{Dial, Dialing};
use base::duplex::BoxDuplex;
use base::secret::SecretSource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::config::{Proxy, ServerUrl};
use super::http::user_of;

/// The longest head of a proxy's answer.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Where a proxy listens that names no port.
const PORT_DEFAULT: u16 = 80;

/// Connects to a socket of this machine, whatever host is asked for.
#[derive(Debug)]
pub(super) struct UnixDial {
    path: PathBuf,
}

impl UnixDial {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }
}

impl Dial for UnixDial {
    fn dial<'a>(&'a self, _host: &'a str, _port: u16) -> Dialing<'a> {
        Box::pin(async {
            let stream = UnixStream::connect(&self.path).await;
            let stream = stream.map_err(|error| format!("{}: {error}", self.path.display()))?;
            Ok(Box::new(stream) as BoxDuplex)
        })
    }
}

/// Connects to a proxy, and has it connect further when there is a tunnel.
#[derive(Debug)]
pub(super) struct ProxyDial {
    url: ServerUrl,
    /// Headers of the tunnel's request; nothing without a tunnel.
    tunnel: Option<Vec<(String, Vec<SecretSource>)>>,
    environment: Arc<BTreeMap<String, String>>,
}

impl ProxyDial {
    pub(super) fn new(
        url: &ServerUrl,
        tunnel: Option<&Proxy>,
        environment: &Arc<BTreeMap<String, String>>,
    ) -> Self {
        Self {
            url: url.clone(),
            tunnel: tunnel.map(|proxy| proxy.connect_headers.clone()),
            environment: Arc::clone(environment),
        }
    }

    async fn connect(&self, host: &str, port: u16) -> Result<BoxDuplex, String> {
        let proxy = self.url.host_str().unwrap_or_default();
        let proxy = proxy.trim_matches(['[', ']']);
        let place = (proxy, self.url.port().unwrap_or(PORT_DEFAULT));
        let failed = |error: std::io::Error| format!("proxy {}:{}: {error}", place.0, place.1);
        let mut stream = TcpStream::connect(place).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        if let Some(headers) = &self.tunnel {
            let request = self.request((host, port), headers)?;
            stream.write_all(request.as_bytes()).await.map_err(failed)?;
            let head = read_head(&mut stream).await.map_err(failed)?;
            check(&head).map_err(|reason| format!("proxy {}:{}: {reason}", place.0, place.1))?;
        }
        Ok(Box::new(stream))
    }

    /// The request for a tunnel (RFC 9110, 9.3.6).
    fn request(
        &self,
        (host, port): (&str, u16),
        headers: &[(String, Vec<SecretSource>)],
    ) -> Result<String, String> {
        let host = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let mut request = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n");
        let user = user_of(&self.url);
        if let Some(value) = user.as_ref().and_then(|value| value.to_str().ok()) {
            request.extend(["Proxy-Authorization: ", value, "\r\n"]);
        }
        for (name, values) in headers {
            for value in values {
                let value = value
                    .resolve(&self.environment)
                    .map_err(|error| format!("proxy_connect_header: {error}"))?;
                if value.expose().contains(['\r', '\n']) {
                    return Err("proxy_connect_header: a value has a line end in it".to_owned());
                }
                request.extend([name, ": ", value.expose(), "\r\n"]);
            }
        }
        request.push_str("\r\n");
        Ok(request)
    }
}

impl Dial for ProxyDial {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialing<'a> {
        Box::pin(self.connect(host, port))
    }
}

/// Byte for byte, because what follows the head belongs to the tunnel.
async fn read_head(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD_BYTES_MAX {
            let message = "the head of the answer is too long";
            return Err(std::io::Error::other(message));
        }
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

fn check(head: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(head);
    let line = text.lines().next().unwrap_or_default();
    let status = line.split(' ').nth(1).unwrap_or_default();
    if status.starts_with('2') {
        return Ok(());
    }
    let shown: String = line.chars().take(80).collect();
    Err(format!("it opens no tunnel: `{}`", shown.escape_debug()))
}
