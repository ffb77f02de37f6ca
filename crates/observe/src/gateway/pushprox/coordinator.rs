//! Brings scrapes and clients together: which clients wait, which scrapes wait for one, and which
//! answers are awaited. A client is a name; of several that poll under one the last one counts.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::response::Response;
use bytes::Bytes;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::sync::{oneshot, watch};

/// How long a client is known after its last poll; PushProx's own time.
pub(super) const REGISTRATION: Duration = Duration::from_mins(5);
/// Clients at once.
const CLIENTS_MAX: usize = 10_000;
/// Scrapes that wait for one client to poll.
const QUEUE_MAX: usize = 20;
/// Scrapes under way.
const SCRAPES_MAX: usize = 2_000;

/// So long after our start clients are still coming back from before: they try again after 1 to 5 s.
const RETURN_LIMIT: Duration = Duration::from_secs(10);

/// The table.
#[derive(Debug)]
pub(super) struct Coordinator {
    table: Mutex<Table>,
    started: Instant,
    /// A client has come that was not known.
    came: watch::Sender<u64>,
}

impl Default for Coordinator {
    fn default() -> Self {
        Self {
            table: Mutex::default(),
            started: base::clock::now(),
            came: watch::Sender::new(0),
        }
    }
}

#[derive(Debug, Default)]
struct Table {
    clients: BTreeMap<String, Client>,
    /// By identifier.
    scrapes: HashMap<String, Scrape>,
    is_closed: bool,
}

#[derive(Debug)]
struct Client {
    seen: Instant,
    /// The poll that waits.
    poll: Option<oneshot::Sender<Bytes>>,
    /// The scrapes that no poll has taken yet, by identifier.
    queue: VecDeque<(String, Bytes)>,
}

#[derive(Debug)]
struct Scrape {
    name: String,
    deadline: Instant,
    answer: oneshot::Sender<Response>,
}

/// A scrape that waits for its answer; it is forgotten with this.
#[derive(Debug)]
pub(super) struct Waiting {
    coordinator: Arc<Coordinator>,
    id: String,
    /// The answer.
    pub(super) answer: oneshot::Receiver<Response>,
}

/// Why there is no place for a scrape or a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    /// All scrapes.
    #[error("{SCRAPES_MAX} scrapes are under way already")]
    Scrapes,
    /// Those of one client.
    #[error("{QUEUE_MAX} scrapes wait for this client already: it takes them too slowly")]
    Queue,
    /// Clients.
    #[error("{CLIENTS_MAX} clients are here already")]
    Clients,
    /// The process ends.
    #[error("this process is being replaced or stops: try again")]
    Closed,
}

/// An answer that is awaited.
#[derive(Debug)]
pub(super) struct Awaited {
    /// Who was asked.
    pub(super) name: String,
    /// Until when it is awaited.
    pub(super) deadline: Instant,
}

impl Coordinator {
    /// Whether a client of that name is known.
    pub(super) fn knows(&self, name: &str, now: Instant) -> bool {
        let table = self.table();
        let client = table.clients.get(name);
        client.is_some_and(|client| client.is_known(now))
    }

    /// Whether a client of that name is known by `deadline`. Nobody waits but right after our start.
    pub(super) async fn knows_soon(&self, name: &str, deadline: Instant) -> bool {
        let until = deadline.min(self.started + RETURN_LIMIT);
        let mut came = self.came.subscribe();
        loop {
            came.mark_unchanged();
            if self.knows(name, base::clock::now()) {
                return true;
            }
            let changed = tokio::time::timeout_at(until.into(), came.changed()).await;
            if !matches!(changed, Ok(Ok(()))) {
                return false;
            }
        }
    }

    /// The names of all clients.
    pub(super) fn clients(&self, now: Instant) -> Vec<String> {
        let table = self.table();
        let known = table.clients.iter();
        let known = known.filter(|(_, client)| client.is_known(now));
        known.map(|(name, _)| name.clone()).collect()
    }

