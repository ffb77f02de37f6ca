//! Vector 13: every way to log in, by loading its documented example with only the host replaced by
//! that of a stub. So the examples cannot be wrong.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use it::certificates;
use it::configuration::{self, example};
use it::need::need;
use it::program::{Launch, Program};
use it::stubs::digest::{Algorithm, Digest};
use it::stubs::form::{self, Form};
use it::stubs::hmac::{self, Hmac, Rule};
use it::stubs::jwt::SigningKey;
use it::stubs::oauth2::{self, OAuth2};
use it::stubs::schemes::{self, PAGE};
use it::stubs::server::{Server, answer, handler, json as json_answer, text_page};
use it::stubs::sigv4;
use it::wait::{self, SOON};
use rustix::process::Signal;
use serde_json::json;

const SHOP: &str = "https://shop.example.net";
const ID: &str = "https://id.example.net";
const PRINTER: &str = "https://printer.example.net";

/// The page must come, and must be the stub's.
async fn assert_page(program: &Program, name: &str) {
    let reply = program.scrape(name).await;
    assert_eq!(reply.status, 200, "{}\n{}", reply.text(), program.stderr());
    assert!(
        reply.text().contains("shop_orders_total 42"),
        "{}",
        reply.text()
    );
}

/// An example as a launch, with the origin replaced.
fn launch(name: &str, origin: &str, server: &Server) -> Launch {
    Launch::new(&example(name, &[(origin, &server.url(""))]))
}

#[tokio::test]
async fn none() {
    let stub = Server::plain(schemes::guard(|seen| {
        !seen.headers.contains_key("authorization")
    }));
    let stub = stub.await;
    let program = launch("none", SHOP, &stub).start().await;
    assert_page(&program, "shop").await;
}

/// What the scraper sends for the gateway is not passed on to the target.
#[tokio::test]
async fn the_scrapers_own_credentials_stay_here() {
    let stub = Server::plain(schemes::guard(|_| true)).await;
    let program = launch("none", SHOP, &stub).start().await;
    let headers = [
        ("authorization", "Bearer for-the-gateway"),
        ("cookie", "a=b"),
    ];
    assert_eq!(program.get("/metrics/shop", &headers).await.status, 200);
    let seen = stub.seen();
    let seen = seen.first().unwrap();
    assert_eq!(
        (seen.header("authorization"), seen.header("cookie")),
        ("", "")
    );
}

#[tokio::test]
async fn static_header() {
    let stub = schemes::header("authorization", "Apikey k-123").await;
    let program = launch("static_header", SHOP, &stub)
        .file("shop.key", "k-123\n")
        .start()
        .await;
    assert_page(&program, "shop").await;
}

#[tokio::test]
async fn basic() {
    let stub = schemes::header("authorization", "Basic c2NyYXBlcjpww6RzczpvcmQ=").await;
    let program = launch("basic", SHOP, &stub)
        .file("shop.password", "päss:ord\n")
        .start()
        .await;
    assert_page(&program, "shop").await;
}

/// A bearer token is read again when its file changes.
#[tokio::test]
async fn bearer() {
    let stub = schemes::header("authorization", "Bearer second").await;
    let program = launch("bearer", SHOP, &stub)
        .file("shop.token", "first\n")
        .start()
        .await;
    let reply = program.scrape("shop").await;
    assert!(
        matches!(reply.status, 502 | 503),
        "{}: {}",
        reply.status,
        reply.text()
    );
    program.write("shop.token", "second\n");
    wait::until("the new token is used", SOON, async || {
        Some(program.scrape("shop").await).filter(|reply| reply.status == 200)
    })
    .await;
}

#[tokio::test]
async fn query_key() {
    let stub = schemes::query_key("api_key", "a&b=c d+é").await;
    let program = launch("query_key", SHOP, &stub)
        .file("shop.key", "a&b=c d+é\n")
        .start()
        .await;
    assert_page(&program, "shop").await;
    assert!(
        stub.seen()
            .iter()
            .all(|seen| seen.query.contains("format=prometheus"))
    );
    let shown = program.get("/v1/gateway/targets", &[]).await.text() + &program.stderr();
    assert!(
        !shown.contains("a&b=c") && !shown.contains("a%26b"),
        "the key is shown: {shown}"
    );
}

