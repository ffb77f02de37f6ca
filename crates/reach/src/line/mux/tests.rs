//! Two ends over a pipe in memory, and an end beside one that does not keep to the protocol.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::time::timeout;

use super::state::URGENT_BYTES_MAX;
use super::wire::{self, Kind};
use super::*;
use crate::line::copy::Chunk;
use crate::line::limits::{FRAME_SIZE, SEND_BUFFER, STREAM_WINDOW};
use crate::line::message::{Refusal, RefusalCode};

const PATIENCE: Duration = Duration::from_secs(20);
const MOMENT: Duration = Duration::from_millis(100);

/// An end that is driven by a task.
struct Driven {
    mux: Arc<Mux>,
    opened: tokio::sync::mpsc::UnboundedReceiver<(Stream, Bytes)>,
    task: tokio::task::JoinHandle<io::Error>,
}

#[expect(clippy::disallowed_methods, reason = "a test has no supervisor")]
fn drive(io: DuplexStream, end: End) -> Driven {
    let mux = Mux::new(Box::new(io), end, Arc::default());
    let (give, opened) = tokio::sync::mpsc::unbounded_channel();
    let driver = Arc::clone(&mux);
    let task = tokio::spawn(async move {
        let _guard = driver.guard();
        driver
            .drive(|stream, request| drop(give.send((stream, request))))
            .await
    });
    Driven { mux, opened, task }
}

fn pair(bytes: usize) -> (Driven, Driven) {
    let (near, far) = tokio::io::duplex(bytes);
    (drive(near, End::Opens), drive(far, End::Serves))
}

/// A stream and its other end.
async fn open(proxy: &Driven, agent: &mut Driven) -> (Stream, Stream) {
    let mut near = proxy.mux.open(b"dial this").unwrap();
    near.flush();
    let (far, request) = within(agent.opened.recv()).await.unwrap();
    assert_eq!(request, &b"dial this"[..]);
    far.accept();
    far.flush();
    assert_eq!(within(near.answered()).await.unwrap(), Ok(()));
    (near, far)
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("in time")
}

async fn send(stream: &mut Stream, bytes: Bytes) -> io::Result<()> {
    let mut chunk = Chunk::default();
    chunk.push(BytesMut::from(bytes));
    while !chunk.is_empty() {
        poll_fn(|context| stream.poll_send(context, &mut chunk)).await?;
    }
    stream.flush();
    Ok(())
}

/// The next bytes; none at the end.
async fn next(stream: &mut Stream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 1 << 20];
    let length = poll_fn(|context| {
        let mut buffer = ReadBuf::new(&mut bytes);
        let read = stream.poll_read(context, &mut buffer);
        read.map_ok(|()| buffer.filled().len())
    })
    .await?;
    bytes.truncate(length);
    Ok(bytes)
}

async fn all(stream: &mut Stream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        match next(stream).await? {
            chunk if chunk.is_empty() => return Ok(bytes),
            chunk => bytes.extend_from_slice(&chunk),
        }
    }
}

fn pattern(length: usize) -> Bytes {
    (0..=250).cycle().take(length).collect()
}

/// Whatever the pipe takes at once, large and small pieces arrive whole and in order, both ways.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_arrive_whole_and_in_order() {
    for size in [1_000, 5_001, 300_000] {
        let (proxy, mut agent) = pair(size);
        let (mut near, mut far) = open(&proxy, &mut agent).await;
        let (up, down) = (pattern(3_000_000), pattern(900_001));
        let sending = async {
            for piece in [1, 4_095, 4_097, FRAME_SIZE, FRAME_SIZE + 1, 2_000_000] {
                let at = near_offset(piece);
                send(&mut near, up.slice(at.clone())).await.unwrap();
            }
            near.finish();
            all(&mut near).await.unwrap()
        };
        let receiving = async {
            send(&mut far, down.clone()).await.unwrap();
            far.finish();
            all(&mut far).await.unwrap()
        };
        let (got_down, got_up) = within(async { tokio::join!(sending, receiving) }).await;
        assert!(got_down == down);
        let sent: Vec<u8> = [1, 4_095, 4_097, FRAME_SIZE, FRAME_SIZE + 1, 2_000_000]
            .into_iter()
            .flat_map(|piece| up.slice(near_offset(piece)).to_vec())
            .collect();
        assert!(got_up == sent);
        drop((near, far));
        within(both_forget(&proxy, &agent)).await;
    }
}

fn near_offset(piece: usize) -> std::ops::Range<usize> {
    piece / 3..piece / 3 + piece
}

