//! The real clients of telemetrics, 2.3.5 and 2.4, with their daemons and their spool: what they
//! generate, and what becomes of it while the collector is away. They are not built here: where
//! `LANDLINE_TEST_TELEMETRICS` does not name their folder, these tests are skipped.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use it::need::{need, skip};
use it::prometheus::free_port;
use it::stubs::server::{Server, answer, handler};
use it::telemetrics::{Collector, Form, event_id};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The installed clients, the newest of each protocol.
struct Clients {
    folder: PathBuf,
}

/// One machine with its client.
struct Machine<'a> {
    clients: &'a Clients,
    form: Form,
    /// What its client keeps.
    files: TempDir,
}

impl Clients {
    /// None, and a skipped test, without them.
    fn find() -> Option<Self> {
        let folder = PathBuf::from(need("TELEMETRICS")?);
        if !rustix::process::geteuid().is_root() {
            skip("the clients need a mount namespace of their own, so they run as root only");
            return None;
        }
        Some(Self { folder })
    }

    fn machine(&self, form: Form) -> Machine<'_> {
        let files = tempfile::tempdir().unwrap();
        Machine {
            clients: self,
            form,
            files,
        }
    }

    /// A core of a program that crashed in `inner`, in a folder that everybody may enter.
    fn crash(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let script = self.folder.join("telemetrics-captures/make-crash.sh");
        let output = Command::new(script).arg(folder.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        folder
    }
}

impl Machine<'_> {
    /// Runs a command of the client with its daemons, and waits until the spool is empty or so many
    /// seconds have passed.
    async fn run(&self, server: &str, wait: u8, words: &[&str]) -> Output {
        self.run_with(server, &[("TELEM_WAIT", &wait.to_string())], words)
            .await
    }

    async fn run_with(&self, server: &str, variables: &[(&str, &str)], words: &[&str]) -> Output {
        let name = match self.form {
            Form::Headers => "telemetrics-2.3.5",
            Form::Json => "telemetrics-2.4",
        };
        let mut command =
            tokio::process::Command::new(self.clients.folder.join(name).join("run.sh"));
        command
            .arg(format!("{server}{}", self.form.path()))
            .arg(self.files.path())
            .args(words);
        command.envs(variables.iter().copied()).kill_on_drop(true);
        command.output().await.unwrap()
    }

    /// The same when everything has to be delivered.
    async fn deliver(&self, server: &str, words: &[&str]) {
        let output = self.run(server, 15, words).await;
        assert!(output.status.success(), "{words:?}: {output:?}");
        assert_eq!(spool(&output), "spool: empty", "{output:?}");
    }
}

/// What is said of the spool at the end.
fn spool(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.starts_with("spool: "));
    line.unwrap_or_default().to_owned()
}

fn url(collector: &Collector) -> String {
    format!("http://{}", collector.program.main)
}

/// The words that make a record.
fn record<'a>(event: &'a str, class: &'a str) -> [&'a str; 9] {
    [
        "telem-record-gen",
        "-c",
        class,
        "-s",
        "3",
        "-p",
        "hello",
        "-e",
        event,
    ]
}

async fn found(collector: &Collector, event: &str) -> Vec<Value> {
    let page = collector
        .json(&format!("/v1/records?event_id={event}"))
        .await;
    page["records"].as_array().unwrap().clone()
}

/// A record arrives with what was said of it, and with a machine id that may be chosen.
#[tokio::test]
async fn a_record_of_the_real_clients_arrives() {
    let Some(clients) = Clients::find() else {
        return;
    };
    let collector = Collector::start_small(json!({})).await;
    for form in Form::ALL {
        let machine = clients.machine(form);
        let event = event_id();
        machine
            .deliver(&url(&collector), &record(&event, "org.example/test/thing"))
            .await;
        let found = found(&collector, &event).await;
        assert_eq!(found.len(), 1, "{form:?}");
        let whole = collector
            .json(&format!("/v1/records/{}", found[0]["id"]))
            .await;
        assert_eq!(
            (&whole["severity"], &whole["payload"]),
            (&json!(3), &json!("hello\n"))
        );
        assert_eq!(whole["classification"], "org.example/test/thing");
        let id = whole["machine_id"].as_str().unwrap();
        assert!(
            id.len() == 32 && id.chars().all(|digit| digit.is_ascii_hexdigit()),
            "{id}"
        );
        let etc = machine.files.path().join("etc");
        std::fs::write(etc.join("opt-in-static-machine-id"), "my-own-machine\n").unwrap();
        let event = event_id();
        machine
            .deliver(&url(&collector), &record(&event, "org.example/test/thing"))
            .await;
        let page = collector
            .json(&format!("/v1/records?event_id={event}"))
            .await;
        assert_eq!(page["records"][0]["machine_id"], "my-own-machine");
    }
    assert_eq!(collector.newest().await.1, 0, "nothing is in quarantine");
}

