//! Descriptors in and out, with the shell as the other process.

use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::listeners::{Listeners, Origin};
use crate::supervise::{Exit, Supervisor};

/// A descriptor as it comes out of exec: open under a number, owned by nobody.
fn passed(of: &impl std::os::fd::AsFd) -> RawFd {
    use std::os::fd::IntoRawFd as _;
    let copy = rustix::io::dup(of.as_fd()).unwrap();
    fcntl_setfd(&copy, FdFlags::empty()).unwrap();
    copy.into_raw_fd()
}

fn texts(listeners: &str) -> HandoverTexts {
    HandoverTexts {
        listeners: Some(listeners.to_owned()),
        ..HandoverTexts::default()
    }
}

fn shell(script: &str, directory: &Path) -> Replacement {
    Replacement {
        program: "sh".into(),
        args: vec!["-c".into(), script.into()],
        directory: PathBuf::from("/"),
        environment: vec![("OUT".into(), directory.join("out").into())],
        timeout: Duration::from_secs(20),
    }
}

fn lines_of(path: &Path) -> Vec<String> {
    let mut text = String::new();
    let file = File::open(path).unwrap();
    std::io::Read::read_to_string(&mut std::io::Read::take(file, 65536), &mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

const READY: &str = "echo ready > /proc/self/fd/$LANDLINE_READY_FD";

#[test]
fn nothing_passed_is_nothing_inherited() {
    let inherited = inherit(&HandoverTexts::default()).unwrap();
    assert!(inherited.listeners.is_empty() && !inherited.is_replacement());
}

#[test]
fn a_predecessors_listener_and_pipe_are_taken_over() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let fd = passed(&listener);
    let mut texts = texts(&format!(
        r#"[{{"role":"web","address":"127.0.0.1:0","fd":{fd}}}]"#
    ));
    texts.ready_fd = Some(passed(&writer).to_string());
    drop(writer);
    let mut inherited = inherit(&texts).unwrap();
    assert!(inherited.is_replacement());
    let one = &inherited.listeners[0];
    assert_eq!(
        (one.name.as_str(), one.origin),
        ("web", Origin::Predecessor)
    );
    assert_eq!(
        one.listener.local_addr().unwrap(),
        listener.local_addr().unwrap()
    );
    assert!(
        fcntl_getfd(&one.listener)
            .unwrap()
            .contains(FdFlags::CLOEXEC)
    );
    announce_ready(inherited.ready.take().unwrap()).unwrap();
    let mut word = String::new();
    std::io::Read::read_to_string(&mut File::from(reader), &mut word).unwrap();
    assert_eq!(word, format!("process {} is ready\n", std::process::id()));
}

#[test]
fn what_cannot_be_used_is_named() {
    let check = |texts: HandoverTexts, expected: &str| {
        assert_eq!(inherit(&texts).unwrap_err().to_string(), expected);
    };
    check(texts("{"), "cannot read LANDLINE_LISTENERS");
    let entry = |fd: RawFd| format!(r#"[{{"role":"web","address":"127.0.0.1:0","fd":{fd}}}]"#);
    check(texts(&entry(900)), "cannot take over descriptor 900 (web)");
    check(texts(&entry(1)), "cannot take over descriptor 1 (web)");
    check(texts(&entry(-1)), "cannot take over descriptor -1 (web)");
    let (reader, _writer) = rustix::pipe::pipe().unwrap();
    let fd = passed(&reader);
    let expected = format!("descriptor {fd} (web) is not a listening TCP socket");
    check(texts(&entry(fd)), &expected);
    let ready = |text: String| HandoverTexts {
        ready_fd: Some(text),
        ..HandoverTexts::default()
    };
    let expected = "LANDLINE_READY_FD is \"x\", which is not a number";
    check(ready("x".to_owned()), expected);
    let fd = passed(&File::open("/dev/null").unwrap());
    let expected = format!("descriptor {fd} (LANDLINE_READY_FD) is not a pipe");
    check(ready(fd.to_string()), &expected);
}

#[test]
fn a_descriptor_has_one_owner() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let fd = passed(&listener);
    let owner = adopt(fd).unwrap();
    assert_eq!(adopt(fd).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    drop(owner);
}

#[test]
fn systemds_sockets_are_ours_only_under_our_process_id() {
    let texts = HandoverTexts {
        systemd_fds: Some("1".to_owned()),
        systemd_pid: Some("1".to_owned()),
        ..HandoverTexts::default()
    };
    assert!(inherit(&texts).unwrap().listeners.is_empty());
}

#[tokio::test]
async fn the_successor_gets_the_listeners_and_nobody_else_does() {
    let directory = tempfile::tempdir().unwrap();
    let (supervisor, listeners) = (Supervisor::new(), Listeners::new(Vec::new()));
    let own = listeners
        .bind("web", "127.0.0.1:0".parse().unwrap(), "key")
        .unwrap();
    let socket = std::fs::read_link(format!("/proc/self/fd/{}", own.as_raw_fd())).unwrap();
    let script = format!(
        "printf '%s\\n' \"$LANDLINE_LISTENERS\" \"${{LISTEN_FDS-unset}}\" \"$0\" > $OUT; \
         for fd in /proc/$$/fd/*; do readlink $fd; done >> $OUT; {READY}"
    );
    spawn_replacement(&supervisor, &listeners, &shell(&script, directory.path()))
        .await
        .unwrap();
    let lines = lines_of(&directory.path().join("out"));
    let entries: Vec<Entry> = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!((entries.len(), entries[0].role.as_str()), (1, "web"));
    assert_eq!(entries[0].address, "127.0.0.1:0".parse().unwrap());
    assert_eq!(lines[1], "unset");
    let socket = socket.to_str().unwrap().to_owned();
    assert_eq!(lines.iter().filter(|line| **line == socket).count(), 1);

    let other = Command::new("sh")
        .args(["-c", "for fd in /proc/$$/fd/*; do readlink $fd; done"])
        .output()
        .await
        .unwrap();
    let other = String::from_utf8(other.stdout).unwrap();
    assert!(
        !other.lines().any(|line| line == socket),
        "leaked to another child: {other}"
    );
}

#[tokio::test]
async fn a_relative_program_is_found_in_the_directory_of_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("bin/program");
    std::fs::create_dir(directory.path().join("bin")).unwrap();
    std::fs::write(&program, format!("#!/bin/sh\n{READY}\n")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).unwrap();
    let mut replacement = shell("", directory.path());
    replacement.program = "./bin/program".into();
    replacement.directory = directory.path().to_owned();
    let (supervisor, listeners) = (Supervisor::new(), Listeners::new(Vec::new()));
    spawn_replacement(&supervisor, &listeners, &replacement)
        .await
        .unwrap();
}

async fn failure(script: &str, timeout: Duration) -> ReplacementError {
    let directory = tempfile::tempdir().unwrap();
    let (supervisor, listeners) = (Supervisor::new(), Listeners::new(Vec::new()));
    let replacement = Replacement {
        timeout,
        ..shell(script, directory.path())
    };
    spawn_replacement(&supervisor, &listeners, &replacement)
        .await
        .unwrap_err()
}

fn is_gone(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn a_successor_that_dies_is_told_with_its_status() {
    let error = failure("exit 3", Duration::from_secs(20)).await;
    let ReplacementError::Ended { pid, status } = &error else {
        panic!("{error}")
    };
    assert_eq!(status, "exit status: 3");
    assert!(is_gone(*pid), "no zombie stays");
}

#[tokio::test]
async fn a_successor_that_is_killed_is_told_with_the_signal() {
    let error = failure("kill -KILL $$", Duration::from_secs(20)).await;
    assert!(error.to_string().contains("signal: 9"), "{error}");
}

#[tokio::test]
async fn a_successor_that_never_speaks_is_killed_and_reaped() {
    let error = failure("exec sleep 60", Duration::from_millis(200)).await;
    let ReplacementError::Late { pid, .. } = error else {
        panic!("{error}")
    };
    assert!(is_gone(pid));
}

#[tokio::test]
async fn a_program_that_is_missing_is_named() {
    let (supervisor, listeners) = (Supervisor::new(), Listeners::new(Vec::new()));
    let replacement = Replacement {
        program: "/no/program".into(),
        ..shell("", Path::new("/"))
    };
    let error = spawn_replacement(&supervisor, &listeners, &replacement)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "cannot start /no/program");
    assert!(
        listeners.begin_replacement().is_some(),
        "the turn is given back"
    );
}

#[tokio::test]
async fn one_replacement_at_a_time() {
    let (supervisor, listeners) = (Supervisor::new(), Listeners::new(Vec::new()));
    let _turn = listeners.begin_replacement().unwrap();
    let error = spawn_replacement(&supervisor, &listeners, &shell(READY, Path::new("/"))).await;
    assert!(matches!(error, Err(ReplacementError::UnderWay)));
}

#[tokio::test]
async fn a_dropped_attempt_kills_the_successor() {
    let directory = tempfile::tempdir().unwrap();
    let (supervisor, listeners) = (Supervisor::new(), Listeners::new(Vec::new()));
    let replacement = shell(
        "echo $$ > $OUT.new; mv $OUT.new $OUT; exec sleep 60",
        directory.path(),
    );
    let out = directory.path().join("out");
    let started = async {
        while !out.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        outcome = spawn_replacement(&supervisor, &listeners, &replacement) => panic!("{outcome:?}"),
        () = started => {}
    }
    let pid: u32 = lines_of(&out)[0].parse().unwrap();
    let is_dead = || std::fs::read_link(format!("/proc/{pid}/exe")).is_err();
    let gone = async {
        while !is_dead() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_successor_outlives_us_and_its_end_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (supervisor, listeners) = (Supervisor::new(), Listeners::new(Vec::new()));
    let script = format!("{READY}; read line < $OUT");
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        directory.path().join("out"),
        rustix::fs::Mode::RWXU,
    )
    .unwrap();
    let replacement = shell(&script, directory.path());
    let pid = spawn_replacement(&supervisor, &listeners, &replacement)
        .await
        .unwrap();
    assert_eq!(supervisor.running().tasks, [("replacement-watch", 1)]);
    assert!(!is_gone(pid));
    std::fs::write(directory.path().join("out"), "end\n").unwrap();
    let ended = supervisor
        .bus()
        .wait_timeout(&REPLACEMENT_ENDED, Duration::from_secs(10))
        .await;
    assert_eq!(ended, Ok(pid));
    assert!(is_gone(pid));
    assert!(supervisor.shutdown(Exit::Fast).await.late.is_empty());
}
