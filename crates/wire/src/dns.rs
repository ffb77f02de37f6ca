//! Messages of the domain name system (RFC 1035, 2782, 3596, 6891), as far as finding targets needs
//! them: one question, the records of the answer.

#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, Ipv6Addr};

/// Bytes of a name, as it travels.
const NAME_BYTES_MAX: usize = 255;
/// Bytes of a part of a name.
const LABEL_BYTES_MAX: usize = 63;
/// Pointers from one name to the next: more lead in a circle.
const POINTERS_MAX: usize = 64;
/// Records of an answer that are read.
const RECORDS_MAX: usize = 10_000;
/// Bytes of an answer that we take over UDP: what fits through nearly every network in one piece.
pub const DATAGRAM_BYTES_MAX: u16 = 1_232;

const CLASS_INTERNET: u16 = 1;
const FLAG_RECURSION_DESIRED: u16 = 1 << 8;
const FLAG_TRUNCATED: u16 = 1 << 9;
const FLAG_ANSWER: u16 = 1 << 15;
const TYPE_OPTIONS: u16 = 41;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Addresses of version 4.
    A,
    /// Addresses of version 6.
    Aaaa,
    /// Services with their ports.
    Srv,
    /// Servers of mail.
    Mx,
    /// Servers of names.
    Ns,
}

impl Kind {
    const fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Ns => 2,
            Self::Mx => 15,
            Self::Aaaa => 28,
            Self::Srv => 33,
        }
    }
}

/// What a record says; names are without the dot at their end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An address.
    A(Ipv4Addr),
    /// An address.
    Aaaa(Ipv6Addr),
    /// A service.
    Srv {
        /// The host that has it.
        target: String,
        /// The port that it listens on.
        port: u16,
    },
    /// A server of mail.
    Mx(String),
    /// A server of names.
    Ns(String),
}

/// How a server took a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There is such a name, with these records or none.
    Found,
    /// There is no such name.
    NoName,
    /// The server can't or won't say.
    Failed(u8),
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// How the server took the question.
    pub outcome: Outcome,
    /// It did not fit; ask again over TCP.
    pub is_truncated: bool,
    /// Records of the kind that was asked for.
    pub records: Vec<Record>,
}

/// Why a message can't be made or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The text is no name.
    #[error("the name has empty or too long parts; write it as host.example.net")]
    Name,
    /// The message ends too early, or contradicts itself.
    #[error("the answer is no message of DNS")]
    Message,
    /// It answers something else.
    #[error("the answer is for another question")]
    Other,
}

/// A question, with recursion and room for larger answers.
///
/// # Errors
/// The text is no name.
pub fn question(id: u16, name: &str, kind: Kind) -> Result<Vec<u8>, DnsError> {
    let mut message = Vec::with_capacity(64);
    for number in [id, FLAG_RECURSION_DESIRED, 1, 0, 0, 1] {
        message.extend(number.to_be_bytes());
    }
    message.extend(encoded(name)?);
    message.extend(kind.number().to_be_bytes());
    message.extend(CLASS_INTERNET.to_be_bytes());
    // The options: no name, our limit in the place of the class, nothing else.
    message.push(0);
    message.extend(TYPE_OPTIONS.to_be_bytes());
    message.extend(DATAGRAM_BYTES_MAX.to_be_bytes());
    message.extend([0; 6]);
    Ok(message)
}

fn encoded(name: &str) -> Result<Vec<u8>, DnsError> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut bytes = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).map_err(|_| DnsError::Name)?;
        if length == 0 || label.len() > LABEL_BYTES_MAX {
            return Err(DnsError::Name);
        }
        bytes.push(length);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    if bytes.len() > NAME_BYTES_MAX {
        return Err(DnsError::Name);
    }
    Ok(bytes)
}

