//! What arrives at systemd's end. The variable that names its socket belongs to the environment,
//! which is never changed, so the sender is this test program started again.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;

#[test]
#[ignore = "the sending side of the test below"]
fn sender() {
    reloading();
    ready_as_main(7);
    status("serving\nREADY=0");
    stopping();
    ready();
}

#[test]
fn systemd_is_told_in_its_own_words() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "notify::tests::sender", "--ignored"])
        .env("NOTIFY_SOCKET", &path)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let receive = || {
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let reloading = receive();
    let usec = reloading
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .unwrap();
    assert!(usec.trim().parse::<u64>().unwrap() > 0);
    assert_eq!(receive(), "MAINPID=7\nREADY=1\n");
    assert_eq!(receive(), "STATUS=serving READY=0\n");
    assert_eq!(receive(), "STOPPING=1\n");
    assert_eq!(receive(), "READY=1\n");
}
