//! The main listener's paths for this process itself, without a socket. Where `listen` is neither
//! loopback nor all addresses, a connection to it does not come from loopback, and the process would be
//! a stranger to itself.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use axum::Router;
use base::client::{Dial, Dialing, Nodes};
use base::duplex::BoxDuplex;
use base::http::{Peer, serve_connection};
use base::supervise::{Criticality, Scope, Service};

use crate::cluster::reachable;

/// Bytes that wait between the two ends of a connection.
const BUFFER_BYTES: usize = 64 << 10;

/// The way in; clones share it. It is open once its service runs.
#[derive(Clone, Default)]
pub(crate) struct OwnDoor {
    inside: Arc<OnceLock<(Router, Scope)>>,
}

impl fmt::Debug for OwnDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnDoor").finish_non_exhaustive()
    }
}

impl OwnDoor {
    /// Serves these paths to whoever dials.
    pub(crate) fn service(&self, router: Router) -> Service {
        let inside = Arc::clone(&self.inside);
        Service::new("own.door", Criticality::Plain, move |scope| async move {
            inside.get_or_init(|| (router, scope.clone()));
            scope.stopping().await;
            Ok(())
        })
    }
}

/// Where this process asks its main listener, and whether there is a socket: what it asks of itself has
/// to name a host of this machine.
pub(crate) fn own_address(main: SocketAddr) -> (SocketAddr, bool) {
    let main = reachable(main);
    if main.ip().is_loopback() {
        return (main, true);
    }
    (SocketAddr::from((Ipv4Addr::LOCALHOST, main.port())), false)
}

impl Dial for OwnDoor {
    fn dial<'a>(&'a self, _host: &'a str, _port: u16) -> Dialing<'a> {
        Box::pin(async {
            let (router, scope) = self.inside.get().ok_or("the process does not serve yet")?;
            let (near, far) = tokio::io::duplex(BUFFER_BYTES);
            let peer = Peer {
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                is_tls: false,
            };
            let serving = serve_connection(far, router.clone(), peer, scope.clone());
            scope.spawn("own connection", serving);
            Ok(Box::new(near) as BoxDuplex)
        })
    }
}

/// For the pages of a node: whatever node is named, it is this process.
impl Nodes for OwnDoor {
    fn way_to(&self, _node: &str) -> Arc<dyn Dial> {
        Arc::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_loopback_have_a_socket() {
        let cases = [
            ("127.0.0.2:1", "127.0.0.2:1", true),
            ("[::1]:2", "[::1]:2", true),
            ("0.0.0.0:3", "127.0.0.1:3", true),
            ("[::]:4", "127.0.0.1:4", true),
            ("10.0.0.1:5", "127.0.0.1:5", false),
            ("[fd00::2]:6", "127.0.0.1:6", false),
        ];
        for (main, expected, has_socket) in cases {
            let found = own_address(main.parse().unwrap());
            assert_eq!(found, (expected.parse().unwrap(), has_socket), "{main}");
        }
    }
}
