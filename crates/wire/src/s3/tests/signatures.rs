//! Signatures: the examples of the Amazon S3 API Reference, and what must not pass.

use crate::s3::request::{BodyForm, ChunkKey, Incoming, Link, SignatureError};
use crate::sigv4::parse_amz_date;

pub(super) const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub(super) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// 2013-05-24T00:00:00Z, the time of all examples.
pub(super) const NOW: i64 = 1_369_353_600;
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const HOST: &str = "examplebucket.s3.amazonaws.com";

/// The header of an example.
pub(super) fn authorization(signed_headers: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20130524/us-east-1/s3/aws4_request,\
         SignedHeaders={signed_headers},Signature={signature}"
    )
}

pub(super) fn verify(
    incoming: &Incoming<'_>,
    host: &str,
    now: i64,
) -> Result<ChunkKey, SignatureError> {
    let claim = incoming.claim()?.expect("a signature");
    assert_eq!(claim.access_key_id, ACCESS_KEY);
    claim.verify(incoming, &[(host, "")], (SECRET, now))
}

#[track_caller]
fn check(incoming: &Incoming<'_>) {
    verify(incoming, HOST, NOW).expect("the example is right");
    let claim = incoming.claim().unwrap().unwrap();
    let wrong = claim.verify(incoming, &[(HOST, "")], ("another", NOW));
    assert_eq!(wrong.unwrap_err(), SignatureError::Mismatch);
    let other = Incoming {
        method: "DELETE",
        ..*incoming
    };
    assert_eq!(
        verify(&other, HOST, NOW).unwrap_err(),
        SignatureError::Mismatch
    );
    let other = Incoming {
        path: "/other",
        ..*incoming
    };
    assert_eq!(
        verify(&other, HOST, NOW).unwrap_err(),
        SignatureError::Mismatch
    );
    let elsewhere = verify(incoming, "other.example", NOW).unwrap_err();
    assert_eq!(elsewhere, SignatureError::Mismatch);
}

