//! What arrives at systemd's end.

use super::*;

fn receive(socket: &UnixDatagram) -> String {
    socket.set_read_timeout(Some(10 * SEND_LIMIT)).unwrap();
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn systemd_is_told_in_its_own_words() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let notifier = Notifier::new(path.to_str());
    notifier.reloading();
    notifier.ready_as_main(7);
    notifier.stopping();
    notifier.ready();
    let reloading = receive(&socket);
    let usec = reloading
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .unwrap();
    assert!(usec.trim().parse::<u64>().unwrap() > 0);
    assert_eq!(receive(&socket), "MAINPID=7\nREADY=1\n");
    assert_eq!(receive(&socket), "STOPPING=1\n");
    assert_eq!(receive(&socket), "READY=1\n");
}

#[test]
fn an_abstract_socket_is_reached() {
    let name = format!("landline-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    Notifier::new(Some(&format!("@{name}"))).ready();
    assert_eq!(receive(&socket), "READY=1\n");
}

#[test]
fn a_listener_that_takes_nothing_does_not_hold_us_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let _socket = UnixDatagram::bind(&path).unwrap();
    let full = UnixDatagram::unbound().unwrap();
    full.set_nonblocking(true).unwrap();
    while full.send_to(b"x", &path).is_ok() {}
    let began = clock::now();
    Notifier::new(path.to_str()).ready();
    assert!(clock::now() - began < 3 * SEND_LIMIT);
}
