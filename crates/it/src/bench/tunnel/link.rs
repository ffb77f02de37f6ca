//! A line over a slow link: what someone who types feels of an upload beside.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::target::{ECHO, SOURCE, Targets};
use super::ways::Lanes;
use crate::relay::{Mode, Relay};

/// 20 Mbit/s and 20 ms there and back.
const LINK: &str = "link=20,20";
/// Echoes of each sort.
const ECHOES: usize = 100;
/// Between two keys.
const PAUSE: Duration = Duration::from_millis(20);

/// Milliseconds of an echo on a connection that is open, alone and beside a bulk upload: from the
/// machine behind the line to a client.
pub async fn shared(program: &Path, targets: Targets) -> Value {
    let relay = Relay::start(&[]);
    let lanes = Lanes::start(program, targets.tcp, Some(&relay));
    relay.set(LINK.parse::<Mode>().unwrap());
    let mut stream = TcpStream::connect(lanes.interactive()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(&[ECHO]).await.unwrap();
    let alone = echoes(&mut stream).await;
    let mut upload = TcpStream::connect(lanes.bulk()).await.unwrap();
    upload.write_all(&[SOURCE]).await.unwrap();
    let upload = tokio::spawn(async move {
        let (mut buffer, mut bytes) = (vec![0; 64 << 10], 0u64);
        while let Ok(length @ 1..) = upload.read(&mut buffer).await {
            bytes += length as u64;
            if bytes > 1 << 30 {
                break;
            }
        }
    });
    // Until the link is full.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let beside = echoes(&mut stream).await;
    upload.abort();
    json!({"alone": alone, "beside_upload": beside})
}

async fn echoes(stream: &mut TcpStream) -> Value {
    let mut times = Vec::with_capacity(ECHOES);
    for _ in 0..ECHOES {
        let begun = Instant::now();
        stream.write_all(b"k").await.unwrap();
        stream.read_u8().await.unwrap();
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(PAUSE).await;
    }
    times.sort_by(f64::total_cmp);
    let at = |part: usize| (times[ECHOES * part / 100] * 10.0).round() / 10.0;
    json!({"p50_ms": at(50), "p99_ms": at(99)})
}
