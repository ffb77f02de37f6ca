//! Objects in a bucket of another store: a collector of ours, whose requests are looked at as those of any
//! client.

use std::net::SocketAddr;

use it::artefacts::{PASSWORD, Store, USER, in_bucket, in_bucket_of, own_listener, section};
use it::certificates::Authority;
use it::client;
use it::need::need;
use it::program::Launch;
use it::prometheus::free_port;
use it::s3s::S3Server;
use it::wait;
use rustix::process::Signal;
use serde_json::{Value, json};

/// How many objects are in the bucket.
async fn objects(inner: &Store) -> usize {
    let list = inner.s3(
        "GET",
        "",
        &[("list-type", "2"), ("prefix", "kept/here/objects/")],
        "",
    );
    list.await.text().matches("<Key>").count()
}

/// The same that works with a folder works with a bucket: uploads, ranges, parts, versions, removal,
/// and a start after an end.
#[tokio::test]
async fn a_bucket_is_as_good_as_a_folder() {
    let inner = Store::start(section(json!({"access": "closed"}))).await;
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut outer = Store::start_at(listen, in_bucket(&inner, PASSWORD)).await;
    assert_eq!(outer.upload("g/r", "small", "small").await.status, 200);
    assert_eq!(outer.upload("g/r", "empty", "").await.status, 200);
    // More than two parts of the other store.
    let large = "0123456789abcdef".repeat((20 << 20) / 16);
    assert_eq!(outer.upload("g/r", "large", &large).await.status, 200);
    assert_eq!(objects(&inner).await, 3);
    assert_eq!(outer.files_below_data(), 0, "nothing is kept here");
    assert_eq!(outer.s3("GET", "/g/r/small", &[], "").await.text(), "small");
    assert_eq!(outer.s3("GET", "/g/r/empty", &[], "").await.text(), "");
    assert!(
        outer.s3("GET", "/g/r/large", &[], "").await.text() == large,
        "the same bytes"
    );
    let url = outer.signed((USER, PASSWORD), ("GET", "/g/r/large"), &[], 60);
    let seam = (8 << 20) - 2;
    let range = format!("bytes={seam}-{}", seam + 3);
    let part = client::get(&url, &[("range", &range)]).await.unwrap();
    assert_eq!((part.status, part.text().as_str()), (206, "ef01"));
    outer.program.signal(Signal::TERM);
    assert_eq!(outer.program.wait_exit(wait::SOON).await, 0);
    outer.program.restart();
    outer.program.ready().await;
    assert_eq!(outer.upload("g/r", "small", "second").await.status, 200);
    assert_eq!(
        outer.s3("GET", "/g/r/small", &[], "").await.text(),
        "second"
    );
    for name in ["small", "empty", "large"] {
        assert_eq!(
            outer
                .s3("DELETE", &format!("/g/r/{name}"), &[], "")
                .await
                .status,
            204
        );
    }
    assert_eq!(objects(&inner).await, 0);
}

/// A store that is away is told at once and passes; one that refuses us stops the start.
#[tokio::test]
async fn a_bucket_that_is_away_is_told() {
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut inner = Store::start_at(listen, section(json!({"access": "closed"}))).await;
    let outer = Store::start(in_bucket(&inner, PASSWORD)).await;
    assert_eq!(outer.upload("g/r", "f", "x").await.status, 200);
    inner.program.signal(Signal::KILL);
    inner.program.wait_exit(wait::SOON).await;
    let reply = outer.upload("g/r", "f", "y").await;
    assert_eq!(
        (reply.status, reply.header("retry-after").as_str()),
        (503, "5")
    );
    inner.program.restart();
    inner.program.ready().await;
    assert_eq!(outer.upload("g/r", "f", "z").await.status, 200);
    assert_eq!(outer.s3("GET", "/g/r/f", &[], "").await.text(), "z");
    let whole = json!({
        "roles": ["collector"],
        "listen": "127.0.0.1:0",
        "data_dir": "./data",
        "collector": {"artefacts": in_bucket(&inner, "wrong")},
    });
    let launch = Launch::new(&whole.to_string()).file("krkn.password", PASSWORD);
    let mut refused = launch.spawn();
    assert_ne!(refused.wait_exit(wait::SOON).await, 0);
    let log = refused.stderr();
    assert!(log.contains("SignatureDoesNotMatch"), "{log}");
}

