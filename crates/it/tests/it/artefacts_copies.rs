//! Copies within the store, tags, and the list of buckets, with objects in a folder and in a bucket.

use it::artefacts::{PASSWORD, Store, USER, in_bucket_of, section};
use it::client::{self, Reply};
use it::need::need;
use it::s3s::S3Server;
use serde_json::{Value, json};
use wire::auth::basic;

fn users() -> Value {
    json!([
        {"name": USER, "password": {"file": "krkn.password"}},
        {"name": "ci", "password": "ci-password", "groups": ["ci"]},
    ])
}

/// A request with credentials of a user, and headers of S3 without a signature.
async fn ask(
    store: &Store,
    (user, method, path): ((&str, &str), &str, &str),
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    let credentials = basic(user.0, user.1);
    let own = [("authorization", credentials.as_str())];
    let headers = [&own, headers].concat();
    let path = format!("/artefacts{path}");
    store.send(method, &path, &headers, body).await
}

const KRKN: (&str, &str) = (USER, PASSWORD);
const CI: (&str, &str) = ("ci", "ci-password");
const SOURCE: &str = "x-amz-copy-source";

#[tokio::test]
async fn files_are_copied_in_a_folder() {
    let store = Store::start(section(json!({"users": users(), "access": "closed"}))).await;
    copies(&store).await;
    // Two names each: nothing was written again but for the part.
    assert_eq!(store.files_below("incoming"), 0);
}

#[tokio::test]
async fn files_are_copied_in_a_bucket() {
    let Some(program) = need("S3S_FS") else {
        return;
    };
    let server = S3Server::start(&program, "artefacts").await;
    let mut section = in_bucket_of(&server.endpoint, S3Server::KEY);
    section["users"] = users();
    section["access"] = json!("closed");
    copies(&Store::start(section).await).await;
}

async fn copies(store: &Store) {
    let headers = [
        ("content-type", "text/plain"),
        ("x-amz-meta-who", "me"),
        ("x-amz-tagging", "a=1&b=%C3%BC"),
    ];
    let put = ask(store, (KRKN, "PUT", "/g/r/f%20%C3%BC"), &headers, "first").await;
    assert_eq!(put.status, 200, "{}", put.text());
    let (first, etag) = (put.header("x-amz-version-id"), put.header("etag"));
    let second = ask(store, (KRKN, "PUT", "/g/r/f%20%C3%BC"), &[], "second").await;
    assert_eq!(second.status, 200);
    let source = format!("/artefacts/g/r/f%20%C3%BC?versionId={first}");
    let copied = ask(store, (KRKN, "PUT", "/h/r/copy"), &[(SOURCE, &source)], "").await;
    let text = copied.text();
    assert_eq!(copied.status, 200, "{text}");
    assert!(
        text.contains("<CopyObjectResult") && text.contains(etag.trim_matches('"')),
        "{text}"
    );
    assert_eq!(copied.header("x-amz-copy-source-version-id"), first);
    let copy = ask(store, (KRKN, "GET", "/h/r/copy"), &[], "").await;
    assert_eq!(copy.text(), "first");
    assert_eq!(copy.header("content-type"), "text/plain");
    assert_eq!(copy.header("x-amz-meta-who"), "me");
    assert_eq!(copy.header("x-amz-tagging-count"), "2");
    assert_eq!(copy.header("etag"), etag);
    assert!(!copy.header("landline-sha256").is_empty());
    // What it was copied from may go.
    let gone = ask(store, (KRKN, "DELETE", "/g/r/f%20%C3%BC"), &[], "").await;
    assert_eq!(gone.status, 204);
    let copy = ask(store, (KRKN, "GET", "/h/r/copy"), &[], "").await;
    assert_eq!(copy.text(), "first");
    // Onto itself with other headers.
    let source = [(SOURCE, "artefacts/h/r/copy")];
    let same = ask(store, (KRKN, "PUT", "/h/r/copy"), &source, "").await;
    assert_eq!(same.status, 400, "{}", same.text());
    let other = [
        source[0],
        ("x-amz-metadata-directive", "REPLACE"),
        ("x-amz-meta-who", "you"),
    ];
    assert_eq!(
        ask(store, (KRKN, "PUT", "/h/r/copy"), &other, "")
            .await
            .status,
        200
    );
    let copy = ask(store, (KRKN, "GET", "/h/r/copy"), &[], "").await;
    assert_eq!(
        (copy.text(), copy.header("x-amz-meta-who")),
        ("first".to_owned(), "you".to_owned())
    );
    assert_eq!(copy.header("x-amz-tagging-count"), "2", "tags come along");
    refused(store).await;
    parts(store).await;
    tags(store).await;
}

