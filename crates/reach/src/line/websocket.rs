//! A line's bytes as the binary messages of a WebSocket (RFC 6455), for what lies on the way and
//! passes nothing else. The bytes are those of the same TLS session as without it, so whoever ends
//! the outer TLS can neither read nor pretend.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::head::read_head;
use super::stream::BoxDuplex;

/// Where the proxy takes the upgrade.
pub const WEBSOCKET_PATH: &str = "/v1/line";
/// The name of our bytes among the subprotocols (RFC 6455 1.9).
pub const WEBSOCKET_PROTOCOL: &str = "landline";
/// RFC 6455 1.3.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The largest message that we send.
const MESSAGE_BYTES_MAX: usize = 32 << 10;
/// What is read at once.
const INPUT_BYTES: usize = 16 << 10;
/// A control frame carries no more (RFC 6455 5.5).
const CONTROL_BYTES_MAX: usize = 125;

/// The length follows in two bytes (RFC 6455 5.2).
const LENGTH_16: u8 = 0x7e;
/// The length follows in eight bytes.
const LENGTH_64: u8 = 0x7f;

const CONTINUATION: u8 = 0x0;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// The header lines of the answer (status 101) to a request for an upgrade; nothing if the
/// request is not a proper one.
pub fn answer(request: &HeaderMap) -> Option<HeaderMap> {
    let has = |name: HeaderName, word: &str| {
        request
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| {
                value
                    .split(',')
                    .any(|part| part.trim().eq_ignore_ascii_case(word))
            })
    };
    let key = request.get(header::SEC_WEBSOCKET_KEY)?.to_str().ok()?;
    let is_proper = has(header::UPGRADE, "websocket")
        && has(header::CONNECTION, "upgrade")
        && has(header::SEC_WEBSOCKET_VERSION, "13")
        && has(header::SEC_WEBSOCKET_PROTOCOL, WEBSOCKET_PROTOCOL);
    let accept = HeaderValue::from_str(&accept_key(key))
        .ok()
        .filter(|_| is_proper)?;
    let lines = [
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
        (
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(WEBSOCKET_PROTOCOL),
        ),
    ];
    Some(lines.into_iter().collect())
}

/// The proxy's end of a connection after the answer was sent.
pub fn serve(io: BoxDuplex) -> BoxDuplex {
    Box::new(WebSocket::new(io, Role::Server))
}

/// Asks for the upgrade and gives the agent's end.
pub(crate) async fn request(mut io: BoxDuplex, authority: &str) -> io::Result<BoxDuplex> {
    let key = STANDARD.encode(fastrand::u128(..).to_be_bytes());
    let head = format!(
        "GET {WEBSOCKET_PATH} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: {WEBSOCKET_PROTOCOL}\r\n\r\n"
    );
    io.write_all(head.as_bytes()).await?;
    io.flush().await?;
    let answer = read_head(&mut io).await?;
    if answer.status() != Some(101) {
        return Err(wrong(format!(
            "the upgrade was answered with {:?}",
            answer.first
        )));
    }
    if answer.header("sec-websocket-accept") != Some(accept_key(&key).as_str()) {
        return Err(wrong(
            "the answer to the upgrade does not fit the question".to_owned(),
        ));
    }
    Ok(Box::new(WebSocket::new(io, Role::Client)))
}

