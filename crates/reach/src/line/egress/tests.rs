//! What the words of the environment mean, and `CONNECT` against a small proxy.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn exempt(no_proxy: &str, address: &str) -> bool {
    let egress = Egress::new("http://proxy:3128", no_proxy).unwrap();
    let (host, port) = split(address).unwrap();
    egress.is_exempt(host, port)
}

#[test]
fn exceptions_are_names_addresses_and_networks() {
    assert!(exempt("", "localhost:1"));
    assert!(exempt("", "127.0.0.1:1"));
    assert!(exempt("", "[::1]:1"));
    assert!(!exempt("", "hub.example.net:1"));
    assert!(exempt("*", "hub.example.net:1"));
    assert!(exempt("example.org, .Example.NET", "hub.example.net:1"));
    assert!(exempt("example.net", "example.net:1"));
    assert!(exempt("*.example.net", "hub.example.net:1"));
    assert!(!exempt("ample.net", "example.net:1"));
    assert!(exempt("hub.example.net:3080", "hub.example.net:3080"));
    assert!(!exempt("hub.example.net:3080", "hub.example.net:443"));
    assert!(exempt("10.0.0.0/8", "10.1.2.3:443"));
    assert!(!exempt("10.0.0.0/8", "11.1.2.3:443"));
    assert!(exempt("fd00::/8", "[fd00::7]:443"));
    assert!(exempt("10.1.2.3", "10.1.2.3:443"));
}

#[test]
fn proxies_are_http_urls_and_errors_hide_the_password() {
    let proxy = |text| HttpProxy::parse(text).map(|proxy| (proxy.to_string(), proxy.login));
    assert_eq!(proxy("proxy:3128").unwrap().0, "proxy:3128");
    assert_eq!(proxy("http://proxy").unwrap().0, "proxy:80");
    let (name, login) = proxy("http://me:p%40ss@proxy:1").unwrap();
    let (user, password) = login.unwrap();
    assert_eq!(
        (name.as_str(), user.as_str(), password.expose()),
        ("proxy:1", "me", "p@ss")
    );
    let error = proxy("https://me:hidden@proxy:1").unwrap_err().to_string();
    assert!(!error.contains("hidden"), "{error}");
    let shown = format!("{:?}", Egress::new("http://me:hidden@proxy", "").unwrap());
    assert!(!shown.contains("hidden"), "{shown}");
}

#[test]
fn addresses_have_a_host_and_a_port() {
    assert_eq!(split("a.b:1").unwrap(), ("a.b", 1));
    assert_eq!(split("[::1]:443").unwrap(), ("::1", 443));
    for wrong in ["", "a", ":1", "a:", "a:99999", "a\r\nX: y:1", "a b:1"] {
        assert!(split(wrong).is_err(), "{wrong:?}");
    }
}

/// An egress proxy that gives `answer` once and then echoes; gives the head of the request.
async fn proxy(answer: &'static str) -> (u16, tokio::sync::oneshot::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = tokio::sync::oneshot::channel();
    let supervisor = base::supervise::Supervisor::new();
    supervisor.spawn("egress proxy", async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        tell.send(String::from_utf8(head).unwrap()).unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer).await.ok();
    });
    (port, told)
}

#[tokio::test]
async fn connect_goes_through_with_a_login() {
    let (port, told) = proxy("HTTP/1.1 200 Connection established\r\n\r\n").await;
    let egress = Egress::new(&format!("http://me:secret@127.0.0.1:{port}"), "").unwrap();
    let mut stream = egress.connect("hub.example.net:3080").await.unwrap();
    stream.write_all(b"ping").await.unwrap();
    let mut echo = [0; 4];
    stream.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"ping");
    let head = told.await.unwrap();
    assert!(
        head.starts_with("CONNECT hub.example.net:3080 HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(
        head.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn refusals_say_what_to_check() {
    let (port, _told) = proxy("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
    let egress = Egress::new(&format!("http://me:secret@127.0.0.1:{port}"), "").unwrap();
    let error = egress
        .connect("hub.example.net:3080")
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("407") && error.contains("HTTPS_PROXY"),
        "{error}"
    );
    assert!(!error.contains("secret"), "{error}");
}
