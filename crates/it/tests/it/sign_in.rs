//! People sign in with a browser: the first administrator's link, other links, passwords, second
//! factors, and everything that must not let anybody in.

use std::time::Duration;

use it::cluster;
use it::need::need;
use it::person::{Page, Person, code_of};
use it::program::{Launch, Program};
use it::wait;
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery";
const HUB: &str = "hub.example.net";
/// How links begin after the host.
const LINK: &str = "/welcome/landline_invite_";

/// A hub whose log tells everything, and its URL.
async fn start() -> (Program, String) {
    let more = json!({"public_addr": format!("{HUB}:3080"), "log": {"level": "trace"}});
    let hub = Program::start(&cluster::hub(more)).await;
    let url = format!("https://{HUB}:{}", hub.main.port());
    (hub, url)
}

/// The secret of the last link in a text.
fn secret_of(text: &str) -> String {
    let link = text.rsplit_once(LINK).expect("a link").1;
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let rest: String = link.chars().take_while(|c| is_word(*c)).collect();
    format!("landline_invite_{rest}")
}

async fn first_link(hub: &Program) -> String {
    wait::until("the first link", Duration::from_secs(10), async || {
        hub.stderr().contains(LINK).then_some(())
    })
    .await;
    secret_of(&hub.stderr())
}

async fn accept(person: &Person, url: &str, secret: &str, name: &str) -> Page {
    let fields = [
        ("secret", secret),
        ("name", name),
        ("password", PASSWORD),
        ("again", PASSWORD),
    ];
    person.send(&format!("{url}/welcome"), &fields).await
}

async fn sign_in(person: &Person, url: &str, [name, password, code]: [&str; 3]) -> Page {
    let fields = [("name", name), ("password", password), ("code", code)];
    person.send(&format!("{url}/login"), &fields).await
}

