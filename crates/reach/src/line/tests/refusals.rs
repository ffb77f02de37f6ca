//! Who is not let in, and what is not dialled.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_say_why() {
    let rig = rig().await;
    until("bulk connections", || rig.line.state().bulk_idle > 0).await;
    for lane in [Lane::Interactive, Lane::Bulk] {
        let error = rig
            .line
            .open(&request("nope"), lane, PATIENCE)
            .await
            .unwrap_err();
        assert_eq!(error.class(), base::error::Class::NotFound);
        let text = "node web-1 refused: web-1 offers no app \"nope\": see node.apps";
        assert_eq!(error.to_string(), text);
    }
    let closed = "tcp:127.0.0.1:1";
    let error = rig
        .line
        .open(&request(closed), Lane::Interactive, PATIENCE)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("Connection refused"), "{error}");
    let state = rig.line.state();
    assert_eq!(state.failed, 3);
    assert!(state.last_error.unwrap().contains("Connection refused"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_hangs_is_given_up_in_time() {
    let rig = rig().await;
    let start = base::clock::now();
    let quick = Duration::from_millis(700);
    let error = rig
        .line
        .open(&request("hang"), Lane::Interactive, quick)
        .await
        .unwrap_err();
    assert!(matches!(error, OpenError::Timeout { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(3));
    // The agent itself says what hangs when it is given the time.
    let error = rig
        .line
        .open(&request("hang"), Lane::Interactive, PATIENCE)
        .await
        .unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(6));
    assert!(
        error
            .to_string()
            .contains("hang could not be reached within 4.5 s"),
        "{error}"
    );
    assert!(!rig.line.is_closed(), "the line itself is well");
    until("the streams' ends", || rig.agent.state().streams == 0).await;
}

async fn refused(mut proxy: Proxy, settings: ConnectorSettings, scope: &Scope) -> (String, String) {
    let address = proxy.address.to_string();
    let connected = Connector::new(settings)
        .connect(&address, targets(scope), scope)
        .await;
    let error = super::super::error::chain(&connected.unwrap_err());
    let seen = tokio::time::timeout(PATIENCE, proxy.errors.recv())
        .await
        .unwrap()
        .unwrap();
    assert!(proxy.lines.try_recv().is_err());
    (error, super::super::error::chain(&seen))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_refused() {
    let (ours, foreign) = (Authority::new(), Authority::new());
    let (_supervisor, scope) = scope().await;

    let proxy = Proxy::start(&ours, "p1", &scope).await;
    let mut stranger = settings(&ours);
    stranger.tls = {
        let (chain, key) = foreign.issue("node", "web-1");
        Arc::new(
            ours.client_builder()
                .with_client_auth_cert(chain, key)
                .unwrap(),
        )
    };
    let (error, seen) = refused(proxy, stranger, &scope).await;
    assert!(error.contains("alert"), "{error}");
    assert!(
        seen.contains("UnknownIssuer") || seen.contains("BadSignature"),
        "{seen}"
    );

    let proxy = Proxy::start(&ours, "p2", &scope).await;
    let mut nobody = settings(&ours);
    nobody.tls = ours.nobody();
    let (error, seen) = refused(proxy, nobody, &scope).await;
    assert!(error.contains("CertificateRequired"), "{error}");
    assert!(seen.contains("no certificates"), "{seen}");

    let proxy = Proxy::start(&foreign, "p3", &scope).await;
    let (error, _) = refused(proxy, settings(&ours), &scope).await;
    assert!(error.contains("invalid peer certificate"), "{error}");

    let proxy = Proxy::start(&ours, "p4", &scope).await;
    let mut impostor = settings(&ours);
    let (chain, key) = ours.issue("proxy", "p9");
    impostor.tls = Arc::new(
        ours.client_builder()
            .with_client_auth_cert(chain, key)
            .unwrap(),
    );
    let (error, _) = refused(proxy, impostor, &scope).await;
    assert!(
        error.contains("it is the certificate of a proxy, not of a node"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_must_have_the_certificate_of_one() {
    let authority = Authority::new();
    let (_supervisor, scope) = scope().await;
    let proxy = Proxy::start(&authority, "p1", &scope).await;
    let mut wrong = settings(&authority);
    wrong.identify = identify("auth");
    let address = proxy.address.to_string();
    let error = Connector::new(wrong)
        .connect(&address, targets(&scope), &scope)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("not of a auth"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protocol_that_is_not_ours_is_no_line() {
    let authority = Authority::new();
    let (_supervisor, scope) = scope().await;
    let mut proxy = Proxy::start(&authority, "p1", &scope).await;
    let mut plain = ClientConfig::clone(&authority.client("web-1"));
    plain.alpn_protocols = Vec::new();
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(plain));
    let _stream = connector.connect(name, stream).await.unwrap();
    let error = tokio::time::timeout(PATIENCE, proxy.errors.recv())
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(error, AcceptError::NoLane), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_or_leaving_proxy_says_so() {
    let authority = Authority::new();
    let (_supervisor, scope) = scope().await;
    let proxy = Proxy::start(&authority, "p1", &scope).await;
    proxy.acceptor.close("p1 is being replaced");
    let (error, _) = refused(proxy, settings(&authority), &scope).await;
    assert!(error.ends_with("refused: p1 is being replaced"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_or_a_port_that_is_wrong_is_named() {
    let authority = Authority::new();
    let (_supervisor, scope) = scope().await;
    let connector = Connector::new(settings(&authority));
    for (address, text) in [
        ("hub", "address \"hub\" is not host:port"),
        (
            "127.0.0.1:1",
            "connect to 127.0.0.1:1: check that the proxy runs there",
        ),
    ] {
        let error = connector
            .connect(address, targets(&scope), &scope)
            .await
            .unwrap_err();
        assert!(error.to_string().starts_with(text), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_agent_cannot_take_all_the_room() {
    let authority = Authority::new();
    let (_supervisor, scope) = scope().await;
    let proxy = Proxy::start(&authority, "p1", &scope).await;
    let address = proxy.address.to_string();
    let connector = Connector::new(settings(&authority));
    let mut lines = Vec::new();
    for _ in 0..LINES_PER_PEER_MAX {
        let line = connector.connect(&address, targets(&scope), &scope).await;
        lines.push(line.unwrap());
    }
    let error = connector
        .connect(&address, targets(&scope), &scope)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("web-1 has 8 lines to this proxy already"),
        "{error}"
    );
    drop(lines);
    until("the ends of the lines", || {
        proxy.acceptor.lines().is_empty()
    })
    .await;
    connector
        .connect(&address, targets(&scope), &scope)
        .await
        .unwrap();
}
