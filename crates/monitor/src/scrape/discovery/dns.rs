//! `dns_sd_configs`: names whose records are targets. The servers are those of the system.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use base::clock;
use base::files;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use wire::dns::{Answer, DATAGRAM_BYTES_MAX, Kind, Outcome, Record, answer, question};

use super::Reading;
use crate::scrape::config::{DnsConfig, DnsKind};
use crate::scrape::relabel::LabelSet;
use crate::scrape::target::ADDRESS;

/// Where the system's servers of names are written down.
const SERVERS_FILE: &str = "/etc/resolv.conf";
const SERVERS_FILE_BYTES_MAX: u64 = 1 << 20;
/// Servers and domains of it that count.
const SERVERS_MAX: usize = 8;
const PORT: u16 = 53;
/// How long a server may take.
const SERVER_LIMIT: Duration = Duration::from_secs(5);
const PREFIX: &str = "__meta_dns_";

/// The names of one configuration.
#[derive(Debug)]
pub(super) struct Asking {
    config: DnsConfig,
    /// Instead of the system's.
    fixed: Option<Servers>,
}

/// Whom names are asked of, and where they are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Servers {
    addresses: Vec<SocketAddr>,
    search: Vec<String>,
    /// A name with fewer dots is looked for in the domains first.
    dots: usize,
}

impl Asking {
    pub(super) fn new(config: &DnsConfig) -> Self {
        Self {
            config: config.clone(),
            fixed: None,
        }
    }

    pub(super) fn refresh(&self) -> Duration {
        self.config.refresh
    }

    /// The targets of all names. A name that can't be asked for fails them all, so that what was
    /// known of it stays.
    pub(super) async fn ask(&mut self, deadline: Instant) -> Reading {
        let servers = match &self.fixed {
            Some(servers) => servers.clone(),
            None => {
                let text =
                    files::read_text_limited(Path::new(SERVERS_FILE), SERVERS_FILE_BYTES_MAX);
                // Without the file it is this machine, as everywhere.
                Servers::read(&text.unwrap_or_default())
            }
        };
        let mut targets = Vec::new();
        for name in &self.config.names {
            let records = tokio::time::timeout_at(
                deadline.into(),
                servers.look_up(name, kind(self.config.kind)),
            );
            let records = records
                .await
                .unwrap_or_else(|_| Err("no answer in time".to_owned()));
            let records = records.map_err(|error| format!("{}: {error}", name.escape_debug()))?;
            let all = records.into_iter();
            targets.extend(all.map(|record| target(name, record, self.config.port)));
        }
        Ok(targets)
    }
}

fn kind(kind: DnsKind) -> Kind {
    match kind {
        DnsKind::A => Kind::A,
        DnsKind::Aaaa => Kind::Aaaa,
        DnsKind::Srv => Kind::Srv,
        DnsKind::Mx => Kind::Mx,
        DnsKind::Ns => Kind::Ns,
    }
}

fn target(name: &str, record: Record, port: u16) -> LabelSet {
    let mut labels = LabelSet::new();
    let mut put = |key: &str, value: &str| {
        labels.insert(format!("{PREFIX}{key}"), value.to_owned());
    };
    put("name", name);
    let address = match record {
        Record::A(address) => format!("{address}:{port}"),
        Record::Aaaa(address) => format!("[{address}]:{port}"),
        Record::Srv { target, port } => {
            put("srv_record_target", &target);
            put("srv_record_port", &port.to_string());
            format!("{target}:{port}")
        }
        Record::Mx(target) => {
            put("mx_record_target", &target);
            format!("{target}:{port}")
        }
        Record::Ns(target) => {
            put("ns_record_target", &target);
            format!("{target}:{port}")
        }
    };
    labels.insert(ADDRESS.to_owned(), address);
    labels
}

