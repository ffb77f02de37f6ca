//! Who asks, and who may: the peer of a connection, and the policy that every route states.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::response::Response;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use ipnet::IpNet;

use crate::clock;
use crate::files::{self, Stamp};
use crate::secret::{Secret, SecretError, SecretSource};

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

/// How long a token in a file may be outdated.
pub const TOKEN_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Who beside loopback may use a family of paths. The default is nobody.
#[derive(Debug, Default)]
pub struct Access {
    tokens: Mutex<Tokens>,
    networks: Vec<IpNet>,
    loopback_needs_token: bool,
}

#[derive(Debug, Default)]
struct Tokens {
    all: Vec<Token>,
    checked_at: Option<Instant>,
}

/// A bearer token, read again when its file changes.
#[derive(Debug)]
struct Token {
    source: SecretSource,
    secret: Secret,
    stamp: Option<Stamp>,
    is_unreadable: bool,
}

impl Access {
    /// Lets in whoever shows one of these tokens, or comes from one of these networks.
    ///
    /// # Errors
    /// A token can't be read: without it nobody could tell who may.
    pub fn new(
        tokens: &[SecretSource],
        networks: Vec<IpNet>,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, SecretError> {
        let read = |source: &SecretSource| {
            Ok(Token {
                stamp: source.file().and_then(files::stamp),
                secret: source.resolve(environment)?,
                source: source.clone(),
                is_unreadable: false,
            })
        };
        let all = tokens.iter().map(read).collect::<Result<_, _>>()?;
        let checked_at = None;
        Ok(Self {
            tokens: Mutex::new(Tokens { all, checked_at }),
            networks,
            loopback_needs_token: false,
        })
    }

    /// Asks loopback for a token, too.
    #[must_use]
    pub fn and_of_loopback(self) -> Self {
        Self {
            loopback_needs_token: true,
            ..self
        }
    }

    /// Whether this is one of the tokens.
    pub fn accepts(&self, token: &str) -> bool {
        self.knows(token, clock::now())
    }

    /// Whether somebody with this token, or none, is let in: for handlers to whom the token comes by
    /// another way than `Authorization: Bearer`.
    pub fn lets_in(&self, peer: &Peer, token: Option<&str>) -> bool {
        self.admits(peer, token, clock::now())
    }

    pub(super) fn permits(&self, peer: &Peer, headers: &HeaderMap, now: Instant) -> bool {
        self.admits(peer, bearer(headers), now)
    }

    fn admits(&self, peer: &Peer, token: Option<&str>, now: Instant) -> bool {
        let ip = peer.ip();
        (peer.is_loopback() && !self.loopback_needs_token)
            || self.networks.iter().any(|network| network.contains(&ip))
            || token.is_some_and(|given| self.knows(given, now))
    }

    fn knows(&self, given: &str, now: Instant) -> bool {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = |at: Instant| now.saturating_duration_since(at) >= TOKEN_CHECK_INTERVAL;
        if tokens.checked_at.is_none_or(is_due) {
            tokens.checked_at = Some(now);
            tokens.all.iter_mut().for_each(Token::refresh);
        }
        // All are compared, so that the time tells nothing about which one was near.
        let known = tokens
            .all
            .iter()
            .filter(|token| token.secret.matches(given));
        known.count() > 0
    }
}

impl Token {
    /// Reads the file again if it has changed; a token whose file can't be read stays in force.
    fn refresh(&mut self) {
        let Some(path) = self.source.file() else {
            return;
        };
        let stamp = files::stamp(path);
        if stamp == self.stamp && !self.is_unreadable {
            return;
        }
        match self.source.resolve(&BTreeMap::new()) {
            Ok(secret) => {
                if secret != self.secret {
                    tracing::info!(path = %path.display(), "bearer token read again");
                }
                (self.secret, self.stamp, self.is_unreadable) = (secret, stamp, false);
            }
            Err(error) => {
                if !self.is_unreadable {
                    tracing::warn!(%error, "bearer token can't be read again: the last one stays");
                }
                self.is_unreadable = true;
            }
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Decides about a request by its head: gives it back, perhaps with more known about who asks, or
/// the answer that refuses it.
pub type Judging = Pin<Box<dyn Future<Output = Result<Parts, Response>> + Send>>;

/// A decision that needs more than a token at hand, such as the roles of a user.
#[derive(Clone)]
pub struct Judge {
    /// What it asks for, in the table of routes.
    pub name: &'static str,
    /// The decision.
    pub judge: Arc<dyn Fn(Parts) -> Judging + Send + Sync>,
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Judge").field(&self.name).finish()
    }
}

/// What a route demands of who asks.
#[derive(Debug, Clone)]
pub enum Policy {
    /// Open to all: says nothing that needs protection.
    Public,
    /// Loopback only: changes the process.
    Local,
    /// Whoever proves to the handler itself who they are and that they may.
    Own,
    /// Loopback, or whom the access of this family lets in.
    Granted(Arc<Access>),
    /// Whom this lets in.
    Judged(Judge),
}

impl Policy {
    /// Its word in the log.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Local => "local",
            Self::Own => "own",
            Self::Granted(_) => "granted",
            Self::Judged(judge) => judge.name,
        }
    }

    /// Whether this request may pass; who is to be judged passes only after that.
    pub fn permits(&self, peer: &Peer, headers: &HeaderMap) -> bool {
        match self {
            Self::Public | Self::Own => true,
            Self::Local => peer.is_loopback(),
            Self::Granted(access) => access.permits(peer, headers, clock::now()),
            Self::Judged(_) => false,
        }
    }
}
