//! Sealed records: whole and in order between two ends, refused when somebody changed them, and the same as
//! those of TLS 1.3 to another implementation.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;
use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384;
use rustls::crypto::cipher::{AeadKey, InboundOpaqueMessage, Iv};
use rustls::{ContentType, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::line::health::Health;
use crate::line::mux::StreamReset;
use crate::line::stream::{Counted, LineStream};

const PATIENCE: Duration = Duration::from_secs(10);
const OURS: [u8; 48] = [1; 48];
const THEIRS: [u8; 48] = [2; 48];

fn key(secret: [u8; 48], records_max: u64) -> Key {
    Key::new(secret, records_max).unwrap()
}

/// Two ends, with something between that holds so many bytes.
fn pair(held: usize, records_max: u64) -> (Sealed, Sealed) {
    let (near, far) = duplex(held);
    let near = end(near, THEIRS, OURS, records_max);
    (near, end(far, OURS, THEIRS, records_max))
}

fn end(io: DuplexStream, receive: [u8; 48], send: [u8; 48], records_max: u64) -> Sealed {
    let (receive, send) = (key(receive, records_max), key(send, records_max));
    Sealed::with_keys(Box::new(io), receive, send)
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("in time")
}

fn pattern(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

/// What one end sends comes whole and in order, whatever the pieces and whatever the way takes at once,
/// under one key and under many. Each direction ends on its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_arrive_whole_and_in_order() {
    for (held, records_max) in [(997, u64::MAX), (70_000, 3), (1 << 20, u64::MAX)] {
        let (mut near, mut far) = pair(held, records_max);
        let bytes = pattern(1_000_000);
        let sending = async {
            let mut rest = &bytes[..];
            for length in [1, 16_383, 16_385, 300_000, usize::MAX] {
                let (piece, left) = rest.split_at(length.min(rest.len()));
                near.write_all(piece).await.unwrap();
                near.flush().await.unwrap();
                rest = left;
            }
            near.shutdown().await.unwrap();
            all(&mut near).await
        };
        let receiving = async {
            let (received, outcome) = all(&mut far).await;
            outcome.unwrap();
            assert!(received == bytes, "{} bytes", received.len());
            far.write_all(b"whole").await.unwrap();
            far.shutdown().await.unwrap();
        };
        let ((answer, _), ()) = within(async { tokio::join!(sending, receiving) }).await;
        assert_eq!(answer, b"whole");
    }
}

/// What was sent before a stream was broken can be read, and then it is told from a cut.
#[tokio::test]
async fn a_reset_is_told_behind_what_came_before() {
    let (mut near, mut far) = pair(70_000, u64::MAX);
    near.write_all(b"last words").await.unwrap();
    near.reset();
    drop(near);
    let mut words = [0; 10];
    within(far.read_exact(&mut words)).await.unwrap();
    assert_eq!(&words, b"last words");
    let error = within(far.read(&mut words)).await.unwrap_err();
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    assert_eq!(inner, Some(&StreamReset), "{error:?}");
    let error = within(far.read(&mut words)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error:?}");
}

/// Whoever is locked out gets nothing more, also when it has ended its own direction and keeps its
/// connection: then only the other direction is left to be broken.
#[tokio::test]
async fn the_end_of_a_line_breaks_what_half_a_stream_still_writes() {
    let (near, mut far) = pair(997, u64::MAX);
    let (line_end, health) = (CancellationToken::new(), Arc::<Health>::default());
    let counted = Counted::new(&health.bulk);
    let line = (line_end.clone(), Arc::clone(&health));
    let mut stream = LineStream::connection(near, line, (counted, None));
    far.shutdown().await.unwrap();
    assert_eq!(within(stream.read(&mut [0; 1])).await.unwrap(), 0);
    let writing = async { while stream.write_all(&[7; 500]).await.is_ok() {} };
    let ending = async {
        // Nobody reads: by then there is no room.
        tokio::time::sleep(Duration::from_millis(50)).await;
        line_end.cancel();
    };
    within(async { tokio::join!(writing, ending) }).await;
    assert!(within(stream.shutdown()).await.is_err());
    assert!(within(stream.flush()).await.is_err());
    drop(stream);
    assert_eq!(health.bulk.load(Ordering::Relaxed), 0);
    drop(far);
}

/// What comes until the end, and what the end is.
#[expect(
    clippy::disallowed_methods,
    reason = "the limit is that of the take before it"
)]
async fn all(end: &mut Sealed) -> (Vec<u8>, io::Result<usize>) {
    let mut received = Vec::new();
    let outcome = end.take(2_000_000).read_to_end(&mut received).await;
    (received, outcome)
}

/// The records of some writes, as they are on the way.
async fn records(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let (near, mut way) = duplex(1 << 20);
    let mut near = end(near, THEIRS, OURS, u64::MAX);
    let mut records = Vec::new();
    for piece in pieces {
        near.write_all(piece).await.unwrap();
        near.flush().await.unwrap();
        let mut head = [0; HEAD_BYTES];
        way.read_exact(&mut head).await.unwrap();
        let mut record = head.to_vec();
        record.resize(
            HEAD_BYTES + usize::from(u16::from_be_bytes([head[3], head[4]])),
            0,
        );
        way.read_exact(&mut record[HEAD_BYTES..]).await.unwrap();
        records.push(record);
    }
    records
}

