//! A line: what an agent keeps to a proxy so that the proxy can dial what only the agent reaches.
//!
//! The agent dials TLS 1.3 connections with certificates on both sides, a connection for each lane.
//! On the control lane frames of JSON pass in both directions. On the interactive lane the proxy
//! opens a stream for each tunnelled connection (`mux`); the bulk lane has a connection for each stream.
//! docs/decisions/008-line-transport.md, 020-interactive-lane.md and 021-bulk-records.md say why. This module knows no
//! authority and no database: certificates and the reading of them are given to it.

mod accept;
mod agent_end;
mod bulk;
mod bulk_serve;
mod copy;
mod dial;
mod early;
mod egress;
mod error;
mod frame;
mod head;
mod health;
mod lane;
mod limits;
mod message;
mod messages;
mod mux;
mod proxy_end;
mod sealed;
mod socket;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod websocket;

pub use self::accept::{ACCEPT_LIMIT, Acceptor, AcceptorSettings, Heard, Identify, lanes_tls};
pub use self::agent_end::{
    AgentEvent, AgentLine, AgentLineHandle, AgentLineState, Handler, Opening, Served, Taker,
    handler,
};
pub use self::copy::{Copied, copy};
pub use self::dial::{Connector, ConnectorSettings, Via};
pub use self::early::{EARLY_BYTES_MAX, Early};
pub(crate) use self::egress::split;
pub use self::egress::{Egress, EgressError};
pub(crate) use self::error::chain;
pub use self::error::{AcceptError, ConnectError, OpenError};
pub use self::frame::FrameError;
pub(crate) use self::frame::{read_frame, write_frame};
pub(crate) use self::head::read_head;
pub use self::lane::Lane;
pub(crate) use self::limits::FRAME_BYTES_MAX;
pub use self::limits::{
    BULK_MAX, HANDLER_LIMIT, HELLO_LIMIT, LINES_PER_PEER_MAX, MESSAGE_BYTES_MAX, OPEN_LIMIT,
    STREAMS_MAX, TCP_LIMIT, TLS_LIMIT, Timing, UPGRADE_LIMIT,
};
pub use self::message::{
    Drain, LineId, Message, OpenRequest, Peer, Refusal, RefusalCode, SignedAnnouncement, Target,
    TargetKind, Welcome,
};
pub use self::mux::StreamReset;
pub use self::proxy_end::{Line, LineState};
pub use self::socket::prepare;
pub use self::stream::{BoxDuplex, Duplex, LineStream};
pub use self::websocket::{
    WEBSOCKET_PATH, WEBSOCKET_PROTOCOL, answer as websocket_answer, serve as websocket_serve,
};
