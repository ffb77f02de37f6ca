//! The way over another proxy: what has to reach a node that has no line to us goes to a proxy that
//! has one, over a TLS connection of its own. Whoever is asked uses its own lines only, so nothing is
//! passed on twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::clock;
use base::duplex::BoxDuplex;
use base::error::Class;
use base::http::{Peer as Remote, Protocol, Serving, TlsStream};
use base::supervise::{BoxError, Scope};
use identity::own_certificate::OwnCertificate;
use identity::peer::MachineRole;
use identity::trust::Trust;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Hub;
use super::door::identify;
use super::fence::Fenced;
use super::locks::{locked, proxy_locked};
use super::nodes::{Holder, ReachError};
use super::way::Reached;
use crate::agent::PROXIES_MAX;
use crate::line::{
    Egress, FRAME_BYTES_MAX, HELLO_LIMIT, Lane, OpenRequest, Refusal, RefusalCode, Target,
    TargetKind, chain, copy, lanes_tls, prepare, read_frame, split, write_frame,
};

/// The protocol between proxies.
const ALPN: &[u8] = b"landline-peer/1";
/// The longest wait for a connection over other proxies, all that are asked together.
const FORWARD_LIMIT: Duration = Duration::from_secs(5);
/// Other proxies that are asked.
const HOLDERS_MAX: usize = 2;
/// The longest wait for a proxy when it is looked whether it is there, over all its addresses.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// What the other proxy says.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    /// Why not, or nothing: then the bytes of the connection follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refusal: Option<Refusal>,
}

/// Dials other proxies.
#[derive(Debug)]
pub(super) struct Peers {
    own: OwnCertificate,
    trust: Trust,
    /// By the identifier of the proxy.
    tls: Mutex<BTreeMap<String, Arc<ClientConfig>>>,
    /// What is wrong with the way to a proxy, by its identifier, until it answers again.
    errors: Mutex<BTreeMap<String, String>>,
}

impl Peers {
    pub(super) fn new(own: OwnCertificate, trust: Trust) -> Self {
        Self {
            own,
            trust,
            tls: Mutex::default(),
            errors: Mutex::default(),
        }
    }

    /// A connection to something on `node`, over one of the proxies that have lines to it. What the
    /// client has said already goes first.
    pub(super) async fn forward(
        &self,
        holders: &[Holder],
        node: &str,
        request: &OpenRequest,
        said: &[u8],
    ) -> Result<Reached, ReachError> {
        let mut request = request.clone();
        request.target.node = Some(node.to_owned());
        let mut why_not = ReachError {
            class: Class::Unavailable,
            text: format!("node {node} is offline"),
        };
        let deadline = clock::now() + FORWARD_LIMIT;
        let count = u32::try_from(holders.len().min(HOLDERS_MAX)).unwrap_or(1);
        for (holder, left) in holders.iter().zip((1..=count).rev()) {
            // One that does not answer leaves time for the next.
            let limit = deadline.saturating_duration_since(clock::now()) / left;
            let why = match timeout(limit, self.ask(holder, &request, limit)).await {
                Ok(Ok(mut stream)) => {
                    // The target has been dialled: from here on nobody else is asked.
                    pass_on(&mut stream, said, &holder.name).await?;
                    return Ok(self.fenced(stream, holder));
                }
                Ok(Err(why)) => why,
                Err(_) => {
                    let text = format!("no answer within {:.1} s", limit.as_secs_f64());
                    self.note_way(&holder.uuid, Err(&text));
                    Refusal::new(RefusalCode::Timeout, text)
                }
            };
            why_not = ReachError {
                class: class_of(why.code),
                text: format!(
                    "node {node} has no line to this proxy, and over proxy {}: {}",
                    holder.name, why.text
                ),
            };
            if why_not.class == Class::BadPeer {
                // The node itself has answered: another way to it would not help.
                break;
            }
        }
        Err(why_not)
    }

    /// A connection over another proxy, for as long as that is not locked.
    fn fenced(&self, stream: BoxDuplex, holder: &Holder) -> Reached {
        let (trust, uuid, name) = (self.trust.clone(), holder.uuid.clone(), holder.name.clone());
        let locked = async move {
            let reason = proxy_locked(trust, uuid).await;
            locked("proxy", &name, &reason)
        };
        let stream = Fenced::new(stream, Box::pin(locked));
        Reached::Peer(Box::new(stream), holder.name.clone())
    }

