//! Who asks, and who may: the peer of a connection, and the policy that every route states.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use ipnet::IpNet;

use crate::secret::Secret;

/// Who is at the other end of a connection. Forwarding headers don't change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Address of the socket.
    pub address: SocketAddr,
    /// The connection is encrypted.
    pub is_tls: bool,
}

impl Peer {
    /// On this machine.
    pub fn is_loopback(&self) -> bool {
        self.ip().is_loopback()
    }

    /// The address, an IPv4 one also when the socket is IPv6.
    pub fn ip(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }
}

/// Who beside loopback may use a family of paths. The default is nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Bearer tokens, any of which lets in.
    pub tokens: Vec<Secret>,
    /// Networks whose addresses need no token.
    pub networks: Vec<IpNet>,
    /// Loopback needs a token too.
    pub loopback_needs_token: bool,
}

impl Access {
    fn permits(&self, peer: &Peer, headers: &HeaderMap) -> bool {
        let ip = peer.ip();
        (peer.is_loopback() && !self.loopback_needs_token)
            || self.networks.iter().any(|network| network.contains(&ip))
            || bearer(headers).is_some_and(|given| {
                // All are compared, so that the time tells nothing about which one was near.
                self.tokens
                    .iter()
                    .filter(|token| token.matches(given))
                    .count()
                    > 0
            })
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// What a route demands of who asks.
#[derive(Debug, Clone)]
pub enum Policy {
    /// Open to all: says nothing that needs protection.
    Public,
    /// Loopback only: changes the process.
    Local,
    /// Loopback, or whom the access of this family lets in.
    Granted(Arc<Access>),
}

impl Policy {
    /// Whether this request may pass.
    pub fn permits(&self, peer: &Peer, headers: &HeaderMap) -> bool {
        match self {
            Self::Public => true,
            Self::Local => peer.is_loopback(),
            Self::Granted(access) => access.permits(peer, headers),
        }
    }
}
