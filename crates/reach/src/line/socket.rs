//! Options of the TCP sockets that carry lanes, and the buffers of their TLS.

use std::time::Duration;

use rustls::ConnectionCommon;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use super::Lane;
use super::limits::INTERACTIVE_TLS_BUFFER;

/// Data without an acknowledgement for this long breaks the connection.
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(30);
/// An idle connection is probed after this long: middleboxes forget after 60 s at the least.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 3;

/// Prepares a socket for a lane. Options that the system does not know are left out: they make a
/// line quicker to notice trouble, and pings notice it without them.
pub fn prepare(stream: &TcpStream, lane: Lane) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    let outcomes = [
        ("nodelay", socket.set_tcp_nodelay(true)),
        ("keepalive", socket.set_tcp_keepalive(&keepalive)),
        (
            "user timeout",
            socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_LIMIT)),
        ),
        (
            "unsent limit",
            socket.set_tcp_notsent_lowat(lane.unsent_bytes_max()),
        ),
    ];
    for (option, outcome) in outcomes {
        if let Err(error) = outcome {
            tracing::debug!(option, %lane, %error, "socket option not set");
        }
    }
}

/// Sizes the buffers of a lane's TLS.
pub(crate) fn set_buffers<D>(lane: Lane, session: &mut ConnectionCommon<D>) {
    match lane {
        // The bulk lane leaves TLS before it carries much.
        Lane::Control | Lane::Bulk => {}
        Lane::Interactive => session.set_buffer_limit(Some(INTERACTIVE_TLS_BUFFER)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the system says of a socket afterwards.
    #[tokio::test]
    async fn a_lane_has_its_options() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        for (lane, unsent) in [
            (Lane::Control, 16 << 10),
            (Lane::Interactive, 16 << 10),
            (Lane::Bulk, 256 << 10),
        ] {
            let address = listener.local_addr().unwrap();
            let stream = TcpStream::connect(address).await.unwrap();
            prepare(&stream, lane);
            let socket = SockRef::from(&stream);
            assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
            let seconds = Duration::from_secs;
            assert_eq!(socket.tcp_keepalive_time().unwrap(), seconds(15));
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), seconds(5));
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(seconds(30)));
            assert_eq!(socket.tcp_notsent_lowat().unwrap(), unsent, "{lane}");
        }
    }
}
