//! The relay itself: each of its modes against a server that echoes.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use it::relay::{Mode, Relay};
use it::wait::{self, SOON};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Long enough to be sure that nothing comes.
const SILENCE: Duration = Duration::from_millis(300);

/// A server that says its letter and then echoes.
async fn echo(letter: u8) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(&[letter]).await?;
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    address
}

/// A relay before one echo, with a connection that has passed its letter.
async fn connected() -> (Relay, TcpStream) {
    let relay = Relay::start(&[echo(b'a').await]);
    let mut stream = TcpStream::connect(relay.address).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'a');
    (relay, stream)
}

async fn echoes(stream: &mut TcpStream, byte: u8) -> bool {
    let exchange = async {
        stream.write_u8(byte).await?;
        stream.read_u8().await
    };
    timeout(SILENCE, exchange)
        .await
        .is_ok_and(|read| read.is_ok_and(|read| read == byte))
}

/// What a read gives when the other end does something at once.
async fn end_of(stream: &mut TcpStream) -> Result<usize, ErrorKind> {
    let read = timeout(SOON, stream.read(&mut [0u8; 8])).await;
    read.unwrap().map_err(|error| error.kind())
}

/// Resets, ends and refusals are what they are called, for open connections and new ones.
#[tokio::test]
async fn connections_are_cut() {
    for (mode, expected) in [
        (Mode::Reset, Err(ErrorKind::ConnectionReset)),
        (Mode::Refuse, Err(ErrorKind::ConnectionReset)),
        (Mode::Finish, Ok(0)),
    ] {
        let (relay, mut stream) = connected().await;
        relay.set(mode);
        assert_eq!(end_of(&mut stream).await, expected, "{mode}");
        wait::until("no connection is left", SOON, async || {
            (relay.open() == 0).then_some(())
        })
        .await;
        let new = TcpStream::connect(relay.address).await;
        match (mode, new) {
            (Mode::Refuse, new) => {
                assert_eq!(new.unwrap_err().kind(), ErrorKind::ConnectionRefused);
            }
            (_, Err(error)) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
            (_, Ok(mut new)) => assert_eq!(end_of(&mut new).await, expected, "{mode}"),
        }
        relay.set(Mode::Pass);
        let mut new = wait::until("it listens again", SOON, async || {
            TcpStream::connect(relay.address).await.ok()
        })
        .await;
        assert_eq!(new.read_u8().await.unwrap(), b'a');
    }
}

/// A hole swallows, in the direction that it is told, and gives back what it has when it closes.
#[tokio::test]
async fn holes_swallow() {
    for mode in [Mode::BlackHole, Mode::LoseUp, Mode::LoseDown] {
        let (relay, mut stream) = connected().await;
        relay.set(mode);
        assert!(!echoes(&mut stream, 1).await, "{mode}");
        relay.set(Mode::Pass);
        assert_eq!(stream.read_u8().await.unwrap(), 1, "{mode}");
        assert!(echoes(&mut stream, 2).await, "{mode}");
    }
    let (relay, _stream) = connected().await;
    relay.set(Mode::Hang);
    let mut hung = TcpStream::connect(relay.address).await.unwrap();
    assert!(timeout(SILENCE, hung.read_u8()).await.is_err());
    relay.set(Mode::Pass);
    assert_eq!(end_of(&mut hung).await, Err(ErrorKind::ConnectionReset));
}

/// Slow is as slow as it is told.
#[tokio::test]
async fn slow_is_measured() {
    let (relay, mut stream) = connected().await;
    relay.set(Mode::Drip {
        bytes_per_second: 100,
    });
    let begun = Instant::now();
    stream.write_all(&[7; 50]).await.unwrap();
    stream.read_exact(&mut [0; 50]).await.unwrap();
    let drip = begun.elapsed();
    assert!(
        drip > Duration::from_millis(400) && drip < Duration::from_secs(5),
        "{drip:?}"
    );
    let (relay, mut stream) = connected().await;
    relay.set("link=20,100".parse().unwrap());
    let begun = Instant::now();
    stream.write_u8(1).await.unwrap();
    stream.read_u8().await.unwrap();
    let trip = begun.elapsed();
    assert!(
        trip >= Duration::from_millis(100) && trip < Duration::from_secs(2),
        "{trip:?}"
    );
    let begun = Instant::now();
    let (mut read, mut write) = stream.split();
    let sent = async { write.write_all(&vec![0; 1 << 20]).await };
    let mut back = vec![0; 1 << 20];
    let (sent, received) = tokio::join!(sent, read.read_exact(&mut back));
    sent.unwrap();
    received.unwrap();
    // 1 MiB at 2.5 MB/s each way, both ways at once.
    let bulk = begun.elapsed();
    assert!(
        bulk > Duration::from_millis(400) && bulk < Duration::from_secs(5),
        "{bulk:?}"
    );
}

/// An idle connection is forgotten silently; one that is used is not.
#[tokio::test]
async fn idle_connections_are_forgotten() {
    let (relay, mut stream) = connected().await;
    relay.set("idle-cut=0.5".parse().unwrap());
    for byte in 0..4 {
        tokio::time::sleep(SILENCE / 2).await;
        assert!(echoes(&mut stream, byte).await);
    }
    assert!(
        timeout(SILENCE * 3, stream.read_u8()).await.is_err(),
        "told"
    );
    stream.write_u8(1).await.unwrap();
    assert_eq!(end_of(&mut stream).await, Err(ErrorKind::ConnectionReset));
}

/// Several upstreams are taken in turn, and the end of one direction is passed on alone.
#[tokio::test]
async fn upstreams_take_turns() {
    let relay = Relay::start(&[echo(b'a').await, echo(b'b').await]);
    for letter in [b'a', b'b', b'a', b'b'] {
        let mut stream = TcpStream::connect(relay.address).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), letter);
        stream.write_u8(1).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, [1]);
    }
}
