//! One connection through the relay: both directions, each as the mode of the moment wants it, until
//! they have ended or the mode cuts them.

use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use super::link::Link;
use super::mode::{Direction, Mode, Order};

/// What is read at once.
const CHUNK_BYTES: usize = 16 << 10;
/// What is sent at once on a shared link: small, so that the link is shared finely.
const LINK_CHUNK_BYTES: usize = 4 << 10;
/// Chunks under way on a link with a long round trip.
const CHUNKS_MAX: usize = 1_024;
/// How finely a drip is cut.
const DRIPS_PER_SECOND: u32 = 10;

/// The two directions of the shared link.
#[derive(Debug, Default)]
pub(super) struct Links {
    up: Link,
    down: Link,
}

/// Passes bytes between the two until both directions have ended or the orders cut them. `resets` is
/// what [`Order::resets`] was when the connection was accepted.
pub(super) async fn pass(
    mut client: TcpStream,
    mut upstream: TcpStream,
    resets: u64,
    orders: watch::Receiver<Order>,
    links: &Links,
) {
    let active = Mutex::new(Instant::now());
    let cut = {
        let (client_read, client_write) = client.split();
        let (upstream_read, upstream_write) = upstream.split();
        let half = |direction| Half {
            direction,
            orders: orders.clone(),
            links,
            active: &active,
        };
        let both = async {
            let up = half(Direction::Up).run(client_read, upstream_write);
            let down = half(Direction::Down).run(upstream_read, client_write);
            // A reset of one side is one of the other, too.
            tokio::try_join!(up, down)
        };
        tokio::select! {
            outcome = both => if outcome.is_ok() { Cut::Finish } else { Cut::Reset },
            cut = wait_for_cut(resets, orders.clone(), &active) => cut,
        }
    };
    match cut {
        Cut::Finish => {}
        Cut::Reset => reset_both(&client, &upstream),
        Cut::Forget => {
            let (mut one, mut other) = ([0u8; 1], [0u8; 1]);
            // Either a byte or an end: both are news of a connection that nobody here knows.
            tokio::select! {
                _ = client.peek(&mut one) => {}
                _ = upstream.peek(&mut other) => {}
            }
            reset_both(&client, &upstream);
        }
    }
}

/// A connection that is closed now is reset.
pub(super) fn reset(stream: &TcpStream) {
    // It fails for a connection that is reset already.
    drop(stream.set_zero_linger());
}

fn reset_both(client: &TcpStream, upstream: &TcpStream) {
    reset(client);
    reset(upstream);
}

/// How a connection ends.
enum Cut {
    Finish,
    Reset,
    Forget,
}

async fn wait_for_cut(
    resets: u64,
    mut orders: watch::Receiver<Order>,
    active: &Mutex<Instant>,
) -> Cut {
    loop {
        let order = *orders.borrow_and_update();
        if order.resets != resets {
            return Cut::Reset;
        }
        let idle = match order.mode {
            Mode::Finish => return Cut::Finish,
            Mode::IdleCut { after } => {
                let idle = active.lock().unwrap().elapsed();
                match after.checked_sub(idle) {
                    None | Some(Duration::ZERO) => return Cut::Forget,
                    Some(left) => left,
                }
            }
            _ => Duration::from_hours(1),
        };
        tokio::select! {
            changed = orders.changed() => if changed.is_err() {
                return Cut::Reset;
            },
            () = tokio::time::sleep(idle) => {}
        }
    }
}

/// One direction of a connection.
struct Half<'a> {
    direction: Direction,
    orders: watch::Receiver<Order>,
    links: &'a Links,
    active: &'a Mutex<Instant>,
}

impl Half<'_> {
    async fn run(
        self,
        from: impl AsyncRead + Unpin,
        to: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let (send, receive) = mpsc::channel(CHUNKS_MAX);
        let deliver = deliver(receive, to, self.orders.clone(), self.direction);
        tokio::try_join!(self.take(from, send), deliver).map(drop)
    }

    /// Reads, at the speed of the mode.
    async fn take(
        mut self,
        mut from: impl AsyncRead + Unpin,
        send: mpsc::Sender<(Instant, Vec<u8>)>,
    ) -> io::Result<()> {
        let mut buffer = vec![0u8; CHUNK_BYTES];
        loop {
            let mode = self.orders.borrow_and_update().mode;
            if mode.holds(self.direction) {
                if self.orders.changed().await.is_err() {
                    return Ok(());
                }
                continue;
            }
            let size = match mode {
                Mode::Drip { bytes_per_second } => {
                    usize::try_from((bytes_per_second / DRIPS_PER_SECOND).max(1)).unwrap()
                }
                Mode::Link { .. } => LINK_CHUNK_BYTES,
                _ => CHUNK_BYTES,
            };
            let length = tokio::select! {
                length = from.read(&mut buffer[..size.min(CHUNK_BYTES)]) => length?,
                changed = self.orders.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    continue;
                }
            };
            if length == 0 {
                return Ok(());
            }
            *self.active.lock().unwrap() = Instant::now();
            let at = self.travel(mode, length).await;
            if send.send((at, buffer[..length].to_vec())).await.is_err() {
                return Ok(());
            }
        }
    }

    /// When bytes that were read now arrive; returns when the next may be read.
    async fn travel(&self, mode: Mode, length: usize) -> Instant {
        match mode {
            Mode::Drip { bytes_per_second } => {
                let wait = length as f64 / f64::from(bytes_per_second);
                tokio::time::sleep(Duration::from_secs_f64(wait)).await;
                Instant::now()
            }
            Mode::Link {
                bits_per_second,
                round_trip,
            } => {
                let link = match self.direction {
                    Direction::Up => &self.links.up,
                    Direction::Down => &self.links.down,
                };
                link.send(length, bits_per_second).await + round_trip / 2
            }
            _ => Instant::now(),
        }
    }
}

/// Writes what has arrived, in order, and closes the direction at its end.
async fn deliver(
    mut chunks: mpsc::Receiver<(Instant, Vec<u8>)>,
    mut to: impl AsyncWrite + Unpin,
    mut orders: watch::Receiver<Order>,
    direction: Direction,
) -> io::Result<()> {
    while let Some((at, chunk)) = chunks.recv().await {
        tokio::time::sleep_until(at.into()).await;
        // What is under way when the hole opens falls into it as well.
        if orders
            .wait_for(|order| !order.mode.holds(direction))
            .await
            .is_err()
        {
            return Ok(());
        }
        to.write_all(&chunk).await?;
    }
    to.shutdown().await
}
