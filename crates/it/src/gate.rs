//! A TCP forwarder that a test can shut and open: the way a peer "goes down" and comes back
//! without losing its data, and the way to prove that nobody has connected.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// The forwarder.
#[derive(Debug)]
pub struct Gate {
    /// Where it listens.
    pub address: SocketAddr,
    open: watch::Sender<bool>,
    passed: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Gate {
    /// A gate in front of `to`, open.
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, state) = watch::channel(true);
        let passed = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(forward(listener, to, state, Arc::clone(&passed)));
        Self {
            address,
            open,
            passed,
            task,
        }
    }

    /// Cuts all connections and resets new ones, or lets them through again.
    pub fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }

    /// How many connections have been let through.
    pub fn passed(&self) -> usize {
        self.passed.load(Ordering::SeqCst)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts for ever; dropping the set of tasks cuts what is open.
async fn forward(
    listener: TcpListener,
    to: SocketAddr,
    mut state: watch::Receiver<bool>,
    passed: Arc<AtomicUsize>,
) {
    let mut pairs = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((mut from, _)) = accepted else { return };
                if !*state.borrow() {
                    continue;
                }
                passed.fetch_add(1, Ordering::SeqCst);
                pairs.spawn(async move {
                    if let Ok(mut to) = TcpStream::connect(to).await {
                        drop(tokio::io::copy_bidirectional(&mut from, &mut to).await);
                    }
                });
            }
            changed = state.changed() => {
                if changed.is_err() {
                    return;
                }
                if !*state.borrow() {
                    pairs.abort_all();
                }
            }
        }
    }
}
