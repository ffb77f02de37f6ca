//! The frames: known bytes, any cut of them, and what a peer may not send.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[test]
fn the_key_of_the_standard() {
    // RFC 6455 1.3.
    assert_eq!(
        accept_key("dGhlIHNhbXBsZSBub25jZQ=="),
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
}

#[test]
fn heads_of_the_standard() {
    let check = |bytes: &[u8], length, size| {
        let head = parse(bytes).unwrap().unwrap();
        assert_eq!((head.length, head.size), (length, size));
        for end in 0..size.min(bytes.len()) {
            assert_eq!(parse(bytes.get(..end).unwrap()).unwrap(), None);
        }
    };
    // RFC 6455 5.7.
    check(&[0x82, 0x7e, 0x01, 0x00], 256, 4);
    check(&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0], 65536, 10);
    check(&[0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d], 5, 6);
    assert!(parse(&[0xc2, 0x00]).is_err());
}

#[tokio::test]
async fn a_ping_is_answered_and_a_close_ends() {
    let (raw, io) = tokio::io::duplex(4096);
    let (mut reader, mut writer) = tokio::io::split(raw);
    let mut socket = WebSocket::new(Box::new(io), Role::Client);
    writer
        .write_all(&[0x89, 0x02, b'h', b'i', 0x82, 0x01, b'x', 0x88, 0x00])
        .await
        .unwrap();
    let mut read = [0; 8];
    assert_eq!(socket.read(&mut read).await.unwrap(), 1);
    assert_eq!(read.first(), Some(&b'x'));
    assert_eq!(socket.read(&mut read).await.unwrap(), 0);
    let mut pong = [0; 8];
    reader.read_exact(&mut pong).await.unwrap();
    assert_eq!(pong.get(..2), Some(&[0x8a, 0x82][..]));
}

#[tokio::test]
async fn what_a_peer_may_not_send_is_an_error() {
    let wrong: [&[u8]; 4] = [
        &[0x82, 0x01, b'x'],                   // not masked
        &[0x81, 0x81, 0, 0, 0, 0, b'x'],       // text
        &[0x89, 0xfe, 0x01, 0x00, 0, 0, 0, 0], // a long ping
        &[0xc2, 0x81, 0, 0, 0, 0, b'x'],       // an extension
    ];
    for bytes in wrong {
        let (mut raw, io) = tokio::io::duplex(4096);
        let mut socket = WebSocket::new(Box::new(io), Role::Server);
        raw.write_all(bytes).await.unwrap();
        assert!(socket.read(&mut [0; 8]).await.is_err(), "{bytes:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn bytes_come_out_as_they_went_in(bytes in prop::collection::vec(any::<u8>(), 0..100_000), pipe in 1_usize..5000) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let back = runtime.block_on(async {
            let (one, two) = tokio::io::duplex(pipe);
            let mut client = WebSocket::new(Box::new(one), Role::Client);
            let mut server = WebSocket::new(Box::new(two), Role::Server);
            let sent = async {
                client.write_all(&bytes).await.unwrap();
                client.shutdown().await.unwrap();
            };
            let mut back = Vec::new();
            let read = async {
                let mut chunk = [0; 777];
                loop {
                    match server.read(&mut chunk).await.unwrap() {
                        0 => break,
                        length => back.extend_from_slice(chunk.get(..length).unwrap()),
                    }
                }
            };
            tokio::join!(sent, read);
            back
        });
        prop_assert_eq!(back, bytes);
    }

    #[test]
    fn no_input_breaks_the_parser(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut raw, io) = tokio::io::duplex(4096);
            let mut socket = WebSocket::new(Box::new(io), Role::Server);
            raw.write_all(&bytes).await.unwrap();
            drop(raw);
            let mut read = [0; 100];
            while matches!(socket.read(&mut read).await, Ok(length) if length > 0) {}
        });
    }
}
