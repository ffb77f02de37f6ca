//! A connection over another proxy that breaks when that proxy is locked: it may be in the wrong hands,
//! and would hardly end the connection itself.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use base::duplex::BoxDuplex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::way::LineBroke;

/// Resolves with the reason of a lock.
pub(super) type Locked = Pin<Box<dyn Future<Output = String> + Send>>;

/// The connection.
pub(super) struct Fenced {
    io: BoxDuplex,
    locked: Locked,
    reason: Option<String>,
}

impl Fenced {
    pub(super) fn new(io: BoxDuplex, locked: Locked) -> Self {
        Self {
            io,
            locked,
            reason: None,
        }
    }

    /// Fails from the lock on. Whoever waits is woken by it.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.reason.is_none()
            && let Poll::Ready(reason) = self.locked.as_mut().poll(context)
        {
            self.reason = Some(reason);
        }
        match &self.reason {
            None => Ok(()),
            Some(reason) => {
                let broke = LineBroke(reason.clone());
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, broke))
            }
        }
    }
}

impl AsyncRead for Fenced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl AsyncWrite for Fenced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn who_waits_and_who_writes_learns_of_the_lock() {
        let (near, mut far) = tokio::io::duplex(64);
        let (lock, locked) = oneshot::channel::<String>();
        let locked = Box::pin(async move { locked.await.unwrap_or_default() });
        let mut fenced = Fenced::new(Box::new(near), locked);
        fenced.write_all(b"before").await.unwrap();
        let mut before = [0; 6];
        far.read_exact(&mut before).await.unwrap();
        let waiting = async {
            let error = fenced.read_u8().await.unwrap_err();
            assert_eq!(error.to_string(), "moved");
        };
        let locking = async {
            tokio::task::yield_now().await;
            lock.send("moved".to_owned()).unwrap();
        };
        tokio::join!(waiting, locking);
        assert!(fenced.write_all(b"after").await.is_err());
        drop(fenced);
        assert_eq!(far.read(&mut before).await.unwrap(), 0);
    }
}
