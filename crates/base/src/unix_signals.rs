//! The signals of the process as one stream. It only listens; what a signal means is decided in
//! `process`.

#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use tokio::signal::unix::{Signal as Source, SignalKind, signal};
use tokio::sync::mpsc;

/// A signal the process understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
    /// SIGQUIT.
    Quit,
    /// SIGHUP.
    Hangup,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
}

impl Signal {
    /// The name as `kill` knows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Terminate => "TERM",
            Self::Interrupt => "INT",
            Self::Quit => "QUIT",
            Self::Hangup => "HUP",
            Self::User1 => "USR1",
            Self::User2 => "USR2",
        }
    }
}

/// The stream of signals. Signals that are pending together come with the most urgent first, and
/// the same signal sent twice before it is taken comes once: the kernel keeps no more than that.
#[derive(Debug)]
pub struct Signals {
    sources: Sources,
}

#[derive(Debug)]
enum Sources {
    Kernel(Vec<(Signal, Source)>),
    Scripted(mpsc::Receiver<Signal>),
}

impl Signals {
    /// Takes over the signals of the process, which must be done before anything else is built:
    /// until then each has its default effect. Must be called inside a tokio runtime.
    pub fn install() -> io::Result<Self> {
        let kinds = [
            (Signal::Terminate, SignalKind::terminate()),
            (Signal::Interrupt, SignalKind::interrupt()),
            (Signal::Quit, SignalKind::quit()),
            (Signal::Hangup, SignalKind::hangup()),
            (Signal::User1, SignalKind::user_defined1()),
            (Signal::User2, SignalKind::user_defined2()),
        ];
        let installed = kinds.map(|(name, kind)| signal(kind).map(|source| (name, source)));
        let sources = installed.into_iter().collect::<io::Result<Vec<_>>>()?;
        Ok(Self {
            sources: Sources::Kernel(sources),
        })
    }

    /// Signals from a channel, for tests and for a process that must not take over its own. The
    /// end of the channel is silence.
    pub fn scripted(receiver: mpsc::Receiver<Signal>) -> Self {
        Self {
            sources: Sources::Scripted(receiver),
        }
    }

    /// The next signal. Cancel-safe.
    pub async fn next(&mut self) -> Signal {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Signal> {
        match &mut self.sources {
            Sources::Kernel(sources) => {
                for (name, source) in sources {
                    if source.poll_recv(context).is_ready() {
                        return Poll::Ready(*name);
                    }
                }
                Poll::Pending
            }
            Sources::Scripted(receiver) => match receiver.poll_recv(context) {
                Poll::Ready(Some(signal)) => Poll::Ready(signal),
                Poll::Ready(None) | Poll::Pending => Poll::Pending,
            },
        }
    }
}