fn command(hub: &Program, arguments: &[&str]) -> String {
    let output = hub.command(arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn invite(hub: &Program, name: &str, ttl: &str) -> String {
    let words = ["users", "invite", name, "--role", "viewer", "--ttl", ttl];
    secret_of(&command(hub, &words))
}

fn refused(events: &[Value], reason: &str) -> bool {
    let is = |event: &&Value| event["outcome"] == "refused" && event["details"]["reason"] == reason;
    events.iter().find(is).is_some()
}

/// The first start prints a link that makes one administrator, once; a later start prints another
/// one until there is one.
#[tokio::test]
async fn the_first_administrator_comes_by_a_link() {
    let Some(curl) = need("CURL") else { return };
    let (mut hub, _) = start().await;
    let old = first_link(&hub).await;
    let line = hub.stderr();
    let line = line.lines().find(|line| line.contains(&old)).unwrap();
    assert!(
        line.contains(&format!("https://{HUB}:3080/welcome/{old}")),
        "{line}"
    );
    hub.signal(rustix::process::Signal::TERM);
    hub.wait_exit(Duration::from_secs(20)).await;
    hub.restart();
    hub.ready().await;
    let url = format!("https://{HUB}:{}", hub.main.port());
    let new = wait::until("another link", Duration::from_secs(10), async || {
        Some(secret_of(&hub.stderr())).filter(|new| *new != old)
    })
    .await;
    let person = Person::new(&curl, &hub);
    let page = person.go(&format!("{url}/welcome/{old}")).await;
    assert_eq!(page.status, 401, "{}", page.body);
    assert_eq!(accept(&person, &url, &old, "eve").await.status, 401);
    let page = person.go(&format!("{url}/welcome/{new}")).await;
    assert!(
        page.status == 200 && page.body.contains("first administrator"),
        "{}",
        page.body
    );
    let fields = [
        ("secret", new.as_str()),
        ("name", "ada"),
        ("password", PASSWORD),
    ];
    let differs = person.send(&format!("{url}/welcome"), &fields).await;
    assert!(
        differs.status == 400 && differs.body.contains("differ"),
        "{}",
        differs.body
    );
    let bad_name = accept(&person, &url, &new, "a b").await;
    assert_eq!(bad_name.status, 400, "{}", bad_name.body);
    let taken = accept(&person, &url, &new, "ada").await;
    assert_eq!((taken.status, taken.location().as_str()), (303, "/"));
    let home = person.go(&format!("{url}/?plain=yes")).await;
    assert!(
        home.status == 200 && home.body.contains("ada (admin)"),
        "{}",
        home.body
    );
    let again = accept(&Person::new(&curl, &hub), &url, &new, "eve").await;
    assert_eq!(again.status, 401, "{}", again.body);
    let events = cluster::audit(&hub, "invitation.").await;
    assert!(refused(&events, "invitation"), "{events:?}");
    let accepted =
        |event: &&Value| event["kind"] == "invitation.accepted" && event["actor"] == "user:ada";
    assert!(events.iter().any(|event| accepted(&event)), "{events:?}");
    hub.signal(rustix::process::Signal::TERM);
    hub.wait_exit(Duration::from_secs(20)).await;
    let before = hub.stderr().matches(LINK).count();
    hub.restart();
    hub.ready().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(hub.stderr().matches(LINK).count(), before);
}

/// Without a configuration the link is for a browser of this machine, which needs no certificate.
#[tokio::test]
async fn the_first_minute_ends_on_the_first_page() {
    let Some(curl) = need("CURL") else { return };
    let roles = json!({"roles": ["auth", "proxy", "collector"]});
    let hub = Launch::new(&cluster::hub(roles)).start().await;
    let secret = first_link(&hub).await;
    let url = format!("http://{}", hub.main);
    assert!(hub.stderr().contains(&format!("{url}/welcome/{secret}")));
    let person = Person::new(&curl, &hub);
    let page = accept(&person, &url, &secret, "ada").await;
    assert!(
        page.header("set-cookie").starts_with("landline-local="),
        "{}",
        page.head
    );
    let home = person.go(&format!("{url}/?plain=yes")).await;
    assert!(home.body.contains("No node offers"), "{}", home.body);
    assert!(
        home.body.contains("href=\"/telemetryui/\""),
        "{}",
        home.body
    );
    let anonymous = Person::new(&curl, &hub);
    assert_eq!(anonymous.go(&url).await.location(), "/login?to=%2F");
    assert_eq!(anonymous.ask(&url, &[]).await.status, 404);
}

/// Links for later people: once, in time, and for a forgotten password again.
#[tokio::test]
async fn links_let_people_set_passwords() {
    let Some(curl) = need("CURL") else { return };
    let (hub, url) = start().await;
    let short = invite(&hub, "late", "1s");
    let secret = invite(&hub, "anna", "2h");
    let person = Person::new(&curl, &hub);
    let page = person.go(&format!("{url}/welcome/{secret}")).await;
    assert!(
        page.body.contains("readonly value=\"anna\""),
        "{}",
        page.body
    );
    assert_eq!(accept(&person, &url, &secret, "anna").await.status, 303);
    let cookies = person.cookies();
    assert!(
        cookies.contains("#HttpOnly_") && cookies.contains("__Host-landline"),
        "{cookies}"
    );
    let reset = secret_of(&command(&hub, &["users", "reset", "anna"]));
    assert_eq!(person.go(&url).await.status, 200, "the old session goes on");
    let other = Person::new(&curl, &hub);
    let new = "another good password";
    let fields = [
        ("secret", reset.as_str()),
        ("password", new),
        ("again", new),
    ];
    let page = other.send(&format!("{url}/welcome"), &fields).await;
    assert_eq!(page.status, 303, "{}", page.body);
    assert_eq!(person.go(&url).await.location(), "/login?to=%2F");
    assert_eq!(
        sign_in(&person, &url, ["anna", PASSWORD, ""]).await.status,
        401
    );
    assert_eq!(sign_in(&person, &url, ["anna", new, ""]).await.status, 303);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(accept(&other, &url, &short, "late").await.status, 401);
    let unknown = hub.command(&["users", "reset", "nobody"]);
    let text = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(
        !unknown.status.success() && text.contains("nobody"),
        "{text}"
    );
    let endless = hub.command(&["users", "reset", "anna", "--ttl", "60d"]);
    assert!(String::from_utf8_lossy(&endless.stderr).contains("30 days"));
}

/// A second factor: set up on the page, asked for, each code once, and taken away by a reset.
#[tokio::test]
async fn a_second_factor_is_asked_for() {
    let Some(curl) = need("CURL") else { return };
    let (hub, url) = start().await;
    let person = Person::new(&curl, &hub);
    accept(&person, &url, &invite(&hub, "anna", "1h"), "anna").await;
    let path = format!("{url}/second-factor");
    let page = person.go(&path).await;
    assert!(page.body.contains("Set it up"), "{}", page.body);
    assert_eq!(person.send(&path, &[]).await.status, 303);
    let page = person.go(&path).await;
    assert!(page.body.contains("<svg") && page.body.contains("otpauth://totp/"));
    let key = page.between("<span class=\"key\">", "</span>");
    let confirm = format!("{path}/confirm");
    let wrong = person.send(&confirm, &[("code", "000000x")]).await;
    assert_eq!(wrong.status, 401);
    assert_eq!(wrong.between("<span class=\"key\">", "</span>"), key);
    let used = code_of(&key, 0);
    assert_eq!(person.send(&confirm, &[("code", &used)]).await.status, 303);
    assert!(!person.go(&path).await.body.contains(&key));
    let other = Person::new(&curl, &hub);
    let page = sign_in(&other, &url, ["anna", PASSWORD, ""]).await;
    assert!(
        page.status == 401 && page.body.contains("authenticator app"),
        "{}",
        page.body
    );
    for code in ["000000", used.as_str()] {
        let page = sign_in(&other, &url, ["anna", PASSWORD, code]).await;
        assert_eq!(page.status, 401, "{code}: {}", page.body);
    }
    // The code of the next half minute counts already, once.
    let next = code_of(&key, 1);
    let page = sign_in(&other, &url, ["anna", PASSWORD, &next]).await;
    assert_eq!(page.status, 303, "{}", page.body);
    assert_eq!(
        sign_in(&other, &url, ["anna", PASSWORD, &next])
            .await
            .status,
        401
    );
    let reset = secret_of(&command(&hub, &["users", "reset", "anna"]));
    accept(&other, &url, &reset, "anna").await;
    assert_eq!(
        sign_in(&other, &url, ["anna", PASSWORD, ""]).await.status,
        303
    );
}

/// Guessing costs time, for names that nobody has as well, and the audit log has it.
#[tokio::test]
async fn guessing_costs_time() {
    let Some(curl) = need("CURL") else { return };
    let (hub, url) = start().await;
    let person = Person::new(&curl, &hub);
    accept(&person, &url, &invite(&hub, "anna", "1h"), "anna").await;
    let guesser = Person::new(&curl, &hub);
    for name in ["anna", "nobody"] {
        for _ in 0..5 {
            let page = sign_in(&guesser, &url, [name, "a wrong password", ""]).await;
            assert!(
                page.status == 401 && page.body.contains("is wrong"),
                "{}",
                page.body
            );
        }
        let page = sign_in(&guesser, &url, [name, PASSWORD, ""]).await;
        assert!(
            page.status == 429 && page.body.contains("try again in"),
            "{}",
            page.body
        );
    }
    assert_eq!(person.go(&url).await.status, 200, "an open session goes on");
    // So many from one address are not looked at any more.
    for number in 0..20 {
        sign_in(&guesser, &url, [&format!("n{number}"), "x", ""]).await;
    }
    let page = sign_in(&guesser, &url, ["ben", "x", ""]).await;
    assert!(
        page.status == 429 && !page.header("retry-after").is_empty(),
        "{}",
        page.head
    );
    let events = cluster::audit(&hub, "user.sign_in").await;
    for reason in ["credentials", "too_many_attempts"] {
        assert!(refused(&events, reason), "{reason}: {events:?}");
    }
}

/// What other sites make a browser send changes nothing, and no page can be led elsewhere.
#[tokio::test]
async fn other_sites_can_do_nothing() {
    let Some(curl) = need("CURL") else { return };
    let (hub, url) = start().await;
    let person = Person::new(&curl, &hub);
    let secret = invite(&hub, "anna", "1h");
    let fields = [
        ("secret", secret.as_str()),
        ("password", PASSWORD),
        ("again", PASSWORD),
    ];
    let evil = ["-H", "Origin: https://evil.example"];
    let app = format!("Origin: https://api.{HUB}:{}", person.port);
    let site = ["-H", "Sec-Fetch-Site: same-site"];
    for more in [
        &[][..],
        &evil,
        &["-H", &app],
        &["-H", "Origin: null"],
        &site,
    ] {
        let page = person
            .send_with(&format!("{url}/welcome"), &fields, more)
            .await;
        assert_eq!(page.status, 403, "{more:?}: {}", page.body);
    }
    assert_eq!(accept(&person, &url, &secret, "anna").await.status, 303);
    for more in [&[][..], &evil] {
        let page = person.send_with(&format!("{url}/logout"), &[], more).await;
        assert_eq!(page.status, 403);
        let page = person
            .send_with(&format!("{url}/v1/logout"), &[], more)
            .await;
        assert_eq!(page.status, 403);
    }
    assert_eq!(person.go(&url).await.status, 200);
    for to in [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/\tx",
    ] {
        let fields = [("name", "anna"), ("password", PASSWORD), ("to", to)];
        let page = Person::new(&curl, &hub)
            .send(&format!("{url}/login"), &fields)
            .await;
        assert_eq!((page.status, page.location().as_str()), (303, "/"), "{to}");
    }
    let page = person.go(&url).await;
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert_eq!(page.header("cache-control"), "no-store");
    let page = person.send(&format!("{url}/logout"), &[]).await;
    assert_eq!(page.location(), "/login");
    assert!(
        !person.cookies().contains("landline_session_"),
        "{}",
        person.cookies()
    );
}

/// A locked or removed session, an ended one and an expired one let nobody in.
#[tokio::test]
async fn sessions_end() {
    let Some(curl) = need("CURL") else { return };
    let (hub, url) = start().await;
    let person = Person::new(&curl, &hub);
    accept(&person, &url, &invite(&hub, "anna", "1h"), "anna").await;
    let cookie = person.cookies();
    let session = cookie.rsplit('\t').next().unwrap().trim().to_owned();
    let by_hand = format!("Cookie: __Host-landline={session}");
    let me = format!("{url}/v1/me");
    let thief = Person::new(&curl, &hub);
    assert_eq!(thief.ask(&me, &["-H", &by_hand]).await.status, 200);
    person.send(&format!("{url}/logout"), &[]).await;
    assert_eq!(thief.ask(&me, &["-H", &by_hand]).await.status, 401);
    assert_eq!(
        sign_in(&person, &url, ["anna", PASSWORD, ""]).await.status,
        303
    );
    let database = hub.path("data/state.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database);
    let mut state = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let past = sqlx::query("UPDATE web_sessions SET expires_at = 1");
    past.execute(&mut state).await.unwrap();
    assert_eq!(person.go(&url).await.location(), "/login?to=%2F");
    assert_eq!(person.ask(&me, &[]).await.status, 401);
    assert_eq!(
        sign_in(&person, &url, ["anna", PASSWORD, ""]).await.status,
        303
    );
    let lock = sqlx::query(
        "INSERT INTO locks (id, kind, name, reason, expires_at, created_at, created_by)
         VALUES ('1', 'user', 'anna', 'on leave', 0, 1, 'test')",
    );
    lock.execute(&mut state).await.unwrap();
    let locked = sign_in(&Person::new(&curl, &hub), &url, ["anna", PASSWORD, ""]).await;
    assert!(
        locked.status == 403 && locked.body.contains("on leave"),
        "{}",
        locked.body
    );
    assert_eq!(person.ask(&me, &[]).await.status, 403);
    assert_eq!(person.go(&url).await.location(), "/login?to=%2F");
    let events = cluster::audit(&hub, "user.sign_in").await;
    assert!(refused(&events, "locked"), "{events:?}");
}

/// Neither log nor audit log holds a password, a session or a secret of a link, however much is
/// logged; the first link alone is printed.
#[tokio::test]
async fn secrets_are_not_in_logs() {
    let Some(curl) = need("CURL") else { return };
    let (hub, url) = start().await;
    first_link(&hub).await;
    let person = Person::new(&curl, &hub);
    let secret = invite(&hub, "anna", "1h");
    person.go(&format!("{url}/welcome/{secret}")).await;
    accept(&person, &url, &secret, "anna").await;
    person.go(&format!("{url}/welcome/{secret}")).await;
    sign_in(&person, &url, ["anna", "a wrong password", ""]).await;
    sign_in(&person, &url, ["anna", PASSWORD, "123456"]).await;
    person.send(&format!("{url}/second-factor"), &[]).await;
    let page = person.go(&format!("{url}/second-factor")).await;
    let key = page.between("?secret=", "&amp;");
    let words = [
        "tokens", "add", "--role", "api", "--user", "anna", "--ttl", "1h", "--json",
    ];
    let issued: Value = serde_json::from_str(&command(&hub, &words)).unwrap();
    let token = issued["token"].as_str().unwrap();
    let bearer = format!("Authorization: Bearer {token}");
    person
        .ask(&format!("{url}/v1/nodes"), &["-H", &bearer])
        .await;
    let cookie = person.cookies();
    let session = cookie.rsplit('\t').next().unwrap().trim();
    assert!(session.starts_with("landline_session_"), "{cookie}");
    let log = hub.stderr();
    let audit = format!("{:?}", cluster::audit(&hub, "").await);
    assert!(log.contains("DEBUG"), "{log}");
    assert!(audit.contains("user.sign_in"), "{audit}");
    for secret in [&secret, PASSWORD, "a wrong password", &key, token, session] {
        assert!(!log.contains(secret), "a secret is in the log: {secret}");
        assert!(
            !audit.contains(secret),
            "a secret is in the audit log: {secret}"
        );
    }
}