    /// Gives a scrape to the poll of a client, or has it wait for one.
    pub(super) fn scrape(
        self: &Arc<Self>,
        (name, id): (&str, String),
        request: Bytes,
        deadline: Instant,
    ) -> Result<Waiting, Full> {
        let (sender, answer) = oneshot::channel();
        let mut table = self.table();
        let Table {
            clients,
            scrapes,
            is_closed,
        } = &mut *table;
        if *is_closed {
            return Err(Full::Closed);
        }
        if scrapes.len() >= SCRAPES_MAX {
            return Err(Full::Scrapes);
        }
        let client = clients.entry(name.to_owned()).or_insert_with(Client::new);
        // A poll whose client has gone gives the request back.
        let taken = client.poll.take().map(|poll| poll.send(request.clone()));
        if !matches!(taken, Some(Ok(()))) {
            client.queue.retain(|(id, _)| scrapes.contains_key(id));
            if client.queue.len() >= QUEUE_MAX {
                return Err(Full::Queue);
            }
            client.queue.push_back((id.clone(), request));
        }
        let scrape = Scrape {
            name: name.to_owned(),
            deadline,
            answer: sender,
        };
        scrapes.insert(id.clone(), scrape);
        drop(table);
        Ok(Waiting {
            coordinator: Arc::clone(self),
            id,
            answer,
        })
    }

    /// A client waits for a scrape. The receiver ends without one when another poll takes its place.
    pub(super) fn poll(&self, name: &str, now: Instant) -> Result<oneshot::Receiver<Bytes>, Full> {
        let (sender, receiver) = oneshot::channel();
        let mut table = self.table();
        let Table {
            clients,
            scrapes,
            is_closed,
        } = &mut *table;
        if *is_closed {
            return Err(Full::Closed);
        }
        if clients.len() >= CLIENTS_MAX && !clients.contains_key(name) {
            clients.retain(|_, client| {
                client.queue.retain(|(id, _)| scrapes.contains_key(id));
                client.is_known(now) || !client.queue.is_empty()
            });
            if clients.len() >= CLIENTS_MAX {
                return Err(Full::Clients);
            }
        }
        if !clients.contains_key(name) {
            self.came.send_modify(|count| *count += 1);
        }
        let client = clients.entry(name.to_owned()).or_insert_with(Client::new);
        client.seen = now;
        // Whoever does not wait any more is not asked for.
        while let Some((id, request)) = client.queue.pop_front() {
            let waits = scrapes.get(&id).filter(|scrape| scrape.deadline > now);
            if waits.is_some_and(|scrape| !scrape.answer.is_closed()) {
                // It can't fail: the receiver is in our hands.
                drop(sender.send(request));
                return Ok(receiver);
            }
        }
        client.poll = Some(sender);
        Ok(receiver)
    }

    /// A poll has ended without a scrape: until now its client was there.
    pub(super) fn seen(&self, name: &str, now: Instant) {
        if let Some(client) = self.table().clients.get_mut(name) {
            client.seen = now;
        }
    }

    /// Which answer is awaited under an identifier.
    pub(super) fn awaited(&self, id: &str) -> Option<Awaited> {
        let table = self.table();
        let scrape = table.scrapes.get(id)?;
        Some(Awaited {
            name: scrape.name.clone(),
            deadline: scrape.deadline,
        })
    }

    /// Gives the answer to who waits for it. There is one only: the next finds nobody.
    pub(super) fn answer(&self, id: &str, answer: Response) -> bool {
        let scrape = self.table().scrapes.remove(id);
        scrape.is_some_and(|scrape| scrape.answer.send(answer).is_ok())
    }

