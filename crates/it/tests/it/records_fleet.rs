//! Clients that post without a pause and send again whatever was not answered, as a spool does; and what
//! has to be there in the end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use it::client::{self, Connection, Failure, Reply};
use it::telemetrics::{Form, Record};
use serde_json::Value;
use tokio::task::JoinHandle;

/// Clients of a fleet.
const CLIENTS: usize = 8;
/// One of so many records is invalid.
const INVALID: usize = 5;
/// How long a client waits before it sends again.
const PAUSE: Duration = Duration::from_millis(20);
/// As long as the usual client waits.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A record that a client has been told is kept.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged {
    pub(crate) event: String,
    pub(crate) id: i64,
    pub(crate) is_quarantined: bool,
}

/// One answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    pub(crate) sent: Instant,
    pub(crate) elapsed: Duration,
    /// 0 without one.
    pub(crate) status: u16,
}

#[derive(Debug, Default)]
struct Seen {
    acknowledged: Vec<Acknowledged>,
    answers: Vec<Answer>,
}

/// The clients.
#[derive(Debug)]
pub(crate) struct Fleet {
    address: Arc<Mutex<SocketAddr>>,
    is_over: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    clients: Vec<JoinHandle<()>>,
}

impl Fleet {
    /// Starts all of them.
    pub(crate) fn start(address: SocketAddr) -> Self {
        let mut fleet = Self {
            address: Arc::new(Mutex::new(address)),
            is_over: Arc::default(),
            seen: Arc::default(),
            clients: Vec::new(),
        };
        for number in 0..CLIENTS {
            let form = Form::ALL[number % 2];
            let (address, is_over) = (Arc::clone(&fleet.address), Arc::clone(&fleet.is_over));
            let seen = Arc::clone(&fleet.seen);
            fleet.clients.push(tokio::spawn(async move {
                let mut count = 0;
                while !is_over.load(Ordering::SeqCst) {
                    count += 1;
                    let is_invalid = count % INVALID == 0;
                    deliver(form, is_invalid, &address, &seen).await;
                }
            }));
        }
        fleet
    }

    /// Has them go elsewhere from now on.
    pub(crate) fn redirect(&self, address: SocketAddr) {
        *self.address.lock().unwrap() = address;
    }

    /// How many records are acknowledged.
    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().acknowledged.len()
    }

    /// All answers so far.
    pub(crate) fn answers(&self) -> Vec<Answer> {
        self.seen.lock().unwrap().answers.clone()
    }

    /// Ends them when each has delivered what it has; gives what they were told is kept.
    pub(crate) async fn finish(self) -> Vec<Acknowledged> {
        self.is_over.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.await.unwrap();
        }
        let seen = self.seen.lock().unwrap();
        seen.acknowledged.clone()
    }
}

/// Sends one record until it is acknowledged.
async fn deliver(form: Form, is_invalid: bool, address: &Mutex<SocketAddr>, seen: &Mutex<Seen>) {
    let record = Record::new();
    let record = if is_invalid {
        record.set("severity", "9")
    } else {
        record
    };
    let mut connection = None;
    loop {
        let to = *address.lock().unwrap();
        let sent = Instant::now();
        let reply = tokio::time::timeout(ANSWER_LIMIT, send(&mut connection, to, form, &record));
        let reply = reply.await.map_err(Failure::from).and_then(|reply| reply);
        let status = reply.as_ref().map_or(0, |reply| reply.status);
        let elapsed = sent.elapsed();
        let acknowledged = reply.ok().filter(|reply| reply.status == 201).map(|reply| {
            let answer = reply.json();
            Acknowledged {
                event: record.event(),
                id: answer["id"].as_i64().unwrap(),
                is_quarantined: answer["quarantined"] == true,
            }
        });
        {
            let mut seen = seen.lock().unwrap();
            seen.answers.push(Answer {
                sent,
                elapsed,
                status,
            });
            if let Some(acknowledged) = acknowledged {
                seen.acknowledged.push(acknowledged);
                return;
            }
        }
        if status == 0 {
            connection = None;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn send(
    connection: &mut Option<Connection>,
    to: SocketAddr,
    form: Form,
    record: &Record,
) -> Result<Reply, Failure> {
    let connection = match connection {
        Some(connection) if !connection.is_closed() => connection,
        _ => connection.insert(Connection::open(&to.to_string()).await?),
    };
    let body = String::from_utf8(record.body(form))?;
    let headers = record.headers(form).into_iter();
    let headers = headers.map(|(name, value)| (name, std::str::from_utf8(value).unwrap()));
    let headers: Vec<_> = headers.collect();
    connection.send("POST", form.path(), &headers, &body).await
}

/// Whether everything that was acknowledged is there, once and under its id, and nothing else; and
/// whether what was counted of it is right.
pub(crate) async fn assert_kept(address: SocketAddr, acknowledged: &[Acknowledged]) {
    let get = async |path: String| {
        let reply = client::get(&format!("http://{address}{path}"), &[])
            .await
            .unwrap();
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply.json()
    };
    let mut found = BTreeMap::<String, Vec<i64>>::new();
    let mut path = Some("/api/records?limit=1000&after_id=0".to_owned());
    while let Some(page) = path {
        let page = get(page).await;
        note(&mut found, &page["records"], |record| {
            record["event_id"].clone()
        });
        path = page["next"]
            .as_i64()
            .map(|next| format!("/api/records?limit=1000&after_id={next}"));
    }
    assert_same(
        &found,
        acknowledged.iter().filter(|one| !one.is_quarantined),
    );
    let kept: usize = found.values().map(Vec::len).sum();
    found.clear();
    path = Some("/v1/records/quarantine?limit=1000".to_owned());
    while let Some(page) = path {
        let page = get(page).await;
        note(&mut found, &page["submissions"], |one| {
            one["fields"]["event_id"].clone()
        });
        path = page["next"]
            .as_i64()
            .map(|next| format!("/v1/records/quarantine?limit=1000&before={next}"));
    }
    assert_same(&found, acknowledged.iter().filter(|one| one.is_quarantined));
    let counts = get("/v1/records/counts?by=severity".to_owned()).await;
    let days = counts["days"].as_array().unwrap().iter();
    let counted: u64 = days.map(|day| day["counts"]["2"].as_u64().unwrap()).sum();
    assert_eq!(
        usize::try_from(counted).unwrap(),
        kept,
        "what was counted at intake"
    );
}

fn note(found: &mut BTreeMap<String, Vec<i64>>, page: &Value, event: fn(&Value) -> Value) {
    for one in page.as_array().unwrap() {
        let event = event(one).as_str().unwrap().to_owned();
        found
            .entry(event)
            .or_default()
            .push(one["id"].as_i64().unwrap());
    }
}

fn assert_same<'a>(
    found: &BTreeMap<String, Vec<i64>>,
    acknowledged: impl Iterator<Item = &'a Acknowledged>,
) {
    let mut wrong = Vec::new();
    let mut events = 0;
    for Acknowledged { event, id, .. } in acknowledged {
        events += 1;
        match found.get(event).map(Vec::as_slice) {
            Some([only]) if only == id => {}
            other => wrong.push(format!(
                "{event} was acknowledged as {id} and is there as {other:?}"
            )),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {events} are wrong: {:#?}",
        wrong.len(),
        wrong.iter().take(10).collect::<Vec<_>>()
    );
    assert_eq!(found.len(), events, "nobody sent some of these");
}
