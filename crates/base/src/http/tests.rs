//! Who may use a route, also after a token's file has changed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::{Access, Peer, Policy, TOKEN_CHECK_INTERVAL};
use crate::secret::{Secret, SecretSource};

fn check(policy: &Policy, address: &str, authorization: &str, expected: bool) {
    let address: SocketAddr = address.parse().expect("address");
    let mut headers = HeaderMap::new();
    if !authorization.is_empty() {
        headers.insert(AUTHORIZATION, authorization.parse().expect("header"));
    }
    let peer = Peer {
        address,
        is_tls: false,
    };
    let permits = policy.permits(&peer, &headers);
    assert_eq!(permits, expected, "{policy:?} {address} {authorization}");
}

fn access(loopback_needs_token: bool) -> Policy {
    let tokens = ["t1", "t2"].map(|token| SecretSource::Inline(Secret::new(token)));
    let networks = vec!["10.0.0.0/8".parse().expect("network")];
    let access = Access::new(&tokens, networks, &BTreeMap::new()).expect("readable");
    Policy::Granted(Arc::new(if loopback_needs_token {
        access.and_of_loopback()
    } else {
        access
    }))
}

#[test]
fn policies_let_in_whom_they_name() {
    check(&Policy::Public, "192.0.2.1:1", "", true);
    check(&Policy::Local, "127.0.0.1:1", "", true);
    check(&Policy::Local, "192.0.2.1:1", "Bearer t1", false);
    let granted = access(false);
    check(&granted, "[::ffff:127.0.0.1]:1", "", true);
    check(&granted, "10.1.2.3:1", "", true);
    check(&granted, "192.0.2.1:1", "", false);
    check(&granted, "192.0.2.1:1", "Bearer t2", true);
    check(&granted, "192.0.2.1:1", "bearer t2", true);
    check(&granted, "192.0.2.1:1", "Bearer t", false);
    check(&granted, "192.0.2.1:1", "Basic t1", false);
    let strict = access(true);
    check(&strict, "127.0.0.1:1", "", false);
    check(&strict, "127.0.0.1:1", "Bearer t1", true);
}

#[test]
fn a_token_follows_its_file_and_outlives_it() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("prometheus.token");
    std::fs::write(&path, "first\n").expect("written");
    let sources = [SecretSource::File(path.clone())];
    let access = Access::new(&sources, Vec::new(), &BTreeMap::new()).expect("readable");
    let mut now = crate::clock::now();
    let mut check = |step: &str, expected: [(&str, bool); 2]| {
        now += TOKEN_CHECK_INTERVAL;
        for (token, is_in) in expected {
            let mut headers = HeaderMap::new();
            let value = format!("Bearer {token}").parse().expect("header");
            headers.insert(AUTHORIZATION, value);
            let address = "192.0.2.1:1".parse().expect("address");
            let peer = Peer {
                address,
                is_tls: false,
            };
            let permits = access.permits(&peer, &headers, now);
            assert_eq!(permits, is_in, "{step}: {token}");
        }
    };
    check("at first", [("first", true), ("second", false)]);
    std::fs::write(&path, "second, and longer\n").expect("written");
    check("changed", [("first", false), ("second, and longer", true)]);
    std::fs::remove_file(&path).expect("removed");
    check("removed", [("first", false), ("second, and longer", true)]);
    std::fs::write(&path, "third\n").expect("written");
    check("back", [("second, and longer", false), ("third", true)]);
}

/// A body of which nothing comes.
struct Never;

impl hyper::body::Body for Never {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

/// Who sends the head of a form and nothing else doesn't keep the connection.
#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for_long() {
    let begun = tokio::time::Instant::now();
    let read = super::read_body(axum::body::Body::new(Never), 10).await;
    assert_eq!(read, Err(crate::error::Class::Timeout));
    assert_eq!(begun.elapsed(), super::BODY_TIMEOUT);
}
