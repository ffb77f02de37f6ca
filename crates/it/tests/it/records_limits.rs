//! How much a collector takes of what strangers send: bodies in every encoding, and heads.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use it::client::Reply;
use it::telemetrics::{Collector, Form, Record, TID, parse};
use it::{proc, wait};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const MEBIBYTE: usize = 1 << 20;
/// The longest until somebody is told that it is too much.
pub(crate) const TOLD: Duration = Duration::from_secs(1);
/// What the sockets of both ends may hold of what nobody reads.
const BUFFERED_MAX: usize = 16 << 20;
/// The most memory that a collector may hold while strangers send too much, KiB.
const RSS_KIB_MAX: u64 = 150 << 10;

async fn start() -> Collector {
    Collector::start_small(json!({})).await
}

/// The head of a post of this record, with these lines instead of its length.
pub(crate) fn head(record: &Record, lines: &str) -> Vec<u8> {
    let mut head = b"POST /v2/collector HTTP/1.1\r\nHost: collector\r\n".to_vec();
    for (name, value) in record.headers(Form::Headers) {
        head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    head.extend(format!("{lines}\r\n\r\n").into_bytes());
    head
}

/// What comes next on a connection, up to `limit` after now.
pub(crate) async fn hear(stream: &mut TcpStream, limit: Duration) -> Reply {
    let mut heard = Vec::new();
    let begun = Instant::now();
    let read = async {
        while !heard.windows(4).any(|four| four == b"\r\n\r\n") {
            if stream.read_buf(&mut heard).await.unwrap_or(0) == 0 {
                break;
            }
        }
    };
    let is_in_time = timeout(limit, read).await.is_ok();
    assert!(is_in_time, "no answer within {limit:?}");
    parse(&heard, begun.elapsed())
}

pub(crate) async fn connect(collector: &Collector) -> TcpStream {
    TcpStream::connect(collector.program.main).await.unwrap()
}

fn assert_too_large(reply: &Reply, limit: &str) {
    assert_eq!(reply.status, 413, "{}", reply.text());
    let message = reply.json()["message"].as_str().unwrap().to_owned();
    let expected =
        format!("the record is larger than {limit}; collector.records.body_limit sets this");
    assert_eq!(message, expected);
}

/// The body may have its limit and no byte more, in both protocols, at once and in chunks.
#[tokio::test]
async fn the_body_has_a_limit() {
    let collector = start().await;
    for form in Form::ALL {
        let frame = Record::new().payload("").body(form).len();
        let whole = Record::new().payload("x".repeat(MEBIBYTE - frame));
        let id = collector.keep(form, &whole).await;
        let kept = collector.original(id).await;
        assert_eq!(
            kept["payload"].as_str().map(str::len),
            Some(whole.payload.len())
        );
        let larger = Record::new().payload("x".repeat(MEBIBYTE - frame + 1));
        for _ in 0..10 {
            assert_too_large(&collector.post(form, &larger).await, "1MiB");
        }
    }
    let newest = collector.newest().await;
    let record = Record::new();
    for (size, status) in [(MEBIBYTE, 201), (MEBIBYTE + 1, 413)] {
        let mut request = head(&record, "Connection: close\r\nTransfer-Encoding: chunked");
        for part in "x".repeat(size).as_bytes().chunks(10_000) {
            request.extend(format!("{:x}\r\n", part.len()).into_bytes());
            request.extend([part, b"\r\n"].concat());
        }
        request.extend(b"0\r\n\r\n");
        let reply = collector.raw(&request).await;
        assert_eq!(reply.status, status, "{size} {}", reply.text());
    }
    assert_eq!(collector.newest().await, (newest.0 + 1, 0));
    let refused = collector
        .program
        .metric("landline_records_refused_total", &[("reason", "too_large")])
        .await;
    assert!((refused - 21.0).abs() < f64::EPSILON, "{refused}");
}

/// Other limits are as they are configured; 300 KiB was what the original meant.
#[tokio::test]
async fn the_limit_is_configured() {
    let collector = Collector::start_small(json!({"body_limit": "300KiB"})).await;
    let record = |size| Record::new().payload("x".repeat(size));
    collector.keep(Form::Headers, &record(300 << 10)).await;
    let reply = collector
        .post(Form::Headers, &record((300 << 10) + 1))
        .await;
    assert_too_large(&reply, "300KiB");
}

/// Who announces 76 MB is refused before the first byte of them, and nobody reads them.
#[tokio::test]
async fn too_much_is_refused_before_it_is_sent() {
    let collector = start().await;
    let mut stream = connect(&collector).await;
    let record = Record::new();
    let head = head(&record, "Content-Length: 76000000");
    stream.write_all(&head).await.unwrap();
    let reply = hear(&mut stream, TOLD).await;
    assert_eq!(reply.status, 413);
    let sent = pour(&mut stream, &vec![b'x'; 64 << 10], 76_000_000).await;
    assert!(sent < BUFFERED_MAX, "{sent} bytes went somewhere");
    assert_small(&collector);
}

/// Writes a block again and again until the peer hangs up or `most` is written; how much went.
async fn pour(stream: &mut TcpStream, block: &[u8], most: usize) -> usize {
    let mut sent = 0;
    while sent < most {
        match timeout(TOLD, stream.write(block)).await {
            Ok(Ok(count)) if count > 0 => sent += count,
            _ => break,
        }
    }
    sent
}

fn assert_small(collector: &Collector) {
    let peak = proc::status_kib(collector.program.pid(), "VmHWM").unwrap();
    assert!(peak < RSS_KIB_MAX, "{peak} KiB resident at the peak");
}

/// Chunks without end are cut at the limit.
#[tokio::test]
async fn endless_chunks_are_cut() {
    let collector = start().await;
    let mut stream = connect(&collector).await;
    let head = head(&Record::new(), "Transfer-Encoding: chunked");
    stream.write_all(&head).await.unwrap();
    let chunk = [b"10000\r\n".as_slice(), &vec![b'x'; 64 << 10], b"\r\n"].concat();
    let sent = pour(&mut stream, &chunk, 256 << 20).await;
    assert!(sent < BUFFERED_MAX, "{sent} bytes went somewhere");
    assert_eq!(collector.newest().await, (0, 0));
    assert_small(&collector);
}

/// Packs with the usual program.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new("gzip")
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    output.stdout
}

