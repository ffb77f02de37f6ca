//! The proxy's door for lines: TLS with a client certificate, the hello, and the joining of
//! connections into lines. The caller accepts the sockets and keeps the finished lines.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::read_ahead::ReadAhead;
use base::supervise::Scope;
use rustls::ServerConfig;
use rustls_pki_types::CertificateDer;
use tokio::io::AsyncWrite;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Lane;
use super::bulk::Idle;
use super::error::{AcceptError, chain};
use super::frame::{read_frame, write_frame};
use super::health;
use super::limits::{
    BEGUN_PER_PEER_MAX, COMPLETE_LIMIT, FRAME_BYTES_MAX, HELLO_LIMIT, LINES_PER_PEER_MAX,
    MESSAGES_MAX, TLS_LIMIT, Timing,
};
use super::message::{
    Hello, HelloAnswer, LineId, Message, Peer, Refusal, RefusalCode, VERSION, Welcome,
};
use super::messages;
use super::mux::{self, Mux};
use super::proxy_end::{End, Line, Parts, Shared, lock};
use super::sealed::Sealed;
use super::stream::{BoxDuplex, Counted, Duplex};
use super::{bulk, socket};

/// Reads who a peer is out of its certificate chain, or says why it is not welcome.
pub type Identify =
    Arc<dyn Fn(&[CertificateDer<'static>]) -> Result<Peer, String> + Send + Sync + 'static>;

/// Takes what an agent tells about its membership. It must not block.
pub type Heard = Arc<dyn Fn(&Line, String) + Send + Sync + 'static>;

/// What the door is told.
#[derive(Clone)]
pub struct AcceptorSettings {
    /// Our certificate, and the check of client certificates, which must be required. ALPN and
    /// resumption are set here.
    pub tls: Arc<ServerConfig>,
    /// Who the peer is.
    pub identify: Identify,
    /// Takes the notes of agents.
    pub heard: Heard,
    /// What agents are told about us.
    pub welcome: Welcome,
    /// Pings.
    pub timing: Timing,
    /// Lines at once, finished or not.
    pub lines_max: usize,
    /// Bulk connections of all lines.
    pub bulk_max: usize,
}

impl fmt::Debug for AcceptorSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptorSettings")
            .field("welcome", &self.welcome)
            .field("timing", &self.timing)
            .field("lines_max", &self.lines_max)
            .field("bulk_max", &self.bulk_max)
            .finish_non_exhaustive()
    }
}

/// The door; clones share it.
#[derive(Debug, Clone)]
pub struct Acceptor {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: AcceptorSettings,
    tls: Arc<ServerConfig>,
    scope: Scope,
    state: Mutex<State>,
    /// Bulk connections, idle and in use.
    bulk: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct State {
    /// Why nobody is let in any more.
    closed: Option<String>,
    lines: Lines,
}

/// All lines, by who is at the other end.
#[derive(Debug, Default)]
struct Lines {
    by_peer: HashMap<Peer, BTreeMap<LineId, Entry>>,
    count: usize,
}

type Key = (Peer, LineId);

impl Lines {
    fn get(&self, key: &Key) -> Option<&Entry> {
        self.by_peer.get(&key.0)?.get(&key.1)
    }