fn accept_key(key: &str) -> String {
    let text = format!("{key}{KEY_SUFFIX}");
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

fn wrong(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Client,
    Server,
}

/// The payload of a data frame that is being read.
#[derive(Debug, Clone, Copy)]
struct Payload {
    left: u64,
    mask: [u8; 4],
    /// Which byte of the mask is next.
    turn: usize,
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FrameHead {
    opcode: u8,
    length: u64,
    mask: Option<[u8; 4]>,
    /// Bytes of the head itself.
    size: usize,
}

struct WebSocket {
    io: BoxDuplex,
    role: Role,
    input: BytesMut,
    output: BytesMut,
    payload: Option<Payload>,
    has_ended: bool,
    is_closing: bool,
}

impl WebSocket {
    fn new(io: BoxDuplex, role: Role) -> Self {
        Self {
            io,
            role,
            input: BytesMut::new(),
            output: BytesMut::new(),
            payload: None,
            has_ended: false,
            is_closing: false,
        }
    }

    /// Gives bytes of the data frame at hand; false if there are none.
    fn take_payload(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let Some(payload) = &mut self.payload else {
            return false;
        };
        let left = usize::try_from(payload.left).unwrap_or(usize::MAX);
        let length = left.min(self.input.len()).min(buffer.remaining());
        if length == 0 {
            return false;
        }
        let mut bytes = self.input.split_to(length);
        for byte in bytes.iter_mut() {
            *byte ^= payload.mask.get(payload.turn).copied().unwrap_or_default();
            payload.turn = (payload.turn + 1) % 4;
        }
        buffer.put_slice(&bytes);
        payload.left -= length as u64;
        if payload.left == 0 {
            self.payload = None;
        }
        true
    }

    /// Understands the next frame's head, and all of it if it is a control frame. False if more
    /// bytes are needed.
    fn take_frame(&mut self) -> io::Result<bool> {
        let Some(head) = parse(&self.input)? else {
            return Ok(false);
        };
        if head.mask.is_some() != (self.role == Role::Server) {
            return Err(wrong("a frame is masked by the wrong side".to_owned()));
        }
        let mask = head.mask.unwrap_or_default();
        if matches!(head.opcode, BINARY | CONTINUATION) {
            self.input.advance(head.size);
            let payload = Payload {
                left: head.length,
                mask,
                turn: 0,
            };
            self.payload = (head.length > 0).then_some(payload);
            return Ok(true);
        }
        let length = usize::try_from(head.length).unwrap_or(usize::MAX);
        if length > CONTROL_BYTES_MAX {
            return Err(wrong("a control frame is too long".to_owned()));
        }
        if self.input.len() < head.size + length {
            return Ok(false);
        }
        self.input.advance(head.size);
        let mut body = self.input.split_to(length);
        for (byte, key) in body.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= key;
        }
        match head.opcode {
            CLOSE => self.has_ended = true,
            // A flood of pings is answered once per write, not once per ping.
            PING if self.output.is_empty() => self.put_frame(PONG, &body),
            PING | PONG => {}
            opcode => return Err(wrong(format!("a frame of the unknown sort {opcode}"))),
        }
        Ok(true)
    }

    fn put_frame(&mut self, opcode: u8, payload: &[u8]) {
        let masked = if self.role == Role::Client { 0x80 } else { 0 };
        self.output.reserve(payload.len() + 14);
        self.output.put_u8(0x80 | opcode);
        match payload.len() {
            length @ 0..=125 => self
                .output
                .put_u8(masked | u8::try_from(length).unwrap_or(0)),
            length @ 126..=0xffff => {
                self.output.put_u8(masked | LENGTH_16);
                self.output.put_u16(u16::try_from(length).unwrap_or(0));
            }
            length => {
                self.output.put_u8(masked | LENGTH_64);
                self.output.put_u64(length as u64);
            }
        }
        if self.role == Role::Server {
            self.output.put_slice(payload);
            return;
        }
        let mask = fastrand::u32(..).to_be_bytes();
        self.output.put_slice(&mask);
        let start = self.output.len();
        self.output.put_slice(payload);
        let written = self.output.get_mut(start..).unwrap_or_default();
        for (byte, key) in written.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= key;
        }
    }

    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(context, &self.output))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut chunk = [0; INPUT_BYTES];
        let mut buffer = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.io).poll_read(context, &mut buffer))?;
        self.input.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl AsyncRead for WebSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if self.has_ended || self.take_payload(buffer) {
                return Poll::Ready(Ok(()));
            }
            if self.payload.is_none() && self.take_frame()? {
                // An answer to a ping goes out when it can.
                if let Poll::Ready(Err(error)) = self.poll_drain(context) {
                    return Poll::Ready(Err(error));
                }
                continue;
            }
            if ready!(self.poll_fill(context))? == 0 {
                // Whether that was too early knows what is inside.
                self.has_ended = true;
            }
        }
    }
}

impl AsyncWrite for WebSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(context))?;
        let length = bytes.len().min(MESSAGE_BYTES_MAX);
        self.put_frame(BINARY, bytes.get(..length).unwrap_or_default());
        match self.poll_drain(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // What is left goes with the next write or flush.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(length)),
        }
    }

    /// A message for all pieces: one for each would have a head for each.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(context))?;
        let mut bytes = Vec::with_capacity(MESSAGE_BYTES_MAX);
        for slice in slices {
            let room = MESSAGE_BYTES_MAX - bytes.len();
            bytes.extend_from_slice(slice.get(..room).unwrap_or(slice));
        }
        self.poll_write(context, &bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_closing {
            self.is_closing = true;
            // Status 1000: normal closure (RFC 6455 7.4.1).
            self.put_frame(CLOSE, &1000_u16.to_be_bytes());
        }
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.io).poll_flush(context)
    }
}

/// The head of the frame at the beginning of `input`, when all of it is there.
fn parse(input: &[u8]) -> io::Result<Option<FrameHead>> {
    let (Some(&first), Some(&second)) = (input.first(), input.get(1)) else {
        return Ok(None);
    };
    if first & 0x70 != 0 {
        return Err(wrong(
            "a frame uses an extension nobody asked for".to_owned(),
        ));
    }
    let (length, mut size) = match second & 0x7f {
        LENGTH_16 => match input.get(2..4).and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => (u64::from(u16::from_be_bytes(bytes)), 4),
            None => return Ok(None),
        },
        LENGTH_64 => match input.get(2..10).and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => (u64::from_be_bytes(bytes), 10),
            None => return Ok(None),
        },
        length => (u64::from(length), 2),
    };
    let mut mask = None;
    if second & 0x80 != 0 {
        let Some(bytes) = input.get(size..size + 4) else {
            return Ok(None);
        };
        mask = bytes.try_into().ok();
        size += 4;
    }
    Ok(Some(FrameHead {
        opcode: first & 0x0f,
        length,
        mask,
        size,
    }))
}

#[cfg(test)]
mod tests;
