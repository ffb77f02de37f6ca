//! Who may use a route.

use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::{Access, Peer, Policy};
use crate::secret::Secret;

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
    Policy::Granted(Arc::new(Access {
        tokens: vec![Secret::new("t1"), Secret::new("t2")],
        networks: vec!["10.0.0.0/8".parse().expect("network")],
        loopback_needs_token,
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
