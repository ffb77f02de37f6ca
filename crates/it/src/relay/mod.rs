//! A TCP relay whose behaviour can be changed while it runs: the bad network and the bad load
//! balancer between a node and its hub, in user space and without root. What it does is a [`Mode`];
//! its command line is `cargo xtask relay`.

mod link;
mod mode;
mod pair;
mod strip;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use mode::Order;
pub use mode::{Direction, Mode, WORDS};
use pair::Links;
use strip::Middlebox;

/// Connections that the kernel holds for us.
const BACKLOG: u32 = 1_024;

/// The relay. Dropping it cuts everything.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    orders: watch::Sender<Order>,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
    /// Bound and never listening: keeps the port ours while nothing listens.
    _reserved: TcpSocket,
}

#[derive(Debug, Default)]
struct Shared {
    upstreams: Mutex<Vec<String>>,
    accepted: AtomicUsize,
    open: AtomicUsize,
    links: Links,
}

impl Relay {
    /// A relay on a free port of this machine, in mode [`Mode::Pass`].
    pub fn start(upstreams: &[SocketAddr]) -> Self {
        let relay = Self::listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        relay.set_upstreams(upstreams.iter().map(ToString::to_string).collect());
        relay
    }

    /// A relay at this address, in a runtime, without upstreams: connections are reset until there is one.
    ///
    /// # Errors
    /// The address can't be bound.
    pub fn listen(address: SocketAddr) -> io::Result<Self> {
        let reserved = bind(address)?;
        let address = reserved.local_addr()?;
        let listener = bind(address)?.listen(BACKLOG)?;
        let (orders, told) = watch::channel(Order {
            mode: Mode::Pass,
            resets: 0,
        });
        let shared = Arc::<Shared>::default();
        let task = tokio::spawn(accept(listener, address, told, Arc::clone(&shared)));
        Ok(Self {
            address,
            orders,
            shared,
            task,
            _reserved: reserved,
        })
    }

    /// Where connections go (`host:port`), one after the other.
    pub fn set_upstreams(&self, upstreams: Vec<String>) {
        *self.shared.upstreams.lock().unwrap() = upstreams;
    }

    /// Changes what it does, at once and for everything.
    pub fn set(&self, mode: Mode) {
        self.orders.send_modify(|order| {
            order.mode = mode;
            order.resets += u64::from(mode.resets());
        });
    }

    /// Resets all open connections; new ones are treated as before.
    pub fn reset(&self) {
        self.orders.send_modify(|order| order.resets += 1);
    }

    /// What it does.
    pub fn mode(&self) -> Mode {
        self.orders.borrow().mode
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A socket that shares its port with another one of ours.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Accepts for ever; dropping the set of tasks cuts what is open.
async fn accept(
    listener: TcpListener,
    address: SocketAddr,
    mut orders: watch::Receiver<Order>,
    shared: Arc<Shared>,
) {
    let middlebox = Middlebox::new();
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        let is_refusing = orders.borrow_and_update().mode == Mode::Refuse;
        if is_refusing {
            listener = None;
        } else if listener.is_none() {
            listener = bind(address).and_then(|socket| socket.listen(BACKLOG)).ok();
        }
        tokio::select! {
            accepted = accept_one(listener.as_ref()) => {
                let Ok((client, _)) = accepted else { continue };
                let turn = shared.accepted.fetch_add(1, Ordering::SeqCst);
                let (orders, middlebox) = (orders.clone(), middlebox.clone());
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    shared.open.fetch_add(1, Ordering::SeqCst);
                    let _open = Open(&shared);
                    serve(client, turn, orders, &middlebox, &shared).await;
                });
            }
            changed = orders.changed() => if changed.is_err() {
                return;
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn accept_one(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// An open connection, until dropped.
struct Open<'a>(&'a Shared);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(
    client: TcpStream,
    turn: usize,
    mut orders: watch::Receiver<Order>,
    middlebox: &Middlebox,
    shared: &Shared,
) {
    // The relay adds no wait that the mode does not ask for.
    drop(client.set_nodelay(true));
    let order = loop {
        let order = *orders.borrow_and_update();
        match order.mode {
            Mode::Finish => return,
            Mode::Reset | Mode::Refuse => return pair::reset(&client),
            Mode::Hang => {
                drop(orders.changed().await);
                return pair::reset(&client);
            }
            // The upstream hears nothing of it until the hole closes.
            Mode::BlackHole => {
                if orders.changed().await.is_err() {
                    return;
                }
            }
            _ => break order,
        }
    };
    let Some(upstream) = next_upstream(shared, turn) else {
        return pair::reset(&client);
    };
    let Ok(upstream) = TcpStream::connect(&upstream).await else {
        return pair::reset(&client);
    };
    drop(upstream.set_nodelay(true));
    if order.mode == Mode::StripAlpn {
        tokio::select! {
            // What goes wrong in it is seen by both ends.
            passed = middlebox.pass(client, upstream) => drop(passed),
            _ = orders.wait_for(|now| now.resets != order.resets) => {}
        }
    } else {
        pair::pass(client, upstream, order.resets, orders, &shared.links).await;
    }
}

fn next_upstream(shared: &Shared, turn: usize) -> Option<String> {
    let upstreams = shared.upstreams.lock().unwrap();
    let count = upstreams.len().max(1);
    upstreams.get(turn % count).cloned()
}