    /// What went wrong last on the way to a proxy.
    pub(super) fn last_error(&self, uuid: &str) -> Option<String> {
        let errors = self.errors.lock();
        let errors = errors.unwrap_or_else(PoisonError::into_inner);
        errors.get(uuid).cloned()
    }

    /// Whether a proxy was reached, whatever it said then.
    fn note_way(&self, uuid: &str, reached: Result<(), &str>) {
        let errors = self.errors.lock();
        let mut errors = errors.unwrap_or_else(PoisonError::into_inner);
        match reached {
            Ok(()) => {
                errors.remove(uuid);
            }
            Err(reason) => {
                if errors.len() >= PROXIES_MAX {
                    errors.clear();
                }
                errors.insert(uuid.to_owned(), reason.to_owned());
            }
        }
    }

    /// How long a question to another proxy and its answer travel, on a connection that is made for it.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) async fn probe(&self, uuid: &str, addresses: &[String]) -> Result<Duration, String> {
        let mut reason = "it has told no address".to_owned();
        // Who asks for nothing on any node is told so: proxies of older versions answer this, too.
        let target = Target {
            kind: TargetKind::Control,
            name: String::new(),
            node: None,
        };
        let question = OpenRequest {
            target,
            client: None,
            user: None,
        };
        let asked = async {
            for address in addresses {
                match self.question(uuid, address, &question).await {
                    Ok(round_trip) => return Ok(round_trip),
                    Err(why) => reason = format!("{address}: {why}"),
                }
            }
            Err(reason)
        };
        let no_answer = format!("no answer within {} s", PROBE_LIMIT.as_secs());
        let asked = timeout(PROBE_LIMIT, asked).await;
        let asked = asked.unwrap_or(Err(no_answer));
        self.note_way(uuid, asked.as_ref().map(drop).map_err(String::as_str));
        asked
    }

    async fn question(
        &self,
        uuid: &str,
        address: &str,
        question: &OpenRequest,
    ) -> Result<Duration, String> {
        let mut stream = self.dial(uuid, address).await?;
        let begun = clock::now();
        let asked = write_frame(&mut stream, question).await;
        asked.map_err(|error| chain(&error))?;
        let answer: Result<Answer, _> = read_frame(&mut stream, FRAME_BYTES_MAX).await;
        answer.map_err(|error| chain(&error))?;
        Ok(clock::now().saturating_duration_since(begun))
    }

    async fn ask(
        &self,
        holder: &Holder,
        request: &OpenRequest,
        limit: Duration,
    ) -> Result<BoxDuplex, Refusal> {
        let unavailable = |text: String| Refusal::new(RefusalCode::Unavailable, text);
        let mut reason = "it has told no address".to_owned();
        // An address that does not answer leaves time for the next.
        let deadline = clock::now() + limit;
        let count = u32::try_from(holder.addresses.len()).unwrap_or(1);
        for (address, left) in holder.addresses.iter().zip((1..=count).rev()) {
            let limit = deadline.saturating_duration_since(clock::now()) / left;
            let dialled = timeout(limit, self.dial(&holder.uuid, address)).await;
            match dialled.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
                Ok(mut stream) => {
                    let broke = |error| unavailable(format!("{address}: {}", chain(&error)));
                    write_frame(&mut stream, request).await.map_err(broke)?;
                    let answer: Answer = read_frame(&mut stream, FRAME_BYTES_MAX)
                        .await
                        .map_err(broke)?;
                    self.note_way(&holder.uuid, Ok(()));
                    if let Some(refusal) = answer.refusal {
                        return Err(refusal);
                    }
                    return Ok(stream);
                }
                Err(why) => reason = format!("{address}: {why}"),
            }
        }
        self.note_way(&holder.uuid, Err(&reason));
        Err(unavailable(reason))
    }

    /// How we shake hands with one proxy and no other. Made once for each.
    fn tls(&self, uuid: &str) -> Result<Arc<ClientConfig>, String> {
        let mut made = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tls) = made.get(uuid) {
            return Ok(Arc::clone(tls));
        }
        let verifier = self
            .trust
            .server_verifier(&[MachineRole::Proxy], Some(uuid.to_owned()));
        let mut tls = ClientConfig::builder_with_provider(base::tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::new(self.own.clone()));
        tls.alpn_protocols = vec![ALPN.to_vec()];
        tls.resumption = Resumption::disabled();
        if made.len() >= PROXIES_MAX {
            made.clear();
        }
        let tls = Arc::new(tls);
        made.insert(uuid.to_owned(), Arc::clone(&tls));
        Ok(tls)
    }

    async fn dial(&self, uuid: &str, address: &str) -> Result<BoxDuplex, String> {
        let tls = self.tls(uuid)?;
        let (host, _) = split(address).map_err(|error| chain(&error))?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        // Proxies are in one network: no egress proxy stands between them.
        let stream = Egress::default().connect(address).await;
        let stream = stream.map_err(|error| chain(&error))?;
        // A proxy that vanished has to be noticed.
        prepare(&stream, Lane::Interactive);
        let stream = TlsConnector::from(tls).connect(name, stream).await;
        let stream = stream.map_err(|error| error.to_string())?;
        if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            return Err("it does not speak with other proxies".to_owned());
        }
        Ok(Box::new(stream))
    }
}

