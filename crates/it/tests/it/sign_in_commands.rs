//! `landline login` and the commands that use it, from a machine that is not the hub.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use it::cluster;
use it::person::code_of;
use it::program::{Program, program_path};
use it::stubs::apps::{App, STEP};
use it::wait;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

const PASSWORD: &str = "correct horse battery";

/// A folder of a person on another machine.
struct Desk {
    folder: tempfile::TempDir,
    proxy: String,
    pin: String,
}

impl Desk {
    async fn new(hub: &Program) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        Self {
            folder,
            proxy: format!("localhost:{}", hub.main.port()),
            pin: cluster::token(hub, json!({})).await.pin,
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program_path());
        command
            .args(words)
            .current_dir(self.folder.path())
            .env("XDG_CONFIG_HOME", self.folder.path().join("config"))
            .env("NO_PROXY", "*")
            .env_remove("LANDLINE_TOKEN")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> (bool, String) {
        text(&self.command(words).output().unwrap())
    }

    fn login(&self, name: &str) -> (bool, String) {
        let words = ["login", "--proxy", &self.proxy, "--ca-pin", &self.pin];
        self.run(&[&words[..], &["--user", name, "--password-file", "password"]].concat())
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("config/landline/logins.json")
    }
}

fn text(output: &Output) -> (bool, String) {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

async fn user(hub: &Program, name: &str, role: &str) {
    let wanted = json!({"name": name, "roles": [role]});
    let added = cluster::admin(hub, "POST", "/v1/users", &wanted.to_string()).await;
    let link = added.json()["link"].as_str().unwrap().to_owned();
    let secret = link.rsplit('/').next().unwrap();
    let form = format!("secret={secret}&password={PASSWORD}&again={PASSWORD}").replace(' ', "+");
    let url = format!("http://{}/welcome", hub.main);
    let origin = format!("http://{}", hub.main);
    let headers = [("origin", origin.as_str())];
    let page = it::client::send("POST", &url, &headers, &form)
        .await
        .unwrap();
    assert_eq!(page.status, 303, "{}", page.text());
}

async fn start() -> Program {
    Program::start(&cluster::hub(json!({"log": {"level": "debug"}}))).await
}

/// Signed in, every command asks the hub as that user, until the session ends.
#[tokio::test]
async fn commands_ask_the_hub_of_the_login() {
    let hub = start().await;
    user(&hub, "ada", "admin").await;
    user(&hub, "vera", "viewer").await;
    let desk = Desk::new(&hub).await;
    let (is_done, said) = desk.run(&["nodes", "ls"]);
    assert!(
        !is_done && said.contains("landline login --proxy"),
        "{said}"
    );
    let (is_done, said) = desk.login("ada");
    assert!(is_done && said.contains("ada is signed in"), "{said}");
    let mode = std::fs::metadata(desk.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for words in [
        &["nodes", "ls"][..],
        &["proxies", "ls"],
        &["apps", "ls"],
        &["users", "ls"],
        &["roles", "ls"],
        &["tokens", "ls"],
        &["audit"],
    ] {
        let (is_done, said) = desk.run(words);
        assert!(is_done, "{words:?}: {said}");
    }
    let (_, said) = desk.run(&["whoami"]);
    assert_eq!(said, format!("ada (admin) at {}\n", desk.proxy));
    let (is_done, said) = desk.run(&["login", "--status", "--json"]);
    let shown: Value = serde_json::from_str(&said).unwrap();
    assert!(is_done && shown["user"] == "ada", "{said}");
    let (is_done, said) = desk.run(&["users", "add", "ben", "--role", "viewer"]);
    assert!(is_done && said.contains("/welcome/"), "{said}");
    let events = cluster::audit(&hub, "user.created").await;
    assert!(
        events.iter().any(|event| event["actor"] == "user:ada"),
        "{events:?}"
    );
    assert!(desk.login("vera").0);
    let (is_done, said) = desk.run(&["tokens", "add", "--role", "node"]);
    assert!(!is_done && said.contains("no role of yours"), "{said}");
    let kept = std::fs::read_to_string(desk.file()).unwrap();
    let (is_done, said) = desk.run(&["logout"]);
    assert!(is_done, "{said}");
    std::fs::write(desk.file(), &kept).unwrap();
    let (is_done, said) = desk.run(&["nodes", "ls"]);
    let again = format!("landline login --proxy {}", desk.proxy);
    assert!(
        !is_done && said.contains("has ended") && said.contains(&again),
        "{said}"
    );
    let kept: Value = serde_json::from_str(&kept).unwrap();
    let token = kept["hubs"][&desk.proxy]["token"].as_str().unwrap();
    assert!(!hub.stderr().contains(token) && !hub.stderr().contains(PASSWORD));
}

/// What is wrong is said with what to do: the password, the pin, the hub, the file.
#[tokio::test]
async fn a_login_that_fails_says_why() {
    let hub = start().await;
    user(&hub, "ada", "admin").await;
    let mut desk = Desk::new(&hub).await;
    std::fs::write(desk.folder.path().join("password"), "a wrong password").unwrap();
    let (is_done, said) = desk.login("ada");
    assert!(!is_done && said.contains("is wrong"), "{said}");
    assert!(!desk.file().exists());
    std::fs::write(desk.folder.path().join("password"), PASSWORD).unwrap();
    let other = start().await;
    let right = std::mem::replace(&mut desk.pin, Desk::new(&other).await.pin);
    let (is_done, said) = desk.login("ada");
    assert!(!is_done && said.contains("pin"), "{said}");
    let words = [
        "login",
        "--proxy",
        &desk.proxy,
        "--ca-pin",
        &right,
        "--user",
        "ada",
    ];
    let (is_done, said) = desk.run(&words);
    assert!(!is_done && said.contains("--password-file"), "{said}");
    let (is_done, said) = desk.run(&["logout"]);
    assert!(!is_done && said.contains("nobody is signed in"), "{said}");
    let log = other.stderr() + &hub.stderr();
    assert!(!log.contains(PASSWORD));
}

/// With a second factor the code is asked for.
#[tokio::test]
async fn a_login_asks_for_the_code() {
    let hub = start().await;
    user(&hub, "ada", "admin").await;
    let url = format!("http://{}", hub.main);
    let send = async |path: &str, cookie: &str, body: &str| {
        let headers = [("origin", url.as_str()), ("cookie", cookie)];
        let url = format!("{url}{path}");
        it::client::send("POST", &url, &headers, body)
            .await
            .unwrap()
    };
    let form = format!("name=ada&password={}", PASSWORD.replace(' ', "+"));
    let page = send("/login", "", &form).await;
    let cookie = page.header("set-cookie");
    let cookie = cookie.split(';').next().unwrap();
    send("/second-factor", cookie, "").await;
    let headers = [("cookie", cookie)];
    let page = it::client::get(&format!("{url}/second-factor"), &headers)
        .await
        .unwrap();
    let page = page.text();
    let key = page
        .split("?secret=")
        .nth(1)
        .unwrap()
        .split('&')
        .next()
        .unwrap();
    let code = code_of(key, 0);
    let done = send("/second-factor/confirm", cookie, &format!("code={code}")).await;
    assert_eq!(done.status, 303);
    let desk = Desk::new(&hub).await;
    let (is_done, said) = desk.login("ada");
    assert!(
        !is_done && said.contains("Code of your authenticator app"),
        "{said}"
    );
    let words = ["login", "--proxy", &desk.proxy, "--ca-pin", &desk.pin];
    let words = [
        &words[..],
        &["--user", "ada", "--password-file", "password"],
    ]
    .concat();
    let mut child = desk.command(&words);
    let child = child
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let code = code_of(key, 1);
    std::io::Write::write_all(
        &mut child.stdin.take().unwrap(),
        format!("{code}\n").as_bytes(),
    )
    .unwrap();
    let (is_done, said) = text(&child.wait_with_output().unwrap());
    assert!(is_done && !said.contains(&code), "{said}");
    assert!(desk.run(&["nodes", "ls"]).0);
}

/// On the hub's machine a login needs no address, and `forward` uses a session as well.
#[tokio::test]
async fn a_session_opens_applications() {
    let app = App::echo().await;
    let hub = start().await;
    user(&hub, "oscar", "operator").await;
    user(&hub, "vera", "viewer").await;
    let section = json!({"apps": [{"name": "db", "tcp": app.address.to_string()}]});
    let _node = cluster::join(&hub, "web-1", section).await;
    let desk = Desk::new(&hub).await;
    assert!(desk.login("oscar").0);
    let mut forward = tokio::process::Command::from(desk.command(&["forward", "db", "0"]));
    let forward = forward.stdout(Stdio::piped()).kill_on_drop(true);
    let mut forward = forward.spawn().unwrap();
    let mut lines = BufReader::new(forward.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(STEP, lines.next_line()).await;
    let line = line.unwrap().unwrap().unwrap();
    let address = line.split(' ').next().unwrap().to_owned();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    let read = tokio::time::timeout(STEP, stream.read_exact(&mut back)).await;
    read.expect("in time").unwrap();
    assert_eq!(&back, b"hello");
    let used = wait::until("the event", Duration::from_secs(5), async || {
        let events = cluster::audit(&hub, "app.used").await;
        events
            .into_iter()
            .find(|event| event["outcome"] == "success")
    });
    assert_eq!(used.await["actor"], "user:oscar");
    std::fs::copy(desk.folder.path().join("password"), hub.path("password")).unwrap();
    let mut command = Command::new(program_path());
    let command = command
        .args([
            "login",
            "--user",
            "vera",
            "--password-file",
            "password",
            "--json",
        ])
        .env("XDG_CONFIG_HOME", hub.path("config"))
        .current_dir(hub.directory.path());
    let (is_done, said) = text(&command.output().unwrap());
    let shown: Value = serde_json::from_str(&said).unwrap();
    assert!(is_done && shown["user"] == "vera", "{said}");
}
