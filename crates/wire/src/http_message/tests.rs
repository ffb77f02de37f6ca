//! Responses as Go writes them, cut anywhere, and what is none.

use proptest::prelude::*;

use super::*;

/// Head and body of `input`, fed in pieces of `step` bytes.
fn read(input: &[u8], step: usize) -> Result<(Head, Vec<u8>), MessageError> {
    let mut buffer = BytesMut::new();
    let mut pieces = input.chunks(step.max(1));
    let (head, length) = loop {
        if let Some(found) = parse_head(&buffer)? {
            break found;
        }
        buffer.extend_from_slice(pieces.next().ok_or(MessageError::Early)?);
    };
    buffer.advance(length);
    let mut body = head.body();
    let mut whole = Vec::new();
    loop {
        while let Some(piece) = body.decode(&mut buffer)? {
            whole.extend_from_slice(&piece);
        }
        match pieces.next() {
            Some(piece) => buffer.extend_from_slice(piece),
            None => break,
        }
    }
    body.finish()?;
    Ok((head, whole))
}

fn check(input: &str, expected: Result<(u16, &str), MessageError>) {
    for step in [1, 2, 7, input.len()] {
        let found = read(input.as_bytes(), step);
        let found = found.map(|(head, body)| (head.status, String::from_utf8(body).unwrap()));
        let expected = expected.map(|(status, body)| (status, body.to_owned()));
        assert_eq!(found, expected, "{input:?} in pieces of {step}");
    }
}

#[test]
fn responses_as_go_writes_them_are_read() {
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nId: x\r\n\r\nup 1\n",
        Ok((200, "up 1\n")),
    );
    check(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nup 1\n\r\n3;a=b\r\nx 2\r\n0\r\nT: 1\r\n\r\n",
        Ok((200, "up 1\nx 2")),
    );
    // `Response.Write` of a response that pushprox-client has made up itself.
    check(
        "HTTP/0.0 500 Internal Server Error\r\nId: 1\r\n\r\nfailed to scrape",
        Ok((500, "failed to scrape")),
    );
    check("HTTP/1.1 204 No Content\r\n\r\n", Ok((204, "")));
    check("HTTP/1.1 200\nA: b\n\nx", Ok((200, "x")));
    let head = read(b"HTTP/1.1 200 OK\r\niD: 7\r\nid: 8\r\n\r\n", 99)
        .unwrap()
        .0;
    assert_eq!(head.header("Id"), Some("7"));
}

#[test]
fn what_is_no_response_is_named() {
    check("GET / HTTP/1.1\r\n\r\n", Err(MessageError::StatusLine));
    check("HTTP/1.1 2000 OK\r\n\r\n", Err(MessageError::StatusLine));
    check("HTTP/1.1 099 OK\r\n\r\n", Err(MessageError::StatusLine));
    check("HTTP/1.1 200 OK\r\nA b\r\n\r\n", Err(MessageError::Headers));
    for length in ["x", "-1", "+1", "", "1, 1", "99999999999999999999"] {
        check(
            &format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"),
            Err(MessageError::Length),
        );
    }
    for headers in [
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Content-Length: 1\r\nContent-Length: 2",
        "Transfer-Encoding: gzip, chunked",
    ] {
        check(
            &format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n"),
            Err(MessageError::Length),
        );
    }
    let chunked =
        |rest: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{rest}");
    check(&chunked("g\r\n"), Err(MessageError::Chunk));
    check(&chunked("+1\r\nx\r\n0\r\n\r\n"), Err(MessageError::Chunk));
    check(&chunked("1\r\nxy\r\n0\r\n\r\n"), Err(MessageError::Chunk));
    check(&chunked(&"1".repeat(2000)), Err(MessageError::Chunk));
    check(&chunked("1\r\nx\r\n0\r\n"), Err(MessageError::Early));
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx",
        Err(MessageError::Early),
    );
    let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(HEAD_BYTES_MAX));
    assert_eq!(
        parse_head(endless.as_bytes()),
        Err(MessageError::HeadTooLong)
    );
}

proptest! {
    #[test]
    fn any_body_comes_out_as_it_went_in(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..8),
        step in 1usize..40,
    ) {
        let whole = chunks.concat();
        let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in &chunks {
            chunked.extend(format!("{:x}\r\n", chunk.len()).bytes());
            chunked.extend(chunk);
            chunked.extend(b"\r\n");
        }
        chunked.extend(b"0\r\n\r\n");
        prop_assert_eq!(&read(&chunked, step).unwrap().1, &whole);
        let plain = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", whole.len());
        let plain = [plain.into_bytes(), whole.clone()].concat();
        prop_assert_eq!(&read(&plain, step).unwrap().1, &whole);
    }

    #[test]
    fn any_bytes_are_answered(
        start in "(HTTP/1\\.1 200 OK\r\n(Transfer-Encoding: chunked|Content-Length: [0-9]{1,3})\r\n\r\n)?",
        rest in prop::collection::vec(any::<u8>(), 0..300),
        step in 1usize..40,
    ) {
        drop(read(&[start.into_bytes(), rest].concat(), step));
    }
}