/// What an end reads out of these bytes, and how it ends.
async fn received(bytes: &[u8]) -> (Vec<u8>, io::Result<usize>) {
    let (mut way, far) = duplex(1 << 20);
    way.write_all(bytes).await.unwrap();
    drop(way);
    let mut far = end(far, OURS, THEIRS, u64::MAX);
    within(all(&mut far)).await
}

/// rustls opens what we seal: records, nonces and what is authenticated are those of TLS 1.3.
#[tokio::test]
async fn records_are_those_of_tls() {
    let SupportedCipherSuite::Tls13(suite) = TLS13_AES_256_GCM_SHA384 else {
        panic!("a suite of TLS 1.3");
    };
    let (secret, iv) = key(OURS, 1).parts(&OURS);
    let mut decrypter = suite
        .aead_alg
        .decrypter(AeadKey::from(secret), Iv::from(iv));
    let full = pattern(BODY_BYTES_MAX);
    let pieces: [&[u8]; 3] = [b"first", &full, b"third"];
    for (sequence, mut record) in records(&pieces).await.into_iter().enumerate() {
        assert_eq!(record[..3], HEAD);
        let sealed = InboundOpaqueMessage::new(
            ContentType::ApplicationData,
            ProtocolVersion::TLSv1_2,
            &mut record[HEAD_BYTES..],
        );
        let opened = decrypter.decrypt(sealed, sequence as u64).unwrap();
        assert_eq!(opened.typ, ContentType::ApplicationData);
        assert!(opened.payload == pieces[sequence]);
    }
}

/// A record of this type with this in it, under the first key.
fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let [a, b, c] = HEAD;
    let length = u16::try_from(body.len() + TAIL_BYTES).unwrap();
    let [high, low] = length.to_be_bytes();
    let head = [a, b, c, high, low];
    let (mut body, mut tail) = (body.to_vec(), [0; TAIL_BYTES]);
    let mut key = key(OURS, u64::MAX);
    key.seal(&head, &mut body, kind, &mut tail).unwrap();
    [&head[..], &body, &tail].concat()
}

/// What nobody sends who keeps to the protocol ends the connection; what follows an end is not read.
#[tokio::test]
async fn records_without_sense_are_refused() {
    for (kind, body) in [(DATA, ""), (END, "more"), (22, "x"), (0, "")] {
        let (bytes, outcome) = received(&record(kind, body.as_bytes())).await;
        assert_eq!(bytes, b"");
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
    let ended = [&record(END, b"")[..], b"anything"].concat();
    assert_eq!(received(&ended).await.1.unwrap(), 0);
    let (mut near, _far) = pair(1_000, 1);
    near.shutdown().await.unwrap();
    let refused = near.write_all(b"late").await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::BrokenPipe);
}

/// Nothing comes behind a record that was left out, whoever asks again.
#[tokio::test]
async fn nothing_comes_after_what_was_wrong() {
    let records = records(&[b"one", b"two", b"three"]).await;
    let (mut way, far) = duplex(1 << 20);
    way.write_all(&records[1]).await.unwrap();
    way.write_all(&records[1]).await.unwrap();
    let mut far = end(far, OURS, THEIRS, u64::MAX);
    for _ in 0..3 {
        let wrong = within(far.read_u8()).await.unwrap_err();
        assert_eq!(wrong.kind(), io::ErrorKind::InvalidData);
    }
}

/// What was changed, sent twice, left out or sent in another order is not passed on, and an end that
/// nobody sealed is no end.
#[tokio::test]
async fn what_was_not_sealed_so_is_refused() {
    let records = records(&[b"one", b"two", b"three"]).await;
    let whole = records.concat();
    let (bytes, outcome) = received(&whole).await;
    assert_eq!(bytes, b"onetwothree");
    assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        let (bytes, outcome) = received(&changed).await;
        assert!(
            b"onetwothree".starts_with(&bytes[..]) && bytes.len() < 11,
            "{at}"
        );
        // A longer length waits for what does not come.
        let kind = outcome.unwrap_err().kind();
        assert!(
            matches!(
                kind,
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ),
            "{at}: {kind}"
        );
    }
    for order in [[0, 0, 1], [1, 0, 2], [0, 2, 1]] {
        let bytes = order.map(|record| &records[record][..]).concat();
        let (bytes, outcome) = received(&bytes).await;
        assert!(b"one".starts_with(&bytes[..]), "{order:?}");
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..200), length in 0_u16..300) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let head = [&HEAD[..], &length.to_be_bytes()].concat();
        for bytes in [bytes.clone(), [head, bytes].concat()] {
            let (received, outcome) = runtime.block_on(received(&bytes));
            prop_assert!(received.is_empty() && outcome.is_err());
        }
    }
}
