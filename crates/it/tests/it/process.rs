//! The process from outside: readiness, signals that end it, the pid file, systemd's two
//! protocols, exit codes, and configuration applied in place.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use it::configuration;
use it::program::{Launch, Program};
use it::stubs::pages::{Page, Pages};
use it::wait::{self, SOON};
use it::{client, proc};
use rustix::process::Signal;
use serde_json::json;
use tokio::net::UnixDatagram;

/// The exit code of a configuration that is not valid (`EX_CONFIG`).
pub(crate) const EXIT_CONFIGURATION: i32 = 78;

/// A target `shop` that needs no login.
pub(crate) fn shop(pages: &Pages) -> String {
    configuration::targets(&json!([{"name": "shop", "url": pages.server.url("/metrics")}]))
}

/// One page with one sample.
pub(crate) async fn pages() -> Pages {
    Pages::start(&[("/metrics", "shop_up 1\n")]).await
}

#[tokio::test]
async fn tells_health_and_readiness() {
    let pages = pages().await;
    let program = Program::start(&shop(&pages)).await;
    let health = program.main("GET", "/healthz").await;
    assert_eq!(
        (health.status, health.json()["status"].as_str()),
        (200, Some("ok"))
    );
    let ready = program.main("GET", "/readyz").await;
    let state = ready.json();
    assert_eq!(
        (ready.status, state["status"].as_str()),
        (200, Some("ok")),
        "{state}"
    );
    assert_eq!(state["pid"], program.pid());
    assert!(
        state.as_object().unwrap().len() > 2,
        "names its components: {state}"
    );
    let metrics = program.main("GET", "/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().contains("landline_"), "{}", metrics.text());
    // The gateway is also on the main listener.
    assert_eq!(program.main("GET", "/metrics/shop").await.status, 200);
}

/// Quick and in order, even when somebody is being served.
#[tokio::test]
async fn ends_in_time_with_an_open_scrape() {
    for signal in [Signal::TERM, Signal::INT] {
        let pages = pages().await;
        pages.set("/metrics", Page::Hang);
        let mut program = Program::start(&shop(&pages)).await;
        let url = program.url("/metrics/shop");
        let open = tokio::spawn(async move { client::get(&url, &[]).await });
        wait::until("the scrape is open", SOON, async || {
            (pages.server.requests() == 1).then_some(())
        })
        .await;
        let begun = Instant::now();
        program.signal(signal);
        assert_eq!(program.wait_exit(SOON).await, 0, "{}", program.stderr());
        assert!(
            begun.elapsed() <= Duration::from_secs(5),
            "took {:?}",
            begun.elapsed()
        );
        assert!(program.generations().is_empty());
        drop(open.await);
    }
}

/// QUIT waits for whom it serves.
#[tokio::test]
async fn quit_lets_an_open_scrape_finish() {
    let pages = pages().await;
    pages.set(
        "/metrics",
        Page::Slow(Duration::from_secs(6), "shop_up 1\n".to_owned()),
    );
    let mut program = Program::start(&shop(&pages)).await;
    let url = program.url("/metrics/shop");
    let open = tokio::spawn(async move { client::get(&url, &[]).await.unwrap().status });
    wait::until("the scrape is open", SOON, async || {
        (pages.server.requests() == 1).then_some(())
    })
    .await;
    program.signal(Signal::QUIT);
    assert_eq!(open.await.unwrap(), 200);
    assert_eq!(program.wait_exit(SOON).await, 0, "{}", program.stderr());
}

/// USR1 writes what the process is doing, and the process goes on.
#[tokio::test]
async fn usr1_dumps_diagnostics() {
    let pages = pages().await;
    let program = Program::start(&shop(&pages)).await;
    let before = program.stderr().len();
    program.signal(Signal::USR1);
    wait::until("a dump on standard error", SOON, async || {
        (program.stderr().len() > before + 100).then_some(())
    })
    .await;
    assert!(program.stderr().contains("gateway"), "{}", program.stderr());
    assert_eq!(program.scrape("shop").await.status, 200);
}

/// The pid file names the process, is locked, and a second start beside it is refused.
#[tokio::test]
async fn a_pid_file_has_one_owner() {
    let pages = pages().await;
    let text = configuration::with(
        json!({"pid_file": "./landline.pid"}),
        json!({"targets": [{"name": "shop", "url": pages.server.url("/metrics")}]}),
    );
    let program = Program::start(&text).await;
    let path = program.path("landline.pid");
    let read = || std::fs::read_to_string(&path).unwrap().trim().to_owned();
    assert_eq!(read(), program.pid().to_string());

    let other = text.replace("./landline.pid", &path.display().to_string());
    let mut second = Launch::new(&other).spawn();
    assert_ne!(second.wait_exit(SOON).await, 0);
    assert!(
        second.stderr().contains("landline.pid"),
        "{}",
        second.stderr()
    );
    assert_eq!(read(), program.pid().to_string());
    assert_eq!(program.scrape("shop").await.status, 200);
}

/// The messages that systemd would get, up to the first one with this word in it.
async fn told_until(socket: &UnixDatagram, word: &str) -> String {
    let mut told = String::new();
    let mut buffer = vec![0; 4096];
    while !told.contains(word) {
        let next = tokio::time::timeout(SOON * 3, socket.recv(&mut buffer)).await;
        let length = next
            .unwrap_or_else(|_| panic!("no {word} in {told:?}"))
            .unwrap();
        told.push_str(&String::from_utf8_lossy(&buffer[..length]));
        told.push('\n');
    }
    told
}

/// The program under a systemd of ours, and the replacement that a signal starts.
async fn replaced_under_systemd(signal: Signal) -> (Program, UnixDatagram, u32) {
    let launch = Launch::new(&shop(&pages().await));
    let path = launch.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let launch = launch.variable("NOTIFY_SOCKET", &path.display().to_string());
    let program = launch.start().await;
    told_until(&socket, "READY=1").await;
    program.signal(signal);
    let reload = told_until(&socket, "RELOADING=1").await;
    assert!(reload.contains("MONOTONIC_USEC="), "{reload:?}");
    let switched = told_until(&socket, "MAINPID=").await;
    let pid = switched.split("MAINPID=").nth(1).unwrap();
    let pid = pid.lines().next().unwrap().parse().unwrap();
    assert_ne!(pid, program.pid());
    (program, socket, pid)
}

/// systemd is told of readiness, of the new main process, and of the end.
#[tokio::test]
async fn systemd_is_told() {
    let (mut program, socket, new) = replaced_under_systemd(Signal::HUP).await;
    assert_eq!(program.wait_exit(SOON * 3).await, 0);
    assert!(proc::is_alive(new));
    it::program::send_signal(new, Signal::TERM);
    told_until(&socket, "STOPPING=1").await;
}

/// After USR2 the new process can be ended: the old one is the main process again, and systemd
/// does not take the unit down.
#[tokio::test]
async fn systemd_is_told_of_the_way_back() {
    for signal in [Signal::TERM, Signal::QUIT] {
        let (program, socket, new) = replaced_under_systemd(Signal::USR2).await;
        it::program::send_signal(new, signal);
        let back = format!("MAINPID={}\n", program.pid());
        let told = told_until(&socket, &back).await;
        wait::until("the new one ends", SOON, async || {
            (!proc::is_alive(new)).then_some(())
        })
        .await;
        let told = told + &told_until(&socket, &back).await;
        assert!(!told.contains("STOPPING"), "{told:?}");
        assert_eq!(program.serving_pid().await, Some(program.pid()));
    }
}

/// A listener from systemd is used, not bound anew.
#[tokio::test]
async fn systemd_may_give_the_listener() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let pages = pages().await;
    let text = configuration::with(
        json!({"listen": address.to_string()}),
        json!({"targets": [{"name": "shop", "url": pages.server.url("/metrics")}]}),
    );
    let mut launch = Launch::new(&text);
    // The listener arrives as standard input of a shell, which moves it to where systemd puts it.
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=main exec \"$@\"";
    launch.wrapper = ["/bin/sh", "-c", script, "sh"].map(str::to_owned).to_vec();
    launch.input = Some(OwnedFd::from(listener.try_clone().unwrap()));
    let program = launch.start().await;
    assert_eq!(program.main, address);
    assert_eq!(program.main("GET", "/metrics/shop").await.status, 200);
    drop(listener);
    assert_eq!(program.main("GET", "/metrics/shop").await.status, 200);
}

