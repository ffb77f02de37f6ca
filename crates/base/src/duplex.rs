//! Bytes both ways, whatever carries them: a socket, TLS on it, a stream of a line, a pipe in memory.

use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection of any sort.
pub type BoxDuplex = Box<dyn Duplex>;
