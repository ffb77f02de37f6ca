//! Who may use a route, and that none is without a policy.

use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::{Access, Peer, Policy};
use crate::secret::Secret;

#[test]
fn policies_let_in_whom_they_name() {
    let access = Arc::new(Access {
        tokens: vec![Secret::new("t1"), Secret::new("t2")],
        networks: vec!["10.0.0.0/8".parse().expect("network")],
        loopback_needs_token: false,
    });
    let strict = Arc::new(Access {
        loopback_needs_token: true,
        ..(*access).clone()
    });
    for (policy, address, token, expected) in [
        (Policy::Public, "192.0.2.1:1", None, true),
        (Policy::Local, "127.0.0.1:1", None, true),
        (Policy::Local, "192.0.2.1:1", Some("Bearer t1"), false),
        (
            Policy::Granted(Arc::clone(&access)),
            "[::ffff:127.0.0.1]:1",
            None,
            true,
        ),
        (
            Policy::Granted(Arc::clone(&access)),
            "192.0.2.1:1",
            None,
            false,
        ),
        (
            Policy::Granted(Arc::clone(&access)),
            "192.0.2.1:1",
            Some("Bearer t2"),
            true,
        ),
        (
            Policy::Granted(Arc::clone(&access)),
            "192.0.2.1:1",
            Some("bearer t2"),
            true,
        ),
        (
            Policy::Granted(Arc::clone(&access)),
            "192.0.2.1:1",
            Some("Bearer t"),
            false,
        ),
        (
            Policy::Granted(Arc::clone(&access)),
            "192.0.2.1:1",
            Some("Basic t1"),
            false,
        ),
        (Policy::Granted(access), "10.1.2.3:1", None, true),
        (
            Policy::Granted(Arc::clone(&strict)),
            "127.0.0.1:1",
            None,
            false,
        ),
        (
            Policy::Granted(strict),
            "127.0.0.1:1",
            Some("Bearer t1"),
            true,
        ),
    ] {
        let address: SocketAddr = address.parse().expect("address");
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, token.parse().expect("header"));
        }
        let peer = Peer {
            address,
            is_tls: false,
        };
        assert_eq!(
            policy.permits(&peer, &headers),
            expected,
            "{policy:?} {address} {token:?}"
        );
    }
}
