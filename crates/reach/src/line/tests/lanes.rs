//! What a line does when all is well.

use super::*;

async fn echo_on(rig: &Rig, lane: Lane) -> Lane {
    let mut stream = rig
        .line
        .open(&request("echo"), lane, PATIENCE)
        .await
        .unwrap();
    stream.write_all(b"over the line").await.unwrap();
    stream.flush().await.unwrap();
    let mut back = [0; 13];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"over the line");
    stream.shutdown().await.unwrap();
    assert_eq!(
        stream.read(&mut back).await.unwrap(),
        0,
        "the other direction ends as well"
    );
    stream.lane()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_go_over_the_lane_that_is_asked_for() {
    let rig = rig().await;
    assert_eq!(rig.line.peer().name, "web-1");
    assert_eq!(rig.agent.proxy().name, "p1");
    assert_eq!(rig.agent.state().via, Via::Direct);
    until("bulk connections", || rig.line.state().bulk_idle == 2).await;
    for lane in [Lane::Interactive, Lane::Bulk] {
        assert_eq!(echo_on(&rig, lane).await, lane);
    }
    until("the streams' ends", || rig.agent.state().streams == 0).await;
    until("a new bulk connection", || rig.line.state().bulk_idle == 2).await;
    until("a round trip", || rig.line.state().round_trip.is_some()).await;
    let state = rig.line.state();
    assert_eq!((state.opened, state.failed, state.last_error), (2, 0, None));
    let echo = request("echo");
    let on_control = rig.line.open(&echo, Lane::Control, PATIENCE).await;
    let error = on_control.unwrap_err().to_string();
    assert!(error.contains("messages only"), "{error}");
}

/// Most lines never carry bulk: connections for it are dialled once somebody has wanted one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_connections_are_dialled_when_they_are_wanted() {
    let authority = Authority::new();
    let (_supervisor, scope) = scope().await;
    let mut proxy = Proxy::start(&authority, "p1", &scope).await;
    let address = proxy.address.to_string();
    let connector = Connector::new(settings(&authority));
    let _agent = connector
        .connect(&address, targets(&scope), &scope)
        .await
        .unwrap();
    let line = proxy.line().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(line.state().bulk_idle, 0);
    let first = line.open(&request("echo"), Lane::Bulk, PATIENCE).await;
    assert_eq!(first.unwrap().lane(), Lane::Interactive);
    until("bulk connections", || line.state().bulk_idle == 2).await;
    let second = line.open(&request("echo"), Lane::Bulk, PATIENCE).await;
    assert_eq!(second.unwrap().lane(), Lane::Bulk);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_without_a_connection_takes_the_interactive_lane() {
    let authority = Authority::new();
    let (_supervisor, scope) = scope().await;
    let mut proxy = Proxy::start(&authority, "p1", &scope).await;
    let mut settings = settings(&authority);
    settings.bulk_idle = 0;
    let address = proxy.address.to_string();
    let connector = Connector::new(settings);
    let _agent = connector
        .connect(&address, targets(&scope), &scope)
        .await
        .unwrap();
    let line = proxy.line().await;
    let stream = line
        .open(&request("echo"), Lane::Bulk, PATIENCE)
        .await
        .unwrap();
    assert_eq!(stream.lane(), Lane::Interactive);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_speaks_first_is_heard() {
    let rig = rig().await;
    until("bulk connections", || rig.line.state().bulk_idle > 0).await;
    for lane in [Lane::Interactive, Lane::Bulk] {
        let mut stream = rig
            .line
            .open(&request("hello"), lane, PATIENCE)
            .await
            .unwrap();
        let mut greeting = [0; 11];
        stream.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"SSH-2.0-x\r\n");
    }
    let mut stream = rig
        .line
        .open(&request("taken"), Lane::Interactive, PATIENCE)
        .await
        .unwrap();
    assert_eq!(read_all(&mut stream).await.unwrap(), b"mine");
}

