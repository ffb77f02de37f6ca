//! The face of S3: lists, parts, removal, checksums, as clients use them.

use it::artefacts::{PASSWORD, Store, USER, section};
use it::client;
use serde_json::json;

async fn start() -> Store {
    Store::start(section(json!({"access": "closed"}))).await
}

/// What stands between two tags, each time.
fn texts(document: &str, element: &str) -> Vec<String> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let behind = document.split(open.as_str()).skip(1);
    let inside = behind.map(|rest| rest.split(close.as_str()).next().unwrap_or_default());
    inside.map(str::to_owned).collect()
}

/// Lists go by pages, by folders, and in the order of bytes.
#[tokio::test]
async fn lists_go_by_pages() {
    let store = start().await;
    let keys = [
        "g/r-tag/f",
        "g/r/a.log",
        "g/r/deep/1",
        "g/r/deep/2",
        "g/r/deeper/1",
        "g/r/z",
        "g/x.txt",
        "h/r/f",
        "é",
    ];
    for key in keys {
        let path = format!("/{}", wire::s3::key::percent_encode(key, true));
        let reply = store.s3("PUT", &path, &[], "x").await;
        assert_eq!(reply.status, 200, "{key}: {}", reply.text());
    }
    let list = async |parameters: &[(&str, &str)]| {
        let parameters = [&[("list-type", "2")], parameters].concat();
        let reply = store.s3("GET", "", &parameters, "").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.text()
    };
    let all = list(&[]).await;
    assert_eq!(texts(&all, "Key"), keys);
    assert_eq!(texts(&all, "KeyCount"), ["9"]);
    for size in ["1", "2", "5"] {
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut parameters = vec![("max-keys", size)];
            parameters.extend(token.as_deref().map(|token| ("continuation-token", token)));
            let page = list(&parameters).await;
            found.extend(texts(&page, "Key"));
            token = texts(&page, "NextContinuationToken").pop();
            if token.is_none() {
                break;
            }
        }
        assert_eq!(found, keys, "by {size}");
    }
    for (prefix, files, folders) in [
        ("", vec!["é"], vec!["g/", "h/"]),
        ("g/", vec!["g/x.txt"], vec!["g/r-tag/", "g/r/"]),
        ("g/r", vec![], vec!["g/r-tag/", "g/r/"]),
        (
            "g/r/",
            vec!["g/r/a.log", "g/r/z"],
            vec!["g/r/deep/", "g/r/deeper/"],
        ),
        ("g/r/deep", vec![], vec!["g/r/deep/", "g/r/deeper/"]),
        ("g/r/deep/", vec!["g/r/deep/1", "g/r/deep/2"], vec![]),
    ] {
        for size in ["1", "1000"] {
            let (mut found_files, mut found_folders) = (Vec::new(), Vec::new());
            let mut token: Option<String> = None;
            loop {
                let mut parameters =
                    vec![("prefix", prefix), ("delimiter", "/"), ("max-keys", size)];
                parameters.extend(token.as_deref().map(|token| ("continuation-token", token)));
                let page = list(&parameters).await;
                found_files.extend(texts(&page, "Key"));
                found_folders.extend(texts(&page, "Prefix").into_iter().skip(1));
                token = texts(&page, "NextContinuationToken").pop();
                if token.is_none() {
                    break;
                }
            }
            assert_eq!(
                (&found_files, &found_folders),
                (
                    &files.iter().map(|s| (*s).to_owned()).collect(),
                    &folders.iter().map(|s| (*s).to_owned()).collect()
                ),
                "{prefix:?} by {size}"
            );
        }
    }
    let after = list(&[("start-after", "g/r/deep/2")]).await;
    assert_eq!(texts(&after, "Key"), keys[4..]);
    let old = store
        .s3("GET", "", &[("prefix", "g/r/deep/"), ("max-keys", "1")], "")
        .await
        .text();
    assert_eq!(texts(&old, "Key"), ["g/r/deep/1"]);
    let none = list(&[("prefix", "nothing")]).await;
    assert!(texts(&none, "Key").is_empty());
}

