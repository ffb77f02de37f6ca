//! The stubs are proven with independent clients before anything is proven with them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use it::curl::curl;
use it::need::need;
use it::stubs::digest::{Algorithm, Digest, USER};
use it::stubs::{form::Form, jwt::SigningKey, schemes};
use it::{certificates, stubs};
use serde_json::json;

/// curl logs in by digest, and is turned away with a wrong password.
#[tokio::test]
async fn digest_agrees_with_curl() {
    let Some(program) = need("CURL") else { return };
    for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
        let stub = Digest::start(algorithm).await;
        let url = stub.server.url("/metrics?a=b");
        let user = format!("{}:{}", USER.0, USER.1);
        let (status, body) = curl(&program, &["--digest", "--user", &user, &url]).await;
        assert_eq!(status, 200, "{algorithm:?}: {:?}", stub.wrong());
        assert_eq!(body, schemes::PAGE);
        let (status, _) = curl(&program, &["--digest", "--user", "scraper:no", &url]).await;
        assert_eq!(status, 401);
    }
}

/// curl follows the form as a browser would.
#[tokio::test]
async fn form_agrees_with_curl() {
    let Some(program) = need("CURL") else { return };
    let stub = Form::start().await;
    let directory = tempfile::tempdir().unwrap();
    let jar = directory.path().join("jar").display().to_string();
    let cookies = ["--cookie-jar", jar.as_str(), "--cookie", jar.as_str()];
    let (status, page) = curl(
        &program,
        &[&cookies[..], &[&stub.server.url("/login")]].concat(),
    )
    .await;
    assert_eq!(status, 200);
    let csrf = page.split("name=\"csrf_token\" value=\"").nth(1).unwrap();
    let csrf = csrf
        .split("\">")
        .next()
        .unwrap()
        .replace("&quot;", "\"")
        .replace("&amp;", "&");
    let fields = [
        ("csrf_token", csrf.as_str()),
        ("user", "scraper"),
        ("password", "p&ss=w+rd %"),
    ];
    let fields = fields.map(|(name, value)| format!("{name}={value}"));
    let mut arguments = cookies.to_vec();
    for field in &fields {
        arguments.extend(["--data-urlencode", field.as_str()]);
    }
    let url = stub.server.url("/login");
    arguments.push(&url);
    assert_eq!(curl(&program, &arguments).await.0, 302);
    assert_eq!(stub.logins(), 1);
    let url = stub.server.url("/metrics");
    let (status, body) = curl(&program, &[&cookies[..], &[&url]].concat()).await;
    assert_eq!((status, body.as_str()), (200, schemes::PAGE));
    stub.drop_sessions();
    assert_eq!(
        curl(&program, &[&cookies[..], &[&url]].concat()).await.0,
        302
    );
}

/// A client certificate is demanded, checked, and the server's own verifies.
#[tokio::test]
async fn mutual_tls_agrees_with_curl() {
    let Some(program) = need("CURL") else { return };
    let authority = certificates::Authority::new("it");
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("ca.pem"), &authority.cert).unwrap();
    authority
        .client("scraper")
        .write(directory.path(), "client");
    certificates::Authority::new("other")
        .client("scraper")
        .write(directory.path(), "other");
    let config =
        certificates::server_config(&authority.server(&["127.0.0.1"]), Some(&authority.cert));
    let stub = schemes::client_certificate(config).await;
    let path = |name: &str| directory.path().join(name).display().to_string();
    let url = stub.url("/metrics");
    let with = |stem: &str| {
        [
            "--cacert",
            &path("ca.pem"),
            "--cert",
            &path(&format!("{stem}.pem")),
            "--key",
        ]
        .map(str::to_owned)
        .into_iter()
        .chain([path(&format!("{stem}.key")), url.clone()])
        .collect::<Vec<_>>()
    };
    for (stem, expected) in [("client", 200), ("other", 0)] {
        let arguments = with(stem);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        assert_eq!(curl(&program, &arguments).await.0, expected, "{stem}");
    }
    assert_eq!(
        curl(&program, &["--cacert", &path("ca.pem"), &url]).await.0,
        0
    );
}

/// The WhatsApp stub speaks as its documentation says.
#[tokio::test]
async fn whatsapp_agrees_with_curl() {
    let Some(program) = need("CURL") else { return };
    let stub = stubs::whatsapp::WhatsApp::plain().await;
    let login = stub.server.url("/v1/users/login");
    let (status, body) = curl(&program, &["-X", "POST", "--user", "admin:secret", &login]).await;
    assert_eq!(status, 200);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let header = format!(
        "authorization: Bearer {}",
        body["users"][0]["token"].as_str().unwrap()
    );
    let page = stub.server.url("/metrics?format=prometheus");
    assert_eq!(curl(&program, &["-H", &header, &page]).await.0, 200);
    stub.revoke();
    assert_eq!(curl(&program, &["-H", &header, &page]).await.0, 401);
    assert_eq!(stub.logins(), 1);
}

/// Signatures made by another library are accepted, changed ones are not.
#[test]
fn assertions_are_checked() {
    let key = SigningKey::rs256();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("key.pem"), &key.pem).unwrap();
    let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!(
        "{}.{}",
        encode(json!({"alg": "RS256"})),
        encode(json!({"iss": "a"}))
    );
    std::fs::write(path("text"), &signed).unwrap();
    let done = std::process::Command::new("openssl")
        .args([
            "dgst",
            "-sha256",
            "-sign",
            "key.pem",
            "-out",
            "signature",
            "text",
        ])
        .current_dir(directory.path())
        .status();
    if !done.is_ok_and(|status| status.success()) {
        it::need::skip("openssl is not here to sign");
        return;
    }
    let signature = std::fs::read(path("signature")).unwrap();
    let signature = URL_SAFE_NO_PAD.encode(signature);
    let verifier = key.verifier();
    let (_, claims) = verifier.open(&format!("{signed}.{signature}")).unwrap();
    assert_eq!(claims["iss"], "a");
    assert!(verifier.open(&format!("{signed}x.{signature}")).is_err());
}