    /// Sends all clients away: they come back to the process that takes over.
    pub(super) fn close(&self) {
        let mut table = self.table();
        table.is_closed = true;
        for client in table.clients.values_mut() {
            client.poll = None;
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    fn new() -> Self {
        Self {
            seen: base::clock::now(),
            poll: None,
            queue: VecDeque::new(),
        }
    }

    fn is_known(&self, now: Instant) -> bool {
        self.poll.as_ref().is_some_and(|poll| !poll.is_closed())
            || now.saturating_duration_since(self.seen) < REGISTRATION
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.coordinator.table().scrapes.remove(&self.id);
    }
}

/// What is counted when somebody looks.
#[derive(Debug)]
pub(super) struct Gauges(pub(super) Arc<Coordinator>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let clients = self.0.clients(base::clock::now()).len();
        let scrapes = self.0.table().scrapes.len();
        let gauges = [
            ("clients", "Clients that are known", clients),
            ("scrapes_waiting", "Scrapes that wait for a client", scrapes),
        ];
        for (name, help, count) in gauges {
            let gauge = ConstGauge::new(count as f64);
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use base::clock;

    use super::*;

    fn scrape(coordinator: &Arc<Coordinator>, name: &str, id: &str) -> Result<Waiting, Full> {
        let deadline = clock::now() + Duration::from_secs(10);
        coordinator.scrape((name, id.to_owned()), Bytes::from(id.to_owned()), deadline)
    }

    #[test]
    fn a_scrape_and_a_poll_meet_whoever_comes_first() {
        let coordinator = Arc::new(Coordinator::default());
        let now = clock::now();
        let mut poll = coordinator.poll("a", now).unwrap();
        let mut waiting = scrape(&coordinator, "a", "1").unwrap();
        assert_eq!(poll.try_recv().unwrap(), "1");
        assert_eq!(coordinator.awaited("1").unwrap().name, "a");
        assert!(coordinator.answer("1", "page".into_response()));
        assert!(waiting.answer.try_recv().is_ok());
        assert!(!coordinator.answer("1", "again".into_response()));

        let second = scrape(&coordinator, "a", "2").unwrap();
        let third = scrape(&coordinator, "a", "3").unwrap();
        drop(second);
        let mut poll = coordinator.poll("a", now).unwrap();
        assert_eq!(poll.try_recv().unwrap(), "3", "nobody waits for 2 any more");
        drop(third);
        assert!(coordinator.awaited("3").is_none());
    }

    #[test]
    fn a_scrape_is_not_lost_on_a_poll_whose_client_has_gone() {
        let coordinator = Arc::new(Coordinator::default());
        drop(coordinator.poll("a", clock::now()).unwrap());
        let _waiting = scrape(&coordinator, "a", "1").unwrap();
        let mut poll = coordinator.poll("a", clock::now()).unwrap();
        assert_eq!(poll.try_recv().unwrap(), "1");
    }

    #[tokio::test(start_paused = true)]
    async fn right_after_the_start_clients_are_waited_for() {
        let coordinator = Arc::new(Coordinator::default());
        let in_seconds = |seconds| clock::now() + Duration::from_secs(seconds);
        let knows = coordinator.knows_soon("a", in_seconds(5));
        let polled = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            coordinator.poll("b", clock::now()).unwrap();
            [coordinator.poll("a", clock::now()).unwrap()]
        };
        let (knows, _polls) = tokio::join!(knows, polled);
        assert!(knows);
        assert!(!coordinator.knows_soon("c", in_seconds(1)).await);
    }

    #[test]
    fn everything_has_a_bound() {
        let coordinator = Arc::new(Coordinator::default());
        let now = clock::now();
        let waiting: Vec<_> = (0..QUEUE_MAX)
            .map(|id| scrape(&coordinator, "a", &id.to_string()).unwrap())
            .collect();
        assert_eq!(scrape(&coordinator, "a", "x").unwrap_err(), Full::Queue);
        drop(waiting);
        let _one = scrape(&coordinator, "a", "x").unwrap();
        let polls: Vec<_> = (1..CLIENTS_MAX)
            .map(|name| coordinator.poll(&name.to_string(), now).unwrap())
            .collect();
        assert_eq!(coordinator.poll("b", now).unwrap_err(), Full::Clients);
        drop(polls);
        // One that died is asked once more; what was asked is forgotten with the scrape.
        drop(scrape(&coordinator, "1", "y").unwrap());
        let later = now + REGISTRATION + Duration::from_secs(1);
        coordinator.poll("b", later).unwrap();
        assert_eq!(coordinator.clients(later), ["b"]);
        assert_eq!(coordinator.table().clients.len(), 2, "a waits still, and b");
        coordinator.close();
        assert_eq!(coordinator.poll("b", now).unwrap_err(), Full::Closed);
    }
}
