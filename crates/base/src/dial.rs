//! Connects by TCP, and does not wait where there is nothing to wait for.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};

/// Connects to `host:port`, to one of its addresses after the other until one answers. A connection
/// within this machine is mostly made while it is asked for: it is not left to the runtime to notice that, which
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
    let kind = Type::STREAM.nonblocking();
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

/// A connection that has just been made. The runtime does not know yet that it takes bytes, or that some
/// have come, and would have to ask the system first: whoever writes to one that was dialled, or reads one
/// that was accepted, does so without asking.
#[derive(Debug)]
pub struct Fresh {
    stream: TcpStream,
    /// The next write does not ask the runtime first.
    may_write: bool,
    /// The next read does not ask the runtime first.
    may_read: bool,
}

impl Fresh {
    /// A connection that was dialled; whoever dials mostly speaks first.
    pub fn dialled(stream: TcpStream) -> Self {
        Self {
            stream,
            may_write: true,
            may_read: false,
        }
    }

    /// A connection that was accepted; what the client has said may be there already.
    pub fn accepted(stream: TcpStream) -> Self {
        Self {
            stream,
            may_write: false,
            may_read: true,
        }
    }
}

impl AsyncRead for Fresh {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.may_read) && buffer.remaining() > 0 {
            match rustix::net::recv(
                &self.stream,
                buffer.initialize_unfilled(),
                RecvFlags::empty(),
            ) {
                // The runtime says when some come.
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
                Ok((length, _)) => {
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
            }
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Fresh {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if std::mem::take(&mut self.may_write) && !bytes.is_empty() {
            match rustix::net::send(&self.stream, bytes, SendFlags::NOSIGNAL) {
                // The runtime says when it takes some.
                Err(Errno::AGAIN | Errno::INTR) => {}
                sent => return Poll::Ready(sent.map_err(io::Error::from)),
            }
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.may_write = false;
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

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_within_this_machine_takes_bytes_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let context = &mut Context::from_waker(Waker::noop());
        let mut at_once = 0;
        for _ in 0..50 {
            let mut dialling = pin!(dial(&address));
            let stream = match dialling.as_mut().poll(context) {
                Poll::Ready(stream) => stream,
                // The system is busy.
                Poll::Pending => dialling.await,
            };
            let mut near = Fresh::dialled(stream.unwrap());
            let polled = Pin::new(&mut near).poll_write(context, b"here ");
            match polled {
                Poll::Ready(written) => {
                    at_once += 1;
                    assert_eq!(written.unwrap(), 5);
                }
                Poll::Pending => near.write_all(b"here ").await.unwrap(),
            }
            let (mut far, _) = listener.accept().await.unwrap();
            near.write_all(b"there").await.unwrap();
            let mut both = [0; 10];
            far.read_exact(&mut both).await.unwrap();
            assert_eq!(&both, b"here there");
            far.write_all(b"yes").await.unwrap();
            let mut yes = [0; 3];
            near.read_exact(&mut yes).await.unwrap();
            assert_eq!(&yes, b"yes");
        }
        assert!(at_once > 0);
    }

    /// Waits, behind the runtime's back, until something has come.
    fn arrives(stream: &TcpStream) {
        let patience = Timespec::try_from(std::time::Duration::from_secs(10)).unwrap();
        let wanted = &mut [PollFd::new(stream, PollFlags::IN)];
        assert_eq!(poll(wanted, Some(&patience)).unwrap(), 1);
    }

    /// What has come before anybody asked is there at the first look, also when that is the end; what comes
    /// later is told by the runtime.
    #[tokio::test]
    async fn what_a_client_has_said_is_there_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = async || Fresh::accepted(listener.accept().await.unwrap().0);
        let context = &mut Context::from_waker(Waker::noop());

        let mut client = std::net::TcpStream::connect(address).unwrap();
        std::io::Write::write_all(&mut client, b"hello").unwrap();
        let mut near = accepted().await;
        arrives(&near.stream);
        let mut bytes = [0; 16];
        let mut buffer = ReadBuf::new(&mut bytes);
        let polled = Pin::new(&mut near).poll_read(context, &mut buffer);
        assert!(matches!(polled, Poll::Ready(Ok(()))), "{polled:?}");
        assert_eq!(buffer.filled(), b"hello");
        std::io::Write::write_all(&mut client, b"again").unwrap();
        let mut again = [0; 5];
        near.read_exact(&mut again).await.unwrap();
        assert_eq!(&again, b"again");

        let client = std::net::TcpStream::connect(address).unwrap();
        drop(client);
        let mut near = accepted().await;
        arrives(&near.stream);
        let mut buffer = ReadBuf::new(&mut bytes);
        let polled = Pin::new(&mut near).poll_read(context, &mut buffer);
        assert!(matches!(polled, Poll::Ready(Ok(()))), "{polled:?}");
        assert_eq!(buffer.filled(), b"");

        let mut client = std::net::TcpStream::connect(address).unwrap();
        let mut near = accepted().await;
        let mut buffer = ReadBuf::new(&mut bytes);
        let polled = Pin::new(&mut near).poll_read(context, &mut buffer);
        assert!(polled.is_pending() && buffer.filled().is_empty());
        std::io::Write::write_all(&mut client, b"later").unwrap();
        near.read_exact(&mut again).await.unwrap();
        assert_eq!(&again, b"later");
    }

    /// The reason is told to whoever writes, and not lost to a second try.
    #[tokio::test]
    async fn a_first_write_that_fails_says_why() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stream = dial(&address).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        far.set_zero_linger().unwrap();
        drop(far);
        let mut near = Fresh::dialled(stream);
        let error = near.write_all(b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
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
