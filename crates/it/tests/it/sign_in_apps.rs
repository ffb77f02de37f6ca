//! A person's browser at applications: by the application's own host, with a cookie of that host, and
//! nothing of the hub's for the application.

use it::cluster;
use it::need::need;
use it::person::{Page, Person};
use it::program::Program;
use it::stubs::apps::App;
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery";
const HUB: &str = "hub.example.net";

/// A hub, a node with an application, and its URLs.
struct Site {
    hub: Program,
    _node: Program,
    _app: App,
    curl: String,
    url: String,
    api: String,
}

impl Site {
    async fn start(curl: &str) -> Self {
        let app = App::http().await;
        let more = json!({"public_addr": format!("{HUB}:3080")});
        let hub = Program::start(&cluster::hub(more)).await;
        let url = format!("http://{}", app.address);
        let apps = json!([{"name": "api", "url": url}, {"name": "other", "url": url}]);
        let node = cluster::join(&hub, "web-1", json!({"apps": apps})).await;
        let port = hub.main.port();
        Self {
            _app: app,
            _node: node,
            curl: curl.to_owned(),
            url: format!("https://{HUB}:{port}"),
            api: format!("https://api.{HUB}:{port}"),
            hub,
        }
    }

    /// Somebody with this role, signed in on the hub's own host.
    async fn person(&self, name: &str, role: &str) -> Person {
        let wanted = json!({"name": name, "roles": [role]}).to_string();
        let added = cluster::admin(&self.hub, "POST", "/v1/users", &wanted)
            .await
            .json();
        let secret = added["link"]
            .as_str()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap()
            .to_owned();
        let person = Person::new(&self.curl, &self.hub);
        let fields = [
            ("secret", secret.as_str()),
            ("password", PASSWORD),
            ("again", PASSWORD),
        ];
        let page = person.send(&format!("{}/welcome", self.url), &fields).await;
        assert_eq!(page.status, 303, "{}", page.body);
        person
    }
}

/// Goes to a page and follows where it leads, as browsers do.
async fn follow(person: &Person, url: &str) -> (Page, Vec<String>) {
    let mut way = vec![url.to_owned()];
    loop {
        assert!(way.len() < 8, "round in circles: {way:?}");
        let at = way.last().unwrap();
        let page = person.go(at).await;
        if page.status != 303 && page.status != 308 {
            return (page, way);
        }
        let next = url::Url::parse(at).unwrap().join(&page.location()).unwrap();
        way.push(next.to_string());
    }
}

fn told(page: &Page) -> Value {
    serde_json::from_str(&page.body).unwrap_or_else(|_| panic!("{} {}", page.status, page.body))
}

/// From the application's host to the page for signing in, and back to where one wanted to go; the
/// application learns who it is and gets its own cookies only.
#[tokio::test]
async fn a_browser_signs_in_on_the_way_to_an_application() {
    let Some(curl) = need("CURL") else { return };
    let site = Site::start(&curl).await;
    site.person("oscar", "operator").await;
    let person = Person::new(&curl, &site.hub);
    let wanted = format!("{}/a/b?c=d&e=%2F", site.api);
    let (page, way) = follow(&person, &wanted).await;
    assert!(
        page.status == 200 && page.body.contains("Sign in"),
        "{way:?} {}",
        page.body
    );
    assert!(
        way.last()
            .unwrap()
            .starts_with(&format!("{}/login?", site.url)),
        "{way:?}"
    );
    let forms = page.header("content-security-policy");
    let below = format!("form-action 'self' https://*.{HUB}:{}", person.port);
    assert!(forms.contains(&below), "{forms}");
    let to = page
        .between("name=\"to\" value=\"", "\"")
        .replace("&amp;", "&");
    let fields = [("name", "oscar"), ("password", PASSWORD), ("to", &to)];
    let page = person.send(&format!("{}/login", site.url), &fields).await;
    let launch = format!("{}{}", site.url, page.location());
    let (page, way) = follow(&person, &launch).await;
    assert_eq!(way.last().unwrap(), &wanted, "{way:?}");
    let asked = told(&page);
    assert_eq!(asked["target"], "/a/b?c=d&e=%2F");
    assert_eq!(asked["headers"]["cookie"], Value::Null);
    assert!(asked["headers"]["landline-jwt-assertion"].is_string());
    // A bearer token that is none of ours is the application's own.
    let bearer = ["-H", "Authorization: Bearer of-the-app"];
    let page = person.ask(&format!("{}/x", site.api), &bearer).await;
    assert_eq!(told(&page)["headers"]["authorization"], "Bearer of-the-app");
    let own = ["-H", "Cookie: theme=dark"];
    let page = person.ask(&format!("{}/x", site.api), &own).await;
    let cookie = told(&page)["headers"]["cookie"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        cookie.contains("theme=dark") && !cookie.contains("landline"),
        "{cookie}"
    );
    let jar = person.cookies();
    let of = |host: &str| {
        jar.lines()
            .filter(|line| line.contains(&format!("_{host}\t")))
            .count()
    };
    assert!(of(HUB) == 1 && of(&format!("api.{HUB}")) == 2, "{jar}");
    let events = cluster::audit(&site.hub, "app.used").await;
    let success = |event: &&Value| event["outcome"] == "success";
    assert_eq!(events.iter().find(success).unwrap()["actor"], "user:oscar");
    // By path the browser is led to the host, where pages are of another origin than the hub's.
    let (page, way) = follow(&person, &format!("{}/apps/api/p?q=r", site.url)).await;
    assert_eq!(told(&page)["target"], "/p?q=r");
    assert_eq!(way.last().unwrap(), &format!("{}/p?q=r", site.api));
    let quiet = person.ask(&format!("{}/apps/api/p", site.url), &[]).await;
    assert_eq!(quiet.status, 401, "{}", quiet.body);
    person.send(&format!("{}/logout", site.url), &[]).await;
    let out = person.ask(&format!("{}/x", site.api), &[]).await;
    assert_eq!(out.status, 401, "{}", out.body);
}