/// What is wrong before the start is told by the exit code.
#[tokio::test]
async fn exit_codes_tell_what_was_wrong() {
    let mut bad = Launch::new("roles: [gateway]\nlistenn: 127.0.0.1:0\n").spawn();
    assert_eq!(
        bad.wait_exit(SOON).await,
        EXIT_CONFIGURATION,
        "{}",
        bad.stderr()
    );
    assert!(bad.stderr().contains("listenn"), "{}", bad.stderr());

    let launch = Launch::new("roles: [gateway]\n");
    std::fs::remove_file(launch.path("landline.yaml")).unwrap();
    let mut absent = launch.spawn();
    assert_eq!(
        absent.wait_exit(SOON).await,
        EXIT_CONFIGURATION,
        "{}",
        absent.stderr()
    );

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = configuration::with(json!({"listen": address}), json!({"targets": []}));
    let mut busy = Launch::new(&text).spawn();
    let code = busy.wait_exit(SOON).await;
    assert!(code != 0 && code != EXIT_CONFIGURATION, "{code}");
    assert!(busy.stderr().contains(&address), "{}", busy.stderr());
}

/// The token of our own metrics is read again when its file changes; the last one outlives it.
#[tokio::test]
async fn a_changed_metrics_token_counts() {
    let pages = pages().await;
    let text = configuration::with(
        json!({"metrics": {"token": {"file": "scraper.token"}}}),
        json!({"targets": [{"name": "shop", "url": pages.server.url("/metrics")}]}),
    );
    let launch = Launch::new(&text).file("scraper.token", "first\n");
    let program = launch.start().await;
    let status = async |token: &str| {
        let url = format!("http://{}/metrics", program.main);
        let header = format!("Bearer {token}");
        let reply = client::get(&url, &[("authorization", &header)]).await;
        reply.unwrap().status
    };
    assert_eq!((status("first").await, status("second").await), (200, 401));
    program.write("scraper.token", "second\n");
    wait::until("the new token counts", SOON, async || {
        (status("second").await == 200).then_some(())
    })
    .await;
    assert_eq!(status("first").await, 401);
    std::fs::remove_file(program.path("scraper.token")).unwrap();
    wait::until("the loss is told", SOON, async || {
        assert_eq!(status("second").await, 200);
        program
            .stderr()
            .contains("bearer token can't")
            .then_some(())
    })
    .await;
}

