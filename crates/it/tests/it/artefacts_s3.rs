//! The face of S3: lists, parts, removal, checksums, as clients use them.

use std::net::SocketAddr;

use it::artefacts::{PASSWORD, Store, USER, section};
use it::client::{self, Reply};
use it::need::need;
use it::postgres::Database;
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

const KEYS: [&str; 9] = [
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

/// Puts a file of each key.
async fn put_keys(store: &Store) {
    for key in KEYS {
        let path = format!("/{}", wire::s3::key::percent_encode(key, true));
        let reply = store.s3("PUT", &path, &[], "x").await;
        assert_eq!(reply.status, 200, "{key}: {}", reply.text());
    }
}

/// One page of a list.
async fn list(store: &Store, parameters: &[(&str, &str)]) -> String {
    let parameters = [&[("list-type", "2")], parameters].concat();
    let reply = store.s3("GET", "", &parameters, "").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.text()
}

/// All keys and common prefixes of a list, page by page.
async fn pages(store: &Store, parameters: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let (mut keys, mut prefixes) = (Vec::new(), Vec::new());
    let mut token: Option<String> = None;
    loop {
        let mut parameters = parameters.to_vec();
        parameters.extend(token.as_deref().map(|token| ("continuation-token", token)));
        let page = list(store, &parameters).await;
        keys.extend(texts(&page, "Key"));
        // The first is the one that was asked for.
        prefixes.extend(texts(&page, "Prefix").into_iter().skip(1));
        token = texts(&page, "NextContinuationToken").pop();
        if token.is_none() {
            return (keys, prefixes);
        }
    }
}

/// Lists are in the order of bytes, by pages of any size.
#[tokio::test]
async fn lists_go_by_pages() {
    let store = start().await;
    put_keys(&store).await;
    by_pages(&store).await;
}

async fn by_pages(store: &Store) {
    let all = list(store, &[]).await;
    assert_eq!(texts(&all, "Key"), KEYS);
    assert_eq!(texts(&all, "KeyCount"), ["9"]);
    for size in ["1", "2", "5"] {
        let (keys, _) = pages(store, &[("max-keys", size)]).await;
        assert_eq!(keys, KEYS, "by {size}");
    }
    let after = list(store, &[("start-after", "g/r/deep/2")]).await;
    assert_eq!(texts(&after, "Key"), KEYS[4..]);
    let old = [("prefix", "g/r/deep/"), ("max-keys", "1")];
    let old = store.s3("GET", "", &old, "").await.text();
    assert_eq!(texts(&old, "Key"), ["g/r/deep/1"]);
    for beyond in ["g/r0", "z"] {
        let page = list(store, &[("prefix", "g/r/"), ("start-after", beyond)]).await;
        assert!(texts(&page, "Key").is_empty(), "{page}");
    }
    let none = list(store, &[("prefix", "nothing")]).await;
    assert!(texts(&none, "Key").is_empty());
}

/// With a delimiter folders are entries, at every depth.
#[tokio::test]
async fn lists_go_by_folders() {
    let store = start().await;
    put_keys(&store).await;
    by_folders(&store).await;
}

async fn by_folders(store: &Store) {
    let cases: [(&str, &[&str], &[&str]); 6] = [
        ("", &["é"], &["g/", "h/"]),
        ("g/", &["g/x.txt"], &["g/r-tag/", "g/r/"]),
        ("g/r", &[], &["g/r-tag/", "g/r/"]),
        (
            "g/r/",
            &["g/r/a.log", "g/r/z"],
            &["g/r/deep/", "g/r/deeper/"],
        ),
        ("g/r/deep", &[], &["g/r/deep/", "g/r/deeper/"]),
        ("g/r/deep/", &["g/r/deep/1", "g/r/deep/2"], &[]),
    ];
    for (prefix, files, folders) in cases {
        for size in ["1", "1000"] {
            let parameters = [("prefix", prefix), ("delimiter", "/"), ("max-keys", size)];
            let (found, below) = pages(store, &parameters).await;
            assert_eq!(found, files, "files below {prefix:?} by {size}");
            assert_eq!(below, folders, "folders below {prefix:?} by {size}");
        }
    }
}

const LARGE: &str = "/g/r/large.tar";

/// Begins an upload in parts; its id.
async fn begin(store: &Store) -> String {
    let begun = store.s3("POST", LARGE, &[("uploads", "")], "").await;
    texts(&begun.text(), "UploadId").pop().expect("an id")
}

/// Sends a part; its tag.
async fn part(store: &Store, id: &str, number: &str, body: &str) -> String {
    let parameters = [("partNumber", number), ("uploadId", id)];
    let reply = store.s3("PUT", LARGE, &parameters, body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.header("etag")
}

async fn complete(store: &Store, id: &str, parts: &[(u32, &str)]) -> Reply {
    let part = |(number, etag): &(u32, &str)| {
        format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
    };
    let parts: Vec<String> = parts.iter().map(part).collect();
    let body = format!(
        "<CompleteMultipartUpload>{}</CompleteMultipartUpload>",
        parts.concat()
    );
    store.s3("POST", LARGE, &[("uploadId", id)], &body).await
}

/// An upload in parts: parts in any order, one sent again, a list, and the whole with ranges over the
/// seams.
#[tokio::test]
async fn parts_become_one_file() {
    let store = start().await;
    in_parts(&store).await;
    assert_eq!(
        store.files_below("objects"),
        2,
        "what was left over is gone"
    );
}

async fn in_parts(store: &Store) {
    let id = begin(store).await;
    let second = part(store, &id, "2", "world").await;
    part(store, &id, "1", "wrong").await;
    let first = part(store, &id, "1", "hello ").await;
    part(store, &id, "9", "left over").await;
    let listed = store
        .s3("GET", LARGE, &[("uploadId", &id)], "")
        .await
        .text();
    assert_eq!(texts(&listed, "PartNumber"), ["1", "2", "9"]);
    let uploads = store.s3("GET", "", &[("uploads", "")], "").await.text();
    assert_eq!(texts(&uploads, "UploadId"), [id.as_str()]);
    let early = store.s3("GET", LARGE, &[], "").await;
    assert_eq!(early.status, 404, "not before it is whole");
    for (parts, code) in [
        (
            vec![(2, second.as_str()), (1, first.as_str())],
            "InvalidPartOrder",
        ),
        (vec![(1, second.as_str())], "InvalidPart"),
        (vec![(3, first.as_str())], "InvalidPart"),
        (vec![], "MalformedXML"),
    ] {
        let reply = complete(store, &id, &parts).await;
        let said = texts(&reply.text(), "Code");
        assert_eq!((reply.status, said), (400, vec![code.to_owned()]));
    }
    let reply = complete(store, &id, &[(1, &first), (2, &second)]).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let etag = texts(&reply.text(), "ETag").pop().unwrap();
    assert!(etag.ends_with("-2&quot;"), "{etag}");
    assert_eq!(store.s3("GET", LARGE, &[], "").await.text(), "hello world");
    let url = store.signed((USER, PASSWORD), ("GET", LARGE), &[], 60);
    let seam = client::get(&url, &[("range", "bytes=4-7")]).await.unwrap();
    assert_eq!((seam.status, seam.text().as_str()), (206, "o wo"));
    let again = complete(store, &id, &[(1, &first)]).await;
    assert_eq!(again.status, 404, "it is over");
}

/// The same on PostgreSQL, with two processes that share a folder.
#[tokio::test]
async fn several_processes_share_a_store() {
    let Some(admin) = need("POSTGRES_URL") else {
        return;
    };
    let database = Database::create(&admin).await;
    let folder = tempfile::tempdir().unwrap();
    let section = section(json!({"objects": folder.path().join("shared")}));
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let more = json!({"state": database.url, "identity": {"key": key}});
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let one = Store::start_with(listen, section.clone(), more.clone()).await;
    let other = Store::start_with(listen, section, more).await;
    put_keys(&one).await;
    by_pages(&other).await;
    by_folders(&one).await;
    in_parts(&other).await;
    let reply = one.upload("g/r", "f", "by one").await;
    assert_eq!(reply.status, 200);
    assert_eq!(other.s3("GET", "/g/r/f", &[], "").await.text(), "by one");
    // A link of one holds at the other, when it was asked by that name.
    let link = one.link("g/r", "f").await;
    let path = link.strip_prefix(&one.url("")).unwrap();
    let host = one.address.to_string();
    let request = format!(
        "PUT {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 8\r\nConnection: close\r\n\r\nby other"
    );
    assert_eq!(
        client::raw_status(other.address, request.as_bytes()).await,
        200
    );
    assert_eq!(one.s3("GET", "/g/r/f", &[], "").await.text(), "by other");
    drop((one, other));
    database.remove().await;
}

/// What was given up leaves nothing.
#[tokio::test]
async fn an_upload_is_given_up() {
    let store = start().await;
    let id = begin(&store).await;
    part(&store, &id, "1", "x").await;
    assert_eq!(store.files_below("objects"), 1);
    let given_up = store.s3("DELETE", LARGE, &[("uploadId", &id)], "").await;
    assert_eq!(given_up.status, 204);
    assert_eq!(store.files_below("objects"), 0);
    assert_eq!(
        store
            .s3("GET", LARGE, &[("uploadId", &id)], "")
            .await
            .status,
        404
    );
    let late = [("partNumber", "1"), ("uploadId", id.as_str())];
    assert_eq!(store.s3("PUT", LARGE, &late, "x").await.status, 404);
    assert_eq!(store.files_below("objects"), 0);
}

/// What nobody ends is given up after its time, and its parts with it; what is younger stays.
#[tokio::test]
async fn uploads_that_nobody_ends_expire() {
    let store = Store::start(section(json!({"uploads_expire": "2s"}))).await;
    let id = begin(&store).await;
    part(&store, &id, "1", "x").await;
    assert_eq!(store.files_below("objects"), 1);
    it::wait::until("the upload has expired", it::wait::SOON, async || {
        (store.files_below("objects") == 0).then_some(())
    })
    .await;
    let late = [("partNumber", "1"), ("uploadId", id.as_str())];
    assert_eq!(store.s3("PUT", LARGE, &late, "x").await.status, 404);
    let uploads = store.s3("GET", "", &[("uploads", "")], "").await.text();
    assert!(texts(&uploads, "UploadId").is_empty(), "{uploads}");
    let store = start().await;
    let id = begin(&store).await;
    let first = part(&store, &id, "1", "x").await;
    assert_eq!(complete(&store, &id, &[(1, &first)]).await.status, 200);
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
    assert_eq!(store.s3("PUT", "/g/r/c", &[], "y").await.status, 200);
    let versions = store.s3("GET", "", &[("versions", "")], "").await.text();
    let newest = texts(&versions, "VersionId").remove(0);
    let object = |version: &str| {
        format!("<Object><Key>g/r/c</Key><VersionId>{version}</VersionId></Object>")
    };
    let body = format!("<Delete>{}{}</Delete>", object(&newest), object("null"));
    let text = store.s3("POST", "", &[("delete", "")], &body).await.text();
    assert_eq!(texts(&text, "Code"), ["NoSuchKey"], "{text}");
    assert_eq!(texts(&text, "VersionId"), [&newest, "null"], "{text}");
    assert_eq!(store.s3("GET", "/g/r/c", &[], "").await.text(), "x");
}

/// A range is given of the version that is meant only, and writes under conditions are done if these hold.
#[tokio::test]
async fn conditions_are_heeded() {
    let store = start().await;
    let put = store.s3("PUT", "/g/r/f", &[], "hello").await;
    let etag = put.header("etag");
    let credentials = wire::auth::basic(USER, PASSWORD);
    let send = async |method: &str, header: (&str, &str)| {
        let headers = [
            ("authorization", credentials.as_str()),
            ("range", "bytes=1-2"),
            header,
        ];
        let reply = store.send(method, "/artefacts/g/r/f", &headers, "x").await;
        (reply.status, reply.text())
    };
    let (part, whole) = ((206, "el".to_owned()), (200, "hello".to_owned()));
    assert_eq!(send("GET", ("if-range", &etag)).await, part);
    assert_eq!(send("GET", ("if-range", &format!("W/{etag}"))).await, whole);
    assert_eq!(send("GET", ("if-range", "\"other\"")).await, whole);
    for (header, expected) in [
        (("if-none-match", "*"), 412),
        (("if-match", "\"other\""), 412),
        (("if-none-match", etag.as_str()), 501),
    ] {
        assert_eq!(send("PUT", header).await.0, expected, "{header:?}");
    }
    assert_eq!(send("DELETE", ("if-match", &etag)).await.0, 501);
    assert_eq!(store.s3("GET", "/g/r/f", &[], "").await.text(), "hello");
    assert_eq!(store.files_below("objects"), 1);
    assert_eq!(send("PUT", ("if-match", &etag)).await.0, 200);
    assert_eq!(
        send("PUT", ("if-match", &etag)).await.0,
        412,
        "it has changed"
    );
    assert_eq!(send("PUT", ("if-match", "*")).await.0, 200);
    assert_eq!(store.s3("DELETE", "/g/r/f", &[], "").await.status, 204);
    assert_eq!(send("PUT", ("if-match", &etag)).await.0, 404);
    // Of several at once one is the first.
    let path = store.url("/artefacts/g/r/f");
    let headers = [
        ("authorization", credentials.as_str()),
        ("if-none-match", "*"),
    ];
    let puts = (0..8).map(|_| client::send("PUT", &path, &headers, "x"));
    let mut statuses: Vec<u16> = Vec::new();
    for put in futures_util::future::join_all(puts).await {
        statuses.push(put.unwrap().status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
    let versions = store.s3("GET", "", &[("versions", "")], "").await.text();
    assert_eq!(texts(&versions, "VersionId").len(), 1, "{versions}");
    assert_eq!(store.files_below("objects"), 1);
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
