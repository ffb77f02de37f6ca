//! Chunks of bodies, checksums, XML.

use bytes::Bytes;
use proptest::prelude::*;

use super::signatures::{NOW, authorization, verify};
use crate::s3::checksum::{Algorithm, Hasher};
use crate::s3::chunked::{ChunkError, Decoder};
use crate::s3::request::{BodyForm, ChunkKey, Incoming};
use crate::s3::xml::{CompletedPart, Removal, XmlError, deleted, read_complete, read_delete};

const HOST: &str = "s3.amazonaws.com";

/// The key of the published upload in chunks.
fn key(kind: &str, seed: &str, trailer: bool) -> ChunkKey {
    let mut headers = vec![
        ("host", HOST),
        ("x-amz-date", "20130524T000000Z"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ("x-amz-content-sha256", kind),
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", "66560"),
    ];
    let signed = if trailer {
        headers.push(("x-amz-trailer", "x-amz-checksum-crc32c"));
        "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer"
    } else {
        headers.push(("content-length", "66824"));
        "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class"
    };
    let signed = authorization(signed, seed);
    headers.push(("authorization", &signed));
    let incoming = Incoming {
        method: "PUT",
        path: "/examplebucket/chunkObject.txt",
        query: "",
        headers: &headers,
    };
    verify(&incoming, HOST, NOW).expect("the example is right")
}

/// The payload, and the headers behind it.
type Decoded = (Vec<u8>, Vec<(String, String)>);

/// Decodes a body that comes in pieces of this size.
fn decode(
    form: &BodyForm,
    key: Option<ChunkKey>,
    body: &[u8],
    piece: usize,
) -> Result<Decoded, ChunkError> {
    let mut decoder = Decoder::new(form, key).expect("a body in chunks");
    let mut payload = Vec::new();
    for piece in body.chunks(piece) {
        let mut input = Bytes::copy_from_slice(piece);
        while let Some(data) = decoder.next(&mut input)? {
            payload.extend_from_slice(&data);
        }
    }
    Ok((payload, decoder.finish()?))
}

const SIGNED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const SEED: &str = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";

fn signed_body() -> Vec<u8> {
    let (large, small) = ("a".repeat(65_536), "a".repeat(1024));
    format!(
        "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n{large}\r\n\
         400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n{small}\r\n\
         0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"
    )
    .into_bytes()
}

#[test]
fn the_published_upload_in_chunks_is_taken_in_any_pieces() {
    let form = BodyForm::parse(Some(SIGNED)).unwrap();
    let body = signed_body();
    assert_eq!(body.len(), 66_824);
    for piece in [1, 7, 1024, 65_000, body.len()] {
        let key = key(SIGNED, SEED, false);
        let (payload, trailers) = decode(&form, Some(key), &body, piece).unwrap();
        assert_eq!(payload.len(), 66_560);
        assert!(trailers.is_empty());
    }
    let mut changed = body.clone();
    changed[7_000] = b'b';
    let refused = decode(&form, Some(key(SIGNED, SEED, false)), &changed, 4096);
    assert_eq!(refused.unwrap_err(), ChunkError::Mismatch);
    let cut = decode(&form, Some(key(SIGNED, SEED, false)), &body[..66_000], 4096);
    assert_eq!(cut.unwrap_err(), ChunkError::Incomplete);
    let more = [&body[..], b"x"].concat();
    let more = decode(&form, Some(key(SIGNED, SEED, false)), &more, 4096);
    assert_eq!(more.unwrap_err(), ChunkError::Incomplete);
    assert!(
        Decoder::new(&form, None).is_none(),
        "without a key nothing can be checked"
    );
}

#[test]
fn the_published_upload_with_a_trailer_is_taken() {
    let kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
    let seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";
    let form = BodyForm::parse(Some(kind)).unwrap();
    let (large, small) = ("a".repeat(65_536), "a".repeat(1024));
    let body = |checksum: &str| {
        format!(
            "10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n{large}\r\n\
             400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n{small}\r\n\
             0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n\
             x-amz-checksum-crc32c:{checksum}\r\n\
             x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
        )
    };
    let good = body("sOO8/Q==");
    let (payload, trailers) =
        decode(&form, Some(key(kind, seed, true)), good.as_bytes(), 999).unwrap();
    let expected = ("x-amz-checksum-crc32c".to_owned(), "sOO8/Q==".to_owned());
    assert_eq!(trailers, [expected]);
    let mut hasher = Hasher::new(Algorithm::Crc32c);
    hasher.update(&payload);
    assert_eq!(hasher.finish(), "sOO8/Q==");
    let wrong = body("AAAAAA==");
    let wrong = decode(&form, Some(key(kind, seed, true)), wrong.as_bytes(), 999);
    assert_eq!(wrong.unwrap_err(), ChunkError::Mismatch);
    // Without the signature the headers behind the body could be anybody's.
    let (before, _) = good.split_once("x-amz-trailer-signature").unwrap();
    let unsigned = format!("{before}\r\n");
    let unsigned = decode(&form, Some(key(kind, seed, true)), unsigned.as_bytes(), 999);
    assert_eq!(unsigned.unwrap_err(), ChunkError::Mismatch);
}

#[test]
fn chunks_without_signatures_bring_their_checksum() {
    let form = BodyForm::UnsignedChunks;
    let body = b"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";
    for piece in 1..body.len() {
        let (payload, trailers) = decode(&form, None, body, piece).unwrap();
        assert_eq!(payload, b"hello world");
        assert_eq!(trailers[0].1, "DUoRhQ==");
    }
    for wrong in [
        &b"5\r\nhello!\r\n0\r\n\r\n"[..],
        b"x\r\n",
        b"\r\n",
        b"11111111111111111\r\n",
        b"0\r\nno header\r\n\r\n",
    ] {
        assert!(decode(&form, None, wrong, 3).is_err(), "{wrong:?}");
    }
    let endless = [b"0\r\n".to_vec(), b"a:b\r\n".repeat(10_000)].concat();
    assert!(decode(&form, None, &endless, 4096).is_err());
}

#[test]
fn checksums_are_those_of_their_definitions() {
    let of = |algorithm| {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(b"1234");
        hasher.update(b"56789");
        hasher.finish()
    };
    // The check values of the CRC catalogue: cbf43926, e3069283, ae8b14860a799888.
    assert_eq!(of(Algorithm::Crc32), "y/Q5Jg==");
    assert_eq!(of(Algorithm::Crc32c), "4waSgw==");
    assert_eq!(of(Algorithm::Crc64Nvme), "rosUhgp5mIg=");
    assert_eq!(of(Algorithm::Sha1), "98O8HYCOBHMq32eZZczDTKeuNEE=");
    assert_eq!(
        of(Algorithm::Sha256),
        "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="
    );
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::of_header(algorithm.header()), Some(algorithm));
    }
}

