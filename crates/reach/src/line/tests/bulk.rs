//! Streams that have a connection to themselves: how they end, and what a client said before.

use super::*;

/// Nothing is pinged meanwhile: what is being pinged is not idle.
const CALM: Timing = Timing {
    ping_interval: Duration::from_mins(1),
    ..QUICK
};

/// A server on this machine, as the name of a target; what it does with its one connection is given.
async fn server<F>(serve: impl FnOnce(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
    tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
    format!("tcp:{address}")
}

/// A rig whose bulk connections are dialled, and a stream over one of them.
async fn opened(target: &str) -> (Rig, LineStream) {
    let rig = rig().await;
    until("bulk connections", || rig.line.state().bulk_idle == 2).await;
    let opened = rig.line.open(&request(target), Lane::Bulk, PATIENCE).await;
    let stream = opened.unwrap();
    assert_eq!(stream.lane(), Lane::Bulk);
    (rig, stream)
}

/// What breaks behind the agent is told from a line that breaks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_resets_is_told_from_a_line_that_breaks() {
    let target = server(async |mut connection: TcpStream| {
        connection.read_u8().await.unwrap();
        connection.set_zero_linger().unwrap();
    });
    let (_rig, mut stream) = opened(&target.await).await;
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    let mut byte = [0];
    let reading = tokio::time::timeout(PATIENCE, stream.read(&mut byte));
    let error = reading.await.unwrap().unwrap_err();
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    assert_eq!(inner, Some(&StreamReset), "{error:?}");
}

/// What was taken for a question in vain is said on the connection that another one opened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_first_is_passed_on() {
    let rig = rig().await;
    until("bulk connections", || rig.line.state().bulk_idle == 2).await;
    let (mut near, mut far) = tokio::io::duplex(1 << 10);
    far.write_all(b"hello").await.unwrap();
    let mut early = Early::new(&mut near);
    let mut ask = async |name: &str, lane| {
        let request = request(name);
        let asked = rig
            .line
            .open_early(&request, lane, PATIENCE, Some(&mut early));
        asked.await
    };
    ask("no such", Lane::Interactive).await.unwrap_err();
    let mut stream = ask("echo", Lane::Bulk).await.unwrap();
    assert_eq!((stream.lane(), early.is_sent()), (Lane::Bulk, true));
    stream.shutdown().await.unwrap();
    assert_eq!(read_all(&mut stream).await.unwrap(), b"hello");
}

/// Beyond what the proxy has room for nothing waits, and streams take the interactive lane.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_without_room_takes_no_bulk_connections() {
    let (authority, (_supervisor, scope)) = (Authority::new(), scope().await);
    let mut proxy = Proxy::start_with(&authority, "p1", &scope, CALM, true).await;
    let mut settings = settings(&authority);
    settings.bulk_idle = BULK_ROOM + 1;
    settings.timing = CALM;
    let connector = Connector::new(settings);
    let address = proxy.address.to_string();
    let connected = connector.connect(&address, targets(&scope), &scope).await;
    let _agent = connected.unwrap();
    let line = proxy.line().await;
    line.want_bulk();
    let refused = tokio::time::timeout(PATIENCE, proxy.errors.recv()).await;
    let refused = refused.unwrap().unwrap().to_string();
    assert!(refused.contains("no descriptors for more"), "{refused}");
    until("all bulk connections", || {
        line.state().bulk_idle == BULK_ROOM
    })
    .await;
    let mut streams = Vec::new();
    for index in 0..=BULK_ROOM {
        let stream = line.open(&request("echo"), Lane::Bulk, PATIENCE).await;
        let lane = stream.as_ref().unwrap().lane();
        let is_within = index < BULK_ROOM;
        assert_eq!(lane == Lane::Bulk, is_within, "{index} is on {lane}");
        streams.push(stream);
    }
}