    fn insert(&mut self, key: Key, entry: Entry) {
        let of_peer = self.by_peer.entry(key.0).or_default();
        if of_peer.insert(key.1, entry).is_none() {
            self.count += 1;
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Entry> {
        let of_peer = self.by_peer.get_mut(&key.0)?;
        let entry = of_peer.remove(&key.1)?;
        self.count -= 1;
        if of_peer.is_empty() {
            self.by_peer.remove(&key.0);
        }
        Some(entry)
    }

    /// Why there is no room for one more line of a peer.
    fn objection(&self, peer: &Peer, lines_max: usize) -> Option<Refusal> {
        let of_peer = self.by_peer.get(peer).map_or(0, BTreeMap::len);
        let entries = self.by_peer.get(peer).into_iter().flatten();
        // One that was given up before it was complete is noticed late.
        let begun = entries.filter(|(_, entry)| matches!(entry, Entry::Begun(_)));
        let begun = begun.count();
        let text = if begun >= BEGUN_PER_PEER_MAX {
            format!(
                "{begun} lines of {} wait for their interactive lane",
                peer.name
            )
        } else if of_peer - begun >= LINES_PER_PEER_MAX {
            format!(
                "{} has {} lines to this proxy already: is it running twice?",
                peer.name,
                of_peer - begun
            )
        } else if self.count >= lines_max {
            format!(
                "this proxy has {} lines, which is the most it takes: it needs another proxy beside it, or \
                 more descriptors (LimitNOFILE)",
                self.count
            )
        } else {
            return None;
        };
        Some(Refusal::new(RefusalCode::TooMany, text))
    }
}

/// A line under way or finished.
#[derive(Debug)]
enum Entry {
    /// The control lane is there, the interactive one not yet.
    Begun(Control),
    Complete(Line),
}

struct Control {
    /// The connection, once its hello is answered: the interactive lane may come before that is noticed.
    io: oneshot::Receiver<BoxDuplex>,
    end: End,
    remote: SocketAddr,
}

/// A lane that may come in.
struct Entered {
    key: Key,
    /// The beginning of a line: where its connection goes after the answer.
    begun: Option<(oneshot::Sender<BoxDuplex>, End)>,
    /// The room that a bulk connection takes.
    counted: Option<Counted>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

/// The handshake of lanes: `tls` with their names in ALPN, and without resumption.
pub fn lanes_tls(tls: &ServerConfig) -> Arc<ServerConfig> {
    let mut tls = tls.clone();
    tls.alpn_protocols = Lane::ALL.iter().map(|lane| lane.alpn().to_vec()).collect();
    // A resumed session would skip the check of the client's certificate, which may have
    // expired or been locked since.
    tls.send_tls13_tickets = 0;
    tls.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Arc::new(tls)
}

impl Acceptor {
    /// A door whose lines live in `scope`.
    pub fn new(settings: AcceptorSettings, scope: Scope) -> Self {
        let tls = lanes_tls(&settings.tls);
        let inner = Inner {
            settings,
            tls,
            scope,
            state: Mutex::default(),
            bulk: Arc::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The settings for the handshake, for a listener that chooses among several by the client's
    /// hello and then calls [`Acceptor::admit`].
    pub fn tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.inner.tls)
    }

    /// Takes a connection before its TLS handshake: a socket, or the bytes of a WebSocket. See
    /// [`Acceptor::admit`].
    pub async fn accept(
        &self,
        io: BoxDuplex,
        remote: SocketAddr,
    ) -> Result<Option<Line>, AcceptError> {
        let handshake = TlsAcceptor::from(self.tls()).accept(ReadAhead::new(io));
        let tls = timeout(TLS_LIMIT, handshake)
            .await
            .map_err(|_| AcceptError::Timeout("the TLS handshake"))?
            .map_err(AcceptError::Tls)?;
        self.admit(tls, remote).await
    }

    /// Takes a connection after its TLS handshake as a lane. Gives the line when the connection
    /// completes one, nothing when it is the first or a further one of a line.
    pub async fn admit<S>(
        &self,
        mut tls: TlsStream<ReadAhead<S>>,
        remote: SocketAddr,
    ) -> Result<Option<Line>, AcceptError>
    where
        S: Duplex + 'static,
    {
        let (_, session) = tls.get_ref();
        let lane = session
            .alpn_protocol()
            .and_then(Lane::of_alpn)
            .ok_or(AcceptError::NoLane)?;
        let certificates = session.peer_certificates().unwrap_or_default();
        let who = (self.inner.settings.identify)(certificates);
        socket::set_buffers(lane, tls.get_mut().1);
        let hello = timeout(
            HELLO_LIMIT,
            read_frame::<Hello, _>(&mut tls, FRAME_BYTES_MAX),
        )
        .await
        .map_err(|_| AcceptError::Timeout("the hello"))??;
        let entered = who
            .map_err(|reason| Refusal::new(RefusalCode::Forbidden, reason))
            .and_then(|peer| self.enter(&hello, lane, peer, remote));
        let refusal = entered.as_ref().err().cloned();
        let answered = self.answer(&mut tls, refusal).await;
        let Entered {
            key,
            begun,
            counted,
        } = entered?;
        match lane {
            Lane::Control => {
                if let (Err(error), Some((_, end))) = (&answered, &begun) {
                    end.end(chain(error));
                }
                answered?;
                // Fails when the line was given up meanwhile.
                drop(begun.map(|(give, _)| give.send(Box::new(tls))));
                Ok(None)
            }
            Lane::Interactive => {
                answered?;
                self.complete(Box::new(tls), key).await.map(Some)
            }
            Lane::Bulk => {
                answered?;
                let (io, session) = tls.into_inner();
                let sealed = bulk::welcome(io, session).await?;
                self.add_bulk(sealed, counted, &key).map(|()| None)
            }
        }
    }

    async fn answer(
        &self,
        io: &mut (impl AsyncWrite + Unpin),
        refusal: Option<Refusal>,
    ) -> Result<(), AcceptError> {
        let answer = HelloAnswer {
            refusal,
            welcome: self.inner.settings.welcome.clone(),
        };
        timeout(HELLO_LIMIT, write_frame(io, &answer))
            .await
            .map_err(|_| AcceptError::Timeout("the answer to the hello"))??;
        Ok(())
    }

    /// Where its lines live.
    pub(crate) fn scope(&self) -> &Scope {
        &self.inner.scope
    }

    /// Lets nobody in any more; those who come are told why. Finished lines stay.
    pub fn close(&self, reason: &str) {
        lock(&self.inner.state).closed = Some(reason.to_owned());
    }

    /// Lines that are complete.
    pub fn lines(&self) -> Vec<Line> {
        let state = lock(&self.inner.state);
        let all = state.lines.by_peer.values().flat_map(BTreeMap::values);
        let complete = all.filter_map(|entry| match entry {
            Entry::Complete(line) => Some(line.clone()),
            Entry::Begun(_) => None,
        });
        complete.collect()
    }

    /// Whether a lane may come in. A line begins here, before its hello is answered: with the answer the
    /// agent dials the interactive lane, which has to find it.
    fn enter(
        &self,
        hello: &Hello,
        lane: Lane,
        peer: Peer,
        remote: SocketAddr,
    ) -> Result<Entered, Refusal> {
        let refuse = |code, text: String| Err(Refusal::new(code, text));
        if hello.version != VERSION || !hello.line.is_well_formed() {
            let text = format!("this proxy speaks version {VERSION} of the line's messages");
            return refuse(RefusalCode::Invalid, text);
        }
        let mut state = lock(&self.inner.state);
        let key = (peer, hello.line.clone());
        let (mut begun, mut counted) = (None, None);
        match (lane, state.lines.get(&key)) {
            (Lane::Control, None) => begun = Some(self.begin(&mut state, &key, remote)?),
            (Lane::Interactive, Some(Entry::Begun(_))) => {}
            (Lane::Bulk, Some(Entry::Complete(line))) => counted = Some(self.bulk_room(line)?),
            _ => {
                let text = format!("no line of yours waits for a {lane} lane: begin a new line");
                return refuse(RefusalCode::NotFound, text);
            }
        }
        Ok(Entered {
            key,
            begun,
            counted,
        })
    }

    /// Room for a bulk connection of a line. An agent that is refused here dials no other for a while.
    fn bulk_room(&self, line: &Line) -> Result<Counted, Refusal> {
        let refuse = |text: &str| Refusal::new(RefusalCode::TooMany, text);
        if !line.wants_bulk() || !line.shared.bulk.has_room() {
            return Err(refuse("the line wants no more bulk connections"));
        }
        Counted::within(&self.inner.bulk, self.inner.settings.bulk_max)
            .ok_or_else(|| refuse("this proxy has no descriptors for more bulk connections"))
    }

    /// The beginning of a line, which gets its control lane after the answer.
    fn begin(
        &self,
        state: &mut State,
        key: &Key,
        remote: SocketAddr,
    ) -> Result<(oneshot::Sender<BoxDuplex>, End), Refusal> {
        self.may_begin(state, key)?;
        let end = End::default();
        let (give, io) = oneshot::channel();
        let control = Control {
            io,
            end: end.clone(),
            remote,
        };
        state.lines.insert(key.clone(), Entry::Begun(control));
        let (door, key, ends) = (self.clone(), key.clone(), end.clone());
        self.inner.scope.spawn("line of an agent", async move {
            tokio::select! {
                _ = ends.ended() => {}
                () = tokio::time::sleep(COMPLETE_LIMIT) => {
                    if door.is_complete(&key) {
                        ends.ended().await;
                    } else {
                        ends.end("the interactive lane did not come");
                    }
                }
            }
            lock(&door.inner.state).lines.remove(&key);
        });
        Ok((give, end))
    }

    /// Whether a line may begin now.
    fn may_begin(&self, state: &State, key: &Key) -> Result<(), Refusal> {
        if let Some(reason) = &state.closed {
            return Err(Refusal::new(RefusalCode::Draining, reason.clone()));
        }
        let objection = state.lines.objection(&key.0, self.inner.settings.lines_max);
        objection.map_or(Ok(()), Err)
    }

    fn is_complete(&self, key: &Key) -> bool {
        let state = lock(&self.inner.state);
        matches!(state.lines.get(key), Some(Entry::Complete(_)))
    }

    /// The interactive lane: the line is complete.
    async fn complete(&self, io: BoxDuplex, key: Key) -> Result<Line, AcceptError> {
        let gone = || Refusal::new(RefusalCode::NotFound, "the line's control lane is gone");
        let control = self.take_begun(&key).ok_or_else(gone)?;
        let talking = match timeout(HELLO_LIMIT, control.io).await {
            Ok(Ok(talking)) => Ok(talking),
            Ok(Err(_)) => Err(gone().into()),
            Err(_) => Err(AcceptError::Timeout(
                "the answer to the control lane's hello",
            )),
        };
        let talking = talking.inspect_err(|error| control.end.end(chain(error)))?;
        let interactive = self.start_lane(io, &control.end);
        let (messages, outgoing) = mpsc::channel(MESSAGES_MAX);
        // The queue is empty and its receiver is here.
        drop(messages.try_send(Message::Ready));
        let shared = Shared::new(Parts {
            peer: key.0.clone(),
            id: key.1.clone(),
            remote: control.remote,
            interactive,
            messages,
            end: control.end,
        });
        let line = Line {
            shared: Arc::new(shared),
        };
        self.keep(&key, &line)?;
        self.start_line(&line, talking, outgoing, key);
        Ok(line)
    }

    /// Takes a complete line in, unless the door was closed meanwhile: nobody would tell such a line to
    /// leave.
    fn keep(&self, key: &Key, line: &Line) -> Result<(), Refusal> {
        let mut state = lock(&self.inner.state);
        if let Some(reason) = &state.closed {
            line.close(reason.clone());
            return Err(Refusal::new(RefusalCode::Draining, reason.clone()));
        }
        if state.lines.get(key).is_some() {
            let text = "another line of yours has this number";
            line.close(text);
            return Err(Refusal::new(RefusalCode::Invalid, text));
        }
        let entry = Entry::Complete(line.clone());
        state.lines.insert(key.clone(), entry);
        Ok(())
    }

    /// Takes a line that waits for its interactive lane; one that is complete stays as it is.
    fn take_begun(&self, key: &Key) -> Option<Control> {
        let mut state = lock(&self.inner.state);
        match state.lines.remove(key)? {
            Entry::Begun(control) => Some(control),
            complete @ Entry::Complete(_) => {
                state.lines.insert(key.clone(), complete);
                None
            }
        }
    }

    /// The tasks of a complete line.
    fn start_line(
        &self,
        line: &Line,
        control: BoxDuplex,
        outgoing: mpsc::Receiver<Message>,
        key: Key,
    ) {
        let scope = &self.inner.scope;
        let timing = self.inner.settings.timing;
        let kept = line.clone();
        scope.spawn("bulk keeper", async move {
            tokio::select! {
                () = kept.shared.bulk.keep(timing) => {}
                _ = kept.shared.end.ended() => {}
            }
            kept.shared.bulk.clear();
        });
        let talking = line.clone();
        let door = self.clone();
        scope.spawn("control lane", async move {
            let shared = &talking.shared;
            let heard = |message| {
                match message {
                    Message::Draining(drain) => {
                        tracing::debug!(peer = %shared.peer.name, reason = %drain.reason, "agent drains");
                        // The first reason stands.
                        drop(shared.draining.set(drain.reason));
                    }
                    Message::Member(note) => (door.inner.settings.heard)(&talking, note.text),
                    _ => {}
                }
                std::future::ready(())
            };
            let reason = tokio::select! {
                reason = messages::exchange(control, outgoing, heard, timing) => reason,
                reason = shared.end.ended() => reason,
            };
            shared.end.end(reason);
            lock(&door.inner.state).lines.remove(&key);
        });
    }

    fn add_bulk(
        &self,
        connection: Sealed,
        counted: Option<Counted>,
        key: &Key,
    ) -> Result<(), AcceptError> {
        let state = lock(&self.inner.state);
        let is_added = match (state.lines.get(key), counted) {
            (Some(Entry::Complete(line)), Some(counted)) => {
                let idle = Idle {
                    connection,
                    counted,
                };
                line.shared.bulk.add(idle)
            }
            _ => false,
        };
        if is_added {
            return Ok(());
        }
        let text = "the line has gone, or has all the bulk connections that it may have";
        Err(Refusal::new(RefusalCode::TooMany, text).into())
    }

    /// Begins the pings of the interactive lane; its end ends the line.
    fn start_lane(&self, io: BoxDuplex, end: &End) -> Arc<Mux> {
        let mux = Mux::new(io, mux::End::Opens, Arc::default());
        let task = run_lane(Arc::clone(&mux), end.clone(), self.inner.settings.timing);
        self.inner.scope.spawn("lane of an agent", task);
        mux
    }
}

async fn run_lane(mux: Arc<Mux>, end: End, timing: Timing) {
    // Its streams break when this is done: by then the reason has to be known.
    let _guard = mux.guard();
    let reason = tokio::select! {
        // An agent opens no streams.
        error = mux.drive(|_, _| {}) => health::broke(&error),
        reason = health::watch(&mux, timing) => reason,
        reason = end.ended() => return end.end(reason),
    };
    end.end(format!("interactive lane: {reason}"));
}

/// How long a caller should give [`Acceptor::accept`] as a whole.
pub const ACCEPT_LIMIT: Duration = Duration::from_secs(20);