impl Hub {
    /// What other proxies speak, for the main listener.
    pub(super) fn peer_protocol(self: &Arc<Self>) -> Result<Protocol, BoxError> {
        let tls = lanes_tls(&self.line_tls()?);
        let mut tls = rustls::ServerConfig::clone(&tls);
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let hub = Arc::clone(self);
        let take_over = move |stream: TlsStream, remote: Remote, _: Scope| -> Serving {
            let hub = Arc::clone(&hub);
            Box::pin(async move {
                if let Err(reason) = hub.serve_peer(stream).await {
                    hub.note_refused(remote.address, "another proxy", &reason)
                        .await;
                }
            })
        };
        Ok(Protocol {
            name: ALPN,
            tls: Arc::new(tls),
            take_over: Arc::new(take_over),
            refused: self.refused(),
        })
    }

    async fn serve_peer(self: &Arc<Self>, mut stream: TlsStream) -> Result<(), String> {
        let certificates = stream.get_ref().1.peer_certificates();
        let peer = identify(self.identity.trust(), MachineRole::Proxy);
        let asker = peer(certificates.unwrap_or_default())?;
        // Before the service runs, and after it, there is nobody to hold a connection.
        let Some(acceptor) = self.acceptor.get() else {
            return Ok(());
        };
        let request = timeout(HELLO_LIMIT, read_frame(&mut stream, FRAME_BYTES_MAX)).await;
        let request = request.map_err(|_| "it did not say what it wants".to_owned())?;
        let mut request: OpenRequest = request.map_err(|error| chain(&error))?;
        let opened = match request.target.node.take() {
            // Our own lines only: what was passed on once is not passed on again.
            Some(node) => self.nodes.open_for_peer(&node, &request).await,
            None => Err(ReachError {
                class: Class::Invalid,
                text: "it did not say which node it wants".to_owned(),
            }),
        };
        let (line, refusal) = match opened {
            Ok(line) => (Some(line), None),
            Err(error) => (None, Some(Refusal::new(code_of(error.class), error.text))),
        };
        let answer = Answer { refusal };
        let told = timeout(HELLO_LIMIT, write_frame(&mut stream, &answer)).await;
        told.map_err(|_| "it does not read".to_owned())?
            .map_err(|error| chain(&error))?;
        if let Some(line) = line {
            let locked = proxy_locked(self.identity.trust(), asker.id);
            acceptor
                .scope()
                .spawn("connection of another proxy", async move {
                    tokio::select! {
                        copied = copy(line, stream) => if let Err(error) = copied {
                            tracing::debug!(%error, "a connection of another proxy broke");
                        },
                        _ = locked => {}
                    }
                });
        }
        Ok(())
    }
}

/// Sends what the client has said already.
async fn pass_on(stream: &mut BoxDuplex, said: &[u8], proxy: &str) -> Result<(), ReachError> {
    let sending = async {
        stream.write_all(said).await?;
        stream.flush().await
    };
    let why = match timeout(HELLO_LIMIT, sending).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it does not take what is sent".to_owned(),
    };
    Err(ReachError {
        class: Class::Unavailable,
        text: format!("the way over proxy {proxy} broke: {why}"),
    })
}

/// How a proxy tells another one who is to blame.
fn code_of(class: Class) -> RefusalCode {
    match class {
        Class::BadPeer => RefusalCode::NotFound,
        Class::Timeout => RefusalCode::Timeout,
        _ => RefusalCode::Unavailable,
    }
}

/// And how that is understood.
fn class_of(code: RefusalCode) -> Class {
    match code {
        RefusalCode::Unavailable | RefusalCode::Draining | RefusalCode::TooMany => {
            Class::Unavailable
        }
        RefusalCode::Timeout => Class::Timeout,
        RefusalCode::Invalid | RefusalCode::Forbidden | RefusalCode::NotFound => Class::BadPeer,
    }
}
