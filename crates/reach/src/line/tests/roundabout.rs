//! Ways to a proxy that are not straight: balancers, what strips ALPN, egress proxies.

use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_rustls::TlsAcceptor;

use super::*;

/// Hands connections to one target after the other.
async fn balancer(targets: Vec<SocketAddr>, scope: &Scope) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (outer, turn) = (scope.clone(), AtomicUsize::new(0));
    scope.spawn("balancer", async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let target = targets[turn.fetch_add(1, Ordering::Relaxed) % targets.len()];
            outer.spawn("balanced", async move {
                let mut far = TcpStream::connect(target).await.unwrap();
                tokio::io::copy_bidirectional(&mut near, &mut far)
                    .await
                    .ok();
            });
        }
    });
    address
}

async fn through_balancer(proxies: usize, tells_address: bool) {
    let authority = Authority::new();
    let (_supervisor, scope) = scope().await;
    let mut all = Vec::new();
    for index in 0..proxies {
        let name = format!("p{index}");
        all.push(Proxy::start_with(&authority, &name, &scope, QUICK, tells_address).await);
    }
    let address = balancer(all.iter().map(|proxy| proxy.address).collect(), &scope).await;
    let connector = Connector::new(settings(&authority));
    let agent = connector
        .connect(&address.to_string(), targets(&scope), &scope)
        .await
        .unwrap();
    let index: usize = agent.proxy().name.trim_start_matches('p').parse().unwrap();
    let line = all[index].line().await;
    line.want_bulk();
    until("bulk connections", || line.state().bulk_idle == 2).await;
    line.open(&request("echo"), Lane::Bulk, PATIENCE)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_lanes_reach_the_same_proxy_by_its_own_address() {
    through_balancer(2, true).await;
    through_balancer(4, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_lanes_reach_the_same_proxy_by_drawing_again() {
    through_balancer(2, false).await;
    through_balancer(4, false).await;
}

/// Ends TLS with a certificate of another authority and speaks HTTP only; lets upgrades through to
/// the proxy's door, as the program's web server does.
async fn front(public: &Authority, proxy: &Proxy, scope: &Scope) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (chain, key) = public.issue("proxy", "front");
    let mut tls = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let (outer, door) = (scope.clone(), proxy.acceptor.clone());
    let lines = proxy.give.clone();
    scope.spawn("front", async move {
        while let Ok((stream, remote)) = listener.accept().await {
            let (acceptor, door, lines) = (acceptor.clone(), door.clone(), lines.clone());
            outer.spawn("front connection", async move {
                let Ok(mut tls) = acceptor.accept(stream).await else {
                    return;
                };
                let head = super::super::head::read_head(&mut tls).await.unwrap();
                assert!(head.first.starts_with("GET /v1/line "), "{}", head.first);
                let mut headers = http::HeaderMap::new();
                for name in [
                    "upgrade",
                    "connection",
                    "sec-websocket-key",
                    "sec-websocket-version",
                    "sec-websocket-protocol",
                ] {
                    headers.insert(name, head.header(name).unwrap().parse().unwrap());
                }
                let mut answer = "HTTP/1.1 101 Switching Protocols\r\n".to_owned();
                for (name, value) in &websocket_answer(&headers).unwrap() {
                    write!(answer, "{name}: {}\r\n", value.to_str().unwrap()).unwrap();
                }
                tls.write_all(format!("{answer}\r\n").as_bytes())
                    .await
                    .unwrap();
                tls.flush().await.unwrap();
                if let Ok(Some(line)) = door.accept(websocket_serve(Box::new(tls)), remote).await {
                    lines.try_send(line).unwrap();
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_front_that_strips_alpn_is_passed_by_websocket() {
    let (ours, public) = (Authority::new(), Authority::new());
    let (_supervisor, scope) = scope().await;
    let mut proxy = Proxy::start(&ours, "p1", &scope).await;
    let address = front(&public, &proxy, &scope).await.to_string();
    let mut settings = settings(&ours);
    settings.outer_tls = Some(public.nobody());
    let connector = Connector::new(settings.clone());
    let agent = connector
        .connect(&address, targets(&scope), &scope)
        .await
        .unwrap();
    assert_eq!(agent.state().via, Via::WebSocket);
    let line = proxy.line().await;
    line.want_bulk();
    until("bulk connections", || line.state().bulk_idle == 2).await;
    for lane in [Lane::Interactive, Lane::Bulk] {
        let mut stream = line.open(&request("echo"), lane, PATIENCE).await.unwrap();
        let sent = vec![5; 200_000];
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        let mut back = vec![0; sent.len()];
        let (written, read) = tokio::join!(writer.write_all(&sent), reader.read_exact(&mut back));
        written.unwrap();
        read.unwrap();
        assert!(back == sent);
        assert_eq!(stream.lane(), lane);
    }

    // Trust in the front is not enough to be a proxy, and without that way the reason is told.
    settings.outer_tls = None;
    let error = Connector::new(settings)
        .connect(&address, targets(&scope), &scope)
        .await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("WebSocket is turned off"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_front_cannot_pretend_to_be_a_proxy() {
    let (ours, public) = (Authority::new(), Authority::new());
    let (_supervisor, scope) = scope().await;
    // The front's own authority also signed the proxy behind it: not ours.
    let proxy = Proxy::start(&public, "p1", &scope).await;
    let address = front(&public, &proxy, &scope).await.to_string();
    let mut settings = settings(&ours);
    settings.outer_tls = Some(public.nobody());
    let error = Connector::new(settings)
        .connect(&address, targets(&scope), &scope)
        .await;
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("by WebSocket: ") && error.contains("invalid peer certificate"),
        "{error}"
    );
}