/// What may not be copied, or is not there.
async fn refused(store: &Store) {
    for (user, to, source, expected) in [
        (KRKN, "/g/r/x", "/artefacts/g/r/none", 404),
        (KRKN, "/g/r/x", "/other/h/r/copy", 404),
        (KRKN, "/g/r/x", "/artefacts/h/r/copy?versionId=no", 404),
        (KRKN, "/g/r/x", "/artefacts/h/../copy", 400),
        (KRKN, "/g/r/x", "/artefacts/h/%ff", 400),
        (CI, "/ci/r/x", "/artefacts/h/r/copy", 403),
        (CI, "/h/r/x", "/artefacts/ci/r/none", 403),
    ] {
        let reply = ask(store, (user, "PUT", to), &[(SOURCE, source)], "").await;
        assert_eq!(reply.status, expected, "{source}: {}", reply.text());
    }
    let copy = [(SOURCE, "/artefacts/h/r/copy")];
    for (header, expected) in [
        (("if-none-match", "*"), 412),
        (("x-amz-copy-source-if-match", "\"other\""), 412),
        (("x-amz-copy-source-if-none-match", "*"), 412),
        (("x-amz-metadata-directive", "BOTH"), 400),
    ] {
        let headers = [copy[0], header];
        let reply = ask(store, (KRKN, "PUT", "/h/r/copy"), &headers, "").await;
        assert_eq!(reply.status, expected, "{header:?}: {}", reply.text());
    }
    // A link is about one key.
    let link = store.link("h/r", "by-link").await;
    let reply = client::send("PUT", &link, &copy, "").await.unwrap();
    assert_eq!(reply.status, 403, "{}", reply.text());
}

/// Parts that are copied, whole or in a range.
async fn parts(store: &Store) {
    let text = |document: &str, element: &str| {
        let (_, rest) = document.split_once(&format!("<{element}>")).unwrap();
        rest.split('<').next().unwrap().replace("&quot;", "")
    };
    let begun = ask(store, (KRKN, "POST", "/h/r/joined?uploads"), &[], "").await;
    let id = text(&begun.text(), "UploadId");
    let mut named = String::new();
    for (number, range) in [(1, None), (2, Some("bytes=1-2"))] {
        let mut headers = vec![(SOURCE, "/artefacts/h/r/copy")];
        headers.extend(range.map(|range| ("x-amz-copy-source-range", range)));
        let path = format!("/h/r/joined?partNumber={number}&uploadId={id}");
        let reply = ask(store, (KRKN, "PUT", &path), &headers, "").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let etag = text(&reply.text(), "ETag");
        let part = format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
        named.push_str(&part);
    }
    let path = format!("/h/r/joined?partNumber=3&uploadId={id}");
    let beyond = [
        (SOURCE, "/artefacts/h/r/copy"),
        ("x-amz-copy-source-range", "bytes=1-5"),
    ];
    assert_eq!(
        ask(store, (KRKN, "PUT", &path), &beyond, "").await.status,
        416
    );
    let path = format!("/h/r/joined?uploadId={id}");
    let body = format!("<CompleteMultipartUpload>{named}</CompleteMultipartUpload>");
    let done = ask(store, (KRKN, "POST", &path), &[], &body).await;
    assert_eq!(done.status, 200, "{}", done.text());
    let copied = [(SOURCE, "/artefacts/h/r/joined")];
    let reply = ask(store, (KRKN, "PUT", "/h/r/again"), &copied, "").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    for path in ["/h/r/joined", "/h/r/again"] {
        let reply = ask(store, (KRKN, "GET", path), &[], "").await;
        assert_eq!(reply.text(), "firstir", "{path}");
    }
}