pub(crate) async fn send_encoded(
    collector: &Collector,
    (form, encoding): (Form, &str),
    body: &[u8],
) -> Reply {
    let mut request = format!("POST {} HTTP/1.1\r\nHost: x\r\n", form.path()).into_bytes();
    for (name, value) in Record::new().headers(form) {
        request.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    let length = body.len();
    let rest = format!(
        "Content-Encoding: {encoding}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    request.extend(rest.into_bytes());
    request.extend(body);
    collector.raw(&request).await
}

/// Bodies may be packed; what unpacks to too much is refused as what is too much.
#[tokio::test]
async fn packed_bodies_are_unpacked_within_the_limit() {
    let collector = start().await;
    let record = Record::new();
    let packed = gzip(&record.body(Form::Json));
    let reply = send_encoded(&collector, (Form::Json, "gzip"), &packed).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let kept = collector
        .original(reply.json()["id"].as_i64().unwrap())
        .await;
    assert_eq!(kept["event_id"], json!(record.event()));
    let reply = send_encoded(&collector, (Form::Headers, "gzip"), &gzip(b"plain\n")).await;
    assert_eq!(reply.json()["payload"], "plain\n");
    let reply = send_encoded(
        &collector,
        (Form::Headers, "gzip"),
        &gzip(&vec![b'x'; MEBIBYTE]),
    )
    .await;
    assert_eq!(reply.status, 201);
    for size in [MEBIBYTE + 1, 512 * MEBIBYTE] {
        let bomb = gzip(&vec![b'x'; size]);
        let reply = send_encoded(&collector, (Form::Headers, "gzip"), &bomb).await;
        assert_too_large(&reply, "1MiB");
    }
    for (encoding, body) in [
        ("gzip", b"not gzip".to_vec()),
        ("br", gzip(b"x")),
        ("gzip", gzip(b"x")[..12].to_vec()),
    ] {
        let reply = send_encoded(&collector, (Form::Headers, encoding), &body).await;
        assert_eq!(reply.status, 400, "{encoding} {}", reply.text());
    }
    assert_small(&collector);
}

/// What is large is unpacked and scrubbed on other threads; it is the same work with the same end.
#[tokio::test]
async fn large_bodies_are_unpacked_and_scrubbed() {
    let projects = json!([{"name": "ours", "tid": TID, "scrub": ["email"]}]);
    let collector = Collector::start_small(json!({"projects": projects})).await;
    let filler = "#0 inner() - [/usr/bin/app] - app.c:7\n".repeat(20_000);
    let sent = format!("anna@mail.example.org\n{filler}ben@mail.example.org\n");
    let kept = format!("<e-mail>\n{filler}<e-mail>\n");
    assert!((700_000..MEBIBYTE).contains(&sent.len()));
    let record = Record::new().payload(&sent);
    let id = collector.keep(Form::Headers, &record).await;
    assert!(collector.original(id).await["payload"] == kept.as_str());
    for form in Form::ALL {
        let body = gzip(&Record::new().payload(&sent).body(form));
        assert!(body.len() < 64 << 10);
        let reply = send_encoded(&collector, (form, "gzip"), &body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        assert!(reply.json()["payload"] == kept.as_str(), "{form:?}");
    }
    let invalid = Record::new().payload(&sent).set("severity", "9");
    let reply = collector.post(Form::Headers, &invalid).await;
    let quarantined = reply.json()["id"].as_i64().unwrap();
    let payload = collector.quarantined(quarantined).await["payload"].take();
    let payload = payload.as_str().unwrap();
    assert!(payload.starts_with("<e-mail>\n#0 inner"), "{payload}");
    // The last four bytes say how long it is: more and less than that is not valid, and never read.
    let mut lies = gzip(sent.as_bytes());
    let end = lies.len() - 4;
    for length in [0_u32, 70_000, 900_000] {
        lies[end..].copy_from_slice(&length.to_le_bytes());
        let reply = send_encoded(&collector, (Form::Headers, "gzip"), &lies).await;
        assert_eq!(reply.status, 400, "{length}: {}", reply.text());
    }
}

/// A head that is longer than any client's, or has more lines, is refused.
#[tokio::test]
async fn the_head_has_a_limit() {
    let collector = start().await;
    let long = Record::new().set("x_long", "x".repeat(60 << 10));
    assert_eq!(collector.post(Form::Headers, &long).await.status, 201);
    let many = (0..200).fold(Record::new(), |record, n| {
        record.set(&format!("x_{n}"), "x")
    });
    assert_eq!(collector.post(Form::Headers, &many).await.status, 431);
    // One that the listener still reads, and one that it does not.
    for kib in [65, 200] {
        let longer = Record::new().set("x_long", "x".repeat(kib << 10));
        let status = collector.post(Form::Headers, &longer).await.status;
        assert_eq!(status, 431, "{kib} KiB");
    }
}

/// A client that goes away in the middle of its body has sent nothing.
#[tokio::test]
async fn half_a_record_is_none() {
    let collector = start().await;
    let mut stream = connect(&collector).await;
    stream
        .write_all(&head(&Record::new(), "Content-Length: 100"))
        .await
        .unwrap();
    stream.write_all(b"half").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    timeout(TOLD * 5, stream.read_to_end(&mut rest))
        .await
        .expect("cut")
        .unwrap();
    assert!(
        !rest.starts_with(b"HTTP/1.1 2"),
        "{}",
        String::from_utf8_lossy(&rest)
    );
    assert_eq!(collector.newest().await, (0, 0));
}

/// Many who announce a large body and send it slowly must not fill the memory together: each takes one
/// byte less than the limit and then nothing.
#[tokio::test]
async fn slow_bodies_take_little_memory() {
    let collector = start().await;
    let head = head(&Record::new(), &format!("Content-Length: {MEBIBYTE}"));
    let most = [head, vec![b'x'; MEBIBYTE - 1]].concat();
    let send = async || {
        let mut stream = connect(&collector).await;
        // What nobody takes for a while is as good as not read.
        drop(timeout(TOLD * 5, stream.write_all(&most)).await);
        stream
    };
    let held = join_all((0..400).map(|_| send())).await;
    let grown = wait::within(TOLD * 5, async || {
        let peak = proc::status_kib(collector.program.pid(), "VmHWM")?;
        (peak >= RSS_KIB_MAX).then_some(peak)
    });
    assert_eq!(grown.await, None, "KiB resident at the peak");
    // Others are served meanwhile.
    collector.keep(Form::Headers, &Record::new()).await;
    drop(held);
}
