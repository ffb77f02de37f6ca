//! The way out: straight, or through the HTTP proxy of a network that lets nobody out otherwise.
//! Reading the environment is the caller's; here its words are understood.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use url::Url;

use super::error::{ConnectError, chain};
use super::head::read_head;
use super::limits::{ADDRESSES_MAX, TCP_ADDRESS_LIMIT, TCP_LIMIT, UPGRADE_LIMIT};

/// How connections leave this machine. The default is straight.
#[derive(Debug, Clone, Default)]
pub struct Egress {
    proxy: Option<HttpProxy>,
    exceptions: Vec<Exception>,
}

/// An HTTP proxy that understands `CONNECT`.
#[derive(Debug, Clone)]
struct HttpProxy {
    host: String,
    port: u16,
    /// User and password.
    login: Option<(String, Secret)>,
}

/// One entry of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    Everything,
    Network(IpNet),
    /// A name and the names below it, with the port if one is given.
    Domain(String, Option<u16>),
    Address(IpAddr, Option<u16>),
}

/// Why the settings can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// Not `http://host:port`. The value is not repeated: it may hold a password.
    #[error("the egress proxy must be http://[user:password@]host[:port]: {0}")]
    Url(String),
}

impl Egress {
    /// Understands the values of `HTTPS_PROXY` and `NO_PROXY`. An empty proxy is none.
    pub fn new(https_proxy: &str, no_proxy: &str) -> Result<Self, EgressError> {
        let proxy = match https_proxy.trim() {
            "" => None,
            text => Some(HttpProxy::parse(text)?),
        };
        let words = no_proxy.split([',', ' ']).map(str::trim);
        let exceptions = words
            .filter(|word| !word.is_empty())
            .filter_map(Exception::parse);
        Ok(Self {
            proxy,
            exceptions: exceptions.collect(),
        })
    }

    /// Connects to `host:port`, for bytes to it as they are.
    pub(crate) async fn connect(&self, address: &str) -> Result<TcpStream, ConnectError> {
        let (host, port) = split(address)?;
        match &self.proxy {
            Some(proxy) if !self.is_exempt(host, port) => proxy.connect(address).await,
            _ => dial(host, port).await,
        }
    }

    /// Whether the egress proxy is not used for this. Loopback never goes through it.
    fn is_exempt(&self, host: &str, port: u16) -> bool {
        let ip: Option<IpAddr> = host.parse().ok();
        if host.eq_ignore_ascii_case("localhost") || ip.is_some_and(|ip| ip.is_loopback()) {
            return true;
        }
        self.exceptions
            .iter()
            .any(|exception| exception.covers(host, ip, port))
    }
}

impl Exception {
    /// Nothing if the word has no meaning: other programs ignore such words as well.
    fn parse(word: &str) -> Option<Self> {
        if word == "*" {
            return Some(Self::Everything);
        }
        if let Ok(network) = word.parse() {
            return Some(Self::Network(network));
        }
        if let Ok(address) = word.parse() {
            return Some(Self::Address(address, None));
        }
        if let Ok(address) = word.parse::<SocketAddr>() {
            return Some(Self::Address(address.ip(), Some(address.port())));
        }
        let (name, port) = match word.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (word, None),
        };
        let name = name.trim_start_matches("*.").trim_start_matches('.');
        (!name.is_empty()).then(|| Self::Domain(name.to_ascii_lowercase(), port))
    }

    fn covers(&self, host: &str, ip: Option<IpAddr>, port: u16) -> bool {
        let is_port = |wanted: &Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        match self {
            Self::Everything => true,
            Self::Network(network) => ip.is_some_and(|ip| network.contains(&ip)),
            Self::Address(address, wanted) => ip == Some(*address) && is_port(wanted),
            Self::Domain(name, wanted) => {
                let host = host.to_ascii_lowercase();
                let rest = host.strip_suffix(name.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.')) && is_port(wanted)
            }
        }
    }
}

impl HttpProxy {
    fn parse(text: &str) -> Result<Self, EgressError> {
        let refuse = |reason: &str| EgressError::Url(reason.to_owned());
        let text = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let url = Url::parse(&text).map_err(|error| refuse(&error.to_string()))?;
        if url.scheme() != "http" {
            return Err(refuse("only http:// is understood"));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| refuse("there is no host"))?;
        let login = (!url.username().is_empty()).then(|| {
            let password = unescape(url.password().unwrap_or_default());
            (unescape(url.username()), Secret::new(password))
        });
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(80),
            login,
        })
    }

    async fn connect(&self, address: &str) -> Result<TcpStream, ConnectError> {
        let fail = |reason: String| ConnectError::Egress {
            proxy: self.to_string(),
            address: address.to_owned(),
            reason,
        };
        let mut stream = dial(&self.host, self.port)
            .await
            .map_err(|error| fail(chain(&error)))?;
        let asked = async {
            stream.write_all(self.request(address).as_bytes()).await?;
            read_head(&mut stream).await
        };
        let head = timeout(UPGRADE_LIMIT, asked)
            .await
            .map_err(|_| fail(format!("no answer in {} s", UPGRADE_LIMIT.as_secs())))?
            .map_err(|error| fail(format!("no proper answer: {error}")))?;
        match head.status() {
            Some(200..=299) => Ok(stream),
            // A wrong login is 407 to Squid and 401 to tinyproxy.
            Some(status @ (401 | 407)) => Err(fail(format!(
                "it asks for a login or refuses the one it was given ({status}): check the user and \
                 the password in HTTPS_PROXY"
            ))),
            Some(status) => Err(fail(format!(
                "it answered {status}: check that it may connect there, or exempt the host with \
                 NO_PROXY"
            ))),
            None => Err(fail("it does not speak HTTP/1.1".to_owned())),
        }
    }

    fn request(&self, address: &str) -> String {
        let login = self.login.as_ref().map(|(user, password)| {
            let pair = STANDARD.encode(format!("{user}:{}", password.expose()));
            format!("Proxy-Authorization: Basic {pair}\r\n")
        });
        let login = login.unwrap_or_default();
        format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n{login}\r\n")
    }
}

impl fmt::Display for HttpProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Host and port of `host:port` or `[address]:port`.
pub(crate) fn split(address: &str) -> Result<(&str, u16), ConnectError> {
    let wrong = || ConnectError::Address(address.to_owned());
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let is_plain = host.bytes().all(|byte| byte.is_ascii_graphic());
    if host.is_empty() || !is_plain {
        return Err(wrong());
    }
    Ok((host, port.parse().map_err(|_| wrong())?))
}

/// Connects to the first address of a name that answers.
async fn dial(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let address = || format!("{host}:{port}");
    let attempt = async {
        let found = lookup_host((host, port))
            .await
            .map_err(|source| ConnectError::Resolve {
                host: host.to_owned(),
                source,
            })?;
        let found: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
        dial_any(&found).await.map_err(|source| ConnectError::Tcp {
            address: address(),
            source,
        })
    };
    timeout(TCP_LIMIT, attempt).await.unwrap_or_else(|_| {
        let (step, limit) = ("connect", TCP_LIMIT);
        Err(ConnectError::Timeout {
            address: address(),
            step,
            limit,
        })
    })
}

async fn dial_any(addresses: &[SocketAddr]) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    // A single address may take the whole time.
    let limit = if addresses.len() > 1 {
        TCP_ADDRESS_LIMIT
    } else {
        Duration::MAX
    };
    for address in addresses {
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = std::io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// Undoes the escapes of a URL's user and password.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after
            .get(..2)
            .and_then(|code| std::str::from_utf8(code).ok());
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        match code.filter(|_| first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
