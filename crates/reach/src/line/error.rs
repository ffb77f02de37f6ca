//! Why a line can't be had, why it ended, and why a stream could not be opened on it. The texts go
//! to operators: they say what failed and what to check.

use std::io;
use std::time::Duration;

use base::error::Class;

use super::frame::FrameError;
use super::message::Refusal;

/// The other end left without a word: a process that was killed and a device on the way do so.
pub(crate) const UNSAID: &str = "the connection ended without a goodbye: the other end gave it up (its log says why) or went down, or something on the way cut it";

/// Why an agent has no line to an address.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not a host with a port.
    #[error("address {0:?} is not host:port")]
    Address(String),
    /// The name has no address.
    #[error("look up {host}: check the name and this machine's resolver")]
    Resolve {
        /// The name.
        host: String,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// Nothing answers there.
    #[error(
        "connect to {address}: check that the proxy runs there and that this machine may reach it"
    )]
    Tcp {
        /// Host and port.
        address: String,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// The egress proxy did not let us through.
    #[error("egress proxy {proxy} to {address}: {reason}")]
    Egress {
        /// The egress proxy.
        proxy: String,
        /// Where to.
        address: String,
        /// What happened and what to check.
        reason: String,
    },
    /// The TLS handshake failed, and there was no other way or it failed as well.
    #[error("tls with {address}: {reason}")]
    Tls {
        /// Host and port.
        address: String,
        /// What happened.
        reason: String,
    },
    /// Something on the way took the line's protocol out of the handshake, and there was no way
    /// around it.
    #[error(
        "{address} did not negotiate the line protocol: a load balancer or inspection on the way may strip ALPN; {reason}"
    )]
    Stripped {
        /// Host and port.
        address: String,
        /// Why the way around it failed.
        reason: String,
    },
    /// The proxy's certificate is not that of a proxy of our cluster.
    #[error("certificate of {address}: {reason}")]
    Identity {
        /// Host and port.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The proxy said no.
    #[error("{address} refused: {refusal}")]
    Refused {
        /// Host and port.
        address: String,
        /// Its reason.
        refusal: Refusal,
    },
    /// The proxy broke off after the handshake.
    #[error("greet {address}: {what}")]
    Hello {
        /// Host and port.
        address: String,
        /// What was waited for.
        what: &'static str,
        /// What happened instead.
        #[source]
        source: FrameError,
    },
    /// The step took longer than its limit.
    #[error("{step} with {address}: no answer in {} s; the path may swallow packets or the proxy may hang", limit.as_secs())]
    Timeout {
        /// Host and port.
        address: String,
        /// The step.
        step: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The line ended before it was complete.
    #[error("the line to {address} ended before it was complete: {reason}")]
    Ended {
        /// Host and port.
        address: String,
        /// Why.
        reason: String,
    },
}

/// Why a proxy did not take a connection as a lane.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The TLS handshake failed: wrong authority, no certificate, expired.
    #[error("tls handshake")]
    Tls(#[source] io::Error),
    /// The step took longer than its limit.
    #[error("{0} took too long")]
    Timeout(&'static str),
    /// No protocol of ours was negotiated.
    #[error("no lane was negotiated")]
    NoLane,
    /// The hello can't be read or answered.
    #[error("hello")]
    Hello(#[from] FrameError),
    /// We said no.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
}

/// Why a stream could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The other end said no.
    #[error("{peer} refused: {refusal}")]
    Refused {
        /// The other end's name.
        peer: String,
        /// Its reason.
        refusal: Refusal,
    },
    /// No answer in time.
    #[error(
        "{peer} did not answer in {} ms: its line may be cut without a trace; the line is being \
         checked and is dropped if dead; check the machine's power and network",
        limit.as_millis()
    )]
    Timeout {
        /// The other end's name.
        peer: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The line has ended.
    #[error("the line to {peer} is gone: {reason}")]
    Gone {
        /// The other end's name.
        peer: String,
        /// Why it ended.
        reason: String,
    },
    /// The other end is about to leave.
    #[error("{peer} is leaving: {reason}")]
    Draining {
        /// The other end's name.
        peer: String,
        /// Its reason.
        reason: String,
    },
    /// The lane is full.
    #[error("{peer} has {streams} streams open on the {lane} lane, which is the most")]
    TooMany {
        /// The other end's name.
        peer: String,
        /// Streams open.
        streams: usize,
        /// Which lane.
        lane: super::Lane,
    },
    /// The other end does not take what it is asked.
    #[error(
        "{peer} does not take what it is asked: thousands of questions, or of streams that were left, wait for it; check that machine's load and network"
    )]
    Stuck {
        /// The other end's name.
        peer: String,
    },
    /// The request is too long.
    #[error("the request can't be sent: {0}")]
    Request(String),
}

impl OpenError {
    /// Whether the target may have been dialled all the same: the question was asked, and what became
    /// of it is not known.
    pub(crate) fn may_have_dialled(&self) -> bool {
        matches!(self, Self::Gone { .. } | Self::Timeout { .. })
    }

    /// Who is to blame.
    pub fn class(&self) -> Class {
        match self {
            Self::Refused { refusal, .. } => refusal.code.class(),
            Self::Timeout { .. } => Class::Timeout,
            Self::Gone { .. } | Self::Draining { .. } => Class::Unavailable,
            Self::TooMany { .. } | Self::Stuck { .. } => Class::TooMany,
            Self::Request(_) => Class::Invalid,
        }
    }
}

/// An error with its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