/// What a client says before there is an answer arrives once, also when the first question was in vain;
/// that it has ended already is no reason not to connect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_says_first_goes_along() {
    let rig = rig().await;
    let open = async |name: &str, early: &mut Early<'_>| {
        let request = request(name);
        rig.line
            .open_early(&request, Lane::Interactive, PATIENCE, Some(early))
            .await
    };
    let (mut near, mut far) = tokio::io::duplex(1 << 10);
    far.write_all(b"hello").await.unwrap();
    let mut early = Early::new(&mut near);
    let refused = open("no such", &mut early).await.unwrap_err();
    // Whoever got no answer must not say it again; whoever was refused may.
    assert!(early.is_sent() && !refused.may_have_dialled());
    assert_eq!(early.taken(), "hello");
    far.write_all(b" again").await.unwrap();
    let mut stream = open("echo", &mut early).await.unwrap();
    assert_eq!(early.taken(), "hello");
    let mut rest = [0; 6];
    near.read_exact(&mut rest).await.unwrap();
    stream.write_all(&rest).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_all(&mut stream).await.unwrap(), b"hello again");

    let (mut near, far) = tokio::io::duplex(1 << 10);
    drop(far);
    let mut early = Early::new(&mut near);
    let mut stream = open("hello", &mut early).await.unwrap();
    assert_eq!(early.taken(), "");
    let mut greeting = [0; 11];
    stream.read_exact(&mut greeting).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_bytes_arrive_whole_both_ways() {
    const LENGTH: usize = 8 << 20;
    let rig = rig().await;
    until("bulk connections", || rig.line.state().bulk_idle > 0).await;
    for lane in [Lane::Interactive, Lane::Bulk] {
        let stream = rig
            .line
            .open(&request("echo"), lane, PATIENCE)
            .await
            .unwrap();
        let (mut reader, mut writer) = tokio::io::split(stream);
        let byte = |index: usize| u8::try_from(index * 31 % 251).unwrap();
        let sent: Vec<u8> = (0..LENGTH).map(byte).collect();
        let sending = async {
            writer.write_all(&sent).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let mut back = vec![0; LENGTH];
        let reading = async {
            reader.read_exact(&mut back).await.unwrap();
            assert_eq!(reader.read(&mut [0; 1]).await.unwrap(), 0);
        };
        tokio::join!(sending, reading);
        assert!(back == sent, "{lane}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_reach_the_agent() {
    let mut rig = rig().await;
    let announcement = SignedAnnouncement {
        payload: "x".repeat(100_000),
        signature: "s".to_owned(),
    };
    assert!(rig.line.announce(announcement.clone()));
    let event = tokio::time::timeout(PATIENCE, rig.agent.next())
        .await
        .unwrap();
    assert_eq!(
        event,
        AgentEvent::Message(Message::Announcement(announcement))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_stall_do_not_delay_others() {
    let rig = rig().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("tcp:{}", listener.local_addr().unwrap());
    rig.scope.spawn("endless source", {
        let scope = rig.scope.clone();
        async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                scope.spawn("endless stream", async move {
                    let chunk = vec![7; 64 << 10];
                    while stream.write_all(&chunk).await.is_ok() {}
                });
            }
        }
    });
    let mut stalled = Vec::new();
    for _ in 0..8 {
        let lane = Lane::Interactive;
        stalled.push(
            rig.line
                .open(&request(&target), lane, PATIENCE)
                .await
                .unwrap(),
        );
    }
    // Until every window is full.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut stream = rig
        .line
        .open(&request("echo"), Lane::Interactive, PATIENCE)
        .await
        .unwrap();
    let mut times = Vec::new();
    for _ in 0..200 {
        let start = base::clock::now();
        stream.write_all(b"x").await.unwrap();
        stream.read_u8().await.unwrap();
        times.push(start.elapsed());
    }
    times.sort();
    // The goal is 5 ms on an idle machine; a blocked lane would take for ever.
    assert!(
        times[100] < Duration::from_millis(50),
        "median {:?}",
        times[100]
    );
    for _ in 0..20 {
        echo_on(&rig, Lane::Interactive).await;
    }
    assert_eq!(rig.line.state().interactive_streams, 9);
    drop(stalled);
    drop(stream);
    until("the streams' ends", || rig.agent.state().streams == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_proxy_sends_the_agent_away_and_lets_streams_end() {
    let mut rig = rig().await;
    let mut open = rig
        .line
        .open(&request("echo"), Lane::Interactive, PATIENCE)
        .await
        .unwrap();
    rig.proxy.acceptor.close("p1 is being replaced");
    let notice = Drain {
        reason: "upgrade".to_owned(),
        has_successor: true,
        spread_ms: 500,
    };
    let (line, told) = (rig.line.clone(), notice.clone());
    let (done, mut ended) = oneshot::channel();
    rig.scope.spawn("drain", async move {
        line.drain(told, PATIENCE).await;
        done.send(()).unwrap();
    });
    assert_eq!(
        rig.agent.next().await,
        AgentEvent::Message(Message::Draining(notice))
    );
    let refused = rig
        .line
        .open(&request("echo"), Lane::Interactive, PATIENCE)
        .await;
    let error = refused.unwrap_err();
    assert_eq!(error.to_string(), "node web-1 is leaving: upgrade");
    open.write_all(b"still here").await.unwrap();
    let mut back = [0; 10];
    open.read_exact(&mut back).await.unwrap();
    assert!(ended.try_recv().is_err(), "a stream is open");
    open.shutdown().await.unwrap();
    assert_eq!(open.read(&mut back).await.unwrap(), 0);
    drop(open);
    tokio::time::timeout(PATIENCE, ended)
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(rig.agent.next().await, AgentEvent::Ended { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_agent_lets_streams_end() {
    let rig = rig().await;
    let mut open = rig
        .line
        .open(&request("echo"), Lane::Interactive, PATIENCE)
        .await
        .unwrap();
    let notice = Drain {
        reason: "stop".to_owned(),
        has_successor: false,
        spread_ms: 0,
    };
    let drainer = rig.agent.handle();
    let (done, ended) = oneshot::channel();
    rig.scope.spawn("drain", async move {
        drainer.drain(notice, PATIENCE).await;
        done.send(()).unwrap();
    });
    until("the advisory", || rig.line.state().is_draining).await;
    let refused = rig
        .line
        .open(&request("echo"), Lane::Interactive, PATIENCE)
        .await
        .unwrap_err();
    assert!(matches!(refused, OpenError::Draining { .. }), "{refused}");
    open.write_all(b"y").await.unwrap();
    assert_eq!(open.read_u8().await.unwrap(), b'y');
    drop(open);
    tokio::time::timeout(PATIENCE, ended)
        .await
        .unwrap()
        .unwrap();
    tokio::time::timeout(PATIENCE, rig.line.closed())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_after_the_end() {
    let rig = rig().await;
    let mut interactive = rig
        .line
        .open(&request("echo"), Lane::Interactive, PATIENCE)
        .await
        .unwrap();
    until("bulk connections", || rig.line.state().bulk_idle == 2).await;
    let mut bulk = rig
        .line
        .open(&request("echo"), Lane::Bulk, PATIENCE)
        .await
        .unwrap();
    assert_eq!(bulk.lane(), Lane::Bulk);
    rig.line.close("locked");
    assert!(interactive.read_u8().await.is_err());
    assert!(bulk.read_u8().await.is_err());
    let gone = rig
        .line
        .open(&request("echo"), Lane::Interactive, PATIENCE)
        .await
        .unwrap_err();
    assert_eq!(gone.to_string(), "the line to node web-1 is gone: locked");
    drop((interactive, bulk));
    let Rig {
        supervisor, agent, ..
    } = rig;
    drop(agent);
    let left = || {
        supervisor
            .running()
            .tasks
            .into_iter()
            .filter(|(name, _)| *name != "listener")
            .count()
    };
    until("the end of all tasks", || left() == 0).await;
}