/// A private endpoint with a certificate of its own authority, and keys in the file that AWS's programs
/// share.
#[tokio::test]
async fn a_private_endpoint_is_trusted_by_its_authority() {
    let authority = Authority::new("artefacts");
    let inner = json!({
        "roles": ["collector"],
        "listen": "127.0.0.1:0",
        "data_dir": "./data",
        "tls": {"cert": "server.pem", "key": "server.key"},
        "collector": {"artefacts": section(json!({"access": "closed"}))},
    });
    let launch = Launch::new(&inner.to_string()).file("krkn.password", PASSWORD);
    authority
        .server(&["127.0.0.1"])
        .write(launch.directory.path(), "server");
    let inner = launch.start().await;
    let outer = |more: Value| {
        let endpoint = format!("https://{}", inner.main);
        let endpoint = wire::s3::key::percent_encode(&endpoint, false);
        let objects = format!("s3://artefacts/kept?endpoint={endpoint}&region=eu-central-1");
        let mut artefacts = section(json!({"objects": objects}));
        if let (Value::Object(artefacts), Value::Object(more)) = (&mut artefacts, more) {
            artefacts.extend(more);
        }
        let whole = json!({
            "roles": ["collector"],
            "listen": "127.0.0.1:0",
            "data_dir": "./data",
            "collector": {"listen": "127.0.0.1:0", "artefacts": artefacts},
        });
        let keys = format!(
            "[default]\naws_access_key_id = nobody\naws_secret_access_key = x\n\
             [store]\naws_access_key_id = {USER}\naws_secret_access_key = {PASSWORD}\n"
        );
        Launch::new(&whole.to_string())
            .file("krkn.password", PASSWORD)
            .file("authority.pem", &authority.cert)
            .file("credentials", &keys)
            .variable("AWS_SHARED_CREDENTIALS_FILE", "credentials")
    };
    let trusted = outer(json!({"ca": "authority.pem"})).variable("AWS_PROFILE", "store");
    let program = trusted.start().await;
    let address = own_listener(&program);
    let store = Store { program, address };
    assert_eq!(store.upload("g/r", "f", "content").await.status, 200);
    assert_eq!(store.s3("GET", "/g/r/f", &[], "").await.text(), "content");
    for (launch, expected) in [
        (
            outer(json!({})).variable("AWS_PROFILE", "store"),
            "certificate",
        ),
        (outer(json!({"ca": "authority.pem"})), "InvalidAccessKeyId"),
        (
            outer(json!({"ca": "authority.pem"})).variable("AWS_PROFILE", "none"),
            "has no `aws_access_key_id` in the section [none]",
        ),
        (
            outer(json!({"ca": "none.pem"})).variable("AWS_PROFILE", "store"),
            "none.pem",
        ),
    ] {
        let mut refused = launch.spawn();
        assert_ne!(refused.wait_exit(wait::SOON).await, 0, "{expected}");
        let log = refused.stderr();
        assert!(log.contains(expected), "{expected}: {log}");
    }
}

/// A real S3 server takes what we sign: small, large in parts, ranges, removal.
#[tokio::test]
async fn a_real_server_takes_our_requests() {
    let Some(program) = need("S3S_FS") else {
        return;
    };
    let server = S3Server::start(&program, "artefacts").await;
    let store = Store::start(in_bucket_of(&server.endpoint, S3Server::KEY)).await;
    let large = "0123456789abcdef".repeat((20 << 20) / 16);
    assert_eq!(store.upload("g/r", "small", "small").await.status, 200);
    let reply = store.upload("g/r", "large", &large).await;
    assert_eq!(reply.status, 200, "{}\n{}", reply.text(), server.log());
    assert!(
        store.s3("GET", "/g/r/large", &[], "").await.text() == large,
        "the same bytes"
    );
    let url = store.signed((USER, PASSWORD), ("GET", "/g/r/large"), &[], 60);
    let range = [("range", "bytes=8388606-8388609")];
    let part = client::get(&url, &range).await.unwrap();
    assert_eq!((part.status, part.text().as_str()), (206, "ef01"));
    assert_eq!(store.s3("DELETE", "/g/r/large", &[], "").await.status, 204);
    assert_eq!(store.s3("GET", "/g/r/small", &[], "").await.text(), "small");
    let wrong = in_bucket_of(&server.endpoint, (S3Server::KEY.0, "wrong"));
    let whole = json!({
        "roles": ["collector"],
        "listen": "127.0.0.1:0",
        "data_dir": "./data",
        "collector": {"artefacts": wrong},
    });
    let launch = Launch::new(&whole.to_string()).file("krkn.password", PASSWORD);
    let mut refused = launch.spawn();
    assert_ne!(refused.wait_exit(wait::SOON).await, 0);
    assert!(
        refused.stderr().contains("SignatureDoesNotMatch"),
        "{}",
        refused.stderr()
    );
}
