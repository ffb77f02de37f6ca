//! The process loop: each signal, readiness, failures and replacement, with scripted signals and
//! the shell as successor.

use std::future::{pending, ready};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::*;
use crate::listeners::Listeners;
use crate::notify::Notifier;
use crate::supervise::{Criticality, Phase, Service};

const SECOND: Duration = Duration::from_secs(1);
/// Says that it is ready and ends a moment later.
const WELL: &str = "echo ready > /proc/self/fd/$LANDLINE_READY_FD; sleep 0.3";

struct Rig {
    supervisor: Supervisor,
    signals: mpsc::Sender<Signal>,
    scripted: Signals,
    hooks: Hooks,
}

impl Rig {
    fn new() -> Self {
        let supervisor = Supervisor::new();
        let (signals, receiver) = mpsc::channel(8);
        let hooks = Hooks::new(clock::now(), Listeners::new(Vec::new()));
        supervisor.bus().map(&["web-ready"], &READY);
        Self {
            supervisor,
            signals,
            scripted: Signals::scripted(receiver),
            hooks,
        }
    }

    fn ready() -> Self {
        static WEB_READY: Topic<()> = Topic::new("web-ready");
        let rig = Self::new();
        rig.supervisor.bus().publish(&WEB_READY, ());
        rig
    }

    fn successor(mut self, script: &str) -> Self {
        self.hooks.replacement = Some(Replacement {
            program: "sh".into(),
            args: vec!["-c".into(), script.into()],
            directory: PathBuf::from("/"),
            environment: Vec::new(),
            timeout: 20 * SECOND,
        });
        self
    }

    /// What systemd would be told arrives at the socket, which does not block.
    fn systemd(&mut self, directory: &tempfile::TempDir) -> UnixDatagram {
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        self.hooks.notifier = Notifier::new(path.to_str());
        socket
    }

    /// Runs the process beside `script`, which is given the signals and the supervisor.
    async fn run<S, R>(self, script: S) -> Outcome
    where
        S: FnOnce(mpsc::Sender<Signal>, Supervisor, ProcessHandle) -> R,
        R: Future<Output = ()>,
    {
        let Self {
            supervisor,
            signals,
            scripted,
            hooks,
        } = self;
        let script = script(signals, supervisor.clone(), hooks.handle());
        tokio::join!(run(supervisor, scripted, hooks), script).0
    }
}

/// What systemd has been told since the last call.
fn told(socket: &UnixDatagram) -> Vec<String> {
    let mut buffer = [0; 512];
    let mut messages = Vec::new();
    while let Ok(length) = socket.recv(&mut buffer) {
        messages.push(String::from_utf8_lossy(&buffer[..length]).replace('\n', " "));
    }
    messages
}

fn fails(name: &str, criticality: Criticality, after: Duration) -> Service {
    Service::new(name, criticality, move |_| async move {
        sleep(after).await;
        Err("broken".into())
    })
}

#[tokio::test(start_paused = true)]
async fn term_and_int_end_fast_and_clean() {
    for signal in [Signal::Terminate, Signal::Interrupt] {
        let outcome = Rig::ready()
            .run(|signals, supervisor, _| async move {
                supervisor.spawn("session", pending());
                sleep(SECOND).await;
                signals.send(signal).await.unwrap();
            })
            .await;
        assert_eq!(
            (outcome.code, outcome.reason),
            (0, format!("signal {}", signal.as_str()))
        );
        assert!(
            outcome.report.elapsed <= 5 * SECOND,
            "{:?}",
            outcome.report.elapsed
        );
    }
}

#[tokio::test(start_paused = true)]
async fn quit_waits_for_sessions_up_to_its_limit() {
    let outcome = Rig::ready()
        .run(|signals, supervisor, _| async move {
            supervisor.spawn("session", sleep(20 * 3600 * SECOND));
            supervisor.spawn("forever", pending());
            signals.send(Signal::Quit).await.unwrap();
        })
        .await;
    assert_eq!(outcome.code, 0);
    assert_eq!(outcome.report.late.len(), 1);
    assert!(outcome.report.elapsed >= GRACEFUL_LIMIT);
}

#[tokio::test(start_paused = true)]
async fn term_shortens_a_drain() {
    let outcome = Rig::ready()
        .run(|signals, supervisor, _| async move {
            supervisor.spawn("session", pending());
            signals.send(Signal::Quit).await.unwrap();
            sleep(60 * SECOND).await;
            signals.send(Signal::Terminate).await.unwrap();
        })
        .await;
    assert_eq!((outcome.code, outcome.reason.as_str()), (0, "signal QUIT"));
    assert!(
        outcome.report.elapsed <= 65 * SECOND,
        "{:?}",
        outcome.report.elapsed
    );
}