async fn tags(store: &Store) {
    let path = "/h/r/copy?tagging";
    let reply = ask(store, (KRKN, "GET", path), &[], "").await;
    let text = reply.text();
    assert!(
        text.contains("<Tag><Key>b</Key><Value>ü</Value></Tag>"),
        "{text}"
    );
    let tag = |name: &str| format!("<Tag><Key>{name}</Key><Value>&lt;v&gt;</Value></Tag>");
    let set = |tags: &str| format!("<Tagging><TagSet>{tags}</TagSet></Tagging>");
    let put = ask(store, (KRKN, "PUT", path), &[], &set(&tag("c d"))).await;
    assert_eq!(put.status, 200, "{}", put.text());
    let text = ask(store, (KRKN, "GET", path), &[], "").await.text();
    assert_eq!(text.matches("<Tag>").count(), 1, "{text}");
    assert!(
        text.contains("<Key>c d</Key><Value>&lt;v&gt;</Value>"),
        "{text}"
    );
    let many: String = (0..11).map(|number| tag(&number.to_string())).collect();
    for bad in [
        set(&many),
        set(&tag("")),
        set(&tag("a").repeat(2)),
        String::new(),
    ] {
        let reply = ask(store, (KRKN, "PUT", path), &[], &bad).await;
        assert_eq!(reply.status, 400, "{bad}");
    }
    assert_eq!(ask(store, (CI, "GET", path), &[], "").await.status, 403);
    assert_eq!(
        ask(store, (CI, "PUT", path), &[], &set("")).await.status,
        403
    );
    assert_eq!(
        ask(store, (KRKN, "DELETE", path), &[], "").await.status,
        204
    );
    let text = ask(store, (KRKN, "GET", path), &[], "").await.text();
    assert_eq!(text.matches("<Tag>").count(), 0, "{text}");
    let copy = ask(store, (KRKN, "HEAD", "/h/r/copy"), &[], "").await;
    assert_eq!(copy.header("x-amz-meta-who"), "you");
    assert_eq!(copy.header("x-amz-tagging-count"), "");
}

/// With a signature `/` is the list of buckets; without, it leads people to the pages.
#[tokio::test]
async fn the_bucket_is_listed() {
    let store = Store::start(section(json!({"access": "closed"}))).await;
    let host = store.address.to_string();
    let ask = async |credentials: (&str, &str)| {
        let link = wire::s3::request::Link {
            method: "GET",
            host: &host,
            path: "/",
            parameters: &[],
            region: "eu-central-1",
            expires: 60,
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = i64::try_from(now.unwrap().as_secs()).unwrap();
        let query = link.sign(credentials, now);
        client::get(&format!("http://{host}/?{query}"), &[])
            .await
            .unwrap()
    };
    let reply = ask(KRKN).await;
    let text = reply.text();
    assert_eq!(reply.status, 200, "{text}");
    assert!(
        text.contains("<Bucket><Name>artefacts</Name><CreationDate>20"),
        "{text}"
    );
    let reply = ask((USER, "wrong")).await;
    assert_eq!(reply.status, 403);
    assert!(
        reply.text().contains("SignatureDoesNotMatch"),
        "{}",
        reply.text()
    );
    let reply = store.send("GET", "/", &[], "").await;
    assert_eq!(
        (reply.status, reply.header("location").as_str()),
        (302, "/files/")
    );
}