/// A login with JSON, a life in seconds, a header of its own; the session is renewed when it ends.
#[tokio::test]
async fn login_token() {
    let stub = Server::plain(handler(|seen| async move {
        let login = json!({"user": "scraper", "password": "se\"cret"});
        match (seen.path.as_str(), seen.header("x-auth-token")) {
            ("/api/login", _) if serde_json::from_slice(&seen.body).ok() == Some(login) => {
                let is_json = seen.header("content-type").starts_with("application/json");
                let body = json!({"session": {"token": "t1", "expires_in": 3600}});
                if is_json {
                    json_answer(201, &body)
                } else {
                    answer(415, "JSON, please")
                }
            }
            ("/metrics", "t1") => text_page(PAGE),
            _ => answer(403, "no"),
        }
    }))
    .await;
    let program = launch("login_token", SHOP, &stub)
        .file("shop.password", "se\"cret\n")
        .start();
    let program = program.await;
    assert_page(&program, "shop").await;
    assert_page(&program, "shop").await;
    assert_eq!(stub.count("/api/login"), 1);
}

/// The program with an OAuth 2 example and the client's secret.
fn oauth2_launch(name: &str, stub: &OAuth2) -> Launch {
    let url = stub.server.url("");
    Launch::new(&example(name, &[(SHOP, &url), (ID, &url)])).file("shop.secret", oauth2::CLIENT.1)
}

