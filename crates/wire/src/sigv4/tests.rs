//! Tests of `sigv4`: signatures made by botocore 1.43 for the same inputs, and the example of the
//! AWS documentation.

use super::*;

/// 2026-11-21T06:10:26Z, when the foreign signatures were made.
const NOW: i64 = 1_795_241_426;

fn credentials(token: Option<&str>) -> Credentials {
    Credentials {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
        session_token: token.map(str::to_owned),
    }
}

const PLAIN: Request<'static> = Request {
    method: "GET",
    host: "example.com",
    path: "/",
    query: "",
    headers: &[],
    payload: Payload::Bytes(b""),
    region: "us-east-1",
    service: "service",
};

#[track_caller]
fn check(request: &Request<'_>, token: Option<&str>, signed_headers: &str, signature: &str) {
    let headers = sign(request, &credentials(token), NOW);
    let get = |name: &str| {
        headers
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, v)| v.as_str())
    };
    assert_eq!(get("x-amz-date"), Some("20261121T061026Z"));
    assert_eq!(get("x-amz-security-token"), token);
    assert_eq!(
        get("x-amz-content-sha256").is_some(),
        request.service == "s3"
    );
    let expected = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261121/{}/{}/aws4_request, SignedHeaders={signed_headers}, Signature={signature}",
        request.region, request.service
    );
    assert_eq!(get("authorization"), Some(expected.as_str()));
}

#[test]
fn signs_as_botocore_does() {
    let metrics = Request {
        host: "aps-workspaces.eu-central-1.amazonaws.com",
        region: "eu-central-1",
        service: "aps",
        ..PLAIN
    };
    check(
        &Request {
            path: "/workspaces/ws-1/api/v1/query",
            query: "query=up&time=5",
            ..metrics
        },
        None,
        "host;x-amz-date",
        "53f8c54b217bf18f764f0784e6ab497ce9a8e8b8940bb60d401d7b16142a89ab",
    );
    check(
        &Request {
            method: "POST",
            path: "/workspaces/ws-1/api/v1/remote_write",
            headers: &[
                ("Content-Type", "application/x-protobuf"),
                ("X-Custom", "  a   b  "),
            ],
            payload: Payload::Bytes(b"payload"),
            ..metrics
        },
        Some("TOKEN/+="),
        "content-type;host;x-amz-date;x-amz-security-token;x-custom",
        "09a6b391984153b8a7255c4ed50262c5514e7f0785b962f125b03726c8bacfe7",
    );
    check(
        &Request {
            host: "example.com:8443",
            path: "/a%20b/./c/../d%2Fe/*/",
            query: "b=2&a=3&a=1&empty&x=%7E%20",
            ..PLAIN
        },
        None,
        "host;x-amz-date",
        "4754edec0f3e98acf2d3bf23b56389378e20e07d8deb9ac63b6e6272c9d89954",
    );
    check(
        &Request {
            method: "DELETE",
            host: "sts.amazonaws.com",
            path: "",
            service: "sts",
            ..PLAIN
        },
        None,
        "host;x-amz-date",
        "c19d67bf85b72b2591b53702a737c99533d70ebbd5b7e064a16353c291780feb",
    );
}

#[test]
fn signs_s3_as_botocore_does() {
    let bucket = Request {
        host: "bucket.s3.amazonaws.com",
        service: "s3",
        ..PLAIN
    };
    check(
        &Request {
            path: "/a%20b/./c/../d.txt",
            query: "prefix=x%2Fy&list-type=2&acl",
            ..bucket
        },
        None,
        "host;x-amz-content-sha256;x-amz-date",
        "f6d79d9d7fb86d720e78b89786a3d0901fd5a90f7d8b046458f6cb5f5da07461",
    );
    let body = b"Welcome to Amazon S3.";
    let hash = sha256_hex(body);
    for payload in [Payload::Bytes(body), Payload::Sha256Hex(&hash)] {
        check(
            &Request {
                method: "PUT",
                path: "/k%C3%A9y%2B1.tar",
                headers: &[("Content-Type", "text/plain")],
                region: "us-west-2",
                payload,
                ..bucket
            },
            Some("SESSION"),
            "content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token",
            "5ef5fe336ef9fe770fb997fdbceea5d2f76deb5233ae36e00368d5e6802c76ef",
        );
    }
}

/// AWS General Reference: the worked example of a ListUsers request to IAM.
#[test]
fn signs_the_documented_example() {
    let request = Request {
        host: "iam.amazonaws.com",
        query: "Action=ListUsers&Version=2010-05-08",
        headers: &[(
            "Content-Type",
            "application/x-www-form-urlencoded; charset=utf-8",
        )],
        service: "iam",
        ..PLAIN
    };
    let headers = sign(&request, &credentials(None), 1_440_938_160);
    assert_eq!(headers[0], ("x-amz-date", "20150830T123600Z".to_owned()));
    assert_eq!(
        headers[1].1,
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    );
}

/// The steps are open: this is the signed link of the S3 documentation (GET Object, one day).
#[test]
fn the_parts_sign_a_query() {
    let scope = Scope {
        date: "20130524T000000Z",
        region: "us-east-1",
        service: "s3",
    };
    let credential = format!("AKIAIOSFODNN7EXAMPLE/{}", scope.text()).replace('/', "%2F");
    let query = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    );
    let request = Request {
        host: "examplebucket.s3.amazonaws.com",
        path: "/test.txt",
        query: &query,
        payload: Payload::Unsigned,
        service: "s3",
        ..PLAIN
    };
    let canonical = canonical_request(&request, &[("host", request.host)], UNSIGNED_PAYLOAD);
    assert_eq!(canonical.signed_headers, "host");
    let key = signing_key("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", scope);
    assert_eq!(
        signature(&key, &string_to_sign(scope, &canonical.text)),
        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    );
}

#[test]
fn canonical_parts() {
    for (path, service, expected) in [
        ("", "x", "/"),
        ("", "s3", "/"),
        ("/a//b", "x", "/a/b"),
        ("/../..", "x", "/"),
        ("/a/..", "x", "/"),
        ("/a b%2fc", "x", "/a%20b%252fc"),
        ("/a b%2fc//%zz%", "s3", "/a%20b%2Fc//%25zz%25"),
        ("/ü", "s3", "/%C3%BC"),
    ] {
        assert_eq!(
            canonical_path(path, service),
            expected,
            "{path} of {service}"
        );
    }
    assert_eq!(canonical_query("b&a=1&&a=%2f&=x"), "=x&a=%2F&a=1&b=");
    let repeated = [("B", "2"), ("a", " 1 "), ("b", "1")];
    let canonical = canonical_request(&PLAIN, &repeated, "hash");
    assert_eq!(canonical.signed_headers, "a;b");
    assert_eq!(canonical.text, "GET\n/\n\na:1\nb:2,1\n\na;b\nhash");
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!(
        "{:?} {:?}",
        credentials(Some("TOKEN")),
        signing_key(
            "secret",
            Scope {
                date: "20150830T123600Z",
                region: "r",
                service: "s",
            }
        )
    );
    assert!(
        !shown.contains("wJalr") && !shown.contains("TOKEN"),
        "{shown}"
    );
}
