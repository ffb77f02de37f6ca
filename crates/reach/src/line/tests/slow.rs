//! A proxy that is slow to notice that what it said has left: the agent is quicker with the next lane.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::*;

/// A connection whose every flush is told late.
struct ToldLate {
    stream: TcpStream,
    waits: Option<Pin<Box<Sleep>>>,
}

impl AsyncRead for ToldLate {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for ToldLate {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wait = self
            .waits
            .get_or_insert_with(|| Box::pin(sleep(Duration::from_millis(300))));
        std::task::ready!(wait.as_mut().poll(context));
        self.waits = None;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interactive_lane_that_is_quicker_than_its_line_finds_it() {
    let authority = Authority::new();
    let (_supervisor, scope) = scope().await;
    let proxy = Proxy::start(&authority, "p1", &scope).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (door, outer) = (proxy.acceptor.clone(), scope.clone());
    scope.spawn("slow listener", async move {
        // The control lane only: the interactive one is as quick as ever.
        let (stream, remote) = listener.accept().await.unwrap();
        let late = ToldLate {
            stream,
            waits: None,
        };
        let first = door.clone();
        outer.spawn("slow accept", async move {
            drop(first.accept(Box::new(late), remote).await);
        });
        let (stream, remote) = listener.accept().await.unwrap();
        drop(door.accept(Box::new(stream), remote).await);
    });
    let connector = Connector::new(ConnectorSettings {
        timing: Timing::default(),
        ..settings(&authority)
    });
    let line = connector.connect(&address, targets(&scope), &scope).await;
    assert_eq!(line.unwrap().proxy().name, "p1");
}