/// A code works once, soon, for its host, and in the browser that asked for it.
#[tokio::test]
async fn a_code_is_for_one_browser_and_one_host() {
    let Some(curl) = need("CURL") else { return };
    let site = Site::start(&curl).await;
    let person = site.person("oscar", "operator").await;
    let code = async || {
        let launch = person.go(&site.api).await.location();
        let enter = person.go(&launch).await.location();
        assert!(
            enter.starts_with(&format!("{}/.landline/enter?code=", site.api)),
            "{enter}"
        );
        enter
    };
    let stolen = code().await;
    let thief = Person::new(&curl, &site.hub);
    assert_eq!(thief.go(&stolen).await.status, 401);
    assert_eq!(person.go(&stolen).await.status, 401, "it was used up");
    let other = code().await.replace("//api.", "//other.");
    assert_eq!(person.go(&other).await.status, 401);
    let good = code().await;
    assert_eq!(person.go(&good).await.status, 303);
    assert_eq!(person.go(&good).await.status, 401);
    // The cookie of one application is worth nothing at another one, nor at the hub.
    let jar = person.cookies();
    let visit = jar
        .lines()
        .find(|line| line.contains("landline_visit_"))
        .unwrap();
    let visit = visit.rsplit('\t').next().unwrap();
    let other = site.api.replace("//api.", "//other.");
    for (url, name) in [
        (&other, "__Host-landline-app"),
        (&site.url, "__Host-landline"),
    ] {
        let cookie = format!("Cookie: {name}={visit}");
        let page = thief.ask(&format!("{url}/v1/me"), &["-H", &cookie]).await;
        assert_eq!(page.status, 401, "{url}: {}", page.body);
    }
    let events = cluster::audit(&site.hub, "session.carried").await;
    assert!(events.len() >= 4, "{events:?}");
    let log = site.hub.stderr();
    assert!(!log.contains(visit) && !log.contains("landline_launch_"));
}

/// No redirect leads to where it should not.
#[tokio::test]
async fn redirects_stay_with_the_hub_and_its_applications() {
    let Some(curl) = need("CURL") else { return };
    let site = Site::start(&curl).await;
    let person = site.person("oscar", "operator").await;
    for (app, to) in [
        ("api", "//evil.example/"),
        ("api", "https://evil.example/"),
        ("api", "/%5Cevil.example"),
    ] {
        let page = person
            .go(&format!("{}/launch/{app}?nonce=1&to={to}", site.url))
            .await;
        let location = page.location();
        assert!(
            location.starts_with(&format!("{}/.landline/enter?", site.api)),
            "{location}"
        );
        assert!(location.ends_with("&to=%2F"), "{location}");
    }
    for app in [
        "evil.example%2F",
        "a@evil.example",
        "api..x",
        "a%3A1",
        "%5Cevil",
    ] {
        let page = person
            .go(&format!("{}/launch/{app}?nonce=1&to=/", site.url))
            .await;
        assert_eq!(page.status, 404, "{app}: {}", page.location());
    }
    let elsewhere = format!("Host: evil.example:{}", person.port);
    let page = person
        .ask(
            &format!("{}/launch/api?nonce=1", site.url),
            &["-H", &elsewhere],
        )
        .await;
    assert_eq!(page.status, 404);
    for path in ["//evil.example/", "/\\evil.example"] {
        let url = format!("{}{path}", site.api);
        let words = ["--path-as-is", "-H", "Accept: text/html"];
        let location = person.ask(&url, &words).await.location();
        assert!(
            location.is_empty() || location.ends_with("&to=%2F"),
            "{location}"
        );
    }
}