/// Reads the answer to a question that [`question`] made.
///
/// # Errors
/// It is none, or that of another question.
pub fn answer(message: &[u8], asked: &[u8], kind: Kind) -> Result<Answer, DnsError> {
    let mut reader = Reader { message, at: 0 };
    let (id, flags) = (reader.number()?, reader.number()?);
    let (questions, answers) = (reader.number()?, reader.number()?);
    reader.skip(4)?;
    let asked_id = asked.get(..2).unwrap_or_default();
    if asked_id != id.to_be_bytes() || flags & FLAG_ANSWER == 0 {
        return Err(DnsError::Other);
    }
    let outcome = match flags & 0xf {
        0 => Outcome::Found,
        3 => Outcome::NoName,
        code => Outcome::Failed(u8::try_from(code).unwrap_or(u8::MAX)),
    };
    let is_truncated = flags & FLAG_TRUNCATED != 0;
    let mut records = Vec::new();
    if questions > 1 {
        return Err(DnsError::Message);
    }
    if questions == 1 {
        let name = reader.name()?;
        let mut own = Reader {
            message: asked,
            at: 12,
        };
        let is_same = name.eq_ignore_ascii_case(&own.name()?);
        if !is_same || reader.number()? != kind.number() {
            return Err(DnsError::Other);
        }
        reader.skip(2)?;
    } else if outcome == Outcome::Found {
        return Err(DnsError::Other);
    }
    for _ in 0..usize::from(answers).min(RECORDS_MAX) {
        match reader.record(kind) {
            Ok(record) => records.extend(record),
            // What was cut off is asked for again.
            Err(_) if is_truncated => break,
            Err(error) => return Err(error),
        }
    }
    Ok(Answer {
        outcome,
        is_truncated,
        records,
    })
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], DnsError> {
        let end = self.at.checked_add(length).ok_or(DnsError::Message)?;
        let taken = self.message.get(self.at..end).ok_or(DnsError::Message)?;
        self.at = end;
        Ok(taken)
    }

    fn skip(&mut self, length: usize) -> Result<(), DnsError> {
        self.take(length).map(|_| ())
    }

    fn number(&mut self) -> Result<u16, DnsError> {
        let bytes = self.take(2)?.try_into().map_err(|_| DnsError::Message)?;
        Ok(u16::from_be_bytes(bytes))
    }

    /// A name, whose end may stand somewhere before.
    fn name(&mut self) -> Result<String, DnsError> {
        let mut name = String::new();
        let mut after = None;
        let mut pointers = 0;
        loop {
            let length = self.take(1)?.first().copied().unwrap_or(0);
            match length {
                0 => break,
                1..=63 => {
                    let label = self.take(usize::from(length))?;
                    if !name.is_empty() {
                        name.push('.');
                    }
                    name.push_str(&String::from_utf8_lossy(label));
                    if name.len() > NAME_BYTES_MAX * 3 {
                        return Err(DnsError::Message);
                    }
                }
                192..=255 => {
                    let low = self.take(1)?.first().copied().unwrap_or(0);
                    after.get_or_insert(self.at);
                    self.at = (usize::from(length & 0x3f) << 8) | usize::from(low);
                    pointers += 1;
                    if pointers > POINTERS_MAX {
                        return Err(DnsError::Message);
                    }
                }
                _ => return Err(DnsError::Message),
            }
        }
        self.at = after.unwrap_or(self.at);
        Ok(name)
    }

    /// The next record, if it is of this kind.
    fn record(&mut self, kind: Kind) -> Result<Option<Record>, DnsError> {
        self.name()?;
        let (number, class) = (self.number()?, self.number()?);
        self.skip(4)?;
        let length = usize::from(self.number()?);
        let end = self.at + length;
        if number != kind.number() || class != CLASS_INTERNET {
            self.skip(length)?;
            return Ok(None);
        }
        let record = match kind {
            Kind::A => {
                let bytes: [u8; 4] = self.fixed()?;
                Record::A(Ipv4Addr::from(bytes))
            }
            Kind::Aaaa => {
                let bytes: [u8; 16] = self.fixed()?;
                Record::Aaaa(Ipv6Addr::from(bytes))
            }
            Kind::Srv => {
                self.skip(4)?;
                let port = self.number()?;
                let target = self.name()?;
                Record::Srv { target, port }
            }
            Kind::Mx => {
                self.skip(2)?;
                Record::Mx(self.name()?)
            }
            Kind::Ns => Record::Ns(self.name()?),
        };
        if self.at != end {
            return Err(DnsError::Message);
        }
        Ok(Some(record))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DnsError> {
        self.take(N)?.try_into().map_err(|_| DnsError::Message)
    }
}
