//! What the relay does with the bytes, and how that is written on a command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Bits.
const MEGABIT: u64 = 1_000_000;
/// The fastest link.
const MEGABITS_MAX: u64 = 100_000;

/// What the relay does. A mode holds for open connections and for new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything passes.
    Pass,
    /// Open connections are reset, new ones as soon as they are accepted.
    Reset,
    /// Open connections are closed in order, new ones as soon as they are accepted.
    Finish,
    /// Nothing passes and nobody is told. What was sent meanwhile arrives when the mode ends, as
    /// TCP's retransmissions would. The kernel still accepts: a lost SYN can't be had without root.
    BlackHole,
    /// The black hole, for bytes from the client to the upstream only.
    LoseUp,
    /// The black hole, for bytes from the upstream to the client only.
    LoseDown,
    /// Open connections are reset; new ones are accepted and never served. They are reset when the
    /// mode ends.
    Hang,
    /// Each connection passes so many bytes per second in each direction.
    Drip {
        /// Bytes per second.
        bytes_per_second: u32,
    },
    /// All connections share a link, fairly, with its speed and its round trip.
    Link {
        /// Bits per second in each direction.
        bits_per_second: u64,
        /// Half of it is added in each direction.
        round_trip: Duration,
    },
    /// A connection that is idle for this long is forgotten without a word; whoever sends on it
    /// then is answered by a reset, as load balancers and NAT do.
    IdleCut {
        /// How long.
        after: Duration,
    },
    /// Open connections are reset. New ones end here: TLS with a certificate of the relay's own
    /// and no protocol but HTTP/1.1, and TLS anew to the upstream, as an inspecting firewall or a
    /// load balancer does.
    StripAlpn,
    /// Nothing listens; open connections are reset.
    Refuse,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the upstream.
    Up,
    /// From the upstream to the client.
    Down,
}

/// The words of the command line, with what they mean.
pub const WORDS: &str = "  pass                everything passes
  reset               RST for open and new connections
  finish              FIN for open and new connections
  black-hole          nothing passes either way, nobody is told
  lose-up             the black hole, from client to upstream only
  lose-down           the black hole, from upstream to client only
  hang                new connections are accepted and never served; open ones get RST
  drip=BYTES          BYTES per second, each connection, each way
  link=MBIT,MS        all connections share MBIT Mbit/s with a round trip of MS ms
  idle-cut=SECONDS    connections idle for SECONDS are forgotten; who sends then gets RST
  strip-alpn          TLS ends at the relay, which offers HTTP/1.1 only
  refuse              nothing listens; open connections get RST";

/// What all connections are told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub(super) mode: Mode,
    /// Grows whenever all open connections are to be reset. A mode alone may come and go before a
    /// connection has looked.
    pub(super) resets: u64,
}

impl Mode {
    /// Whether connections that are open when it begins are reset.
    pub(super) fn resets(self) -> bool {
        matches!(
            self,
            Self::Reset | Self::Hang | Self::StripAlpn | Self::Refuse
        )
    }

    /// Whether bytes in this direction stay where they are.
    pub(super) fn holds(self, direction: Direction) -> bool {
        match self {
            Self::BlackHole => true,
            Self::LoseUp => direction == Direction::Up,
            Self::LoseDown => direction == Direction::Down,
            _ => false,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("pass"),
            Self::Reset => f.write_str("reset"),
            Self::Finish => f.write_str("finish"),
            Self::BlackHole => f.write_str("black-hole"),
            Self::LoseUp => f.write_str("lose-up"),
            Self::LoseDown => f.write_str("lose-down"),
            Self::Hang => f.write_str("hang"),
            Self::Drip { bytes_per_second } => write!(f, "drip={bytes_per_second}"),
            Self::Link {
                bits_per_second,
                round_trip,
            } => {
                let megabits = bits_per_second / MEGABIT;
                write!(f, "link={megabits},{}", round_trip.as_millis())
            }
            Self::IdleCut { after } => write!(f, "idle-cut={}", after.as_secs_f64()),
            Self::StripAlpn => f.write_str("strip-alpn"),
            Self::Refuse => f.write_str("refuse"),
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("unknown mode {text:?}; the modes are\n{WORDS}");
        let (word, value) = match text.split_once('=') {
            Some((word, value)) => (word, Some(value)),
            None => (text, None),
        };
        let mode = match (word, value) {
            ("pass", None) => Self::Pass,
            ("reset", None) => Self::Reset,
            ("finish", None) => Self::Finish,
            ("black-hole", None) => Self::BlackHole,
            ("lose-up", None) => Self::LoseUp,
            ("lose-down", None) => Self::LoseDown,
            ("hang", None) => Self::Hang,
            ("strip-alpn", None) => Self::StripAlpn,
            ("refuse", None) => Self::Refuse,
            ("drip", Some(value)) => {
                let bytes_per_second = value.parse().map_err(|_| unknown())?;
                if bytes_per_second == 0 {
                    return Err("drip=0 is black-hole".to_owned());
                }
                Self::Drip { bytes_per_second }
            }
            ("link", Some(value)) => {
                let (megabits, milliseconds) = value.split_once(',').ok_or_else(unknown)?;
                let megabits: u64 = megabits.parse().map_err(|_| unknown())?;
                let milliseconds = milliseconds.parse().map_err(|_| unknown())?;
                if !(1..=MEGABITS_MAX).contains(&megabits) {
                    return Err(format!("a link has 1 to {MEGABITS_MAX} Mbit/s"));
                }
                Self::Link {
                    bits_per_second: megabits * MEGABIT,
                    round_trip: Duration::from_millis(milliseconds),
                }
            }
            ("idle-cut", Some(value)) => {
                let seconds = value.parse().map_err(|_| unknown())?;
                let after = Duration::try_from_secs_f64(seconds).map_err(|_| unknown())?;
                Self::IdleCut { after }
            }
            _ => return Err(unknown()),
        };
        Ok(mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_as_they_are_written() {
        let words = WORDS.lines().map(|line| {
            let word = line.split_whitespace().next().unwrap();
            word.replace("BYTES", "100")
                .replace("MBIT,MS", "20,20")
                .replace("SECONDS", "1.5")
        });
        for word in words {
            assert_eq!(word.parse::<Mode>().unwrap().to_string(), word);
        }
        for wrong in ["", "drip", "drip=0", "drip=x", "link=20", "pass=1", "hole"] {
            assert!(wrong.parse::<Mode>().is_err(), "{wrong}");
        }
    }
}
