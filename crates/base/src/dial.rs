//! Connects by TCP, and does not wait where there is nothing to wait for.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};

/// Connects to `host:port`, to one of its addresses after the other until one answers. A connection
/// within this machine is made while it is asked for: it is not left to the runtime to notice that, which
/// takes longer than the connection. Whoever calls it bounds the time.
///
/// # Errors
/// The name is not known, or why the last of its addresses could not be reached.
pub async fn dial(address: &str) -> io::Result<TcpStream> {
    let mut outcome = Err(io::Error::new(
        io::ErrorKind::NotFound,
        "the name has no address",
    ));
    for address in lookup_host(address).await? {
        outcome = connect(address).await;
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    if let Err(error) = socket.connect(&address.into())
        && error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error())
    {
        return Err(error);
    }
    let is_connected = socket.peer_addr().is_ok();
    let stream = TcpStream::from_std(socket.into())?;
    if !is_connected {
        stream.writable().await?;
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
    }
    Ok(stream)
}

/// A connection that has just been made, for whoever writes to it first. The runtime does not know yet that
/// it takes bytes, and would have to ask the system: the first bytes are given to it without asking.
#[derive(Debug)]
pub struct Fresh {
    stream: TcpStream,
    is_fresh: bool,
}

impl Fresh {
    /// A connection to which nothing was written.
    pub fn new(stream: TcpStream) -> Self {
        let is_fresh = true;
        Self { stream, is_fresh }
    }

    /// How much of the bytes has gone; nothing when the runtime has to see to it.
    fn send(&mut self, bytes: &[u8]) -> Option<usize> {
        let is_fresh = std::mem::take(&mut self.is_fresh);
        if !is_fresh || bytes.is_empty() {
            return None;
        }
        // An error is there again for the runtime.
        SockRef::from(&self.stream).send(bytes).ok()
    }
}

impl AsyncRead for Fresh {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Fresh {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.send(bytes) {
            Some(sent) => Poll::Ready(Ok(sent)),
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_fresh = false;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_within_this_machine_is_there_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut dialling = pin!(dial(&address));
        let polled = dialling
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Ok(near)) = polled else {
            panic!("{polled:?}");
        };
        let mut near = Fresh::new(near);
        let mut writing = pin!(near.write(b"here "));
        let polled = writing
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Ok(5))), "{polled:?}");
        let (mut far, _) = listener.accept().await.unwrap();
        near.write_all(b"there").await.unwrap();
        let mut both = [0; 10];
        far.read_exact(&mut both).await.unwrap();
        far.write_all(&both).await.unwrap();
        both.fill(0);
        near.read_exact(&mut both).await.unwrap();
        assert_eq!(&both, b"here there");
    }

    #[tokio::test]
    async fn what_refuses_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = dial(&address.to_string()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(dial("localhost").await.is_err(), "there is no port");
    }
}