/// An upload in parts: parts in any order, one sent again, a list, and the whole with ranges over the
/// seams.
#[tokio::test]
async fn parts_become_one_file() {
    let store = start().await;
    let key = "/g/r/large.tar";
    let begun = store.s3("POST", key, &[("uploads", "")], "").await;
    let id = texts(&begun.text(), "UploadId").pop().expect("an id");
    let part = async |number: &str, body: &str| {
        let parameters = [("partNumber", number), ("uploadId", id.as_str())];
        let reply = store.s3("PUT", key, &parameters, body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.header("etag")
    };
    let second = part("2", "world").await;
    part("1", "wrong").await;
    let first = part("1", "hello ").await;
    let left_over = part("9", "left over").await;
    assert_ne!(first, left_over);
    let listed = store.s3("GET", key, &[("uploadId", &id)], "").await.text();
    assert_eq!(texts(&listed, "PartNumber"), ["1", "2", "9"]);
    let uploads = store.s3("GET", "", &[("uploads", "")], "").await.text();
    assert_eq!(texts(&uploads, "UploadId"), [id.as_str()]);
    assert_eq!(
        store.s3("GET", key, &[], "").await.status,
        404,
        "not before it is whole"
    );
    let complete = async |parts: &[(u32, &str)]| {
        let parts: Vec<String> = parts
            .iter()
            .map(|(number, etag)| {
                format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
            })
            .collect();
        let body = format!(
            "<CompleteMultipartUpload>{}</CompleteMultipartUpload>",
            parts.concat()
        );
        store.s3("POST", key, &[("uploadId", &id)], &body).await
    };
    for (parts, code) in [
        (
            vec![(2, second.as_str()), (1, first.as_str())],
            "InvalidPartOrder",
        ),
        (vec![(1, second.as_str())], "InvalidPart"),
        (vec![(3, first.as_str())], "InvalidPart"),
        (vec![], "MalformedXML"),
    ] {
        let reply = complete(&parts).await;
        assert_eq!(
            (reply.status, texts(&reply.text(), "Code")),
            (400, vec![code.to_owned()])
        );
    }
    let reply = complete(&[(1, &first), (2, &second)]).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let etag = texts(&reply.text(), "ETag").pop().unwrap();
    assert!(etag.ends_with("-2&quot;"), "{etag}");
    assert_eq!(store.s3("GET", key, &[], "").await.text(), "hello world");
    let url = store.signed((USER, PASSWORD), ("GET", key), &[], 60);
    let part = client::get(&url, &[("range", "bytes=4-7")]).await.unwrap();
    assert_eq!((part.status, part.text().as_str()), (206, "o wo"));
    assert_eq!(
        store.files_below("objects"),
        2,
        "what was left over is gone"
    );
    assert_eq!(complete(&[(1, &first)]).await.status, 404, "it is over");
    let begun = store.s3("POST", key, &[("uploads", "")], "").await;
    let id = texts(&begun.text(), "UploadId").pop().unwrap();
    store
        .s3("PUT", key, &[("partNumber", "1"), ("uploadId", &id)], "x")
        .await;
    assert_eq!(
        store
            .s3("DELETE", key, &[("uploadId", &id)], "")
            .await
            .status,
        204
    );
    assert_eq!(store.files_below("objects"), 2);
    assert_eq!(
        store.s3("GET", key, &[("uploadId", &id)], "").await.status,
        404
    );
}

/// Removal of one file, of several, and of nothing.
#[tokio::test]
async fn files_are_removed() {
    let store = start().await;
    for name in ["a", "b", "b", "c"] {
        assert_eq!(
            store
                .s3("PUT", &format!("/g/r/{name}"), &[], "x")
                .await
                .status,
            200
        );
    }
    assert_eq!(store.files_below("objects"), 4);
    assert_eq!(store.s3("DELETE", "/g/r/a", &[], "").await.status, 204);
    assert_eq!(store.s3("GET", "/g/r/a", &[], "").await.status, 404);
    assert_eq!(store.s3("DELETE", "/g/r/a", &[], "").await.status, 204);
    let body = "<Delete><Object><Key>g/r/b</Key></Object><Object><Key>../x</Key></Object></Delete>";
    let reply = store.s3("POST", "", &[("delete", "")], body).await;
    let text = reply.text();
    assert_eq!(texts(&text, "Code"), ["InvalidArgument"], "{text}");
    assert_eq!(store.navigate("/g/r").await.len(), 1);
    assert_eq!(store.files_below("objects"), 1, "all versions are gone");
}

/// What is announced is compared, and nothing of what differs stays.
#[tokio::test]
async fn what_differs_is_refused() {
    let store = start().await;
    let credentials = wire::auth::basic(USER, PASSWORD);
    let put = async |headers: &[(&str, &str)]| {
        let headers = [&[("authorization", credentials.as_str())], headers].concat();
        let reply = store
            .send("PUT", "/artefacts/g/r/f", &headers, "hello world")
            .await;
        (
            reply.status,
            texts(&reply.text(), "Code").pop().unwrap_or_default(),
        )
    };
    let bad = (400, "BadDigest".to_owned());
    let good = (200, String::new());
    assert_eq!(
        put(&[("content-md5", "XrY7u+Ae7tCTyyK7j1rNww==")]).await,
        good
    );
    assert_eq!(
        put(&[("content-md5", "XrY7u+Ae7tCTyyK7j1rNwA==")]).await,
        bad
    );
    assert_eq!(put(&[("x-amz-checksum-crc32", "DUoRhQ==")]).await, good);
    assert_eq!(put(&[("x-amz-checksum-crc32", "DUoRhA==")]).await, bad);
    assert_eq!(put(&[("x-amz-checksum-sha256", "AAAA")]).await, bad);
    let hash = wire::sigv4::sha256_hex(b"hello world");
    assert_eq!(put(&[("x-amz-content-sha256", &hash)]).await, good);
    let hash = wire::sigv4::sha256_hex(b"other");
    assert_eq!(put(&[("x-amz-content-sha256", &hash)]).await, bad);
    assert_eq!(store.files_below("objects"), 3);
    assert_eq!(store.files_below("incoming"), 0);
    let reply = store.s3("GET", "/g/r/f", &[], "").await;
    assert_eq!(
        reply.header("landline-sha256"),
        wire::sigv4::sha256_hex(b"hello world")
    );
    let short = "PUT /artefacts/g/r/short HTTP/1.1\r\nHost: a\r\nAuthorization: ".to_owned();
    let short =
        format!("{short}{credentials}\r\nContent-Length: 10\r\nConnection: close\r\n\r\nabc");
    drop(
        client::raw(
            store.address,
            short.as_bytes(),
            std::time::Duration::from_millis(300),
        )
        .await,
    );
    it::wait::until("what was cut off is gone", it::wait::SOON, async || {
        (store.files_below("incoming") == 0).then_some(())
    })
    .await;
    assert_eq!(store.s3("GET", "/g/r/short", &[], "").await.status, 404);
}

/// Strangers, other secrets and other operations are told no in words that S3 clients know.
#[tokio::test]
async fn who_may_not_is_told_so() {
    let store = start().await;
    let code = async |url: &str| {
        let reply = client::get(url, &[]).await.unwrap();
        (
            reply.status,
            texts(&reply.text(), "Code").pop().unwrap_or_default(),
        )
    };
    let said = |status: u16, code: &str| (status, code.to_owned());
    let url = store.signed(("nobody", PASSWORD), ("GET", "/g/r/f"), &[], 60);
    assert_eq!(code(&url).await, said(403, "InvalidAccessKeyId"));
    let url = store.signed((USER, "other"), ("GET", "/g/r/f"), &[], 60);
    assert_eq!(code(&url).await, said(403, "SignatureDoesNotMatch"));
    let url = store.signed((USER, PASSWORD), ("GET", "/g/r/f"), &[], 60);
    assert_eq!(code(&url).await, said(404, "NoSuchKey"));
    let url = store.signed((USER, PASSWORD), ("GET", "/g/r/f"), &[("acl", "")], 60);
    assert_eq!(code(&url).await, said(501, "NotImplemented"));
    assert_eq!(
        store.send("GET", "/artefacts/g/r/f", &[], "").await.status,
        401
    );
    for (parameters, expected) in [
        (("location", ""), "LocationConstraint"),
        (("versioning", ""), "<Status>Enabled</Status>"),
    ] {
        let reply = store.s3("GET", "", &[parameters], "").await;
        assert!(reply.text().contains(expected), "{}", reply.text());
    }
    assert_eq!(store.s3("HEAD", "", &[], "").await.status, 200);
}