#[test]
fn the_published_header_examples_are_taken() {
    let date = ("x-amz-date", "20130524T000000Z");
    let empty = ("x-amz-content-sha256", EMPTY);
    let host = ("host", HOST);
    let signed = authorization(
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    );
    check(&Incoming {
        method: "GET",
        path: "/test.txt",
        query: "",
        headers: &[
            host,
            ("range", "bytes=0-9"),
            empty,
            date,
            ("authorization", &signed),
        ],
    });
    let signed = authorization(
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    );
    let hash = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    check(&Incoming {
        method: "PUT",
        path: "/test$file.text",
        query: "",
        headers: &[
            host,
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            date,
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("x-amz-content-sha256", hash),
            ("authorization", &signed),
        ],
    });
    for (query, signature) in [
        (
            "lifecycle",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "max-keys=2&prefix=J",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ] {
        let signed = authorization("host;x-amz-content-sha256;x-amz-date", signature);
        check(&Incoming {
            method: "GET",
            path: "/",
            query,
            headers: &[host, empty, date, ("authorization", &signed)],
        });
    }
}

/// The example of a link.
const LINK: &str = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2F\
    us-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&\
    X-Amz-SignedHeaders=host&X-Amz-Signature=\
    aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";

#[test]
fn the_published_link_is_made_and_taken_until_it_expires() {
    let link = Link {
        method: "GET",
        host: HOST,
        path: "/test.txt",
        parameters: &[],
        region: "us-east-1",
        expires: 86_400,
    };
    assert_eq!(link.sign((ACCESS_KEY, SECRET), NOW), LINK);
    let incoming = Incoming {
        method: "GET",
        path: "/test.txt",
        query: LINK,
        headers: &[("host", HOST)],
    };
    check(&incoming);
    assert!(incoming.is_signed());
    verify(&incoming, HOST, NOW + 86_399).unwrap();
    let late = verify(&incoming, HOST, NOW + 86_400).unwrap_err();
    assert_eq!(late, SignatureError::Expired);
    let early = verify(&incoming, HOST, NOW - 901).unwrap_err();
    assert_eq!(early, SignatureError::Skewed);
    // Somebody who lengthens it, or adds what was not signed.
    for changed in [
        LINK.replace("86400", "86401"),
        format!("{LINK}&versionId=1"),
        LINK.replace("d404", "d405"),
    ] {
        let incoming = Incoming {
            query: &changed,
            ..incoming
        };
        let refused = verify(&incoming, HOST, NOW).unwrap_err();
        assert_eq!(refused, SignatureError::Mismatch, "{changed}");
    }
    let unsigned = Incoming {
        headers: &[("host", HOST), ("x-amz-acl", "public-read")],
        ..incoming
    };
    let refused = verify(&unsigned, HOST, NOW).unwrap_err();
    assert_eq!(refused, SignatureError::NotSigned("every x-amz- header"));
}

#[test]
fn a_front_may_have_changed_host_and_path() {
    let link = Link {
        method: "PUT",
        host: "collect.example.net",
        path: "/store/artefacts/a%20b/c",
        parameters: &[("partNumber", "1"), ("uploadId", "a+b/c=")],
        region: "us-east-1",
        expires: 60,
    };
    let query = link.sign((ACCESS_KEY, SECRET), NOW);
    let incoming = Incoming {
        method: "PUT",
        path: "/artefacts/a%20b/c",
        query: &query,
        headers: &[("host", "10.0.0.1:8080")],
    };
    let claim = incoming.claim().unwrap().unwrap();
    let places = [("10.0.0.1:8080", ""), ("collect.example.net", "/store")];
    claim.verify(&incoming, &places, (SECRET, NOW)).unwrap();
    let refused = claim.verify(&incoming, &places[..1], (SECRET, NOW));
    assert_eq!(refused.unwrap_err(), SignatureError::Mismatch);
}

#[test]
fn headers_must_be_covered_and_times_near() {
    let host = ("host", HOST);
    let date = ("x-amz-date", "20130524T000000Z");
    let empty = ("x-amz-content-sha256", EMPTY);
    let base = Incoming {
        method: "GET",
        path: "/",
        query: "",
        headers: &[],
    };
    let refused = |signed: &str, headers: &[(&str, &str)]| {
        let signed = authorization(signed, "00");
        let headers = [headers, &[("authorization", &signed)]].concat();
        let incoming = Incoming {
            headers: &headers,
            ..base
        };
        incoming.claim().unwrap_err()
    };
    assert_eq!(
        refused("x-amz-content-sha256;x-amz-date", &[host, empty, date]),
        SignatureError::NotSigned("host")
    );
    assert_eq!(
        refused("host;x-amz-date", &[host, empty, date]),
        SignatureError::NotSigned("every x-amz- header")
    );
    assert_eq!(
        refused("host;x-amz-date;host", &[host, empty, date]),
        SignatureError::Malformed("SignedHeaders")
    );
    assert_eq!(
        refused("host;x-amz-content-sha256;x-amz-date", &[host, date]),
        SignatureError::Malformed("x-amz-content-sha256")
    );
    let other = ("x-amz-date", "20130525T000000Z");
    assert_eq!(
        refused(
            "host;x-amz-content-sha256;x-amz-date",
            &[host, empty, other]
        ),
        SignatureError::Malformed("the date")
    );
    assert_eq!(parse_amz_date(date.1), Some(NOW));
    for wrong in [
        "",
        "20130524T0000Z",
        "20131324T000000Z",
        "20130524T240000Z",
        "+0130524T000000Z",
    ] {
        assert_eq!(parse_amz_date(wrong), None, "{wrong}");
    }
    let signed = authorization(
        "host;x-amz-content-sha256;x-amz-date",
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    );
    let lifecycle = Incoming {
        query: "lifecycle",
        headers: &[host, empty, date, ("authorization", &signed)],
        ..base
    };
    verify(&lifecycle, HOST, NOW + 900).unwrap();
    for time in [NOW + 901, NOW - 901] {
        let refused = verify(&lifecycle, HOST, time).unwrap_err();
        assert_eq!(refused, SignatureError::Skewed);
    }
}

#[test]
fn the_form_of_a_body_is_a_hash_or_a_known_word() {
    assert_eq!(BodyForm::parse(None), Some(BodyForm::Plain));
    assert_eq!(
        BodyForm::parse(Some("UNSIGNED-PAYLOAD")),
        Some(BodyForm::Plain)
    );
    let hashed = BodyForm::Hashed(EMPTY.to_owned());
    assert_eq!(BodyForm::parse(Some(&EMPTY.to_uppercase())), Some(hashed));
    assert_eq!(
        BodyForm::parse(Some("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD")),
        None
    );
}