/// Tokens that live three seconds are renewed before they end: the page never sees a stale one.
#[tokio::test]
async fn oauth2_client_credentials() {
    let stub = OAuth2::start().await;
    stub.set(|state| {
        state.life = Duration::from_secs(3);
        state.scope = Some("metrics.read health.read".to_owned());
    });
    let program = oauth2_launch("oauth2", &stub).start().await;
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    while begun.elapsed() < Duration::from_secs(10) {
        ticks.tick().await;
        assert_page(&program, "shop").await;
    }
    assert_eq!(stub.denied(), 0, "a stale token was sent");
    assert!(
        (4..=8).contains(&stub.issued()),
        "{} tokens in ten seconds",
        stub.issued()
    );
    assert_eq!(stub.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn oauth2_password() {
    let stub = OAuth2::start().await;
    let launch = oauth2_launch("oauth2-password", &stub).file("reader.password", oauth2::USER.1);
    let program = launch.start().await;
    assert_page(&program, "shop").await;
    stub.revoke();
    assert_page(&program, "shop").await;
    assert_eq!((stub.issued(), stub.refused()), (2, Vec::new()));
}

/// Every refresh token works once: the next login must use the one that came with the last.
#[tokio::test]
async fn oauth2_refresh() {
    let stub = OAuth2::start().await;
    let launch = oauth2_launch("oauth2-refresh", &stub).file("shop.refresh", oauth2::REFRESH);
    let program = launch.start().await;
    for issued in 1..5 {
        assert_page(&program, "shop").await;
        assert_eq!((stub.issued(), stub.refused()), (issued, Vec::new()));
        stub.revoke();
    }
}

/// The next refresh token outlives the process and a change of the target; another one in the
/// configuration wins.
#[tokio::test]
async fn a_rotated_refresh_token_lasts() {
    let stub = OAuth2::start().await;
    let launch = oauth2_launch("oauth2-refresh", &stub).file("shop.refresh", oauth2::REFRESH);
    let program = launch.start().await;
    assert_page(&program, "shop").await;
    program.signal(Signal::HUP);
    wait::until("the replacement serves", SOON, async || {
        let new = program.serving_pid().await;
        new.filter(|new| *new != program.pid())
    })
    .await;
    stub.revoke();
    assert_page(&program, "shop").await;
    assert_eq!(stub.refused(), Vec::<String>::new(), "after a replacement");

    let text = std::fs::read_to_string(program.path("landline.yaml")).unwrap();
    program.write(
        "landline.yaml",
        &text.replace("customer: shop", "customer: other"),
    );
    let reply = program.main("POST", "/-/reload").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    stub.revoke();
    assert_page(&program, "shop").await;
    assert_eq!(stub.refused(), Vec::<String>::new(), "after a reload");

    stub.set(|state| state.restart_line("second-line"));
    stub.revoke();
    program.write("shop.refresh", "second-line");
    wait::until("the configured token is used", SOON, async || {
        (program.scrape("shop").await.status == 200).then_some(())
    })
    .await;
    let shown = program.stderr() + &program.get("/v1/gateway/targets", &[]).await.text();
    assert!(!shown.contains("refresh-"), "{shown}");
}

/// The assertion is signed with the private key; the stub has only the public one.
#[tokio::test]
async fn oauth2_jwt_bearer() {
    for key in [SigningKey::rs256(), SigningKey::es256()] {
        let stub = OAuth2::start().await;
        stub.set(|state| state.verifier = Some(key.verifier()));
        let url = stub.server.url("");
        let algorithm = format!("algorithm: {}", key.algorithm);
        let replacements = [
            (SHOP, url.as_str()),
            (ID, &url),
            ("algorithm: RS256", &algorithm),
        ];
        let launch = Launch::new(&example("oauth2-jwt", &replacements));
        let program = launch.file("shop.key", &key.pem).start().await;
        assert_page(&program, "shop").await;
        let asked = stub
            .server
            .seen()
            .into_iter()
            .find(|seen| seen.path == "/token")
            .unwrap();
        let (header, claims) = key.verifier().open(&asked.field("assertion")).unwrap();
        assert_eq!(header["kid"], "key-1");
        assert_eq!(claims["iss"], "scraper@example.net");
        assert_eq!(claims["sub"], "metrics@example.net");
        assert_eq!(claims["aud"], format!("{url}/token"));
    }
}

/// A client that proves itself by a signed assertion instead of a secret.
#[tokio::test]
async fn oauth2_private_key_jwt() {
    let key = SigningKey::es256();
    let stub = OAuth2::start().await;
    stub.set(|state| state.verifier = Some(key.verifier()));
    let target = json!({"name": "shop", "url": stub.server.url("/metrics"), "auth": {
        "kind": "oauth2", "token_url": stub.server.url("/token"), "client_id": oauth2::CLIENT.0,
        "client_auth": "private_key_jwt", "private_key": {"file": "shop.key"}, "key_id": "k",
        "algorithm": "ES256", "params": {"resource": "urn:metrics"}}});
    let launch = Launch::new(&configuration::targets(&json!([target])));
    let program = launch.file("shop.key", &key.pem).start().await;
    assert_page(&program, "shop").await;
    let asked = stub
        .server
        .seen()
        .into_iter()
        .find(|seen| seen.path == "/token")
        .unwrap();
    assert_eq!(asked.field("grant_type"), "client_credentials");
    assert_eq!(asked.field("resource"), "urn:metrics");
    let (_, claims) = key
        .verifier()
        .open(&asked.field("client_assertion"))
        .unwrap();
    assert!(claims["jti"].is_string(), "{claims}");
}

/// The form is fetched, filled and sent; when the session is dropped the login is made anew.
#[tokio::test]
async fn form_cookie() {
    let stub = Form::start().await;
    let launch = launch("form_cookie", PRINTER, &stub.server);
    let program = launch.file("printer.password", form::USER.1).start().await;
    assert_page(&program, "printer").await;
    assert_page(&program, "printer").await;
    assert_eq!(stub.logins(), 1);
    stub.drop_sessions();
    assert_page(&program, "printer").await;
    assert_eq!(stub.logins(), 2);
}

/// A form that leads back to itself is a refused login.
#[tokio::test]
async fn form_cookie_refused() {
    let stub = Form::start().await;
    let launch = launch("form_cookie", PRINTER, &stub.server);
    let program = launch.file("printer.password", "not this").start().await;
    let reply = program.scrape("printer").await;
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert_eq!(program.target("printer").await["state"], "auth_failed");
}

#[tokio::test]
async fn mtls() {
    let authority = certificates::Authority::new("shop");
    let server = authority.server(&["127.0.0.1"]);
    let config = certificates::server_config(&server, Some(&authority.cert));
    let stub = schemes::client_certificate(config).await;
    let launch = launch("mtls", SHOP, &stub).file("ca.pem", &authority.cert);
    authority
        .client("scraper")
        .write(launch.directory.path(), "scraper");
    let program = launch.start().await;
    assert_page(&program, "shop").await;
}

/// A certificate from elsewhere is refused by the target, and that is no crash and no 200.
#[tokio::test]
async fn mtls_refused() {
    let authority = certificates::Authority::new("shop");
    let server = authority.server(&["127.0.0.1"]);
    let config = certificates::server_config(&server, Some(&authority.cert));
    let stub = schemes::client_certificate(config).await;
    let launch = launch("mtls", SHOP, &stub).file("ca.pem", &authority.cert);
    certificates::Authority::new("x")
        .client("scraper")
        .write(launch.directory.path(), "scraper");
    let program = launch.start().await;
    let reply = program.scrape("shop").await;
    assert!(
        matches!(reply.status, 502 | 503),
        "{}: {}",
        reply.status,
        reply.text()
    );
    assert_eq!(stub.requests(), 0);
}

#[tokio::test]
async fn hmac() {
    let stub = Hmac::start(Rule::Default).await;
    let launch = launch("hmac", SHOP, &stub.server);
    let program = launch.file("shop.secret", hmac::KEY.1).start().await;
    for _ in 0..3 {
        assert_page(&program, "shop").await;
    }
    assert_eq!(stub.wrong(), Vec::<String>::new());
}

/// Every key of `hmac` away from its default.
#[tokio::test]
async fn hmac_of_ones_own_rule() {
    let stub = Hmac::start(Rule::Custom).await;
    let target = json!({"name": "shop", "url": stub.server.url("/metrics?a=b%20c"), "auth": {
        "kind": "hmac", "key_id": hmac::KEY.0, "secret": hmac::KEY.1, "algorithm": "sha512",
        "string_to_sign": "{key_id}|{method}|{host}|{path}|{query}|{date}",
        "date_header": "X-Date", "date_format": "epoch", "encoding": "base64",
        "output_header": {"name": "X-Signature", "value": "{signature}"}}});
    let program = Program::start(&configuration::targets(&json!([target]))).await;
    let reply = program.scrape("shop").await;
    assert_eq!(reply.status, 200, "{:?}", stub.wrong());
}

/// The signature is the one that botocore makes for the same request.
#[tokio::test]
async fn sigv4() {
    let Some(python) = need("PYTHON") else { return };
    let stub = Server::plain(handler(|_| async { text_page(PAGE) })).await;
    let launch = launch("sigv4", SHOP, &stub).file("aws.secret", "wJalr/XUtn+EXAMPLE\n");
    let program = launch
        .file("aws.session", "session/token==\n")
        .start()
        .await;
    assert_page(&program, "shop").await;
    let seen = stub.seen();
    let seen = seen.first().unwrap();
    let credentials = sigv4::Credentials {
        key_id: "AKIDEXAMPLE",
        secret: "wJalr/XUtn+EXAMPLE",
        region: "eu-central-1",
        service: "aps",
    };
    let expected = sigv4::botocore(&python, seen, credentials).unwrap();
    let header = seen
        .header("authorization")
        .replace(',', ", ")
        .replace("  ", " ");
    assert_eq!(header, expected);
    let signed = sigv4::signed_headers(seen);
    for name in ["host", "x-amz-date", "x-amz-security-token"] {
        assert!(
            signed.iter().any(|header| header == name),
            "{name} is not in {signed:?}"
        );
    }
    assert_eq!(seen.header("x-amz-security-token"), "session/token==");
}

/// MD5 and SHA-256; a stale nonce costs one challenge and no failed scrape.
#[tokio::test]
async fn digest() {
    for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
        let stub = Digest::start(algorithm).await;
        let launch = launch("digest", PRINTER, &stub.server);
        let program = launch
            .file("printer.password", it::stubs::digest::USER.1)
            .start()
            .await;
        for _ in 0..3 {
            assert_page(&program, "printer").await;
        }
        assert_eq!(
            stub.challenges(),
            1,
            "{algorithm:?}: the nonce is used again"
        );
        stub.expire();
        assert_page(&program, "printer").await;
        assert_eq!(stub.challenges(), 2, "{algorithm:?}");
        assert_eq!(stub.wrong(), Vec::<String>::new(), "{algorithm:?}");
    }
}

/// `stale=true` is no refused credential, not even for a new nonce: the scrape answers the next
/// one, and nobody waits. A refusal without it is a wrong password, sent once.
#[tokio::test]
async fn a_stale_nonce_is_no_wrong_password() {
    let stub = Digest::start(Algorithm::Sha256).await;
    let start = async |password: &str| {
        let launch = launch("digest", PRINTER, &stub.server);
        launch.file("printer.password", password).start().await
    };
    stub.call_stale(2);
    let program = start(it::stubs::digest::USER.1).await;
    assert_page(&program, "printer").await;
    assert_eq!(stub.challenges(), 3, "the first and two after stale ones");
    stub.call_stale(usize::MAX);
    let reply = program.scrape("printer").await;
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert!(reply.reason().contains("stale"), "{}", reply.reason());
    stub.call_stale(0);
    assert_page(&program, "printer").await;
    assert_eq!(stub.wrong(), Vec::<String>::new());
    drop(program);

    let program = start("wrong").await;
    for _ in 0..3 {
        let reply = program.scrape("printer").await;
        assert!(matches!(reply.status, 502 | 503), "{}", reply.text());
    }
    assert_eq!(program.target("printer").await["state"], "auth_failed");
    assert_eq!(stub.wrong().len(), 1, "{:?}", stub.wrong());
}

/// A program of the operator's prints the token: bare, or as JSON with its life.
#[tokio::test]
async fn exec() {
    let stub = schemes::header("authorization", "Bearer printed by metrics").await;
    let scripts = [
        "echo \"printed by $2\"",
        "echo '{\"token\": \"printed by metrics\", \"expires_in\": 600}'",
        "echo '{\"token\": \"printed by metrics\", \"expires\": \"2099-01-01T00:00:00Z\"}'",
    ];
    for script in scripts {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shop-token");
        let script = format!("[ -z \"$NOTIFY_SOCKET$WATCHDOG_USEC\" ] || exit 9\n{script}");
        std::fs::write(
            &path,
            format!("#!/bin/sh\necho run >>\"$0.runs\"\n{script}\n"),
        )
        .unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let program = path.display().to_string();
        let text = example(
            "exec",
            &[
                (SHOP, &stub.url("")),
                ("/usr/local/bin/shop-token", &program),
            ],
        );
        // What speaks to systemd is not for the operator's program.
        let launch = Launch::new(&text).variable("NOTIFY_SOCKET", "/nowhere");
        let program = launch.variable("WATCHDOG_USEC", "1").start().await;
        assert_page(&program, "shop").await;
        assert_page(&program, "shop").await;
        let runs = std::fs::read_to_string(directory.path().join("shop-token.runs")).unwrap();
        assert_eq!(runs.lines().count(), 1, "{script}");
    }
}

/// A program that fails, hangs or floods is a failed login with its reason, in time.
#[tokio::test]
async fn exec_gone_wrong() {
    let stub = Server::plain(schemes::guard(|_| true)).await;
    let target = |name: &str, script: &str| {
        json!({"name": name, "url": stub.url("/metrics"), "auth": {"kind": "exec", "timeout": "1s",
            "command": ["/bin/sh", "-c", script]}})
    };
    let targets = json!([
        target("fails", "echo the vault is sealed >&2; exit 4"),
        target("hangs", "sleep 60"),
        target("floods", "yes"),
        target("silent", "true"),
    ]);
    let program = Program::start(&configuration::targets(&targets)).await;
    for name in ["fails", "hangs", "floods", "silent"] {
        let reply = program.scrape(name).await;
        assert!(
            matches!(reply.status, 502..=504),
            "{name}: {} {}",
            reply.status,
            reply.text()
        );
        assert!(
            reply.elapsed < Duration::from_secs(5),
            "{name} took {:?}",
            reply.elapsed
        );
    }
    assert_eq!(stub.requests(), 0);
    // Nothing that was started for a token outlives its deadline.
    wait::until("the commands have ended", SOON, async || {
        (program.generations() == [program.pid()]).then_some(())
    })
    .await;
}