impl Servers {
    fn read(text: &str) -> Self {
        let mut servers = Self {
            addresses: Vec::new(),
            search: Vec::new(),
            dots: 1,
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().unwrap_or_default();
                    // A zone of a local address is not for other machines.
                    let address = address.split('%').next().unwrap_or_default();
                    let address: Option<IpAddr> = address.parse().ok();
                    let address = address.map(|address| SocketAddr::new(address, PORT));
                    servers.addresses.extend(address);
                }
                Some("search" | "domain") => {
                    servers.search = words.map(str::to_owned).take(SERVERS_MAX).collect();
                }
                Some("options") => {
                    let dots = words.find_map(|word| word.strip_prefix("ndots:"));
                    servers.dots = dots.and_then(|dots| dots.parse().ok()).unwrap_or(1);
                }
                _ => {}
            }
        }
        servers.addresses.truncate(SERVERS_MAX);
        if servers.addresses.is_empty() {
            servers
                .addresses
                .push(SocketAddr::from(([127, 0, 0, 1], PORT)));
        }
        servers
    }

    /// The names that a name may stand for, in the order in which they are tried.
    fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let within = self.search.iter().map(|domain| format!("{name}.{domain}"));
        let alone = std::iter::once(name.to_owned());
        if name.matches('.').count() >= self.dots {
            alone.chain(within).collect()
        } else {
            within.chain(alone).collect()
        }
    }

    /// The records of the first name that there is; none when there is no such name at all.
    async fn look_up(&self, name: &str, kind: Kind) -> Result<Vec<Record>, String> {
        let mut failed = None;
        for candidate in self.candidates(name) {
            match self.ask_all(&candidate, kind).await {
                Ok(answer) if answer.outcome == Outcome::Found => return Ok(answer.records),
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or_else(|| Ok(Vec::new()), Err)
    }

    /// What the first server says that says anything.
    async fn ask_all(&self, name: &str, kind: Kind) -> Result<Answer, String> {
        let mut failed = String::new();
        for address in &self.addresses {
            match ask_one(*address, name, kind).await {
                Ok(answer) => match answer.outcome {
                    Outcome::Found | Outcome::NoName => return Ok(answer),
                    Outcome::Failed(code) => {
                        failed = format!("{address} answers with code {code}");
                    }
                },
                Err(error) => failed = format!("{address}: {error}"),
            }
        }
        Err(failed)
    }
}

async fn ask_one(server: SocketAddr, name: &str, kind: Kind) -> Result<Answer, String> {
    let asked = question(fastrand::u16(..), name, kind).map_err(|error| error.to_string())?;
    let deadline = clock::now() + SERVER_LIMIT;
    let asking = async {
        let found = ask_datagram(server, &asked, kind).await?;
        if found.is_truncated {
            return ask_stream(server, &asked, kind).await;
        }
        Ok(found)
    };
    let found = tokio::time::timeout_at(deadline.into(), asking).await;
    let found = found.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut));
    found.flatten().map_err(|error| error.to_string())
}

async fn ask_datagram(server: SocketAddr, asked: &[u8], kind: Kind) -> std::io::Result<Answer> {
    let own: SocketAddr = if server.is_ipv4() {
        SocketAddr::from(([0, 0, 0, 0], 0))
    } else {
        SocketAddr::from(([0_u16; 8], 0))
    };
    let socket = UdpSocket::bind(own).await?;
    socket.connect(server).await?;
    socket.send(asked).await?;
    let mut room = vec![0; usize::from(DATAGRAM_BYTES_MAX)];
    loop {
        let length = socket.recv(&mut room).await?;
        let message = room.get(..length).unwrap_or_default();
        // What is no answer to this question may be somebody's guess: the real one may still come.
        if let Ok(answer) = answer(message, asked, kind) {
            return Ok(answer);
        }
    }
}