/// Who has not agreed sends nothing.
#[tokio::test]
async fn without_consent_nothing_arrives() {
    let Some(clients) = Clients::find() else {
        return;
    };
    let collector = Collector::start_small(json!({})).await;
    for form in Form::ALL {
        let variables = [("TELEM_OPT_IN", "0"), ("TELEM_WAIT", "1")];
        let words = &record("0123456789abcdef0123456789abcdef", "a/b/c");
        let output = clients
            .machine(form)
            .run_with(&url(&collector), &variables, words)
            .await;
        assert!(!output.status.success(), "{output:?}");
    }
    assert_eq!(collector.newest().await, (0, 0));
}

/// Heartbeats are the population; the same machine again is the same machine.
#[tokio::test]
async fn heartbeats_of_the_real_clients_are_counted() {
    let Some(clients) = Clients::find() else {
        return;
    };
    let collector = Collector::start_small(json!({})).await;
    let machines = Form::ALL.map(|form| clients.machine(form));
    for machine in [&machines[0], &machines[1], &machines[0]] {
        machine.deliver(&url(&collector), &["hprobe", "-Hlu"]).await;
    }
    let page = collector
        .json("/v1/records?classification=org.clearlinux/heartbeat/ping")
        .await;
    assert_eq!(page["records"].as_array().map(Vec::len), Some(3));
    let population = collector.json("/v1/records/population").await;
    let internal = &population["windows"][0]["builds"][0]["internal"];
    assert_eq!(internal, &json!(2), "{population}");
}

/// Crashes in one function are one group, whichever client reports them.
#[tokio::test]
async fn crashes_of_the_real_clients_are_one_group() {
    let Some(clients) = Clients::find() else {
        return;
    };
    let collector = Collector::start_small(json!({})).await;
    for (count, form) in [(1, Form::Headers), (2, Form::Headers), (3, Form::Json)] {
        let crash = clients.crash();
        let core = crash.path().join("core");
        let words = [
            "crashprobe",
            "-c",
            core.to_str().unwrap(),
            "-p",
            "crashme",
            "-E",
            "!usr!bin!crashme",
            "-s",
            "11",
            "-v",
        ];
        clients
            .machine(form)
            .deliver(&url(&collector), &words)
            .await;
        let list = collector.json("/v1/records/groups").await;
        assert_eq!(list["groups"].as_array().map(Vec::len), Some(1), "{list}");
        let group = &list["groups"][0];
        assert_eq!(
            (&group["count"], &group["total"]),
            (&json!(count), &json!(count))
        );
        assert_eq!(group["function"], "inner()");
        assert!(
            group["module"].as_str().unwrap().ends_with("crashme"),
            "{group}"
        );
        let whole = collector
            .json(&format!("/v1/records/groups/{}", group["id"]))
            .await;
        let frames = whole["why_grouped"]["frames"].as_array().unwrap();
        assert_eq!(frames[1]["normalised"], "outer", "{whole}");
    }
    let records = collector.json("/api/records").await;
    let payload = records["records"][0]["payload"].as_str().unwrap();
    assert!(
        payload.contains("crashme.c:6"),
        "with lines of the source: {payload}"
    );
}

/// What was generated while the collector was away, or could not keep it, is delivered afterwards,
/// once.
#[tokio::test]
async fn the_spool_is_delivered_once() {
    let Some(clients) = Clients::find() else {
        return;
    };
    let collector = Collector::start_small(json!({})).await;
    let busy = Server::plain(handler(|_| async {
        answer(503, "the state can't be reached")
    }))
    .await;
    let nobody = format!("http://127.0.0.1:{}", free_port());
    for form in Form::ALL {
        let machine = clients.machine(form);
        let events = [event_id(), event_id()];
        for (server, event, left) in [(&nobody, &events[0], 1), (&busy.url(""), &events[1], 2)] {
            let words = record(event, "org.example/test/thing");
            let output = machine.run(server, 1, &words).await;
            assert_eq!(spool(&output), format!("spool: {left} left"), "{output:?}");
        }
        machine.deliver(&url(&collector), &["true"]).await;
        machine.deliver(&url(&collector), &["true"]).await;
        for event in &events {
            assert_eq!(found(&collector, event).await.len(), 1, "{form:?}");
        }
    }
}

/// A record that is not valid does not hold up those behind it.
#[tokio::test]
async fn an_invalid_record_holds_up_nobody() {
    let Some(clients) = Clients::find() else {
        return;
    };
    let collector = Collector::start_small(json!({})).await;
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let machine = clients.machine(Form::Json);
    let (wrong, right) = (event_id(), event_id());
    // The client cuts it at the blank.
    machine
        .run(&nobody, 1, &record(&wrong, "org.example/sp ace/x"))
        .await;
    let output = machine
        .run(&nobody, 1, &record(&right, "org.example/behind/it"))
        .await;
    assert_eq!(spool(&output), "spool: 2 left", "{output:?}");
    machine.deliver(&url(&collector), &["true"]).await;
    assert_eq!(found(&collector, &right).await.len(), 1);
    let quarantine = collector.json("/v1/records/quarantine").await;
    let submissions = quarantine["submissions"].as_array().unwrap();
    assert_eq!(submissions.len(), 1, "{quarantine}");
    assert_eq!(submissions[0]["fields"]["event_id"], json!(wrong));
    assert_eq!(submissions[0]["reason"], "classification");
}
