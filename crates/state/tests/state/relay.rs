//! A stretch of network between a test and its database, which can be cut.

use std::net::SocketAddr;

use base::supervise::Supervisor;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the stretch does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Passes everything on.
    Open,
    /// Refuses connections and cuts those there are, as a stopped server does.
    Down,
    /// Takes everything and passes on nothing, as a dead network does.
    Hole,
}

/// What is under way, for waiting until a change has taken effect.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    listening: usize,
    connections: usize,
    passing: usize,
}

pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    mode: watch::Sender<Mode>,
    count: watch::Sender<Count>,
}

impl Relay {
    pub(crate) async fn start(supervisor: &Supervisor, to: SocketAddr) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mode = watch::Sender::new(Mode::Open);
        let count = watch::Sender::new(Count::default());
        let way = Way {
            address,
            to,
            mode: mode.subscribe(),
            count: count.clone(),
            tasks: supervisor.clone(),
        };
        supervisor.spawn_background("relay", serve(way));
        let relay = Self {
            address,
            mode,
            count,
        };
        relay.set(Mode::Open).await;
        relay
    }

    /// Returns when nothing of the mode before is left.
    pub(crate) async fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
        let mut count = self.count.subscribe();
        let settled = count.wait_for(|count| match mode {
            Mode::Open => count.listening == 1,
            Mode::Down => count.listening == 0 && count.connections == 0,
            Mode::Hole => count.passing == 0,
        });
        settled.await.unwrap();
    }
}

struct Way {
    address: SocketAddr,
    to: SocketAddr,
    mode: watch::Receiver<Mode>,
    count: watch::Sender<Count>,
    tasks: Supervisor,
}

/// One more of something, until dropped.
struct Counted(watch::Sender<Count>, fn(&mut Count) -> &mut usize);

impl Counted {
    fn new(count: &watch::Sender<Count>, which: fn(&mut Count) -> &mut usize) -> Self {
        count.send_modify(|count| *which(count) += 1);
        Self(count.clone(), which)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *(self.1)(count) -= 1);
    }
}

async fn serve(mut way: Way) {
    loop {
        if way.mode.wait_for(|mode| *mode != Mode::Down).await.is_err() {
            return;
        }
        let listener = TcpListener::bind(way.address).await.unwrap();
        let listening = Counted::new(&way.count, |count| &mut count.listening);
        let mut mode = way.mode.clone();
        let down = mode.wait_for(|mode| *mode == Mode::Down);
        tokio::select! {
            ended = down => if ended.is_err() { return },
            () = accept(&listener, &way) => {}
        }
        drop(listener);
        drop(listening);
    }
}

async fn accept(listener: &TcpListener, way: &Way) {
    loop {
        let (near, _) = listener.accept().await.unwrap();
        let (to, mode, count) = (way.to, way.mode.clone(), way.count.clone());
        let counted = Counted::new(&count, |count| &mut count.connections);
        way.tasks.spawn_background("relayed", async move {
            carry(near, to, mode, count).await;
            drop(counted);
        });
    }
}

async fn carry(
    mut near: TcpStream,
    to: SocketAddr,
    mut mode: watch::Receiver<Mode>,
    count: watch::Sender<Count>,
) {
    let mut far = None;
    loop {
        let current = *mode.borrow_and_update();
        match current {
            Mode::Down => return,
            Mode::Hole => {}
            Mode::Open => {
                if far.is_none() {
                    far = Some(TcpStream::connect(to).await.unwrap());
                }
                let far = far.as_mut().unwrap();
                let passing = Counted::new(&count, |count| &mut count.passing);
                tokio::select! {
                    _ = copy_bidirectional(&mut near, far) => return,
                    ended = mode.changed() => if ended.is_err() { return },
                }
                drop(passing);
                continue;
            }
        }
        if mode.changed().await.is_err() {
            return;
        }
    }
}