proptest! {
    #[test]
    fn a_checksum_does_not_depend_on_the_pieces(bytes: Vec<u8>, at: usize) {
        let (one, other) = bytes.split_at(at % (bytes.len() + 1));
        for algorithm in Algorithm::ALL {
            let mut whole = Hasher::new(algorithm);
            whole.update(&bytes);
            let mut pieces = Hasher::new(algorithm);
            pieces.update(one);
            pieces.update(other);
            prop_assert_eq!(whole.finish(), pieces.finish());
        }
    }

    #[test]
    fn any_payload_survives_its_chunks(bytes: Vec<u8>, size in 1_usize..64, piece in 1_usize..64) {
        let mut body = Vec::new();
        for chunk in bytes.chunks(size) {
            body.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            body.extend([chunk, b"\r\n"].concat());
        }
        body.extend(b"0\r\n\r\n");
        let (payload, trailers) = decode(&BodyForm::UnsignedChunks, None, &body, piece).unwrap();
        prop_assert_eq!(payload, bytes);
        prop_assert!(trailers.is_empty());
    }
}

#[test]
fn the_parts_of_an_upload_are_read() {
    let document = "<?xml version=\"1.0\"?>\n<!-- two --><CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
        <Part><ETag>&quot;aa&quot;</ETag><PartNumber>1</PartNumber><ChecksumCRC32>x</ChecksumCRC32></Part>\n\
        <s3:Part xmlns:s3='x'><s3:PartNumber> 7 </s3:PartNumber><s3:ETag>bb</s3:ETag></s3:Part></CompleteMultipartUpload>";
    let part = |number, etag: &str| CompletedPart {
        number,
        etag: etag.to_owned(),
    };
    assert_eq!(
        read_complete(document.as_bytes()),
        Ok(vec![part(1, "aa"), part(7, "bb")])
    );
    for wrong in [
        "",
        "<CompleteMultipartUpload/>",
        "<Other><Part><PartNumber>1</PartNumber></Part></Other>",
        "<CompleteMultipartUpload><Part><PartNumber>0</PartNumber></Part></CompleteMultipartUpload>",
        "<CompleteMultipartUpload><Part></CompleteMultipartUpload>",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><CompleteMultipartUpload/>",
    ] {
        assert!(read_complete(wrong.as_bytes()).is_err(), "{wrong}");
    }
    let many = "<Part><PartNumber>1</PartNumber><ETag>a</ETag></Part>".repeat(10_001);
    let many = format!("<CompleteMultipartUpload>{many}</CompleteMultipartUpload>");
    assert_eq!(read_complete(many.as_bytes()), Err(XmlError::TooMany));
}

#[test]
fn keys_and_versions_that_are_to_go_are_read() {
    let document = "<Delete><Quiet>true</Quiet><Object><Key>a&amp;b&#x20;c&#233;</Key></Object>\
        <Object><VersionId>1</VersionId><Key>d</Key></Object>\
        <Object><Key>e</Key><VersionId/></Object><Object><Key>f</Key></Object></Delete>";
    let removal = |key: &str, version: Option<&str>| Removal {
        key: key.to_owned(),
        version: version.map(str::to_owned),
    };
    let removals = vec![
        removal("a&b cé", None),
        removal("d", Some("1")),
        removal("e", Some("")),
        removal("f", None),
    ];
    let answer = deleted(&removals, &[]);
    assert!(answer.contains("<Key>d</Key><VersionId>1</VersionId>"));
    assert_eq!(read_delete(document.as_bytes()), Ok((removals, true)));
    let without = "<Delete><Object><VersionId>1</VersionId></Object></Delete>";
    assert!(read_delete(without.as_bytes()).is_err());
}
