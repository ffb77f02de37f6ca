//! Which role gets which listener.

use std::net::TcpStream;

use super::*;

const ANY_PORT: &str = "127.0.0.1:0";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn inherited(name: &str, configured: &str, origin: Origin) -> (InheritedListener, SocketAddr) {
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let bound = listener.local_addr().unwrap();
    let address = if configured == "bound" {
        bound
    } else {
        address(configured)
    };
    (
        InheritedListener {
            name: name.to_owned(),
            address,
            origin,
            listener,
        },
        bound,
    )
}

#[test]
fn a_new_listener_takes_connections_and_does_not_block() {
    let listeners = Listeners::new(Vec::new());
    let listener = listeners
        .bind("gateway", address(ANY_PORT), "gateway.listen")
        .unwrap();
    assert_eq!(
        listener.accept().unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
    TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert_eq!(
        listeners.open(),
        [("gateway".to_owned(), address(ANY_PORT))]
    );
}

#[test]
fn a_predecessors_listener_needs_role_and_configured_address() {
    let check = |role: &str, configured: &str, is_taken: bool| {
        let (one, bound) = inherited("gateway", ANY_PORT, Origin::Predecessor);
        let listeners = Listeners::new(vec![one]);
        let listener = listeners.bind(role, address(configured), "key").unwrap();
        assert_eq!(
            listener.local_addr().unwrap() == bound,
            is_taken,
            "{role} {configured}"
        );
        let left = if is_taken {
            vec![]
        } else {
            vec![format!("gateway at {ANY_PORT}")]
        };
        assert_eq!(listeners.unused(), left);
        assert_eq!(
            TcpStream::connect(bound).is_ok(),
            is_taken,
            "unused ones close"
        );
    };
    check("gateway", ANY_PORT, true);
    check("status", ANY_PORT, false);
    check("gateway", "[::1]:0", false);
}

#[test]
fn a_systemd_listener_matches_by_name_then_by_address() {
    let (named, named_at) = inherited("gateway", "bound", Origin::Systemd);
    let (placed, placed_at) = inherited("landline.socket", "bound", Origin::Systemd);
    let listeners = Listeners::new(vec![placed, named]);
    let status = listeners.bind("status", placed_at, "key").unwrap();
    let gateway = listeners
        .bind("gateway", address("0.0.0.0:443"), "key")
        .unwrap();
    assert_eq!(status.local_addr().unwrap(), placed_at);
    assert_eq!(gateway.local_addr().unwrap(), named_at);
    assert!(listeners.unused().is_empty());
}

#[test]
fn systemd_listeners_with_one_name_are_told_apart_by_address() {
    let (first, first_at) = inherited("main", "bound", Origin::Systemd);
    let (second, second_at) = inherited("main", "bound", Origin::Systemd);
    let listeners = Listeners::new(vec![first, second]);
    for (role, at) in [("main", second_at), ("gateway", first_at)] {
        let listener = listeners.bind(role, at, "key").unwrap();
        assert_eq!(listener.local_addr().unwrap(), at, "{role}");
    }
    assert!(listeners.unused().is_empty());
}

#[test]
fn the_same_place_is_the_same_listener_until_released() {
    let listeners = Listeners::new(Vec::new());
    let bind = || listeners.bind("gateway", address(ANY_PORT), "key").unwrap();
    let first = bind().local_addr().unwrap();
    assert_eq!(bind().local_addr().unwrap(), first);
    listeners.release("gateway", address(ANY_PORT));
    assert!(TcpStream::connect(first).is_err());
}

#[test]
fn an_address_in_use_is_told_with_the_remedy() {
    let taken = TcpListener::bind(ANY_PORT).unwrap();
    let address = taken.local_addr().unwrap();
    let error = Listeners::new(Vec::new())
        .bind("gateway", address, "gateway.listen")
        .unwrap_err();
    let expected = format!(
        "cannot listen on {address} for gateway: another process listens there; stop it or choose \
         another address with gateway.listen"
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_foreign_address_is_told_with_the_remedy() {
    let error = Listeners::new(Vec::new())
        .bind("gateway", address("192.0.2.1:80"), "gateway.listen")
        .unwrap_err();
    assert!(matches!(error, BindError::NotOurs { .. }), "{error}");
}

#[test]
fn nothing_opens_once_stopping_and_a_port_closes_with_its_owner() {
    let listeners = Listeners::new(Vec::new());
    let own = listeners.bind("gateway", address(ANY_PORT), "key").unwrap();
    let bound = own.local_addr().unwrap();
    listeners.refuse_new();
    TcpStream::connect(bound).unwrap();
    drop(own);
    assert!(
        TcpStream::connect(bound).is_err(),
        "no second descriptor is left"
    );
    let error = listeners
        .bind("gateway", address(ANY_PORT), "key")
        .unwrap_err();
    assert!(matches!(error, BindError::Stopping { .. }));
}