/// Another site can make a browser send its cookie, but not change anything or open a WebSocket.
#[tokio::test]
async fn other_sites_can_do_nothing_at_applications() {
    let Some(curl) = need("CURL") else { return };
    let site = Site::start(&curl).await;
    let person = site.person("oscar", "operator").await;
    follow(&person, &site.api).await;
    let url = format!("{}/x", site.api);
    let origin = format!("Origin: {}", site.api);
    let sibling = format!("Origin: {}", site.api.replace("//api.", "//other."));
    let post = async |more: &[&str]| {
        person
            .ask(&url, &[&["-X", "POST"], more].concat())
            .await
            .status
    };
    assert_eq!(post(&["-H", &origin]).await, 200);
    assert_eq!(post(&["-H", &sibling]).await, 403);
    assert_eq!(post(&["-H", "Origin: https://evil.example"]).await, 403);
    assert_eq!(post(&["-H", "Sec-Fetch-Site: cross-site"]).await, 403);
    assert_eq!(post(&[]).await, 403);
    let upgrade = [
        "--http1.1",
        "-H",
        "Connection: Upgrade",
        "-H",
        "Upgrade: websocket",
        "-H",
        "Sec-WebSocket-Version: 13",
        "-H",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "--max-time",
        "3",
    ];
    let ws = format!("{}/ws", site.api);
    let open = async |origin: &str| {
        person
            .ask(&ws, &[&upgrade, &["-H", origin][..]].concat())
            .await
    };
    let page = open(&origin).await;
    assert!(page.head.starts_with("HTTP/1.1 101"), "{}", page.head);
    assert_eq!(open(&sibling).await.status, 403);
    assert_eq!(person.ask(&ws, &upgrade).await.status, 403);
    let events = cluster::audit(&site.hub, "app.used").await;
    let is = |event: &Value| event["details"]["reason"] == "another origin";
    assert!(events.iter().any(is), "{events:?}");
}

/// Who has no role for it is told so, signed in or not.
#[tokio::test]
async fn a_role_is_needed() {
    let Some(curl) = need("CURL") else { return };
    let site = Site::start(&curl).await;
    let person = site.person("vera", "viewer").await;
    let (page, way) = follow(&person, &site.api).await;
    assert_eq!(page.status, 403, "{way:?}");
    assert!(page.body.contains("may not use"), "{}", page.body);
    let home = person.go(&site.url).await;
    assert!(home.body.contains("/apps/api/"), "{}", home.body);
}

/// On the hub's own machine all of it works without TLS and without a name.
#[tokio::test]
async fn it_works_on_this_machine_without_tls() {
    let Some(curl) = need("CURL") else { return };
    let site = Site::start(&curl).await;
    site.person("oscar", "operator").await;
    let person = Person::new(&curl, &site.hub);
    let port = person.port;
    let (page, way) = follow(&person, &format!("http://127.0.0.1:{port}/apps/api/x")).await;
    let login = format!("http://localhost:{port}/login");
    assert!(way.last().unwrap().starts_with(&login), "{way:?}");
    let to = page
        .between("name=\"to\" value=\"", "\"")
        .replace("&amp;", "&");
    let fields = [("name", "oscar"), ("password", PASSWORD), ("to", &to)];
    let page = person.send(&login, &fields).await;
    let (page, way) = follow(
        &person,
        &format!("http://localhost:{port}{}", page.location()),
    )
    .await;
    assert_eq!(
        way.last().unwrap(),
        &format!("http://api.localhost:{port}/x")
    );
    assert_eq!(told(&page)["headers"]["cookie"], Value::Null);
}
