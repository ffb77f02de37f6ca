//! The PROXY protocol, versions 1 and 2
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>): the first bytes of a connection
//! tell the application whose it is.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::config::ProxyProtocol;

/// What version 2 begins with (2.2).
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, a connection of the sender's own.
const LOCAL: u8 = 0x20;
/// Version 2, on behalf of a client.
const PROXY: u8 = 0x21;
/// TCP over IPv4 and over IPv6.
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// The header of a connection from `client` to `server`. Without one of them it says that whose the
/// connection is is not known.
pub(super) fn encode(
    version: ProxyProtocol,
    client: Option<SocketAddr>,
    server: Option<SocketAddr>,
) -> Vec<u8> {
    let pair = client.zip(server);
    match version {
        ProxyProtocol::V1 => text(pair).into_bytes(),
        ProxyProtocol::V2 => binary(pair),
    }
}

fn text(pair: Option<(SocketAddr, SocketAddr)>) -> String {
    let Some((client, server)) = pair else {
        return "PROXY UNKNOWN\r\n".to_owned();
    };
    let ports = format!("{} {}", client.port(), server.port());
    match (client.ip().to_canonical(), server.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => format!("PROXY TCP4 {from} {to} {ports}\r\n"),
        (from, to) => format!("PROXY TCP6 {} {} {ports}\r\n", wide(from), wide(to)),
    }
}

fn binary(pair: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let Some((client, server)) = pair else {
        header.extend([LOCAL, 0, 0, 0]);
        return header;
    };
    match (client.ip().to_canonical(), server.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.extend([PROXY, TCP4, 0, 12]);
            header.extend(from.octets());
            header.extend(to.octets());
        }
        (from, to) => {
            header.extend([PROXY, TCP6, 0, 36]);
            header.extend(wide(from).octets());
            header.extend(wide(to).octets());
        }
    }
    header.extend(client.port().to_be_bytes());
    header.extend(server.port().to_be_bytes());
    header
}

/// Both addresses are of one family: an IPv4 one stands mapped beside an IPv6 one.
fn wide(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(version: ProxyProtocol, client: &str, server: &str, expected: &[u8]) {
        let header = encode(version, client.parse().ok(), server.parse().ok());
        assert_eq!(header, expected, "{version:?} {client} {server}");
    }

    #[test]
    fn the_header_is_that_of_the_specification() {
        let (v1, v2) = (ProxyProtocol::V1, ProxyProtocol::V2);
        let line = b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 5432\r\n";
        check(v1, "192.0.2.7:4711", "127.0.0.1:5432", line);
        check(v1, "[::ffff:192.0.2.7]:4711", "127.0.0.1:5432", line);
        let mixed = b"PROXY TCP6 2001:db8::1 ::ffff:127.0.0.1 4711 5432\r\n";
        check(v1, "[2001:db8::1]:4711", "127.0.0.1:5432", mixed);
        check(v1, "", "127.0.0.1:5432", b"PROXY UNKNOWN\r\n");
        let known = [
            SIGNATURE.as_slice(),
            &[0x21, 0x11, 0, 12, 192, 0, 2, 7, 127, 0, 0, 1],
            &[0x12, 0x67, 0x15, 0x38],
        ]
        .concat();
        check(v2, "192.0.2.7:4711", "127.0.0.1:5432", &known);
        let unknown = [SIGNATURE.as_slice(), &[0x20, 0, 0, 0]].concat();
        check(v2, "", "", &unknown);
        let wide = encode(v2, "[2001:db8::1]:1".parse().ok(), "[::1]:2".parse().ok());
        assert_eq!(wide.len(), 16 + 36);
    }
}
