//! The three lanes of a line and their names in ALPN.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A connection, or several, that share a purpose, so that what is large never stands in the way
/// of what is urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Announcements, advisories and orders.
    Control,
    /// Whatever someone waits for: terminals, requests, scrapes.
    Interactive,
    /// Files, dumps, uploads: a connection for each.
    Bulk,
}

impl Lane {
    /// All lanes, in the order in which they are dialled.
    pub const ALL: [Self; 3] = [Self::Control, Self::Interactive, Self::Bulk];

    /// The protocol's name in ALPN (RFC 7301), with the version of the line's protocol.
    pub fn alpn(self) -> &'static [u8] {
        match self {
            Self::Control => b"landline-line-control/1",
            Self::Interactive => b"landline-line-interactive/2",
            Self::Bulk => b"landline-bulk/2",
        }
    }

    /// What it is called.
    pub fn word(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Interactive => "interactive",
            Self::Bulk => "bulk",
        }
    }

    /// The lane of a negotiated protocol.
    pub fn of_alpn(protocol: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.alpn() == protocol)
    }

    /// How many bytes the kernel may hold of this lane that are not sent yet. What it holds can't
    /// be overtaken by something more urgent.
    pub(crate) fn unsent_bytes_max(self) -> u32 {
        match self {
            Self::Control | Self::Interactive => 16 << 10,
            Self::Bulk => 256 << 10,
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