#[tokio::test(start_paused = true)]
async fn a_critical_failure_after_ready_is_70() {
    let rig = Rig::ready();
    rig.supervisor
        .register(fails("store", Criticality::Critical, SECOND));
    let outcome = rig.run(|_, _, _| async {}).await;
    assert_eq!(outcome.code, exit_code::FAILED);
    assert_eq!(outcome.reason, "critical service store failed: broken");
}

#[tokio::test(start_paused = true)]
async fn a_critical_failure_before_ready_is_75() {
    let rig = Rig::new();
    rig.supervisor
        .register(fails("store", Criticality::Critical, SECOND));
    assert_eq!(rig.run(|_, _, _| async {}).await.code, exit_code::NOT_READY);
}

#[tokio::test(start_paused = true)]
async fn a_critical_failure_during_the_exit_is_70_even_if_it_is_the_last_to_end() {
    let rig = Rig::ready();
    let store = Service::new("store", Criticality::Critical, |scope| async move {
        scope.stopping().await;
        Err("disk full".into())
    });
    rig.supervisor.register(store.stops_at(Phase::Close));
    let outcome = rig
        .run(|signals, _, _| async move {
            sleep(SECOND).await;
            signals.send(Signal::Terminate).await.unwrap();
        })
        .await;
    assert_eq!(outcome.code, exit_code::FAILED);
    let expected = "signal TERM, then critical service store failed: disk full";
    assert_eq!(outcome.reason, expected);
}

#[tokio::test(start_paused = true)]
async fn a_plain_failure_is_survived() {
    let rig = Rig::ready();
    rig.supervisor
        .register(fails("extra", Criticality::Plain, SECOND));
    let outcome = rig
        .run(|signals, supervisor, _| async move {
            sleep(10 * SECOND).await;
            assert_eq!((supervisor.count(), supervisor.is_exiting()), (0, false));
            signals.send(Signal::Terminate).await.unwrap();
        })
        .await;
    assert_eq!(outcome.code, 0);
}

#[tokio::test(start_paused = true)]
async fn not_ready_in_time_is_75_and_names_what_is_missing() {
    let outcome = Rig::new().run(|_, _, _| async {}).await;
    assert_eq!(outcome.code, exit_code::NOT_READY);
    let expected = "not ready: no event ready within 120s; still missing: web-ready";
    assert_eq!(outcome.reason, expected);
}

#[tokio::test(start_paused = true)]
async fn ready_is_told_to_the_predecessor() {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let mut rig = Rig::ready();
    rig.hooks.ready_pipe = Some(writer);
    rig.run(|signals, _, _| async move {
        sleep(SECOND).await;
        signals.send(Signal::Terminate).await.unwrap();
    })
    .await;
    let mut word = String::new();
    std::io::Read::read_to_string(&mut std::fs::File::from(reader), &mut word).unwrap();
    assert_eq!(word, format!("process {} is ready\n", std::process::id()));
}