/// A number left over from another parent is looked at before we have descriptors of our own.
#[tokio::test]
async fn a_stale_descriptor_is_not_one_of_ours() {
    let launch = Launch::new(&shop(&pages().await)).variable("LANDLINE_READY_FD", "5");
    let mut program = launch.spawn();
    assert_eq!(program.wait_exit(SOON).await, 75);
    let log = program.stderr();
    assert!(log.contains("cannot take over descriptor 5"), "{log}");
}

/// New targets are taken over in place, by request and by command, without a new process.
#[tokio::test]
async fn configuration_is_applied_in_place() {
    let pages = pages().await;
    let program = Program::start(&shop(&pages)).await;
    let with = |names: &[&str]| {
        let entry = |name: &&str| json!({"name": name, "url": pages.server.url("/metrics")});
        configuration::targets(&json!(names.iter().map(entry).collect::<Vec<_>>()))
    };
    assert_eq!(program.scrape("second").await.status, 404);
    program.write("landline.yaml", &with(&["shop", "second"]));
    let reply = program.main("POST", "/-/reload").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(program.scrape("second").await.status, 200);

    program.write("landline.yaml", &with(&["third"]));
    let done = program.command(&["reload", "--config", "landline.yaml"]);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(program.scrape("third").await.status, 200);
    assert_eq!(program.scrape("shop").await.status, 404);

    program.write("landline.yaml", "roles: [gateway]\ngatewayy: {}\n");
    let reply = program.main("POST", "/-/reload").await;
    assert!((400..600).contains(&reply.status), "{}", reply.status);
    assert!(reply.text().contains("gatewayy"), "{}", reply.text());
    let done = program.command(&["reload", "--config", "landline.yaml"]);
    assert!(!done.status.success());
    assert_eq!(program.scrape("third").await.status, 200);
    assert_eq!(program.generations(), [program.pid()]);
}