/// Until neither end knows a stream.
async fn both_forget(proxy: &Driven, agent: &Driven) {
    let count = |end: &Driven| lock(&end.mux.state).streams.len();
    while count(proxy) + count(agent) > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_reader_that_stalls_stops_its_writer_and_nobody_else() {
    let (proxy, mut agent) = pair(64 << 10);
    let (mut near, mut stalled) = open(&proxy, &mut agent).await;
    let all_it_takes = STREAM_WINDOW as usize + SEND_BUFFER;
    let bytes = pattern(all_it_takes + 100_000);
    let sending = send(&mut near, bytes.clone());
    assert!(timeout(MOMENT, sending).await.is_err(), "it is not bounded");
    let (mut other, mut other_far) = open(&proxy, &mut agent).await;
    send(&mut other, pattern(3_000_000).slice(..500_000))
        .await
        .unwrap();
    other.finish();
    assert_eq!(within(all(&mut other_far)).await.unwrap().len(), 500_000);
    // What was queued is not lost when the writer leaves; then it is told that the rest is missing.
    drop(near);
    let mut got = Vec::new();
    let error = loop {
        match within(next(&mut stalled)).await {
            Ok(chunk) => got.extend_from_slice(&chunk),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(got[..] == bytes[..got.len()] && got.len() >= all_it_takes);
    drop((stalled, other, other_far));
    within(both_forget(&proxy, &agent)).await;
}

/// Both have queued what the other does not take, and leave: nothing of it stays.
#[tokio::test]
async fn streams_that_both_ends_leave_are_forgotten() {
    let (proxy, mut agent) = pair(64 << 10);
    let (mut near, mut far) = open(&proxy, &mut agent).await;
    let bytes = pattern(3 << 20);
    let filling = async {
        tokio::join!(
            send(&mut near, bytes.clone()),
            send(&mut far, bytes.clone())
        )
    };
    assert!(timeout(MOMENT, filling).await.is_err());
    drop(near);
    tokio::time::sleep(MOMENT).await;
    drop(far);
    within(both_forget(&proxy, &agent)).await;
}

/// The pipe takes so little that the end still waits when the writer leaves; the other end has not ended
/// its direction.
#[tokio::test]
async fn an_end_that_waits_when_its_writer_leaves_still_arrives() {
    let (proxy, mut agent) = pair(100);
    let (mut near, mut far) = open(&proxy, &mut agent).await;
    let bytes = pattern(50_000);
    send(&mut far, bytes.clone()).await.unwrap();
    far.finish();
    drop(far);
    assert!(within(all(&mut near)).await.unwrap() == bytes);
    drop(near);
    within(both_forget(&proxy, &agent)).await;
}

#[tokio::test]
async fn what_is_aborted_arrives_as_a_reset() {
    let (proxy, mut agent) = pair(64 << 10);
    let (mut near, mut far) = open(&proxy, &mut agent).await;
    send(&mut near, Bytes::from_static(b"half")).await.unwrap();
    assert_eq!(within(next(&mut far)).await.unwrap(), &b"half"[..]);
    near.abort();
    drop(near);
    let error = within(next(&mut far)).await.unwrap_err();
    assert_eq!(error.get_ref().unwrap().downcast_ref(), Some(&StreamReset));
    assert!(send(&mut far, Bytes::from_static(b"more")).await.is_err());
    drop(far);
    within(both_forget(&proxy, &agent)).await;
}

#[tokio::test]
async fn questions_are_refused_and_given_up() {
    let (proxy, mut agent) = pair(64 << 10);
    let mut refused = proxy.mux.open(b"a").unwrap();
    refused.flush();
    let (far, _) = within(agent.opened.recv()).await.unwrap();
    let refusal = Refusal::new(RefusalCode::NotFound, "no such thing");
    far.refuse(&refusal);
    let answer = within(refused.answered()).await.unwrap();
    assert_eq!(answer.unwrap_err(), refusal);
    let given_up = proxy.mux.open(b"b").unwrap();
    given_up.flush();
    let (far, _) = within(agent.opened.recv()).await.unwrap();
    drop(given_up);
    within(far.broken()).await;
    drop((refused, far));
    within(both_forget(&proxy, &agent)).await;
}

#[tokio::test]
async fn the_end_of_the_lane_breaks_everything_on_it() {
    let (proxy, mut agent) = pair(64 << 10);
    let (mut near, mut far) = open(&proxy, &mut agent).await;
    agent.task.abort();
    assert!(within(next(&mut far)).await.is_err());
    assert!(within(next(&mut near)).await.is_err());
    let error = within(proxy.task).await.unwrap();
    assert_eq!(error.to_string(), "the other end closed the lane");
    let mut late = proxy.mux.open(b"late").unwrap();
    assert!(within(late.answered()).await.is_err());
}

#[tokio::test]
async fn pings_are_answered_while_a_stream_is_stuck() {
    let (proxy, mut agent) = pair(8 << 10);
    let (mut near, _far) = open(&proxy, &mut agent).await;
    let stuck = send(&mut near, pattern(3 << 20));
    let pinging = async {
        tokio::time::sleep(MOMENT).await;
        within(async { tokio::join!(proxy.mux.ping(), agent.mux.ping()) }).await;
    };
    tokio::select! {
        _ = stuck => panic!("it can't be sent"),
        () = pinging => {}
    }
}

/// What an end says about such bytes.
async fn verdict(end: End, bytes: &[u8]) -> io::Error {
    let (near, mut far) = tokio::io::duplex(64 << 10);
    let driven = drive(near, end);
    far.write_all(bytes).await.unwrap();
    drop(far);
    within(driven.task).await.unwrap()
}

fn frame(kind: Kind, stream: u32, rest: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    wire::put(&mut out, kind, stream, rest);
    out.to_vec()
}

#[tokio::test]
async fn what_the_other_end_may_not_send_ends_the_lane() {
    let twice = [frame(Kind::Open, 1, b"a"), frame(Kind::Open, 1, b"b")].concat();
    let late = [
        frame(Kind::Open, 1, b"a"),
        frame(Kind::End, 1, &[]),
        frame(Kind::Data, 1, b"late"),
    ];
    let late = late.concat();
    let mut flood = frame(Kind::Open, 1, b"a");
    for _ in 0..17 {
        flood.extend(frame(Kind::Data, 1, &pattern(64 << 10)));
    }
    for (end, bytes) in [
        (End::Opens, frame(Kind::Open, 1, b"a")),
        (End::Serves, twice),
        (End::Serves, frame(Kind::Ping, 0, b"short")),
        (End::Serves, frame(Kind::Pong, 0, &u64::MAX.to_be_bytes())),
        (End::Serves, late),
        (End::Serves, vec![2, 0xff, 0xff, 0xff, 0, 0, 0, 1]),
    ] {
        assert_eq!(
            verdict(end, &bytes).await.kind(),
            io::ErrorKind::InvalidData
        );
    }
    let (near, mut far) = tokio::io::duplex(2 << 20);
    let mut driven = drive(near, End::Serves);
    far.write_all(&flood).await.unwrap();
    let _held = within(driven.opened.recv()).await.unwrap();
    let error = within(driven.task).await.unwrap();
    assert!(error.to_string().contains("more than it may"), "{error}");
}

#[tokio::test]
async fn frames_of_later_versions_and_of_streams_that_are_gone_are_left_out() {
    let (near, mut far) = tokio::io::duplex(64 << 10);
    let driven = drive(near, End::Opens);
    let mut bytes = vec![77, 0, 0, 3, 0, 0, 0, 1, 1, 2, 3];
    for kind in [
        Kind::Data,
        Kind::End,
        Kind::Reset,
        Kind::Opened,
        Kind::Refused,
    ] {
        bytes.extend(frame(kind, 99, b"late"));
    }
    bytes.extend(frame(Kind::Window, 99, &[0, 0, 0, 1]));
    bytes.extend(frame(Kind::Ping, 0, &7_u64.to_be_bytes()));
    far.write_all(&bytes).await.unwrap();
    let mut pong = [0; 16];
    within(far.read_exact(&mut pong)).await.unwrap();
    assert_eq!(pong[..], frame(Kind::Pong, 0, &7_u64.to_be_bytes()));
    drop(far);
    within(driven.task).await.unwrap();
}

/// Bytes without sense end the lane or are left out; they never break it, however they are cut.
#[tokio::test]
async fn no_bytes_break_it() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bytes = Vec::new();
        for _ in 0..random.usize(..40) {
            let length = random.usize(..40);
            let rest: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
            bytes.extend([random.u8(..12), 0, 0, random.u8(..40)]);
            bytes.extend([0, 0, 0, random.u8(..4)]);
            bytes.extend(rest);
        }
        let (near, mut far) = tokio::io::duplex(100);
        let end = if seed % 2 == 0 {
            End::Opens
        } else {
            End::Serves
        };
        let driven = drive(near, end);
        for piece in bytes.chunks(random.usize(1..30)) {
            if far.write_all(piece).await.is_err() {
                break;
            }
        }
        drop(far);
        within(driven.task).await.unwrap();
    }
}

/// Questions of an end that nobody reads are bounded.
#[tokio::test]
async fn questions_that_wait_are_bounded() {
    let (near, _far) = tokio::io::duplex(100);
    let driven = drive(near, End::Opens);
    let request = vec![b'x'; 16 << 10];
    let mut streams = Vec::new();
    while let Some(stream) = driven.mux.open(&request) {
        streams.push(stream);
        assert!(streams.len() <= URGENT_BYTES_MAX / request.len());
    }
}