#[tokio::test(start_paused = true)]
async fn the_predecessor_learns_at_once_that_no_word_will_come() {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    rustix::io::ioctl_fionbio(&reader, true).unwrap();
    let mut rig = Rig::new();
    rig.hooks.ready_pipe = Some(writer);
    rig.run(|signals, supervisor, _| async move {
        supervisor.spawn("session", sleep(60 * SECOND));
        sleep(SECOND).await;
        let mut byte = [0];
        let open = rustix::io::read(&reader, &mut byte);
        assert_eq!(open, Err(rustix::io::Errno::AGAIN));
        signals.send(Signal::Quit).await.unwrap();
        sleep(SECOND).await;
        assert_eq!(rustix::io::read(&reader, &mut byte), Ok(0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_replacement_takes_the_pid_file_only_when_it_is_ready() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pid");
    let file = |path: &PathBuf| std::fs::metadata(path).unwrap().ino();
    for is_ready in [false, true] {
        let _old = PidFile::acquire(&path, false).unwrap();
        let before = file(&path);
        let mut rig = if is_ready { Rig::ready() } else { Rig::new() };
        rig.hooks.pid_path = Some(path.clone());
        let seen = path.clone();
        rig.run(|signals, _, _| async move {
            sleep(SECOND).await;
            assert_eq!(file(&seen) != before, is_ready);
            signals.send(Signal::Terminate).await.unwrap();
        })
        .await;
        assert_eq!(path.exists(), !is_ready, "each owner removes its own");
    }
}

#[tokio::test(start_paused = true)]
async fn systemd_is_told_of_a_fast_exit_only() {
    let directory = tempfile::tempdir().unwrap();
    let mut rig = Rig::ready();
    let socket = rig.systemd(&directory);
    rig.run(|signals, supervisor, _| async move {
        supervisor.spawn("session", pending());
        signals.send(Signal::Quit).await.unwrap();
        sleep(60 * SECOND).await;
        assert_eq!(told(&socket), ["READY=1 "]);
        signals.send(Signal::Terminate).await.unwrap();
        sleep(SECOND).await;
        assert_eq!(told(&socket), ["STOPPING=1 "]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_replacement_that_ends_hands_back_to_its_predecessor() {
    let own = std::process::id();
    let back = format!("MAINPID={} READY=1 ", parent_id());
    for (predecessor, last) in [(parent_id(), back.as_str()), (own, "STOPPING=1 ")] {
        let directory = tempfile::tempdir().unwrap();
        let mut rig = Rig::ready();
        let socket = rig.systemd(&directory);
        rig.hooks.predecessor = Some(predecessor);
        rig.run(|signals, _, _| async move {
            sleep(SECOND).await;
            signals.send(Signal::Terminate).await.unwrap();
        })
        .await;
        assert_eq!(told(&socket), ["READY=1 ", last]);
    }
}

#[tokio::test]
async fn usr1_shows_the_state_and_goes_on() {
    let supervisor = Supervisor::new();
    supervisor.bus().map(&["web-ready", "store-ready"], &READY);
    supervisor.register(fails("web", Criticality::Critical, SECOND));
    supervisor.spawn("login", pending());
    let lines = diagnostics::lines(&supervisor, false);
    let has = |start: &str| {
        assert!(
            lines.iter().any(|line| line.starts_with(start)),
            "{start} in {lines:#?}"
        );
    };
    has(&format!(
        "process {}, phase serving, ready false",
        std::process::id()
    ));
    has("service web (critical), restarts 0");
    has("task login: 1");
    has("service failures 0, panics 0, restarts 0, task panics 0");
    has("topic ready: published 0, listeners 0, missing store-ready web-ready");
    has("VmRSS: ");
    has("open descriptors: ");
    let asked = Arc::new(Mutex::new(0));
    let mut rig = Rig::ready();
    let counted = asked.clone();
    rig.hooks.diagnostics = Box::new(move || {
        *counted.lock().unwrap() += 1;
        vec!["extra".to_owned()]
    });
    let outcome = rig
        .run(|signals, _, handle| async move {
            signals.send(Signal::User1).await.unwrap();
            handle.log_diagnostics().unwrap();
            sleep(SECOND / 10).await;
            signals.send(Signal::Terminate).await.unwrap();
        })
        .await;
    assert_eq!((outcome.code, *asked.lock().unwrap()), (0, 2));
}

#[tokio::test]
async fn hup_drains_once_the_successor_is_ready() {
    let outcome = Rig::ready()
        .successor(WELL)
        .run(|signals, supervisor, _| async move {
            supervisor.spawn("session", sleep(SECOND / 2));
            signals.send(Signal::Hangup).await.unwrap();
        })
        .await;
    assert_eq!(outcome.code, 0);
    assert!(
        outcome.reason.starts_with("replaced by process "),
        "{}",
        outcome.reason
    );
    assert!(outcome.report.late.is_empty());
}

#[tokio::test]
async fn a_failed_replacement_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pid");
    let mut rig = Rig::ready().successor("exit 1");
    rig.hooks.pid_file = Some(PidFile::acquire(&path, false).unwrap());
    // What a successor does that gets as far as its pid file and then fails.
    drop(PidFile::acquire(&path, true).unwrap());
    let seen = path.clone();
    let outcome = rig
        .run(|signals, supervisor, handle| async move {
            signals.send(Signal::Hangup).await.unwrap();
            while !seen.exists() {
                sleep(SECOND / 100).await;
            }
            assert!(!supervisor.is_exiting());
            let error = handle.replace(true).await.unwrap_err();
            assert!(
                error
                    .to_string()
                    .ends_with("before it was ready: exit status: 1"),
                "{error}"
            );
            signals.send(Signal::Terminate).await.unwrap();
        })
        .await;
    assert_eq!(outcome.reason, "signal TERM");
    assert!(!path.exists(), "removed at the end");
}

#[tokio::test]
async fn usr2_leaves_both_serving() {
    let outcome = Rig::ready()
        .successor(WELL)
        .run(|signals, supervisor, handle| async move {
            handle.replace(false).await.unwrap();
            let error = handle.replace(true).await.unwrap_err().to_string();
            assert!(
                error.starts_with("this process is replaced already"),
                "{error}"
            );
            sleep(SECOND / 5).await;
            assert!(!supervisor.is_exiting());
            signals.send(Signal::Terminate).await.unwrap();
        })
        .await;
    assert_eq!(outcome.reason, "signal TERM");
}

#[tokio::test]
async fn a_successor_that_ends_gives_the_pid_file_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pid");
    let mut rig = Rig::ready().successor(WELL);
    rig.hooks.pid_file = Some(PidFile::acquire(&path, false).unwrap());
    let seen = path.clone();
    rig.run(|signals, _, handle| async move {
        handle.replace(false).await.unwrap();
        drop(PidFile::acquire(&seen, true).unwrap());
        assert!(!seen.exists());
        let restored = async {
            while !seen.exists() {
                sleep(SECOND / 100).await;
            }
        };
        tokio::time::timeout(10 * SECOND, restored).await.unwrap();
        signals.send(Signal::Terminate).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn term_ends_a_replacement_that_is_not_ready() {
    let began = clock::now();
    let outcome = Rig::ready()
        .successor("exec sleep 60")
        .run(|signals, _, handle| async move {
            let stop = async {
                sleep(SECOND / 5).await;
                signals.send(Signal::Terminate).await.unwrap();
            };
            let (refused, ()) = tokio::join!(handle.replace(true), stop);
            assert_eq!(refused.unwrap_err().to_string(), "the process is stopping");
        })
        .await;
    assert_eq!((outcome.code, outcome.reason.as_str()), (0, "signal TERM"));
    assert!(clock::now() - began < 10 * SECOND);
}

#[tokio::test]
async fn the_newest_hup_wins() {
    let directory = tempfile::tempdir().unwrap();
    let first = directory.path().join("first");
    let place = first.display();
    let script = format!("[ -e {place} ] || {{ touch {place}; exec sleep 60; }}; {WELL}");
    let outcome = Rig::ready()
        .successor(&script)
        .run(|signals, supervisor, handle| async move {
            supervisor.spawn("session", sleep(SECOND));
            let again = async {
                while !first.exists() {
                    sleep(SECOND / 100).await;
                }
                let error = handle.replace(false).await.unwrap_err().to_string();
                assert_eq!(error, "another replacement is under way");
                signals.send(Signal::Hangup).await.unwrap();
            };
            let (refused, ()) = tokio::join!(handle.replace(true), again);
            let error = refused.unwrap_err().to_string();
            assert_eq!(error, "a newer replacement takes its place");
        })
        .await;
    assert!(
        outcome.reason.starts_with("replaced by process "),
        "{}",
        outcome.reason
    );
}

#[tokio::test]
async fn a_successor_that_is_ready_comes_before_a_signal() {
    let Rig {
        supervisor,
        signals,
        scripted,
        hooks,
    } = Rig::ready();
    let mut process = Process::start(supervisor, scripted, hooks);
    process.replacing = Some(Replacing {
        outcome: Box::pin(ready(Ok(7))),
        drains: true,
        reply: None,
    });
    signals.send(Signal::Terminate).await.unwrap();
    assert!(matches!(process.next().await, Event::Replaced(Ok(7))));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_not_ready_is_not_replaced() {
    let outcome = Rig::new()
        .successor(WELL)
        .run(|signals, _, handle| async move {
            let error = handle.replace(true).await.unwrap_err().to_string();
            assert_eq!(error, "the process is not ready yet");
            signals.send(Signal::Terminate).await.unwrap();
        })
        .await;
    assert_eq!(outcome.reason, "signal TERM");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_replaced_says_so() {
    Rig::ready()
        .run(|signals, supervisor, handle| async move {
            let error = handle.replace(true).await.unwrap_err().to_string();
            assert_eq!(
                error,
                "this process was not started so that it can be replaced"
            );
            supervisor.spawn("session", sleep(60 * SECOND));
            signals.send(Signal::Quit).await.unwrap();
            sleep(SECOND).await;
            let error = handle.replace(true).await.unwrap_err().to_string();
            assert_eq!(error, "the process is stopping");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_program_itself_can_ask_for_the_end() {
    let rig = Rig::ready();
    let handle = rig.hooks.handle();
    let outcome = rig
        .run(|_, supervisor, handle| async move {
            handle
                .stop(Exit::Graceful { grace: 9 * SECOND }, "asked over HTTP")
                .unwrap();
            supervisor.on_exit(Phase::Drain, "late", |_| pending());
        })
        .await;
    assert_eq!(
        (outcome.code, outcome.reason.as_str()),
        (0, "asked over HTTP")
    );
    assert_eq!(handle.stop(Exit::Fast, "again"), Err(RequestError::Ended));
}