async fn ask_stream(server: SocketAddr, asked: &[u8], kind: Kind) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(asked.len()).unwrap_or_default();
    let mut message = length.to_be_bytes().to_vec();
    message.extend(asked);
    stream.write_all(&message).await?;
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    answer(&message, asked, kind).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use base::supervise::Supervisor;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn the_systems_file_is_read() {
        let text = "# comment\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver x\n\
                    search a.example b.example\noptions timeout:1 ndots:2\n";
        let servers = Servers::read(text);
        let expected = ["192.0.2.1:53", "[fe80::1]:53"].map(|text| text.parse().expect("address"));
        assert_eq!(servers.addresses, expected);
        assert_eq!(
            servers.candidates("web.x"),
            ["web.x.a.example", "web.x.b.example", "web.x"]
        );
        let whole = ["a.b.c", "a.b.c.a.example", "a.b.c.b.example"];
        assert_eq!(servers.candidates("a.b.c"), whole);
        assert_eq!(servers.candidates("a."), ["a."]);
        let local = Servers::read("");
        assert_eq!(local.addresses, ["127.0.0.1:53".parse().expect("address")]);
    }

    /// An answer to a question: `big` does not fit, `no` is no name, everything else has a service.
    fn reply(asked: &[u8], is_stream: bool) -> Vec<u8> {
        let name = &asked[12..asked.len() - 11];
        let flags: u16 = match &name[1..3] {
            b"bi" if !is_stream => 0x8380,
            b"no" => 0x8183,
            b"ba" => 0x8182,
            _ => 0x8180,
        };
        let count = u16::from(flags == 0x8180);
        let mut bytes = asked[..2].to_vec();
        for number in [flags, 1, count, 0, 0] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(name);
        if count == 1 {
            bytes.extend(b"\xc0\x0c\x00\x21\x00\x01\x00\x00\x00\x3c\x00\x0b");
            bytes.extend(b"\x00\x00\x00\x00\x1f\x90\x01h\x01x\x00");
        }
        bytes
    }

    async fn server(supervisor: &Supervisor) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("an address");
        let socket = UdpSocket::bind(address).await.expect("bound");
        supervisor.spawn_background("datagrams", async move {
            let mut room = [0; 600];
            while let Ok((length, from)) = socket.recv_from(&mut room).await {
                let lie = [0; 12];
                socket.send_to(&lie, from).await.expect("sent");
                let reply = reply(&room[..length], false);
                socket.send_to(&reply, from).await.expect("sent");
            }
        });
        supervisor.spawn_background("streams", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let length = stream.read_u16().await.expect("a length");
                let mut asked = vec![0; usize::from(length)];
                stream.read_exact(&mut asked).await.expect("a question");
                let reply = reply(&asked, true);
                let length = u16::try_from(reply.len()).expect("short");
                stream.write_u16(length).await.expect("sent");
                stream.write_all(&reply).await.expect("sent");
            }
        });
        address
    }

    #[tokio::test]
    async fn names_are_asked_over_both_ways() {
        let supervisor = Supervisor::new();
        let address = server(&supervisor).await;
        let mut asking = Asking::new(&DnsConfig {
            names: ["web.x", "big.x", "no.x"].map(str::to_owned).to_vec(),
            kind: DnsKind::Srv,
            port: 0,
            refresh: Duration::from_secs(30),
        });
        let servers = Servers {
            addresses: vec![address],
            search: Vec::new(),
            dots: 1,
        };
        asking.fixed = Some(servers);
        let deadline = clock::now() + Duration::from_secs(30);
        let found = asking.ask(deadline).await.expect("targets");
        assert_eq!(found.len(), 2);
        assert_eq!(found[1][ADDRESS], "h.x:8080");
        assert_eq!(found[1]["__meta_dns_name"], "big.x");
        assert_eq!(found[1]["__meta_dns_srv_record_port"], "8080");
        asking.config.names = vec!["bad.x".to_owned()];
        let error = asking.ask(deadline).await.expect_err("it fails");
        assert!(
            error.starts_with("bad.x: ") && error.ends_with("code 2"),
            "{error}"
        );
    }

    #[test]
    fn addresses_get_the_port() {
        let of = |record| target("n", record, 9100)[ADDRESS].clone();
        assert_eq!(of(Record::A([192, 0, 2, 1].into())), "192.0.2.1:9100");
        let six = Record::Aaaa(std::net::Ipv6Addr::LOCALHOST);
        assert_eq!(of(six), "[::1]:9100");
        assert_eq!(of(Record::Mx("m".to_owned())), "m:9100");
    }
}
