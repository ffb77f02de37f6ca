//! Network namespaces: machines that reach only what a pair of interfaces leads to. They need root and
//! iproute2; [`crate::cluster::may_make_namespaces`] says whether they can be had.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Namespaces and pairs of interfaces that this process has made.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A network namespace with its own loopback and nothing else.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes it.
    pub fn make() -> Self {
        let name = format!("landline-{}-{}", std::process::id(), next());
        ip(&["netns", "add", &name]);
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    /// What stands before a program on the command line, so that it runs in here.
    pub fn wrapper(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name]
            .map(str::to_owned)
            .to_vec()
    }

    /// The same for a program to which this file is `/etc/hosts`.
    pub fn wrapper_with_hosts(&self, hosts: &Path) -> Vec<String> {
        // `ip netns exec` gives the program a mount namespace of its own.
        let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
        let hosts = hosts.to_string_lossy().into_owned();
        let mut words = self.wrapper();
        words.extend(["sh".to_owned(), "-c".to_owned(), script.to_owned(), hosts]);
        words
    }

    /// A command that runs in here.
    pub fn command(&self, program: &Path) -> Command {
        let words = self.wrapper();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(program);
        command
    }

    /// A listener in here, for a server of the test.
    pub fn listen(&self, address: &str) -> tokio::net::TcpListener {
        let listener = self.inside(|| TcpListener::bind(address)).unwrap();
        listener.set_nonblocking(true).unwrap();
        tokio::net::TcpListener::from_std(listener).unwrap()
    }

    /// A connection that begins in here.
    ///
    /// # Errors
    /// As of any connection.
    pub fn connect(&self, address: &str) -> io::Result<tokio::net::TcpStream> {
        let stream = self.inside(|| TcpStream::connect(address))?;
        stream.set_nonblocking(true)?;
        tokio::net::TcpStream::from_std(stream)
    }

    /// Runs this on a thread in here. A socket stays where it was made.
    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let entered = || {
            let link = File::open(format!("/run/netns/{}", self.name)).unwrap();
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(link.as_fd(), network).unwrap();
            work()
        };
        std::thread::scope(|scope| scope.spawn(entered).join().unwrap())
    }

    fn ip(&self, words: &[&str]) {
        ip(&[&["-n", &self.name], words].concat());
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Its end of a pair of interfaces goes with it, and so does the other one.
        ip(&["netns", "del", &self.name]);
    }
}

/// Puts a pair of interfaces between two namespaces, or between this machine and one; gives the
/// addresses of the ends.
pub fn link(one: Option<&Namespace>, other: &Namespace) -> [Ipv4Addr; 2] {
    let number = next();
    let process = std::process::id() % 60_000;
    let names = [b'a', b'b'].map(|end| format!("ll{process}n{number}{}", char::from(end)));
    // Four addresses of a network of this process.
    let network =
        (10 << 24) | ((process / 250) << 16) | ((process % 250) << 8) | (4 * (number % 64));
    let addresses = [1, 2].map(|end| Ipv4Addr::from_bits(network + end));
    let pair = ["type", "veth", "peer", "name", &names[1]];
    ip(&[&["link", "add", &names[0]], pair.as_slice()].concat());
    let ends = [one, Some(other)];
    for ((end, name), address) in ends.into_iter().zip(&names).zip(addresses) {
        let address = format!("{address}/30");
        let run = |words: &[&str]| match end {
            Some(namespace) => namespace.ip(words),
            None => ip(words),
        };
        if let Some(namespace) = end {
            ip(&["link", "set", name, "netns", &namespace.name]);
        }
        run(&["addr", "add", &address, "dev", name]);
        run(&["link", "set", name, "up"]);
    }
    addresses
}

fn next() -> u32 {
    MADE.fetch_add(1, Ordering::SeqCst)
}

fn ip(words: &[&str]) {
    let output = Command::new("ip").args(words).output().unwrap();
    assert!(
        output.status.success(),
        "ip {words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
