//! The frames of the interactive lane: eight bytes of head, then what they carry. The first byte is
//! the kind, three are the length of the rest, four the number of the stream, big endian.

use std::io;

use bytes::{Buf, BufMut, BytesMut};

/// The bytes of a head.
pub(super) const HEAD_BYTES: usize = 8;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// From the proxy: dial this. JSON of an open request.
    Open,
    /// From the agent: what the stream leads to is there. Empty.
    Opened,
    /// From the agent: it can't be had. JSON of a refusal; the stream is gone.
    Refused,
    /// Bytes of a stream, not more than its window.
    Data,
    /// No more bytes in this direction. Empty.
    End,
    /// The stream is gone in both directions. Empty.
    Reset,
    /// The other end may send so many bytes more: four bytes.
    Window,
    /// Are you there? Eight bytes, of no stream.
    Ping,
    /// I am: the bytes of the latest question.
    Pong,
}

const KINDS: [Kind; 9] = [
    Kind::Open,
    Kind::Opened,
    Kind::Refused,
    Kind::Data,
    Kind::End,
    Kind::Reset,
    Kind::Window,
    Kind::Ping,
    Kind::Pong,
];

/// A head. Kinds that are not known are of a later version and left out with what they carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Option<Kind>,
    pub(super) stream: u32,
    pub(super) length: usize,
}

impl Head {
    /// The head at the beginning of `bytes`, if it is whole.
    pub(super) fn read(mut bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEAD_BYTES {
            return None;
        }
        let first = bytes.get_u32();
        let number = (first >> 24) as usize;
        Some(Self {
            kind: number
                .checked_sub(1)
                .and_then(|index| KINDS.get(index))
                .copied(),
            stream: bytes.get_u32(),
            length: (first & 0x00ff_ffff) as usize,
        })
    }
}

/// Writes a head. `length` has to be less than 16 MiB.
pub(super) fn put_head(out: &mut BytesMut, kind: Kind, stream: u32, length: usize) {
    let length = u32::try_from(length).unwrap_or(u32::MAX) & 0x00ff_ffff;
    out.put_u32(((kind as u32 + 1) << 24) | length);
    out.put_u32(stream);
}

/// Writes a frame.
pub(super) fn put(out: &mut BytesMut, kind: Kind, stream: u32, rest: &[u8]) {
    put_head(out, kind, stream, rest.len());
    out.extend_from_slice(rest);
}

/// The other end does not keep to the protocol.
pub(super) fn invalid(what: &str) -> io::Error {
    let text = format!("the other end sent what it may not: {what}");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_they_were_written() {
        for kind in KINDS {
            let mut out = BytesMut::new();
            put(&mut out, kind, 0xfedc_ba98, &[7; 300]);
            let head = Head {
                kind: Some(kind),
                stream: 0xfedc_ba98,
                length: 300,
            };
            assert_eq!(Head::read(&out), Some(head));
            assert_eq!(out.len(), HEAD_BYTES + 300);
        }
        assert_eq!(Head::read(&[0; 7]), None);
        for number in [0, 10, 255] {
            let head = Head::read(&[number, 0, 0, 1, 0, 0, 0, 2]).unwrap();
            assert_eq!((head.kind, head.stream, head.length), (None, 2, 1));
        }
    }
}
