//! The agent's way to a proxy: TCP (perhaps through an egress proxy), TLS with both certificates,
//! a WebSocket where something on the way strips ALPN, and the hello. Nothing about the way is
//! remembered beyond one line: the next one tries the straight way again.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use base::read_ahead::ReadAhead;
use base::supervise::Scope;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls_pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Lane;
use super::accept::Identify;
use super::agent_end::{AgentLine, Handler, Starting};
use super::egress::{Egress, split};
use super::error::{ConnectError, chain};
use super::frame::{read_frame, write_frame};
use super::limits::{DRAWS_MAX, FRAME_BYTES_MAX, HELLO_LIMIT, TLS_LIMIT, Timing, UPGRADE_LIMIT};
use super::message::{Hello, HelloAnswer, LineId, Peer, VERSION, Welcome};
use super::sealed::Sealed;
use super::stream::BoxDuplex;
use super::{bulk, socket, websocket};

/// What an agent is told about its lines.
#[derive(Clone)]
pub struct ConnectorSettings {
    /// Our certificate and the check of the proxy's. ALPN and resumption are set here.
    pub tls: Arc<ClientConfig>,
    /// Trust for the outer TLS of a WebSocket, usually the system's roots; nothing turns that way
    /// off.
    pub outer_tls: Option<Arc<ClientConfig>>,
    /// Who the proxy is.
    pub identify: Identify,
    /// The way out of this network.
    pub egress: Egress,
    /// Pings.
    pub timing: Timing,
    /// Bulk connections dialled ahead on a line whose proxy wants some.
    pub bulk_idle: usize,
}

impl fmt::Debug for ConnectorSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectorSettings")
            .field("egress", &self.egress)
            .field("timing", &self.timing)
            .field("bulk_idle", &self.bulk_idle)
            .finish_non_exhaustive()
    }
}

/// Makes lines; clones share it.
#[derive(Debug, Clone)]
pub struct Connector {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: ConnectorSettings,
    /// One configuration for each lane, in the order of `Lane::ALL`.
    lanes: [Arc<ClientConfig>; 3],
    outer: Option<Arc<ClientConfig>>,
}

/// How a connection got through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// TLS straight to the proxy.
    Direct,
    /// Inside a WebSocket, because something on the way does not pass the line's protocol.
    WebSocket,
}

/// Where a line goes: what its further lanes need to know.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// Where the control lane was dialled.
    pub(crate) address: String,
    pub(crate) via: Via,
    pub(crate) line: LineId,
    pub(crate) proxy: Peer,
    pub(crate) welcome: Welcome,
}

/// A connection after the TLS handshake.
type Shaken = TlsStream<ReadAhead<BoxDuplex>>;

/// A connection after the handshakes.
struct Dialled {
    tls: Shaken,
    via: Via,
    proxy: Peer,
}

impl Connector {
    /// Prepares the TLS settings of the lanes.
    pub fn new(settings: ConnectorSettings) -> Self {
        let lanes = Lane::ALL.map(|lane| {
            let mut tls = ClientConfig::clone(&settings.tls);
            tls.alpn_protocols = vec![lane.alpn().to_vec()];
            // See `Acceptor::new`: certificates are checked on every connection.
            tls.resumption = Resumption::disabled();
            Arc::new(tls)
        });
        let outer = settings.outer_tls.as_ref().map(|outer| {
            let mut tls = ClientConfig::clone(outer);
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
            Arc::new(tls)
        });
        let inner = Inner {
            settings,
            lanes,
            outer,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Makes a line to the proxy at `address` (`host:port`, a balancer's is fine). What the proxy
    /// wants dialled is asked of `handler`. The line's tasks live in `scope`.
    pub async fn connect(
        &self,
        address: &str,
        handler: Handler,
        scope: &Scope,
    ) -> Result<AgentLine, ConnectError> {
        let line = LineId::new();
        let dialled = self.dial(address, Lane::Control, None).await?;
        let proxy = dialled.proxy.clone();
        let via = dialled.via;
        let (control, welcome) = greet(dialled, &line, address).await?;
        let control = Box::new(control);
        let route = Route {
            address: address.to_owned(),
            via,
            line,
            proxy,
            welcome,
        };
        let starting = Starting::new(self.clone(), route, handler, scope.clone(), control);
        match self.join(starting.route(), Lane::Interactive).await {
            Ok(io) => starting.finish(Box::new(io)).await,
            Err(error) => {
                starting.give_up(&error);
                Err(error)
            }
        }
    }

    pub(crate) fn timing(&self) -> Timing {
        self.inner.settings.timing
    }

    pub(crate) fn bulk_idle(&self) -> usize {
        self.inner.settings.bulk_idle
    }

    /// A connection of the bulk lane, which waits to be used.
    pub(crate) async fn join_bulk(&self, route: &Route) -> Result<Sealed, ConnectError> {
        let (io, session) = self.join(route, Lane::Bulk).await?.into_inner();
        let greeting = bulk::greet(io, session);
        limited(HELLO_LIMIT, "first word", &route.address, greeting)
            .await?
            .map_err(|source| ConnectError::Hello {
                address: route.address.clone(),
                what: "a bulk connection's first word",
                source,
            })
    }

    /// A further lane to the proxy that has the first one. A balancer may lead elsewhere: then
    /// the proxy's own addresses are tried, and then the balancer again.
    async fn join(&self, route: &Route, lane: Lane) -> Result<Shaken, ConnectError> {
        let again = std::iter::repeat_n(&route.address, DRAWS_MAX - 1);
        let ways = std::iter::once(&route.address)
            .chain(&route.welcome.addresses)
            .chain(again);
        let mut last = None;
        for address in ways.take(2 * DRAWS_MAX) {
            match self.join_at(route, lane, address).await {
                Ok(io) => return Ok(io),
                // Only another proxy is worth another draw; its own address may just be wrong.
                Err(error @ ConnectError::Identity { .. }) => last = Some(error),
                Err(error) if *address != route.address => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| ConnectError::Address(route.address.clone())))
    }

    async fn join_at(
        &self,
        route: &Route,
        lane: Lane,
        address: &str,
    ) -> Result<Shaken, ConnectError> {
        let dialled = self.dial(address, lane, Some(route.via)).await?;
        if dialled.proxy.id != route.proxy.id {
            let reason = format!(
                "it belongs to {}, the line goes to {}; a balancer that sends connections of one \
                 machine to different proxies needs the proxies' own addresses",
                dialled.proxy.name, route.proxy.name
            );
            return Err(ConnectError::Identity {
                address: address.to_owned(),
                reason,
            });
        }
        let (io, _) = greet(dialled, &route.line, address).await?;
        Ok(io)
    }

    /// Up to the end of the TLS handshake, straight first unless it is known to be of no use.
    async fn dial(
        &self,
        address: &str,
        lane: Lane,
        known: Option<Via>,
    ) -> Result<Dialled, ConnectError> {
        let host = split(address)?.0;
        let straight = match known {
            Some(Via::WebSocket) => None,
            _ => Some(self.dial_straight(address, host, lane).await),
        };
        let (mut tls, via) = match straight {
            Some(Ok(tls)) => (tls, Via::Direct),
            Some(Err(error)) if !is_worth_a_detour(&error) => return Err(error),
            failed => match self.dial_websocket(address, host, lane).await {
                Some(Ok(tls)) => (tls, Via::WebSocket),
                Some(Err(error)) => return Err(both(failed.and_then(Result::err), error)),
                None => return Err(both(failed.and_then(Result::err), no_detour(address))),
            },
        };
        socket::set_buffers(lane, tls.get_mut().1);
        let certificates = tls.get_ref().1.peer_certificates().unwrap_or_default();
        let proxy = (self.inner.settings.identify)(certificates).map_err(|reason| {
            ConnectError::Identity {
                address: address.to_owned(),
                reason,
            }
        })?;
        Ok(Dialled { tls, via, proxy })
    }

    async fn dial_straight(
        &self,
        address: &str,
        host: &str,
        lane: Lane,
    ) -> Result<Shaken, ConnectError> {
        let tcp = self.inner.settings.egress.connect(address).await?;
        socket::prepare(&tcp, lane);
        let tls = handshake(self.tls_of(lane), Box::new(tcp), address, host).await?;
        if tls.get_ref().1.alpn_protocol() == Some(lane.alpn()) {
            return Ok(tls);
        }
        let reason = "it took the connection with another protocol".to_owned();
        Err(ConnectError::Stripped {
            address: address.to_owned(),
            reason,
        })
    }

    /// Nothing if that way is turned off.
    async fn dial_websocket(
        &self,
        address: &str,
        host: &str,
        lane: Lane,
    ) -> Option<Result<Shaken, ConnectError>> {
        let outer = Arc::clone(self.inner.outer.as_ref()?);
        Some(self.dial_websocket_with(outer, address, host, lane).await)
    }

    async fn dial_websocket_with(
        &self,
        outer: Arc<ClientConfig>,
        address: &str,
        host: &str,
        lane: Lane,
    ) -> Result<Shaken, ConnectError> {
        let tcp = self.inner.settings.egress.connect(address).await?;
        socket::prepare(&tcp, lane);
        let outer = handshake(outer, Box::new(tcp), address, host).await?;
        let asked = websocket::request(Box::new(outer), address);
        let io = limited(UPGRADE_LIMIT, "upgrade", address, asked)
            .await?
            .map_err(|error| tls_error(address, format!("websocket: {error}")))?;
        let tls = handshake(self.tls_of(lane), io, address, host).await?;
        if tls.get_ref().1.alpn_protocol() == Some(lane.alpn()) {
            return Ok(tls);
        }
        let reason = "nor does the other end of the WebSocket".to_owned();
        Err(ConnectError::Stripped {
            address: address.to_owned(),
            reason,
        })
    }

    fn tls_of(&self, lane: Lane) -> Arc<ClientConfig> {
        let [control, interactive, bulk] = &self.inner.lanes;
        Arc::clone(match lane {
            Lane::Control => control,
            Lane::Interactive => interactive,
            Lane::Bulk => bulk,
        })
    }
}

async fn handshake(
    config: Arc<ClientConfig>,
    io: BoxDuplex,
    address: &str,
    host: &str,
) -> Result<Shaken, ConnectError> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| ConnectError::Address(address.to_owned()))?;
    let shaken = TlsConnector::from(config).connect(name, ReadAhead::new(io));
    limited(TLS_LIMIT, "tls handshake", address, shaken)
        .await?
        .map_err(|error| tls_error(address, chain(&error)))
}

/// The hello, on whichever lane.
async fn greet(
    dialled: Dialled,
    line: &LineId,
    address: &str,
) -> Result<(Shaken, Welcome), ConnectError> {
    let mut io = dialled.tls;
    let hello = Hello {
        version: VERSION,
        line: line.clone(),
    };
    let exchange = async {
        write_frame(&mut io, &hello).await?;
        read_frame::<HelloAnswer, _>(&mut io, FRAME_BYTES_MAX).await
    };
    let answer = limited(HELLO_LIMIT, "hello", address, exchange)
        .await?
        .map_err(|source| ConnectError::Hello {
            address: address.to_owned(),
            what: "its answer to the hello",
            source,
        })?;
    match answer.refusal {
        None => Ok((io, answer.welcome)),
        Some(refusal) => Err(ConnectError::Refused {
            address: address.to_owned(),
            refusal,
        }),
    }
}

/// Whether the trouble may be something on the way that dislikes the line's protocol.
fn is_worth_a_detour(error: &ConnectError) -> bool {
    let tls_hangs = matches!(
        error,
        ConnectError::Timeout {
            step: "tls handshake",
            ..
        }
    );
    tls_hangs
        || matches!(
            error,
            ConnectError::Tls { .. } | ConnectError::Stripped { .. }
        )
}

fn no_detour(address: &str) -> ConnectError {
    tls_error(address, "the way by WebSocket is turned off".to_owned())
}

/// The error of the straight way, with that of the detour as its reason.
fn both(straight: Option<ConnectError>, detour: ConnectError) -> ConnectError {
    let Some(straight) = straight else {
        return detour;
    };
    let detour = chain(&detour);
    match straight {
        ConnectError::Stripped { address, .. } => {
            let reason = format!("by WebSocket: {detour}");
            ConnectError::Stripped { address, reason }
        }
        ConnectError::Tls { address, reason } => {
            let reason = format!("{reason}; by WebSocket: {detour}");
            ConnectError::Tls { address, reason }
        }
        other => other,
    }
}

fn tls_error(address: &str, reason: String) -> ConnectError {
    ConnectError::Tls {
        address: address.to_owned(),
        reason,
    }
}

async fn limited<T>(
    limit: Duration,
    step: &'static str,
    address: &str,
    work: impl Future<Output = T>,
) -> Result<T, ConnectError> {
    timeout(limit, work).await.map_err(|_| {
        let address = address.to_owned();
        ConnectError::Timeout {
            address,
            step,
            limit,
        }
    })
}
